"""The modes, as they are shown: run folders on disk in, text on the screen out, at both sizes."""

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
    started,
    step,
    until,
    until_shown,
    whole_run,
)
from textual.app import App
from textual.widgets import DataTable, Input, Select

from codeprune_tui.runs import client
from codeprune_tui.screens.compare import CompareScreen
from codeprune_tui.screens.layers import LayersScreen
from codeprune_tui.screens.live import LiveScreen
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.widgets.field import FieldRow
from codeprune_tui.widgets.statusline import StatusLine
from core.errors import RunError
from core.recipe import Recipe, build_recipe
from core.run.events import CommandTaken, Paused, RunFinished, Step, Stopped, Validated
from core.run.folder import RunPaths

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


def status(app: object) -> str:
    from codeprune_tui.tui import CodepruneApp

    assert isinstance(app, CodepruneApp)
    return "".join(text for text, _ in app.status())


@SIZES
async def test_an_empty_folder_says_what_to_do(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as (app, _):
        await until_shown(app, "No runs yet.")
        await until_shown(app, "Press 6 to start one")
        await until_shown(app, "no run open")


@SIZES
async def test_runs_with_their_states_and_scores(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "finished", whole_run("finished"), ago=7200)
    make_run(tmp_path, "crashed", [*beginning(), *a_round(0, 15.0), *a_round(1, 14.5)], ago=90)
    alive, _ = make_run(tmp_path, "alive", [*beginning(), *a_round(0, 15.0)])
    with live(alive):
        async with opened(tmp_path, size) as (app, _):
            for text in ("DONE", "CRASHED", "RUNNING", "−3.00", "−0.50", "now"):
                await until_shown(app, text)
            lines = {line.split()[0]: line.split() for line in shown(app).splitlines() if line.strip()}
            # A narrow screen has neither chrF nor the best; the floor is there, "–" where it is not known.
            wide, best = size[0] >= 90, [] if size[0] < 90 else ["15.00"]
            finished = [*(["19.20"] if wide else []), "12.00", "–", *best, "−3.00", "2", "h"]
            crashed = [*(["23.20"] if wide else []), "14.50", "–", *best, "−0.50", "1", "min"]
            assert lines["finished"][1 : 6 + len(finished)] == ["✓", "DONE", "3/3", "90", "%", *finished]
            assert lines["crashed"][1 : 6 + len(crashed)] == ["✗", "CRASHED", "1/3", "30", "%", *crashed]
            alone = [*(["24.00"] if wide else []), "15.00", "–", *best, "–", "now"]
            assert lines["alive"][1 : 6 + len(alone)] == ["●", "RUNNING", "0/3", "0", "%", *alone]
            assert ("lottery" in lines["finished"]) == (size == LARGE)
            # The only live run is watched from the start.
            await until(lambda: "alive" in status(app))
            assert "RUNNING" in status(app)


async def test_the_list_follows_and_the_cursor_stays(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        make_run(tmp_path, name, whole_run(name))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "DONE")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await pilot.press("down")
        await until(lambda: screen.query_one(DataTable).cursor_row == 1)
        chosen = screen.target()
        assert chosen is not None
        make_run(tmp_path, "newest", [*beginning(), *a_round(0, 15.0)])
        await until(lambda: screen.query_one(DataTable).row_count == 4)
        await until(lambda: screen.target() is not None)
        assert screen.target() == chosen


@SIZES
async def test_live_shows_everything_of_a_run(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), *a_round(1, 14.25), step(1, 20, 2.5)])
    with live(paths):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "ruby-1")
            await pilot.press("enter")
            await until_shown(app, "sparsity %, round 1: 30 %")
            await until_shown(app, "[2 Live]")
            await until_shown(app, "RUNNING")
            await until_shown(app, "round 1/3")
            await until_shown(app, "ETA")
            await until_shown(app, "loss 2.500")
            await until_shown(app, "12.3 k/s")
            await until_shown(app, "14.25")
            await until_shown(app, "dense 24.00")
            await until_shown(app, "name 16.70")
            await until_shown(app, "constant 10.50")
            await until_shown(app, "pool")
            cell = "30.0" if size == LARGE else "30"
            rows = [line for line in shown(app).splitlines() if line.split()[:1] == ["4"]]
            assert rows
            assert rows[0].split()[1:7] == [cell] * 6
            await until_shown(app, "Round 1 complete at 30 %, chrF 22.8")
            if size == LARGE:
                await until_shown(app, "Print the summary of the test run")
                await until_shown(app, "scores and floors")
            else:
                await pilot.press("l")
                await until_shown(app, "Print the summary of the test run")


