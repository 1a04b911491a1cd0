"""All rounds of all compared runs in one sortable table, and a line of text about the chosen one.

Knows results, and neither files nor the chart.
"""

from collections.abc import Container, Mapping

from rich.text import Text

from core.run.results import FLOORS, LEADING, SEMANTIC, Result

from ..views.comparison import COLUMNS, Results, change, dense, has_semantic, in_order, over_floor
from ..views.encoder_verdict import NOT_MEASURED
from ..views.plain import plain
from ..views.seed_means import Mean
from ..views.text import NOTHING, beside, changed, count, difference, percent, score
from .comparechart import STAR, marker
from .rowtable import RowTable

WIDTHS = {"run": 12, "round": 7, "sparsity": 10, "chrf": 7, "diff": 9, "over": 9, "bleu": 7, "corpus_bleu": 8, "size": 8}
"""Column -> width; the run's column has at least this width, and takes the room that is left."""
WIDE_WIDTHS = {"interval": 16, "latency": 8, **dict.fromkeys(FLOORS, 9), "off": 9, "rows": 8, "seconds": 9}
"""Only on wide screens: the interval of Δ dense, ms a comment, the chrF of each floor and with the encoder off, scored rows,
seconds of the round."""
OFF_FROM = 132
"""Width of a screen, in columns, from which on there is room for all of them."""
BEFORE = ("before", 7)
"""The sparsity of a model that was pruned before its run. Its width is what an 80-column terminal has left."""
TITLES = {
    "before": "before", "interval": "interval", **{name: name for name in FLOORS}, "off": "enc off",
    "rows": "rows", "seconds": "seconds",
}  # fmt: skip
"""Headings of the columns that cannot be sorted by."""
SEED_WIDTHS = {
    "run": 12, "round": 6, "n": 3, "sparsity": 9, "chrf": 13, "diff": 8, "over": 8, "bleu": 6, "corpus_bleu": 7, "size": 6,
}  # fmt: skip
"""The same if seeds are one curve: their number, and room for the standard deviation."""
SEED_TITLES = {"interval": "lowest..highest", "chrf": "chrF ± sd", "n": "n"}
ROOMY = 100
"""Width from which on the chosen line names all floors; below, the interval needs the room."""
SEMANTIC_WIDTH = 9
"""Of the column of runs with an embedder."""
BESIDE = "interval"
"""The wide column that stands right after the one it belongs to."""


