"""Mode 4, as it is shown: run folders in, chart and table on the screen and a CSV file out, at both sizes."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from app_runs import LARGE, SMALL, a_round, beginning, make_run, opened, shown, started, until, until_shown, whole_run
from test_quantize_grid import grid_of
from textual.pilot import Pilot
from textual.widgets import DataTable

from codeprune_tui.screens.compare import CompareScreen
from codeprune_tui.screens.marks import MarkRuns
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.widgets.chart import Plot
from codeprune_tui.widgets.comparetable import CompareTable
from core.recipe import build_recipe, to_toml
from core.run.events import Happening, RoundFinished, Scores, Step
from core.run.folder import RunPaths
from core.study.gridfile import NAME

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


def sized(events: list[Happening], first: int = 4_000_000) -> list[Happening]:
    """The events of a run, with sizes in it, as today's workers tell them."""
    return [
        replace(event, size_bytes=first - 1_000_000 * event.round) if isinstance(event, RoundFinished) else event
        for event in events
    ]


async def open_compare(app: CodepruneApp, pilot: "Pilot[None]", name: str) -> CompareScreen:
    await until_shown(app, name)
    await pilot.press("4")
    await until_shown(app, "[4 Compare]")
    assert isinstance(app.screen, CompareScreen)
    return app.screen


def lines(app: CodepruneApp, run: str) -> list[list[str]]:
    """The table's lines of a run, as words."""
    words = [line.split() for line in shown(app).splitlines()]
    return [line for line in words if len(line) > 5 and line[1] == run and line[2].isdecimal()]


def column(app: CodepruneApp, run: str, name: str) -> list[str]:
    """What stands in a column, which is right-aligned under its name, in the table's lines of a run that can be seen."""
    shown_lines = shown(app).splitlines()
    header = next(line for line in shown_lines if name in line)
    end = header.index(name) + len(name)
    mine = [line for line in shown_lines if len(line.split()) > 5 and line.split()[1:2] == [run] and line.split()[2].isdecimal()]
    return [line[:end].split()[-1] for line in mine]


@SIZES
async def test_the_newest_runs_are_compared_at_first(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "first", sized(whole_run("first")))
    make_run(tmp_path, "second", sized([*beginning("second"), *a_round(0, 16.0), *a_round(1, 14.5)]))
    make_run(
        tmp_path,
        "warm",
        [
            started("warm", kind="pretrain"),
            Step(round=0, step=1, steps=20, loss=3.0, learning_rate=1e-4, tokens_per_second=1.0, examples_per_second=1.0),
        ],
    )
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "second")
        await until_shown(app, "chrF by sparsity %")
        await until_shown(app, "6 rounds of 2 runs, by run ↑")
        await until_shown(app, "second 25.60 → 23.20")
        await until_shown(app, "first 24.00 → 19.20")
        for text in ("─ name 16.70", "─ constant 10.50", "■ dense", "constant"):
            await until_shown(app, text)
        assert any(line.rstrip().endswith(("constant┃", "constant┣")) for line in shown(app).splitlines())
        await pilot.press("end")
        await until_shown(app, "● dense")  # each run's own, where they differ
        assert {"●", "■"} <= set(shown(app).split("rounds of")[0])
        line = lines(app, "first")[1]
        if size == LARGE:
            assert line[1:12] == ["first", "1", "30", "%", "22.40", "−1.60", "–", "+5.70", "14.00", "2.80", "3.00"]
        else:
            assert line[1:] == ["first", "1", "30", "%", "22.40", "−1.60", "+5.70", "14.00", "2.80", "3.00"]
        assert lines(app, "first")[0][5:6] == ["24.00"]
        assert "warm" not in shown(app)


