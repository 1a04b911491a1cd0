"""The runs that are compared, and what chart and table show of them: pure functions from results.

Knows neither Textual nor files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.run.exchange import PLAIN
from core.run.folder import RunInfo, State
from core.run.results import ENCODER_OFF, FLOORS, LEADING, SEMANTIC, TITLES, Result
from core.run.rowsets import by_rows, mixed, telling

from .frontier import frontier
from .plain import plain
from .seed_means import Mean

NEWEST = 4
"""Number of runs that are compared before the user marks others."""
MOST = 8
"""Most runs that can be compared: more curves could not be told apart."""
MEGABYTE = 1e6
CAUTIONS = {"corpus_bleu": "Corpus BLEU is not reliable below 5 points of difference (Roy et al. 2021)."}
"""Measure -> how far it can be trusted."""

Results = Mapping[str, tuple[Result, ...]]
"""Run -> its complete rounds, in the order in which the runs were marked."""


@dataclass(frozen=True)
class Axis:
    """A horizontal axis."""

    title: str
    value: Callable[[Result], float | None]
    whole: bool = False
    """Whether only whole numbers belong on it."""
    cost: bool = False
    """Whether less is better, so that there is a frontier."""


AXES: dict[str, Axis] = {
    "sparsity": Axis("sparsity %", lambda result: 100 * result.sparsity),
    "round": Axis("round", lambda result: float(result.round), whole=True),
    "size": Axis("size MB", lambda result: None if result.size_bytes is None else result.size_bytes / MEGABYTE, cost=True),
    "comment": Axis("ms per comment", lambda result: result.ms_per_row, cost=True),
    "latency": Axis("ms per token", lambda result: result.ms_per_token, cost=True),
}


@dataclass(frozen=True)
class Curve:
    """One run."""

    run: str
    points: tuple[tuple[float, float], ...]
    """(horizontal, score), by round."""
    spread: tuple[tuple[float, float, float], ...] = ()
    """(horizontal, lowest, highest) of a curve of several seeds, where they are more than one."""
    method: str = ""
    """How it prunes, as far as the other curves prune in another way."""

    def label(self, longest: int) -> str:
        """Its name, and what the name does not say of its method.

        Args:
            longest: Most characters of the name; 0 for the method alone, where there is one.
        """
        name = plain(self.run, longest) if longest or not self.method else ""
        new = "" if all(word in name for word in self.method.split(", ")) else self.method
        return f"{name} ({new})" if name and new else name or new


DENSE = "dense"


@dataclass(frozen=True)
class Level:
    """A score that curves are compared with, and its curves."""

    name: str
    """`DENSE`, `ENCODER_OFF` or one of `FLOORS`."""
    score: float
    curves: tuple[int, ...]
    """Places of the curves that it belongs to: of the runs with this dense score, or those scored on the rows of this floor."""

    @property
    def label(self) -> str:
        """Its name in words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Picture:
    """All that the chart draws."""

    title: str
    curves: tuple[Curve, ...]
    levels: tuple[Level, ...]
    """Dense scores and floors, group of rows by group of rows."""
    note: str
    """A caution for the reader; "" if there is none."""
    whole: bool
    frontier: tuple[tuple[float, float], ...] = ()
    """(horizontal, score) of the models that no other one beats in both, where the horizontal axis is a cost."""

    @property
    def floors(self) -> tuple[Level, ...]:
        """The levels that are floors."""
        return tuple(level for level in self.levels if level.name != DENSE)

    @property
    def dense(self) -> tuple[Level, ...]:
        """The levels that are scores of dense models."""
        return tuple(level for level in self.levels if level.name == DENSE)

    @property
    def shares_floors(self) -> bool:
        """Whether all curves are held against the same floors."""
        return len({level.curves for level in self.floors}) <= 1


def default_marks(infos: Sequence[RunInfo]) -> list[str]:
    """Names of the newest lottery runs that have a complete round, or once had all of them.

    Args:
        infos: All runs, newest first.
    """
    return [info.paths.name for info in infos if info.kind == "lottery" and _has_results(info)][:NEWEST]


