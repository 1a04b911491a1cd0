"""One worker's stay at a run: what the verbs need to journal, to obey commands and to save.

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

STEP_EVENT_S = 1.0
"""Seconds between two `step` events: a journal of a long run stays readable, and costs training nothing."""
PAUSE_POLL_S = 0.1
"""How often a paused worker looks for a command."""


@dataclass
class WorkClock:
    """Seconds of work: stands still while the run is paused, so that no duration holds a pause.

    Args:
        source: Seconds that never stand still.
    """

    source: Callable[[], float] = time.monotonic
    _paused_s: float = 0.0

    def __call__(self) -> float:
        """Seconds; only differences mean anything."""
        return self.source() - self._paused_s

    def skip(self, seconds: float) -> None:
        """Leaves out what has just passed."""
        self._paused_s += seconds


@dataclass(frozen=True)
class Session:
    """What a worker hands to the loop it runs."""

    paths: RunPaths
    recipe: Recipe
    emit: Callable[[Happening], Event]
    control: Control
    accelerator: Accelerator
    clock: WorkClock = field(default_factory=WorkClock)
    """For rates and durations only."""
    check: Callable[[], None] = lambda: None
    """Raises where the run is not this worker's any more (`holder.Hold.check`)."""

    def breathe(self, round_number: int, step: int, save: Callable[[], None]) -> None:
        """Obeys commands; called between two steps and between two batches of an evaluation.

        Args:
            round_number: Where the run stands.
            step: Where the round stands.
            save: Writes a checkpoint of exactly this point.

        Raises:
            StopRequested: After the checkpoint is on disk.
            HoldLostError: The run is not this worker's any more; nothing was saved.
        """
        self.check()
        self.control.poll()
        if self.control.pausing and not self.control.stopping:
            save()
            self.emit(Paused(round=round_number, step=step))
            began = self.clock()
            while self.control.pausing and not self.control.stopping:
                time.sleep(PAUSE_POLL_S)
                self.check()
                self.control.poll()
            self.clock.skip(self.clock() - began)
            if not self.control.stopping:
                self.emit(Resumed(round=round_number, step=step))
        if self.control.stopping:
            save()
            raise StopRequested(self.control.stopping)
