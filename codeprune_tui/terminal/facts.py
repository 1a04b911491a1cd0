"""The terminal's abilities, as far as they can be known, and the settings that would give it more.

A terminal never says what it does with colours, clipboards and notifications: the facts come from the environment and tmux, and
samples show the rest to the eye. Pure functions but for `tmux_settings`, which asks tmux. Knows neither Textual nor rich.

Sources: tmux(1), of `set-clipboard`, `allow-passthrough`, `escape-time` and `default-terminal`; https://no-color.org.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.program import program

from ..views.plain import plain

TMUX_TIMEOUT_S = 2.0
TMUX_QUESTIONS: Mapping[str, Sequence[str]] = {
    "version": ("-V",),
    "set-clipboard": ("show-options", "-sv", "set-clipboard"),
    "escape-time": ("show-options", "-sv", "escape-time"),
    "allow-passthrough": ("show-options", "-gwv", "allow-passthrough"),
    "default-terminal": ("show-options", "-gv", "default-terminal"),
    "features": ("display-message", "-p", "#{client_termfeatures}"),
}
COLOURS = {"standard": "16 colours", "256": "256 colours", "truecolor": "16.7 million colours"}
"""Names of rich's and Textual's colour systems -> their colours."""
SAMPLES = (
    ("lines", "┌─┬─┐ ╭───╮ ┏━━━┓ │ ┃"),
    ("blocks", "▁▂▃▄▅▆▇█ ▏▎▍▌▋▊▉█ ░▒▓█"),
    ("dots", "⠁⠃⠇⡇⣇⣧⣷⣿ ⠒⠤"),
    ("signs", "● ‖ ■ ✓ ✗ · … − × – →"),
)
"""All characters that the app draws with; a | follows each sample."""
SAMPLES_ADVICE = "no boxes or question marks, no gaps in lines and blocks, every | below the one before"
SIGN = {"good": "✓", "note": "·", "warning": "!"}


@dataclass(frozen=True)
class Fact:
    """One thing about the terminal."""

    name: str
    value: str
    """Safe to show."""
    kind: Literal["good", "note", "warning"] = "note"
    advice: str = ""
    """Advice: something to do, or to know."""


def facts(
    environ: Mapping[str, str], size: tuple[int, int] | None, colours: str | None, encoding: str, tmux: Mapping[str, str] | None
) -> list[Fact]:
    """All facts about the terminal.

    Args:
        environ: The environment.
        size: Columns and lines; None where there is no terminal.
        colours: The colour system that is used: standard, 256, truecolor, or None for no colours.
        encoding: The terminal's text encoding, such as "utf-8".
        tmux: The result of `tmux_settings`; None if tmux was not asked yet.
    """
    return [
        size_fact(*size) if size else Fact("size", "unknown: this is no terminal"),
        _terminal(environ),
        _colours(environ, colours),
        _encoding(encoding),
        *_multiplexer(environ, tmux),
        _line(environ),
    ]


def size_fact(columns: int, lines: int) -> Fact:
    """The size, and the parts of the app that fit it."""
    size = f"{columns} × {lines}"
    if columns < 60 or lines < 16:
        return Fact("size", size, "warning", "Only a status line fits. Everything is there from 60 × 16 on; 80 × 24 is better.")
    if columns < 80 or lines < 24:
        return Fact("size", size, "note", "Everything works, some of it cut or behind a scroll bar; 80 × 24 shows it in full.")
    if columns < 120 or lines < 36:
        return Fact("size", size, "good", "Everything works. From 120 × 36 on, Live has all panes side by side.")
    return Fact("size", size, "good", "Everything works, all panes side by side.")


def _terminal(environ: Mapping[str, str]) -> Fact:
    term = environ.get("TERM", "")
    program = " ".join(filter(None, (environ.get("TERM_PROGRAM"), environ.get("TERM_PROGRAM_VERSION"))))
    name = f"TERM={plain(term, 40)}" + (f", {plain(program, 40)}" if program else "")
    if term in ("", "dumb", "unknown"):
        return Fact("terminal", name, "warning", "TERM names no terminal. Set it to what yours is, such as xterm-256color.")
    return Fact("terminal", name, "good")


def _colours(environ: Mapping[str, str], colours: str | None) -> Fact:
    variable = f"COLORTERM={plain(environ['COLORTERM'], 20)}" if environ.get("COLORTERM") else "COLORTERM is not set"
    if "NO_COLOR" in environ:
        return Fact("colours", "none, since NO_COLOR is set", "note", "Nothing is lost: what colours say stands in words, too.")
    if colours is None:
        return Fact("colours", f"none ({variable})", "note", "Nothing is lost: what colours say stands in words, too.")
    if colours == "truecolor":
        return Fact("colours", f"{COLOURS[colours]} ({variable})", "good")
    advice = "If the terminal has more: export COLORTERM=truecolor. All heatmaps are made for 256 colours."
    if colours == "standard":
        advice = "Heatmaps have too few tones. Set TERM=xterm-256color, if the terminal has as many, or COLORTERM=truecolor."
    return Fact("colours", f"{COLOURS.get(colours, colours)} ({variable})", "good" if colours == "256" else "warning", advice)


def _encoding(encoding: str) -> Fact:
    if encoding.lower().replace("-", "").replace("_", "") == "utf8":
        return Fact("encoding", "UTF-8", "good")
    advice = "Lines and blocks cannot be written. Set a UTF-8 locale: export LC_ALL=C.UTF-8"
    return Fact("encoding", plain(encoding, 30) or "unknown", "warning", advice)


def _multiplexer(environ: Mapping[str, str], tmux: Mapping[str, str] | None) -> list[Fact]:
    if environ.get("TMUX"):
        return _tmux(tmux)
    if environ.get("STY"):
        advice = (
            "GNU screen passes on neither copied texts (they are in a file, too: each toast names it) nor desktop notifications."
        )
        return [Fact("screen", "GNU screen is in between", "warning", advice)]
    return [Fact("tmux", "no tmux or screen in between", "good")]


def _tmux(settings: Mapping[str, str] | None) -> list[Fact]:
    if settings is None:
        return [Fact("tmux", "asking it…")]
    if not settings:
        return [Fact("tmux", "it is in between, but does not answer", "warning", "Ask it yourself: tmux show-options -s")]
    features = f", the terminal behind it: {plain(settings['features'], 80)}" if settings.get("features") else ""
    return [
        Fact("tmux", plain(settings.get("version", "?"), 30) + features),
        _option(
            settings,
            "set-clipboard",
            ("on",),
            "warning",
            "Copied texts stop at tmux (they are in a file, too). Turn it on: {set} -s {option} on",
        ),
        _option(
            settings,
            "allow-passthrough",
            ("on", "all"),
            "note",
            "Needed for desktop notifications only (notify in the settings): {set} -g {option} on",
        ),
        _escape_time(settings),
        _default_terminal(settings),
    ]


def _option(settings: Mapping[str, str], option: str, good: Sequence[str], kind: Literal["note", "warning"], advice: str) -> Fact:
    value = settings.get(option, "")
    if value in good:
        return Fact("tmux", f"{option} {value}", "good")
    return Fact("tmux", f"{option} {plain(value, 20) or 'unknown'}", kind, advice.format(set="tmux set", option=option))


def _escape_time(settings: Mapping[str, str]) -> Fact:
    value = settings.get("escape-time", "")
    if value.isdecimal() and int(value[:9]) > 50:
        return Fact("tmux", f"escape-time {int(value[:9])} ms", "note", "Esc is delayed by as much: tmux set -s escape-time 10")
    return Fact("tmux", f"escape-time {plain(value, 20) or 'unknown'} ms", "good")


def _default_terminal(settings: Mapping[str, str]) -> Fact:
    value = settings.get("default-terminal", "")
    if "256color" in value or "direct" in value:
        return Fact("tmux", f"default-terminal {plain(value, 30)}", "good")
    advice = "tmux has few colours: tmux set -g default-terminal tmux-256color, then a new window."
    return Fact("tmux", f"default-terminal {plain(value, 30) or 'unknown'}", "note", advice)


def _line(environ: Mapping[str, str]) -> Fact:
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return Fact("line", "over SSH", "note", f"If keys answer late: {program()} --low-bandwidth")
    return Fact("line", "no SSH to be seen", "good")


def tmux_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of tmux; empty outside of tmux, and if it does not answer."""
    command = shutil.which("tmux", path=environ.get("PATH", os.defpath))
    if not environ.get("TMUX") or command is None:
        return {}
    settings = {}
    for name, question in TMUX_QUESTIONS.items():
        try:
            answer = subprocess.run(
                [command, *question],
                capture_output=True,
                env=dict(environ),
                timeout=TMUX_TIMEOUT_S,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        settings[name] = answer.stdout.decode("utf-8", "replace").strip()
    return {} if settings.keys() <= {"version"} else settings


def sample_lines() -> list[str]:
    """The samples, each with a | behind it that must stand in one column."""
    width = max(len(sample) for _, sample in SAMPLES)
    return [f"{name:<8} {sample:<{width}} |" for name, sample in SAMPLES]


def as_lines(checked: Sequence[Fact]) -> list[tuple[Fact, str, str]]:
    """(fact, its line without the advice, its advice)."""
    return [(fact, f"{SIGN[fact.kind]} {fact.name:<10}{fact.value}", fact.advice) for fact in checked]
