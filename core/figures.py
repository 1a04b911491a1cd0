"""The charts of a report, as SVG text to be put into a page: quality against sparsity, and bars for quantization.

The same numbers give the same bytes: no date, fixed names inside the SVG, text left as text. Lines and letters that are neither
data nor levels take the page's own colour, so that one chart fits a light and a dark page. Colours are those of Okabe and Ito,
which the colour-blind can tell apart; every curve has a marker and dashes of its own besides. Knows numbers only.

Source: M. Okabe, K. Ito, "Color universal design", 2008.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

INK = "#010203"
"""Stands for the page's text colour, and becomes `currentColor`."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 1.5), (8, 2, 2, 2), (4, 1, 1, 1, 1, 1), (10, 3))
MOST = len(COLOURS)
"""Curves that one chart can tell apart."""
SIZE = (5.0, 3.6)
"""Inches."""


@dataclass(frozen=True)
class Line:
    """One curve of a chart."""

    title: str
    seeds: tuple[Mapping[float, float], ...]
    """A seed: sparsity in percent -> score."""

    @property
    def levels(self) -> list[float]:
        """All its sparsities, ascending."""
        return sorted({level for seed in self.seeds for level in seed})

    def at(self, level: float) -> list[float]:
        """The scores of its seeds at one sparsity."""
        return [seed[level] for seed in self.seeds if level in seed]


def chart(lines: Sequence[Line], levels: Mapping[str, Mapping[str, float]], measure: str, key: str) -> str:
    """Quality against sparsity: a line for the mean of the seeds, a band from the worst to the best, a dot for each.

    Args:
        lines: At most `MOST` curves.
        levels: "dense", "name", "constant" -> "" -> score; what is missing is not drawn.
        measure: What the vertical axis says.
        key: Goes into the SVG's names; different for every chart of a page.

    Returns:
        An `<svg>` element.
    """
    figure, axes = _figure()
    for place, line in enumerate(lines[:MOST]):
        _draw(axes, line, place)
    styles = {"dense": "-", "name": "--", "constant": ":"}
    for name, scores in levels.items():
        for score in scores.values():
            axes.axhline(score, color=INK, linewidth=0.9, linestyle=styles[name], alpha=0.75, zorder=1)
        if scores:
            label = name if name == "dense" else f"floor: {name}"
            axes.annotate(
                label, (1.0, max(scores.values())), xycoords=("axes fraction", "data"), xytext=(3, 0),
                textcoords="offset points", fontsize=8, va="center", color=INK, annotation_clip=False,
            )  # fmt: skip
    axes.set_xlabel("sparsity of the prunable weights, %")
    axes.set_ylabel(measure)
    axes.set_xlim(-3, 103 if any(level > 97 for line in lines for level in line.levels) else 98)
    axes.margins(y=0.12)
    return _svg(figure, key)


def bars(values: Mapping[str, float], spreads: Mapping[str, tuple[float, float]], measure: str, key: str) -> str:
    """One bar a name, with its interval where one is known.

    Args:
        values: Name -> score.
        spreads: Name -> low and high.
        measure: What the horizontal axis says.
        key: As for `chart`.

    Returns:
        An `<svg>` element.
    """
    figure, axes = _figure(height=0.9 + 0.36 * len(values))
    names = list(values)
    axes.barh(names, [values[name] for name in names], color=COLOURS[0], height=0.62, alpha=0.85)
    for place, name in enumerate(names):
        low, high = spreads.get(name, (values[name], values[name]))
        if low < high:
            axes.plot([low, high], [place, place], color=INK, linewidth=1.2)
        axes.annotate(
            f"{values[name]:.2f}", (max(high, values[name]), place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, color=INK,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.14)
    axes.set_xlabel(measure)
    return _svg(figure, key)


def swatch(place: int) -> str:
    """A short piece of a curve for a legend: an `<svg>` element."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(0.5, 0.18))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.plot([0, 1, 2], [0, 0, 0], markevery=[1], **_look(place))
        axes.set_ylim(-1, 1)
        return _svg(figure, f"swatch{place}", tight=False)


def _draw(axes: "object", line: Line, place: int) -> None:
    levels = [level for level in line.levels if line.at(level)]
    scores = [line.at(level) for level in levels]
    look = _look(place)
    if any(len(found) > 1 for found in scores):
        low, high = [min(found) for found in scores], [max(found) for found in scores]
        axes.fill_between(levels, low, high, color=look["color"], alpha=0.16, linewidth=0, zorder=2)  # type: ignore[attr-defined]  # untyped
        dots = [(level, score) for level, found in zip(levels, scores, strict=True) for score in found]
        axes.plot(  # type: ignore[attr-defined]  # untyped
            *zip(*dots, strict=True), linestyle="none", marker=look["marker"], markersize=2.6, color=look["color"], alpha=0.6
        )
    axes.plot(levels, [sum(found) / len(found) for found in scores], label=line.title, zorder=3, **look)  # type: ignore[attr-defined]  # untyped


def _look(place: int) -> dict[str, object]:
    dashes = DASHES[place % MOST]
    style: object = (0, dashes) if dashes else "-"
    return {
        "color": COLOURS[place % MOST], "marker": MARKERS[place % MOST], "linestyle": style, "linewidth": 1.7, "markersize": 5,
    }  # fmt: skip


def _style() -> "object":
    import matplotlib

    return matplotlib.rc_context(
        {
            "svg.hashsalt": "codeprune-tui", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9,
            "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
            "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.grid.axis": "y",
            "grid.color": INK, "grid.alpha": 0.14, "grid.linewidth": 0.7, "path.simplify": False,
        }
    )  # fmt: skip


def _figure(height: float = SIZE[1]) -> tuple["object", "object"]:
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    with _style():
        figure = Figure(figsize=(SIZE[0], height))
        return figure, figure.add_subplot()


def _svg(figure: "object", key: str, *, tight: bool = True) -> str:
    text = io.StringIO()
    with _style():
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        # A box that is drawn tight also holds the names of the levels, right of the axes.
        figure.savefig(  # type: ignore[attr-defined]  # untyped
            text, format="svg", metadata=metadata, transparent=True, bbox_inches="tight" if tight else None
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL)  # it would style the whole page
    svg = svg.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    # A page holds many charts: names must not meet.
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'href="#', f'href="#{key}-', svg)
    return re.sub(r"url\(#", f"url(#{key}-", svg)
