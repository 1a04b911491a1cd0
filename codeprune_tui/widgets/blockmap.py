"""One matrix as a map of its blocks: the pruned share of each in percent, × where nothing is left, in the tones of the heatmap.

Rows and columns of blocks are labelled with the first row and column of the matrix in them, or with the head.
"""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.run.events import MatrixMeasured

from .heatmap import TONES, tone_style, tones_of

LABEL = 6
MOST = 64
"""Most blocks that are drawn along a side; a damaged journal may hold more."""
DEAD = Style(color="#ff5f5f", bgcolor="#000000", bold=True)


def map_strips(figures: MatrixMeasured, width: int, by_row: bool, tones: Sequence[str] = TONES) -> list[Strip]:
    """The picture, line by line: column labels, then the blocks.

    Args:
        figures: The matrix.
        width: Columns of the screen.
        by_row: Whether the matrix's heads, if it has any, lie along the rows; else along the columns.
        tones: Eleven colours, from 0 to 100 % pruned.
    """
    blocks = [row[:MOST] for row in figures.density[:MOST]]
    across = max((len(row) for row in blocks), default=0)
    if not across:
        return []
    cell = max(4, min(7, (width - LABEL) // across))
    columns = _labels(figures.columns, across, 0 if by_row else figures.heads)
    every = 1 if max(map(len, columns)) < cell else 2
    heading = "".join(text.rjust(cell - 1) + " " if not i % every else " " * cell for i, text in enumerate(columns))
    strips = [Strip([Segment(" " * LABEL + heading, Style(dim=True))])]
    for label, row in zip(_labels(figures.rows, len(blocks), figures.heads if by_row else 0), blocks, strict=True):
        strips.append(Strip([Segment(f"{label:>{LABEL - 1}} ", Style(dim=True)), *(_block(kept, cell, tones) for kept in row)]))
    return strips


def _labels(size: int, blocks: int, heads: int) -> list[str]:
    """The first row (or column) in each block, or where blocks fall on heads, which one begins."""
    if heads and blocks % heads == 0:
        each = blocks // heads
        return [f"h{index // each + 1}" if index % each == 0 else "" for index in range(blocks)]
    return [str(index * size // blocks) for index in range(blocks)]


def _block(kept: int, cell: int, tones: Sequence[str]) -> Segment:
    if kept <= 0:
        return Segment("×".rjust(cell - 1) + " ", DEAD)
    pruned = 100 - min(100, kept)  # in the figures and tones of the heatmap beside it
    return Segment(str(pruned).rjust(cell - 1) + " ", tone_style(pruned / 100, tones))


class BlockMap(ScrollView, can_focus=False):
    """The map of one matrix."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._figures: MatrixMeasured | None = None
        self._by_row = True
        self._note = ""
        self._strips: Sequence[Strip] = ()

    def show(self, figures: MatrixMeasured | None, by_row: bool, note: str) -> None:
        """Shows another matrix.

        Args:
            figures: The matrix; None where it was not measured.
            by_row: As `map_strips` wants it.
            note: What to say where there is nothing to show.
        """
        if (figures, by_row, note) != (self._figures, self._by_row, self._note):
            self._figures, self._by_row, self._note = figures, by_row, note
            self._draw()

    def on_resize(self) -> None:
        """Fits the cells to the new width."""
        self._draw()

    def notify_style_update(self) -> None:
        """Draws anew after a change of theme."""
        super().notify_style_update()
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        line, width, style = y + self.scroll_offset.y, self.size.width, self.rich_style
        if line >= len(self._strips):
            return Strip.blank(width, style)
        return self._strips[line].crop_extend(self.scroll_offset.x, self.scroll_offset.x + width, style).apply_style(style)

    def _draw(self) -> None:
        tones = tones_of(self.app.theme)
        strips = map_strips(self._figures, self.size.width, self._by_row, tones) if self._figures is not None else []
        self._strips = strips or [Strip([Segment(f" {self._note}"[: max(1, self.size.width)])])]
        self.virtual_size = Size(max(strip.cell_length for strip in self._strips), len(self._strips))
        self.refresh()
