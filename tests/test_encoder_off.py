"""Encoder off, the third floor: who decides what a study can say, and where it is shown, also where it was never measured."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from app_runs import (
    LARGE,
    NOW,
    SMALL,
    encoder_off,
    make_run,
    opened,
    shown,
    started,
    until,
    until_shown,
    whole_run,
    with_encoder_off,
)
from typer.testing import CliRunner

from codeprune_tui.cli import tables
from codeprune_tui.cli.runs import app as command_line
from codeprune_tui.reports import words
from codeprune_tui.reports.content import Content, read_content
from codeprune_tui.reports.figures import quality
from codeprune_tui.reports.markdown import markdown, runs_markdown
from codeprune_tui.reports.page import page
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.views.encoder_verdict import warning, warning_of_all
from codeprune_tui.views.state import RunView, eta_s, reduce_all
from codeprune_tui.views.text import sentence
from core.evaluate.evaluate import Decoded, Evaluation, floors_of
from core.run.encoder_off import EncoderOff, carries
from core.run.events import Evaluating, Event, Happening, Scores
from core.run.results import Result, ResultsReader, to_csv
from core.run.rowsets import by_rows
from core.score.interval import Difference, Interval
from core.score.tally import scored, tally
from core.text.rows import Row

IDLE = encoder_off(low=-0.2, value=0.5)
SAYS = "This study can say nothing about pruning the encoder"


def view_of(events: list[Happening]) -> RunView:
    return reduce_all(RunView(), [Event(seq, NOW + seq, what) for seq, what in enumerate(events)])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 1.0, True), (0.0, 1.0, False), (-0.2, 1.2, False), (-2.0, -1.0, False), (float("nan"), 1.0, None)],
)
def test_only_an_interval_above_0_says_that_the_encoder_carries_something(low: float, high: float, verdict: bool | None) -> None:
    less = {"bleu": Difference(3.0, 2.0, 4.0), "chrf": Difference((low + high) / 2, low, high)}
    assert carries(less) is verdict
    assert bool(warning(less)) == (verdict is False)


@pytest.mark.parametrize(("high", "told"), [(1.9, False), (2.0, True)])
def test_where_the_rows_are_too_few_the_sentence_says_so(high: float, told: bool) -> None:
    text = warning({"chrf": Difference(0.5, -0.5, high)})
    assert text.startswith(SAYS)
    assert text.endswith("not clearly above 0; more rows may tell." if told else "not clearly above 0.")


def test_not_measured_is_no_verdict() -> None:
    assert carries({}) is None
    assert carries({"bleu": Difference(0.0, -1.0, 1.0)}) is None  # chrF decides
    assert warning({}) == warning_of_all([Result("old", 0)]) == ""


def test_one_sentence_for_several_studies_names_those_that_it_is_about() -> None:
    idle, good = {"chrf": Difference(0.5, -0.2, 1.2)}, {"chrf": Difference(3.0, 2.0, 4.0)}
    rounds = [Result(run, number, dense_less=less) for run, less in (("a", idle), ("b", good), ("c", {})) for number in (0, 1)]
    assert warning_of_all(rounds) == (
        "1 of 3 studies can say nothing about pruning the encoder, for dense minus encoder off is not clearly above 0 in chrF: "
        "a +0.50 (−0.20 to +1.20)."
    )
    assert warning_of_all(rounds[:2]).startswith(SAYS)
    assert warning_of_all(rounds[2:]) == ""
    many = [Result(f"run-{number}", 0, dense_less=idle) for number in range(9)]
    assert warning_of_all(many).endswith("run-5 +0.50 (−0.20 to +1.20), and 3 more.")


def test_the_view_has_it_and_forgets_it_where_round_0_is_taken_up_again() -> None:
    events = with_encoder_off(whole_run(), IDLE)
    view = view_of(events)
    assert view.encoder_off == IDLE
    assert view.floors["encoder_off"] == IDLE.scores
    assert set(view.floors) == {"constant", "name", "encoder_off"}
    again = view_of([*events, started(resumed=True, round=0, step=20)])
    assert again.encoder_off is None
    assert set(again.floors) == {"constant", "name"}
    assert view_of([*events, started(resumed=True, round=1, step=0)]).encoder_off == IDLE


def test_the_time_left_counts_the_second_look_at_round_0() -> None:
    events = whole_run()
    end = next(place for place, what in enumerate(events) if getattr(what, "event", "") == "evaluated")
    before = view_of(events[: end + 1])  # scored, and the encoder is still to come
    halfway = view_of([*events[: end + 1], Evaluating(round=0, step=20, done=100, rows=200, encoder_off=True)])
    after = view_of([*events[: end + 1], IDLE])
    left = [eta_s(view, view.last.time) for view in (before, halfway, after) if view.last]
    assert left[0] - left[1] == pytest.approx(2.5 + 1.25)  # 2.5 s is what the evaluation took; the other half is left
    assert left[0] - left[2] == pytest.approx(2.5)


def test_every_round_has_its_runs_floor_from_either_source(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", with_encoder_off(whole_run(), IDLE))
    results = ResultsReader(paths).poll()
    assert [each.floors["encoder_off"]["chrf"] for each in results] == [pytest.approx(23.5)] * 4
    assert all(each.dense_less["chrf"] == Difference(0.5, -0.2, 1.2) for each in results)
    assert all(each.signatures["encoder_off"] == "encoder-off" for each in results)
    facts = {"scores": {"bleu": 1.0}, "encoder_off": {"scores": {"chrf": 7.0}, "dense_less": {"chrf": {"value": 1, "low": 0.5}}}}
    (paths.round(0) / "metrics.json").write_text(json.dumps(facts))  # damaged: half an interval is none
    for each in ResultsReader(paths).poll():
        assert each.floors["encoder_off"] == {"chrf": 7.0}
        assert each.dense_less == {}
    line = next(csv.DictReader(io.StringIO(to_csv(results))))
    assert float(line["floor_encoder_off_chrf"]) == pytest.approx(23.5)
    assert float(line["chrf_dense_less_encoder_off"]) == 0.5
    assert float(line["chrf_dense_less_encoder_off_low"]) == -0.2
    old = next(csv.DictReader(io.StringIO(to_csv([Result("old", 0)]))))
    assert (old["floor_encoder_off_chrf"], old["chrf_dense_less_encoder_off"]) == ("", "")


def test_the_table_of_a_run_begins_with_what_it_cannot_say() -> None:
    text = tables.results(view_of(with_encoder_off(whole_run(), IDLE)))
    assert text.startswith(f"{SAYS}: dense minus encoder off is +0.50 (−0.20 to +1.20) chrF, not clearly above 0.")
    assert "floor: encoder off" in text
    good = tables.results(view_of(with_encoder_off(whole_run(), encoder_off())))
    assert SAYS not in good
    assert "+3.40 (+2.50 to +4.30)" in good
    assert "Encoder off: not measured." in tables.results(view_of(whole_run()))
    assert "dense minus encoder off: +0.50 (−0.20 to +1.20) chrF" in sentence(Event(0, NOW, IDLE))


def test_the_report_begins_with_it_and_lists_every_run(tmp_path: Path) -> None:
    make_run(tmp_path, "idle", with_encoder_off(whole_run(), IDLE))
    make_run(tmp_path, "older", whole_run())
    content = read_content([tmp_path])
    assert words.introduction(content)[0].startswith("1 of 2 studies can say nothing about pruning the encoder")
    html, text = page(content), markdown(content)
    assert html.index("1 of 2 studies can say nothing") < html.index("2 runs of")
    assert text.index("1 of 2 studies can say nothing") < text.index("2 runs of")
    assert "23.50; +0.50 (−0.20 to +1.20)" in html
    assert "not measured" in html
    assert "encoder off, in the curve" in quality("k", content.study.groups)


@pytest.mark.parametrize("write", [markdown, runs_markdown])
def test_both_reports_in_markdown_list_every_run(tmp_path: Path, write: Callable[[Content], str]) -> None:
    make_run(tmp_path, "idle", with_encoder_off(whole_run(), IDLE))
    make_run(tmp_path, "older", whole_run())
    section = write(read_content([tmp_path])).split(f"## {words.ENCODER_OFF}")[1].split("\n## ")[0].splitlines()
    assert next(line for line in section if line.startswith("| idle |")).count("; +0.50 (−0.20 to +1.20)") == 3
    assert "not measured" in next(line for line in section if line.startswith("| older |"))


def test_models_on_the_same_rows_have_each_its_own_score_with_the_encoder_off(tmp_path: Path) -> None:
    for name, off in (("first", encoder_off(value=3.4)), ("second", encoder_off(value=5.0))):
        make_run(tmp_path, name, with_encoder_off(whole_run(), off))
    content = read_content([tmp_path])
    assert by_rows({run.name: run.results for run in content.study.runs}) == [("first", "second")]
    assert not any("different rows" in paragraph for paragraph in words.about_runs(content))


def test_what_compare_prints_begins_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "idle", with_encoder_off(whole_run(), IDLE))
    make_run(tmp_path, "good", with_encoder_off(whole_run(), encoder_off()))
    make_run(tmp_path, "older", whole_run())
    monkeypatch.setenv("COLUMNS", "300")

    def printed(*names: str) -> list[str]:
        done = CliRunner().invoke(command_line, ["--checkpoints", str(tmp_path), "compare", *names])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    both = printed("idle", "good")
    assert both[0].startswith(
        "1 of 2 studies can say nothing about pruning the encoder, for dense minus encoder off is not clearly"
    )
    assert both[0].endswith("idle +0.50 (−0.20 to +1.20).")
    assert both[1].startswith("run ")
    assert printed("idle")[0].startswith(f"{SAYS}: dense minus encoder off is +0.50 (−0.20 to +1.20) chrF")
    for names in (("good",), ("older",), ("good", "older")):
        assert printed(*names)[0].startswith("run "), names
    assert all("not measured" in line for line in printed("older") if line.startswith("older "))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_live_and_compare_say_it_first(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, _ = make_run(tmp_path, "idle", with_encoder_off(whole_run(), IDLE))
    async with opened(tmp_path, size) as (app, pilot):
        app.open_run(paths)
        await until_shown(app, SAYS)
        screen = shown_lines(app)
        assert next(place for place, line in enumerate(screen) if SAYS in line) == 1  # right below the status
        name = "enc off" if size == SMALL else "encoder off"
        assert any(name in line and "23.5" in line for line in screen)
        await pilot.press("c")
        await until(lambda: app.screen.has_class("charts"))
        await until(lambda: SAYS in shown_lines(app)[1], "the verdict above the charts")
        assert "encoder_off" not in shown(app)
        await pilot.press("4")
        await until_shown(app, "encoder off")
        screen = shown_lines(app)
        assert SAYS in screen[1]
        assert any("dense minus it +0.50" in line for line in screen)


async def test_older_runs_show_that_it_was_not_measured(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "older", whole_run())
    async with opened(tmp_path, LARGE) as (app, pilot):
        app.open_run(paths)
        await until_shown(app, "encoder off")
        assert any("encoder off not measured" in line for line in shown_lines(app))
        await pilot.press("4")
        await until_shown(app, "encoder off not measured")
        assert not any("can say nothing" in line for line in shown_lines(app))


def shown_lines(app: CodepruneApp) -> list[str]:
    return shown(app).splitlines()


async def test_a_small_live_screen_has_room_for_not_measured(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "older", whole_run())
    async with opened(tmp_path, SMALL) as (app, _):
        app.open_run(paths)
        await until_shown(app, "chrF 19.2 (name 16.7, enc off –)")


def test_what_evaluate_prints() -> None:
    rows = tuple(Row(f"name_{place}", "code", "Returns the sum .", "", place, "") for place in range(4))
    texts = ["Returns the sum ."] * 4
    counted = tally(texts, [row.target for row in rows])
    less = {name: Difference(0.5, -0.2, 1.2) for name in ("bleu", "corpus_bleu", "chrf", "rouge_l")}
    off = EncoderOff(Scores(1.0, 2.0, 3.0, 4.0), {"chrf": Interval(3.0, 2.5, 3.5)}, less, 1.0)
    decoded = Decoded(tuple(texts), 20, 1.0, 4)
    evaluation = Evaluation(rows, tuple(texts), scored(counted), floors_of(rows), {}, 1.0, decoded, counted, off)
    lines = tables.evaluation(evaluation, "mine").splitlines()
    warning = "A study of this model can say nothing about pruning the encoder: model minus encoder off is +0.50"
    assert lines[0].startswith(warning)
    assert next(line for line in lines if line.startswith("floor: encoder off")).split()[-4:] == ["3.00", "1.00", "2.00", "4.00"]
    assert next(line for line in lines if line.startswith("model minus")).count("+0.50 (−0.20 to +1.20)") == 4
    printed = json.loads(tables.evaluation_json(evaluation, {}))["encoder_off"]
    assert printed["scores"] == {"bleu": 1.0, "corpus_bleu": 2.0, "chrf": 3.0, "rouge_l": 4.0}
    assert printed["dense_less"]["chrf"] == {"value": 0.5, "low": -0.2, "high": 1.2}
    assert "encoder_off" not in json.loads(tables.evaluation_json(replace(evaluation, encoder_off=None), {}))
