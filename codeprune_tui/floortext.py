"""A score as it is written: never without the floor under it. Pure functions from numbers to text.

A floor is what a program without a model scores on the same rows (`core.results.FLOORS`). Where there is room for one of them,
the highest one stands: it is the one that a model has to beat.
"""

from collections.abc import Mapping

from core.events import Scores
from core.results import FLOORS

from .words import score

Floors = Mapping[str, float]
"""Floor -> its score under the measure that it stands beside."""


def beside(floors: Floors, *, every: bool = False, digits: int = 2) -> str:
    """The floors in words: "name 13.16".

    Args:
        floors: As far as they are known.
        every: All of them, not only the highest.
        digits: Behind the point.

    Returns:
        The text; "floors not known" where there is none.
    """
    known = sorted(floors.items(), key=lambda floor: -floor[1])
    return ", ".join(f"{name} {score(value, digits)}" for name, value in (known if every else known[:1])) or "floors not known"


def held_against(value: float | None, floors: Floors, *, every: bool = False, digits: int = 2) -> str:
    """A score with what it is held against: "11.72 (name 13.16)"; a dash where there is no score."""
    if value is None:
        return score(None)
    return f"{score(value, digits)} ({beside(floors, every=every, digits=digits)})"


def of_measure(floors: Mapping[str, Scores], measure: str = "bleu") -> dict[str, float]:
    """The floors of an event or a view under one measure, in the order of `FLOORS`.

    Args:
        floors: Floor -> its scores.
        measure: One of `MEASURES`.
    """
    return {name: getattr(floors[name], measure) for name in FLOORS if name in floors}


def of_metrics(metrics: Mapping[str, object], measure: str = "bleu") -> dict[str, float]:
    """The floors in what `metrics.json` says, under one measure; what is damaged is left out."""
    floors = metrics.get("floors")
    known = {name: floors.get(name) for name in FLOORS} if isinstance(floors, dict) else {}
    values = {name: each.get(measure) for name, each in known.items() if isinstance(each, dict)}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float) and value == value}
