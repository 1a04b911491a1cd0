"""A number with the interval that says how sure it is. Knows no arithmetic: `core.score.significance` computes them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A score, and where 95 % of the draws lie."""

    value: float
    """On the rows themselves."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class Difference(Interval):
    """First side less second, in points of the score."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0
