"""Mode 4: any runs on one chart and in one sortable table; scores against sparsity, round or size.

The results come from journals and `metrics.json` (a thread of its own reads them): no weights are needed, and none are read.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.widgets import DataTable, Static

from core.files import complete_or_absent
from core.results import MEASURES, Result, to_csv

from ..comparison import AXES, COLUMNS, Results, change, default_marks, dense, in_order, picture
from ..plain import plain
from ..watch import Comparer
from ..widgets.comparechart import CompareChart, marker
from ..words import NOTHING, count, difference, percent, score
from .marks import MarkRuns
from .mode import ModeScreen

WIDTHS = {"run": 12, "round": 7, "sparsity": 10, "bleu": 8, "diff": 9, "corpus_bleu": 9, "chrf": 8, "size": 10}
"""Column -> width; that of the run is the least, it takes what is left."""
WIDE_WIDTHS = {"name": 9, "rows": 10, "seconds": 10}
"""Only on wide screens: the BLEU of the name floor, scored rows, seconds of the round."""
EMPTY = Content.assemble(
    ("Nothing to compare yet.\n\n", "bold"),
    "Runs appear here with their first complete round. ",
    ("m", "bold"),
    " marks the runs to compare, ",
    ("6", "bold"),
    " starts a new one.",
)


class Compared(Message):
    """The results of the marked runs have changed."""

    def __init__(self, results: dict[str, tuple[Result, ...]]) -> None:
        super().__init__()
        self.results = results


class CompareScreen(ModeScreen):
    """Some runs beside each other."""

    MODE = "compare"
    AUTO_FOCUS = "DataTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "m", "mark", "Mark runs", tooltip="Choose the runs to compare; at first the newest lottery runs", id="compare.mark"
        ),
        Binding(
            "x",
            "axis",
            "Axis",
            tooltip="Scores against sparsity, round or size on disk (bitmask and kept values)",
            id="compare.axis",
        ),
        Binding("y", "score", "Score", tooltip="Smoothed BLEU-4, corpus BLEU or chrF", id="compare.score"),
        Binding(
            "o", "sort", "Sort", tooltip="Sort the table by the next column; a click on its title does it, too", id="compare.sort"
        ),
        Binding("O", "reverse", "Reverse", show=False, tooltip="Turn the order of the table around", id="compare.reverse"),
        Binding("e", "export", "Export", tooltip="Write the table to a CSV file in the current folder", id="compare.export"),
        Binding(
            "enter", "open", "Open", priority=False, show=False, tooltip="Show the chosen line's run live", id="compare.open"
        ),
    ]
    DEFAULT_CSS = """
    CompareScreen {
        #body { height: 1fr; }
        CompareChart {
            height: 3fr;
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            background: $background;
        }
        #compare-legend { height: auto; max-height: 4; }
        DataTable {
            height: 2fr;
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            scrollbar-size: 1 1;
        }
        #nothing { padding: 1 2; display: none; }
        &.nothing #nothing { display: block; }
        &.nothing CompareChart, &.nothing DataTable { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._marked: list[str] | None = None
        """What was marked; None means the newest."""
        self._results: Results = {}
        self._axis, self._measure = "sparsity", "bleu"
        self._sorted, self._down = "run", False
        self._rows: list[Result] = []
        self._comparer = Comparer(self._publish)

    def body(self) -> ComposeResult:
        """The chart above the table."""
        with Vertical(id="body"):
            yield Static(EMPTY, markup=False, id="nothing")
            yield CompareChart()
            yield DataTable[Text](cursor_type="row", zebra_stripes=True, cell_padding=0)

    def on_mount(self) -> None:
        """Starts reading."""
        self.set_class(True, "nothing")
        self._comparer.start()

    def on_unmount(self) -> None:
        """Lets the thread go."""
        self._comparer.stop()

    def on_screen_suspend(self) -> None:
        """Nobody looks: reads nothing."""
        self._comparer.set_front(False)

    def on_screen_resume(self) -> None:
        """Reads again."""
        super().on_screen_resume()
        self._comparer.set_front(True)

    def on_resize(self) -> None:
        """Gives the names the room that is left."""
        self.call_after_refresh(self._show)

    def _publish(self, results: dict[str, tuple[Result, ...]]) -> None:
        # From another thread: the loop may be gone by now, and then there is nobody to tell.
        try:
            self.post_message(Compared(results))
        except RuntimeError:
            return

    # What is shown

    def show_news(self) -> None:
        """Compares what is marked now, as far as it is still there."""
        there = {info.paths.name: info.paths for info in self.frame.runs or []}
        self._comparer.set_runs(tuple(there[name] for name in self._marks() if name in there))

    def _marks(self) -> list[str]:
        return default_marks(self.frame.runs or []) if self._marked is None else self._marked

    def on_compared(self, message: Compared) -> None:
        """Shows new results."""
        self._results = message.results
        self._show()

    def _show(self) -> None:
        nothing = not any(self._results.values())
        self.set_class(nothing, "nothing")
        # Results may come while the screen is being taken down, and then some parts are missing.
        with suppress(NoMatches):
            self.query_one(CompareChart).show(picture(self._results, AXES[self._axis], self._measure))
            self._fill()
            if not nothing and self.focused is None and self.app.screen is self:
                self._table.focus()

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one(DataTable)

    def _fill(self) -> None:
        table, here = self._table, self._chosen()
        self._rows = in_order(self._results, self._sorted, self._down)
        table.clear(columns=True)
        wide = self.app.size.width >= 120
        widths = {**WIDTHS, **(WIDE_WIDTHS if wide else {})}
        widths["run"] += max(0, min(60, self.app.size.width - 2 - sum(widths.values())))
        for key, width in widths.items():
            table.add_column(self._heading(key), width=width, key=key)
        places = {run: place for place, run in enumerate(self._results)}
        for found in self._rows:
            cells = _cells(found, places[found.run], dense(self._results[found.run], "bleu"))
            table.add_row(*(cells[key] for key in widths))
        arrow = "↓" if self._down else "↑"
        table.border_title = f"{self._counted()}, by {COLUMNS[self._sorted].title} {arrow}"
        same = [row for row, found in enumerate(self._rows) if here and (found.run, found.round) == (here.run, here.round)]
        table.move_cursor(row=same[0] if same else 0, animate=False)

    def _counted(self) -> str:
        rounds, runs = len(self._rows), len(self._results)
        return f"{count(rounds)} round{'s' if rounds != 1 else ''} of {runs} run{'s' if runs != 1 else ''}"

    def _heading(self, key: str) -> Text:
        title = COLUMNS[key].title if key in COLUMNS else {"name": "name", "rows": "rows", "seconds": "seconds"}[key]
        if key == self._sorted:
            title += "↓" if self._down else "↑"
        return Text(title, justify="left" if key == "run" else "right")

    def _chosen(self) -> Result | None:
        row = self._table.cursor_row
        return self._rows[row] if 0 <= row < len(self._rows) else None

    # Keys

    def action_mark(self) -> None:
        """Asks which runs to compare."""
        if self.frame.runs:
            self.app.push_screen(MarkRuns(self.frame.runs, self._marks()), self._mark)
        else:
            self.frame.say("There are no runs to mark yet. 6 starts one.", "warning")

    def compare(self, names: list[str]) -> None:
        """Compares these runs from now on."""
        self._mark(names)

    def _mark(self, names: list[str] | None) -> None:
        if names is not None:
            self._marked = names
            self.refresh_all()

    def action_axis(self) -> None:
        """Goes on to the next horizontal axis."""
        self._axis = _next([*AXES], self._axis)
        self._show()

    def action_score(self) -> None:
        """Goes on to the next score."""
        self._measure = _next([*MEASURES], self._measure)
        self._show()

    def action_sort(self) -> None:
        """Sorts by the next column."""
        self._sorted = _next([*COLUMNS], self._sorted)
        self._fill()

    def action_reverse(self) -> None:
        """Turns the order around."""
        self._down = not self._down
        self._fill()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sorts by the clicked column; a second click turns the order around."""
        if (key := event.column_key.value) in COLUMNS:
            self._down = not self._down if key == self._sorted else False
            self._sorted = key
            self._fill()

    def on_data_table_row_selected(self) -> None:
        """Enter or a click on the chosen line."""
        self.action_open()

    def action_open(self) -> None:
        """Shows the chosen line's run live."""
        chosen = self._chosen()
        paths = {info.paths.name: info.paths for info in self.frame.runs or []}
        if chosen is not None and chosen.run in paths:
            self.frame.open_run(paths[chosen.run])

    def action_export(self) -> None:
        """Writes what the table shows, in its order."""
        if not self._rows:
            self.frame.say("There is nothing to export yet: no run here has a complete round.", "warning")
            return
        path = _free_file(Path.cwd())
        done = f"{path.name}: {self._counted()}, written to {path.parent}"
        self.frame.perform(partial(_write, path, to_csv(self._rows)), done)


def _next(names: list[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]


def _free_file(folder: Path) -> Path:
    number = 1
    while (folder / f"compare-{number}.csv").exists():
        number += 1
    return folder / f"compare-{number}.csv"


def _write(path: Path, text: str) -> None:
    with complete_or_absent(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="replace")


def _cells(found: Result, place: int, dense_bleu: float | None) -> dict[str, Text]:
    sign, colour = marker(place)
    right = {
        "round": str(found.round),
        "sparsity": percent(found.sparsity),
        "bleu": score(found.scores.get("bleu")),
        "diff": difference(change(found, dense_bleu)),
        "corpus_bleu": score(found.scores.get("corpus_bleu")),
        "chrf": score(found.scores.get("chrf"), 1),
        "size": NOTHING if found.size_bytes is None else f"{found.size_bytes / 1e6:.2f}",
        "name": score(found.floors.get("name", {}).get("bleu")),
        "rows": count(found.rows) if found.rows else NOTHING,
        "seconds": f"{found.seconds:.0f}",
    }
    run = Text.assemble((f"{sign} ", colour), plain(found.run, 100), no_wrap=True, overflow="ellipsis")
    return {"run": run, **{key: Text(text, justify="right") for key, text in right.items()}}
