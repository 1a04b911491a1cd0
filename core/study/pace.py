"""Measures the speed of a run from the times in its journal: training, evaluation, starting, and the rest.

Reads no more than `JOURNAL_BYTES` of a journal. Pauses, and the lost work of killed workers, do not count. Torch-free.
"""

import math
from dataclasses import dataclass, field

from ..errors import RecipeError
from ..recipe import Recipe, load_recipe
from ..run.events import (
    DataLoaded,
    EncoderOffMeasured,
    Evaluated,
    Event,
    Happening,
    Paused,
    Pruned,
    Resumed,
    Rewound,
    RoundFinished,
    RoundStarted,
    RunStarted,
    Step,
    Unknown,
    Validated,
    from_line,
)
from ..run.folder import RunPaths
from ..run.journal import LineReader

JOURNAL_BYTES = 8 * 1024 * 1024
"""Most bytes of a journal that are read; rates do not change after that."""
LONG_LINES = (b'"event": "matrix"', b'"event": "evaluating"', b'"event": "floors"')
"""Events that are not needed for times, and make up most of a journal."""


@dataclass(frozen=True)
class Pace:
    """The summed times of earlier runs, in seconds of the wall clock without pauses and interrupted work."""

    steps: int = 0
    step_s: float = 0.0
    rows: int = 0
    """Rows evaluated, or, in pre-training, measurements made."""
    rows_s: float = 0.0
    rounds: int = 0
    other_s: float = 0.0
    """Of these rounds: pruning, saving, measuring matrices; all that is neither training nor evaluation."""
    starts: int = 0
    start_s: float = 0.0
    """From the worker's first sign of life to its first round: loading and tokenizing."""
    split_rows: int = 0
    """Rows of the split that is evaluated."""
    device: str = ""
    threads: int = 0

    def __add__(self, other: "Pace") -> "Pace":
        return Pace(
            self.steps + other.steps,
            self.step_s + other.step_s,
            self.rows + other.rows,
            self.rows_s + other.rows_s,
            self.rounds + other.rounds,
            self.other_s + other.other_s,
            self.starts + other.starts,
            self.start_s + other.start_s,
            self.split_rows or other.split_rows,
            self.device or other.device,
            self.threads or other.threads,
        )

    @property
    def steps_per_s(self) -> float:
        """Optimizer steps a second, resume checkpoints included; 0 where none was measured."""
        return self.steps / self.step_s if self.step_s > 0 else 0.0

    @property
    def rows_per_s(self) -> float:
        """Rows scored a second; 0 where none was measured."""
        return self.rows / self.rows_s if self.rows_s > 0 else 0.0


def measure(paths: RunPaths, host: str) -> Pace | None:
    """The times of a run, from its journal; None where it was made on another machine.

    Args:
        paths: The run.
        host: Name of this machine.
    """
    watch = _Stopwatch()
    reader, read = LineReader(paths.journal), 0
    recipe = read_recipe(paths)
    if recipe is None:
        return None
    watch.split = recipe.evaluation.split
    while read < JOURNAL_BYTES and (lines := reader.poll()):
        read += sum(map(len, lines))
        for line in lines:
            if any(word in line[:120] for word in LONG_LINES):
                continue
            event = from_line(line)
            if isinstance(event.what, RunStarted) and event.what.host != host:
                return None
            watch.take(event)
    return watch.pace


@dataclass
class _Stopwatch:
    """Adds up the times of journal events."""

    pace: Pace = field(default_factory=Pace)
    split: str = ""
    _at: tuple[int, int, float] | None = None
    """Round, step and time of an event from which training went on without a break."""
    _round: tuple[int, float, float] | None = None
    """Number and start of a round that has had no break, and the seconds of it that are accounted for."""
    _started: float | None = None
    _paused: bool = False

    def take(self, event: Event) -> None:
        """Counts one event."""
        if math.isfinite(event.time) and not isinstance(event.what, Unknown):
            self._take(event.what, event.time)

    def _take(self, what: Happening, time: float) -> None:
        match what:
            case RunStarted():
                self._at, self._round, self._started, self._paused = None, None, None if what.resumed else time, False
                self.pace += Pace(device=what.device, threads=what.threads)
            case DataLoaded(split=self.split):
                self.pace += Pace(split_rows=what.rows)
            case RoundStarted():
                if self._started is not None:
                    self.pace += Pace(starts=1, start_s=max(0.0, time - self._started))
                self._at, self._round, self._started, self._paused = (what.round, 0, time), (what.round, time, 0.0), None, False
            case Pruned() | Rewound():  # no step has been made yet
                self._at = (what.round, 0, time)
            case Step():  # not CheckpointSaved: it may come when the training is steps ahead of it
                self._paused = False  # the evaluation to come has begun after the pause
                self._trained(what.round, what.step, time)
            case Evaluated() | Validated() | EncoderOffMeasured():
                self._scored(what, time)
            case Paused():
                self._at, self._round, self._paused = None, None, True
            case Resumed():
                self._at = (what.round, what.step, time)
            case RoundFinished():
                self._finished(what, time)
            case _:
                pass

    def _trained(self, number: int, step: int, time: float) -> None:
        if self._at is not None and self._at[0] == number and step >= self._at[1] and time >= self._at[2]:
            seconds = time - self._at[2]
            if step > self._at[1]:
                self.pace += Pace(steps=step - self._at[1], step_s=seconds)
                self._account(seconds)
        self._at = (number, step, time)

    def _scored(self, what: Evaluated | Validated | EncoderOffMeasured, time: float) -> None:
        if not self._paused and 0 < what.seconds < math.inf:
            # Steps since the last event about them belong to training, though none was told of before this measurement.
            self._trained(what.round, what.step, time - what.seconds)
            self.pace += Pace(rows=1 if isinstance(what, Validated) else what.rows, rows_s=what.seconds)
            self._account(what.seconds)
        self._at, self._paused = (what.round, what.step, time), False

    def _account(self, seconds: float) -> None:
        if self._round is not None:
            self._round = (self._round[0], self._round[1], self._round[2] + seconds)

    def _finished(self, what: RoundFinished, time: float) -> None:
        if self._round is not None and self._round[0] == what.round:
            _, began, accounted = self._round
            self.pace += Pace(rounds=1, other_s=max(0.0, time - began - accounted))
        self._at = self._round = None


def read_recipe(paths: RunPaths) -> Recipe | None:
    """The recipe of a run, or None where it cannot be read."""
    try:
        return load_recipe(paths.recipe)
    except RecipeError:
        return None
