"""Charts of the live view: two series at a time, by key and by name, with cursor, mouse, zoom and panning, at both sizes."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
from app_runs import (
    LARGE,
    SMALL,
    a_round,
    beginning,
    evaluated,
    live,
    make_run,
    opened,
    shown,
    step,
    until,
    until_shown,
    whole_run,
)
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from codeprune_tui.tui import CodepruneApp
from codeprune_tui.views.series import titles
from codeprune_tui.widgets.chart import Plot, ScoreChart
from codeprune_tui.widgets.serieschart import Charts, SeriesChart
from codeprune_tui.widgets.spark import scaled
from core.run.events import RoundFinished, Scores, Step

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


async def open_charts(app: CodepruneApp, pilot: Pilot[None], name: str = "ruby-1") -> list[SeriesChart]:
    await until_shown(app, name)
    await pilot.press("enter")
    await until_shown(app, "[2 Live]")
    await until(lambda: app.watched is not None and app.watched.caught_up)
    await pilot.press("c")
    await until_shown(app, "loss, by round")
    return list(app.screen.query(SeriesChart))


@SIZES
async def test_two_series_at_a_time_by_key(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, size) as (app, pilot):
        await open_charts(app, pilot)
        await until_shown(app, "newest round 3, step 20: loss 2")
        await until_shown(app, "newest round 3: chrF 19.20")
        await until_shown(app, "─ dense 24.00")
        await until_shown(app, "] Series")
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until_shown(app, "smoothed BLEU-4, by round")
        await pilot.press("left_square_bracket", "left_square_bracket", "tab", "right_square_bracket")
        await until_shown(app, "loss, by round")
        await until_shown(app, "smoothed BLEU-4, by round")
        assert "chrF, by round" not in shown(app)
        await pilot.press("escape")
        await until_shown(app, "sparsity %, round 3: 90 %")
        assert "] Series" not in shown(app)


async def test_any_series_can_be_chosen_from_a_list_and_by_the_palette(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, LARGE) as (app, pilot):
        await open_charts(app, pilot)
        assert app.watched is not None
        known = titles(app.watched.view)
        await pilot.press("enter")
        await until_shown(app, "Which series?")
        place = list(known.values()).index("sparsity of encoder layer 2, key")
        await pilot.press(*["down"] * place, "enter")
        await until_shown(app, "sparsity of encoder layer 2, key, %, by round")
        await until_shown(app, "newest round 3: sparsity of encoder layer 2 90 %")
        assert {f"Chart: {title}" for title in known.values()} <= {each.title for each in app.get_system_commands(app.screen)}
        await pilot.press("1")
        await until_shown(app, "[1 Runs]")
        for command in app.get_system_commands(app.screen):
            if command.title == "Chart: learning rate":
                command.callback()
        await until_shown(app, "learning rate, by round")
        await until_shown(app, "[2 Live]")
        await until_shown(app, "1.00e−4")


async def test_the_cursor_says_values_and_zoom_and_panning_follow(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, LARGE) as (app, pilot):
        upper, lower = await open_charts(app, pilot)
        await pilot.press("left")
        await until_shown(app, "╋ round 3, step 20: loss 2")
        await pilot.press(*["left"] * 10)
        await until_shown(app, "╋ round 3, step 10: loss 3")
        await pilot.press("plus", "plus")
        await until_shown(app, "loss, by round · zoom ×4")
        left, right = upper._ends
        assert right - left == pytest.approx(1.0)
        assert left <= 2.5 <= right
        await pilot.press("comma")
        await until(lambda: upper._ends == pytest.approx((left - 0.25, right - 0.25)))
        await pilot.press(*["comma"] * 30)
        await until(lambda: upper._ends == pytest.approx((-1.0, 0.0)), "panning ends where the run begins")
        await pilot.press("full_stop")
        await until(lambda: upper._ends == pytest.approx((-0.75, 0.25)))
        await pilot.press("right")
        await until_shown(app, "╋ round 1, step 5")  # a cursor that was left behind comes into sight
        await pilot.press("right")
        await until_shown(app, "╋ round 1, step 6")
        assert upper._ends[0] <= 0.3 <= upper._ends[1], "the part that is shown follows the cursor"
        await pilot.press("0")
        await until(lambda: upper._ends == (-1.0, 3.0))
        assert lower._ends == (-1.0, 3.0)


async def test_the_mouse_says_values_and_its_wheel_zooms(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, LARGE) as (app, pilot):
        upper, _ = await open_charts(app, pilot)
        plot = upper.query_one(Plot).query_one("#plot")
        await pilot.hover(plot, (plot.size.width // 2, 5))
        await until_shown(app, "mouse round 1, step 20: loss 2")
        await pilot.click(plot, (3, 5))
        await pilot.hover(app.screen.query_one("StatusLine"))
        await until_shown(app, "╋ round 0, step 1: loss 3.900")
        await pilot._post_mouse_events([MouseScrollUp], plot, (3, 5))
        await until_shown(app, "zoom ×2")
        assert -1.0 <= upper._ends[0] < -0.9
        await pilot._post_mouse_events([MouseScrollDown], plot, (3, 5))
        await until(lambda: "zoom ×2" not in shown(app))


@SIZES
async def test_what_is_no_number_is_left_out_and_said(tmp_path: Path, size: tuple[int, int]) -> None:
    bad = (math.inf, -math.inf, math.nan, 1e308, -1e308)
    steps = [
        Step(round=1, step=at, steps=20, loss=value, learning_rate=value, tokens_per_second=value, examples_per_second=value)
        for at, value in enumerate(bad, 3)
    ]
    scores = [evaluated(1, at, value) for at, value in enumerate(bad, 10)]
    done = RoundFinished(round=1, sparsity=0.3, scores=Scores(1e308, math.nan, -math.inf), steps=20, seconds=math.inf)
    events = [*beginning("ruby-1"), *a_round(0, 15.0), *a_round(1, 14.0)[:5], *steps, *scores, step(1, 18), done]
    make_run(tmp_path, "ruby-1", events)
    async with opened(tmp_path, size) as (app, pilot):
        await open_charts(app, pilot)
        await until_shown(app, "5 left out: no numbers")
        await until_shown(app, "6 left out: no numbers")
        assert app.watched is not None
        for key in titles(app.watched.view):
            app.screen.query_one(Charts).choose(key)
            await pilot.pause()
        for plot in app.screen.query(Plot):
            values = [number for data in plot._datasets for number in (*data.x, *data.y)]
            assert all(abs(number) < 1e15 for number in values)
        await pilot.press("c")
        await until_shown(app, "chrF by round")
        await until_shown(app, "left out")


async def test_charts_grow_while_they_are_looked_at(tmp_path: Path) -> None:
    paths, worker = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), *a_round(1, 14.0)[:5]])
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            await open_charts(app, pilot)
            worker.append(step(1, 19, 7.25))
            await until_shown(app, "newest round 1, step 19: loss 7.250")
            await pilot.press("f")
            worker.append(step(1, 20, 8.5))
            await until(lambda: app.watched is not None and app.watched.view.loss == 8.5)
            assert "loss 8.500" not in shown(app), "a frozen view stays as it is"


@SIZES
async def test_the_loss_has_a_scale(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until_shown(app, "loss 2.000 · 2.000 to 3.900")
        if size == LARGE:
            await until_shown(app, "╵round 0")
            await until_shown(app, "╵round 0")


def test_bars_with_a_scale_say_both_ends_and_where_rounds_begin() -> None:
    points = [(number, at, 4.0 - at) for number in range(3) for at in range(4)]
    assert scaled(points, 18, 4) == [
        "4.000 █   █   █   ",
        "      ██▁ ██▁ ██▁ ",
        "1.000 ███▁███▁███▁",
        "      ╵round 0    ",
    ]
    assert scaled(points, 12, 1) == ["█▆▃▁█▆▃▁█▆▃▁"], "a single line has no room for a scale"
    assert scaled([], 10, 2) == [" " * 10] * 2


async def test_ticks_of_the_score_chart_are_even(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until_shown(app, "best 24.00")
        plot = app.screen.query_one(ScoreChart).query_one(Plot)
        await until(lambda: plot._y_ticks)
        gaps = {round(after - before, 6) for before, after in pairwise(plot._y_ticks)}
        assert len(gaps) == 1
        assert len(plot._y_ticks) <= plot.size.height // 2
