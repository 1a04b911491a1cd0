"""The list of runs: order, filter, marks, and what is done with the marked ones, at both sizes."""

from pathlib import Path

import pytest
from app_runs import LARGE, SMALL, a_round, beginning, live, make_run, opened, shown, until, until_shown, whole_run
from textual.widgets import DataTable, Input

from codeprune_tui.runs import client
from codeprune_tui.runs.sweeps import SweepFolder
from codeprune_tui.screens.compare import CompareScreen
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.views.run_columns import COLUMNS, shown_at
from codeprune_tui.views.run_order import ORDERS
from codeprune_tui.widgets.runtable import RunTable
from core.recipe import build_recipe, load_recipe, to_toml
from core.run.events import Paused
from core.run.folder import RunPaths

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


def four_runs(checkpoints: Path) -> dict[str, RunPaths]:
    """Finished ones, one that crashed, one without any round; made in this order."""
    return {
        "beta": make_run(checkpoints, "beta", whole_run("beta"), ago=7200)[0],
        "alpha": make_run(checkpoints, "alpha", [*beginning(), *a_round(0, 15.0), *a_round(1, 14.5)], ago=90)[0],
        "delta": make_run(checkpoints, "delta", beginning(), ago=400)[0],
        "gamma": make_run(checkpoints, "gamma", whole_run("gamma"), ago=50)[0],
    }


def names(app: CodepruneApp) -> list[str]:
    """The runs in the table, from above."""
    return [str(key.value) for key in app.query_one(DataTable).rows]


def at(app: CodepruneApp) -> str:
    assert isinstance(app.screen, RunsScreen)
    target = app.screen.target()
    return target.paths.name if target else ""


def test_every_column_has_its_order() -> None:
    assert [key for key, column in COLUMNS.items() if column.width] == list(ORDERS)[1:]
    assert list(shown_at(80, pruned=False)) == ["run", "state", "round", "sparsity", "bleu", "floor", "diff", "age"]
    assert set(shown_at(160, pruned=True, jobs=True)) == set(ORDERS) - {"newest"}
    assert "job" not in shown_at(160, pruned=True)


