"""Runs share floors only where they were scored on the same rows."""

from dataclasses import replace

import pytest

from core.run.results import Result
from core.run.rowsets import by_rows, differ, mixed, telling

FLOORS = {"name": {"bleu": 13.0, "chrf": 16.0}, "constant": {"bleu": 8.0}}
ONE = Result("a", 0, floors=FLOORS, split="valid", rows=200, data="d1")


@pytest.mark.parametrize(
    "other",
    [
        {"split": "test"},
        {"rows": 201},
        {"data": "d2"},
        {"floors": {"name": {"bleu": 13.1}}},
        {"floors": {"name": {"bleu": 13.0, "chrf": 16.2}}},
        {"floors": {"constant": {"bleu": 9.0}}},
    ],
)
def test_any_known_difference_is_other_rows(other: dict[str, object]) -> None:
    assert differ(ONE, replace(ONE, run="b", **other))  # type: ignore[arg-type]
    assert differ(replace(ONE, run="b", **other), ONE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"split": ""},
        {"rows": 0},
        {"data": ""},
        {"floors": {}},
        {"floors": {"name": {"bleu": 13.0000001}}},
        {"floors": {**FLOORS, "encoder_off": {"bleu": 5.0}}},
    ],
)
def test_what_is_not_known_is_no_difference(other: dict[str, object]) -> None:
    assert not differ(ONE, replace(ONE, run="b", **other))  # type: ignore[arg-type]


def test_encoder_off_is_of_the_model_and_not_of_the_rows() -> None:
    one, other = (replace(ONE, floors={**FLOORS, "encoder_off": {"bleu": score}}) for score in (5.0, 6.0))
    assert not differ(one, other)


def test_groups_stand_in_the_order_of_their_first_runs() -> None:
    other = replace(ONE, floors={"name": {"bleu": 9.0}})
    results = {"a": (ONE,), "b": (other,), "empty": (), "c": (ONE,), "d": (other,)}
    assert by_rows(results) == [("a", "c"), ("b", "d")]


def test_a_run_is_told_by_its_first_floors_and_may_be_mixed() -> None:
    bare = replace(ONE, floors={})
    assert telling([bare, ONE]) is ONE
    assert telling([bare]) is bare
    assert telling([]) is None
    assert mixed([ONE, replace(ONE, rows=50)])
    assert not mixed([bare, ONE])
