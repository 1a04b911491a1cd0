"""Two series of a run as charts, one above the other: each with axes, round marks, a cursor, and a part of it enlarged.

Draws what `series.chart` says, and computes nothing of it. Follows textual-plot through `chart.Plot`; drawn anew when the series
or the part of it changes, not on a timer. The line below the plot says the value at the cursor, or under the mouse.
"""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click, Leave, MouseMove
from textual.geometry import Offset
from textual.widgets import Static

from core.run.results import LEADING

from ..views.axis import number, span
from ..views.series import Chart, Point, by_rounds, chart, part, thinned, titles
from ..views.state import RunView
from .chart import CONSTANT, CURVE, DENSE, ENCODER_OFF, INSIDE, NAME, Plot
from .comparechart import window
from .telling import retitle, tell

LEVELS = {"dense": DENSE, "name": NAME, "constant": CONSTANT, "encoder_off": ENCODER_OFF}
"""Colours of the levels that a score is compared with; others have the colour of the axes."""
MARK, OTHER = "bright_black", "white"
MOST_ZOOM = 10
"""Most halvings of the chart; beyond them it shows nothing between two points."""
MOST_MARKS = 30
"""Most marks of rounds; more would be a wall."""


class SeriesChart(Vertical, can_focus=True):
    """One series.

    Args:
        key: Which one at first.
    """

    def __init__(self, key: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.key = key
        self._chart = Chart(key, "")
        self._zoom, self._centre = 0, 0.0
        self._cursor: Point | None = None
        self._under_mouse: Point | None = None

    def compose(self) -> ComposeResult:
        """The plot above the line with the values."""
        yield Plot(allow_pan_and_zoom=False)
        yield Static("", markup=False, classes="value-line")

    def on_mount(self) -> None:
        """Takes the room that axis labels would need."""
        self.query_one(Plot).set_up()

    def show(self, chart: Chart) -> None:
        """Shows another series, or more of this one; another one is shown whole."""
        if chart == self._chart:
            return
        if chart.key != self._chart.key or (self._cursor is not None and self._cursor not in chart.points):
            self._cursor = None
        if chart.key != self._chart.key:
            self._zoom = 0
        self._chart, self._under_mouse = chart, None
        self._draw()

    def on_resize(self) -> None:
        """Fits ticks and lines to the new size."""
        self.call_after_refresh(self._draw)

    # Which part

    @property
    def _ends(self) -> tuple[float, float]:
        whole = (self._chart.left, self._chart.right)
        return window(whole, self._centre, self._zoom) if self._zoom else whole

    def zoom(self, by: int, at: float | None = None) -> None:
        """Halves or doubles the part that is shown, around a place; 0 shows all."""
        left, right = self._ends
        chosen = at if at is not None else self._cursor.x if self._cursor is not None else (left + right) / 2
        self._zoom = min(max(0, self._zoom + by), MOST_ZOOM) if by else 0
        # The place stays where it is on the screen, as far as the ends allow.
        share = (chosen - left) / (right - left)
        width = (self._chart.right - self._chart.left) / 2**self._zoom
        self._centre = chosen + (0.5 - share) * width
        self._draw()

    def pan(self, by: int) -> None:
        """Moves the part that is shown to the left or right by a quarter of its width."""
        left, right = self._ends
        self._centre = (
            sum(window((self._chart.left, self._chart.right), (left + right) / 2 + by * (right - left) / 4, self._zoom)) / 2
        )
        self._draw()

    def move(self, by: int) -> None:
        """Moves the cursor by so many of the points that are drawn; the part that is shown follows it."""
        points = self._drawn()
        if not points:
            return
        left, right = self._ends
        if self._cursor in points:
            self._cursor = points[min(max(0, points.index(self._cursor) + by), len(points) - 1)]
        else:  # a cursor that is out of sight comes into it, on the side where it is
            at = self._cursor.x if self._cursor is not None else right
            self._cursor = min(points, key=lambda point: abs(point.x - min(max(at, left), right)))
        if self._zoom and not left <= self._cursor.x <= right:
            self._centre = self._cursor.x
        self._draw()

    # The mouse

    def _at(self, place: Offset) -> float | None:
        """The place on the horizontal axis under a place on the screen; None beside the plot."""
        plot = self.query_one(Plot)
        region = plot.query_one("#plot").region
        if not region.contains_point(place):
            return None
        return float(plot.get_coordinate_from_pixel(*(place - region.offset))[0])

    def on_mouse_move(self, event: MouseMove) -> None:
        """Says the value under the mouse."""
        at = self._at(event.screen_offset)
        self._under_mouse = None if at is None else self._chart.near(at)
        self._say()

    def on_leave(self, event: Leave) -> None:
        """Says the value at the cursor again."""
        self._under_mouse = None
        self._say()

    def on_click(self, event: Click) -> None:
        """Puts the cursor there."""
        if (at := self._at(event.screen_offset)) is not None:
            self._cursor = self._chart.near(at)
            self._draw()

    def on_plot_wheel(self, event: Plot.Wheel) -> None:
        """Zooms in on the place under the mouse, or out again."""
        event.stop()
        if (at := self._at(event.at)) is not None:
            self.zoom(event.by, at)

    # The picture

    def _drawn(self) -> list[Point]:
        return thinned(part(self._chart.points, *self._ends), 2 * max(20, self.query_one(Plot).size.width))

    def _draw(self) -> None:
        chart, plot, (left, right) = self._chart, self.query_one(Plot), self._ends
        points = self._drawn()
        lines = by_rounds(points) if chart.by_round else [points]
        low, high = span([*(point.y for point in points), *(level for _, level in chart.levels)])
        plot.clear()
        plot.set_axes((left, right), (low, high), whole=chart.by_round)
        for place in {line[-1].round for line in lines if line and chart.by_round} if len(lines) <= MOST_MARKS else ():
            plot.line([(place, low), (place, high)], MARK)  # first: it must not hide anything
        for name, level in chart.levels:
            plot.line([(left, level), (right, level)], LEVELS.get(name, OTHER))
        for line in lines:
            plot.line([(point.x, point.y) for point in line], INSIDE if chart.dotted and chart.by_round else CURVE)
        if chart.dotted:
            plot.line([(line[-1].x, line[-1].y) for line in lines if line], CURVE)
            plot.dots([(point.x, point.y) for point in points], CURVE)
        if self._cursor is not None and left <= self._cursor.x <= right:
            plot.scatter([self._cursor.x], [self._cursor.y], marker="╋", marker_style="bright_white")
        self._say()

    def _say(self) -> None:
        chart = self._chart
        zoom = f" · zoom ×{2**self._zoom}, 0 shows all" if self._zoom else ""
        note = f" · {chart.note}" if chart.note else ""
        retitle(
            self,
            f"{chart.title}{f', {chart.unit}' if chart.unit else ''}, by {'round' if chart.by_round else 'step'}{zoom}{note}",
        )
        point = self._under_mouse or self._cursor or (chart.points[-1] if chart.points else None)
        levels = [
            Content.assemble((f"  ─ {name.replace('_', ' ')} ", f"ansi_{LEVELS.get(name, OTHER)}"), number(level, chart.digits))
            for name, level in chart.levels
        ]
        sign = "mouse " if self._under_mouse else "╋ " if self._cursor else "newest "
        line = Content.assemble((sign if point else "", "$text-muted"), (chart.says(point), "bold"))
        tell(self.query_one(".value-line", Static), Content("").join([line, *levels]))


class Charts(Vertical):
    """Two series at a time."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = RunView()

    def compose(self) -> ComposeResult:
        """Loss above the score, until others are chosen."""
        yield SeriesChart("loss")
        yield SeriesChart(LEADING)

    @property
    def chosen(self) -> SeriesChart:
        """The chart that keys are about: the focused one, else the upper one."""
        both = list(self.query(SeriesChart))
        return next((each for each in both if each.has_focus), both[0])

    def show(self, view: RunView) -> None:
        """Shows a run, or news of it."""
        self._view = view
        for each in self.query(SeriesChart):
            each.show(chart(view, each.key))

    def choose(self, key: str) -> None:
        """Shows a series in the chosen chart."""
        self.chosen.key = key
        self.show(self._view)

    def next_series(self, by: int) -> None:
        """Goes on to another series of the run; those of single matrices are chosen from the list."""
        keys = list(titles(self._view))
        place = keys.index(self.chosen.key) if self.chosen.key in keys else -1 if by > 0 else 0
        self.choose(keys[(place + by) % len(keys)])
