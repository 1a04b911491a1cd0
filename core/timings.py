"""How long a run will take, from what earlier runs took on this machine; where none can be compared, that is the answer.

Reads recipes and journals, no weights, and no more of them than `MOST_RUNS` and `JOURNAL_BYTES`. A run can be compared if it has
the same kind, model, data, lengths, batch size, device, threads and precision, and was made on this host. Torch-free.
"""

import math
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import RecipeError
from .events import (
    CheckpointSaved,
    DataLoaded,
    Evaluated,
    Event,
    Happening,
    Paused,
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
from .journal import LineReader
from .recipe import NEW_MODEL, Recipe, load_recipe
from .runs import RunPaths, run_folders

MOST_RUNS = 200
"""How many recipes are looked at, newest first."""
ENOUGH = 3
"""How many runs that can be compared are counted together."""
JOURNAL_BYTES = 8 * 1024 * 1024
"""How much of a journal is read: rates are the same after that."""
LONG_LINES = (b'"event": "matrix"', b'"event": "evaluating"', b'"event": "floors"', b'"event": "pruned"')
"""Events that say nothing of time, and make up most of a journal."""


@dataclass(frozen=True)
class Pace:
    """What earlier runs took, added up. Seconds are of the wall clock; pauses and what was cut off are left out."""

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


@dataclass(frozen=True)
class Estimate:
    """How long a run will take."""

    runs: tuple[str, ...]
    """Names of the runs it is told from, newest first."""
    pace: Pace
    training_s: float
    evaluation_s: float | None
    """None where no run evaluated in the same way."""
    other_s: float
    """Starting, pruning, saving."""
    at_most: bool
    """Whether a round may end sooner, or need one evaluation less: that is up to its measurements."""

    @property
    def total_s(self) -> float | None:
        """All of it, or None where a part was not measured."""
        return None if self.evaluation_s is None else self.training_s + self.evaluation_s + self.other_s


class Timings:
    """Looks for runs that can be compared; remembers what it has read. One thread at a time.

    Args:
        checkpoints: Folder of all runs.
        host: Name of this machine.
    """

    def __init__(self, checkpoints: Path, host: str | None = None) -> None:
        self._checkpoints = checkpoints
        self._host = host or socket.gethostname()
        self._recipes: dict[tuple[Path, int], Recipe | None] = {}
        self._paces: dict[tuple[Path, int], Pace | None] = {}

    def estimate(self, recipe: Recipe) -> Estimate | None:
        """How long a run will take, or None where no run can be compared.

        Args:
            recipe: With absolute paths, as run folders have them.
        """
        found: list[tuple[str, Recipe, Pace]] = []
        for paths, other in self._alike(recipe):
            pace = self._pace(paths)
            if pace is not None and pace.steps:
                found.append((paths.name, other, pace))
            if len(found) == ENOUGH:
                break
        if not found:
            return None
        pace = Pace()
        for _, other, each in found:
            pace += each if _searches(other) == _searches(recipe) else _without_evaluation(each, recipe, other)
        return predict(recipe, tuple(name for name, _, _ in found), pace)

    def _alike(self, recipe: Recipe) -> Iterator[tuple[RunPaths, Recipe]]:
        wanted = _trains(recipe)
        dated = sorted(((_mtime(paths.recipe), paths) for paths in run_folders(self._checkpoints)), key=lambda pair: -pair[0])
        for mtime, paths in dated[:MOST_RUNS]:
            key = (paths.root, mtime)
            if key not in self._recipes:
                self._recipes[key] = _recipe(paths)
            other = self._recipes[key]
            if other is not None and _trains(other) == wanted:
                yield paths, other

    def _pace(self, paths: RunPaths) -> Pace | None:
        size = _size(paths.journal)
        key = (paths.root, min(size, JOURNAL_BYTES))
        if key not in self._paces:
            self._paces[key] = measure(paths, self._host)
        return self._paces[key]


def predict(recipe: Recipe, runs: tuple[str, ...], pace: Pace) -> Estimate:
    """Applies a pace to a recipe.

    Args:
        recipe: What is to be done.
        runs: Names of the runs that the pace is from.
        pace: With at least one step.
    """
    trained = trained_rounds(recipe)
    rows = evaluated_rows(recipe, pace.split_rows)
    evaluation_s = rows / pace.rows_per_s if rows is not None and pace.rows_per_s else None
    other = (recipe.rounds + 1) * pace.other_s / pace.rounds if pace.rounds else 0.0
    other += pace.start_s / pace.starts if pace.starts else 0.0
    at_most = recipe.picker.every > 0 and recipe.kind != "pretrain"
    return Estimate(runs, pace, trained * recipe.training.steps / pace.steps_per_s, evaluation_s, other, at_most)


def trained_rounds(recipe: Recipe) -> int:
    """Rounds in which anything is trained."""
    given = recipe.kind == "lottery" and recipe.order == "prune-first"
    return recipe.rounds if given else recipe.rounds + 1


def evaluated_rows(recipe: Recipe, split_rows: int) -> int | None:
    """Rows that a run scores at most, each as often as it is scored; None where the size of the split is needed and not known.

    Args:
        recipe: What is to be done.
        split_rows: Rows of the split; 0 = not known.

    Returns:
        Rows; in pre-training, measurements.
    """
    steps, every = recipe.training.steps, recipe.picker.every
    measured = steps // every if every else 0
    known = measured > 0 and steps % every == 0
    if recipe.kind == "pretrain":
        return measured if known else measured + 1
    # The picked weights are scored again unless they were the ones measured last.
    each = measured if known and recipe.picker.rule == "last" else measured + 1
    times = trained_rounds(recipe) * each + (recipe.rounds + 1 - trained_rounds(recipe))
    rows = recipe.evaluation.rows
    if rows == 0 and not split_rows:
        return None
    return times * (min(rows, split_rows) if rows and split_rows else rows or split_rows)


def measure(paths: RunPaths, host: str) -> Pace | None:
    """What a run took, from its journal; None where it was made elsewhere.

    Args:
        paths: The run.
        host: Name of this machine.
    """
    watch = _Stopwatch()
    reader, read = LineReader(paths.journal), 0
    recipe = _recipe(paths)
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
    """Adds up what journal events say of time."""

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
            case Rewound():
                self._at = (what.round, 0, time)
            case Step() | CheckpointSaved():
                self._trained(what.round, what.step, time)
            case Evaluated() | Validated():
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
            # A checkpoint after the last step is part of the round's end, which is counted with the rest.
            if step > self._at[1]:
                self.pace += Pace(steps=step - self._at[1], step_s=seconds)
                self._account(seconds)
        self._at = (number, step, time)

    def _scored(self, what: Evaluated | Validated, time: float) -> None:
        if not self._paused and 0 < what.seconds < math.inf:
            # Steps since the last event about them belong to training, though none was told of before this measurement.
            self._trained(what.round, what.step, time - what.seconds)
            self.pace += Pace(rows=what.rows if isinstance(what, Evaluated) else 1, rows_s=what.seconds)
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


def _trains(recipe: Recipe) -> tuple[object, ...]:
    """What the time of a step depends on."""
    model, data, training = recipe.model, recipe.data, recipe.training
    return (
        recipe.kind,
        _place(model.path) if model.path != NEW_MODEL else recipe.architecture,
        _place(data.path),
        (data.source_length, data.target_length, data.shortest_comment),
        (training.batch_size, training.device, training.threads, training.precision),
        recipe.pretraining.objective if recipe.kind == "pretrain" else "",
    )


def _searches(recipe: Recipe) -> tuple[object, ...]:
    """What the time of a scored row depends on."""
    asked = recipe.evaluation
    return asked.split, asked.beam, asked.max_length, asked.length_penalty, asked.batch_size


def _without_evaluation(pace: Pace, recipe: Recipe, other: Recipe) -> Pace:
    """A pace of a run that evaluated otherwise; pre-training does not search at all."""
    if recipe.kind == "pretrain":
        return pace
    rows = pace.split_rows if other.evaluation.split == recipe.evaluation.split else 0
    return Pace(pace.steps, pace.step_s, 0, 0.0, pace.rounds, pace.other_s, pace.starts, pace.start_s, rows, pace.device)


def _place(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a name with a NUL in it is nowhere
        return path


def _recipe(paths: RunPaths) -> Recipe | None:
    try:
        return load_recipe(paths.recipe)
    except RecipeError:
        return None


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
