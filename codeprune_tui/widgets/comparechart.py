"""Several runs on one chart, each with a marker of its own, above a legend with names and figures.

A floor that belongs to all runs has a colour of its own; where runs were scored on different rows, the highest floor of each
group is drawn in the colour of its first run. The right end of every line names it and its runs: nothing depends on colours.
Follows textual-plot through `chart.Plot`; drawn when something changes, not on a timer.
"""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static
from textual_hires_canvas import Canvas, TextAlign
from textual_plot import HiResMode
from textual_plot.axis_formatter import NumericAxisFormatter

from core.run.results import ENCODER_OFF

from ..views.comparison import DENSE, Curve, Level, Picture
from ..views.plain import plain
from ..views.text import score
from . import chart
from .chart import Plot

MARKERS = "●■▲◆○□△◇"
COLOURS = ("#5fd7ff", "#ff875f", "#af87ff", "#ffffff", "#5f87ff", "#d7af87", "#5fd7af", "#a8a8a8")
"""All in the 256-colour palette, and none of them a colour of `LEVELS`."""
LEVELS = {DENSE: chart.DENSE, "name": chart.NAME, "constant": chart.CONSTANT, ENCODER_OFF: chart.ENCODER_OFF}
FRONTIER = "#d7d787"
"""Colour of the line through the models that no other one beats."""
STAR = "★"
"""Their sign in the table."""
LINES = 3
"""Most lines of the legend."""


