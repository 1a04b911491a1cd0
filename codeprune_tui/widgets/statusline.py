"""The line at the top of every mode: the modes, and the watched run's state.

Knows the modes by name only. On a screen too small for anything else it stands alone, and then it takes several lines.
"""

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from ..modes import MODES
from ..views.shorten import middle_out
from .telling import tell

SHORT = {"playground": "Play", "new": "New"}
"""Short titles for less room; the other modes have only one title."""
LEAST_NAME = 20
"""Columns of the run's name that titles of modes never take."""

LEAST = (60, 16)
"""Columns and rows below which there is only the status line."""


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

    def text(self, form: int) -> str:
        """The tab, the shorter the higher its form: 0 whole, 1 with a short title, 2 the key alone; one's own stays whole."""
        key, title = MODES[self.mode].key, MODES[self.mode].title
        if self._current:
            return f"[{key} {title}]"
        return (f" {key} {title} ", f" {key} {SHORT.get(self.mode, title)}", f" {key} ")[form]

    def fit(self, form: int) -> None:
        """Takes a form; paints only if the form has changed."""
        if str(self.content) != (text := self.text(form)):
            self.update(text)

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
        for mode in MODES:
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
        self._fit()

    def show(self, parts: tuple[tuple[str, str], ...]) -> None:
        """Shows (text, style) pairs, the run's name first; repaints only when they changed."""
        if parts != self._shown:
            self._shown = parts
            self._fit()

    def _fit(self) -> None:
        """Gives the modes titles as long as the text about the run leaves room for."""
        (name, style), *others = self._shown or (("", ""),)
        tabs = list(self.query(ModeTab))
        free = self.app.size.width - 2 - sum(cell_len(text) for text, _ in others)
        least = min(cell_len(name), LEAST_NAME)
        rooms = [free - sum(cell_len(tab.text(form)) for tab in tabs) for form in range(3)]
        form = next((form for form, room in enumerate(rooms) if room >= least), 2)
        for tab in tabs:
            tab.fit(form)
        tell(self.query_one("#run-status", Static), Content.assemble((middle_out(name, max(8, rooms[form])), style), *others))
