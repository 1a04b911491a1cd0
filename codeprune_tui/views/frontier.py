"""The frontier of models that are to score much and cost little: those that no other one beats in both. Pure."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def frontier(points: Mapping[Name, tuple[float, float]]) -> list[Name]:
    """The points that no other one dominates, the cheapest first; of equal ones all.

    Args:
        points: Name -> (cost, score).
    """

    def beaten(cost: float, score: float) -> bool:
        return any(x <= cost and y >= score and (x, y) != (cost, score) for x, y in points.values())

    return sorted((name for name, point in points.items() if not beaten(*point)), key=lambda name: points[name])