def marker(place: int) -> tuple[str, str]:
    """Marker and colour of a run by its place among those that are compared; after all markers the colours are shifted."""
    return MARKERS[place % len(MARKERS)], COLOURS[(place + place // len(MARKERS)) % len(COLOURS)]


def limits(values: list[float], room: float, least: float = 0.0) -> tuple[float, float]:
    """The ends of an axis, with some room around its values; never an empty range."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    around = max(room * (high - low), 0.02 * abs(high), 1e-3)
    start = max(least, low - around)
    return start, max(high + around, start + 1e-3)


def window(full: tuple[float, float], centre: float, zoom: int) -> tuple[float, float]:
    """A part of an axis around a place on it, never beyond its ends.

    Args:
        full: The whole axis.
        centre: The place.
        zoom: How often the axis was halved.
    """
    half = (full[1] - full[0]) / 2 ** (zoom + 1)
    middle = min(max(centre, full[0] + half), full[1] - half)
    return middle - half, middle + half


def lines(picture: Picture, chosen: int | None) -> list[tuple[str, str, float]]:
    """The horizontal lines that are drawn: text at the end, colour, score.

    Args:
        picture: Everything that could be drawn.
        chosen: Place of the chosen curve. If dense models differ, only its own is drawn: each curve begins at its own anyway.
    """
    shown = [level for level in picture.dense if len(picture.dense) == 1 or chosen in level.curves]
    groups = dict.fromkeys(level.curves for level in picture.floors)
    for curves in groups:
        floors = [level for level in picture.floors if level.curves == curves]
        shown += floors if picture.shares_floors else [max(floors, key=lambda level: level.score)]
    return [(f"{_whose(picture, level)}{level.label}", _colour(picture, level), level.score) for level in shown]


def _is_everybodys(picture: Picture, level: Level) -> bool:
    return len(picture.dense) == 1 if level.name == DENSE else picture.shares_floors


def _whose(picture: Picture, level: Level) -> str:
    """Markers of the curves that a level belongs to; "" where it belongs to all of them."""
    return "" if _is_everybodys(picture, level) else "".join(marker(place)[0] for place in level.curves) + " "


def _colour(picture: Picture, level: Level) -> str:
    return LEVELS[level.name] if _is_everybodys(picture, level) else marker(level.curves[0])[1]


class LabelledPlot(Plot):
    """A plot whose horizontal lines have their names at the right end."""

    labels: tuple[tuple[str, str, float], ...] = ()
    """Text, colour, height."""

    def _render_plot(self) -> None:
        super()._render_plot()
        canvas = self.query_one("#plot", Canvas)
        taken: set[int] = set()
        for text, colour, height in self.labels:
            if self._y_min <= height <= self._y_max:
                _, y = self.get_pixel_from_coordinate(self._x_max, height)
                free = next((row for row in (y, y - 1, y + 1) if row not in taken and 0 < row < canvas.size.height - 1), None)
                if free is not None:
                    taken.add(free)
                    canvas.write_text(canvas.size.width - 2, free, f"[{colour}]{text}", TextAlign.RIGHT)


class CompareChart(Vertical):
    """The chart and its legend."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._picture: Picture | None = None
        self._zoom: tuple[int, tuple[float, float] | None, int] = (0, None, 0)
        self._chosen: int | None = None

    def compose(self) -> ComposeResult:
        """The plot above its legend."""
        yield LabelledPlot(allow_pan_and_zoom=False)
        yield Static(id="compare-legend", markup=False)

    def on_mount(self) -> None:
        """Takes the room that axis labels would need."""
        plot = self.query_one(Plot)
        plot.can_focus = False
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, 6
        plot.set_y_formatter(NumericAxisFormatter())

    def show(
        self,
        picture: Picture,
        zoom: int = 0,
        centre: tuple[float, float] | None = None,
        chosen: int | None = None,
        panned: int = 0,
    ) -> None:
        """Shows other runs, another axis or another score, or another part of them.

        Args:
            picture: The curves and levels to draw.
            zoom: How often both axes are halved.
            centre: (horizontal, score) to zoom in on; None for the middle.
            chosen: Place of the chosen curve.
            panned: By how many half widths of the part shown the centre is moved to the right.
        """
        part = (zoom, centre if zoom else None, panned if zoom else 0)
        if (picture, part, chosen) != (self._picture, self._zoom, self._chosen):
            self._picture, self._zoom, self._chosen = picture, part, chosen
            self.border_title = picture.title + (f" · zoom ×{2**zoom}, 0 shows all" if zoom else "")
            self._draw(picture)
            self._name_curves()

    def on_resize(self) -> None:
        """Fits the legend to the new width."""
        self._name_curves()

    def _name_curves(self) -> None:
        if self._picture is not None:
            self.query_one("#compare-legend", Static).update(legend(self._picture, self.size.width))

    def _draw(self, picture: Picture) -> None:
        plot = self.query_one(LabelledPlot)
        plot.clear()
        points = [point for curve in picture.curves for point in curve.points]
        points += [(x, end) for curve in picture.curves for x, *ends in curve.spread for end in ends]
        plot.labels = tuple(lines(picture, self._chosen)) if points else ()
        levels = [level.score for level in picture.levels]  # not only those drawn: the axis must not jump with the cursor
        (left, right), heights = limits([x for x, _ in points], 0.04), limits([*(y for _, y in points), *levels], 0.08)
        zoom, centre, panned = self._zoom
        across, up = centre or (sum((left, right)) / 2, sum(heights) / 2)
        across += panned * (right - left) / 2 ** (zoom + 1)
        left, right = window((left, right), across, zoom)
        plot.set_xlimits(left, right)
        plot.set_ylimits(*window(heights, up, zoom))
        plot.set_xticks(range(int(left), int(right) + 1, 1 + int(right - left) // 12) if picture.whole else None)
        for _, colour, height in plot.labels:
            plot.plot([left, right], [height, height], line_style=colour, hires_mode=HiResMode.BRAILLE)
        for place, curve in enumerate(picture.curves):
            if curve.points:
                x, y = zip(*curve.points, strict=True)
                plot.plot(x, y, line_style=marker(place)[1], hires_mode=HiResMode.BRAILLE)
            for along, low, high in curve.spread:
                plot.plot([along, along], [low, high], line_style=marker(place)[1], hires_mode=HiResMode.BRAILLE)
        if len(picture.frontier) > 1:
            x, y = zip(*picture.frontier, strict=True)
            plot.plot(x, y, line_style=FRONTIER, hires_mode=HiResMode.BRAILLE)
        for place, curve in enumerate(picture.curves):  # markers last: no line may hide one
            if curve.points:
                x, y = zip(*curve.points, strict=True)
                plot.scatter(x, y, marker=marker(place)[0], marker_style=marker(place)[1])


def legend(picture: Picture, width: int) -> Content:
    """Levels with their scores, markers with names, methods, and first and last scores, and a note.

    If that would take more than `LINES` lines, figures go first, then names, where methods tell the curves apart, then parts of
    names: the table has names and figures, too.
    """
    levels, methods = _level_entries(picture), {curve.method for curve in picture.curves}
    if picture.frontier:
        levels.append(Content.assemble((f"─{STAR} frontier: ", FRONTIER), f"{len(picture.frontier)} that none beats in both"))
    short = [(0, True), (0, False)] if len(methods - {""}) == len(picture.curves) else [(12, False), (6, False)]
    for longest, scores in ((24, True), (24, False), *short):
        runs = [_run(place, curve, longest, scores) for place, curve in enumerate(picture.curves)]
        lines = _wrapped([*levels, *runs], width)
        if len(lines) <= LINES:
            break
    note = [Content.styled(plain(picture.note, 200), "$text-warning")] if picture.note else []
    return Content("\n").join([*lines[:LINES], *note])


def _level_entries(picture: Picture) -> list[Content]:
    """Each floor and dense score that several curves share, with the markers of those that it belongs to.

    Dense scores that differ are left out: each is the first score of its own curve.
    """
    entries = []
    if len(picture.dense) == 1:
        entries.append(_entry(picture, picture.dense[0]))
    for curves in dict.fromkeys(level.curves for level in picture.floors):
        floors = [level for level in picture.floors if level.curves == curves]
        rest = [f"{level.label} {score(level.score)}" for level in floors]
        if picture.shares_floors:
            entries += [_entry(picture, level) for level in floors]
        else:
            entries.append(Content.assemble((_whose(picture, floors[0]), marker(curves[0])[1]), ", ".join(rest)))
    unknown = set(range(len(picture.curves))) - {place for level in picture.floors for place in level.curves}
    if unknown:
        signs = "".join(marker(place)[0] for place in sorted(unknown))
        entries.append(Content.assemble((f"{signs} ", marker(min(unknown))[1]), "floors not known"))
    return entries


def _entry(picture: Picture, level: Level) -> Content:
    return Content.assemble((f"─ {level.label} ", f"ansi_{_colour(picture, level)}"), score(level.score))


def _run(place: int, curve: Curve, longest: int, scores: bool) -> Content:
    sign, colour = marker(place)
    first, last = (score(curve.points[end][1] if curve.points else None) for end in (0, -1))
    figures = f" {first} → {last}" if len(curve.points) > 1 else f" {last}"
    return Content.assemble((f"{sign} ", colour), curve.label(longest), figures if scores else "")


def _wrapped(entries: list[Content], width: int) -> list[Content]:
    lines: list[Content] = []
    for entry in entries:
        if lines and lines[-1].cell_length + 2 + entry.cell_length <= width:
            lines[-1] = lines[-1] + Content("  ") + entry
        else:
            lines.append(entry)
    return lines
