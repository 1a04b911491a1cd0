"""Intervals of scores and of their differences: the bootstrap over rows, for every score.

Rows are drawn with replacement and scored again; the middle 95 % of the results is the interval. For a difference both sides get
the same draws (the paired bootstrap): an interval that excludes 0 is unlikely to come from the choice of rows. It says nothing
about how another seed would have trained; where there are several seeds, a side is the mean of their scores. Knows neither
models nor files.

Source: P. Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .interval import Difference, Interval
from .tally import Array, Tally, scores, tally

SAMPLES = 1000
"""Number of draws, as in Koehn's paper and in sacrebleu."""
SEED = 0
SIGNATURE = f"bootstrap|unit:row|samples:{SAMPLES}|seed:{SEED}|interval:percentile-95|version:1"
"""How an interval was computed by default."""


def paired_bootstrap(
    first: Sequence[str], second: Sequence[str], references: Sequence[str], *, seed: int = SEED, samples: int = SAMPLES
) -> dict[str, Difference]:
    """Compares two sets of comments for the same rows.

    Args:
        first: One comment a row.
        second: The same rows' comments by the other side.
        references: The rows' own comments.
        seed: Seed of the draws; equal arguments give equal intervals.
        samples: Number of draws.

    Returns:
        Field of `metrics.Scores` -> first minus second.

    Raises:
        DataError: There are no rows, or the lengths differ.
    """
    if not len(first) == len(second) == len(references):
        raise DataError(
            f"{len(first)} and {len(second)} comments do not fit {len(references)} references.",
            "Give both sides' comments for the same rows.",
        )
    return differences([tally(first, references)], [tally(second, references)], draw(len(references), seed, samples))


def bootstrap(texts: Sequence[str], references: Sequence[str]) -> dict[str, Interval]:
    """The scores of a set of comments with their intervals.

    Args:
        texts: One comment a row.
        references: The rows' own comments.

    Returns:
        Field of `metrics.Scores` -> score and interval.

    Raises:
        DataError: There are no rows, or the lengths differ.
    """
    return intervals([tally(texts, references)], draw(len(references)))


def draw(rows: int, seed: int = SEED, samples: int = SAMPLES) -> Array:
    """Draws rows with replacement.

    Args:
        rows: Number of rows, N.
        seed: Equal seeds give equal draws.
        samples: Number of draws, D.

    Returns:
        (D + 1, N): how often each row was drawn. The first line is the rows themselves, each once.
    """
    drawn = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), samples)
    return np.vstack([np.ones((1, rows)), drawn])


def intervals(runs: Sequence[Tally], draws: Array) -> dict[str, Interval]:
    """The mean scores of some runs on the same rows, with their intervals.

    Args:
        runs: The counts of one run or more (of several seeds, say), row by row the same rows.
        draws: As `draw` makes them.

    Returns:
        Field of `metrics.Scores` -> mean score and interval.
    """
    return {name: Interval(*_middle(drawn)) for name, drawn in mean_scores(runs, draws).items()}


def differences(first: Sequence[Tally], second: Sequence[Tally], draws: Array) -> dict[str, Difference]:
    """The difference of two groups of runs on the same rows: the mean of the first minus the mean of the second.

    Args:
        first: The counts of one run or more.
        second: The counts of the other side's runs, on the same rows.
        draws: As `draw` makes them.

    Returns:
        Field of `metrics.Scores` -> difference and interval.
    """
    ours, theirs = mean_scores(first, draws), mean_scores(second, draws)
    return {name: difference_of(ours[name] - theirs[name]) for name in ours if name in theirs}


def mean_scores(runs: Sequence[Tally], draws: Array) -> dict[str, Array]:
    """The scores of each draw that all of some runs have, averaged over them: field of `metrics.Scores` -> (D,)."""
    each = [scores(run, draws) for run in runs]
    shared = [name for name in each[0] if all(name in means for means in each)]
    return {name: np.mean([means[name] for means in each], axis=0) for name in shared}


def difference_of(drawn: Array) -> Difference:
    """A difference from its values: the one on the rows themselves, then those of the draws."""
    return Difference(*_middle(drawn))


def _middle(drawn: Array) -> tuple[float, float, float]:
    low, high = np.percentile(drawn[1:], [2.5, 97.5])
    return float(drawn[0]), float(low), float(high)
