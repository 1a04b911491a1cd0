"""BLEU by round with what it has to be held against: the dense model and the floors.

Follows textual-plot's PlotWidget; it is redrawn only when a score arrives, not on a timer. The line of text below the plot
names the curves with their figures, so that nothing depends on telling colours apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.widgets import Static
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.axis_formatter import NumericAxisFormatter

from core.events import Scores

from ..state import RunView
from ..words import score

CURVE, INSIDE, DENSE, NAME, CONSTANT = "bright_cyan", "cyan", "bright_green", "bright_yellow", "bright_magenta"
ENCODER_OFF = "bright_blue"


Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Curves:
    """All that the chart draws."""

    title: str
    results: Points
    """(round, BLEU) of the complete rounds; without rounds, the one result by step."""
    inside: tuple[Points, ...]
    """Measurements inside each round, at fractions of a round; without rounds, by step."""
    dense: float | None
    floors: tuple[float | None, float | None, float | None]
    """Name, constant, encoder off."""
    right: float
    """Where the horizontal axis ends."""
    by_round: bool = False
    """Whether the horizontal axis counts rounds, so that only whole numbers belong on it."""


def curves(view: RunView) -> Curves:
    """What the chart draws of a run: scores by round, or by step where there is only the dense round."""
    if view.kind == "pretrain":
        accuracies = tuple((float(found.step), 100 * found.accuracy) for found in view.validations)
        return Curves("held-out tokens found, %, by step", (), (accuracies,), None, (None, None, None), float(max(1, view.steps)))
    by_step = view.rounds == 0
    inside: list[Points] = []
    for number, found in sorted(view.by_round.items()):
        steps = max(1, found.steps or view.steps)
        places = [one.step if by_step else number - 1 + min(1.0, one.step / steps) for one in found.evaluations]
        inside.append(tuple(sorted(zip(places, (one.scores.bleu for one in found.evaluations), strict=True))))
    results = [
        (float((found.picked_step or 0) if by_step else found.number), found.scores.bleu)
        for found in view.finished
        if found.scores
    ]
    return Curves(
        title="BLEU by step" if by_step else "BLEU by round",
        results=tuple(results),
        inside=tuple(inside),
        dense=view.dense.bleu if view.dense and not by_step else None,
        floors=(_bleu(view.floors, "name"), _bleu(view.floors, "constant"), _bleu(view.floors, "encoder_off")),
        right=float(max(1, view.steps if by_step else view.rounds)),
        by_round=not by_step,
    )


def _bleu(floors: Mapping[str, Scores], name: str) -> float | None:
    return floors[name].bleu if name in floors else None


class StyledCanvas(Canvas):
    """A canvas whose empty lines have a style as well: without one, Textual's filter for NO_COLOR fails on them."""

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        strip: Strip = super().render_line(y)
        return strip if strip.cell_length else Strip.blank(self.size.width, self.rich_style)


class Plot(PlotWidget):  # type: ignore[misc]  # textual_plot is not followed: it is untyped in parts
    """A plot on such canvases."""

    def compose(self) -> ComposeResult:
        """The parts by the names that PlotWidget gives them."""
        with Grid():
            for part in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield StyledCanvas(1, 1, id=part)
        yield Static(id="legend")


class ScoreChart(Vertical):
    """The chart and, below it, its legend with figures."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "BLEU by round"
        self._curves: Curves | None = None

    def compose(self) -> ComposeResult:
        """The plot above its legend."""
        yield Plot(allow_pan_and_zoom=False)
        yield Static(id="legend-line", markup=False)

    def on_mount(self) -> None:
        """Takes the room that axis labels would need."""
        plot = self.query_one(Plot)
        plot.can_focus = False  # its zoom keys would shadow the app's
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, 5
        plot.set_y_formatter(NumericAxisFormatter())

    def show(self, view: RunView) -> None:
        """Shows a run's scores; draws only what is new."""
        found = curves(view)
        if found == self._curves:
            return
        self._curves = found
        self.border_title = found.title
        self._draw(found)
        self._name_curves()

    def on_resize(self) -> None:
        """Fits the legend to the new width."""
        self._name_curves()

    def _name_curves(self) -> None:
        if self._curves is not None:
            self.query_one("#legend-line", Static).update(_legend(self._curves, self.size.width))

    def _draw(self, found: Curves) -> None:
        plot = self.query_one(Plot)
        plot.clear()
        levels = [found.dense, *found.floors]
        points = [*found.results, *(point for line in found.inside for point in line)]
        heights = [y for _, y in points] + [level for level in levels if level is not None]
        low, high = min(heights, default=0.0), max(heights, default=1.0)
        room = max(0.5, 0.08 * (high - low))
        left = min((0.0, *(x for x, _ in points)))
        plot.set_ylimits(max(0.0, low - room), high + room)
        plot.set_xlimits(left, found.right)
        plot.set_xticks(range(0, int(found.right) + 1, 1 + int(found.right) // 10) if found.by_round else None)
        for level, style in zip(levels, (DENSE, NAME, CONSTANT, ENCODER_OFF), strict=True):
            if level is not None:
                plot.plot([left, found.right], [level, level], line_style=style, hires_mode=HiResMode.BRAILLE)
        for line, style in (*((line, INSIDE) for line in found.inside), (found.results, CURVE)):
            if line:
                x, y = zip(*line, strict=True)
                plot.plot(x, y, line_style=style, hires_mode=HiResMode.BRAILLE)
        if found.results:
            x, y = zip(*found.results, strict=True)
            plot.scatter(x, y, marker="●", marker_style=CURVE)


def _legend(found: Curves, width: int) -> Content:
    best = max((bleu for _, bleu in found.results), default=None)
    entries = (
        ("● best ", "ansi_bright_cyan", best),
        ("─ dense ", "ansi_bright_green", found.dense),
        ("─ name ", "ansi_bright_yellow", found.floors[0]),
        ("─ constant ", "ansi_bright_magenta", found.floors[1]),
        ("─ encoder off ", "ansi_bright_blue", found.floors[2]),
    )
    shown = [Content.assemble((label, colour), f"{score(level):<5}") for label, colour, level in entries]
    between = "  " if width >= 60 else "\n"
    pairs = Content(between).join([shown[0] + Content("  ") + shown[1], shown[2] + Content("  ") + shown[3]])
    return pairs if found.floors[2] is None else Content("\n").join([pairs, shown[4]])
