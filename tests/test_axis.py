"""Ticks are round and the same way apart, whatever the range; labels tell them apart; what cannot be drawn is known."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeprune_tui.views.axis import LARGEST, labels, number, span, ticks, usable

NUMBERS = st.floats(-LARGEST / 2, LARGEST / 2, allow_nan=False)


@given(NUMBERS, st.floats(1e-9, 1e9), st.integers(2, 12))
def test_ticks_are_few_even_and_on_the_axis(low: float, width: float, most: int) -> None:
    high = low + max(width, abs(low) * 1e-6)
    values = ticks(low, high, most)
    room = 1e-6 * (high - low)
    assert len(values) <= most
    assert all(low - room <= tick <= high + room for tick in values)
    gaps = [after - before for before, after in pairwise(values)]
    assert all(gap > 0 and math.isclose(gap, gaps[0], rel_tol=1e-3) for gap in gaps)
    assert len(set(labels(values))) == len(values)


def test_ticks_stand_where_one_expects_them() -> None:
    assert ticks(9.8, 11.7, 4) == [10.0, 10.5, 11.0, 11.5]
    assert labels(ticks(9.8, 11.7, 4)) == ["10.0", "10.5", "11.0", "11.5"]
    assert labels(ticks(0, 1e-4, 3)) == ["0", "5.0e−5", "1.0e−4"]
    assert labels(ticks(11_500, 12_500, 5)) == ["11.6k", "11.8k", "12.0k", "12.2k", "12.4k"]
    assert labels(ticks(-3, 3, 4)) == ["−2", "0", "2"]
    assert ticks(1.1, 8.1, 3) == [2, 8], "one tick is no scale"


def test_an_axis_is_never_empty() -> None:
    for values in ([], [0.0], [5.0, 5.0], [-2.0], [1e-4], [1e14]):
        low, high = span(values)
        assert low < high
        assert all(low <= value <= high for value in values)
    assert ticks(1.0, 1.0, 5) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308, None])
def test_what_cannot_be_drawn_is_known_and_reads_as_nothing(value: float | None) -> None:
    assert not usable(value)
    assert number(value) == "–"


def test_numbers_are_short() -> None:
    assert [number(value, 1) for value in (30, 12.5, 180)] == ["30", "12.5", "180"]
    assert [number(value) for value in (0, 3.32, 15, 15.2, 983.25, 12_340, 2.4e-5, -4.5)] == [
        "0.000", "3.320", "15.00", "15.20", "983.2", "12.34 k", "2.40e−5", "−4.500",
    ]  # fmt: skip
