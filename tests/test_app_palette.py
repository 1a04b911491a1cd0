"""The command palette: every action of every mode is in it, and does its thing from anywhere."""

from pathlib import Path

import pytest
from app_runs import LARGE, SMALL, a_round, beginning, live, make_run, opened, step, until, until_shown, whole_run
from textual.binding import Binding
from textual.command import CommandPalette
from textual.pilot import Pilot

from codeprune_tui.modes import MODES
from codeprune_tui.screens.layers import LayersScreen
from codeprune_tui.screens.live import LiveScreen
from codeprune_tui.screens.log import LogScreen
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.tui import SLOW_TICK_S, CodepruneApp
from codeprune_tui.widgets.field import FieldRow
from core.recipe import build_recipe

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


async def choose(app: CodepruneApp, pilot: "Pilot[None]", words: str, explanation: str) -> None:
    await pilot.press("ctrl+p")
    await until(lambda: isinstance(app.screen, CommandPalette))
    await pilot.press(*words)
    await until_shown(app, explanation)
    await pilot.press("enter")
    await until(lambda: not isinstance(app.screen, CommandPalette))


@pytest.mark.parametrize("mode", ["1", "2", "3", "4", "6", "question_mark"])
async def test_every_action_is_there_from_everywhere(tmp_path: Path, mode: str) -> None:
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "No runs yet.")
        await pilot.press(mode)
        await until(lambda: app.screen.is_current and app.screen.is_mounted)
        await pilot.pause()
        commands = list(app.get_system_commands(app.screen))
        helps = {command.help for command in commands}
        for title, mode in MODES.items():
            for binding in [*mode.load().BINDINGS, *CodepruneApp.BINDINGS]:
                assert isinstance(binding, Binding)
                assert not binding.tooltip or binding.tooltip in helps, (title, binding)
        titles = [command.title for command in commands]
        assert len(titles) == len(set(titles)), sorted(titles)
        assert {"Theme", "Low bandwidth: on"} <= set(titles)


@SIZES
async def test_an_action_of_another_mode_goes_there_first(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")
        await until(lambda: app.watched is not None)
        await choose(app, pilot, "Layers: Earlier", "Go one round back and stay there")
        await until(lambda: isinstance(app.screen, LayersScreen))
        await until_shown(app, "round 2")
        await choose(app, pilot, "Live: Whole log", "Show the whole log, to search")
        await until(lambda: isinstance(app.screen, LogScreen))
        await until_shown(app, "Finished: all 4 rounds are complete")
        await choose(app, pilot, "Runs: Filter", "Filter the runs")
        await until(lambda: isinstance(app.screen, RunsScreen))
        await until(lambda: app.focused is not None and app.focused.id == "filter")


async def test_an_action_of_a_list_finds_its_line(tmp_path: Path) -> None:
    """The list was never shown before: the action must wait until it has lines."""
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    app = CodepruneApp(tmp_path)
    app.DEFAULT_MODE = app._current_mode = "new"
    app._screen_stacks = {"new": []}
    async with app.run_test(size=SMALL, notifications=True):
        await until(lambda: app.runs)
        assert app._screen_stacks.keys() == {"new"}
        command = next(each for each in app.get_system_commands(app.screen) if each.title == "Runs: Open")
        app.call_later(command.callback)
        await until(lambda: isinstance(app.screen, LiveScreen))
        await until(lambda: app.watched is not None and app.watched.paths.name == "ruby-1")


async def test_pause_from_afar_goes_to_the_run_of_the_status_line(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1)])
    other, _ = make_run(tmp_path, "ruby-2", [*beginning("ruby-2"), *a_round(0, 15.0), step(1, 1)])
    with live(paths), live(other):
        async with opened(tmp_path) as (app, pilot):
            await until_shown(app, "ruby-1")
            app.open_run(paths)
            await until_shown(app, "[2 Live]")
            await until(lambda: app.watched is not None and app.watched.paths.name == "ruby-1")
            await pilot.press("6")
            await until_shown(app, "[6 New run]")
            await choose(app, pilot, "Live: Pause", "Pause the run at the next step")
            await until(paths.commands.exists)
            assert paths.commands.read_text() == '{"command": "pause"}\n'
            assert not other.commands.exists()


async def test_low_bandwidth_on_and_off(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until(lambda: app.watched is not None)
        await choose(app, pilot, "Low bandwidth", "Spare a slow line")
        await until_shown(app, "Low bandwidth is on")
        assert app.slow
        assert app.animation_level == "none"
        assert app._watcher is not None
        assert app._watcher._poll_s == 2.0
        assert app._ticking._interval == SLOW_TICK_S
        app.clear_notifications()
        await choose(app, pilot, "Low bandwidth", "Spare a slow line")
        await until_shown(app, "Low bandwidth is off")
        assert not app.slow
        assert app.animation_level == "full"
        assert app._watcher._poll_s == 0.25
        await until_shown(app, "[2 Live]")


async def test_a_criterion_goes_into_the_form_and_its_other_entries_stay(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "No runs yet.")
        app.new_from(build_recipe({"pruning": {"rounds": 7}}))
        await until(lambda: isinstance(app.screen, NewRunScreen) and app.screen.is_built)
        await pilot.press("escape")
        await choose(app, pilot, "Prune by wanda", "Score: |w| times the norm of its input (Sun et al. 2023)")
        await until(lambda: isinstance(app.screen, NewRunScreen))
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        await until(lambda: screen._outcome.recipe is not None and screen._outcome.recipe.pruning.criterion == "wanda")
        assert screen._outcome.recipe is not None
        assert screen._outcome.recipe.pruning.rounds == 7
        await until(lambda: [row._held() for row in screen.query(FieldRow) if row.key == "pruning.criterion"] == ["wanda"])
