"""Logs on the screen: the pane of Live keeps its place, the whole log is followed and searched, at both sizes."""

from dataclasses import replace
from pathlib import Path

import pytest
from app_runs import (
    LARGE,
    SMALL,
    a_round,
    beginning,
    live,
    make_run,
    opened,
    shown,
    until,
    until_shown,
    whole_run,
)
from textual.pilot import Pilot

from codeprune_tui.runs import logs
from codeprune_tui.screens.live import LiveScreen
from codeprune_tui.screens.log import LogScreen
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.views.state import reduce_all
from codeprune_tui.widgets.pager import Pager, _heights
from codeprune_tui.widgets.runlog import RunLog
from core.run.events import Event, Warned
from core.run.folder import RunPaths

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


def warned(number: int) -> Warned:
    return Warned(message=f"warning number {number} " + "and so on " * 12)


def top_of(log: RunLog) -> str:
    """The text of the line at the top of the log pane."""
    return log._shown[log.place(round(log.scroll_offset.y))[0]].text


def at_end(log: RunLog | Pager) -> bool:
    return log.max_scroll_y > 0 and round(log.scroll_y) == log.max_scroll_y


async def open_live(app: CodepruneApp, pilot: "Pilot[None]") -> RunLog:
    await until_shown(app, "ruby-1")
    await pilot.press("2")
    await until(lambda: isinstance(app.screen, LiveScreen))
    log = app.screen.query_one(RunLog)
    await until(lambda: at_end(log), "the log never came to its end")
    return log


# The pane of Live


async def test_the_log_pane_keeps_its_line_when_the_screen_changes(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *(warned(number) for number in range(60))])
    with live(paths):
        async with opened(tmp_path, LARGE) as (app, pilot):
            log = await open_live(app, pilot)
            log.focus()
            place = next(number for number, line in enumerate(log._shown) if "number 20 " in line.text)
            log.scroll_to(y=log._starts[place], animate=False)
            await until(lambda: "number 20 " in top_of(log))
            for size in (SMALL, (100, 40), (60, 17), LARGE):
                await pilot.resize_terminal(*size)
                await until(lambda: log._settled == log.size and log._width == log.size.width)
                assert "number 20 " in top_of(log), size
            writer.append(warned(60))
            await until(lambda: any("number 60 " in line.text for line in log._shown) and log._settled == log.size)
            assert "number 20 " in top_of(log)


async def test_the_log_pane_comes_back_to_its_line_from_a_screen_that_shows_the_end(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *(warned(number) for number in range(60))])
    with live(paths):
        async with opened(tmp_path, SMALL) as (app, pilot):
            log = await open_live(app, pilot)
            log.scroll_to(y=log._starts[-5], animate=False)
            await until(lambda: "number 56 " in top_of(log))
            assert not at_end(log)
            for size in (LARGE, SMALL):
                await pilot.resize_terminal(*size)
                await until(lambda: log._settled == log.size and log._width == log.size.width)
                assert at_end(log) == (size == LARGE), size
            assert "number 56 " in top_of(log)


async def test_the_log_pane_follows_the_end_through_changes_of_the_screen(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *(warned(number) for number in range(60))])
    with live(paths):
        async with opened(tmp_path, LARGE) as (app, pilot):
            log = await open_live(app, pilot)
            for size in (SMALL, (100, 40), (60, 17), LARGE):
                await pilot.resize_terminal(*size)
                await until(lambda: log._settled == log.size and log._width == log.size.width)
                assert at_end(log), size
            writer.append(warned(60))
            await until(lambda: "number 60 " in log._shown[-1].text and log._settled is not None)
            await until(lambda: at_end(log))


async def test_the_log_pane_keeps_its_line_when_the_oldest_leave(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *(warned(number) for number in range(600))])
    with live(paths):
        async with opened(tmp_path, SMALL) as (app, pilot):
            log = await open_live(app, pilot)
            place = next(number for number, line in enumerate(log._shown) if "number 300 " in line.text)
            log.scroll_to(y=log._starts[place], animate=False)
            await until(lambda: "number 300 " in top_of(log))
            for number in range(600, 620):
                writer.append(warned(number))
            await until(lambda: "number 619 " in log._shown[-1].text and log._settled is not None)
            assert "number 300 " in top_of(log)


# The whole log


def written(paths: RunPaths, lines: int) -> None:
    paths.log.write_text("".join(f"printed {number:04}\n" for number in range(lines)))


async def open_log(app: CodepruneApp, pilot: "Pilot[None]") -> Pager:
    await until_shown(app, "ruby-1")
    await pilot.press("2")
    await until_shown(app, "[2 Live]")
    await until(lambda: app.watched is not None)
    await pilot.press("L")
    await until(lambda: isinstance(app.screen, LogScreen))
    await until_shown(app, "ruby-1: events")
    return app.screen.query_one(Pager)


