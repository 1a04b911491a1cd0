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
