"""How long a run will take, from what earlier runs took on this machine; where none can be compared, that is the answer.

Reads recipes and journals, no weights, and no more of them than `MOST_RUNS`. A run can be compared if it has the same kind,
model, data, lengths, batch size, device, processes, threads and precision, and was made on this host. Torch-free.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..recipe import NEW_MODEL, Recipe, with_todays_defaults
from ..run.folder import RunPaths, run_folders
from .pace import JOURNAL_BYTES, Pace, measure, read_recipe

MOST_RUNS = 200
"""How many recipes are looked at, newest first."""
ENOUGH = 3
"""How many runs that can be compared are counted together."""


@dataclass(frozen=True)
class Estimate:
    """How long a run will take."""

    runs: tuple[str, ...]
    """Names of the runs that it is estimated from, newest first."""
    pace: Pace
    training_s: float
    evaluation_s: float | None
    """Seconds for evaluation; None where no run evaluated in the same way."""
    other_s: float
    """Seconds for starting, pruning and saving."""
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
        self.host = host or socket.gethostname()
        """Name of this machine."""
        self._recipes: dict[tuple[Path, int], Recipe | None] = {}
        self._paces: dict[tuple[Path, int], Pace | None] = {}

    def estimate(self, recipe: Recipe) -> Estimate | None:
        """How long a run will take, or None where no run can be compared.

        Args:
            recipe: With absolute paths, as run folders have them.
        """
        earlier: list[tuple[str, Recipe, Pace]] = []
        for paths, other in self._alike(recipe):
            pace = self._pace(paths)
            if pace is not None and pace.steps_per_s and (pace.device == "cpu" or _precisions(other) == _precisions(recipe)):
                earlier.append((paths.name, other, pace))
            if len(earlier) == ENOUGH:
                break
        if not earlier:
            return None
        pace = Pace()
        for _, other, each in earlier:
            pace += each if _searches(other, each) == _searches(recipe, each) else _without_evaluation(each, recipe, other)
        return predict(recipe, tuple(name for name, _, _ in earlier), pace)

    def _alike(self, recipe: Recipe) -> Iterator[tuple[RunPaths, Recipe]]:
        trained = _trains(recipe)
        dated = sorted(((_mtime(paths.recipe), paths) for paths in run_folders(self._checkpoints)), key=lambda pair: -pair[0])
        for mtime, paths in dated[:MOST_RUNS]:
            key = (paths.root, mtime)
            if key not in self._recipes:
                self._recipes[key] = read_recipe(paths)
            other = self._recipes[key]
            if other is not None and _trains(other) == trained:
                yield paths, other

    def _pace(self, paths: RunPaths) -> Pace | None:
        size = _size(paths.journal)
        key = (paths.root, min(size, JOURNAL_BYTES))
        if key not in self._paces:
            self._paces[key] = measure(paths, self.host)
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
    times += 1  # the dense model once more with its encoder off
    rows = recipe.evaluation.rows
    if rows == 0 and not split_rows:
        return None
    return times * (min(rows, split_rows) if rows and split_rows else rows or split_rows)


def _trains(recipe: Recipe) -> tuple[object, ...]:
    """What the time of a step depends on."""
    recipe = with_todays_defaults(recipe)
    model, data, training = recipe.model, recipe.data, recipe.training
    return (
        recipe.kind,
        _place(model.path) if model.path != NEW_MODEL else recipe.architecture,
        _place(data.path),
        (data.source_length, data.target_length, data.shortest_comment),
        (training.batch_size, training.device, training.processes, training.threads, training.precision, training.compile),
        recipe.pretraining.objective if recipe.kind == "pretrain" else "",
    )


def _precisions(recipe: Recipe) -> tuple[object, ...]:
    """What `_trains` leaves open, for on the CPU "auto" is fp32, and what it does not name, for it matters on a GPU alone."""
    return recipe.training.precision, recipe.training.tf32


def _searches(recipe: Recipe, pace: Pace) -> tuple[object, ...]:
    """What the time of a scored row depends on, on the device of a pace."""
    evaluation = (with_todays_defaults(recipe) if pace.device == "cpu" else recipe).evaluation
    search = evaluation.split, evaluation.beam, evaluation.max_length, evaluation.length_penalty, evaluation.batch_size
    return (*search, evaluation.precision)


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
