"""The charts of a report as SVG: the same bytes from the same numbers, on any machine with the same matplotlib.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; every curve has a marker of its own as well. Text
stays text, in the page's font. The user's matplotlib settings have no effect.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from core.run.results import FLOORS, measures_of
from core.run.rowsets import by_rows, telling
from core.spec.layout import locate
from core.study.ladderfile import Ladder
from core.study.runs import Group, Run, level_of

from .ladder import PUBLISHED, SPLITS, Ladders
from .tables import curve_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FLOOR_LINES = {"name": ":", "constant": "-."}
"""Floor -> its line; any other has `OTHER_LINE`."""
OTHER_LINE = (0, (5, 1, 1, 1, 1, 1))
ENCODER_OFF_LINE = (0, (1, 3))
SETTINGS = {
    "svg.hashsalt": "codeprune-tui",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}
_ID = re.compile(r'(\bid="|url\(#|href="#)')


def quality(key: str, groups: Sequence[Group]) -> str:
    """Score against sparsity for some curves: one panel a measure, with each curve's dense score and its floors.

    Args:
        key: Makes the ids of the drawing its own.
        groups: The curves, at least one.

    Returns:
        An `<svg>` element. Dots are runs, lines their means, bands from the lowest to the highest seed.
    """
    known = measures_of(result for group in groups for run in group.runs for result in run.results)

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(known))
        for axes, (measure, title) in zip(panels, known.items(), strict=True):
            _panel(axes, groups, measure)
            axes.set(title=title, xlabel="sparsity, %", xlim=(-3, 100), xticks=range(0, 101, 20))
        panels[0].set_ylabel("score, 0 to 100")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)

    return _svg(key, (10.5, 4.2 + 0.2 * (len(groups) // 2)), draw)


def _panel(axes: "Axes", groups: Sequence[Group], measure: str) -> None:
    for number, group in enumerate(groups):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        values = {level: scores for level in group.levels if (scores := curve_values(group, level, measure))}
        if not values:
            continue
        means = [fmean(scores) for scores in values.values()]
        axes.plot(list(values), means, color=colour, marker=marker, markersize=4.5, label=_legend(group), zorder=3)
        if any(len(scores) > 1 for scores in values.values()):
            low, high = [min(scores) for scores in values.values()], [max(scores) for scores in values.values()]
            axes.fill_between(list(values), low, high, color=colour, alpha=0.15, linewidth=0)
            dots = [(level, value) for level, scores in values.items() for value in scores]
            across, up = [level for level, _ in dots], [value for _, value in dots]
            axes.scatter(across, up, s=7, color=colour, alpha=0.6, linewidths=0, zorder=2)
        if 0 in values:
            axes.axhline(fmean(values[0]), color=colour, linestyle="--", linewidth=0.9, zorder=1)
        if off := _encoder_off(group, measure):
            axes.axhline(fmean(off), color=colour, linestyle=ENCODER_OFF_LINE, linewidth=0.9, zorder=1)
    axes.plot([], [], color="#777777", linestyle="--", linewidth=0.9, label="dense, in the curve's colour")
    if any(_encoder_off(group, measure) for group in groups):
        axes.plot([], [], color="#777777", linestyle=ENCODER_OFF_LINE, linewidth=0.9, label="encoder off, in the curve's colour")
    _draw_floors(axes, groups, measure)


def _draw_floors(axes: "Axes", groups: Sequence[Group], measure: str) -> None:
    """The floors of each set of rows: in grey where all curves share them, else in the colour of their first curve."""
    curves = {run.name: number for number, group in enumerate(groups) for run in group.runs}
    results = {run.name: run.results for group in groups for run in group.runs}
    sets = by_rows(results)
    for runs in sets:
        number = curves[runs[0]]
        colour = "#555555" if len(sets) == 1 else COLOURS[number % len(COLOURS)]
        whose = "" if len(sets) == 1 else f", on the rows of {_literal(groups[number].title)}"
        known = next((result for run in runs if (result := telling(results[run])) is not None and result.floors), None)
        for name, floor in (known.floors_of(measure) if known else {}).items():
            line = FLOOR_LINES.get(name, OTHER_LINE)
            axes.axhline(floor, color=colour, linestyle=line, linewidth=1.1, label=f"floor: {FLOORS[name]}{whose}")


def _encoder_off(group: Group, measure: str) -> list[float]:
    """The scores of a curve's dense models with their encoder off, where they were measured."""
    dense = [result.floors.get("encoder_off", {}) for run in group.runs for result in run.results if result.round == 0]
    return [each[measure] for each in dense if measure in each]


def _legend(group: Group) -> str:
    count = len(group.runs)
    return f"{_literal(group.title)} ({count} seed{'s' if count > 1 else ''})"


