"""The command that a message names is one that can be typed in this shell and folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import Cli, run_cli  # noqa: F401 - a fixture

from codeprune_tui.cli import main  # noqa: F401 - all commands are in `app` then
from codeprune_tui.cli.runs import app
from core import program as subject
from core.program import program, run_handle

ROOT = Path(__file__).resolve().parent.parent
VERBS = "|".join(sorted(info.name or info.callback.__name__ for info in app.registered_commands if info.callback))
HELP = ("  codeprune-tui ", "    codeprune-tui ", '    "  codeprune-tui ')
"""How a line of help begins that shows a command, in a docstring or among the examples at its end."""
TYPED = re.compile(rf"(?<!`)codeprune-tui (?:{VERBS}|--[a-z])\b")
"""A command in a text; in back quotes it is what a command is called, not one to copy."""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with the script in it, in the working directory, and a PATH that leads elsewhere."""
    folder = tmp_path / "clone" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "codeprune-tui"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path / "clone")
    return folder


def test_after_make_demo_it_is_the_script_in_the_environment(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program() == ".venv/bin/codeprune-tui"
    assert program(anywhere=True) == str(environment / "codeprune-tui")
    monkeypatch.chdir("/")
    assert program() == str(environment / "codeprune-tui")[1:]  # from the root, every path lies below


def test_from_beside_the_environment_the_path_is_whole_and_quoted(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = tmp_path / "my clone"
    environment.parent.parent.rename(spaced)
    monkeypatch.setattr(sys, "executable", str(spaced / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path.parent)
    assert shlex.split(program(anywhere=True)) == [str(spaced / ".venv" / "bin" / "codeprune-tui")]


def test_on_the_path_it_is_its_name(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(environment))
    assert program() == "codeprune-tui"
    tools = tmp_path / "tools"  # as uv tool and pipx do it: a link, elsewhere
    tools.mkdir()
    (tools / "codeprune-tui").symlink_to(environment / "codeprune-tui")
    monkeypatch.setenv("PATH", str(tools))
    assert program() == program(anywhere=True) == "codeprune-tui"


def test_another_one_on_the_path_is_not_named(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "codeprune-tui").write_text("#!/bin/sh\n")
    (other / "codeprune-tui").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    assert program() == ".venv/bin/codeprune-tui"


def test_without_a_script_it_is_the_interpreter(environment: Path) -> None:
    (environment / "codeprune-tui").unlink()
    assert program() == ".venv/bin/python -m codeprune_tui.cli.main"


def test_a_run_is_named_as_the_command_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_handle(Path("checkpoints/mine")) == "mine"
    assert run_handle(tmp_path / "checkpoints" / "mine") == "mine"
    assert run_handle(tmp_path / "my runs" / "mine") == f"'{tmp_path}/my runs/mine'"


def test_help_and_errors_name_it_too(
    run_cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subject, "_quoted", lambda file, anywhere: ".venv/bin/codeprune-tui")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert "Usage: .venv/bin/codeprune-tui comment" in (shown := run_cli("comment", "-h").out)
    assert "git show HEAD:lib/user.rb | .venv/bin/codeprune-tui comment -" in shown
    assert ".venv/bin/codeprune-tui run mine.toml --detach" in run_cli("-h").out
    assert "Write one with: .venv/bin/codeprune-tui recipe > mine.toml" in run_cli("run", "nothing").err


def test_no_message_spells_the_command_out() -> None:
    """Pages that are read elsewhere (reports, docs, a table's provenance) may; so may help, which is rewritten as it is shown."""
    pages = {"reports", "bench", "stored.py", "quantize.py"}
    spelled = []
    for file in [*(ROOT / "core").rglob("*.py"), *(ROOT / "codeprune_tui").rglob("*.py")]:
        if pages & set(file.parts) or "__pycache__" in file.parts:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            of_help = "epilog=" in line or line.startswith(HELP)
            if TYPED.search(line) and not of_help:
                spelled.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
    assert spelled == []


def test_the_script_that_is_named_starts(tmp_path: Path) -> None:
    """What `program` says, said to a shell."""
    command = subprocess.run(
        [sys.executable, "-c", "from core.program import program; print(program())"],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", f"{command} --version"], cwd=ROOT, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("codeprune-tui ")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("codeprune-tui qua", {"quantize"}),
        ("codeprune-tui quantize --me", {"--method", "--methods"}),
        ("codeprune-tui run x.toml --de", {"--detach"}),
    ],
)
def test_the_shell_completes_commands_and_options(tmp_path: Path, typed: str, offered: set[str]) -> None:
    words = typed.split()
    settings = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), "_CODEPRUNE_TUI_COMPLETE": "complete_bash"}
    command = Path(sys.executable).with_name("codeprune-tui")
    result = subprocess.run(
        [command], cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=True
    )
    assert set(result.stdout.split()) == offered
    assert all(word.startswith(words[-1]) for word in result.stdout.split())


def test_bash_takes_the_script_that_is_shown(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("codeprune-tui")
    text = subprocess.run(
        [command],
        env=os.environ | {"_CODEPRUNE_TUI_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    probe = (
        f'{text}\nCOMP_WORDS=(codeprune-tui sens); COMP_CWORD=1; _codeprune_tui_completion {command}; echo "${{COMPREPLY[@]}}"'
    )
    result = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "sensitivity"
