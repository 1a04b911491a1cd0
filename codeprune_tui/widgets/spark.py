"""The loss as bars with a scale, newest on the right; drawn by lines, cheap enough to repaint once a second."""

from collections.abc import Sequence
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from ..views.axis import number

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


def scaled(points: Sequence[tuple[int, int, float]], width: int, height: int) -> list[str]:
    """Bars with a scale on their left, and below them, from three lines on, a mark wherever a round begins.

    Args:
        points: (round, step, value), oldest first.
        width: Columns.
        height: Lines; with a single one there is no room for a scale.

    Returns:
        `height` lines of `width` characters.
    """
    values = [value for _, _, value in points]
    if height < 2 or not values:
        return bars(values, width, height)
    high, low = number(max(values)), number(min(values))
    margin = max(len(high), len(low)) + 1
    lines = bars(values, width - margin, height - (height > 2))
    ends = [high, *[""] * (len(lines) - 2), low]
    shown = [f"{end:>{margin - 1}} {line}" for end, line in zip(ends, lines, strict=True)]
    return [*shown, " " * margin + _marks(points, width - margin)] if height > 2 else shown


def _marks(points: Sequence[tuple[int, int, float]], width: int) -> str:
    columns = min(width, len(points))
    line, free = [" "] * width, 0
    for index in (index for index, point in enumerate(points) if index == 0 or point[0] != points[index - 1][0]):
        at = width - columns + index * columns // len(points)
        label = f"╵{points[index][0]}" if free else f"╵round {points[index][0]}"
        if at >= free and at + len(label) <= width:
            line[at : at + len(label)], free = list(label), at + len(label) + 1
    return "".join(line)


class Spark(Widget):
    """Shows a series as bars; its title carries the figures."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._points: tuple[tuple[int, int, float], ...] = ()
        self._lines: list[str] = []

    def show(self, points: tuple[tuple[int, int, float], ...]) -> None:
        """Shows another series of (round, step, value), oldest first."""
        if points != self._points:
            self._points = points
            self._draw()

    def on_resize(self) -> None:
        """Fits the bars to the new size."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        text = self._lines[y] if y < len(self._lines) else " " * self.size.width
        return Strip([Segment(text, Style(color=self.styles.color.rich_color) + self.rich_style)])

    def _draw(self) -> None:
        self._lines = scaled(self._points, self.size.width, self.size.height)
        self.refresh()
