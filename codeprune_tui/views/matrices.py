"""The figures of each matrix in each round, ready to be laid out: pure functions from a run's view.

Sparsities come from the event that made the masks, all else from the worker's measurements at the end of the round; if those
are missing, a sentence says why. Knows neither Textual nor colours.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.run.events import MatrixMeasured, UnitScores
from core.spec.layout import Place, locate

from .outliers import drawable
from .state import RoundView, RunView
from .text import NOTHING, count, percent

BARS = " ▁▂▃▄▅▆▇█"
MOST_MARKS = 64
"""Most units that are shown one by one."""
LAYERS = 1000
"""A layer with a higher number is damage, not a layer."""


@dataclass(frozen=True)
class Matrix:
    """One matrix in one round."""

    parameter: str
    place: Place
    sparsity: float
    gained: float | None
    """Sparsity minus that of the round before; None if that is not known."""
    measured: MatrixMeasured | None
    error: float | None = None
    """Relative error of its output right after pruning, before any training; None where it was not measured."""


@dataclass(frozen=True)
class Measure:
    """One of the figures that the heatmap can show."""

    title: str
    """Title, with the unit that `scale` gives."""
    value: Callable[[Matrix], float | None]
    scale: float
    """Factor by which a value is multiplied to be shown in a narrow cell."""
    bounded: bool
    """Whether values are shares, so that the tones run from 0 to 1; else to the largest value of the run."""
    what: str
    """Its name within a sentence."""


SAME = 0.001
"""Shares that differ by less count as equal: no exact share of a small matrix can be pruned."""


def _of(name: str) -> Callable[[Matrix], float | None]:
    def value(matrix: Matrix) -> float | None:
        figure = getattr(matrix.measured, name, None)
        return figure if drawable(figure) else None  # a damaged journal may hold anything

    return value


MEASURES: dict[str, Measure] = {
    "sparsity": Measure("sparsity %", lambda matrix: matrix.sparsity, 100, True, "sparsities"),
    "magnitude": Measure("mean |w| of kept ×1000", _of("magnitude"), 1000, False, "magnitudes"),
    "change": Measure("change since last round %", _of("change"), 100, False, "changes"),
    "overlap": Measure("overlap with last mask %", _of("overlap"), 100, True, "overlaps"),
    "error": Measure(
        "error of the output after pruning, before training %", lambda matrix: matrix.error, 100, False, "errors of outputs"
    ),
}


def measures(view: RunView) -> list[str]:
    """The keys of `MEASURES` that a run can show: errors of outputs only where its criterion looks at data."""
    has_errors = any(each.errors for each in view.by_round.values())
    return [name for name in MEASURES if name != "error" or has_errors]


def rounds(view: RunView) -> list[int]:
    """Numbers of the rounds that have any figure by matrix, ascending."""
    return [number for number in sorted(view.by_round) if view.by_round[number].matrices or view.by_round[number].figures]


def matrices(view: RunView, number: int) -> dict[str, Matrix]:
    """The figures of a round's matrices; matrices without a known place are left out.

    Args:
        view: The run.
        number: One of `rounds`.

    Returns:
        Parameter name -> matrix.
    """
    round_view = view.by_round.get(number, RoundView(number))
    now, before = _sparsities(round_view), _sparsities(view.by_round.get(number - 1, RoundView(number - 1)))
    dense_before = number == 1 and 0 in view.by_round
    by_name: dict[str, Matrix] = {}
    for parameter, sparsity in now.items():
        place = locate(parameter)
        if place is not None and place.layer < LAYERS:
            last = before.get(parameter, 0.0 if dense_before else None)
            gained = None if last is None else sparsity - last
            by_name[parameter] = Matrix(
                parameter, place, sparsity, gained, round_view.figures.get(parameter), _error(round_view, parameter)
            )
    return by_name


def _error(round_view: RoundView, parameter: str) -> float | None:
    error = round_view.errors.get(parameter)
    return error if drawable(error) else None


def units_kept(view: RunView, number: int) -> dict[str, tuple[int, int]]:
    """The heads or neurons that a round keeps of each matrix: parameter name -> units left, units before anything was pruned.

    Empty where the round pruned single weights; a matrix that no round has measured yet is left out.
    """
    round_view = view.by_round.get(number, RoundView(number))
    kept: dict[str, tuple[int, int]] = {}
    for name, share in _sparsities(round_view).items() if round_view.unit != "weight" else ():
        measured = next((each.figures[name] for each in view.by_round.values() if name in each.figures), None)
        place = locate(name)
        if measured is not None and place is not None and drawable(share):
            all_ = measured.heads or {"ffn-in": measured.rows, "ffn-out": measured.columns}.get(place.matrix, 0)
            if all_:
                kept[name] = round((1 - share) * all_), all_
    return kept


def block_of(place: Place) -> str:
    """The block of units that a matrix belongs to, as the journal calls it, such as "encoder 3 heads"; "" where it has none."""
    if place.part == "pooler":
        return ""
    kind = "neurons" if place.matrix.startswith("ffn") else "cross heads" if place.matrix == "cross-out" else "heads"
    return f"{place.part} {place.layer} {kind}"


def unit_facts(scores: UnitScores, kind: str) -> list[tuple[str, str]]:
    """The units of a block and their scores as (label, text) pairs.

    Args:
        scores: Of the block.
        kind: "heads" or "neurons".
    """
    marks = _marks(scores)
    lines = [("units kept", f"{count(scores.kept)} of {count(scores.count)} {kind}")]
    for label, spread in (("scores of kept", scores.kept_scores), ("of pruned", scores.pruned_scores)):
        if len(spread) == 3 and all(map(drawable, spread)):
            low, middle, high = (f"{value:.3g}".replace("-", "−") for value in spread)
            lines.append((label, f"{middle} ({low} to {high})"))
    return [*lines, *([("each", f"{marks}  × pruned now, · before")] if marks else [])]


def _marks(scores: UnitScores) -> str:
    """One character for every unit: a bar for its score, × for one that the round pruned, · for one that was pruned before."""
    known = [value for value in scores.each[:MOST_MARKS] if value is not None and drawable(value)]
    top, marks = max(known, default=0.0), ""
    for number, value in enumerate(scores.each[:MOST_MARKS]):
        if value is None:
            marks += "·"
        elif number in scores.pruned:
            marks += "×"
        else:
            share = value / top if drawable(value) and top > 0 else 0.0
            marks += BARS[min(8, max(1, round(8 * share)))]
    return marks


def uniform(shares: Iterable[float]) -> bool:
    """Whether matrices are all equally sparse, as the layer-wise scope makes them: then other figures say more."""
    sparsities = list(shares)
    return len(sparsities) > 1 and max(sparsities) > 0 and max(sparsities) - min(sparsities) < SAME


def telling(view: RunView, number: int) -> str:
    """The key of `MEASURES` that tells most of a round: sparsity, unless all have the same and their changes differ."""
    if units_kept(view, number):
        return "sparsity"
    shown = matrices(view, number).values()
    differs = _differs([MEASURES["change"].value(each) for each in shown])
    return "change" if differs and uniform(each.sparsity for each in shown) else "sparsity"


def changes(view: RunView, number: int) -> dict[str, float | None]:
    """Parameter name -> how much its kept weights changed since the round before, as a share; None where that is not known."""
    return {name: MEASURES["change"].value(matrix) for name, matrix in matrices(view, number).items()}


def _differs(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and max(known) - min(known) > SAME * abs(max(known))


def complete(view: RunView, number: int) -> bool:
    """Whether a round is over: its end was journalled, or a later round has begun (a killed worker may not have written it)."""
    return number < view.round or (number in view.by_round and view.by_round[number].finished)


def _sparsities(round_view: RoundView) -> dict[str, float]:
    measured = {name: 1 - figures.kept / max(1, figures.rows * figures.columns) for name, figures in round_view.figures.items()}
    return {**round_view.matrices, **measured}


def top(view: RunView, measure: Measure) -> float:
    """The value with the lightest tone: 1 for shares, else the largest of all rounds, so that rounds can be compared."""
    if measure.bounded:
        return 1.0
    values = (measure.value(matrix) for number in rounds(view) for matrix in matrices(view, number).values())
    return max((value for value in values if value is not None), default=1.0) or 1.0


def missing(view: RunView, number: int, measure: Measure, shown: Mapping[str, Matrix]) -> str:
    """Why a round lacks a figure; "" if it has it."""
    if any(measure.value(matrix) is not None for matrix in shown.values()):
        return ""
    round_view = view.by_round.get(number, RoundView(number))
    if not round_view.figures:
        if complete(view, number):
            return f"No {measure.what}: an older version ran this round and did not measure them."
        return f"No {measure.what} yet: they are measured at the end of the round."
    return f"No {measure.what}: round {number} has none before it." if number == 0 else f"No {measure.what} in this round."


def summary(shown: Mapping[str, Matrix]) -> str:
    """The dead rows, columns and heads of all matrices of a round together; "" if they were not counted."""
    measured = [each.measured for each in shown.values() if each.measured is not None]
    if not measured:
        return ""
    dead_rows, dead_columns = sum(each.dead_rows for each in measured), sum(each.dead_columns for each in measured)
    dead_heads, heads = sum(each.dead_heads for each in measured), sum(each.heads for each in measured)
    of_heads = f", {count(dead_heads)} of {count(heads)} heads" if heads else ""
    return f"{count(dead_rows)} rows, {count(dead_columns)} columns{of_heads} are dead in the {len(measured)} matrices"


def in_every(shown: Mapping[str, Matrix]) -> str:
    """The sparsity that all matrices of a round have, in words; "" where they differ."""
    shares = [matrix.sparsity for matrix in shown.values()]
    return f"Every matrix is at {percent(shares[0])}." if uniform(shares) else ""


def title(matrix: Matrix) -> str:
    """The place of a matrix, such as "encoder layer 3, query"."""
    place = matrix.place
    return place.part if place.part == "pooler" else f"{place.part} layer {place.layer + 1}, {place.matrix}"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NOTHING if value is None else f"{value * 100:+.1f}".replace("-", "−").removesuffix(".0")


def figure(value: float | None, scale: float, digits: int) -> str:
    """A figure as it is shown, or a dash."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value * scale:.{digits}f}"


