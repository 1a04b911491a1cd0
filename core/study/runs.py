"""Reads run folders for a report and groups them into curves, with their comments and their gaps.

Runs whose recipes differ only in their seed are seeds of one curve. Everything is read from the folders and nothing from the
machine: a copy elsewhere gives the same study. Reads no weights. Knows neither charts nor pages.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

from ..errors import RecipeError, RunError
from ..recipe import Recipe, load_recipe, to_toml
from ..regularfile import read_facts, real
from ..run.events import Pruned, Warned
from ..run.folder import RunPaths, is_run, run_folders
from ..run.journal import read_journal
from ..run.predictions import Prediction, read_predictions, tally_of
from ..run.results import Result, ResultsReader
from ..score.metrics import name_prediction
from ..score.tally import Tally, tally
from .experiments import CURVES, curve_of, without_seed

Level = int
"""Sparsity in whole percent: rounds of different runs with equal levels are compared."""


@dataclass(frozen=True)
class Run:
    """One run folder."""

    name: str
    recipe: Recipe | None
    """The run's recipe; None where it cannot be read."""
    results: tuple[Result, ...]
    """Complete rounds, ascending."""
    predictions: Mapping[int, tuple[Prediction, ...]]
    """Round -> its comments; rounds without any are missing."""
    matrices: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Round -> matrix -> sparsity, from the journal."""
    warnings: tuple[str, ...] = ()
    meta: Mapping[str, object] = field(default_factory=dict)
    """The entries of `meta.json`: versions, device, digests."""
    paths: RunPaths | None = None
    """The folder with its masks; None for runs made up."""

    @property
    def seed(self) -> int:
        """The seed of its training; 0 where the recipe cannot be read."""
        return self.recipe.training.seed if self.recipe else 0

    @property
    def is_complete(self) -> bool:
        """Whether all rounds that were asked for are there."""
        return self.recipe is None or len(self.results) > self.recipe.rounds

    @property
    def notes(self) -> tuple[str, ...]:
        """The gaps of the run, in sentences."""
        lines = []
        if self.recipe is None:
            lines.append("Its recipe cannot be read.")
        if not self.results:
            lines.append("No round is complete.")
        elif not self.is_complete and self.recipe:
            lines.append(f"Only {len(self.results)} of {self.recipe.rounds + 1} rounds are complete.")
        lost = [str(result.round) for result in self.results if result.round not in self.predictions]
        if lost:
            lines.append(f"The comments of these rounds are missing or damaged: {', '.join(lost)}.")
        return tuple(lines)

    @cached_property
    def tallies(self) -> dict[Level, Tally]:
        """The counts of every round whose comments are there; the first round of a level counts."""
        by_level: dict[Level, Tally] = {}
        for result in self.results:
            rows = self.predictions.get(result.round)
            if rows and level_of(result.sparsity) not in by_level:
                by_level[level_of(result.sparsity)] = tally_of(rows)
        return by_level

    @property
    def rows(self) -> tuple[tuple[int, str], ...]:
        """Which rows were scored: place and reference of each; empty where no comments are there."""
        first = next(iter(self.predictions.values()), ())
        return tuple((row.index, row.reference) for row in first)


@dataclass(frozen=True)
class Group:
    """The seeds of one curve."""

    key: str
    """The curve's name, or that of its first run."""
    title: str
    runs: tuple[Run, ...]
    """The runs, by seed, then name."""
    curve: str | None
    """One of `experiments.CURVES`."""

    @property
    def compared(self) -> tuple[Run, ...]:
        """The runs that comparisons use: the complete ones with comments, or where there are none, those with comments."""
        with_comments = [run for run in self.runs if run.predictions]
        return tuple([run for run in with_comments if run.is_complete] or with_comments)

    @property
    def levels(self) -> list[Level]:
        """Sparsities that any of its runs has, ascending."""
        return sorted({level_of(result.sparsity) for run in self.runs for result in run.results})


@dataclass(frozen=True)
class Study:
    """All runs of a report."""

    groups: tuple[Group, ...]

    def of_curve(self, curve: str) -> Group | None:
        """The group of a curve: where runs of several sizes are of one curve, the one with most runs."""
        groups_of_curve = [group for group in self.groups if group.curve == curve]
        return max(groups_of_curve, key=lambda group: len(group.compared), default=None)

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(run for group in self.groups for run in group.runs)


