"""The tips of the first start: once, never in the way, and gone for good where nothing can be remembered."""

import os
import sys
from pathlib import Path

import pytest
from app_runs import LARGE, NOW, SMALL, make_run, opened, shown, until, until_shown, whole_run
from terminal import Terminal

from codeprune_tui import first_start
from codeprune_tui.screens.help import HelpScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.screens.tips import TIPS, TipsScreen
from codeprune_tui.tui import CodepruneApp

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])
COMMAND = str(Path(sys.executable).with_name("codeprune-tui"))
ANY_KEY = "Any key closes this."


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is remembered; nobody was here before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = first_start.marker()
    assert tmp_path in file.parents
    return file


def app_in(folder: Path, text: str = "") -> CodepruneApp:
    (folder / "config.toml").write_text(text)
    return CodepruneApp(folder / "runs", clock=lambda: NOW, config=folder / "config.toml")


@SIZES
async def test_shown_once_and_any_key_does_what_it_does(tmp_path: Path, marker: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path / "runs", "ruby-1", whole_run("ruby-1"))
    app = app_in(tmp_path)
    async with app.run_test(size=size) as pilot:
        await until_shown(app, ANY_KEY)
        for _, what in TIPS:
            await until_shown(app, what.split(":")[0])
        assert marker.is_file()
        await pilot.press("6")
        await until_shown(app, "[6 New run]")
        assert ANY_KEY not in shown(app)
    again = app_in(tmp_path)
    async with again.run_test(size=size) as pilot:
        await until_shown(again, "ruby-1")
        await pilot.press("3")
        await until_shown(again, "[3 Layers]")
        assert ANY_KEY not in shown(again)


@pytest.mark.parametrize("key", ["escape", "enter", "space"])
async def test_some_keys_only_close(tmp_path: Path, marker: Path, key: str) -> None:
    make_run(tmp_path / "runs", "ruby-1", whole_run("ruby-1"))
    app = app_in(tmp_path)
    async with app.run_test(size=SMALL) as pilot:
        await until_shown(app, ANY_KEY)
        await until(lambda: app.runs)
        await pilot.press(key)
        await until(lambda: isinstance(app.screen, RunsScreen))
        await until_shown(app, "ruby-1")
        assert app.watched is None, "Enter did not open a run"
        assert "marked" not in shown(app), "Space did not mark one"


async def test_a_click_closes(tmp_path: Path, marker: Path) -> None:
    app = app_in(tmp_path)
    async with app.run_test(size=SMALL) as pilot:
        await until_shown(app, ANY_KEY)
        await pilot.click(offset=(1, 1))
        await until(lambda: isinstance(app.screen, RunsScreen))


async def test_a_setting_turns_them_off(tmp_path: Path, marker: Path) -> None:
    app = app_in(tmp_path, "tips = false\n")
    async with app.run_test(size=SMALL) as pilot:
        await until_shown(app, "No runs yet.")
        await pilot.pause()
        assert ANY_KEY not in shown(app)
        assert not marker.exists()


async def test_a_terminal_too_small_for_them_leaves_them_for_later(tmp_path: Path, marker: Path) -> None:
    app = app_in(tmp_path)
    async with app.run_test(size=(50, 15)) as pilot:
        await until_shown(app, "no run open")
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)
        assert not marker.exists()


@pytest.mark.parametrize("damage", ["folder", "link", "no folder", "bytes"])
async def test_a_damaged_memory_breaks_nothing(tmp_path: Path, marker: Path, damage: str) -> None:
    if damage == "no folder":
        marker.parent.parent.mkdir(parents=True)
        marker.parent.write_bytes(b"\x00 a file where the folder should be")
    else:
        marker.parent.mkdir(parents=True)
    if damage == "folder":
        marker.mkdir()
    elif damage == "link":
        marker.symlink_to("/nonexistent/here")
    elif damage == "bytes":
        marker.write_bytes(os.urandom(100))
    app = app_in(tmp_path)
    async with app.run_test(size=SMALL) as pilot:
        await until_shown(app, "No runs yet.")
        await pilot.press("3")
        await until_shown(app, "[3 Layers]")


def test_where_nothing_can_be_written_no_start_is_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert first_start.claim(tmp_path / "a" / "marker")
    assert not first_start.claim(tmp_path / "a" / "marker")
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert not first_start.claim(tmp_path / "b" / "marker")


@SIZES
async def test_again_from_help(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "No runs yet.")
        await pilot.press("question_mark")
        await until_shown(app, "i shows the first tips")
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, TipsScreen))
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, HelpScreen))


def test_the_installed_command_at_its_first_start(tmp_path: Path, marker: Path) -> None:
    app = Terminal([COMMAND], folder=tmp_path).until(ANY_KEY)
    assert app.send("q").ended() == 0
    assert marker.is_file()
    app = Terminal([COMMAND], folder=tmp_path).until("No runs yet.")
    assert ANY_KEY not in app.text
    assert app.send("q").ended() == 0