def facts(view: RunView, number: int, matrix: Matrix) -> list[tuple[str, str]]:
    """All figures of a matrix in a round as (label, text) pairs; the last pair says what is missing."""
    gained = "" if matrix.gained is None else f" ({points(matrix.gained)} points since round {number - 1})"
    lines = [("sparsity", f"{percent(matrix.sparsity)}{gained}")]
    measured = matrix.measured
    error = [] if matrix.error is None else [("output error", percent(matrix.error))]
    block = block_of(matrix.place)
    scores = view.by_round[number].units.get(block) if number in view.by_round else None
    units = unit_facts(scores, block.split()[-1]) if scores is not None else []
    if measured is None:
        lines += units + error
        return [*lines, ("", missing(view, number, MEASURES["magnitude"], {}).replace("magnitudes", "other figures"))]
    if units:  # they say how much is kept, and which rows, columns and heads are dead
        return [*lines, *units, *_figures(measured), *error]
    lines.append(("kept", f"{count(measured.kept)} of {count(measured.rows)} × {count(measured.columns)}"))
    lines += [*_figures(measured), *error]
    lines.append(("dead rows", f"{count(measured.dead_rows)} of {count(measured.rows)}"))
    lines.append(("dead columns", f"{count(measured.dead_columns)} of {count(measured.columns)}"))
    lines.append(("dead heads", f"{measured.dead_heads} of {measured.heads}" if measured.heads else "has none"))
    return lines


