"""The part of the app that screens may use, so that they need not know the app itself.

Knows no screen. The app (`tui`) implements `Frame`; a new screen can use all of it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.message_pump import MessagePump
from textual.notifications import SeverityLevel

from core.recipe import Recipe
from core.run.folder import RunInfo, RunPaths

from .modes import MODES
from .runs.watch import Watched

SLOW_POLL_S, SLOW_TICK_S = 2.0, 5.0
"""Seconds between two updates of a run's news, and of ages, over a slow line."""
ALIVE = ("RUNNING", "PAUSED", "PAUSING…", "STOPPING…", "STARTING…", "STALE")
"""First words of the states in which a worker is there."""

APP_KEYS: list[BindingType] = [
    *(
        Binding(mode.key, f"mode('{mode.name}')", mode.title, show=False, tooltip=f"Go to {mode.title}", id=f"app.{mode.name}")
        for mode in MODES.values()
    ),
    Binding("q", "ask_quit", "Detach", tooltip="Leave the app; asks first while a run is at work, which goes on", id="app.quit"),
    Binding(
        "ctrl+q",
        "quit",
        "Detach at once",
        show=False,
        priority=True,
        tooltip="Leave at once, also while typing; every run goes on",
        id="app.leave",
    ),
    Binding("question_mark,f1", "help", "Help", key_display="?", tooltip="Show all keys", id="app.help"),
]
"""The keys that mean the same in every mode."""


def publish(to: MessagePump, message: Message) -> None:
    """Posts a message from a thread; once the app is gone, there is nobody to tell.

    Args:
        to: The app, or a screen; it may have been taken down meanwhile.
        message: The news.
    """
    with suppress(RuntimeError):  # the loop is closed, or the screen has no app any more
        to.post_message(message)


class Frame(Protocol):
    """The app, as screens see it."""

    checkpoints: Path
    """Folder of all runs."""
    clock: Callable[[], float]
    """Seconds since 1970."""
    demo: bool
    """Whether the bundled models and example are shown, too."""
    slow: bool
    """Whether the line to the terminal is slow."""
    playground_device: str
    """Where the Playground computes, as a recipe says it."""
    keymap: dict[str, str]
    """Id of a binding -> the keys that the user's settings give it."""
    watched: Watched | None
    """The run that is followed."""
    runs: list[RunInfo] | None
    """All runs, newest first; None until they have been listed once."""
    missing: Mapping[str, int]
    """Sweep -> how many of its runs have no folder yet."""
    runs_problem: str
    """Why the folder of all runs cannot be listed; empty if it can."""

    def standing(self) -> str:
        """The watched run's state in words; a command on its way counts as taken."""
        ...

    def status(self) -> tuple[tuple[str, str], ...]:
        """The watched run as (text, style) pairs for the status line."""
        ...

    def say(self, text: str, severity: SeverityLevel = "information", bell: bool = False) -> None:
        """Shows a toast: text, never markup."""
        ...

    def perform(self, work: Callable[[], object], done: str) -> None:
        """Does some work in a thread, since it may take a moment, and reports its outcome."""
        ...

    def later(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls something in the app's own thread, from another one; once the app is gone, nothing is called."""
        ...

    def expect(self, paths: RunPaths, state: str) -> None:
        """Shows the state that a command asks for until the worker answers."""
        ...

    def open_run(self, paths: RunPaths) -> None:
        """Follows a run and shows it."""
        ...

    def new_from(self, recipe: Recipe) -> None:
        """Opens the form with a recipe in it."""
        ...

    def compare_runs(self, names: list[str]) -> None:
        """Shows some runs beside each other."""
        ...

    def action_mode(self, mode: str) -> None:
        """Goes to a mode."""
        ...