async def test_live_follows_the_journal(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0)])
    with live(paths):
        async with opened(tmp_path, LARGE) as (app, pilot):
            await until_shown(app, "ruby-1")
            await pilot.press("enter")
            await until_shown(app, "Dense: nothing is pruned yet.")
            for event in a_round(1, 14.75)[:-1]:
                writer.append(event)
            await until_shown(app, "sparsity %, round 1: 30 %")
            await until_shown(app, "14.75")
            writer.append(a_round(1, 14.75)[-1])
            await until_shown(app, "ruby-1: round 1 of 3 is complete: chrF 23.6 (name 16.7), BLEU 14.75 (name 13.16).")


async def test_freeze_holds_the_view_but_not_the_status(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1, 2.5)])
    with live(paths):
        async with opened(tmp_path, SMALL) as (app, pilot):
            await until_shown(app, "ruby-1")
            await pilot.press("enter")
            await until_shown(app, "loss 2.500")
            await pilot.press("f")
            writer.append(step(1, 2, 1.25))
            writer.append(Paused(round=1, step=2))
            await until_shown(app, "PAUSED")
            await until_shown(app, "loss 2.500")
            await pilot.press("f")
            await until_shown(app, "loss 1.250")


async def test_pause_shows_at_once_and_resume_follows(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1)])
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            await until(lambda: "RUNNING" in status(app))
            await pilot.press("2", "p")
            await until(paths.commands.exists)
            await until_shown(app, "PAUSING…")
            writer.append(CommandTaken(command="pause"))
            writer.append(Paused(round=1, step=1))
            await until_shown(app, "PAUSED")
            await pilot.press("p")
            await until(lambda: "resume" in paths.commands.read_text())
            assert paths.commands.read_text().splitlines() == ['{"command": "pause"}', '{"command": "resume"}']


async def test_rounds_stop_and_kill_ask_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1)])
    killed: list[RunPaths] = []
    monkeypatch.setattr(client, "kill", killed.append)
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            await until(lambda: "RUNNING" in status(app))
            await pilot.press("2", "n")
            await until_shown(app, "for how many more rounds")
            await pilot.press("backspace", "x", "enter")
            await until_shown(app, "Type a whole number, 1 or more.")
            await pilot.press("backspace", "2", "enter")
            await until(paths.commands.exists)
            assert paths.commands.read_text() == '{"command": "pause-after", "rounds": 2}\n'
            await pilot.press("s")
            await until_shown(app, "Stop ruby-1?")
            await pilot.press("escape")
            await pilot.press("s")
            await until_shown(app, "Stop ruby-1?")
            await pilot.press("y")
            await until(lambda: "stop" in paths.commands.read_text())
            await pilot.press("K")
            await until_shown(app, "Type the run's name:")
            await pilot.press(*"ruby", "enter")
            await until_shown(app, "That is not its name.")
            assert not killed
            await pilot.press("minus", "1", "enter")
            await until(lambda: killed)
            assert [each.name for each in killed] == ["ruby-1"]
    assert paths.commands.read_text().count("\n") == 2


async def test_commands_to_a_run_without_a_worker_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "dead", [*beginning("dead"), *a_round(0, 15.0)])

    def fail(paths: RunPaths) -> None:
        raise RunError(f"The worker of {paths.name} left at its start.", "Its log ends with:\n[red]out of memory[/red]")

    monkeypatch.setattr(client, "resume", fail)
    async with opened(tmp_path, LARGE) as (app, pilot):
        await until_shown(app, "CRASHED")
        await pilot.press("p")
        await until_shown(app, "dead is CRASHED and has no worker. r resumes it.")
        await pilot.press("r")
        await until_shown(app, "[red]out of memory[/red]")


