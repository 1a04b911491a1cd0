"""Copying: what reaches the clipboard, what reaches the file, and what the toast says of it."""

from pathlib import Path

import pytest
from app_runs import until
from textual.app import App

from codeprune_tui.terminal import clipboard
from codeprune_tui.terminal.clipboard import OSC52_BYTES, copy


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: tmp_path / name)
    return clipboard.copied_folder()


def toasts(app: App[None]) -> str:
    return "\n".join(notification.message for notification in app._notifications)


async def test_a_copy_is_in_the_clipboard_and_in_a_private_file_that_the_toast_names(folder: Path) -> None:
    app: App[None] = App()
    async with app.run_test(notifications=True):
        path = copy(app, "def [red]x[/]\n\x1b]0;bad\x07", "command line.txt")
        assert path == folder / "command-line.txt"
        assert path.read_text() == "def [red]x[/]\n\x1b]0;bad\x07\n"
        assert path.stat().st_mode & 0o777 == 0o600
        assert app.clipboard == "def [red]x[/]\n\x1b]0;bad\x07"
        await until(lambda: str(path) in toasts(app))


async def test_the_next_copy_replaces_the_file_and_no_name_leaves_the_folder(folder: Path) -> None:
    app: App[None] = App()
    async with app.run_test(notifications=True):
        copy(app, "one", "../../x\x1b.txt")
        path = copy(app, "two", "../../x\x1b.txt")
        assert path.parent == folder
        assert path.read_text() == "two\n"
        assert [file.name for file in folder.iterdir()] == [path.name]
        assert copy(app, "three", "../").name == "copied.txt"


async def test_half_a_surrogate_pair_is_copied_as_a_question_mark(folder: Path) -> None:
    app: App[None] = App()
    async with app.run_test(notifications=True):
        assert copy(app, "a\udc80b", "x.txt").read_text() == "a?b\n"
        assert app.clipboard == "a?b"


async def test_what_is_too_long_for_a_clipboard_is_only_in_the_file(folder: Path) -> None:
    app: App[None] = App()
    async with app.run_test(notifications=True):
        path = copy(app, "é" * (OSC52_BYTES // 2 + 1), "long.txt")
        assert app.clipboard == ""
        assert len(path.read_bytes()) > OSC52_BYTES
        await until(lambda: "Too long" in toasts(app))


async def test_a_disk_that_refuses_is_told(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    app: App[None] = App()
    async with app.run_test(notifications=True):
        copy(app, "text", "x.txt")
        assert app.clipboard == "text"
        await until(lambda: "could not be written" in toasts(app))
