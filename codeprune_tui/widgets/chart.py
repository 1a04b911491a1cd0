"""chrF by round, beside the scores to compare it with: the dense model's and the floors.

Follows textual-plot's PlotWidget; it is redrawn only when a score arrives, not on a timer. The line of text below the plot
names the curves with their figures, so that nothing depends on telling colours apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.events import MouseScrollDown, MouseScrollUp
from textual.geometry import Offset
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Static
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.axis_formatter import NumericAxisFormatter

from core.run.events import Scores
from core.run.results import LEADING, MEASURES

from ..views.axis import labels, span, ticks
from ..views.outliers import drawable
from ..views.state import RunView
from ..views.text import score
from .telling import retitle

CURVE, INSIDE, DENSE, NAME, CONSTANT = "bright_cyan", "cyan", "bright_green", "bright_yellow", "bright_magenta"
ENCODER_OFF = "bright_blue"


Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Curves:
    """Everything that the chart draws."""

    title: str
    results: Points
    """(round, chrF) of the complete rounds; without rounds, the one result by step."""
    inside: tuple[Points, ...]
    """Measurements inside each round, at fractions of a round; without rounds, by step."""
    dense: float | None
    floors: tuple[float | None, float | None, float | None]
    """The floors: name, constant, encoder off."""
    right: float
    """End of the horizontal axis."""
    by_round: bool = False
    """Whether the horizontal axis counts rounds, so that only whole numbers belong on it."""
    left_out: int = 0
    """Number of points that cannot be drawn, since their score is no usable number."""


def curves(view: RunView) -> Curves:
    """What the chart draws of a run: scores by round, or by step where there is only the dense round."""
    if view.kind == "pretrain":
        accuracies = tuple((float(each.step), 100 * each.accuracy) for each in view.validations)
        shown = _drawable(accuracies)
        title, right, left_out = "held-out accuracy, %, by step", float(max(1, view.steps)), len(accuracies) - len(shown)
        return Curves(title, (), (shown,), None, (None, None, None), right, left_out=left_out)
    by_step = view.rounds == 0
    inside: list[Points] = []
    for number, each in sorted(view.by_round.items()):
        steps = max(1, each.steps or view.steps)
        places = [one.step if by_step else number - 1 + min(1.0, one.step / steps) for one in each.evaluations]
        inside.append(tuple(sorted(zip(places, (getattr(one.scores, LEADING) for one in each.evaluations), strict=True))))
    results = [
        (float((each.picked_step or 0) if by_step else each.number), getattr(each.scores, LEADING))
        for each in view.finished
        if each.scores
    ]
    drawn = [_drawable(line) for line in inside]
    lost = sum(map(len, inside)) - sum(map(len, drawn)) + len(results) - len(_drawable(results))
    return Curves(
        title=f"{MEASURES[LEADING]} by {'step' if by_step else 'round'}",
        results=_drawable(results),
        inside=tuple(drawn),
        dense=_level(view.dense) if not by_step else None,
        floors=(_floor(view, "name"), _floor(view, "constant"), _floor(view, "encoder_off")),
        right=float(max(1, view.steps if by_step else view.rounds)),
        left_out=lost,
        by_round=not by_step,
    )


def _floor(view: RunView, name: str) -> float | None:
    return _level(view.floors.get(name))


def _level(scores: Scores | None) -> float | None:
    level: float | None = getattr(scores, LEADING, None)
    return level if level is not None and drawable(level) else None


def _drawable(points: Iterable[tuple[float, float]]) -> Points:
    return tuple(point for point in points if drawable(point[1]))


class StyledCanvas(Canvas):
    """A canvas whose empty lines have a style as well: without one, Textual's filter for NO_COLOR fails on them."""

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        strip: Strip = super().render_line(y)
        return strip if strip.cell_length else Strip.blank(self.size.width, self.rich_style)


