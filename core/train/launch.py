"""Starts the ranks of a run, waits for them, and finds out why they ended.

torch's own launcher (`torch.distributed.run`'s Python interface) starts them and ends the others when one dies. This process is
none of them: it holds the run's lock, hands on signals, and the kernel ends its ranks when it is killed. All meet in a temporary
folder of their own, and talk over loopback. Knows no journal.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from ..errors import RunError
from ..run.control import STOPPED_BY_SIGNAL, STOPPING, StopRequested

DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2): the signal that a process gets when the one that started it ends."""
REPORT = "TORCHELASTIC_ERROR_FILE"
"""Variable by which torch's launcher says where a rank is to leave its error."""
LOOPBACK = "127.0.0.1"
WATCH_S = 0.1
"""Seconds between two looks at the ranks."""


@dataclass(frozen=True)
class Failure:
    """Why a rank could not go on."""

    problem: str
    fix: str
    code: int
    """Exit code of the run."""
    lost: bool = False
    """Whether it says no more than that another rank has ended."""
    journalled: bool = False
    """Whether the rank has journalled it."""

    def report(self) -> None:
        """Leaves it where `launch` looks for it."""
        if path := os.environ.get(REPORT):
            text = json.dumps(astuple(self))
            Path(path).write_text(json.dumps({"message": text, "timestamp": str(int(time.time()))}), encoding="utf-8")


@dataclass(frozen=True)
class End:
    """How the ranks of a run ended."""

    code: int
    """Exit code of the run."""
    failure: Failure | None = None
    """What went wrong, which no rank has journalled."""
    stopped: str = ""
    """The signal that ended ranks which had not begun; "" where there was none."""


@dataclass
class Signals:
    """The signals that this process was sent, by which a worker is stopped."""

    came: list[int] = field(default_factory=list)
    """In their order."""
    starting: bool = False
    """Whether ranks are about to start: one that is not there yet would never hear of a signal."""


def launch(root: Path, offset: int, count: int, signals: Signals) -> End:
    """Runs the ranks of a run to their end.

    Args:
        root: The run's folder.
        offset: Byte from which on commands are meant for this worker.
        count: How many ranks.
        signals: As `handing_on_signals` yields them.

    Returns:
        How they ended.

    Raises:
        StopRequested: A signal came before there was a rank.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if (loopback := Path("/sys/class/net/lo")).exists():  # a host whose name leads nowhere has that one all the same
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.name)
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # nobody needs that store, which would listen on all interfaces
    with meeting_place(root) as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=f"run-{os.getpid()}",
            rdzv_backend="c10d",
            rdzv_endpoint=str(folder / "launcher"),
            rdzv_configs={"store_type": "file"},  # over TCP it would do so, too
            local_addr=LOOPBACK,
            max_restarts=0,
            monitor_interval=WATCH_S,
            signals_to_handle="SIGUSR2",  # the others are handed on
            logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
        )
        arguments = ("-P", "-m", "core.worker", "--rank-of", os.getpid(), offset, folder / "ranks", root)
        signals.starting = True  # only now: the imports above would not survive an exception in their midst
        if signals.came:
            raise StopRequested(_name(signals.came[0]))
        try:
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as error:
            return end_of(error.failures, signals.came)
    return End(0)


@contextmanager
def meeting_place(root: Path) -> Iterator[Path]:
    """A temporary folder for the ranks of a run; removes first what workers of the run have left that were killed.

    It does not lie in the run's folder: ranks meet by locks of a file, which a file system that hosts share may not have.

    Args:
        root: The run's folder, which no other worker has.
    """
    status = root.stat()  # not its path: a run may be moved
    prefix = f"codeprune-ranks-{status.st_dev:x}-{status.st_ino:x}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)


def end_of(failures: Mapping[int, object], signals: list[int]) -> End:
    """How a run ended, of whose ranks some left with an error, or were ended because others did.

    Args:
        failures: Rank -> what torch's launcher knows of it: `exitcode`, which is negative after a signal, `pid`, `message`.
        signals: Those that this process was sent.
    """
    codes = {rank: int(getattr(failure, "exitcode", 1)) for rank, failure in sorted(failures.items())}
    if codes.get(0) == STOPPED_BY_SIGNAL:
        return End(STOPPED_BY_SIGNAL)
    reports = [report for failure in failures.values() if (report := _report(failure)) is not None]
    if first := next((report for report in reports if not report.lost), None):
        return End(first.code, None if first.journalled else first)
    if codes.get(0) in {-number for number in signals}:
        return End(STOPPED_BY_SIGNAL, stopped=_name(signals[0]))
    silent = [rank for rank, failure in sorted(failures.items()) if _report(failure) is None]
    if silent:
        rank = min(silent, key=lambda rank: (codes[rank] >= 0, codes[rank] == -signal.SIGTERM, rank))
        return _ended_silently(rank, codes[rank], getattr(failures[rank], "pid", 0))
    return End(reports[0].code, reports[0])


def _ended_silently(rank: int, code: int, pid: int) -> End:
    """The end of a run by a rank that could not say why; SIGTERM is what the launcher ends the others with."""
    if code >= 0:
        return End(code, Failure(f"Rank {rank} of the run left with exit code {code}.", "Its log says why.", code))
    problem = f"Rank {rank} of the run (process {pid}) was killed by {_name(-code)}."
    if code == -signal.SIGKILL:
        problem += " The system kills what takes too much memory."
    fix = "What was trained up to the last checkpoint is kept: resume the run."
    return End(RunError.exit_code, Failure(problem, fix, RunError.exit_code))


def _name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _report(failure: object) -> Failure | None:
    """What a rank left behind; None where it left nothing."""
    try:
        return Failure(*json.loads(str(getattr(failure, "message", ""))))
    except (ValueError, TypeError):
        return None


@contextmanager
def handing_on_signals() -> Iterator[Signals]:
    """Hands the signals by which a worker is stopped on to the processes that this one started.

    Raises:
        StopRequested: From wherever the block is, where ranks are about to start and there is none.
    """
    signals = Signals()

    def hand_on(number: int, frame: FrameType | None) -> None:
        signals.came.append(number)
        children = psutil.Process().children()
        if signals.starting and not children:
            raise StopRequested(_name(number))
        for child in children:
            with suppress(psutil.Error):
                child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in STOPPING}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_with(leader: int) -> None:
    """Makes the kernel kill this process when the one that started it ends, however it ends (Linux).

    Args:
        leader: Id of that process, which may have ended already.
    """
    with suppress(OSError, AttributeError):  # other systems have no prctl: there it dies when it next sends something
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != leader:
        os._exit(RunError.exit_code)
