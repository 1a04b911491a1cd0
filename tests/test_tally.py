"""Scores of many choices of rows against sacrebleu's own, row by row."""

from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.score import metrics
from core.score.tally import joined, scored, scores, tally

WORD = st.sampled_from(["the", "The", "name", "of", "a", ".", "é", "x1", ""])
TEXT = st.lists(WORD, max_size=7).map(" ".join)
PAIRS = st.lists(st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1, max_size=9)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1, max_size=6), st.integers(0, 99))
@example([("", "name")], 0)
@example([("name", "of a the")], 0)
@example([("a name of the", "The name . of the a")], 0)
def test_each_draw_has_the_score_of_its_rows(pairs: list[tuple[str, str]], seed: int) -> None:
    texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
    draws = np.random.default_rng(seed).multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), 5)
    by_score = scores(tally(texts, references), draws.astype(float))
    for number, draw in enumerate(draws):
        rows = np.repeat(np.arange(len(pairs)), draw)
        expected = metrics.score([texts[row] for row in rows], [references[row] for row in rows]).scores
        for name, values in by_score.items():
            assert values[number] == pytest.approx(getattr(expected, name), abs=1e-9), name


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1, max_size=9),
    st.randoms(use_true_random=False),
    st.integers(1, 4),
)
def test_parts_counted_in_any_order_give_the_very_scores_of_the_whole(
    pairs: list[tuple[str, str]], random: Random, size: int
) -> None:
    order = list(range(len(pairs)))
    random.shuffle(order)
    parts = [order[first : first + size] for first in range(0, len(order), size)]
    counted = joined([(rows, tally([pairs[row][0] for row in rows], [pairs[row][1] for row in rows])) for rows in parts])
    assert scored(counted) == metrics.score([text for text, _ in pairs], [reference for _, reference in pairs])


def test_some_rows_are_tallied_as_if_alone() -> None:
    texts, references = ["the name", "a size", "of it"], ["the name", "the size", "its owner"]
    taken, alone = tally(texts, references).take([2, 0]), tally(["of it", "the name"], ["its owner", "the name"])
    for ours, theirs in ((taken.sentences, alone.sentences), (taken.bleu, alone.bleu), (taken.chrf, alone.chrf)):
        assert np.array_equal(ours, theirs)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="1 comments do not fit 2 references"):
        tally(["a"], ["a", "b"])
