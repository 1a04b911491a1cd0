"""Stopping a sweep, wherever its runs are: no more begin, what waits leaves the queue, workers save a checkpoint and leave."""

import time
from dataclasses import dataclass

from core.errors import RunError
from core.run.folder import RunPaths, is_held

from . import slurm
from .sweeps import SweepFolder, send_all


@dataclass(frozen=True)
class Stopped:
    """What has become of a sweep that was asked to stop."""

    cancelled: int
    """Runs that were taken out of Slurm's queue."""
    workers: tuple[RunPaths, ...]
    """Runs whose workers were asked to leave."""
    at_work: tuple[RunPaths, ...]
    """Those of them that are still at work."""
    problem: RunError | None
    """Why Slurm's queue could not be emptied."""

    @property
    def words(self) -> str:
        """It in words, such as "2 runs were taken out of the queue, 3 of 3 workers have left; no more runs begin"."""
        were = "1 run was" if self.cancelled == 1 else f"{self.cancelled} runs were"
        queue = f"{were} taken out of the queue, " if self.cancelled else ""
        left = f"{len(self.workers) - len(self.at_work)} of {len(self.workers)} workers have left"
        return f"{queue}{left}; no more runs begin"


def stop_sweep(sweep: SweepFolder, patience_s: float, poll_s: float = 0.1) -> Stopped:
    """Lets no more runs of a sweep begin, and asks the workers of the others to save a checkpoint and leave.

    Args:
        sweep: The sweep.
        patience_s: Seconds to wait for the workers to leave.
        poll_s: Seconds between two looks.

    Raises:
        RunError: The sweep's folder cannot be written.
    """
    sweep.halt()
    cancelled, problem = 0, None
    try:
        cancelled = slurm.cancel_waiting(sweep)
    except RunError as error:  # what waits does not begin in a stopped sweep; its workers can be stopped all the same
        problem = error
    workers = tuple(paths for paths in sweep.runs() if is_held(paths))
    send_all(workers, "stop")
    deadline = time.monotonic() + patience_s
    while any(map(is_held, workers)) and time.monotonic() < deadline:
        time.sleep(poll_s)
    return Stopped(cancelled, workers, tuple(paths for paths in workers if is_held(paths)), problem)