class Plot(PlotWidget):  # type: ignore[misc]  # textual_plot is not followed: it is untyped in parts
    """A plot on such canvases."""

    class Wheel(Message):
        """The mouse's wheel was turned over the plot."""

        def __init__(self, by: int, at: Offset) -> None:
            super().__init__()
            self.by = by
            """1 for up, −1 for down."""
            self.at = at
            """Where on the screen."""

    def compose(self) -> ComposeResult:
        """The parts by the names that PlotWidget gives them."""
        with Grid():
            for part in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield StyledCanvas(1, 1, id=part)
        yield Static(id="legend")

    def _zoom_with_mouse(self, event: MouseScrollDown | MouseScrollUp, factor: float) -> None:
        """Reports that the wheel was turned: PlotWidget keeps the event, and would zoom without a limit."""
        self.post_message(self.Wheel(1 if isinstance(event, MouseScrollUp) else -1, event.screen_offset))

    def set_up(self) -> None:
        """Takes the room that labels of axes would need; the title has them."""
        self.can_focus = False  # its zoom keys would shadow the app's
        self.margin_top, self.margin_bottom, self.margin_left = 0, 1, 5
        self.set_x_formatter(Labels())
        self.set_y_formatter(Labels())

    def set_axes(self, across: tuple[float, float], up: tuple[float, float], whole: bool = False) -> None:
        """Sets where both axes begin and end, with as many ticks as there is room for.

        Args:
            across: Ends of the horizontal axis.
            up: Ends of the vertical one.
            whole: Whether whole numbers from 0 on belong on the horizontal axis, as far as there are some.
        """
        width, height = self.size
        at = ticks(*up, max(2, (height - 2) // 2))
        margin = max(5, 2 + max(map(len, labels(at)), default=0))
        if margin != self.margin_left:
            self.margin_left = margin
            self.call_after_refresh(self.refresh, layout=True)  # the canvas has its new width only then
        self.set_ylimits(*up)
        self.set_yticks(at)
        self.set_xlimits(across[0], across[1] + 0.01 * (across[1] - across[0]))  # or the frame would cover a dot at its end
        along = ticks(*across, max(2, (width - self.margin_left) // 6))
        rounds = [tick for tick in along if tick >= 0 and tick == int(tick)]
        self.set_xticks(rounds if whole and (len(rounds) > 1 or across[1] - across[0] >= 2) else along)

    def line(self, points: Iterable[tuple[float, float]], style: str) -> None:
        """Draws a line through points."""
        if some := list(points):
            x, y = zip(*some, strict=True)
            self.plot(x, y, line_style=style, hires_mode=HiResMode.BRAILLE)

    def dots(self, points: Iterable[tuple[float, float]], style: str) -> None:
        """Draws a dot for each point."""
        if some := list(points):
            x, y = zip(*some, strict=True)
            self.scatter(x, y, marker="●", marker_style=style)


class Labels(NumericAxisFormatter):  # type: ignore[misc]  # as PlotWidget
    """Labels of ticks, all with the same unit and decimals."""

    def get_labels_for_ticks(self, ticks: Iterable[float]) -> list[str]:
        """One label for each tick."""
        return labels(list(ticks))


class ScoreChart(Vertical):
    """The chart and, below it, its legend with figures."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = f"{MEASURES[LEADING]} by round"
        self._curves: Curves | None = None
        self._owner = self._note = ""

    def compose(self) -> ComposeResult:
        """The plot above its legend."""
        yield Plot(allow_pan_and_zoom=False)
        yield Static(id="legend-line", markup=False)

    def on_mount(self) -> None:
        """Takes the room that axis labels would need."""
        self.query_one(Plot).set_up()

    def show(self, view: RunView, owner: str = "", note: str = "") -> None:
        """Shows a run's scores; draws only what is new.

        Args:
            view: The run.
            owner: Name of the scores' run, safe to show, if it is not the watched run.
            note: A remark about that, below the legend.
        """
        drawn = curves(view)
        if (drawn, owner, note) == (self._curves, self._owner, self._note):
            return
        self._curves, self._owner, self._note = drawn, owner, note
        left_out = f" · {drawn.left_out} left out: no numbers" if drawn.left_out else ""
        retitle(self, f"{f'{owner}: ' if owner else ''}{drawn.title}{left_out}")
        self._draw(drawn)
        self._name_curves()

    def on_resize(self) -> None:
        """Fits ticks and legend to the new size."""
        self._name_curves()
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        if self._curves is not None:
            self._draw(self._curves)

    def _name_curves(self) -> None:
        if self._curves is not None:
            self.query_one("#legend-line", Static).update(_legend(self._curves, self.size.width, self._note))

    def _draw(self, drawn: Curves) -> None:
        plot = self.query_one(Plot)
        plot.clear()
        levels = [drawn.dense, *drawn.floors]
        points = [*drawn.results, *(point for line in drawn.inside for point in line)]
        heights = [y for _, y in points] + [level for level in levels if level is not None]
        left = min((0.0, *(x for x, _ in points)))
        plot.set_axes((left, drawn.right), span(heights), whole=drawn.by_round)
        for level, style in zip(levels, (DENSE, NAME, CONSTANT, ENCODER_OFF), strict=True):
            if level is not None:
                plot.line([(left, level), (drawn.right, level)], style)
        for line in drawn.inside:
            plot.line(line, INSIDE)
        plot.line(drawn.results, CURVE)
        plot.dots(drawn.results, CURVE)


def _legend(drawn: Curves, width: int, note: str) -> Content:
    best = max((height for _, height in drawn.results), default=None)
    entries = (
        ("● best ", "ansi_bright_cyan", best),
        ("─ dense ", "ansi_bright_green", drawn.dense),
        ("─ name ", "ansi_bright_yellow", drawn.floors[0]),
        ("─ constant ", "ansi_bright_magenta", drawn.floors[1]),
        ("─ encoder off ", "ansi_bright_blue", drawn.floors[2]),
    )
    shown = [Content.assemble((label, colour), f"{score(level):<5}") for label, colour, level in entries]
    between = "  " if width >= 60 else "\n"
    legend = Content(between).join([shown[0] + Content("  ") + shown[1], shown[2] + Content("  ") + shown[3]])
    if drawn.floors[2] is not None:
        legend = Content("\n").join([legend, shown[4]])
    return Content.assemble(legend, "\n" if note else "", (note, "$text-warning"))
