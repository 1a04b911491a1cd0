"""The log pane: a sentence for everything that happened, newest at the bottom, wrapped to the width.

Follows the line API: only lines that are new are wrapped and drawn.
"""

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from ..views.plain import plain
from ..views.state import Level, LogLine
from ..views.text import clock
from .following import Following

SIGNS: dict[Level, tuple[str, str]] = {
    "info": ("·", "dim"),
    "good": ("✓", "green"),
    "warning": ("!", "yellow"),
    "error": ("✗", "bold red"),
}
INDENT = 11
"""Columns of the time and the sign."""


class RunLog(Following):
    """Shows log lines; follows the end unless it was scrolled away from it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "log (L: all of it)"
        self._shown: tuple[LogLine, ...] = ()
        self._strips: dict[LogLine, list[Strip]] = {}
        self._lines: list[Strip] = []
        self._width = 0

    def show(self, lines: tuple[LogLine, ...]) -> None:
        """Shows other lines, oldest first."""
        if lines is not self._shown:
            before, self._shown = self._shown, lines
            same = bool(lines) and lines[0] in before
            if before and not same:
                self.forget_place()  # another run's
            self._draw(before.index(lines[0]) if same else 0)

    def on_resize(self) -> None:
        """Wraps anew to the new width."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        line, width, style = y + self.scroll_offset.y, self.size.width, self.rich_style
        if line >= len(self._lines):
            return Strip.blank(width, style)
        return self._lines[line].crop_extend(0, width, style).apply_style(style)

    def _draw(self, gone: int = 0) -> None:
        width = self.size.width
        if width <= INDENT:
            return
        if width != self._width:
            self._strips, self._width = {}, width
        self._strips = {line: self._strips.get(line) or self._wrap(line, width) for line in self._shown}
        self._lines = [strip for line in self._shown for strip in self._strips[line]]
        self.lay_out((len(self._strips[line]) for line in self._shown), gone)

    def _wrap(self, line: LogLine, width: int) -> list[Strip]:
        sign, style = SIGNS[line.level]
        body = Style.parse(style if line.level in ("warning", "error") else "")
        wrapped = [piece.plain.rstrip() for piece in Text(plain(line.text)).wrap(self.app.console, width - INDENT)] or [""]
        time = Segment(f"{clock(line.time)} ", Style(dim=True))
        first = Strip([time, Segment(f"{sign} ", Style.parse(style)), Segment(wrapped[0], body)])
        return [first, *(Strip([Segment(" " * INDENT), Segment(piece, body)]) for piece in wrapped[1:])]
