"""What is drawn and listed of compared runs follows from their results alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from codeprune_tui.views.comparison import (
    AXES,
    COLUMNS,
    MOST,
    Curve,
    Level,
    Picture,
    change,
    default_marks,
    in_order,
    over_floor,
    picture,
)
from codeprune_tui.views.seed_means import grouped
from codeprune_tui.widgets.comparechart import COLOURS, LEVELS, LINES, MARKERS, legend, limits, lines, window
from core.recipe import build_recipe
from core.run.folder import RunInfo, RunPaths, State
from core.run.results import Result
from core.spec.criteria import differing_words

FLOORS = {"name": {"bleu": 13.0, "chrf": 16.0}, "constant": {"bleu": 8.0}}


def result(run: str, number: int, bleu: float | None, **other: object) -> Result:
    scores = {} if bleu is None else {"bleu": bleu, "chrf": 2 * bleu}
    usual = Result(run, number, 0.3 * number, scores, FLOORS, (4 - number) * 1_000_000, "valid", 200, 20.0)
    return replace(usual, **other)  # type: ignore[arg-type]


def runs() -> dict[str, tuple[Result, ...]]:
    return {
        "b": tuple(result("b", number, 15.0 - number) for number in range(3)),
        "a": tuple(result("a", number, 14.0 + number) for number in range(2)),
    }


def info(name: str, kind: str = "lottery", number: int = 1, state: State = State.STOPPED) -> RunInfo:
    return RunInfo(RunPaths(Path(name)), state, kind, number, 3, 0.3, 14.0, 15.0, 15.0, "cpu", 0.0)


def test_the_newest_lottery_runs_with_results_are_compared_at_first() -> None:
    infos = [info("new", number=-1), info("p", "pretrain"), info("gone", number=-1, state=State.DONE), *map(info, "abcde")]
    assert default_marks(infos) == ["gone", "a", "b", "c"]
    assert default_marks([]) == []


@pytest.mark.parametrize(("axis", "places"), [("sparsity", [0, 30, 60]), ("round", [0, 1, 2]), ("size", [4.0, 3.0, 2.0])])
def test_curves_along_each_axis(axis: str, places: list[float]) -> None:
    drawn = picture(runs(), AXES[axis], "bleu")
    assert [curve.run for curve in drawn.curves] == ["b", "a"]
    assert [x for x, _ in drawn.curves[0].points] == pytest.approx(places)
    assert [y for _, y in drawn.curves[0].points] == [15.0, 14.0, 13.0]
    dense = (Level("dense", 15.0, (0,)), Level("dense", 14.0, (1,)))
    assert drawn.levels == (*dense, Level("name", 13.0, (0, 1)), Level("constant", 8.0, (0, 1)))
    assert drawn.shares_floors
    assert drawn.note == ""
    assert drawn.whole == (axis == "round")


def test_other_scores_have_their_own_levels() -> None:
    drawn = picture(runs(), AXES["sparsity"], "chrf")
    assert drawn.title == "chrF by sparsity %"
    assert drawn.levels == (Level("dense", 30.0, (0,)), Level("dense", 28.0, (1,)), Level("name", 16.0, (0, 1)))
    assert picture(runs(), AXES["sparsity"], "corpus_bleu").curves[0].points == ()


def test_different_rows_are_told() -> None:
    results = runs()
    results["a"] = tuple(replace(each, rows=50) for each in results["a"])
    assert picture(results, AXES["round"], "bleu").note.startswith("Scored on different rows")
    results = runs()
    results["a"] = tuple(replace(each, floors={"name": {"bleu": 11.0}}) for each in results["a"])
    assert picture(results, AXES["round"], "bleu").note.startswith("Scored on different rows")


def on_other_rows() -> dict[str, tuple[Result, ...]]:
    """The two runs, "a" on rows where the constant sentence scores more than the name, and both less than elsewhere."""
    results = runs()
    floors = {"name": {"bleu": 9.0, "chrf": 9.0}, "constant": {"bleu": 11.0, "chrf": 11.0}}
    return {**results, "a": tuple(replace(each, floors=floors, rows=50) for each in results["a"])}


def test_floors_belong_to_the_runs_that_share_their_rows() -> None:
    drawn = picture(on_other_rows(), AXES["round"], "bleu")
    assert not drawn.shares_floors
    assert drawn.floors == (
        Level("name", 13.0, (0,)),
        Level("constant", 8.0, (0,)),
        Level("name", 9.0, (1,)),
        Level("constant", 11.0, (1,)),
    )
    # The highest floor of each, in its run's colour and with its marker; the dense line is the chosen run's.
    assert lines(drawn, 1) == [
        ("■ dense", COLOURS[1], 14.0),
        ("● name", COLOURS[0], 13.0),
        ("■ constant", COLOURS[1], 11.0),
    ]
    assert lines(drawn, None) == lines(drawn, 1)[1:]
    text = legend(drawn, 78).plain
    assert "● name 13.00, constant 8.00" in text
    assert "■ name 9.00, constant 11.00" in text
    assert "─ " not in text, "no line is everybody's"


def test_a_score_is_held_against_the_highest_floor_on_its_own_rows() -> None:
    results = on_other_rows()
    assert over_floor(results["b"][0]) == 14.0
    assert over_floor(results["a"][0]) == 17.0, "less chrF, and further above its own floor"
    assert over_floor(replace(results["a"][0], floors={})) is None
    assert over_floor(replace(results["a"][0], scores={})) is None
    first, last = in_order(results, "over", down=True)[0], in_order(results, "over", down=False)[0]
    assert (first.run, first.round) == ("a", 1)
    assert (last.run, last.round) == ("b", 2)


def test_a_run_without_floors_gets_nobody_elses() -> None:
    results = runs()
    results["a"] = tuple(replace(each, floors={}) for each in results["a"])
    drawn = picture(results, AXES["round"], "bleu")
    assert drawn.floors == (Level("name", 13.0, (0,)), Level("constant", 8.0, (0,)))
    assert "■ floors not known" in legend(drawn, 78).plain


def test_one_dense_score_of_all_runs_is_one_line() -> None:
    results = {"b": runs()["b"], "c": tuple(replace(each, run="c") for each in runs()["b"])}
    drawn = picture(results, AXES["round"], "bleu")
    assert drawn.dense == (Level("dense", 15.0, (0, 1)),)
    assert lines(drawn, None)[0] == ("dense", LEVELS["dense"], 15.0)


def test_the_floor_of_a_model_itself_is_named_in_words() -> None:
    results = {"b": tuple(replace(each, floors={**FLOORS, "encoder_off": {"bleu": 3.0}}) for each in runs()["b"])}
    drawn = picture(results, AXES["round"], "bleu")
    assert ("encoder off", LEVELS["encoder_off"], 3.0) in lines(drawn, None)
    assert "─ encoder off 3.00" in legend(drawn, 78).plain


def test_rounds_of_one_run_on_different_rows_are_told() -> None:
    results = runs()
    results["b"] = (results["b"][0], replace(results["b"][1], rows=50))
    assert (
        picture(results, AXES["round"], "bleu").note == "Rounds of one run were scored on different rows, and do not compare: b."
    )


def test_a_run_without_sizes_is_told() -> None:
    results = runs()
    results["a"] = tuple(replace(each, size_bytes=None) for each in results["a"])
    drawn = picture(results, AXES["size"], "bleu")
    assert drawn.curves[1].points == ()
    assert drawn.note == "a cannot be drawn: an older version wrote them."
    assert picture(results, AXES["round"], "bleu").note == ""


def test_every_column_sorts_both_ways_and_what_is_unknown_comes_last() -> None:
    results = runs()
    results["b"] = (*results["b"], result("b", 3, None, size_bytes=None))
    up = in_order(results, "bleu", down=False)
    assert [(each.run, each.round) for each in up] == [("b", 2), ("b", 1), ("a", 0), ("b", 0), ("a", 1), ("b", 3)]
    down = in_order(results, "bleu", down=True)
    assert [(each.run, each.round) for each in down] == [("b", 0), ("a", 1), ("b", 1), ("a", 0), ("b", 2), ("b", 3)]
    assert [each.run for each in in_order(results, "run", down=False)] == ["a", "a", "b", "b", "b", "b"]
    assert in_order(results, "size", down=False)[-1].round == 3
    for column in COLUMNS:
        assert len(in_order(results, column, down=True)) == 6
    by_change = in_order(results, "diff", down=True)
    assert (by_change[0].run, by_change[0].round) == ("a", 1)


def test_change_against_the_runs_own_dense_model() -> None:
    assert change(result("a", 1, 14.0), 30.0) == -2.0, "of chrF"
    assert change(result("a", 0, 15.0), 30.0) is None
    assert change(result("a", 1, None), 30.0) is None
    assert change(result("a", 1, 14.0), None) is None


def test_every_curve_has_a_marker_and_a_colour_of_its_own() -> None:
    assert len(set(MARKERS)) == len(set(COLOURS)) == MOST
    assert set(COLOURS).isdisjoint(LEVELS.values())


@pytest.mark.parametrize("width", [58, 78, 158])
@pytest.mark.parametrize("count", [1, 4, 8])
def test_the_legend_names_every_run_and_level_in_few_lines(width: int, count: int) -> None:
    curves = tuple(Curve(f"run-{number}-with-a-long-name", ((0.0, 15.0), (1.0, 14.0))) for number in range(count))
    everybody = tuple(range(count))
    levels = (Level("dense", 15.0, everybody), Level("name", 13.0, everybody), Level("constant", 8.0, everybody))
    text = legend(Picture("t", curves, levels, "mind", False), width).plain
    assert len(text.splitlines()) <= LINES + 1
    assert all(len(line) <= width for line in text.splitlines())
    assert "─ dense 15.00" in text
    assert "─ constant 8.00" in text
    assert all(f"{MARKERS[number]} run-{number}" in text for number in range(count))
    assert text.endswith("mind")
    assert ("run-0-with-a-long-name 15.00 → 14.00" in text) == ((count < 8 and (count == 1 or width > 58)) or width == 158)


def test_a_legend_says_how_runs_prune_as_far_as_they_differ() -> None:
    recipes = {
        "a": build_recipe({"pruning": {"criterion": "wanda", "budget": "owl"}}),
        "b": build_recipe({"pruning": {"criterion": "wanda", "scope": "row"}}),
        "c": build_recipe({"pruning": {"criterion": "wanda", "budget": "global"}, "rewind": {"to": "random"}}),
        "dense": build_recipe({"pruning": {"rounds": 0}}),
    }
    methods = differing_words(recipes)
    assert methods == {"a": "layerwise, owl", "b": "row, uniform", "c": "layerwise, global budget, drawn anew"}
    assert differing_words({"a": recipes["a"], "again": recipes["a"]}) == {"a": "", "again": ""}
    units = {unit: build_recipe({"pruning": {"unit": unit, "scope": "global"}}) for unit in ("weight", "head")}
    assert differing_words(units) == {"weight": "weight", "head": "head"}
    halves = {half: build_recipe({"pruning": {"prunable": half}}) for half in ("encoder", "decoder")}
    assert differing_words(halves) == {"encoder": "encoder", "decoder": "decoder"}
    shown = picture({name: (result(name, 0, 15.0), result(name, 1, 14.0)) for name in recipes}, AXES["sparsity"], "bleu", methods)
    text = legend(shown, 158).plain
    for entry in (
        "● a (layerwise, owl) 15.00 → 14.00",
        "■ b (row, uniform) 15.00",
        "▲ c (layerwise, global budget, drawn anew) 15.00",
    ):
        assert entry in text
    assert "◆ dense 15.00 → 14.00" in text


def test_methods_take_the_place_of_names_where_there_is_no_room_for_both() -> None:
    methods = {f"a-run-with-a-long-name-{criterion}": criterion for criterion in ("magnitude", "wanda", "sparsegpt", "fisher")}
    runs = {name: (result(name, 0, 15.0), result(name, 1, 14.0)) for name in methods}
    drawn = picture(runs, AXES["sparsity"], "bleu", methods)
    assert "● a-run-with-a-long-name-m… (magnitude) 15.00 → 14.00" in legend(drawn, 158).plain
    narrow = legend(drawn, 58).plain
    assert len(narrow.splitlines()) <= LINES + 1
    assert "● magnitude 15.00 → 14.00  ■ wanda 15.00 → 14.00" in narrow
    assert "▲ sparsegpt" in narrow
    assert "◆ fisher" in narrow
    assert (
        legend(picture({"wanda-s0": runs[next(iter(runs))]}, AXES["sparsity"], "bleu", {"wanda-s0": "wanda"}), 78).plain.count(
            "wanda"
        )
        == 1
    )


def test_a_curve_of_several_seeds_has_the_method_of_its_runs() -> None:
    runs = {name: (replace(result(name, 0, 15.0)), result(name, 1, 14.0)) for name in ("one-s0", "one-s1", "two-s0")}
    shown = grouped(runs, {"one-s0": "1", "one-s1": "1", "two-s0": "2"})
    drawn = picture(shown, AXES["sparsity"], "bleu", {"one-s0": "wanda", "one-s1": "wanda", "two-s0": "fisher"})
    assert [curve.method for curve in drawn.curves] == ["wanda", "fisher"]


def test_a_window_stays_inside_of_its_axis() -> None:
    assert window((0.0, 8.0), 5.0, 0) == (0, 8)
    assert window((0.0, 8.0), 5.0, 1) == (3, 7)
    assert window((0.0, 8.0), 9.0, 2) == (6, 8)
    assert window((0.0, 8.0), -1.0, 3) == (0, 1)


def test_times_from_different_settings_are_told_on_their_axis_only() -> None:
    results = runs()
    for name in results:
        results[name] = tuple(replace(each, ms_per_token=2.5, decoded_on=f"cpu, beam {name}") for each in results[name])
    drawn = picture(results, AXES["latency"], "bleu")
    assert drawn.note == "Times from different settings do not compare: cpu, beam a; cpu, beam b."
    assert drawn.curves[0].points[0] == (2.5, 15.0)
    assert picture(results, AXES["size"], "bleu").note == ""


def test_limits_are_never_empty() -> None:
    for values in ([], [3.0], [0.0], [-1.0, -1.0], [1e-9], [0.0, 100.0]):
        low, high = limits(values, 0.05)
        assert 0 <= low < high
