"""Seeds of one curve as one: what is averaged, over which runs, and how far they are apart."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from codeprune_tui.reports.svg import draw, read
from codeprune_tui.views.comparison import AXES, change, in_order, picture
from codeprune_tui.views.seed_means import Mean, curves, grouped
from codeprune_tui.widgets.comparetable import _about
from core.recipe import build_recipe
from core.run.results import Result
from core.score.interval import Difference
from core.study.experiments import without_seed

KEYS = {"l1-s1": "l1", "l1-s2": "l1", "l1-s3": "l1", "random-s1": "random"}


def rounds(run: str, *values: float) -> tuple[Result, ...]:
    scores = [{"bleu": value, "chrf": value} for value in values]
    return tuple(Result(run, number, 0.3 * number, each, size_bytes=100 - number) for number, each in enumerate(scores))


def results() -> dict[str, tuple[Result, ...]]:
    return {
        "l1-s1": rounds("l1-s1", 15.0, 14.0, 12.0),
        "random-s1": rounds("random-s1", 15.0, 10.0),
        "l1-s2": rounds("l1-s2", 15.0, 14.5),
        "l1-s3": rounds("l1-s3", 16.5, 13.5),
        "lost": rounds("lost", 1.0),
    }


def test_runs_of_one_curve_stand_together_where_its_first_run_stood() -> None:
    assert curves(KEYS, list(results())) == [("l1-s1", "l1-s2", "l1-s3"), ("random-s1",), ("lost",)]
    assert curves({"a": "run b", "c": "run b"}, ["a", "b", "c"]) == [("a", "c"), ("b",)], "a key is nobody's name"


def test_means_spread_and_numbers() -> None:
    curves = grouped(results(), KEYS)
    assert list(curves) == ["l1-s* ×3", "random-s1", "lost"]
    assert curves["random-s1"] == results()["random-s1"], "a curve of one run is that run"
    dense, first, second = curves["l1-s* ×3"]
    assert isinstance(first, Mean)
    assert first.scores["bleu"] == pytest.approx(14.0)
    assert (first.low["bleu"], first.high["bleu"]) == (13.5, 14.5)
    assert first.deviation["bleu"] == pytest.approx(0.5)
    assert first.runs == ("l1-s1", "l1-s2", "l1-s3")
    assert first.size_bytes == 99
    assert isinstance(second, Mean)
    assert second.runs == ("l1-s1",)
    assert second.deviation == {}, "one run has no spread"
    assert change(dense, 15.5) is None


def test_times_are_means_as_well() -> None:
    timed = {
        name: tuple(replace(each, ms_per_row=10.0 * place, ms_per_token=float(place)) for each in rounds)
        for place, (name, rounds) in enumerate(results().items())
    }
    first = grouped(timed, KEYS)["l1-s* ×3"][1]
    assert (first.ms_per_row, first.ms_per_token) == (pytest.approx(50 / 3), pytest.approx(5 / 3))
    assert picture(grouped(timed, KEYS), AXES["comment"], "bleu").curves[0].points[0][0] == pytest.approx(50 / 3)


def test_the_difference_to_dense_is_that_of_the_same_runs() -> None:
    _, first, second = grouped(results(), KEYS)["l1-s* ×3"]
    assert change(first, None) == pytest.approx((-1.0 - 0.5 - 3.0) / 3)
    # Only l1-s1 has this round: against the mean of all dense models it would be -3.5.
    assert change(second, 15.5) == pytest.approx(-3.0)


def test_dense_minus_encoder_off_is_the_mean_of_those_that_measured_it() -> None:
    def measured(run: str, low: float) -> tuple[Result, ...]:
        less = {"chrf": Difference(low + 1, low, low + 2), "bleu": Difference(1.0, 0.5, 2.0)}
        floors = {"encoder_off": {"chrf": 20 - low, "bleu": 3.0}}
        return tuple(replace(each, floors=floors, dense_less=less) for each in rounds(run, 15.0, 14.0))

    some = {"l1-s1": measured("l1-s1", 3.0), "l1-s2": measured("l1-s2", 6.0), "l1-s3": rounds("l1-s3", 15.0)}
    _, first = grouped(some, KEYS)["l1-s* ×3"]
    assert first.floors["encoder_off"]["chrf"] == pytest.approx(15.5)
    assert first.dense_less == {"chrf": Difference(5.5, 4.5, 6.5), "bleu": Difference(1.0, 0.5, 2.0)}
    assert "encoder off 15.50, dense minus it +5.50 (+4.50 to +6.50)" in _about(first, "chrf", 300).plain
    damaged = replace(some["l1-s2"][1], dense_less={"bleu": Difference(1.0, 0.5, 2.0)})
    _, first = grouped({**some, "l1-s2": (some["l1-s2"][0], damaged)}, KEYS)["l1-s* ×3"]
    assert first.dense_less.keys() == {"bleu"}, "the mean of one would stand beside the score of two"


def test_a_title_is_never_another_run() -> None:
    odd = {"a1": rounds("a1", 1.0), "a2": rounds("a2", 2.0), "a* ×2": rounds("a* ×2", 3.0)}
    curves = grouped(odd, {"a1": "x", "a2": "x"})
    assert list(curves) == ["a* ×2'", "a* ×2"]
    assert [each.scores["bleu"] for each in in_order(curves, "bleu", True)] == [3.0, 1.5]


def test_the_chart_has_whiskers_where_there_are_several_seeds(tmp_path: Path) -> None:
    drawn = picture(grouped(results(), KEYS), AXES["round"], "bleu")
    assert drawn.curves[0].points == ((0.0, 15.5), (1.0, 14.0), (2.0, 12.0))
    assert drawn.curves[0].spread == ((0.0, 15.0, 16.5), (1.0, 13.5, 14.5))
    assert drawn.curves[1].spread == ()
    assert read(json.dumps(asdict(drawn))) == drawn, "it goes to the process that draws, whiskers included"
    draw(drawn, tmp_path / "seeds.svg")
    bare = replace(drawn, curves=tuple(replace(curve, spread=()) for curve in drawn.curves))
    draw(bare, tmp_path / "bare.svg")
    assert len((tmp_path / "seeds.svg").read_text()) > len((tmp_path / "bare.svg").read_text())


def test_recipes_that_differ_only_in_seed_and_machine_are_one_curve() -> None:
    one, two = (build_recipe({"training": {"seed": seed, "threads": seed}}) for seed in (1, 2))
    other = build_recipe({"training": {"seed": 1, "batch_size": 5}})
    assert without_seed(one) == without_seed(two) != without_seed(other)