async def test_a_worker_that_vanishes_is_told(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1)])
    async with opened(tmp_path, LARGE) as (app, _):
        with live(paths):
            await until(lambda: "RUNNING" in status(app))
        await until_shown(app, "its worker died without a message")
        assert "CRASHED" in status(app)


async def test_a_worker_that_was_killed_on_request_did_not_crash(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1)])
    async with opened(tmp_path, LARGE) as (app, pilot):
        with live(paths):
            await until(lambda: "RUNNING" in status(app))
            paths.killed.touch()
        await until_shown(app, "ruby-1 was killed on request. r resumes")
        await until_shown(app, "it repeats 1 step of round 1")
        await until(lambda: "KILLED" in status(app))
        await until(lambda: "CRASHED" not in shown(app))
        assert "without a message" not in shown(app)
        await pilot.press("p")
        await until_shown(app, "ruby-1 is KILLED and has no worker. r resumes it.")


async def test_a_run_that_ends_is_told(tmp_path: Path) -> None:
    events = whole_run("ruby-1")
    paths, writer = make_run(tmp_path, "ruby-1", events[:-1])
    with live(paths):
        async with opened(tmp_path) as (app, _):
            await until(lambda: "RUNNING" in status(app))
            writer.append(RunFinished(rounds=3))
            await until_shown(app, "ruby-1 is done.")
            assert "DONE" in status(app)
            assert "ETA" not in status(app)


async def test_a_finished_run_cannot_be_paused_and_says_why(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "DONE")
        await pilot.press("p")
        await until_shown(app, "ruby-1 is done: nothing is")


@pytest.mark.parametrize("end", [Stopped(round=1, step=20, reason="stop"), None])
async def test_a_run_that_nobody_works_on_has_no_eta(tmp_path: Path, end: Stopped | None) -> None:
    events = [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 20)]
    make_run(tmp_path, "ruby-1", [*events, *([end] if end else [])])
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until(lambda: ("STOPPED" if end else "CRASHED") in status(app))
        assert "ETA" not in status(app)


async def test_a_pretraining_run_shows_its_accuracy(tmp_path: Path) -> None:
    begun = started("pre", rounds=0, steps=100, kind="pretrain")
    training = [
        Step(round=0, step=at, steps=100, loss=5.0, learning_rate=1e-4, tokens_per_second=1e4, examples_per_second=100.0)
        for at in (50, 100)
    ]
    make_run(tmp_path, "pre", [begun, *training, Validated(round=0, step=100, loss=2.25, accuracy=0.543, seconds=3.0)])
    async with opened(tmp_path, LARGE) as (app, pilot):
        await until_shown(app, "pre")
        await pilot.press("enter")
        await until_shown(app, "held-out tokens: loss 2.250, accuracy 54.3 %")
        await until_shown(app, "held-out accuracy, %, by step")


async def test_below_60_by_16_there_is_one_status_and_it_comes_back(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), step(1, 1)])
    with live(paths):
        async with opened(tmp_path, (50, 12)) as (app, pilot):
            await until_shown(app, "RUNNING")
            assert "sparsity" not in shown(app)
            await pilot.press("2")
            await pilot.resize_terminal(160, 48)
            await until_shown(app, "scores and floors")
            await pilot.resize_terminal(50, 12)
            await until(lambda: "scores and floors" not in shown(app))
            await until(lambda: "chrF by round" not in shown(app))
            assert "sparsity" not in shown(app)
            await until_shown(app, "ruby-1")


async def test_live_without_a_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("2")
        await until_shown(app, "No run is open.")
        await pilot.press("p")
        await until_shown(app, "There is no run to command.")


async def test_help_names_every_key(tmp_path: Path) -> None:
    async with opened(tmp_path, (100, 250)) as (app, pilot):
        await pilot.press("question_mark")
        await until_shown(app, "Everywhere")
        said = " ".join(shown(app).replace("│", " ").split())  # a long explanation takes two lines
        for screen in (RunsScreen, LiveScreen, LayersScreen, CompareScreen, NewRunScreen):
            for binding in screen.BINDINGS:
                assert (getattr(binding, "tooltip", "") or "") in said
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, RunsScreen))


