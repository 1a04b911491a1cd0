"""The command that the form shows starts the same run: it goes through a real shell and the real command line."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codeprune_tui.runs import client, shell_command
from core.recipe import Recipe, build_recipe, load_recipe, parse_recipe
from core.run.folder import RunPaths

NO_WORKER = (
    "from codeprune_tui.cli import main; from codeprune_tui.runs import client; client.launch = lambda paths, *rest, **more: 0; "
    "client.source_problems = lambda *given: {}; main.main()"
)
"""The real program, except that no worker comes to life, and that models and data need not be there."""
RECIPES: dict[str, dict[str, object]] = {
    "defaults": {},
    "numbers": {"training": {"steps": 7, "learning_rate": 1e-5, "dropout": -1, "label_smoothing": 0}, "pruning": {"rounds": 0}},
    "preset": {"training": {"preset": "paper", "batch_size": 16}, "rewind": {"to": "step:3"}},
    "new": {"kind": "pretrain", "model": {"path": "new"}, "architecture": {"split_identifiers": False}},
    "hub": {"model": {"path": "microsoft/codebert-base"}, "data": {"path": "google/code_x_glue_ct_code_to_text"}},
    "bundled code": {"data": {"code": "checkpoints/bundled/demo-ruby/train"}},
    "here": {"model": {"path": "my model"}, "data": {"path": "./data", "code": "data"}},
    "hostile": {"model": {"path": "a'b\"c $(touch pwned) `touch pwned`\nTOML\n\\ \x1b[31m"}, "data": {"path": "TOML"}},
}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose `codeprune-tui` starts no worker; the working directory has a model and data."""
    program = tmp_path / "bin" / "codeprune-tui"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{NO_WORKER}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    current = tmp_path / "here"
    for folder in ("my model", "data"):
        (current / folder).mkdir(parents=True)
    monkeypatch.chdir(current)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("name", RECIPES)
def test_the_command_starts_the_same_run(tmp_path: Path, shell: dict[str, str], name: str) -> None:
    recipe: Recipe = build_recipe(RECIPES[name])
    checkpoints = Path("my runs; touch pwned")
    command = shell_command.command(recipe, checkpoints, "mine-1")
    started = client.anchored(recipe)  # what the form's own start writes
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = subprocess.run(["sh", "-c", command], env=shell, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "mine-1\n"
    assert load_recipe(RunPaths(checkpoints / "mine-1").recipe) == started
    assert not list(tmp_path.rglob("pwned"))
    assert parse_recipe(shell_command.toml_text(recipe)) == shell_command.portable(recipe)


def test_paths_that_came_along_stay_short() -> None:
    assert shell_command.portable(Recipe()) == Recipe()
    assert shell_command.toml_text(Recipe()) == "# every key has its default\n"


def test_a_folder_of_the_same_name_here_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "checkpoints" / "bundled" / "ruby-mini"
    mine.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert shell_command.portable(Recipe()).model.path == str(mine)