@SIZES
async def test_the_whole_log_opens_switches_and_closes(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), *a_round(1, 14.25)])
    written(paths, 300)
    with live(paths):
        async with opened(tmp_path, size) as (app, pilot):
            pager = await open_log(app, pilot)
            await until_shown(app, "Round 1 complete at 30 %, chrF 22.8 (name 16.7), BLEU")
            await until_shown(app, "RUNNING")
            writer.append(Warned(message="[red]beware[/red] \x1b[31m"))
            await until_shown(app, "[red]beware[/red] <1B>[31m")
            await pilot.press("w")
            await until_shown(app, "printed 0299")
            await until_shown(app, "follows the end")
            await until_shown(app, "ruby-1: worker's log  300 lines  follows the end")
            with paths.log.open("a") as file:
                file.write("Traceback: it is [bold]here\n")
            await until_shown(app, "Traceback: it is [bold]here")
            await pilot.press("g")
            await until_shown(app, "printed 0000")
            with paths.log.open("a") as file:
                file.write("one more\n")
            await until_shown(app, "302 lines")
            await until_shown(app, "printed 0000")
            assert "one more" not in shown(app)
            await pilot.press("G")
            await until_shown(app, "one more")
            assert pager.follows
            await pilot.press("q")
            await until(lambda: isinstance(app.screen, LiveScreen))


@SIZES
async def test_the_whole_log_is_searched(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    written(paths, 1000)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        pager = await open_log(app, pilot)
        await pilot.press("w")
        await until_shown(app, "printed 0999")
        await pilot.press("slash", *"Printed 05", "enter")
        await until_shown(app, "“Printed 05” not found")
        await pilot.press("slash")
        await until(lambda: app.focused is not pager)
        await pilot.press(*["backspace"] * 10, *"printed 05", "enter")
        await until_shown(app, "“printed 05” match 1 of 100")
        await until_shown(app, "printed 0500")
        await pilot.press("n", "n")
        await until_shown(app, "match 3 of 100")
        assert pager._lines[pager._chosen or 0] == "printed 0502"
        await pilot.press("N", "N", "N")
        await until_shown(app, "match 100 of 100")
        await until_shown(app, "printed 0599")
        marked = [
            segment.text
            for y in range(pager.size.height)
            for segment in pager.render_line(y)
            if segment.style and segment.style.reverse
        ]
        assert set(marked) == {"printed 05"}
        before = pager._chosen
        await pilot.resize_terminal(70, 20)
        await until(lambda: pager._settled == pager.size)
        await until_shown(app, "printed 0599")
        assert pager._chosen == before
        await pilot.press("escape")
        await until(lambda: pager.match_position == (0, 0))
        assert isinstance(app.screen, LogScreen)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, LiveScreen))


async def test_a_long_line_wraps_and_its_matches_go_on(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    paths.log.write_text("a" * 75 + "needle" + "b" * 100 + "\n" + "漢" * 60 + "needle\nlast\n")
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        pager = await open_log(app, pilot)
        await pilot.press("w")
        await until_shown(app, "last")
        width = pager.scrollable_content_region.width
        assert pager._starts == [0, 3, 5, 6]
        await pilot.press("slash", *"needle", "enter")
        await until_shown(app, "match 1 of 2")
        marked = ["".join(s.text for s in pager.render_line(y) if s.style and s.style.reverse) for y in range(6)]
        assert marked == ["needle"[: width - 75], "needle"[width - 75 :], "", "", "needle", ""]
        assert all(pager.render_line(y).cell_length == width for y in range(6))


async def test_no_letter_is_under_the_bar(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    letters = "".join(chr(ord("a") + at % 26) for at in range(300))
    paths.log.write_text(letters + "\n" + "short\n" * 60)
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        pager = await open_log(app, pilot)
        await pilot.press("w", "g")
        await until_shown(app, "abcdef")
        assert pager.show_vertical_scrollbar
        painted = shown(app).replace("\n", "").replace(" ", "")
        assert letters in painted.replace("▁", "").replace("▂", "")


async def test_warnings_that_come_together_make_one_short_toast(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", beginning("ruby-1"))
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until(lambda: app.watched is not None)
        assert app.watched is not None
        before = app.watched
        events = [Event(1000 + number, 0.0, warned(number)) for number in range(3)]
        app._tell(before, replace(before, view=reduce_all(before.view, events)))
        await until(lambda: bool(app._notifications))
        (toast,) = app._notifications
        assert "warning number 0" in toast.message
        assert toast.message.endswith("2 more in the log.")
        assert len(toast.message) < 150


async def test_no_log_yet_and_no_run(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALL) as (app, pilot):
        await pilot.press("2", "L")
        await until_shown(app, "No run is open, so there is no log.")
        make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
        await pilot.press("1")
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await open_log(app, pilot)
        await pilot.press("w")
        await until_shown(app, "This log is empty; w shows the other one.")
        await pilot.press("1")
        await until_shown(app, "[1 Runs]")


async def test_a_growing_log_is_laid_out_as_one_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only new lines are measured; the sum must be the same, also when old lines leave and a torn line gets longer."""
    monkeypatch.setattr(logs, "MOST_LINES", 50)
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        pager = await open_log(app, pilot)
        await pilot.press("w")
        written_so_far = ""
        for piece in ("a" * 300 + "\nb\n", "torn", "é" * 200 + "\n", "c\n" * 40, "漢" * 90 + "\n" + "d" * 90 + "\n", "e\n" * 30):
            written_so_far += piece
            paths.log.write_text(written_so_far)
            newest = written_so_far.removesuffix("\n").split("\n")[-50:]
            await until(lambda newest=newest: list(pager._lines[-len(newest) :]) == newest)
            assert pager._rows == _heights(pager._lines, pager.size.width)
        assert pager._lines[0].startswith("… ")