def _has_results(info: RunInfo) -> bool:
    return info.round >= 0 or info.state is State.DONE


def dense(rounds: Sequence[Result], measure: str) -> float | None:
    """The score of a run's dense model."""
    return next((result.scores.get(measure) for result in rounds if result.round == 0), None)


def picture(results: Results, axis: Axis, measure: str, methods: Mapping[str, str] | None = None) -> Picture:
    """What the chart draws.

    Args:
        results: The runs.
        axis: What lies along the horizontal axis.
        measure: One of `results.TITLES`.
        methods: Run -> how it prunes, as far as the runs differ in it.
    """
    curves = []
    for run, rounds in results.items():
        places = [(axis.value(result), result.scores.get(measure)) for result in rounds]
        points = tuple((x, y) for x, y in places if x is not None and y is not None)
        member = next((each.runs[0] for each in rounds if isinstance(each, Mean)), run)
        curves.append(Curve(run, points, _spread(rounds, axis, measure), (methods or {}).get(member, "")))
    levels = tuple(level for runs in by_rows(results) for level in _levels(results, runs, measure))
    title, note = f"{TITLES[measure]} by {axis.title}", _note(results, axis, curves, measure)
    return Picture(title, tuple(curves), levels, note, axis.whole, tuple(on_frontier(results, axis, measure).values()))


def on_frontier(results: Results, axis: Axis, measure: str) -> dict[tuple[str, int], tuple[float, float]]:
    """The models that no other one beats in both cost and score: (run, round) -> (cost, score), the cheapest first.

    Args:
        results: The runs.
        axis: The cost; there is no frontier along other axes.
        measure: One of `results.TITLES`.
    """
    every = [(each, axis.value(each), each.scores.get(measure)) for rounds in results.values() for each in rounds]
    if not axis.cost or len(by_rows(results)) > 1 or _timed_differently(results, axis):
        return {}
    points = {(each.run, each.round): (x, y) for each, x, y in every if x is not None and y is not None}
    return {name: points[name] for name in frontier(points)}


def _levels(results: Results, runs: Sequence[str], measure: str) -> list[Level]:
    """Dense scores and floors of runs that share their rows."""
    places = {run: place for place, run in enumerate(results)}
    dense_scores: dict[float, list[int]] = {}
    without: dict[float, list[int]] = {}  # each model has its own score with its encoder off
    floors: dict[str, tuple[float, list[int]]] = {}
    for run in runs:
        if (score := dense(results[run], measure)) is not None and results[run][0].quantizer in ("", PLAIN):
            dense_scores.setdefault(round(score, 6), []).append(places[run])
        result = telling(results[run])
        if result is not None and (off := result.floors.get(ENCODER_OFF, {}).get(measure)) is not None:
            without.setdefault(round(off, 6), []).append(places[run])
        for name, floor in (result.floors_of(measure) if result else {}).items():
            floors.setdefault(name, (floor, []))[1].append(places[run])
    levels = [Level(DENSE, score, tuple(curves)) for score, curves in dense_scores.items()]
    levels += [Level(ENCODER_OFF, score, tuple(curves)) for score, curves in without.items()]
    return levels + [Level(name, floors[name][0], tuple(floors[name][1])) for name in FLOORS if name in floors]


def _spread(rounds: Sequence[Result], axis: Axis, measure: str) -> tuple[tuple[float, float, float], ...]:
    whiskers = []
    for each in rounds:
        x = axis.value(each)
        if isinstance(each, Mean) and x is not None and measure in each.deviation:
            whiskers.append((x, each.low[measure], each.high[measure]))
    return tuple(whiskers)


