"""Several runs on one chart, each with a marker of its own, above a legend with names and figures.

Follows textual-plot through `chart.Plot`; drawn when something changes, not on a timer. Markers tell curves apart without colour.
"""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static
from textual_plot import HiResMode
from textual_plot.axis_formatter import NumericAxisFormatter

from ..comparison import Picture
from ..plain import plain
from ..words import score
from .chart import CONSTANT, DENSE, NAME, Plot

MARKERS = "●■▲◆○□△◇"
COLOURS = ("bright_cyan", "bright_red", "bright_blue", "bright_white", "cyan", "red", "blue", "white")
LEVELS = {"dense": DENSE, "name": NAME, "constant": CONSTANT}
LINES = 3
"""Most lines of the legend."""


def marker(place: int) -> tuple[str, str]:
    """Marker and colour of a run by its place among those that are compared."""
    return MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]


def limits(values: list[float], room: float, least: float = 0.0) -> tuple[float, float]:
    """Where an axis begins and ends, with some room around what is on it; never an empty range."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    around = max(room * (high - low), 0.02 * abs(high), 1e-3)
    return max(least, low - around), high + around


class CompareChart(Vertical):
    """The chart and its legend."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._picture: Picture | None = None

    def compose(self) -> ComposeResult:
        """The plot above its legend."""
        yield Plot(allow_pan_and_zoom=False)
        yield Static(id="compare-legend", markup=False)

    def on_mount(self) -> None:
        """Takes the room that axis labels would need."""
        plot = self.query_one(Plot)
        plot.can_focus = False
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, 6
        plot.set_y_formatter(NumericAxisFormatter())

    def show(self, picture: Picture) -> None:
        """Shows other runs, another axis or another score."""
        if picture != self._picture:
            self._picture = picture
            self.border_title = picture.title
            self._draw(picture)
            self._name_curves()

    def on_resize(self) -> None:
        """Fits the legend to the new width."""
        self._name_curves()

    def _name_curves(self) -> None:
        if self._picture is not None:
            self.query_one("#compare-legend", Static).update(legend(self._picture, self.size.width))

    def _draw(self, picture: Picture) -> None:
        plot = self.query_one(Plot)
        plot.clear()
        points = [point for curve in picture.curves for point in curve.points]
        levels = [level for _, level in picture.levels if level is not None]
        left, right = limits([x for x, _ in points], 0.04)
        plot.set_xlimits(left, right)
        plot.set_ylimits(*limits([*(y for _, y in points), *levels], 0.08))
        plot.set_xticks(range(int(left), int(right) + 1, 1 + int(right) // 12) if picture.whole else None)
        for name, level in picture.levels:
            if level is not None and points:
                plot.plot([left, right], [level, level], line_style=LEVELS[name], hires_mode=HiResMode.BRAILLE)
        for place, curve in enumerate(picture.curves):
            if curve.points:
                x, y = zip(*curve.points, strict=True)
                plot.plot(x, y, line_style=marker(place)[1], hires_mode=HiResMode.BRAILLE)
        for place, curve in enumerate(picture.curves):  # markers last: no line may hide one
            if curve.points:
                x, y = zip(*curve.points, strict=True)
                plot.scatter(x, y, marker=marker(place)[0], marker_style=marker(place)[1])


def legend(picture: Picture, width: int) -> Content:
    """Markers with names and best scores, levels with their scores, and what to mind; at most `LINES` lines of them."""
    entries = []
    for place, curve in enumerate(picture.curves):
        sign, colour = marker(place)
        best = max((y for _, y in curve.points), default=None)
        entries.append(Content.assemble((f"{sign} ", f"ansi_{colour}"), f"{plain(curve.run, 24)} {score(best)}"))
    entries += [Content.assemble((f"─ {name} ", f"ansi_{LEVELS[name]}"), score(level)) for name, level in picture.levels]
    lines: list[Content] = []
    for entry in entries:
        if lines and lines[-1].cell_length + 3 + entry.cell_length <= width:
            lines[-1] = lines[-1] + Content("   ") + entry
        else:
            lines.append(entry)
    if picture.note:
        lines = [*lines[:LINES], Content.styled(plain(picture.note, 200), "$text-warning")]
    return Content("\n").join(lines)
