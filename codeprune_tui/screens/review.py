"""A dialog with a run's costs, the command that starts the same run, and its recipe; the last two can be copied.

The dialog shows finished text (`cost_text`, `shell_command`) and computes nothing.
"""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..terminal.clipboard import copy
from ..views.plain import plain_lines
from .dialog import Dialog


class Review(Dialog[None]):
    """Shows the texts and copies them.

    Args:
        parts: Heading and text of each part of the summary, safe to show.
        name: Name of the run.
        command: A shell command with the recipe in it.
        toml: The recipe alone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_command", "Copy the command", tooltip="Copy the command, recipe included", id="review.command"),
        Binding("t", "copy_toml", "Copy the TOML", tooltip="Copy the recipe alone", id="review.toml"),
        Binding("escape,q,enter", "dismiss", "Close", tooltip="Back to the form", id="review.close"),
    ]
    DEFAULT_CSS = """
    Review VerticalScroll { height: 1fr; scrollbar-size: 1 1; }
    Review .keys { color: $text-muted; margin: 0 0 1 0; }
    """

    def __init__(self, parts: list[tuple[str, str]], name: str, command: str, toml: str) -> None:
        super().__init__()
        self._parts = parts
        self._name = name
        self._command = command
        self._toml = toml

    def compose(self) -> ComposeResult:
        """Keys, summary, command."""
        with Vertical(classes="dialog"):
            yield Static("c copies the command · t copies the TOML · ↑ ↓ scroll · Esc closes", markup=False, classes="keys")
            with VerticalScroll():
                yield Static(self._text(), markup=False)

    def _text(self) -> Content:
        shown = [Content.assemble((f"{heading}\n", "bold"), f"{text}\n\n") for heading, text in self._parts]
        command = plain_lines(self._command.rstrip("\n"), 1000, 200)
        return Content("").join([*shown, Content.assemble(("the same from a shell\n", "bold"), command)])

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()

    def action_copy_command(self) -> None:
        """Copies the command."""
        copy(self.app, self._command, f"{self._name}.sh")

    def action_copy_toml(self) -> None:
        """Copies the recipe."""
        copy(self.app, self._toml, f"{self._name}.toml")
