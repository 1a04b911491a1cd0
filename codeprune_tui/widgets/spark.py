"""The loss as a row of bars, newest on the right; drawn by lines, cheap enough to repaint once a second."""

from collections.abc import Sequence
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

BARS = " ▁▂▃▄▅▆▇█"


def bars(values: Sequence[float], width: int, height: int) -> list[str]:
    """A bar chart of block characters.

    Args:
        values: Finite numbers, oldest first.
        width: Columns; more values than that are averaged in buckets, fewer leave blanks on the left.
        height: Lines.

    Returns:
        `height` lines of `width` characters, top first; the lowest value keeps a visible bar.
    """
    if not values or width < 1 or height < 1:
        return [" " * max(0, width)] * max(0, height)
    shown = _bucketed(values, width)
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    levels = [1 + round((value - low) / span * (8 * height - 1)) for value in shown]
    return ["".join(BARS[max(0, min(8, level - 8 * line))] for level in levels).rjust(width) for line in reversed(range(height))]


def _bucketed(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    edges = [index * len(values) // width for index in range(width + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]


class Spark(Widget):
    """Shows a series as bars; its title carries the figures."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values: tuple[float, ...] = ()
        self._lines: list[str] = []

    def show(self, values: tuple[float, ...]) -> None:
        """Shows another series, oldest first."""
        if values != self._values:
            self._values = values
            self._draw()

    def on_resize(self) -> None:
        """Fits the bars to the new size."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        text = self._lines[y] if y < len(self._lines) else " " * self.size.width
        return Strip([Segment(text, Style(color=self.styles.color.rich_color) + self.rich_style)])

    def _draw(self) -> None:
        self._lines = bars(self._values, self.size.width, self.size.height)
        self.refresh()
