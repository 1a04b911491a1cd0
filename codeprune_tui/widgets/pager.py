"""A long text to read and search: lines wrapped at the width, matches marked, the place kept.

Only the lines in view are wrapped and drawn; of the others the pager knows how many rows they take.
"""

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ..runs.logs import LogText, matching, spans
from .following import Following

FOUND = Style(reverse=True)
CHOSEN = Style(reverse=True, bold=True, underline=True)


class Pager(Following):
    """Shows a log and finds texts in it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = LogText("")
        self._lines: tuple[str, ...] = ()
        self._width = 0
        self._headed = False
        """Whether the first line is a heading."""
        self._rows: list[int] = []
        """How many rows each line takes at that width."""
        self._search_text = ""
        self._matches: list[int] = []
        self._chosen: int | None = None
        """Number of the line that the search went to."""

    def show(self, text: LogText, heading: str) -> None:
        """Shows another state of a log, or another log.

        Args:
            text: The log.
            heading: A line that stands above its lines; "" for none.
        """
        before, known, self._text = self._text, self._lines, text
        same = (before.name, before.opened) == (text.name, text.opened)
        gone = max(0, text.gone - before.gone) if same else 0
        self._lines = ((heading,) if heading else ()) + text.lines
        if not same:
            self.forget_place()
            self._chosen = None
        elif self._chosen is not None:
            self._chosen = self._chosen - gone if self._chosen >= gone else None
        self._matches = matching(self._lines, self._search_text)
        # All lines but the last are as they were, only fewer: measuring fifty thousand takes too long for each new one.
        first = bool(heading)
        kept = max(0, len(known) - gone - 1 - first) if same and first == self._headed else 0
        self._headed = first
        self._draw(gone, kept)

    def find(self, text: str) -> None:
        """Marks all places of a text and goes to the first one from the top of the view on; "" takes the marks away."""
        self._search_text, self._chosen = text, None
        self._matches = matching(self._lines, text)
        if self._matches:
            top = self.place(round(self.scroll_offset.y))[0]
            self._go(next((line for line in self._matches if line >= top), self._matches[0]))
        self.refresh()

    def step(self, by: int) -> None:
        """Goes to the next line with the text (1) or the one before (-1), round and round."""
        if not self._matches:
            return
        current = self._chosen if self._chosen is not None else self.place(round(self.scroll_offset.y))[0]
        if by > 0:
            self._go(next((line for line in self._matches if line > current), self._matches[0]))
        else:
            self._go(next((line for line in reversed(self._matches) if line < current), self._matches[-1]))

    @property
    def match_position(self) -> tuple[int, int]:
        """(which match was gone to, counted from 1; how many lines match)."""
        at = self._matches.index(self._chosen) + 1 if self._chosen in self._matches else 0
        return at, len(self._matches)

    @property
    def follows(self) -> bool:
        """Whether the end is in view, and stays so."""
        return self._at_end

    def on_resize(self) -> None:
        """Wraps anew to the new width."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        row, width, style = y + self.scroll_offset.y, self.scrollable_content_region.width, self.rich_style
        if row >= self._starts[-1]:
            return Strip.blank(width, style)
        line, at = self.place(row)
        pieces = _wrapped(self._lines[line], self._width)
        begin = sum(map(len, pieces[:at]))
        return self._strip(line, begin, pieces[at]).crop_extend(0, width, style).apply_style(style)

    def _strip(self, line: int, begin: int, piece: str) -> Strip:
        """A row of a line, with its matches marked; a match may go on in the next row."""
        mark, segments, at = CHOSEN if line == self._chosen else FOUND, [], 0
        for first, last in spans(self._lines[line], self._search_text):
            left, right = max(first - begin, at), min(last - begin, len(piece))
            if left < right:
                segments += [Segment(piece[at:left]), Segment(piece[left:right], mark)]
                at = right
        return Strip([*segments, Segment(piece[at:])])

    def _go(self, line: int) -> None:
        self._chosen = line
        self.scroll_to(y=max(0, self._starts[line] - self.size.height // 3), animate=False)
        self.refresh()

    def _draw(self, gone: int = 0, kept: int = 0) -> None:
        """Lays the lines out; of those behind the heading and the `gone` ones, `kept` are as they were."""
        width, first = self.scrollable_content_region.width, int(self._headed)
        if width < 2:  # a wide character needs two columns
            return
        if width == self._width and kept:
            rows = self._rows[first + gone : first + gone + kept]
            self._rows = _heights(self._lines[:first], width) + rows + _heights(self._lines[first + kept :], width)
        else:
            self._rows = _heights(self._lines, width)
        self._width = width
        self.lay_out(self._rows, gone)


def _heights(lines: Sequence[str], width: int) -> list[int]:
    return [max(1, -(-len(line) // width)) if line.isascii() else len(_wrapped(line, width)) for line in lines]


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) * 2 <= width:
        return [line]
    if line.isascii() or cell_len(line) == len(line):
        return [line[at : at + width] for at in range(0, len(line), width)]
    return chop_cells(line, width) or [""]