@SIZES
async def test_sorting_by_any_column_and_back(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs · newest first")
        await until(lambda: names(app) == ["gamma", "delta", "alpha", "beta"])
        await pilot.press("down")
        await until(lambda: at(app) == "delta")
        await pilot.press("o")
        await until_shown(app, "4 runs · by run ↑")
        assert names(app) == ["alpha", "beta", "delta", "gamma"]
        assert at(app) == "delta"
        await pilot.press("O")
        await until_shown(app, "run↓")
        assert names(app) == ["gamma", "delta", "beta", "alpha"]
        expected = {"BLEU↓": ["alpha", "gamma", "beta", "delta"], "age↑": ["gamma", "alpha", "delta", "beta"]}
        table = app.screen.query_one(RunTable)
        for title, order in expected.items():
            for _ in range(len(ORDERS)):
                if title in shown(app):
                    break
                before = table.ordered
                await pilot.press("o")
                await until(lambda before=before: table.ordered != before)
                await until_shown(app, table.ordered)
            await until_shown(app, title)
            assert names(app) == order
        # What lacks the figure stays last, whichever way round.
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        screen._sort("bleu", down=False)
        assert names(app) == ["gamma", "beta", "alpha", "delta"]


@SIZES
async def test_a_filter_while_one_types_and_its_end(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        await pilot.press("slash", *"bleu>12.1")
        field = app.query_one("#filter", Input)
        await until(lambda: field.value == "bleu>12.1")  # all keys: the first of them may choose the same run
        await until_shown(app, "1 of 4 runs")
        assert names(app) == ["alpha"]
        field.value = "state=don"
        await until_shown(app, "No run can have the state 'don'. Did you mean done?")
        assert names(app) == ["alpha"]
        field.value = "state=done age<1h"
        await until(lambda: names(app) == ["gamma"])
        await until(lambda: "No run can" not in shown(app))
        await pilot.press("enter")
        await until(lambda: isinstance(app.focused, DataTable))
        await until_shown(app, "state=done age<1h")
        assert "1 of 4 runs · filter: state=done age<1h · " in str(app.query_one("#runs").border_title)
        # A run that comes to match comes into view.
        make_run(tmp_path, "newest", whole_run("newest"))
        await until(lambda: names(app) == ["newest", "gamma"])
        await pilot.press("escape")
        await until_shown(app, "5 runs")
        assert "state=done" not in shown(app)


@SIZES
async def test_the_runs_of_a_sweep_are_found_counted_and_marked_as_one(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    SweepFolder(tmp_path, "scopes").begin(["alpha", "gamma", "not-begun-yet"])
    RunPaths(tmp_path / "alpha").queued.touch()
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        await pilot.press("slash", *"sweep=scopes", "enter")
        await until_shown(app, "2 of 4 runs · filter: sweep=scopes · ")
        assert sorted(names(app)) == ["alpha", "gamma"]
        title = str(app.query_one("#runs").border_title)
        assert title.startswith("2 of 4 runs · filter: sweep=scopes · 1 DONE, 1 QUEUED · newest first")
        await pilot.press("a")
        await until_shown(app, "2 marked")


@SIZES
async def test_a_filter_that_nothing_matches(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        assert "Esc clears the filter" not in shown(app)
        await pilot.press("slash", *"[red]")
        await until_shown(app, "0 of 4 runs")
        await until_shown(app, "No run matches [red]; Esc clears the filter.")
        await pilot.press("enter", "enter", "space", "p", "D", "R", "v", "c")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("escape")
        await until(lambda: len(names(app)) == 4)
        await until(lambda: "Esc clears the filter" not in shown(app))
        await until_shown(app, "gamma")


async def test_columns_keep_their_widths_though_nothing_is_measured(tmp_path: Path) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "4 runs")
        table = app.query_one(DataTable)
        await until(lambda: table.virtual_size.height == 5, "four lines below the titles")
        assert table.virtual_size.width == sum(column.get_render_width(table) for column in table.columns.values()) <= SMALL[0]


@SIZES
async def test_marked_runs_are_compared(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        await pilot.press("space", "down", "down", "space")
        await until_shown(app, "4 runs · 2 marked")
        await until_shown(app, "* gamma")
        await until_shown(app, "* beta")
        await pilot.press("v")
        await until(lambda: isinstance(app.screen, CompareScreen))
        await until_shown(app, "8 rounds of 2 runs")
        await pilot.press("1", "escape")
        await until_shown(app, "4 runs · newest first")


@SIZES
async def test_marked_runs_are_paused_and_resumed(tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, str]] = []
    monkeypatch.setattr(client, "pause", lambda paths: commands.append(("pause", paths.name)))
    monkeypatch.setattr(client, "resume", lambda paths: commands.append(("resume", paths.name)))
    runs = four_runs(tmp_path)
    work, _ = make_run(tmp_path, "work", [*beginning(), *a_round(0, 15.0)])
    rest, _ = make_run(tmp_path, "rest", [*beginning(), *a_round(0, 15.0), Paused(round=1, step=0)])
    assert runs
    with live(work), live(rest):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "6 runs")
            await pilot.press(*["space"] * 6)
            await until_shown(app, "6 marked")
            await pilot.press("p")
            await until(lambda: commands == [("pause", "work")])
            commands.clear()
            await pilot.press("r")
            await until(lambda: sorted(commands) == [("resume", "alpha"), ("resume", "delta"), ("resume", "rest")])


@SIZES
async def test_renaming(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        await pilot.press("down", "R")
        await until_shown(app, "New name of delta:")
        app.screen.query_one(Input).value = "no/name"
        await pilot.press("enter")
        await until_shown(app, "cannot be the name of a run")
        app.screen.query_one(Input).value = "alpha"
        await pilot.press("enter")
        await until_shown(app, "The name alpha is taken.")
        assert (tmp_path / "delta").is_dir()
        assert app.screen.query_one(Input).value == "alpha"
        app.screen.query_one(Input).value = "epsilon"
        await pilot.press("enter")
        await until(lambda: "epsilon" in names(app) and "delta" not in names(app))
        await until(lambda: at(app) == "epsilon")


@SIZES
async def test_deleting_wants_the_name_typed(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        await pilot.press("D")
        await until_shown(app, "Delete gamma with all rounds? This cannot be undone.")
        await pilot.press(*"delta", "enter")
        await until_shown(app, "That is not gamma.")
        await pilot.press("escape")
        assert (tmp_path / "gamma").is_dir()
        await until(lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("space", "space", "D")
        await until_shown(app, "Type delete 2:")
        app.screen.query_one(Input).value = "delete 2"
        await pilot.press("enter")
        await until(lambda: names(app) == ["alpha", "beta"])
        await until_shown(app, "Deleted 2 runs.")
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and path.name[0] != ".") == ["alpha", "beta"]


@SIZES
async def test_deleting_what_has_no_round_only_asks(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "failed", [*beginning("failed")])
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "1 run")
        await pilot.press("D")
        await until_shown(app, "Delete failed? It has no complete round.")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, RunsScreen))
        assert (tmp_path / "failed").is_dir()
        await pilot.press("D")
        await until_shown(app, "Delete failed?")
        await pilot.press("y")
        await until(lambda: not (tmp_path / "failed").exists())


async def test_a_run_with_a_worker_is_not_deleted_nor_renamed(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "work", [*beginning(), *a_round(0, 15.0)])
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            await until_shown(app, "RUNNING")
            await pilot.press("D")
            await until(
                lambda: any("work cannot be deleted while its worker is alive" in toast.message for toast in app._notifications)
            )
            await pilot.press("R")
            await until(
                lambda: any("work cannot be renamed while its worker is alive" in toast.message for toast in app._notifications)
            )
            assert isinstance(app.screen, RunsScreen)
    assert paths.root.is_dir()


@SIZES
async def test_a_new_run_from_a_shipped_recipe_and_from_a_run(tmp_path: Path, size: tuple[int, int]) -> None:
    paths, _ = make_run(tmp_path, "old", whole_run("old"))
    paths.recipe.write_text(to_toml(build_recipe({"pruning": {"rounds": 7}})))
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "old")
        await pilot.press("t")
        await until_shown(app, "Which recipe should the new run start from?")
        await until_shown(app, "demo-finetune")
        await pilot.press("down", "enter")
        await until(lambda: isinstance(app.screen, NewRunScreen))
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        await until(lambda: screen._outcome.recipe is not None and screen._outcome.recipe.kind == "finetune")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("c")
        await until(lambda: screen._outcome.recipe == load_recipe(paths.recipe))