def _note(results: Results, axis: Axis, curves: Sequence[Curve], measure: str) -> str:
    within = [run for run, rounds in results.items() if mixed(rounds)]
    if within:
        return f"Rounds of one run were scored on different rows, and do not compare: {', '.join(within)}."
    if len(by_rows(results)) > 1:
        return "Scored on different rows: each run against its own floors, in its colour."
    if settings := _timed_differently(results, axis):
        return f"Times from different settings do not compare: {'; '.join(settings)}."
    lost = {run: sum(result.left_out for result in rounds) for run, rounds in results.items()}
    if named := [f"{number} of {run}" for run, number in lost.items() if number]:
        return f"Scores that are no numbers are left out: {', '.join(named)}."
    empty = [curve.run for curve in curves if not curve.points and results[curve.run]]
    if unsaved := [run for run in empty if results[run][0].quantizer]:
        return f"{', '.join(unsaved)} cannot be drawn: no folder can hold such a model, so it has no size."
    if empty:
        return f"{', '.join(empty)} cannot be drawn: an older version wrote them."
    embedders = {text for rounds in results.values() for result in rounds if (text := result.signatures.get(SEMANTIC))}
    if measure == SEMANTIC and len(embedders) > 1:
        return "Similarities by different embedders do not compare."
    return CAUTIONS.get(measure, "")


def _timed_differently(results: Results, axis: Axis) -> list[str]:
    """The settings of times along an axis, where they are not all the same."""
    if axis not in (AXES["latency"], AXES["comment"]):
        return []
    settings = {result.decoded_on for rounds in results.values() for result in rounds if result.decoded_on}
    return sorted(settings) if len(settings) > 1 else []


@dataclass(frozen=True)
class Column:
    """A column of the table that can be sorted by."""

    title: str
    value: Callable[[Result, float | None], float | str | None]
    """From a result and its run's dense chrF; None sorts last."""


COLUMNS: dict[str, Column] = {
    "run": Column("run", lambda result, _: result.run),
    "round": Column("round", lambda result, _: result.round),
    "sparsity": Column("sparsity", lambda result, _: result.sparsity),
    "chrf": Column("chrF", lambda result, _: result.scores.get("chrf")),
    "diff": Column("Δ dense", lambda result, dense: change(result, dense)),
    "over": Column("Δ floor", lambda result, _: over_floor(result)),
    "bleu": Column("BLEU", lambda result, _: result.scores.get("bleu")),
    "corpus_bleu": Column("corpus", lambda result, _: result.scores.get("corpus_bleu")),
    "semantic": Column("semantic", lambda result, _: result.scores.get("semantic")),
    "size": Column("MB", lambda result, _: result.size_bytes),
    "latency": Column("ms each", lambda result, _: result.ms_per_row),
}


def change(result: Result, dense_chrf: float | None) -> float | None:
    """ChrF minus that of the run's dense model; None for the dense model itself, and where one is not known."""
    if isinstance(result, Mean):
        return result.changed
    if result.quantizer:
        return less.value if (less := result.against_dense.get(LEADING)) is not None else None
    chrf = result.scores.get(LEADING)
    return None if chrf is None or dense_chrf is None or result.round == 0 else chrf - dense_chrf


def highest_floor(result: Result, measure: str) -> tuple[str, float] | None:
    """The highest floor on a result's own rows, with its name; None where no floor is known.

    Args:
        result: The result.
        measure: One of `results.TITLES`.
    """
    return max(result.floors_of(measure).items(), key=lambda floor: floor[1], default=None)


def over_floor(result: Result) -> float | None:
    """ChrF minus the highest floor on the same rows; None where one of them is not known."""
    chrf, floor = result.scores.get(LEADING), highest_floor(result, LEADING)
    return None if chrf is None or floor is None else chrf - floor[1]


def has_semantic(results: Results) -> bool:
    """Whether any of the runs has an embedder."""
    return any(SEMANTIC in result.scores for rounds in results.values() for result in rounds)


def in_order(results: Results, column: str, down: bool) -> list[Result]:
    """All rounds of all runs, sorted; equal ones keep the order of runs and rounds, and what is not known comes last.

    Args:
        results: The runs.
        column: One of `COLUMNS`.
        down: Largest first.
    """
    rounds = [(result, COLUMNS[column].value(result, dense(of_run, LEADING))) for of_run in results.values() for result in of_run]
    known = [entry for entry in rounds if entry[1] is not None]
    known.sort(key=lambda entry: entry[1], reverse=down)  # type: ignore[arg-type,return-value]  # None is left out, a column has one type
    return [result for result, _ in known] + [result for result, value in rounds if value is None]
