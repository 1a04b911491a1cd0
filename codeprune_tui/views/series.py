"""Everything in a run's journal that can be drawn as a series: its points, its unit, its levels. Pure.

Turns a run's view into a `Chart`, a frozen value that a widget draws as it is. NaN and absurd values never get into it; they
are counted. Knows neither Textual nor the journal.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple

from core.run.events import Scores
from core.run.results import MEASURES, SEMANTIC, TITLES

from .axis import number, usable
from .matrices import matrices
from .matrices import rounds as masked_rounds
from .matrices import title as matrix_title
from .state import RunView, Series

MATRIX = "matrix:"
"""Begins the keys of the series that belong to one matrix; its parameter's name follows."""
TIMES = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
"""(from so many seconds on, seconds of the unit, unit)."""


class Point(NamedTuple):
    """One value of a series."""

    x: float
    """Rounds: a round runs from the number before its own to its own; of runs without rounds, steps."""
    y: float
    round: int
    step: int


@dataclass(frozen=True)
class Chart:
    """A series as it is drawn."""

    key: str
    title: str
    unit: str = ""
    points: tuple[Point, ...] = ()
    """Ascending, all of them usable."""
    dotted: bool = False
    """Whether each point is a measurement of its own, and not one of very many."""
    levels: tuple[tuple[str, float], ...] = ()
    """(name, value) of the levels that the series is compared with."""
    left: float = 0.0
    right: float = 1.0
    """Where the horizontal axis ends."""
    by_round: bool = True
    digits: int = 3
    """Decimals of a value."""
    note: str = ""
    """A remark: values that are not drawn, or the meaning of a point."""

    def near(self, x: float) -> Point | None:
        """The point next to a place on the horizontal axis; None without points."""
        at = bisect_left(self.points, x, key=_along)
        return min(self.points[max(0, at - 1) : at + 1], key=lambda point: abs(point.x - x), default=None)

    def says(self, point: Point | None) -> str:
        """A point in words, such as "round 3, step 120: loss 2.314"."""
        if point is None:
            return "nothing measured yet"
        step = f", step {point.step:,}" if not self.by_round or point.x != point.round or not self.dotted else ""
        where = f"round {point.round}{step}" if self.by_round else f"step {point.step:,}"
        return f"{where}: {self.title.partition(',')[0]} {number(point.y, self.digits)}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True)
class _Kind:
    """A series that any run may have."""

    title: str
    points: Callable[["_Run", str], Iterable[Point]]
    unit: str = ""
    dotted: bool = True
    digits: int = 1
    about: Callable[[RunView, str], tuple[tuple[tuple[str, float | None], ...], str, int]] = field(
        default=lambda _view, _key: ((), "", 0)
    )
    """Levels, note, values that were left out before."""


@dataclass(frozen=True)
class _Run:
    """A run, and where its events stand on the horizontal axis."""

    view: RunView

    @property
    def by_round(self) -> bool:
        return self.view.rounds > 0

    def place(self, number: int, step: int, value: float) -> Point:
        if not self.by_round:
            return Point(float(step), value, number, step)
        round_view = self.view.by_round.get(number)
        steps = max(1, round_view.steps if round_view and round_view.steps else self.view.steps)
        return Point(number - 1 + min(1.0, step / steps), value, number, step)

    def end(self, number: int, value: float) -> Point:
        round_view = self.view.by_round[number]
        step = round_view.picked_step or round_view.steps
        return Point(float(number if self.by_round else step), value, number, step)


def _trained(run: _Run, key: str) -> Iterable[Point]:
    return (run.place(*point) for point in _series(run.view, key).points)


def _series(view: RunView, key: str) -> Series:
    return view.losses if key == "loss" else view.rates.get(key, Series())


def _about_training(view: RunView, key: str) -> tuple[tuple[tuple[str, float | None], ...], str, int]:
    series = _series(view, key)
    return (), f"a point is the mean of {series.stride:,} values" if series.stride > 1 else "", series.left_out


def _scored(run: _Run, key: str) -> Iterable[Point]:
    scored = {each.number: getattr(each.scores, key) for each in run.view.finished if each.scores}
    results = {number: run.end(number, value) for number, value in scored.items() if value is not None}
    for evaluation in run.view.evaluations:
        if (value := getattr(evaluation.scores, key)) is None:
            continue
        point = run.place(evaluation.round, evaluation.step, value)
        if (
            evaluation.round not in results or point.x != results[evaluation.round].x
        ):  # what counts there is the picked weights' score
            yield point
    yield from results.values()


def _about_scores(view: RunView, key: str) -> tuple[tuple[tuple[str, float | None], ...], str, int]:
    floors: dict[str, Scores | None] = {"dense": view.dense if view.rounds else None, **view.floors}
    return tuple((name, getattr(scores, key)) for name, scores in floors.items() if scores is not None), "", 0


def _validated(name: str, scale: float) -> Callable[[_Run, str], Iterable[Point]]:
    def points(run: _Run, _key: str) -> Iterable[Point]:
        return (
            run.place(validation.round, validation.step, scale * getattr(validation, name)) for validation in run.view.validations
        )

    return points