async def test_axes_and_scores_switch(tmp_path: Path) -> None:
    make_run(tmp_path, "first", sized(whole_run("first")))
    async with opened(tmp_path) as (app, pilot):
        await open_compare(app, pilot, "first")
        await until_shown(app, "chrF by sparsity %")
        await pilot.press("x")
        await until_shown(app, "chrF by round")
        await pilot.press("x")
        await until_shown(app, "chrF by size MB")
        await until_shown(app, "─ constant 10.50")
        await pilot.press("y")
        await until_shown(app, "smoothed BLEU-4 by size MB")
        await pilot.press("y")
        await until_shown(app, "corpus BLEU by size MB")
        await until_shown(app, "first 3.00 → 2.40")
        await until_shown(app, "─ name 0.84")
        await until_shown(app, "Corpus BLEU is not reliable below 5 points of difference")
        await pilot.press("y")
        await until_shown(app, "ROUGE-L by size MB")
        await pilot.press("y", "x")
        await until_shown(app, "chrF by ms per comment")
        await until_shown(app, "first cannot be drawn")
        await pilot.press("x")
        await until_shown(app, "chrF by ms per token")
        await pilot.press("x")
        await until_shown(app, "chrF by sparsity %")


async def test_the_table_is_sorted_by_any_column_and_the_cursor_stays(tmp_path: Path) -> None:
    make_run(tmp_path, "first", sized(whole_run("first")))
    async with opened(tmp_path) as (app, pilot):
        screen = await open_compare(app, pilot, "first")
        await until_shown(app, "4 rounds of 1 run, by run ↑")
        await pilot.press("down", "o", "o", "o")
        await until_shown(app, "by chrF ↑")
        assert [line[2] for line in lines(app, "first")] == ["3", "2", "1", "0"]
        await pilot.press("O")
        await until_shown(app, "by chrF ↓")
        await until_shown(app, "chrF↓")
        assert [line[2] for line in lines(app, "first")] == ["0", "1", "2", "3"]
        chosen = screen.query_one(CompareTable).chosen
        assert chosen is not None
        assert chosen.round == 1
        table = screen.query_one(DataTable)
        await pilot.click(DataTable, offset=(table.size.width - 3, 1))  # the title of the last column
        await until_shown(app, "by MB ↑")
        await pilot.click(DataTable, offset=(table.size.width - 3, 1))
        await until_shown(app, "by MB ↓")


@SIZES
async def test_marks_are_chosen_in_a_dialog(tmp_path: Path, size: tuple[int, int]) -> None:
    for name in ("a", "b", "c"):
        make_run(tmp_path, name, sized(whole_run(name)))
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "12 rounds of 3 runs")
        await pilot.press("m")
        await until_shown(app, "[×] c  lottery, round 3/3, BLEU 12.00")
        await pilot.press("space")
        await until_shown(app, "[ ] c")
        await pilot.press("down", "space", "down", "space", "enter")
        await until_shown(app, "Mark at least one run and at most 8; 0 are marked.")
        assert isinstance(app.screen, MarkRuns)
        await pilot.press("space", "enter")
        await until_shown(app, "4 rounds of 1 run")
        await until_shown(app, "● a 24.00 → 19.20")
        await pilot.press("m")
        await until_shown(app, "[×] a")
        await pilot.press("space", "escape")
        await until(lambda: isinstance(app.screen, CompareScreen))
        # Another run that comes does not change what was marked.
        make_run(tmp_path, "newest", sized(whole_run("newest")))
        await until(lambda: len(app.runs or []) == 4)
        await until_shown(app, "4 rounds of 1 run")


@SIZES
async def test_runs_without_weights_or_rounds_on_disk_are_compared(tmp_path: Path, size: tuple[int, int]) -> None:
    one, _ = make_run(tmp_path, "no-rounds", sized(whole_run("no-rounds")))
    shutil.rmtree(one.rounds)
    two, _ = make_run(tmp_path, "no-journal", whole_run("no-journal"))
    two.journal.unlink()
    make_run(tmp_path, "older", whole_run("older"))
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "no-rounds")
        await until_shown(app, "12 rounds of 3 runs")
        await until_shown(app, "no-rounds 24.00 → 19.20")
        await until_shown(app, "no-journal 24.00 → 19.20")
        await pilot.press("x", "x")
        await until_shown(app, "by size MB")
        await until_shown(app, "older, no-journal cannot be drawn: an older version wrote them.")
        await pilot.press("y")
        await until_shown(app, "no-rounds 15.00 → 12.00")


