"""BLEU by round with what it has to be held against: the dense model and the two floors.

Follows textual-plot's PlotWidget; it is redrawn only when a score arrives, not on a timer. The line of text below the plot names the
curves with their figures, so that nothing depends on telling colours apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static
from textual_plot import HiResMode, PlotWidget
from textual_plot.axis_formatter import NumericAxisFormatter

from core.events import Scores

from ..state import RunView
from ..words import score

CURVE, MIDROUND, DENSE, NAME, CONSTANT = "bright_cyan", "cyan", "bright_green", "bright_yellow", "bright_magenta"


@dataclass(frozen=True)
class Curves:
    """All that the chart draws."""

    rounds: tuple[tuple[float, float], ...]
    """(round, BLEU) of the complete rounds."""
    midround: tuple[tuple[float, float], ...]
    """(round, BLEU) of measurements inside rounds, at fractions of a round."""
    dense: float | None
    floors: tuple[float | None, float | None]
    """Name, constant."""
    last_round: int


def curves(view: RunView) -> Curves:
    """What the chart draws of a run."""
    midround = []
    for number, found in view.by_round.items():
        steps = max(1, found.steps or view.steps)
        midround += [(number - 1 + min(1.0, one.step / steps), one.scores.bleu) for one in found.evaluations]
    return Curves(
        rounds=tuple((found.number, found.scores.bleu) for found in view.finished if found.scores),
        midround=tuple(sorted(midround)),
        dense=view.dense.bleu if view.dense else None,
        floors=(_bleu(view.floors, "name"), _bleu(view.floors, "constant")),
        last_round=max(1, view.rounds),
    )


def _bleu(floors: Mapping[str, Scores], name: str) -> float | None:
    return floors[name].bleu if name in floors else None


class Plot(PlotWidget, can_focus=False):
    """A plot that only shows: no zoom keys that would shadow the app's."""

    BINDINGS = []  # noqa: RUF012 - Textual's own convention


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
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, 5
        plot.set_y_formatter(NumericAxisFormatter())

    def show(self, view: RunView) -> None:
        """Shows a run's scores; draws only what is new."""
        found = curves(view)
        if found == self._curves:
            return
        self._curves = found
        self._draw(found)
        self.query_one("#legend-line", Static).update(_legend(found))

    def _draw(self, found: Curves) -> None:
        plot = self.query_one(Plot)
        plot.clear()
        levels = [found.dense, *found.floors]
        heights = [y for _, y in (*found.rounds, *found.midround)] + [level for level in levels if level is not None]
        if not heights:
            plot.set_xlimits(0, found.last_round)
            plot.set_ylimits(0, 1)
            return
        low, high = min(heights), max(heights)
        room = max(0.5, 0.08 * (high - low))
        plot.set_ylimits(max(0.0, low - room), high + room)
        left = min([-0.0, *(x for x, _ in found.midround)])
        plot.set_xlimits(left, found.last_round)
        for level, style in zip(levels, (DENSE, NAME, CONSTANT), strict=True):
            if level is not None:
                plot.plot([left, found.last_round], [level, level], line_style=style, hires_mode=HiResMode.BRAILLE)
        if found.midround:
            x, y = zip(*found.midround, strict=True)
            plot.plot(x, y, line_style=MIDROUND, hires_mode=HiResMode.BRAILLE)
        if found.rounds:
            x, y = zip(*found.rounds, strict=True)
            plot.plot(x, y, line_style=CURVE, hires_mode=HiResMode.BRAILLE)
            plot.scatter(x, y, marker="●", marker_style=CURVE)


def _legend(found: Curves) -> Content:
    best = max((bleu for _, bleu in found.rounds), default=None)
    parts: list[str | tuple[str, str]] = [("● best ", "ansi_bright_cyan"), score(best)]
    for label, colour, level in (
        ("dense", "ansi_bright_green", found.dense),
        ("name", "ansi_bright_yellow", found.floors[0]),
        ("const", "ansi_bright_magenta", found.floors[1]),
    ):
        parts += [(f" ─ {label} ", colour), score(level)]
    return Content.assemble(*parts)
