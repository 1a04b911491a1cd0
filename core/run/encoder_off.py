"""Encoder off: the scores of a model without its encoder layers, its embeddings straight to the decoder.

A study of pruning says something of an encoder only as far as the dense model is above this. Holds the figures, decides what
they mean and says it; `evaluate` measures them. Torch-free.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..score.interval import Difference, Interval
from .events import Scores
from .results import MEASURES

SIGNATURE = "encoder-off|memory:embeddings|rows:same|version:1"
"""Signature of how the layers are taken out; that of each score says how it is computed."""
WIDE = 2.0
"""Upper end of an interval, in points, from which on there were too few rows: a difference of that size would mean something to
people. Source: Roy et al. 2021."""
DECIDES = "chrf"
"""The measure that `carries` looks at: smoothed BLEU-4 rewards saying little, and corpus BLEU of weak models is noise."""


@dataclass(frozen=True)
class EncoderOff:
    """Scores of a model without its encoder layers, and how far above them the model as it is lies, on the same rows."""

    scores: Scores
    intervals: Mapping[str, Interval]
    """Measure -> score without the layers and its interval."""
    dense_less: Mapping[str, Difference]
    """Measure -> score with the layers minus score without, by the paired bootstrap."""
    seconds: float
    """Seconds of decoding and scoring."""

    def facts(self) -> dict[str, object]:
        """The entries of files: all figures but the time, so that equal runs have equal files."""
        return {
            "scores": self.scores.facts(),
            "intervals": {name: {"low": each.low, "high": each.high} for name, each in self.intervals.items()},
            "dense_less": {name: asdict(each) for name, each in self.dense_less.items()},
            "signature": SIGNATURE,
        }


def carries(dense_less: Mapping[str, Difference]) -> bool | None:
    """Whether a model's encoder layers carry any of its score; only this function decides it.

    Args:
        dense_less: Measure -> score with the layers minus score without.

    Returns:
        True where the interval under chrF lies above 0; None where it was not measured, or is damaged.
    """
    difference = dense_less.get(DECIDES)
    if difference is None or not math.isfinite(difference.value + difference.low + difference.high):
        return None
    return difference.low > 0


def silence(difference: Difference, written: str, subject: str, model: str) -> str:
    """The sentence about a study whose encoder carries nothing, in the words of every screen, table, page and card.

    Args:
        difference: Score with the layers minus score without.
        written: The same with its interval, as it is written there.
        subject: Subject of the sentence, which can say nothing.
        model: Name of the model whose score the difference is of.
    """
    more = "; more rows may tell" if difference.high >= WIDE else ""
    return (
        f"{subject} can say nothing about pruning the encoder: "
        f"{model} minus encoder off is {written} {MEASURES[DECIDES]}, not clearly above 0{more}."
    )