def level_of(sparsity: float) -> Level:
    """Sparsity in whole percent."""
    return round(100 * sparsity)


def find_runs(places: Iterable[Path]) -> list[RunPaths]:
    """The runs at some places.

    Args:
        places: Run folders, or folders of run folders.

    Returns:
        Each run once.

    Raises:
        RunError: One of the places is neither a run nor a folder of runs.
    """
    by_folder: dict[Path, RunPaths] = {}
    for place in places:
        runs = [RunPaths(place)] if is_run(place) else run_folders(place)
        if not runs:
            raise RunError(f"{place} is no run, and no folder of runs.", "Give run folders, or the folder that they are in.")
        by_folder |= {real(run.root): RunPaths(real(run.root)) for run in runs}
    return list(by_folder.values())


def read_study(runs: Iterable[RunPaths]) -> Study:
    """Reads run folders and groups them.

    Args:
        runs: The folders.

    Returns:
        Groups in the order of `experiments.CURVES`, then others by name; the order of the folders does not matter.
    """
    return group(sorted((read_run(paths) for paths in runs), key=lambda run: (run.seed, run.name)))


def read_run(paths: RunPaths) -> Run:
    """Reads one run folder; missing or damaged parts are missing in the result."""
    try:
        recipe = load_recipe(paths.recipe)
    except RecipeError:
        recipe = None
    results = ResultsReader(paths).poll()
    comments = {result.round: read_predictions(paths.round(result.round) / "predictions.jsonl") for result in results}
    events = [event.what for event in read_journal(paths.journal)] if os.path.lexists(paths.journal) else []
    return Run(
        paths.name,
        recipe,
        results,
        {number: rows for number, rows in comments.items() if rows},
        {what.round: _shares(what.matrices) for what in events if isinstance(what, Pruned)},
        tuple(dict.fromkeys(what.message for what in events if isinstance(what, Warned))),
        _meta(paths.meta),
        paths,
    )


def _shares(matrices: Mapping[str, float]) -> Mapping[str, float]:
    """The sparsities that can be; no NaN is in that range."""
    return {name: share for name, share in matrices.items() if 0 <= share <= 1}


def _meta(path: Path) -> Mapping[str, object]:
    try:
        return read_facts(path)
    except OSError:
        return {}


def group(runs: Sequence[Run]) -> Study:
    """Puts seeds of one curve together: runs whose recipes differ only in seed and machine."""
    by_curve: dict[str, list[Run]] = {}
    for run in runs:
        by_curve.setdefault(_without_seed(run), []).append(run)
    curves = [curve_of(members[0].recipe) if members[0].recipe else None for members in by_curve.values()]
    groups = []
    for members, curve in zip(by_curve.values(), curves, strict=True):
        alone = curve is not None and curves.count(curve) == 1
        first = min(run.name for run in members)
        title = first if curve is None else CURVES[curve].title + ("" if alone else f" ({first})")
        groups.append(Group(curve if curve and alone else first, title, tuple(members), curve))
    places = list(CURVES)
    return Study(tuple(sorted(groups, key=lambda g: (places.index(g.curve) if g.curve else len(places), g.key))))


def _without_seed(run: Run) -> str:
    """A key that runs of one curve share; a run without a recipe has its own."""
    if run.recipe is None:
        return f"run:{run.name}"
    return without_seed(run.recipe)


def shown_recipe(recipe: Recipe) -> str:
    """A recipe as TOML whose paths do not tell where on a machine it ran."""
    data = recipe.data.model_copy(update={key: _short(getattr(recipe.data, key)) for key in ("path", "code")})
    model = recipe.model.model_copy(update={"path": _short(recipe.model.path)})
    evaluation = recipe.evaluation.model_copy(update={"embedder": _short(recipe.evaluation.embedder)})
    return to_toml(recipe.model_copy(update={"data": data, "model": model, "evaluation": evaluation}))


def _short(path: str) -> str:
    """The last two parts of an absolute path, others as they are."""
    return "/".join(PurePath(path).parts[-2:]) if PurePath(path).is_absolute() else path


def floors_of(rows: Sequence[Prediction], constant: str) -> dict[str, Tally]:
    """The counts of the programs that read no code, on the rows of an evaluation: "name" and "constant"."""
    references = [row.reference for row in rows]
    names = [name_prediction(row.name) for row in rows]
    return {"name": tally(names, references), "constant": tally([constant] * len(rows), references)}