@SIZES
async def test_runs_on_different_rows_have_each_its_own_floors(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "a", whole_run("a"))
    other, _ = make_run(tmp_path, "b", whole_run("b"))
    for number in range(4):
        floors = {"name": {"chrf": 9.0}, "constant": {"chrf": 11.0}}
        facts = {"scores": {"chrf": 12.5 - number / 4}, "rows": 50, "floors": floors}
        (other.round(number) / "metrics.json").write_text(json.dumps(facts))
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "Scored on different rows")
        for text in ("name 16.70, constant 10.50", "name 9.00, constant 11.00", "■ name", "● constant"):
            await until_shown(app, text)
        above = column(app, "b", "Δ floor")
        assert above
        assert above == ["+1.50", "+1.25", "+1.00", "+0.75"][: len(above)]
        await pilot.press("down")
        await until_shown(app, "round 1 · 22.40 (name 16.70")  # of a, the first run
        await pilot.press("end")
        await until_shown(app, "round 3 · 11.75 (constant 11.00")


async def test_a_run_that_goes_on_is_followed(tmp_path: Path) -> None:
    _, worker = make_run(tmp_path, "a", [*beginning("a"), *a_round(0, 15.0)])
    async with opened(tmp_path) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "1 round of 1 run")
        await until_shown(app, "● a 24.00")
        for event in sized(a_round(1, 14.25)):
            worker.append(event)
        await until_shown(app, "● a 24.00 → 22.80")


@SIZES
async def test_export_writes_what_the_table_shows_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    runs, current = tmp_path / "runs", tmp_path / "here"
    current.mkdir()
    monkeypatch.chdir(current)
    make_run(runs, "a", sized(whole_run("a")))
    make_run(runs, "b", whole_run("b"))
    async with opened(runs, size) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "8 rounds of 2 runs")
        await pilot.press("o", "o", "o", "O")
        await until_shown(app, "by chrF ↓")
        await pilot.press("e")
        await until_shown(app, "Write into the current folder as:")
        await pilot.press("enter")
        await until_shown(app, "compare-1.csv: 8 rounds of 2 runs,")
        rows = list(csv.DictReader((current / "compare-1.csv").read_text().splitlines()))
        assert [row["bleu"] for row in rows] == ["15.0", "15.0", "14.0", "14.0", "13.0", "13.0", "12.0", "12.0"]
        assert {row["run"]: row["size_bytes"] for row in rows} == {"a": "1000000", "b": ""}
        await pilot.press("e", "escape", "e", "enter")
        await until(lambda: (current / "compare-2.csv").exists())


async def test_an_export_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "a", whole_run("a"))
    monkeypatch.setattr("codeprune_tui.screens.compare.free_file", lambda folder, ending: Path(f"/dev/null/x.{ending}"))
    async with opened(tmp_path) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("e", "enter")
        await until_shown(app, "Failed: ")
        await pilot.press("e", "down", "enter")
        await until(lambda: "Nothing was written:" in shown(app), "its failure was never told", timeout_s=240)


