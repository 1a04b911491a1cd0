"""A score with the interval that shows how certain it is. Knows no arithmetic: `core.score.significance` computes intervals."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A score and its 95 % interval."""

    value: float
    """The score on the rows themselves."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class Difference(Interval):
    """First side minus second, in points of the score."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0
