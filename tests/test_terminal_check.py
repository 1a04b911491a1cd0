"""The terminal check: what the environment and tmux say, what follows from it, on the screen and as text."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from app_runs import LARGE, SMALL, opened, until, until_shown
from terminal import Terminal

from codeprune_tui.screens.terminal import TEST_TEXT, TerminalScreen
from codeprune_tui.terminal.facts import Fact, facts, sample_lines, size_fact, tmux_settings

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])
COMMAND = str(Path(sys.executable).with_name("codeprune-tui"))
GOOD_TMUX = {
    "version": "tmux 3.4",
    "set-clipboard": "on",
    "escape-time": "10",
    "allow-passthrough": "on",
    "default-terminal": "tmux-256color",
    "features": "256,RGB,clipboard",
}


def facts_by_name(
    environ: Mapping[str, str], colours: str | None = "truecolor", encoding: str = "utf-8", tmux: Mapping[str, str] | None = None
) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts(environ, (80, 24), colours, encoding, tmux)}


@pytest.mark.parametrize(
    ("size", "kind", "words"),
    [
        ((59, 40), "warning", "Only a status line fits."),
        ((80, 15), "warning", "Only a status line fits."),
        ((60, 16), "note", "80 × 24 shows it in full"),
        ((80, 24), "good", "Everything works. From 120 × 36 on"),
        ((160, 35), "good", "From 120 × 36 on"),
        ((120, 36), "good", "Everything works, all panes side by side."),
    ],
)
def test_what_works_at_a_size(size: tuple[int, int], kind: str, words: str) -> None:
    fact = size_fact(*size)
    assert (fact.value, fact.kind) == (f"{size[0]} × {size[1]}", kind)
    assert words in fact.advice


def test_colours_as_they_are_used() -> None:
    term = {"TERM": "xterm-256color"}
    best = facts_by_name({**term, "COLORTERM": "truecolor"})["colours"]
    assert (best.kind, best.value, best.advice) == ("good", "16.7 million colours (COLORTERM=truecolor)", "")
    assert "export COLORTERM=truecolor" in facts_by_name(term, "256")["colours"].advice
    few = facts_by_name({"TERM": "xterm"}, "standard")["colours"]
    assert (few.kind, few.value) == ("warning", "16 colours (COLORTERM is not set)")
    assert facts_by_name({**term, "NO_COLOR": ""}, "256")["colours"].value == "none, since NO_COLOR is set"
    assert facts_by_name({"TERM": "dumb"}, None)["terminal"].kind == "warning"
    assert facts_by_name(term)["terminal"].kind == "good"


def test_the_rest_of_the_environment() -> None:
    assert facts_by_name({}, encoding="ANSI_X3.4-1968")["encoding"].advice.endswith("export LC_ALL=C.UTF-8")
    assert facts_by_name({}, encoding="UTF-8")["encoding"].kind == "good"
    assert facts_by_name({"STY": "1.pts"})["screen"].kind == "warning"
    assert facts_by_name({})["tmux"].value == "no tmux or screen in between"
    assert "--low-bandwidth" in facts_by_name({"SSH_TTY": "/dev/pts/1"})["line"].advice
    evil = facts_by_name({"TERM": "x\x1b]0;owned\x07", "TERM_PROGRAM": "[red]\x9b31m", "COLORTERM": "\x1b[31m"})
    assert all(fact.value.isprintable() for fact in evil.values())


def tmux_facts(tmux: Mapping[str, str] | None) -> list[Fact]:
    return [fact for fact in facts({"TMUX": "/tmp/t,1,0"}, (80, 24), "256", "utf-8", tmux) if fact.name == "tmux"]


def test_what_to_set_in_tmux() -> None:
    assert all(fact.kind != "warning" and not fact.advice for fact in tmux_facts(GOOD_TMUX))
    assert "the terminal behind it: 256,RGB,clipboard" in tmux_facts(GOOD_TMUX)[0].value
    assert [fact.value for fact in tmux_facts(None)] == ["asking it…"]
    assert tmux_facts({})[0].kind == "warning"
    for option, value, kind, advice in (
        ("set-clipboard", "external", "warning", "tmux set -s set-clipboard on"),
        ("allow-passthrough", "off", "note", "tmux set -g allow-passthrough on"),
        ("escape-time", "500", "note", "tmux set -s escape-time 10"),
        ("default-terminal", "screen", "note", "tmux set -g default-terminal tmux-256color"),
    ):
        changed = [fact for fact in tmux_facts({**GOOD_TMUX, option: value}) if fact.advice]
        assert [(fact.kind, fact.value.split()[0]) for fact in changed] == [(kind, option)]
        assert advice in changed[0].advice


def stand_in_tmux(folder: Path, script: str) -> dict[str, str]:
    """An environment inside of a tmux that is a shell script."""
    program = folder / "tmux"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"TMUX": "/tmp/t,1,0", "PATH": f"{folder}:/usr/bin:/bin"}


def test_tmux_is_asked(tmp_path: Path) -> None:
    environ = stand_in_tmux(
        tmp_path,
        'case "$*" in *set-clipboard) echo external;; *escape-time) echo 500;; -V) echo tmux 3.2;;\n'
        '*passthrough) exit 1;; *client_termfeatures*) echo 256;; *) echo "$2:$3";; esac',
    )
    assert tmux_settings(environ) == {
        "version": "tmux 3.2",
        "set-clipboard": "external",
        "escape-time": "500",
        "default-terminal": "-gv:default-terminal",
        "features": "256",
    }
    assert tmux_settings({**environ, "TMUX": ""}) == {}
    assert tmux_settings({"TMUX": "x", "PATH": str(tmp_path / "none")}) == {}
    assert tmux_settings(stand_in_tmux(tmp_path, 'test "$1" = -V && echo tmux 3.4')) == {}


def test_samples_end_at_one_column() -> None:
    from rich.cells import cell_len

    assert len({cell_len(line) for line in sample_lines()}) == 1


@SIZES
async def test_the_page_from_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name, value in stand_in_tmux(tmp_path, 'case "$*" in *set-clipboard) echo external;; *) echo on;; esac').items():
        monkeypatch.setenv(name, value)
    copied: list[str] = []
    async with opened(tmp_path / "runs", size) as (app, pilot):
        monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
        await pilot.press("question_mark")
        await until_shown(app, "t checks the terminal")
        await pilot.press("t")
        await until_shown(app, f"{size[0]} × {size[1]}")
        await until_shown(app, "TERM=xterm-256color")
        await until_shown(app, "set-clipboard external")
        await pilot.press("ctrl+t")
        await until_shown(app, "keyboard ctrl+t")
        await pilot.press("c")
        await until(lambda: copied == [TEST_TEXT])
        assert (tmp_path / "state" / "codeprune-tui" / "copied" / "terminal-check.txt").read_text() == f"{TEST_TEXT}\n"
        app.clear_notifications()
        await pilot.press("end")
        await until_shown(app, "heatmap    0  10  20  30")
        await until_shown(app, "▁▂▃▄▅▆▇█")
        await pilot.press("home")
        await until_shown(app, "keyboard home")
        await pilot.resize_terminal(100, 30)
        await until_shown(app, "100 × 30")
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, TerminalScreen))
        await until_shown(app, "t checks the terminal")


def test_the_command_prints_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "")
    done = subprocess.run(
        [COMMAND, "terminal"], cwd=tmp_path, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert "size      unknown: this is no terminal" in done.stdout
    assert "no tmux or screen in between" in done.stdout
    assert "heatmap    0  10  20  30" in done.stdout
    assert "\x1b" not in done.stdout
    terminal = Terminal([COMMAND, "terminal"], (90, 40), tmp_path)
    assert terminal.ended() == 0
    assert "size      90 × 40" in terminal.text
    assert "16.7 million colours (COLORTERM=truecolor)" in terminal.text
    assert b"\x1b[38;2;255;255;255;48;2;38;38;38m" in terminal.raw