async def test_modes_have_their_names_where_there_is_room_for_them(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-mini-magnitude-layerwise-cubic-seed-1", whole_run("x"))
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "[1 Runs] 2 Live  3 Layers  4 Compare  5 Playground  6 New run       no run open")
        await until_shown(app, "DONE")
        await pilot.press("enter")  # the run needs the room now: all that is said of it is there
        await until_shown(app, "DONE  round 3/3  cpu")
        await until(lambda: shown(app).splitlines()[0].startswith(" 1 [2 Live] 3  4  5  6 "))
        await pilot.resize_terminal(*LARGE)
        await until_shown(app, "6 New run ")
        await until_shown(app, "ruby-mini-magnitude-layerwise-cubic-seed-1  ✓ DONE  round 3/3  cpu")


async def test_names_differ_in_the_list_as_they_do_in_full(tmp_path: Path) -> None:
    for method in ("magnitude-layerwise", "magnitude-global", "random-layerwise"):
        make_run(tmp_path, f"ruby-mini-{method}-cubic-seed-1", whole_run("x"))
    async with opened(tmp_path, SMALL) as (app, _):
        await until_shown(app, "global")
        names = [line[2:17].strip() for line in shown(app).splitlines() if "DONE" in line]
        assert len(set(names)) == 3, names


async def test_what_is_said_covers_nothing(tmp_path: Path) -> None:
    for number in range(30):
        make_run(tmp_path, f"run-{number:02d}", whole_run("x"))
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "DONE")
        await pilot.press("end", "s")
        await until_shown(app, "is done: nothing is left to do")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        target = screen.target()
        assert target is not None
        await until_shown(app, f"  {target.name} ")
        lines = shown(app).splitlines()
        said = next(number for number, line in enumerate(lines) if "is done: nothing" in line)
        last_run = max(number for number, line in enumerate(lines) if "✓ DONE" in line)
        assert last_run < said < len(lines) - 1, "the toast has lines of its own, between the list and the keys"
        app.clear_notifications()
        await until(lambda: last_run < max(number for number, line in enumerate(shown(app).splitlines()) if "✓ DONE" in line))


async def test_of_a_long_path_in_an_error_the_end_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path, SMALL) as (app, _):
        await until_shown(app, "No runs yet.")
        app.say(f"Cannot read /{'folder/' * 80}the-model/model.safetensors: there is no such file. Name another one.", "error")
        await until(lambda: "the-model/model.safetensors" in "".join(line.strip("▌ ") for line in shown(app).splitlines()))
        await until_shown(app, "Name another one.")


@SIZES
async def test_the_run_under_the_cursor_is_previewed(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    make_run(tmp_path, "ruby-2", [*beginning("ruby-2"), *a_round(0, 14.0), *a_round(1, 13.5)])
    _, worker = make_run(tmp_path, "ruby-3", beginning("ruby-3"))
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "DONE")
        await until(lambda: at(app) == "ruby-3")
        await until_shown(app, "name 16.7")
        await until_shown(app, "constant 10.5" if size == SMALL else "Comments of a few methods appear here")
        worker.append(a_round(0, 17.25)[-1])
        worker.append(a_round(0, 17.25)[-4])
        await until_shown(app, "27.6")
        await pilot.press("down")
        if size == SMALL:
            await until_shown(app, "chrF 21.6 at 30 % · dense 22.4")
        else:
            await until_shown(app, "ruby-2: chrF by round")
            await until_shown(app, "best 22.40  ─ dense 22.40  ─ name 16.70  ─ constant 10.50")
            await until_shown(app, "comments, round 1, step 20")
            await until_shown(app, "Print the summary of the test run")
            chart = app.screen.query_one("#chosen-chart")
            assert chart.region.height > 20, "no half of the screen is empty"
        await pilot.press("slash", *"nothing-is-called-so")
        await until_shown(app, "No run matches")
        await until(lambda: "dense 14.00" not in shown(app))


@SIZES
async def test_one_key_marks_all_shown_runs_and_clears(tmp_path: Path, size: tuple[int, int]) -> None:
    four_runs(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "4 runs")
        await pilot.press("a")
        await until_shown(app, "4 marked")
        await pilot.press("a")
        await until(lambda: "marked" not in shown(app))
        await pilot.press("slash", *"eta", "enter")
        await until_shown(app, "1 of 4 runs")
        await pilot.press("a")
        await until_shown(app, "1 marked")
        await pilot.press("escape")
        await until_shown(app, "4 runs · 1 marked")
        await pilot.press("a")
        await until_shown(app, "4 marked")
