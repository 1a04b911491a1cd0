"""Which runs are compared, and what is drawn and listed of them: pure functions from results.

Knows neither Textual nor files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.results import FLOORS, MEASURES, Result
from core.runs import RunInfo, State

from .seeds import Mean

NEWEST = 4
"""How many runs are compared before somebody marks others."""
MOST = 8
"""More curves than this cannot be told apart."""
MEGABYTE = 1e6

Results = Mapping[str, tuple[Result, ...]]
"""Run -> its complete rounds, in the order in which the runs were marked."""


@dataclass(frozen=True)
class Axis:
    """What lies along the horizontal axis."""

    title: str
    value: Callable[[Result], float | None]
    whole: bool = False
    """Whether only whole numbers belong on it."""


AXES: dict[str, Axis] = {
    "sparsity": Axis("sparsity %", lambda found: 100 * found.sparsity),
    "round": Axis("round", lambda found: float(found.round), whole=True),
    "size": Axis("size MB", lambda found: None if found.size_bytes is None else found.size_bytes / MEGABYTE),
    "latency": Axis("ms per token", lambda found: found.ms_per_token),
}


@dataclass(frozen=True)
class Curve:
    """One run."""

    run: str
    points: tuple[tuple[float, float], ...]
    """(horizontal, score), by round."""
    spread: tuple[tuple[float, float, float], ...] = ()
    """(horizontal, lowest, highest) of a curve of several seeds, where they are more than one."""


@dataclass(frozen=True)
class Picture:
    """All that the chart draws."""

    title: str
    curves: tuple[Curve, ...]
    levels: tuple[tuple[str, float | None], ...]
    """"dense", "name" and "constant" with their scores, and "encoder_off" where it was measured: where runs differ, the best
    dense model and the highest floors."""
    note: str
    """What to mind; "" where there is nothing."""
    whole: bool


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
    return next((found.scores.get(measure) for found in rounds if found.round == 0), None)


def picture(results: Results, axis: Axis, measure: str) -> Picture:
    """What the chart draws.

    Args:
        results: The runs.
        axis: What lies along the horizontal axis.
        measure: One of `MEASURES`.
    """
    curves = []
    for run, rounds in results.items():
        places = [(axis.value(found), found.scores.get(measure)) for found in rounds]
        points = tuple((x, y) for x, y in places if x is not None and y is not None)
        curves.append(Curve(run, points, _spread(rounds, axis, measure)))
    denses = [score for rounds in results.values() if (score := dense(rounds, measure)) is not None]
    levels: list[tuple[str, float | None]] = [("dense", max(denses, default=None))]
    levels += [(floor, max(_floors(results, floor, measure), default=None)) for floor in FLOORS[:2]]
    levels += [("encoder_off", max(off)) for off in [_floors(results, "encoder_off", measure)] if off]
    return Picture(f"{MEASURES[measure]} by {axis.title}", tuple(curves), tuple(levels), _note(results, axis, curves), axis.whole)


def _spread(rounds: Sequence[Result], axis: Axis, measure: str) -> tuple[tuple[float, float, float], ...]:
    found = []
    for each in rounds:
        x = axis.value(each)
        if isinstance(each, Mean) and x is not None and measure in each.deviation:
            found.append((x, each.low[measure], each.high[measure]))
    return tuple(found)


def _floors(results: Results, floor: str, measure: str) -> list[float]:
    found = [found.floors.get(floor, {}).get(measure) for rounds in results.values() for found in rounds]
    return [score for score in found if score is not None]


def _note(results: Results, axis: Axis, curves: Sequence[Curve]) -> str:
    rows = {(found.split, found.rows) for rounds in results.values() for found in rounds if found.rows}
    floors = {round(score, 6) for score in _floors(results, "name", "bleu")}
    if len(rows) > 1 or len(floors) > 1:
        return "These runs were scored on different rows: compare each with its own floors only."
    settings = {found.decoded_on for rounds in results.values() for found in rounds if found.decoded_on}
    if axis is AXES["latency"] and len(settings) > 1:
        return f"Times from different settings do not compare: {'; '.join(sorted(settings))}."
    empty = [curve.run for curve in curves if not curve.points and results[curve.run]]
    if empty:
        return f"Nothing to draw of {', '.join(empty)}: written by an older version."
    return ""


@dataclass(frozen=True)
class Column:
    """A column of the table that can be sorted by."""

    title: str
    value: Callable[[Result, float | None], float | str | None]
    """From a result and its run's dense BLEU; None sorts last."""


COLUMNS: dict[str, Column] = {
    "run": Column("run", lambda found, _: found.run),
    "round": Column("round", lambda found, _: found.round),
    "sparsity": Column("sparsity", lambda found, _: found.sparsity),
    "bleu": Column("BLEU", lambda found, _: found.scores.get("bleu")),
    "diff": Column("Δ dense", lambda found, dense: change(found, dense)),
    "corpus_bleu": Column("corpus", lambda found, _: found.scores.get("corpus_bleu")),
    "chrf": Column("chrF", lambda found, _: found.scores.get("chrf")),
    "size": Column("MB", lambda found, _: found.size_bytes),
    "latency": Column("ms/tok", lambda found, _: found.ms_per_token),
}


def change(found: Result, dense_bleu: float | None) -> float | None:
    """BLEU less that of the run's dense model; None for the dense model itself, and where one is not known."""
    if isinstance(found, Mean):
        return found.changed
    bleu = found.scores.get("bleu")
    return None if bleu is None or dense_bleu is None or found.round == 0 else bleu - dense_bleu


def in_order(results: Results, column: str, down: bool) -> list[Result]:
    """All rounds of all runs, sorted; equal ones keep the order of runs and rounds, and what is not known comes last.

    Args:
        results: The runs.
        column: One of `COLUMNS`.
        down: Largest first.
    """
    rounds = [(found, COLUMNS[column].value(found, dense(of_run, "bleu"))) for of_run in results.values() for found in of_run]
    known = [entry for entry in rounds if entry[1] is not None]
    known.sort(key=lambda entry: entry[1], reverse=down)  # type: ignore[arg-type,return-value]  # None is left out, a column has one type
    return [found for found, _ in known] + [found for found, value in rounds if value is None]