class CompareTable(RowTable):
    """The table; the line with the cursor is the chosen round."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, cell_padding=0)
        self.results: list[Result] = []
        """As they are listed."""

    @property
    def chosen(self) -> Result | None:
        """The result of the chosen line."""
        return self.results[self.cursor_row] if 0 <= self.cursor_row < len(self.results) else None

    def show(self, results: Results, by: str, down: bool, frontier: Container[tuple[str, int]] = ()) -> None:
        """Lists other results, or the same in another order; the chosen round stays chosen.

        Args:
            results: The runs.
            by: The column to sort by, one of `COLUMNS`.
            down: Largest first.
            frontier: (Run, round) of the models that no other one beats; they get a star.
        """
        chosen, width = self.chosen, self.app.size.width
        self.results = in_order(results, by, down)
        seeds = any(isinstance(result, Mean) for result in self.results)
        widths = _widths(width, SEED_WIDTHS if seeds else WIDTHS, before=any(result.before for result in self.results))
        if width >= ROOMY and has_semantic(results):
            widths["run"] -= min(SEMANTIC_WIDTH, widths["run"] - WIDTHS["run"])
            widths[SEMANTIC] = SEMANTIC_WIDTH
        titles = SEED_TITLES if seeds else {}
        self.clear(columns=True)
        for key, room in widths.items():
            arrow = "" if key != by else "↓" if down else "↑"
            self.add_column(_heading(key, arrow, titles), width=room, key=key)
        places = {run: place for place, run in enumerate(results)}
        for result in self.results:
            starred, base = (result.run, result.round) in frontier, dense(results[result.run], LEADING)
            cells = _cells(result, places[result.run], base, starred=starred)
            self.add_row(*(cells[key] for key in widths))
        self.border_title = f"{counted(self.results)}, by {COLUMNS[by].title} {'↓' if down else '↑'}"
        same = [
            row for row, result in enumerate(self.results) if chosen and (result.run, result.round) == (chosen.run, chosen.round)
        ]
        self.move_cursor(row=same[0] if same else 0, animate=False)

    def tell(self, measure: str) -> None:
        """Shows on the table's lower edge the facts of the chosen round that its line has no room for.

        Args:
            measure: One of `results.TITLES`.
        """
        result = self.chosen
        self.border_subtitle = "" if result is None else _about(result, measure, self.app.size.width - 6)


def counted(results: list[Result]) -> str:
    """How many rounds of how many runs."""
    rounds, runs = len(results), len({result.run for result in results})
    if any(result.quantizer for result in results):
        return f"{count(rounds)} model{'s' if rounds != 1 else ''} in {count(runs)} curve{'s' if runs != 1 else ''} by quantizer"
    if any(isinstance(result, Mean) for result in results):
        return f"{count(rounds)} round{'s' if rounds != 1 else ''} of {runs} curve{'s' if runs != 1 else ''}, seeds together"
    return f"{count(rounds)} round{'s' if rounds != 1 else ''} of {runs} run{'s' if runs != 1 else ''}"


def between(low: float, high: float) -> str:
    """An interval of differences."""
    return f"{difference(low)}..{difference(high)}"


def deviation(result: Result, measure: str) -> str:
    """The standard deviation of several seeds behind their mean; "" where there is only one score."""
    return f" ± {result.deviation[measure]:.2f}" if isinstance(result, Mean) and measure in result.deviation else ""


def ends(mean: Mean, measure: str) -> str:
    """The lowest and the highest score of several seeds."""
    return f"{score(mean.low[measure])}..{score(mean.high[measure])}" if measure in mean.deviation else NOTHING


def _about(result: Result, measure: str, width: int) -> Text:
    """The score with the floors on its own rows first: the line is cut at its end."""
    against, spread = result.against_dense.get(measure), result.intervals.get(measure)
    parts = [result.label or f"round {result.round}"]  # the line is made plain as a whole
    value = f"{score(result.scores.get(measure))}{deviation(result, measure)}"
    if isinstance(result, Mean) and measure in result.deviation:
        value += f", {ends(result, measure)}"
    parts.append(f"{value} ({beside(result.floors_of(measure), every=width >= ROOMY)})")
    if against is not None:
        parts.append(f"Δ dense {difference(against.value)} ({between(against.low, against.high)})")
    elif spread is not None:
        parts.append(f"interval {score(spread.low)}..{score(spread.high)}")
    if isinstance(result, Mean):
        parts.append(f"seeds: {', '.join(result.runs)}")
    times = [f"{ms:.2f} ms/{of}" for of, ms in (("comment", result.ms_per_row), ("token", result.ms_per_token)) if ms is not None]
    if times:
        parts.append(f"{', '.join(times)} ({plain(result.decoded_on, 60)})")
    off = result.floors.get("encoder_off", {}).get(measure)
    less = f", dense minus it {changed(result.dense_less[measure])}" if measure in result.dense_less else ""
    if off is not None or not result.quantizer:  # a quantized model shows its run's, which may be of other rows
        parts.append(f"encoder off {NOT_MEASURED if off is None else score(off)}{less}")
    return Text(plain(" · ".join(parts), max(20, width)))


def _widths(width: int, each: Mapping[str, int], *, before: bool) -> dict[str, int]:
    widths: dict[str, int] = {}
    for key, room in each.items():
        if key == "over" and before and width < ROOMY:
            continue  # beside what the model had before there is no room; the chosen line tells it
        widths[key] = room
        if key == "sparsity" and before:
            widths[BEFORE[0]] = BEFORE[1]
        if key == "diff" and width >= 120:
            widths[BESIDE] = WIDE_WIDTHS[BESIDE]
    if width >= 120:
        widths |= {key: room for key, room in WIDE_WIDTHS.items() if key != "off" or width >= OFF_FROM}
    widths["run"] += max(0, min(60, width - 2 - sum(widths.values())))
    return widths


def _heading(key: str, arrow: str, titles: Mapping[str, str]) -> Text:
    title = titles.get(key) or (COLUMNS[key].title if key in COLUMNS else TITLES[key])
    return Text(f"{title}{arrow}", justify="left" if key == "run" else "right")


def _cells(result: Result, place: int, dense_chrf: float | None, *, starred: bool) -> dict[str, Text]:
    sign, colour = marker(place)
    against = result.against_dense.get(LEADING)
    several = result if isinstance(result, Mean) else None
    right = {
        "n": str(len(several.runs)) if several else "1",
        "round": str(result.round),
        "sparsity": percent(result.sparsity),
        "before": percent(result.before) if result.before else NOTHING,
        "chrf": score(result.scores.get(LEADING)) + deviation(result, LEADING),
        "diff": difference(change(result, dense_chrf)),
        "over": difference(over_floor(result)),
        "interval": ends(several, LEADING) if several else NOTHING if against is None else between(against.low, against.high),
        "bleu": score(result.scores.get("bleu")),
        "corpus_bleu": score(result.scores.get("corpus_bleu")),
        "semantic": score(result.scores.get("semantic")),
        "size": NOTHING if result.size_bytes is None else f"{result.size_bytes / 1e6:.2f}",
        "latency": score(result.ms_per_row),
        **{name: score(result.floors_of(LEADING).get(name)) for name in FLOORS},
        "off": score(result.floors.get("encoder_off", {}).get(LEADING)),
        "rows": count(result.rows) if result.rows else NOTHING,
        "seconds": f"{result.seconds:.0f}",
    }
    run = Text.assemble((f"{sign}{STAR if starred else ''} ", colour), plain(result.run, 100), no_wrap=True, overflow="ellipsis")
    return {"run": run, **{key: Text(text, justify="right") for key, text in right.items()}}
