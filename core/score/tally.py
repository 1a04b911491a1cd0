"""Tallies: the share of each row in each score, and from these the scores of many choices of rows at once.

A bootstrap scores a thousand choices of rows. Corpus BLEU and chrF are functions of sums over rows, so their counts are taken
once, by sacrebleu, and each choice costs one matrix product; only the last step, from sums to a score, is written here for
arrays. Knows neither intervals nor files.

Source: sacrebleu 2.6, `BLEU.compute_bleu` (smoothing "exp") and `CHRF._compute_f_score` (effective order), which the tests hold
this against.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bleu import corpus_bleu
from ..errors import DataError
from . import metrics

Array = npt.NDArray[np.float64]
ORDERS = 4
"""Longest n-gram of corpus BLEU."""
BETA = 2.0
"""How much more recall than precision counts in chrF."""


@dataclass(frozen=True)
class Tally:
    """One side's counts, row by row."""

    sentences: Array
    """(N,) smoothed BLEU-4 of each row, 0 to 100."""
    bleu: Array
    """(N, 10): length, reference length, four counts of matches, four of n-grams; whole numbers."""
    chrf: Array
    """(N, 18): for six orders the n-grams of the comment, of the reference, and of both; whole numbers."""
    rouge_l: Array
    """(N,) ROUGE-L of each row, 0 to 100."""
    semantic: Array | None = None
    """(N,) cosine of the sentence embeddings of each row times 100; None without an embedder."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.sentences)

    def take(self, rows: Sequence[int]) -> "Tally":
        """The tally of some of the rows, in the given order."""
        chosen = list(rows)
        semantic = None if self.semantic is None else self.semantic[chosen]
        return Tally(self.sentences[chosen], self.bleu[chosen], self.chrf[chosen], self.rouge_l[chosen], semantic)


def tally(texts: Sequence[str], references: Sequence[str]) -> Tally:
    """Counts one side's comments.

    Args:
        texts: One comment a row.
        references: The rows' own comments.

    Returns:
        What each row adds to each score.

    Raises:
        DataError: There are no rows, or the lengths differ.
    """
    if len(texts) != len(references):
        raise DataError(f"{len(texts)} comments do not fit {len(references)} references.", "Give one comment a row.")
    return tally_of_many(texts, [[reference] for reference in references])


def tally_of_many(texts: Sequence[str], references_lists: Sequence[Sequence[str]]) -> Tally:
    """Counts one side's comments where a row may have several references.

    Args:
        texts: One comment a row.
        references_lists: For each row its references, at least one.

    Returns:
        What each row adds to each score; chrF and ROUGE-L take the reference that fits best.

    Raises:
        DataError: There are no rows, the lengths differ, or a row has no reference.
    """
    sentences = corpus_bleu(texts, references_lists).sentences
    most = max(map(len, references_lists))
    streams = [[each[place] if place < len(each) else None for each in references_lists] for place in range(most)]
    counts = {
        # sacrebleu has no public access to its counts; its own bootstrap uses the same private method.
        name: np.asarray(metric._extract_corpus_statistics(list(texts), streams), dtype=np.float64)
        for name, metric in metrics.corpus_metrics().items()
    }
    longest = np.asarray(metrics.rouge_l(texts, references_lists))
    return Tally(np.asarray(sentences), counts["corpus_bleu"], counts["chrf"], longest)


def joined(parts: Sequence[tuple[Sequence[int], Tally]]) -> Tally:
    """Joins the tallies of parts of the rows.

    Args:
        parts: Row numbers and the tally of these rows; together they hold every row from 0 on once.
    """
    order = np.argsort(np.concatenate([np.asarray(rows, dtype=np.int64) for rows, _ in parts]))
    sides = [side for _, side in parts]
    cosines = [side.semantic for side in sides if side.semantic is not None]
    return Tally(
        np.concatenate([side.sentences for side in sides])[order],
        np.concatenate([side.bleu for side in sides])[order],
        np.concatenate([side.chrf for side in sides])[order],
        np.concatenate([side.rouge_l for side in sides])[order],
        np.concatenate(cosines)[order] if len(cosines) == len(sides) else None,
    )


def scored(side: Tally) -> metrics.ScoredPredictions:
    """The scores of all rows, exactly as `metrics.score` counts them from the texts."""
    corpus = {
        # Again a private method of sacrebleu, on the sums of its own counts.
        name: metric._aggregate_and_compute(getattr(side, field).astype(int).tolist()).score
        for field, (name, metric) in zip(("bleu", "chrf"), metrics.corpus_metrics().items(), strict=True)
    }
    sentences = tuple(side.sentences.tolist())
    means = {"bleu": math.fsum(sentences) / len(side), "rouge_l": math.fsum(side.rouge_l.tolist()) / len(side)}
    semantic = None if side.semantic is None else math.fsum(side.semantic.tolist()) / len(side)
    return metrics.ScoredPredictions(metrics.Scores(**means, **corpus, semantic=semantic, rows=len(side)), sentences)


def scores(side: Tally, draws: Array) -> dict[str, Array]:
    """Scores many choices of rows.

    Args:
        side: The counts of N rows.
        draws: (D, N), how often each choice takes each row; every line sums to N.

    Returns:
        Field of `metrics.Scores` -> (D,), 0 to 100; without cosines the last one is missing.
    """
    semantic = {} if side.semantic is None else {"semantic": draws @ side.semantic / len(side)}
    return {
        "bleu": draws @ side.sentences / len(side),
        "corpus_bleu": _bleu(draws @ side.bleu),
        "chrf": _chrf(draws @ side.chrf),
        "rouge_l": draws @ side.rouge_l / len(side),
        **semantic,
    }


def _bleu(sums: Array) -> Array:
    """Corpus BLEU of (D, 10) sums: an order without a match counts as half of one match, the next as a quarter, and so on."""
    length, reference_length, matched, possible = sums[:, 0], sums[:, 1], sums[:, 2 : 2 + ORDERS], sums[:, 2 + ORDERS :]
    none = matched == 0  # (D, 4)
    halves = np.exp2(np.cumsum(none, axis=1))
    precision = np.where(none, 1 / halves, matched) / np.maximum(possible, 1)
    brevity = np.minimum(0.0, 1 - reference_length / np.maximum(length, 1))
    value = 100 * np.exp(np.log(precision).mean(axis=1) + brevity)
    # Without a match of any order, or n-grams of the longest one, sacrebleu says 0.
    return np.where(none.all(axis=1) | (possible == 0).any(axis=1), 0.0, value)


def _chrf(sums: Array) -> Array:
    """The chrF of (D, 18) sums; orders that one side is too short for do not count."""
    ours, theirs, both = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]  # (D, 6) each
    counted = (ours > 0) & (theirs > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision = np.where(counted, both / np.maximum(ours, 1), 0).sum(axis=1) / orders
    recall = np.where(counted, both / np.maximum(theirs, 1), 0).sum(axis=1) / orders
    bottom = BETA**2 * precision + recall
    return np.where(bottom > 0, 100 * (1 + BETA**2) * precision * recall / np.where(bottom > 0, bottom, 1), 0.0)
