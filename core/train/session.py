"""One worker's session with a run: what the verbs need to journal, to obey commands and to save.

Everything is passed in; nothing here trains or prunes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from accelerate import Accelerator

from ..recipe import Recipe
from ..run.control import Control, StopRequested
from ..run.events import Event, Happening, Paused, Resumed
from ..run.folder import RunPaths
from .ranks import ALONE, Ranks

STEP_EVENT_S = 1.0
"""Seconds between two `step` events: a journal of a long run stays readable, and costs training nothing."""
PAUSE_POLL_S = 0.1
"""How often a paused worker looks for a command."""


@dataclass
class WorkClock:
    """Seconds of work: the clock stands still while the run is paused, so that no duration includes a pause.

    Args:
        source: A clock that never stands still, in seconds.
    """

    source: Callable[[], float] = time.monotonic
    _paused_s: float = 0.0

    def __call__(self) -> float:
        """Seconds of work so far; only differences mean anything."""
        return self.source() - self._paused_s

    def skip(self, seconds: float) -> None:
        """Leaves out the seconds that have just passed."""
        self._paused_s += seconds


@dataclass(frozen=True)
class Session:
    """Everything that a worker hands to its loop."""

    paths: RunPaths
    recipe: Recipe
    emit: Callable[[Happening], Event]
    control: Control
    accelerator: Accelerator
    clock: WorkClock = field(default_factory=WorkClock)
    """For rates and durations only."""
    check: Callable[[], None] = lambda: None
    """Raises where the run no longer belongs to this worker (`holder.Hold.check`)."""
    ranks: Ranks = ALONE
    """The processes that share the run; only the one that leads has a journal, commands and a disk to write to."""

    def breathe(self, round_number: int, step: int, save: Callable[[], None]) -> None:
        """Obeys commands; called between two steps and between two batches of an evaluation.

        Args:
            round_number: The round where the run stands.
            step: The step where the round stands.
            save: Writes a checkpoint of exactly this point.

        Raises:
            StopRequested: After the checkpoint is on disk.
            HoldLostError: The run no longer belongs to this worker; nothing was saved.
        """
        pausing, stopping = self._orders()
        if pausing and not stopping:
            save()
            self.emit(Paused(round=round_number, step=step))
            began = self.clock()
            while pausing and not stopping:
                time.sleep(PAUSE_POLL_S)
                pausing, stopping = self._orders()
            self.clock.skip(self.clock() - began)
            if not stopping:
                self.emit(Resumed(round=round_number, step=step))
        if stopping:
            save()
            raise StopRequested(stopping)

    def _orders(self) -> tuple[bool, str]:
        """Whether to pause, and who asks to stop; the same for all ranks, whatever comes in meanwhile."""
        if self.ranks.leads:
            self.check()
            self.control.poll()
        pausing, stopping = self.ranks.agreed([self.control.pausing, self.control.stopping])
        return pausing, stopping