async def test_help_begins_with_the_keys_of_the_mode_one_is_in(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALL) as (app, pilot):
        await pilot.press("4", "question_mark")
        await until_shown(app, "Esc closes this")
        await until_shown(app, "Choose the runs to compare")
        assert "Everywhere" not in shown(app).partition("Choose the runs")[0]
        await pilot.press("escape")


async def test_the_palette_has_the_screens_actions(tmp_path: Path) -> None:
    make_run(tmp_path, "a", whole_run("a"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "DONE")
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert titles >= {
            "Runs",
            "Live",
            "Layers",
            "Compare",
            "New run",
            "Pause",
            "Resume",
            "Rounds",
            "Stop",
            "Kill",
            "Copy",
            "Help",
            "Theme",
        }
        help_command = next(command for command in app.get_system_commands(app.screen) if command.title == "Help")
        await pilot.press("ctrl+p")
        await until(lambda: app.screen.__class__.__name__ == "CommandPalette")
        await pilot.press(*"New run")
        await until_shown(app, "Go to New run")
        await pilot.press("enter")
        await until_shown(app, "[6 New run]")
        assert callable(help_command.callback)


# New run


def row(screen: NewRunScreen, key: str) -> FieldRow:
    return next(each for each in screen.query(FieldRow) if each.key == key)


@SIZES
async def test_the_form_shows_the_defaults_and_their_outcome(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds, 5,000 steps × 16 rows, up to 90 % pruned")
        await until_shown(app, "layerwise")
        if size == LARGE:
            await until_shown(app, "0 → 10 → 20 → 30 → 40 → 50 → 60 → 70 → 80 → 90 %")
            await until_shown(app, "ruby-mini-magnitude-layerwise-1")
            await until_shown(app, "# every key has its default")


async def test_the_form_judges_while_one_types(tmp_path: Path) -> None:
    async with opened(tmp_path, LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        rounds = row(screen, "pruning.rounds").query_one(Input)
        rounds.focus()
        rounds.value = ""
        await pilot.press(*"two")
        await until_shown(app, "✗ pruning.rounds = 'two'")
        assert screen.query_one("#start").disabled
        rounds.value = "4"
        await until_shown(app, "✓ 5 rounds, 2,500 steps × 16 rows, up to 90 % pruned")
        await until_shown(app, "0 → 22.5 → 45 → 67.5 → 90 %")
        await until_shown(app, "rounds = 4")
        row(screen, "picker.rule").query_one(Select).value = "best"
        await until_shown(app, 'picker.rule = "best" needs measurements; set picker.every to a number of steps')
        row(screen, "picker.every").query_one(Input).value = "100"
        await until_shown(app, "every = 100")
        assert not screen.query_one("#start").disabled


async def test_a_preset_moves_the_keys_nobody_entered(tmp_path: Path) -> None:
    async with opened(tmp_path, LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        row(screen, "training.learning_rate").query_one(Input).value = "0.001"
        await until_shown(app, "learning_rate = 0.001")
        row(screen, "training.preset").query_one(Select).value = "paper"
        await until(lambda: row(screen, "training.batch_size").query_one(Input).value == "8")
        assert row(screen, "training.learning_rate").query_one(Input).value == "0.001"
        await until_shown(app, 'preset = "paper"')
        assert "batch_size = 8" not in shown(app)


async def test_folded_keys_open_and_count(tmp_path: Path) -> None:
    from textual.widgets import Collapsible

    async with opened(tmp_path, LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        before = {each.key for each in screen.query(FieldRow)}
        for fold in screen.query(Collapsible):
            fold.collapsed = False
        await until(lambda: len(screen.query(FieldRow)) > len(before))
        from core.recipe import field_help

        await until(lambda: {each.key for each in screen.query(FieldRow)} == set(field_help()))
        await until(lambda: row(screen, "architecture.hidden").query_one(Input).value == "256")
        row(screen, "architecture.hidden").query_one(Input).value = "250"
        await until_shown(app, "hidden = 250 is not a multiple of heads = 4")


async def test_a_name_that_is_taken_or_impossible(tmp_path: Path) -> None:
    make_run(tmp_path, "taken", whole_run("taken"))
    async with opened(tmp_path, LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        name = app.screen.query_one("#name", Input)
        name.value = "taken"
        await until_shown(app, "✗ name: taken is taken; choose another name")
        name.value = "../evil"
        await until_shown(app, "✗ name: use letters, digits")
        name.value = "fresh"
        await until(lambda: "name\nfresh" in str(app.screen.query_one("#preview-text").render()))


async def test_start_runs_exactly_what_is_shown_and_goes_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[tuple[Path, Recipe, str | None]] = []

    def start(checkpoints: Path, recipe: Recipe, name: str | None = None) -> RunPaths:
        starts.append((checkpoints, recipe, name))
        return make_run(checkpoints, name or "auto", [*beginning(name or "auto"), step(0, 1, 3.25)])[0]

    monkeypatch.setattr(client, "start", start)
    async with opened(tmp_path, LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        row(screen, "pruning.scope").query_one(Select).value = "global"
        screen.query_one("#name", Input).value = "mine"
        await until_shown(app, 'scope = "global"')
        await pilot.press("ctrl+s")
        await until_shown(app, "[2 Live]")
        await until_shown(app, "loss 3.250")
        assert starts == [(tmp_path, build_recipe({"pruning": {"scope": "global"}}), "mine")]


async def test_a_start_that_fails_leaves_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(checkpoints: Path, recipe: Recipe, name: str | None = None) -> RunPaths:
        raise RunError("The worker left with exit code 1 at its start.", "Its log is empty.")

    monkeypatch.setattr(client, "start", start)
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        await pilot.press("ctrl+s")
        await until_shown(app, "left with exit code 1")
        await until(lambda: not app.screen.query_one("#start").disabled)
        await until_shown(app, "[6 New run]")


async def test_copy_puts_an_old_recipe_into_the_form(tmp_path: Path) -> None:
    make_run(tmp_path, "old", whole_run("old"))
    async with opened(tmp_path, LARGE) as (app, pilot):
        await until_shown(app, "DONE")
        await pilot.press("c")
        await until_shown(app, "✓ 4 rounds, 80 steps × 16 rows")
        await until_shown(app, "rounds = 3")
        rows = {row.key: row.query_one(".control") for row in app.screen.query(FieldRow)}
        assert (rows["pruning.rounds"].value, rows["training.steps"].value) == ("3", "20")  # type: ignore[attr-defined]  # an Input
        await pilot.press("escape")
        await until_shown(app, "[1 Runs]")


async def test_a_damaged_recipe_is_told_not_copied(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "old", whole_run("old"))
    paths.recipe.write_text("[pruning\n")
    async with opened(tmp_path, LARGE) as (app, pilot):
        await until_shown(app, "DAMAGED")
        await pilot.press("c")
        await until_shown(app, "is not valid TOML")
        await until_shown(app, "[1 Runs]")


def leave(app: App[None], key: str) -> None:
    """Presses a key that ends the app, and does not wait for its screen, as a pilot would: widgets that end answer no more."""
    app.simulate_key(key)


async def test_detach_leaves_and_the_status_is_in_every_mode(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), *a_round(0, 15.0), evaluated(1, 5, 14.0), step(1, 6)])
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            for key, mode in (
                ("1", "[1 Runs]"),
                ("6", "[6 New run]"),
                ("escape", "[1 Runs]"),
                ("2", "[2 Live]"),
                ("3", "[3 Layers]"),
                ("4", "[4 Compare]"),
            ):
                await pilot.press(key)
                await until_shown(app, mode)
                await until_shown(app, "● RUNNING")
                assert app.screen.query_one(StatusLine)
            await pilot.press("q")
            await until_shown(app, "ruby-1 is still at work.")
            await until_shown(app, "codeprune-tui --checkpoints")
            await pilot.press("escape")
            await until_shown(app, "[4 Compare]")
            assert app.is_running
            await pilot.press("q")
            await until_shown(app, "Detach (y)")
            leave(app, "y")
            await until(lambda: not app.is_running)


@SIZES
async def test_leaving_asks_only_while_something_is_at_work(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, size) as (app, _):
        await until_shown(app, "DONE")
        leave(app, "q")
        await until(lambda: not app.is_running)


async def test_control_q_never_asks(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), step(0, 1)])
    with live(paths):
        async with opened(tmp_path) as (app, _):
            await until_shown(app, "RUNNING")
            leave(app, "ctrl+q")
            await until(lambda: not app.is_running)
