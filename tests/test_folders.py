"""Renaming and deleting run folders: what is refused, what is left alone, and the same through the command line."""

import os
from pathlib import Path

import pytest
from app_runs import make_run, whole_run
from test_cli import Cli, run_cli

from core.errors import RunError
from core.recipe import Recipe
from core.run import manage
from core.run.folder import RunPaths, create_run, hold_lock, run_folders

__all__ = ["run_cli"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def mine(home: Path) -> RunPaths:
    return make_run(home, "mine", whole_run("mine"))[0]


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def test_rename_moves_everything(home: Path, mine: RunPaths) -> None:
    journal = mine.journal.read_bytes()
    renamed = manage.rename_run(home, mine, "other")
    assert names(home) == ["other"]
    assert renamed.journal.read_bytes() == journal
    assert renamed.finished_rounds() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_one(home: Path, mine: RunPaths, name: str) -> None:
    with pytest.raises(RunError, match="cannot be the name of a run"):
        manage.rename_run(home, mine, name)
    assert names(home) == ["mine"]


@pytest.mark.parametrize("kind", ["run", "empty folder", "file", "dangling link"])
def test_a_name_that_is_taken(home: Path, mine: RunPaths, kind: str) -> None:
    taken = home / "taken"
    if kind == "run":
        create_run(home, "taken", Recipe())
    elif kind == "empty folder":
        taken.mkdir()
    elif kind == "file":
        taken.write_text("x")
    else:
        taken.symlink_to(home / "nowhere")
    with pytest.raises(RunError, match="There is already something at"):
        manage.rename_run(home, mine, "taken")
    assert mine.recipe.is_file()
    assert os.path.lexists(taken)


def test_a_run_with_a_worker_stays_as_it_is(home: Path, mine: RunPaths) -> None:
    with hold_lock(mine):
        with pytest.raises(RunError, match="mine cannot be renamed while its worker is alive"):
            manage.rename_run(home, mine, "other")
        with pytest.raises(RunError, match="mine cannot be deleted while its worker"):
            manage.delete_run(home, mine)
    assert names(home) == ["mine"]
    manage.delete_run(home, mine)
    assert names(home) == []


def test_the_lock_is_held_while_it_happens(home: Path, mine: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    move = Path.rename

    def rename(source: Path, target: Path) -> Path:
        with pytest.raises(RunError, match="Another worker"), hold_lock(RunPaths(source), patience_s=0):
            pass
        tried.append(source.name)
        return move(source, target)

    monkeypatch.setattr(Path, "rename", rename)
    manage.delete_run(home, manage.rename_run(home, mine, "other"))
    assert tried == ["mine", "other"]


def test_links_are_not_followed(tmp_path: Path, home: Path, mine: RunPaths) -> None:
    elsewhere = make_run(tmp_path / "elsewhere", "theirs", whole_run("theirs"))[0]
    link = RunPaths(home / "link")
    link.root.symlink_to(elsewhere.root)
    for act in (lambda: manage.delete_run(home, link), lambda: manage.rename_run(home, link, "other")):
        with pytest.raises(RunError, match=r"is a link to .*theirs, and links are not followed"):
            act()
    (mine.root / "inside").symlink_to(elsewhere.root)
    manage.delete_run(home, mine)
    assert names(home) == ["link"]
    assert elsewhere.finished_rounds() == [0, 1, 2, 3]


def test_nothing_outside_and_nothing_else_is_deleted(tmp_path: Path, home: Path, mine: RunPaths) -> None:
    elsewhere = make_run(tmp_path / "elsewhere", "theirs", whole_run("theirs"))[0]
    (home / "no-run").mkdir()
    for paths in (elsewhere, RunPaths(home / ".." / "elsewhere" / "theirs"), RunPaths(mine.root / "rounds")):
        with pytest.raises(RunError, match="does not lie in"):
            manage.delete_run(home, paths)
    for paths in (RunPaths(home / ".."), RunPaths(home / "no-run")):
        with pytest.raises(RunError):
            manage.delete_run(home, paths)
    assert names(home) == ["mine", "no-run"]
    assert elsewhere.recipe.is_file()


def test_a_hostile_name_can_be_renamed(home: Path, mine: RunPaths) -> None:
    evil = RunPaths(home / "new\nline[red]\x1b[2J")
    mine.root.rename(evil.root)
    assert manage.rename_run(home, evil, "tame").name == "tame"
    assert [paths.name for paths in run_folders(home)] == ["tame"]


def test_the_commands(run_cli: Cli, home: Path, mine: RunPaths) -> None:
    make_run(home, "second", whole_run("second"))
    result = run_cli("rename", "mine", "first")
    assert (result.code, result.err) == (0, "mine is now first\n")
    result = run_cli("rename", "first", "second")
    assert result.code == 6
    assert "There is already something at" in result.err
    result = run_cli("delete", "first", "second")
    assert result.code == 1
    assert "Repeat the command with --yes." in result.err
    with hold_lock(RunPaths(home / "second")):
        result = run_cli("delete", "first", "second", "--yes")
        assert result.code == 6
        assert "second cannot be deleted while its worker is alive. Nothing was deleted." in result.err
    assert names(home) == ["first", "second"]
    result = run_cli("delete", "first", "second", "first", "--yes")
    assert (result.code, result.err) == (0, "Deleted first\nDeleted second\n")
    assert names(home) == []
    assert run_cli("delete", "first", "--yes").code == 6


@pytest.mark.parametrize(("answer", "left"), [("mine", []), ("yes", ["mine"])])
def test_the_command_asks(
    run_cli: Cli, home: Path, mine: RunPaths, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: f"{answer}\n")
    result = run_cli("delete", "mine")
    assert "Type mine to go on:" in result.err
    assert names(home) == left
    assert result.code == (1 if left else 0)
