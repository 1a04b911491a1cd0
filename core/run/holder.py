"""Who holds a run: whether a worker still has what it took, and whether another is alive that the lock does not show.

A lock is a file: whoever deletes it lets a second worker in, and both would write. So a worker looks, between two steps and
before each event, whether its lock, its journal and its folder are still those that it took, and whoever starts one looks for a
live process of the run first. Torch-free.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from ..errors import RunError
from ..program import program, run_handle
from ..regularfile import open_regular
from .events import Failed, RunFinished, RunStarted, Stopped, from_line
from .folder import BEAT_S, SKEW_S, STALE_AFTER_S, Holder, RunPaths, hold_lock, holder_of
from .journal import JournalWriter, LineReader, read_tail

LOOK_S = 0.5
"""Seconds between two looks at a lock that somebody may touch."""
RAY_NODE = "CODEPRUNE_RAY_NODE"
"""The variable that tells a worker on which Ray node its task runs; Ray itself sets none."""


class HoldLostError(RunError):
    """The run no longer belongs to this worker, which must not write any more."""


@contextmanager
def signed(lock: int) -> Iterator[None]:
    """Writes into a lock who has it, and touches it again and again, so that other hosts see that its holder lives.

    Args:
        lock: Descriptor of the lock file, which this process holds.
    """
    holder, leave = Holder(time.time(), socket.gethostname()), threading.Event()
    _sign(lock, holder)

    def touch() -> None:
        while not leave.wait(BEAT_S):
            with suppress(OSError):
                os.utime(lock)

    thread = threading.Thread(target=touch, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join()
        _sign(lock, replace(holder, has_left=True))


def _sign(lock: int, holder: Holder) -> None:
    with suppress(OSError):  # a full disk must not keep a worker from telling why it ends
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(holder).encode("ascii", "replace"), 0)


def cluster_job(environment: Mapping[str, str] = os.environ) -> str:
    """The cluster's job that a worker runs in: "Slurm 3_0" (job array and element), "Slurm 17", "Ray 5f2a9c01" (the node's id).

    Args:
        environment: The worker's variables.

    Returns:
        The job in a few letters; "" outside of a cluster.
    """
    if node := environment.get(RAY_NODE, ""):
        return f"Ray {node[:8]}"
    array, element = (environment.get(f"SLURM_ARRAY_{part}", "") for part in ("JOB_ID", "TASK_ID"))
    job = f"{array}_{element}" if array and element else environment.get("SLURM_JOB_ID", "")
    return f"Slurm {job[:40]}" if job else ""


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


def may_live_elsewhere(paths: RunPaths) -> bool:
    """Whether the last worker of a run, on another host, did not let go of it and may have touched its lock of late.

    Clocks of two hosts may differ by minutes, so the time alone does not say whether it lives: `refuse_second` looks for longer.
    """
    try:
        silent_s = time.time() - paths.lock.stat().st_mtime
    except OSError:
        return False
    return holder_of(paths).elsewhere and abs(silent_s) < SKEW_S


def refuse_second(paths: RunPaths, patience_s: float = 0.0) -> None:
    """Refuses to start a worker where another lives, though its lock is gone, or does not reach this host.

    Args:
        paths: The run; nobody holds its lock.
        patience_s: For how long a worker on another host has to be silent that may live.

    Raises:
        RunError: Names the process, or the host.
    """
    holder = holder_of(paths)
    if holder.elsewhere:
        if may_live_elsewhere(paths) and _touched_within(paths, patience_s):
            raise RunError(
                f"A worker on {holder.host} is at work on {paths.name}, though its lock doesn't show here.",
                f"Stop it there. One that is silent for {STALE_AFTER_S:.0f} s is taken to be dead.",
            )
        return
    if holder.has_left:
        return
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


def _touched_within(paths: RunPaths, patience_s: float) -> bool:
    """Whether somebody touches the lock or writes into the journal in the next seconds; no clock of another host is asked."""
    before, deadline = _signs(paths), time.monotonic() + patience_s
    while time.monotonic() < deadline:
        time.sleep(min(LOOK_S, patience_s))
        if _signs(paths) != before:
            return True
    return False


def _signs(paths: RunPaths) -> tuple[int, int]:
    signs = []
    for path in (paths.lock, paths.journal):
        try:
            with open_regular(path) as file:  # opened: a network file system may have kept what it knew of a closed one
                status = os.fstat(file.fileno())
        except OSError:
            signs.append(0)
        else:
            signs.append(status.st_mtime_ns if path == paths.lock else status.st_size)
    return signs[0], signs[1]


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