def _figures(measured: MatrixMeasured) -> list[tuple[str, str]]:
    return [
        ("mean |w| of kept", figure(measured.magnitude, 1, 5)),
        ("change", NOTHING if measured.change is None else percent(measured.change)),
        ("overlap", NOTHING if measured.overlap is None else percent(measured.overlap)),
    ]


HISTORY = ("round", "sparsity", "mean |w|", "change", "overlap", "rows", "columns", "heads")
"""The columns of `history`; the last three count what is dead."""


def history(view: RunView, parameter: str) -> list[tuple[str, ...]]:
    """A matrix through the rounds: one line of texts a round, as in `HISTORY`."""
    lines = []
    for number in rounds(view):
        matrix = matrices(view, number).get(parameter)
        if matrix is not None:
            lines.append((str(number), percent(matrix.sparsity), *_measured(matrix.measured)))
    return lines


def _measured(figures: MatrixMeasured | None) -> tuple[str, ...]:
    if figures is None:
        return (NOTHING,) * 6
    shares = [NOTHING if value is None else percent(value) for value in (figures.change, figures.overlap)]
    dead_heads = str(figures.dead_heads) if figures.heads else NOTHING
    return (figure(figures.magnitude, 1, 4), *shares, count(figures.dead_rows), count(figures.dead_columns), dead_heads)
