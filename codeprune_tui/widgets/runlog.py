"""The log pane: a sentence for everything that happened, newest at the bottom, wrapped to the width.

Follows the line API: only lines that are new are wrapped and drawn.
"""

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..plain import plain
from ..state import Level, LogLine
from ..words import clock

SIGNS: dict[Level, tuple[str, str]] = {
    "info": ("·", "dim"),
    "good": ("✓", "green"),
    "warning": ("!", "yellow"),
    "error": ("✗", "bold red"),
}
INDENT = 11
"""Columns of the time and the sign."""


class RunLog(ScrollView, can_focus=True):
    """Shows log lines; follows the end unless it was scrolled away from it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "log"
        self._shown: tuple[LogLine, ...] = ()
        self._strips: dict[LogLine, list[Strip]] = {}
        self._lines: list[Strip] = []
        self._width = 0

    def show(self, lines: tuple[LogLine, ...]) -> None:
        """Shows other lines, oldest first."""
        if lines is not self._shown:
            self._shown = lines
            self._draw()

    def on_resize(self) -> None:
        """Wraps anew to the new width."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        line, width, style = y + self.scroll_offset.y, self.size.width, self.rich_style
        if line >= len(self._lines):
            return Strip.blank(width, style)
        return self._lines[line].crop_extend(0, width, style).apply_style(style)

    def _draw(self) -> None:
        width = self.size.width
        if width <= INDENT:
            return
        if width != self._width:
            self._strips, self._width = {}, width
        at_end = self.scroll_offset.y >= self.max_scroll_y
        self._strips = {line: self._strips.get(line) or self._wrap(line, width) for line in self._shown}
        self._lines = [strip for line in self._shown for strip in self._strips[line]]
        self.virtual_size = Size(width, len(self._lines))
        if at_end:
            self.call_after_refresh(self.scroll_end, animate=False, x_axis=False)
        self.refresh()

    def _wrap(self, line: LogLine, width: int) -> list[Strip]:
        sign, style = SIGNS[line.level]
        body = Style.parse(style if line.level in ("warning", "error") else "")
        wrapped = [piece.plain.rstrip() for piece in Text(plain(line.text)).wrap(self.app.console, width - INDENT)] or [""]
        time = Segment(f"{clock(line.time)} ", Style(dim=True))
        first = Strip([time, Segment(f"{sign} ", Style.parse(style)), Segment(wrapped[0], body)])
        return [first, *(Strip([Segment(" " * INDENT), Segment(piece, body)]) for piece in wrapped[1:])]
