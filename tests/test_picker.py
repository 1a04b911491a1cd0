"""The three pickers on made-up scores: when they stop, and what they pick."""

import pytest

from core.recipe import Picker as PickerRecipe
from core.train.picker import Picker


def after(rule: str, *scores: float, every: int = 100) -> Picker:
    picker = Picker(PickerRecipe(rule=rule, every=every))  # type: ignore[arg-type]  # parametrised literal
    for number, score in enumerate(scores, 1):
        picker = picker.with_score(number * every, score)
    return picker


@pytest.mark.parametrize("rule", ["last", "best"])
def test_stops_once_a_score_is_below_both_before_it(rule: str) -> None:
    assert not after(rule, 5, 4).stops
    assert not after(rule, 5, 6, 5.5).stops  # above the first of the two
    assert not after(rule, 5, 6, 5).stops  # equal is not worse
    assert after(rule, 5, 6, 4.9).stops
    assert after(rule, 9, 5, 6, 4.9).stops


def test_best_no_stop_never_stops() -> None:
    assert not after("best-no-stop", 5, 6, 1, 0).stops


def test_what_is_picked() -> None:
    assert after("last", 5, 6, 4.9).pick(300) == (300, 4.9, "stopped early, last step")
    assert after("best", 5, 6, 4.9).pick(300) == (200, 6, "stopped early, best of 3 measurements")
    assert after("best-no-stop", 5, 7, 4.9, 7).pick(400) == (200, 7, "best of 4 measurements")
    assert after("last").pick(500) == (500, None, "last step")


def test_due_once_per_multiple() -> None:
    picker = after("best", 5)
    assert [step for step in range(0, 301, 50) if picker.due(step)] == [200, 300]
    assert not Picker(PickerRecipe()).due(100)
