"""The paired bootstrap against drawing and scoring row by row, and its refusals."""

import numpy as np
import pytest

from core.errors import DataError
from core.score import metrics
from core.score.significance import bootstrap, differences, draw, paired_bootstrap
from core.score.tally import tally

REFERENCES = [
    f"Returns the {noun} of the given {thing} ." for noun in ("name", "size", "owner") for thing in ("file", "user", "row")
]
GOOD = [text if place % 3 else "Sets it ." for place, text in enumerate(REFERENCES)]
POOR = [text.replace("the given", "a") if place % 2 else "Returns nothing at all" for place, text in enumerate(REFERENCES)]


def test_it_equals_scoring_each_draw() -> None:
    differences = paired_bootstrap(GOOD, POOR, REFERENCES, seed=3, samples=40)
    draws = np.random.default_rng(3).multinomial(len(REFERENCES), np.full(len(REFERENCES), 1 / len(REFERENCES)), 40)
    drawn: dict[str, list[float]] = {"bleu": [], "corpus_bleu": [], "chrf": []}
    for drawing in draws:
        rows = np.repeat(np.arange(len(REFERENCES)), drawing)
        first, second = (
            metrics.score([side[row] for row in rows], [REFERENCES[row] for row in rows]).scores for side in (GOOD, POOR)
        )
        for name, values in drawn.items():
            values.append(getattr(first, name) - getattr(second, name))
    for name, values in drawn.items():
        assert (differences[name].low, differences[name].high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_a_side_against_itself_differs_by_nothing_and_sides_may_be_exchanged() -> None:
    assert {(d.value, d.low, d.high, d.is_clear) for d in paired_bootstrap(GOOD, GOOD, REFERENCES).values()} == {(0, 0, 0, False)}
    forth, back = paired_bootstrap(GOOD, POOR, REFERENCES), paired_bootstrap(POOR, GOOD, REFERENCES)
    for name, difference in forth.items():
        assert (difference.value, difference.low, difference.high) == pytest.approx(
            (-back[name].value, -back[name].high, -back[name].low)
        )
        assert difference.low <= difference.value <= difference.high
    assert paired_bootstrap(REFERENCES, POOR, REFERENCES)["chrf"].is_clear


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="9 and 8 comments do not fit 9 references"):
        paired_bootstrap(GOOD, POOR[1:], REFERENCES)


def test_the_interval_of_a_score_holds_it_and_narrows_with_more_rows() -> None:
    few, many = bootstrap(GOOD, REFERENCES), bootstrap(GOOD * 9, REFERENCES * 9)
    scored = metrics.score(GOOD, REFERENCES).scores
    for name, interval in few.items():
        assert interval.value == pytest.approx(getattr(scored, name))
        assert interval.low <= interval.value <= interval.high
        assert many[name].high - many[name].low < interval.high - interval.low


def test_several_runs_count_as_their_mean() -> None:
    draws = draw(len(REFERENCES))
    good, poor = tally(GOOD, REFERENCES), tally(POOR, REFERENCES)
    both, one = differences([good, poor], [poor], draws), differences([good], [poor], draws)
    for name in both:
        assert (both[name].value, both[name].low) == pytest.approx((one[name].value / 2, one[name].low / 2))