def _sparsities(run: _Run, _key: str) -> Iterable[Point]:
    return (run.end(number, 100 * each.sparsity) for number, each in sorted(run.view.by_round.items()))


def _seconds(run: _Run, _key: str) -> Iterable[Point]:
    return (run.end(each.number, each.seconds) for each in run.view.finished)


def _of_matrix(run: _Run, key: str) -> Iterable[Point]:
    parameter = key.removeprefix(MATRIX)
    for place in masked_rounds(run.view):
        if (matrix := matrices(run.view, place).get(parameter)) is not None:
            yield run.end(place, 100 * matrix.sparsity)


KINDS: dict[str, _Kind] = {
    "loss": _Kind("loss", _trained, dotted=False, digits=3, about=_about_training),
    **{key: _Kind(title, _scored, digits=2, about=_about_scores) for key, title in TITLES.items()},
    "learning_rate": _Kind("learning rate", _trained, dotted=False, about=_about_training),
    "tokens_per_second": _Kind("tokens a second", _trained, dotted=False, about=_about_training),
    "examples_per_second": _Kind("rows a second", _trained, dotted=False, about=_about_training),
    "sparsity": _Kind("sparsity", _sparsities, "%"),
    "seconds": _Kind("time of a round", _seconds, "s"),
    "held_out_loss": _Kind("loss on held-out tokens", _validated("loss", 1.0), digits=3),
    "held_out_accuracy": _Kind("held-out accuracy", _validated("accuracy", 100.0), "%"),
}
"""Key -> series, in the order in which the app goes through them."""
PRETRAINED = ("held_out_loss", "held_out_accuracy")
"""Series of runs that are pre-trained; the scores are those of all others."""


def titles(view: RunView) -> dict[str, str]:
    """The series a run can have.

    Args:
        view: The run.

    Returns:
        Key -> title, in the order in which the app goes through them; those of single matrices come last.
    """
    pretrained = view.kind == "pretrain"
    hidden = {*TITLES, "sparsity"} if pretrained else set(PRETRAINED)
    scored = [each.scores for each in view.finished if each.scores is not None]
    hidden |= {name for name in MEASURES if scored and all(getattr(scores, name) is None for scores in scored)}
    hidden |= {SEMANTIC} if all(scores.semantic is None for scores in scored) else set()
    newest = max(masked_rounds(view), default=-1)
    of_matrices = (
        {f"{MATRIX}{name}": f"sparsity of {matrix_title(matrix)}" for name, matrix in matrices(view, newest).items()}
        if newest >= 0
        else {}
    )
    return {key: kind.title for key, kind in KINDS.items() if key not in hidden} | of_matrices


def chart(view: RunView, key: str) -> Chart:
    """One series of a run.

    Args:
        view: The run.
        key: One of `titles`, of this run or of another.
    """
    run = _Run(view)
    title = titles(view).get(key, key.removeprefix(MATRIX))
    kind = KINDS.get(key, _Kind(title, _of_matrix, "%"))
    levels, note, left_out = kind.about(view, key)
    every = sorted(kind.points(run, key))
    points = [point for point in every if usable(point.y)]
    left_out += len(every) - len(points)
    unit, scale = kind.unit, 1.0
    if unit == "s":
        longest = max((point.y for point in points), default=0.0)
        _, scale, unit = next(entry for entry in TIMES if longest >= entry[0])
    notes = [note, f"{left_out:,} left out: no numbers" if left_out else ""]
    return Chart(
        key,
        title,
        unit,
        tuple(point._replace(y=point.y / scale) for point in points),
        kind.dotted,
        tuple((name, level) for name, level in levels if level is not None and usable(level)),
        left=-1.0 if run.by_round else 0.0,  # the same for all series, so that two of them can be read together
        right=max((float(max(1, view.rounds if run.by_round else view.steps)), *(point.x for point in points[-1:]))),
        by_round=run.by_round,
        digits=kind.digits,
        note=" · ".join(filter(None, notes)),
    )


def part(points: Sequence[Point], left: float, right: float) -> Sequence[Point]:
    """The points on a part of the horizontal axis, and one more on both sides, to which lines lead."""
    first, last = bisect_left(points, left, key=_along), bisect_right(points, right, key=_along)
    return points[max(0, first - 1) : last + 1]


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Few enough points to draw, none of the peaks lost: of each bucket the lowest and the highest.

    Args:
        points: Ascending.
        most: About how many to keep, at least two.
    """
    buckets = max(1, most // 2)
    if len(points) <= 2 * buckets:
        return list(points)
    edges = [index * len(points) // buckets for index in range(buckets + 1)]
    kept = []
    for start, end in pairwise(edges):
        some = points[start:end]
        kept += sorted({min(some, key=_height), max(some, key=_height)})
    return kept


def by_rounds(points: Iterable[Point]) -> list[list[Point]]:
    """Points round by round: each round trains anew, so no line leads from one round to the next."""
    return [list(group) for _, group in groupby(points, key=lambda point: point.round)]


def _along(point: Point) -> float:
    return point.x


def _height(point: Point) -> float:
    return point.y