def layers(key: str, runs: Sequence[tuple[str, Run]]) -> str:
    """Sparsity of each layer in each round: one panel a run, with the percentages in the cells.

    Args:
        key: Makes the ids of the drawing its own.
        runs: Title and run; runs whose journal has no sparsities must be left out.

    Returns:
        An `<svg>` element.
    """
    across = 2
    down = -(-len(runs) // across)

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(down, across, squeeze=False)
        for place, axes in enumerate(panels.flat):
            if place >= len(runs):
                axes.set_visible(False)
                continue
            title, run = runs[place]
            _heatmap(axes, title, run)

    return _svg(key, (10.5, 3.1 * down), draw)


def layer_shares(run: Run) -> tuple[list[str], list[int], list[list[float]]]:
    """Layers, sparsities in percent and the pruned share (0 to 100) of each layer at each of them.

    Matrices of a layer are averaged, since the journal has no sizes of them.
    """
    levels = {result.round: level_of(result.sparsity) for result in run.results}
    rounds = [number for number in sorted(run.matrices) if number in levels]
    names: dict[str, list[str]] = {}
    for matrix in next((run.matrices[number] for number in rounds), {}):
        place = locate(matrix)
        label = matrix if place is None else place.part if place.part == "pooler" else f"{place.part} {place.layer}"
        names.setdefault(label, []).append(matrix)
    shares = [
        [100 * fmean(run.matrices[number].get(matrix, 0.0) for matrix in matrices) for number in rounds]
        for matrices in names.values()
    ]
    return list(names), [levels[number] for number in rounds], shares


def _heatmap(axes: "Axes", title: str, run: Run) -> None:
    names, levels, shares = layer_shares(run)
    axes.grid(visible=False)
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=130)  # the darkest blues would hide the numbers
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            axes.text(column + 0.5, row + 0.5, f"{value:.0f}", ha="center", va="center", fontsize=7)
    axes.set_xticks([column + 0.5 for column in range(len(levels))], [f"{level}" for level in levels])
    axes.set_yticks([row + 0.5 for row in range(len(names))], [_literal(name) for name in names])
    axes.invert_yaxis()
    axes.set_title(_literal(title), fontsize=9)
    axes.set_xlabel("sparsity of the model, %")


BySplit = Mapping[str, Mapping[str, float]]


def quantization(key: str, ladders: Ladders) -> str:
    """The paper's Figure 2, smoothed BLEU-4 of INT8, the original and fp16, and the same bars of our ladders."""
    sources: list[tuple[str, BySplit, BySplit]] = [("the paper", PUBLISHED, {})]
    for name, ladder in ladders.items():
        sources.append((name, _scores(ladder), {split: ladder.floors_of(split, "bleu") for split in SPLITS}))

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(sources), sharey=True, squeeze=False)[0]
        for axes, (title, methods, floors) in zip(panels, sources, strict=True):
            axes.grid(visible=False, axis="x")
            for number, split in enumerate(SPLITS):
                bars = {place: methods[name][split] for place, name in enumerate(methods) if split in methods[name]}
                places = [place + 0.38 * number for place in bars]
                drawn = axes.bar(
                    places, list(bars.values()), 0.36, color=COLOURS[number], label=split, hatch=("", "///")[number], alpha=0.85
                )
                axes.bar_label(drawn, fmt="%.2f", fontsize=7, padding=2)
                for name, floor in floors.get(split, {}).items():
                    label = f"floor on {split}: {FLOORS.get(name, _literal(name))}"
                    axes.axhline(floor, color=COLOURS[number], linestyle=FLOOR_LINES.get(name, OTHER_LINE), label=label)
            axes.set_xticks([place + 0.19 for place in range(len(methods))], list(methods))
            axes.set_title(_literal(title))
        panels[0].set_ylabel("smoothed BLEU-4")
        lines = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend([*lines.values()], [*lines], loc="outside lower center", ncols=len(SPLITS))

    return _svg(key, (min(10.5, 4.6 * len(sources)), 3.4), draw)


def _scores(ladder: Ladder) -> dict[str, dict[str, float]]:
    scores = {
        line.method: {split: value for split in SPLITS if (value := line.score(split, "bleu")) is not None}
        for line in ladder.methods
    }
    return {method: by_split for method, by_split in scores.items() if by_split}


def _literal(text: str) -> str:
    """Text that matplotlib does not read as a formula."""
    return "".join(letter if letter.isprintable() else "?" for letter in text).replace("$", r"\$")


def _svg(key: str, size: tuple[float, float], draw: Callable[["Figure"], None]) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawing = text.getvalue()
    # Ids are unique within a drawing, but the page holds several.
    return _ID.sub(lambda match: f"{match[1]}{key}-", drawing[drawing.index("<svg") :]).strip()
