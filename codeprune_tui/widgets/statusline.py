"""The line at the top of every mode: where one is, and how the watched run stands.

Knows the modes by name only. On a screen too small for anything else it is all there is, and then it takes several lines.
"""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

MODE_KEYS: dict[str, tuple[str, str]] = {
    "runs": ("1", "Runs"),
    "live": ("2", "Live"),
    "layers": ("3", "Layers"),
    "compare": ("4", "Compare"),
    "playground": ("5", "Playground"),
    "new": ("6", "New run"),
}
"""Mode -> (key, title)."""

LEAST = (60, 16)
"""Columns and rows below which there is only the status line."""

TONES: dict[str, tuple[str, str]] = {
    "RUNNING": ("●", "$text-success"),
    "STARTING…": ("●", "$text-primary"),
    "PAUSING…": ("●", "$text-warning"),
    "STOPPING…": ("●", "$text-warning"),
    "PAUSED": ("‖", "$text-warning"),
    "STALE": ("?", "$text-error"),
    "STOPPED": ("■", "$text-warning"),
    "CRASHED": ("✗", "$text-error"),
    "KILLED": ("✗", "$text-warning"),
    "FAILED": ("✗", "$text-error"),
    "DAMAGED": ("✗", "$text-error"),
    "DONE": ("✓", "$text-primary"),
    "NEW": ("·", "$text-muted"),
}
"""First word of a state -> (sign, colour)."""


def tone(state: str) -> tuple[str, str]:
    """Sign and colour of a state such as "STALE 42 s"."""
    return TONES.get(state.split(" ", 1)[0], ("·", "$text-muted"))


class ModeTab(Static):
    """One mode's name; a click goes there."""

    class Chosen(Message):
        """A mode was clicked."""

        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, mode: str, current: bool) -> None:
        super().__init__("", markup=False, classes="current" if current else "")
        self.mode = mode
        self._current = current

    def fit(self, width: int) -> None:
        """Leaves the titles of other modes out where the screen is `width` narrow columns."""
        key, title = MODE_KEYS[self.mode]
        text = f"{key} {title}" if self._current or width >= 100 else key
        self.update(f"[{text}]" if self._current else f" {text} ")

    def on_click(self, event: Click) -> None:
        """Asks for the mode."""
        event.stop()
        self.post_message(self.Chosen(self.mode))


class StatusLine(Horizontal):
    """Modes on the left, the watched run on the right.

    Args:
        mode: The mode this line stands in.
    """

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._mode = mode
        self._shown: tuple[tuple[str, str], ...] = ()

    def compose(self) -> ComposeResult:
        """The modes, then the run."""
        for mode in MODE_KEYS:
            yield ModeTab(mode, current=mode == self._mode)
        yield Static(id="run-status", markup=False)
        yield Static(id="too-small", markup=False)

    def on_resize(self) -> None:
        """Fits the modes to the new width, and says what a terminal that is too small leaves out."""
        width, height = self.app.size
        self.query_one("#too-small", Static).update(
            f"This terminal has {width} × {height} characters; from {LEAST[0]} × {LEAST[1]} on there is more than this line. "
            "The keys work as ever."
        )
        for tab in self.query(ModeTab):
            tab.fit(self.app.size.width)

    def show(self, parts: tuple[tuple[str, str], ...]) -> None:
        """Shows (text, style) pairs; repaints only when they changed."""
        if parts != self._shown:
            self._shown = parts
            self.query_one("#run-status", Static).update(Content.assemble(*parts))
