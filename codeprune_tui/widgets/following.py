"""A scroll view that keeps its place: its top line, or its end, stays in view whatever lines come and however wide it is.

Knows how many rows each line takes, not their text.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from textual.geometry import Size
from textual.scroll_view import ScrollView


class Following(ScrollView, can_focus=True):
    """Lines of several rows each; follows the end unless it was scrolled away from it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._starts = [0]
        """First row of each line, and behind the last the number of rows."""
        self._top = (0, 0)
        """(line, row of it) at the top."""
        self._at_end = True
        self._settled: Size | None = None
        """The size for which the place holds; at another size, it is not the reader who moves the view."""

    def lay_out(self, rows: Iterable[int], gone: int = 0) -> None:
        """Takes other lines, or the same ones at another width, and goes back to the place.

        Args:
            rows: How many rows each line takes.
            gone: How many lines have been dropped at the beginning.
        """
        line, row = self._top
        self._top = (line - gone, row) if line >= gone else (0, 0)
        self._starts = [0, *accumulate(rows)]
        self._settled = None
        self.virtual_size = Size(self.size.width, self._starts[-1])
        self.call_after_refresh(self._settle)
        self.refresh()

    def forget_place(self) -> None:
        """Follows the end again."""
        self._top, self._at_end = (0, 0), True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Remembers the place that the reader scrolls to."""
        super().watch_scroll_y(old_value, new_value)
        if self._settled == self.size:
            self._at_end = round(new_value) >= self.max_scroll_y
            self._top = self.place(round(new_value))

    def place(self, row: int) -> tuple[int, int]:
        """(line, row of it) that stands at a row of the whole."""
        line = max(0, min(bisect_right(self._starts, row) - 1, len(self._starts) - 2))
        return line, max(0, row - self._starts[line])

    def _settle(self) -> None:
        line, row = self._top
        if self._at_end or len(self._starts) < 2:
            y = self.max_scroll_y
        else:
            line = min(line, len(self._starts) - 2)
            y = min(self._starts[line] + row, self._starts[line + 1] - 1)  # a line that is wider now has fewer rows
        self.scroll_to(y=y, animate=False, force=True)
        self._settled = self.size
