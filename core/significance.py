"""How far apart two sets of comments for the same rows are, with an interval: the paired bootstrap, for every score.

Rows are drawn with replacement, the same ones for both sides, and both are scored anew; the middle 95 % of the differences is the
interval. A difference whose interval excludes 0 is unlikely to come from the choice of rows. Knows neither models nor files.

Source: P. Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import metrics
from .errors import DataError

SAMPLES = 1000
"""Draws; Koehn's number, and sacrebleu's."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """First side less second, in points of the score."""

    value: float
    """On the rows themselves."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    first: Sequence[str], second: Sequence[str], references: Sequence[str], *, seed: int = 0, samples: int = SAMPLES
) -> dict[str, Difference]:
    """Compares two sets of comments for the same rows.

    Args:
        first: One comment a row.
        second: The same rows' comments by the other side.
        references: The rows' own comments.
        seed: Of the draws; equal arguments, equal intervals.
        samples: Number of draws.

    Returns:
        Field of `metrics.Scores` -> first less second.

    Raises:
        DataError: There are no rows, or the lengths differ.
    """
    if not len(first) == len(second) == len(references):
        raise DataError(
            f"{len(first)} and {len(second)} comments do not fit {len(references)} references.",
            "Give both sides' comments for the same rows.",
        )
    sides = [metrics.score(list(texts), references) for texts in (first, second)]
    draws = np.random.default_rng(seed).multinomial(len(references), np.full(len(references), 1 / len(references)), samples)
    found: dict[str, Difference] = {}
    sentences = [draws @ np.asarray(side.sentences) / len(references) for side in sides]
    found["bleu"] = _difference(sides[0].scores.bleu - sides[1].scores.bleu, sentences[0] - sentences[1])
    for name, metric in metrics.corpus_metrics().items():
        # sacrebleu's own bootstrap works on the same counts, but offers no interval of the difference.
        counts = [np.asarray(metric._extract_corpus_statistics(list(texts), [references])) for texts in (first, second)]
        scored = [np.array([metric._compute_score_from_stats(row.tolist()).score for row in draws @ side]) for side in counts]
        whole = [getattr(side.scores, name) for side in sides]
        found[name] = _difference(whole[0] - whole[1], scored[0] - scored[1])
    return found


def _difference(value: float, drawn: npt.NDArray[np.float64]) -> Difference:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(value, float(low), float(high))
