"""Keys and what they do, with headings and paragraphs between them, as one widget of lines.

A table and a text of Textual's or Rich's for each part take several times as long to lay out as a key may take to be answered.
All text is our own, of letters that take one cell.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

KEYS_WIDTH = 15
"""Width of the column of keys, including the gap before their explanations."""


@dataclass(frozen=True)
class Line:
    """A paragraph, or a row of keys and what they do."""

    text: str
    look: str = ""
    """Of a paragraph: "title", "muted" or ""."""
    keys: str = ""


class KeyTable(Widget):
    """The lines, wrapped; the second line of an explanation stands under its first.

    Args:
        lines: From top to bottom; "" as a text makes an empty line.
    """

    DEFAULT_CSS = """
    KeyTable { height: auto; }
    KeyTable > .keytable--title { text-style: bold; color: $text-primary; }
    KeyTable > .keytable--keys { text-style: bold; }
    KeyTable > .keytable--muted { color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keytable--title", "keytable--keys", "keytable--muted"}

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self._parts = lines
        self._wrapped: tuple[int, list[Line]] = (0, [])

    def _lines(self, width: int) -> list[Line]:
        """Every line of the screen by itself."""
        if self._wrapped[0] != width:
            lines: list[Line] = []
            for part in self._parts:
                left = max(1, width - (KEYS_WIDTH if part.keys else 0))
                pieces = textwrap.wrap(part.text, left) or [""]
                lines += [
                    Line(piece, part.look, (part.keys if at == 0 else " ") if part.keys else "")
                    for at, piece in enumerate(pieces)
                ]
            self._wrapped = (width, lines)
        return self._wrapped[1]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The number of lines at a width."""
        return len(self._lines(width))

    def render_line(self, y: int) -> Strip:
        """One line."""
        width = self.content_size.width
        lines, plain = self._lines(width), self.rich_style
        if y >= len(lines):
            return Strip.blank(width, plain)
        line = lines[y]
        look = self.get_component_rich_style(f"keytable--{line.look}") if line.look else plain
        segments = [Segment(line.text, look)]
        if line.keys:
            keys = f"  {line.keys}".ljust(KEYS_WIDTH)
            segments.insert(0, Segment(keys, self.get_component_rich_style("keytable--keys")))
        return Strip(segments).adjust_cell_length(width, plain)
