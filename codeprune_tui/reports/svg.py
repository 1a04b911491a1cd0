"""Draws a comparison as SVG, in a process of its own: `python -m codeprune_tui.reports.svg FILE`, a `Picture` as JSON on stdin.

The app starts it, so that the app itself never imports matplotlib. Colours are those of the report; every curve has a marker of
its own, too. Names are text, never matplotlib's markup.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.atomic import complete_or_absent

from ..views.comparison import DENSE, Curve, Level, Picture
from ..views.plain import plain
from .figures import COLOURS, MARKERS, SETTINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

EIGHT_COLOURS, EIGHT_MARKERS = (*COLOURS, "#777777"), (*MARKERS, "*")
LEVELS = {DENSE: "--", "name": ":", "constant": "-."}
OTHER = (0, (5, 1, 1, 1, 1, 1))
"""The line of any other floor."""


def read(text: str) -> Picture:
    """A picture from its JSON."""
    facts = json.loads(text)
    curves = tuple(
        Curve(
            curve["run"],
            tuple((x, y) for x, y in curve["points"]),
            tuple((x, low, high) for x, low, high in curve["spread"]),
            curve["method"],
        )
        for curve in facts["curves"]
    )
    levels = tuple(Level(level["name"], level["score"], tuple(level["curves"])) for level in facts["levels"])
    frontier = tuple((x, y) for x, y in facts["frontier"])
    return Picture(facts["title"], curves, levels, facts["note"], facts["whole"], frontier)


def draw(picture: Picture, path: Path) -> None:
    """Writes a picture; the same bytes from the same picture.

    Args:
        picture: What to draw.
        path: The file; it is complete or absent.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS), complete_or_absent(path) as draft:
        figure = Figure(figsize=(9, 5.5), layout="constrained")
        axes = figure.subplots()
        score, _, along = picture.title.partition(" by ")
        texts = [axes.set_title(picture.title), axes.set_xlabel(along), axes.set_ylabel(score)]
        texts += figure.legend(*_plot(axes, picture), loc="outside lower center", ncols=3).get_texts()
        texts.append(figure.text(0.01, 0.99, plain(picture.note, 200), fontsize=7, verticalalignment="top"))
        for text in texts:
            text.set_parse_math(False)
        figure.savefig(draft, format="svg", metadata={"Date": None})


def _plot(axes: "Axes", picture: Picture) -> "tuple[list[Line2D], list[str]]":
    handles: list[Line2D] = []
    labels: list[str] = []
    for level in picture.levels:
        everybodys = len(picture.dense) == 1 if level.name == DENSE else picture.shares_floors
        colour = "#444444" if everybodys else EIGHT_COLOURS[level.curves[0] % 8]
        handles.append(axes.axhline(level.score, color=colour, linestyle=LEVELS.get(level.name, OTHER), linewidth=1))
        whose = "" if everybodys else " of " + ", ".join(plain(picture.curves[place].run, 30) for place in level.curves)
        labels.append(f"{level.label} {level.score:.2f}{whose}")
    for place, curve in enumerate(picture.curves):
        x, y = [x for x, _ in curve.points], [y for _, y in curve.points]
        handles += axes.plot(x, y, color=EIGHT_COLOURS[place % 8], marker=EIGHT_MARKERS[place % 8], markersize=5, linewidth=1.4)
        labels.append(curve.label(60))
        if curve.spread:
            across, low, high = zip(*curve.spread, strict=True)
            axes.vlines(across, low, high, color=EIGHT_COLOURS[place % 8], linewidth=1)
    if picture.frontier:
        x, y = [x for x, _ in picture.frontier], [y for _, y in picture.frontier]
        handles += axes.plot(x, y, color="#444444", linestyle=(0, (1, 1)), linewidth=2.5, zorder=1)
        labels.append("frontier: no other model beats these in both")
    if picture.whole:
        axes.locator_params(axis="x", integer=True)
    return handles, labels


if __name__ == "__main__":
    draw(read(sys.stdin.read()), Path(sys.argv[1]))