@SIZES
async def test_intervals_and_times_where_they_are_known(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, _ = make_run(tmp_path, "a", sized(whole_run("a")))
    decoding = {"rows": 200, "tokens": 2000, "seconds": 7.0, "device": "cpu", "threads": 2, "beam": 10, "batch_size": 8}
    against = {"bleu": {"value": -1.0, "low": -1.52, "high": -0.48}, "chrf": {"value": -1.6, "low": -2.0, "high": 0.25}}
    facts = {"sparsity": 0.3, "scores": {"bleu": 14.0}, "against_dense": against, "decoding": decoding}
    (paths.round(1) / "metrics.json").write_text(json.dumps(facts))
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("down")
        await until_shown(
            app, "(name 16.70) · Δ dense −1.60 (−2.00..+0.25)" if size == SMALL else "constant 10.50) · Δ dense −1.60"
        )
        if size == LARGE:
            assert [line[7] for line in lines(app, "a")] == ["–", "−2.00..+0.25", "–", "–"]
            assert [line[12] for line in lines(app, "a")] == ["–", "35.00", "–", "–"]
            await until_shown(app, "(−2.00..+0.25) · 35.00 ms/comment, 3.50 ms/token (cpu")
        await pilot.press("y")
        await until_shown(app, "14.00 (name 13.16")
        await pilot.press("y", "y", "y", "x", "x", "x")
        await until_shown(app, "chrF by ms per comment")
        await until_shown(app, "● a 22.40")


@SIZES
async def test_the_chart_zooms_in_on_the_chosen_line(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "a", sized(whole_run("a")))
    async with opened(tmp_path, size) as (app, pilot):
        screen = await open_compare(app, pilot, "a")
        plot = screen.query_one(Plot)
        await until_shown(app, "4 rounds of 1 run")
        whole = (plot._x_min, plot._x_max, plot._y_min, plot._y_max)
        await pilot.press("down", "plus", "plus")
        await until_shown(app, "zoom ×4, 0 shows all")
        assert plot._x_max - plot._x_min == pytest.approx((whole[1] - whole[0]) / 4)
        assert (plot._x_max + plot._x_min) / 2 == pytest.approx(30)
        assert (plot._y_max + plot._y_min) / 2 == pytest.approx(22.4)
        half = (plot._x_max - plot._x_min) / 2
        await pilot.press("full_stop")
        await until(lambda: (plot._x_max + plot._x_min) / 2 == pytest.approx(30 + half))
        await pilot.press("shift+left")
        await until(lambda: (plot._x_max + plot._x_min) / 2 == pytest.approx(30))
        await pilot.press("full_stop", "down")  # another line is shown where it is
        await until(lambda: (plot._x_max + plot._x_min) / 2 == pytest.approx(60))
        await pilot.press("minus")
        await until_shown(app, "zoom ×2, 0 shows all")
        await pilot.press("0")
        await until(lambda: "zoom" not in shown(app).split("rounds of")[0])
        assert (plot._x_min, plot._x_max, plot._y_min, plot._y_max) == pytest.approx(whole)


async def test_the_chart_is_written_as_svg_and_names_in_it_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", "a", whole_run("a"))[0].root.rename(tmp_path / "runs" / "<b>$x^2$")
    async with opened(tmp_path / "runs") as (app, pilot):
        await open_compare(app, pilot, "<b>$x^2$")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("e", "down", "enter")
        await until_shown(app, "Writing compare-1.svg")
        await until(lambda: "compare-1.svg: 4 rounds" in shown(app), "it was never drawn", timeout_s=240)
    texts = [element.text for element in ElementTree.parse("compare-1.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"<b>$x^2$", "chrF by sparsity %", "dense 24.00"} <= set(texts)


@SIZES
async def test_the_legend_says_how_the_runs_prune(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "mine", whole_run("mine"), criterion="wanda", scope="row")
    make_run(tmp_path, "other", whole_run("other"), criterion="sparsegpt", scope="row", budget="owl")
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "mine")
        await until_shown(app, "mine (wanda, uniform)")
        await until_shown(app, "other (sparsegpt, owl)")


async def test_a_report_on_the_compared_runs_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", "mine", whole_run("mine"))
    async with opened(tmp_path / "runs") as (app, pilot):
        await open_compare(app, pilot, "mine")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("e", "end", "enter")
        await until(lambda: "compare-1.html: 4 rounds" in shown(app), "it was never written", timeout_s=240)
    assert "mine" in Path("compare-1.html").read_text()


async def test_nothing_to_compare(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "No runs yet.")
        await pilot.press("4")
        await until_shown(app, "Nothing to compare yet.")
        await pilot.press("x", "y", "o", "O", "e")
        await until_shown(app, "There is nothing to export yet")
        await pilot.press("m")
        await until_shown(app, "There are no runs to mark yet.")


async def test_enter_shows_the_chosen_run_live(tmp_path: Path) -> None:
    make_run(tmp_path, "a", whole_run("a"))
    async with opened(tmp_path) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")
        await until(lambda: app.watched is not None and app.watched.paths.name == "a")


async def test_names_are_text_never_markup(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "a", whole_run("a"))
    evil = RunPaths(tmp_path / "[red]x[!]")
    paths.root.rename(evil.root)
    async with opened(tmp_path, LARGE) as (app, pilot):
        await open_compare(app, pilot, "[red]x[!]")
        await until_shown(app, "● [red]x[!] 24.00 → 19.20")
        await pilot.press("m")
        await until_shown(app, "[×] [red]x[!]")


async def test_a_small_and_a_tiny_terminal(tmp_path: Path) -> None:
    make_run(tmp_path, "a", sized(whole_run("a")))
    async with opened(tmp_path, (60, 16)) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "chrF by sparsity %")
        await until_shown(app, "4 rounds of 1 run, by run")
        await until_shown(app, "24.00")
        await pilot.resize_terminal(50, 12)
        await until(lambda: "rounds of" not in shown(app))
        await pilot.resize_terminal(160, 48)
        await until_shown(app, "seconds")


@SIZES
async def test_seeds_become_one_curve_and_come_apart_again(tmp_path: Path, size: tuple[int, int]) -> None:
    for seed, bleu in ((1, 0.0), (2, 0.5), (3, 1.0)):
        events = [
            replace(event, scores=Scores(20.0, 1.0, event.scores.bleu + bleu))
            if isinstance(event, RoundFinished) and event.scores
            else event
            for event in whole_run(f"l1-s{seed}")
        ]
        paths, _ = make_run(tmp_path, f"l1-s{seed}", events)
        recipe = build_recipe({"pruning": {"rounds": 3}, "training": {"steps": 20, "seed": seed}})
        paths.recipe.write_text(to_toml(recipe))
    other, _ = make_run(tmp_path, "other", whole_run("other"))
    other.recipe.write_text(to_toml(build_recipe({"pruning": {"rounds": 3}, "training": {"steps": 21}})))
    async with opened(tmp_path, size) as (app, pilot):
        await open_compare(app, pilot, "l1-s1")
        await until_shown(app, "16 rounds of 4 runs")
        await pilot.press("g")
        await until_shown(app, "8 rounds of 2 curves, seeds together")
        await until_shown(app, "chrF ± sd")
        await until_shown(app, "■ l1-s* ×3 15.50 → 12.50")
        await until_shown(app, "15.50 ± 0.50")
        await pilot.press("down")
        await until_shown(app, "round 1 · 14.50 ± 0.50, 14.00..15.00 (name 16.70")
        if size == LARGE:
            await until_shown(app, "lowest..highest")
            await until_shown(app, "14.00..15.00")
        await pilot.press("enter")
        await until(lambda: app.watched is not None and app.watched.paths.name == "l1-s1")
        await pilot.press("4", "g")
        await until_shown(app, "16 rounds of 4 runs")
        assert "±" not in shown(app)


async def test_no_seeds_to_put_together(tmp_path: Path) -> None:
    make_run(tmp_path, "a", whole_run("a"))
    async with opened(tmp_path) as (app, pilot):
        await open_compare(app, pilot, "a")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("g")
        await until_shown(app, "No two of these runs")
        await until_shown(app, "4 rounds of 1 run")


@SIZES
async def test_quantized_models_of_a_run_and_the_frontier(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, _ = make_run(tmp_path, "first", sized(whole_run("first")))
    async with opened(tmp_path, size) as (app, pilot):
        screen = await open_compare(app, pilot, "first")
        await until_shown(app, "4 rounds of 1 run")
        await pilot.press("z")
        await until_shown(app, "None of these runs has been quantized")
        grid_of(paths.root / NAME)
        await until(lambda: bool(screen._quantized), "the file to be read")
        await pilot.press("z")
        await until_shown(app, "6 models in 2 curves by quantizer")
        await until_shown(app, "● fp32 · first 24.00 → 22.00")
        await until_shown(app, "■ dynamic-int8 · first 23.00 → 21.00")
        assert "★" not in shown(app), "sparsity is no cost"
        await pilot.press("x", "x")
        await until_shown(app, "chrF by size MB")
        await until_shown(app, "─★ frontier: 4 that none beats in both")
        models = [line for line in shown(app).splitlines() if " %" in line and ("fp32 · f" in line or "dynamic-" in line)]
        signs = [line.split()[0] for line in models]
        assert len(signs) > 3
        assert signs == ["■★", "■★", "■★", "●★", "●", "●"][: len(signs)]
        await pilot.press("x")
        await until_shown(app, "chrF by ms per comment")
        await until_shown(app, "─★ frontier: 2 that none beats in both")
        await pilot.press("enter")
        await until(lambda: app.watched is not None and app.watched.paths.name == "first")
        await pilot.press("4", "z")
        await until_shown(app, "4 rounds of 1 run")
