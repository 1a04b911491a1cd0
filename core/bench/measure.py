"""The results of a comparison, and the timing of two sides in turn.

Both sides run alternately, so that whatever else the machine does affects both; the ratio of the medians counts. Knows no model
and no file.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One side of a comparison, in seconds or whatever `Result.unit` says."""

    median: float
    least: float
    most: float
    times: int
    """Number of measurements."""


@dataclass(frozen=True)
class Goal:
    """The goal for a figure."""

    limit: float
    at_least: bool = True
    """Whether a larger figure is better."""

    def reached(self, value: float) -> bool:
        """Whether a figure reaches the goal."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Result:
    """One line of the benchmark's table."""

    name: str
    """The comparison it belongs to."""
    size: str
    """mini, base, or empty where no model is in it."""
    what: str
    """What was done, in one line; the line's key together with `size`."""
    against: str
    """The other side; empty for a time without another side."""
    unit: str
    """Unit of both samples, such as "s/example"."""
    ours: Sample | None = None
    theirs: Sample | None = None
    value: float | None = None
    """The figure that the goal is for: a ratio, or where `is_ratio` is false the time itself."""
    is_ratio: bool = True
    goal: Goal | None = None
    note: str = ""
    """Whether the sides' results were the same, or why nothing was measured."""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal or a measurement."""
        return None if self.goal is None or self.value is None else self.goal.reached(self.value)


@dataclass(frozen=True)
class Table:
    """Growth of cost with one size."""

    name: str
    """The comparison it belongs to."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sample(values: Sequence[float]) -> Sample:
    """Median, minimum and maximum of one or more values."""
    return Sample(statistics.median(values), min(values), max(values), len(values))


def in_turn(
    ours: Callable[[int], float], theirs: Callable[[int], float], times: int, *, warm: bool = True
) -> tuple[Sample, Sample]:
    """Runs two sides alternately; the side that goes first changes each time.

    Args:
        ours: Takes the number of the repetition and returns the measured value, such as seconds per example.
        theirs: The other side, likewise.
        times: How often each runs.
        warm: Whether each runs once more before, uncounted.

    Returns:
        Ours, theirs.
    """
    if warm:
        ours(0), theirs(0)
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(times):
        sides = [(seconds[0], ours), (seconds[1], theirs)]
        for values, side in sides if turn % 2 == 0 else reversed(sides):
            values.append(side(turn))
    return sample(seconds[0]), sample(seconds[1])


def timed(
    action: Callable[[], object],
    synchronise: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds that an action takes.

    Args:
        action: What to do.
        synchronise: Waits until the device has finished its work.
        clock: Seconds.
    """
    synchronise()
    started = clock()
    action()
    synchronise()
    return clock() - started


def faster(
    name: str, size: str, what: str, against: str, sides: tuple[Sample, Sample], least: float | None, *,
    unit: str = "s/example", note: str = "",
) -> Result:  # fmt: skip
    """A result whose figure says how many times faster (or smaller) our side is.

    Args:
        name: The comparison.
        size: mini, base or empty.
        what: What was done.
        against: The other side.
        sides: Ours, theirs.
        least: The goal: how many times at least.
        unit: Unit of both sides.
        note: See `Result`.
    """
    ours, theirs = sides
    goal = None if least is None else Goal(least)
    return Result(name, size, what, against, unit, ours, theirs, theirs.median / ours.median, goal=goal, note=note)
