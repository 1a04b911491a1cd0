"""Five keys for a user who sees the app for the first time. Any key closes the tips and still has its effect."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click, Key
from textual.widgets import Static

from .dialog import Dialog

TIPS = (
    ("1 to 6", "the modes, in the line at the top"),
    ("d", "under 1 Runs: prunes the bundled model; needs no network"),
    ("5", "the Playground: paste Ruby, and see what models write about it"),
    ("q", "leaves; runs go on, and are there at the next start"),
    ("?", "all keys; Ctrl+P finds every action by its name"),
)
CLOSING = ("escape", "enter", "space")
"""Keys that only close."""


class TipsScreen(Dialog[Key | None]):
    """The tips; answers with the key that closed them, if that key has an effect."""

    def compose(self) -> ComposeResult:
        """A few lines."""
        parts: list[str | tuple[str, str]] = []
        for keys, what in TIPS:
            parts += [(f"{keys:<8}", "bold"), f"{what}\n"]
        with Vertical(classes="dialog help"):
            yield Static(
                Content.assemble(
                    ("codeprune-tui prunes code-to-text models, and shows what is lost.\n\n", "bold $text-primary"),
                    *parts,
                    ("\nAny key closes this. It does not come again; under Help, i shows it.", "$text-muted"),
                ),
                markup=False,
            )

    def on_key(self, event: Key) -> None:
        """Closes, and hands the key on."""
        event.stop()
        self.dismiss(None if event.key in CLOSING else event)

    def on_click(self, event: Click) -> None:
        """Closes."""
        event.stop()
        self.dismiss(None)
