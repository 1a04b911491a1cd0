"""The terminal check: what this terminal can do (size, colours, clipboard, tmux, characters, keys), and what to set."""

import locale
import os
import textwrap
import threading
from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widgets import Static

from ..frame import publish
from ..terminal.clipboard import copy
from ..terminal.facts import SAMPLES_ADVICE, Fact, as_lines, facts, sample_lines, tmux_settings
from ..views.plain import plain
from ..widgets.heatmap import LIGHT_FROM, tones_of
from .dialog import Dialog

STYLES = {"good": "$text-success", "note": "$text-muted", "warning": "$text-warning"}
TEST_TEXT = "codeprune-tui copied this: é ✓ 漢"
CLIPBOARD = (
    "c copies a test text. Then paste it anywhere outside of this app: where it does not come, the terminal takes no OSC 52 "
    "(in tmux: set-clipboard must be on), and copied texts are in the file that the toast names."
)


class TmuxAnswered(Message):
    """tmux has answered with its settings."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__()
        self.settings = settings


class TerminalScreen(Dialog[None]):
    """The terminal check."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", tooltip="Copy a test text to the clipboard", id="terminal.copy"),
        Binding("escape,q", "dismiss", "Close", id="terminal.close"),
    ]
    DEFAULT_CSS = """
    TerminalScreen Static { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._tmux: Mapping[str, str] | None = None

    def compose(self) -> ComposeResult:
        """The facts, samples, and the last key."""
        with VerticalScroll(classes="dialog help"):
            yield Static("", markup=False, id="terminal-key")
            yield Static("", markup=False, id="terminal-facts")
            yield Static("", markup=False, id="terminal-samples")

    def on_mount(self) -> None:
        """Asks tmux, if it is there, and shows what is known meanwhile."""
        self._show_key("–")
        if "TMUX" in os.environ:
            threading.Thread(target=self._ask_tmux, name="ask tmux", daemon=True).start()

    def _ask_tmux(self) -> None:
        publish(self, TmuxAnswered(tmux_settings(os.environ)))

    def on_tmux_answered(self, message: TmuxAnswered) -> None:
        """Shows its settings."""
        self._tmux = message.settings
        self._show()

    def on_resize(self) -> None:
        """Shows the facts again: the size is one of them."""
        self._show()

    def notify_style_update(self) -> None:
        """Shows the facts again: the colour ramp is the theme's."""
        super().notify_style_update()
        if self.is_mounted:
            self._show()

    def facts(self) -> list[Fact]:
        """The facts that are known now."""
        size = (self.app.size.width, self.app.size.height)
        colours = None if self.app.no_color else self.app.console.color_system
        return facts(os.environ, size, colours, locale.getpreferredencoding(False), self._tmux)

    def _show(self) -> None:
        parts: list[str | tuple[str, str]] = [("This terminal\n", "bold $text-primary")]
        for fact, line, advice in as_lines(self.facts()):
            parts += [(line[:1], f"bold {STYLES[fact.kind]}"), f"{line[1:]}\n", (self._indented(advice), "$text-muted")]
        parts += [("·", "bold $text-muted"), " clipboard\n", (self._indented(CLIPBOARD), "$text-muted")]
        self.query_one("#terminal-facts", Static).update(Content.assemble(*parts))
        ramp: list[str | tuple[str, str]] = ["heatmap  "]
        for tone, colour in enumerate(tones_of(self.app.theme)):
            ramp.append((f"{tone * 10:>3} ", f"{'black' if tone >= LIGHT_FROM else 'white'} on {colour}"))
        self.query_one("#terminal-samples", Static).update(
            Content.assemble(
                ("\nWhat it shows\n", "bold $text-primary"),
                *ramp,
                "%\n",
                ("         eleven tones, each lighter than the one before\n", "$text-muted"),
                *(f"{line}\n" for line in sample_lines()),
                (self._indented(SAMPLES_ADVICE, 9), "$text-muted"),
                ("\nEsc closes this.", "$text-muted"),
            )
        )

    def _indented(self, text: str, indent: int = 12) -> str:
        width = self.query_one(VerticalScroll).scrollable_content_region.width - 1
        blank = " " * indent
        lines = textwrap.wrap(text, max(30, width), initial_indent=blank, subsequent_indent=blank, break_on_hyphens=False)
        return "".join(f"{line}\n" for line in lines)

    def on_key(self, event: Key) -> None:
        """Shows the key's name."""
        self._show_key(event.key)

    def _show_key(self, key: str) -> None:
        self.query_one("#terminal-key", Static).update(
            Content.assemble(
                ("keyboard ", "bold $text-primary"),
                (plain(key, 40), "bold"),
                ("  the last key, by its name for the keymap\n", "$text-muted"),
            )
        )

    def action_copy(self) -> None:
        """Copies a test text."""
        copy(self.app, TEST_TEXT, "terminal-check.txt")
