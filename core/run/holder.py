"""Who holds a run: whether a worker still has what it took, and whether another is alive that the lock does not show.

A lock is a file: whoever deletes it lets a second worker in, and both would write. So a worker looks, between two steps and
before each event, whether its lock, its journal and its folder are still those that it took, and whoever starts one looks for a
live process of the run first. Torch-free.
"""

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..errors import RunError
from ..program import program, run_handle
from .events import Failed, RunFinished, RunStarted, Stopped, from_line
from .folder import STALE_AFTER_S, RunPaths, hold_lock
from .journal import JournalWriter, LineReader, read_tail


class HoldLostError(RunError):
    """The run no longer belongs to this worker, which must not write any more."""


@dataclass(frozen=True)
class Hold:
    """What a worker holds of its run.

    Args:
        paths: The run.
        lock: Descriptor of the lock file.
        journal: Descriptor of the journal.
    """

    paths: RunPaths
    lock: int
    journal: int

    def check(self) -> None:
        """Checks that the run still belongs to this worker; costs two stats of a file.

        Raises:
            HoldLostError: The folder, the lock or the journal is gone, or another.
        """
        if _is(self.paths.lock, self.lock) and _is(self.paths.journal, self.journal):
            return
        name, again = self.paths.name, f"Go on from the last checkpoint with: {program()} resume {run_handle(self.paths.root)}"
        if not self.paths.root.is_dir():
            raise HoldLostError(
                f"The folder of {name} was deleted or moved while its worker was at work: {self.paths.root}.",
                "Where it was moved, resume it there.",
            )
        for path, descriptor in ((self.paths.lock, self.lock), (self.paths.journal, self.journal)):
            if not _is(path, descriptor):
                what = "replaced" if path.exists() else "deleted"
                raise HoldLostError(f"{path} was {what} while the worker of {name} was at work, so the worker stopped.", again)

    def tell(self, error: HoldLostError, journal: JournalWriter) -> None:
        """Journals why the worker stops, unless another has the run by now; a folder that was deleted is not made anew.

        Args:
            error: As `check` raised it.
            journal: The worker's own.
        """
        failed = Failed(problem=error.problem, fix=error.fix)
        if not self.paths.root.is_dir():
            journal.append(failed)  # it moved with its folder, and so did the lock; one that was deleted shows nothing
        elif _is(self.paths.lock, self.lock):
            _append(self.paths, failed)
        else:
            with suppress(RunError), hold_lock(self.paths):  # another worker may have it: then the journal is that one's
                _append(self.paths, failed)


def newest_start(paths: RunPaths) -> RunStarted | None:
    """The newest `RunStarted` event of the journal; None before the first."""
    lines, newest = LineReader(paths.journal), None
    while batch := lines.poll():
        # Only these lines are validated: the rest of a long journal would take seconds.
        for line in batch:
            if b'"run_started"' in line and isinstance(what := from_line(line).what, RunStarted):
                newest = what
    return newest


def refuse_second(paths: RunPaths) -> None:
    """Refuses to start a worker where another lives, though its lock is gone.

    Args:
        paths: The run; nobody holds its lock.

    Raises:
        RunError: Names the process, or the host.
    """
    started, last = newest_start(paths), next((event for event in reversed(read_tail(paths.journal)) if event.seq >= 0), None)
    if started is None or last is None or isinstance(last.what, Stopped | Failed | RunFinished) or started.pid == os.getpid():
        return
    if started.host == socket.gethostname():
        if _works_on(started.pid, paths.root):
            raise RunError(
                f"Process {started.pid} still works on {paths.name}, though {paths.lock.name} does not show it: was it deleted?",
                "It stops by itself at its next step. Try again then, or end the process.",
            )
    elif (silent := time.time() - last.time) < STALE_AFTER_S:
        raise RunError(
            f"A worker on {started.host} wrote into {paths.name} {max(0, int(silent))} s ago, though its lock doesn't show here.",
            f"Stop it there. One that is silent for {STALE_AFTER_S:.0f} s is taken to be dead.",
        )


def _append(paths: RunPaths, what: Failed) -> None:
    journal = JournalWriter(paths.journal)
    journal.append(what)
    journal.close()


def _works_on(pid: int, root: Path) -> bool:
    """Whether a process is a worker of the run: another program may have the number by now."""
    try:
        arguments = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return str(root.resolve()) in arguments and any("worker" in word for word in arguments[:-1])


def _is(path: Path, descriptor: int) -> bool:
    try:
        there, own = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
