"""Mode 4: any runs on one chart and in one sortable table; scores against sparsity, round or size.

A thread reads the results from journals and `metrics.json`; weights are neither needed nor read.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import ScreenResume
from textual.message import Message
from textual.widgets import DataTable, Static

from core.errors import CodepruneError
from core.program import program
from core.recipe import Recipe, load_recipe
from core.run.folder import RunPaths
from core.run.results import LEADING, SEMANTIC, Result, measures_of
from core.spec.criteria import differing_words
from core.study.experiments import without_seed

from ..frame import publish
from ..reports.export import ENDINGS, free_file, write_csv, write_report, write_svg
from ..runs.watch import Comparer
from ..views.comparison import AXES, COLUMNS, Picture, Results, default_marks, has_semantic, in_order, on_frontier, picture
from ..views.encoder_verdict import warning_of_all
from ..views.quantization_text import BETWEEN
from ..views.seed_means import Mean, curves, grouped
from ..widgets.comparechart import CompareChart
from ..widgets.comparetable import CompareTable, counted
from ..widgets.telling import tell_verdict
from .choose import ChooseOne
from .marks import MarkRuns
from .mode import ModeScreen

ZOOM_MOST = 6
"""Most halvings of the chart; beyond them it shows nothing between two points."""
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

    def __init__(
        self, results: dict[str, tuple[Result, ...]], quantized: dict[str, tuple[Result, ...]], recipes: dict[str, Recipe]
    ) -> None:
        super().__init__()
        self.results = results
        self.quantized = quantized
        """Quantizer and run -> the models that were quantized and measured after the run."""
        self.recipes = recipes
        """Run -> its recipe, where it can be read."""


class CompareScreen(ModeScreen):
    """Some runs beside each other."""

    MODE = "compare"
    AUTO_FOCUS = "DataTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "mark", "Marks", tooltip="Choose the runs to compare; the newest are preset", id="compare.mark"),
        Binding(
            "x",
            "axis",
            "Axis",
            tooltip="Scores against sparsity, round, size on disk, ms per comment or ms per token",
            id="compare.axis",
        ),
        Binding("y", "score", "Score", tooltip="chrF, smoothed BLEU-4, corpus BLEU or ROUGE-L", id="compare.score"),
        Binding(
            "g",
            "group",
            "Seeds",
            tooltip="Show runs that differ only in their seed as one curve, or each alone",
            id="compare.group",
        ),
        Binding(
            "z",
            "quantized",
            "Quantized",
            tooltip="Show what `quantize RUN` measured, sparsity by quantizer, or the rounds of the runs again",
            id="compare.quantized",
        ),
        Binding(
            "o", "sort", "Sort", tooltip="Sort the table by the next column; a click on its title does it, too", id="compare.sort"
        ),
        Binding("O", "reverse", "Reverse", show=False, tooltip="Reverse the order of the table", id="compare.reverse"),
        Binding(
            "e",
            "export",
            "Export",
            tooltip="Write the table as CSV, the chart as SVG or a report as HTML",
            id="compare.export",
        ),
        Binding(
            "plus,equals_sign", "zoom(1)", "Zoom", key_display="+", tooltip="Zoom in on the chosen line", id="compare.zoom-in"
        ),
        Binding("minus", "zoom(-1)", "Zoom out", show=False, tooltip="Zoom out", id="compare.zoom-out"),
        Binding("0", "zoom(0)", "Whole", show=False, tooltip="Show the whole chart again", id="compare.zoom-reset"),
        *(
            Binding(
                keys,
                f"pan({by})",
                f"Pan {side}",
                show=False,
                tooltip=f"Move the zoomed part {side}; another line resets it",
                id=f"compare.pan-{side}",
            )
            for keys, by, side in (("shift+left,comma", -1, "left"), ("shift+right,full_stop", 1, "right"))
        ),
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
            border-subtitle-color: $text-muted;
            border-bottom: solid $panel-lighten-2;
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
        """Names of the marked runs; None means the newest."""
        self._results: Results = {}
        self._quantized: Results = {}
        self._by_quantizer = False
        """Whether quantized models are shown, and not the rounds of the runs."""
        self._paths: dict[str, RunPaths] = {}
        """Run -> its folder; for the thread, which cannot ask a screen that was taken down."""
        self._recipes: dict[str, Recipe] = {}
        self._keys: dict[str, str] = {}
        """Run -> what runs that differ only in their seed have in common."""
        self._methods: dict[str, str] = {}
        """Run -> how it prunes, as far as the runs differ in it."""
        self._grouped = False
        """Whether runs that differ only in their seed are one curve."""
        self._axis, self._measure = "sparsity", LEADING
        self._sorted, self._down = "run", False
        self._zoom = 0
        self._panned = ("", 0)
        """The chosen line, and by how many half widths the zoomed part is moved away from it."""
        self._comparer = Comparer(self._publish)

    def body(self) -> ComposeResult:
        """The chart above the table."""
        with Vertical(id="body"):
            yield Static(EMPTY, markup=False, id="nothing")
            yield Static("", markup=False, classes="encoder-verdict")
            yield CompareChart()
            yield CompareTable()

    def on_mount(self) -> None:
        """Starts reading."""
        self.set_class(True, "nothing")
        self._comparer.start()

    def on_unmount(self) -> None:
        """Ends the thread."""
        self._comparer.stop()

    def on_screen_suspend(self) -> None:
        """Stops reading while nobody looks."""
        self._comparer.set_front(False)

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Reads again."""
        self._comparer.set_front(True)

    def on_resize(self) -> None:
        """Gives the names the room that is left."""
        self.call_after_refresh(self._show)

    def _publish(self, results: dict[str, tuple[Result, ...]], quantized: dict[str, tuple[Result, ...]]) -> None:
        publish(self, Compared(results, quantized, self._read_recipes(list(results))))

    def _read_recipes(self, names: list[str]) -> dict[str, Recipe]:
        """Recipes never change, so each is read once; a run whose recipe cannot be read is alone."""
        recipes = {}
        for name in names:
            if name not in self._recipes and name in self._paths:
                with suppress(CodepruneError):
                    recipes[name] = load_recipe(self._paths[name].recipe)
        return {**{name: recipe for name, recipe in self._recipes.items() if name in names}, **recipes}

    # What is shown

    def show_news(self) -> None:
        """Compares the marked runs, as far as they still exist."""
        self._paths = {info.paths.name: info.paths for info in self.frame.runs or []}
        self._comparer.set_runs(tuple(self._paths[name] for name in self._marks() if name in self._paths))

    def _marks(self) -> list[str]:
        return default_marks(self.frame.runs or []) if self._marked is None else self._marked

    def on_compared(self, message: Compared) -> None:
        """Shows new results."""
        self._results, self._quantized = message.results, message.quantized
        if message.recipes != self._recipes:
            self._recipes = message.recipes
            self._keys = {name: without_seed(recipe) for name, recipe in self._recipes.items()}
            self._methods = differing_words(self._recipes)
        self._show()

    @property
    def _shown(self) -> Results:
        """The results that chart and table show: of runs, of curves of several seeds, or of quantized models."""
        if self._by_quantizer and self._quantized:
            return self._quantized
        return grouped(self._results, self._keys) if self._grouped else self._results

    @property
    def _picture(self) -> Picture:
        return picture(self._shown, AXES[self._axis], self._measure, self._methods)

    def action_group(self) -> None:
        """Puts seeds together, or takes them apart."""
        if not self._grouped and all(len(runs) == 1 for runs in curves(self._keys, list(self._results))):
            self.frame.say("No two of these runs differ only in their seed: there is nothing to put together.", "warning")
            return
        self._grouped = not self._grouped
        self._show()

    def action_quantized(self) -> None:
        """Shows quantized models, or the rounds of the runs again."""
        if not self._quantized and not self._by_quantizer:
            self.frame.say(
                f"None of these runs has been quantized. Measure one: {program()} quantize checkpoints/RUN",
                "warning",
            )
            return
        self._by_quantizer = not self._by_quantizer
        self._show()

    def _show(self) -> None:
        nothing = not any(self._results.values())
        self.set_class(nothing, "nothing")
        tell_verdict(self, warning_of_all(result for rounds in self._results.values() for result in rounds))
        self._show_table()
        self._show_chosen()
        if not nothing and self.focused is None and self.is_active:
            self._table.focus()

    def _show_table(self) -> None:
        starred = on_frontier(self._shown, AXES[self._axis], self._measure)
        self._table.show(self._shown, self._sorted, self._down, starred)

    def _show_chosen(self) -> None:
        """Shows the chart, zoomed in on the chosen line if it is zoomed, and the facts of that line."""
        result, axis = self._table.chosen, AXES[self._axis]
        across, up = (None, None) if result is None else (axis.value(result), result.scores.get(self._measure))
        centre = None if across is None or up is None else (across, up)
        shown = self._shown
        chosen = None if result is None else [*shown].index(result.run)
        line = "" if result is None else f"{result.round} {result.run}"
        if line != self._panned[0] or not self._zoom:
            self._panned = (line, 0)
        self.query_one(CompareChart).show(self._picture, self._zoom, centre, chosen, self._panned[1])
        self._table.tell(self._measure)

    @property
    def _table(self) -> CompareTable:
        return self.query_one(CompareTable)

    def on_data_table_row_highlighted(self) -> None:
        """Follows the cursor."""
        self._show_chosen()

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
        known = [*measures_of(result for rounds in self._results.values() for result in rounds)]
        self._measure = _next(known, self._measure if self._measure in known else known[-1])
        self._show()

    def action_sort(self) -> None:
        """Sorts by the next column."""
        self._sorted = _next([key for key in COLUMNS if key != SEMANTIC or has_semantic(self._results)], self._sorted)
        self._show()

    def action_reverse(self) -> None:
        """Reverses the order."""
        self._down = not self._down
        self._show()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sorts by the clicked column; a second click reverses the order."""
        if (key := event.column_key.value) in COLUMNS:
            self._down = not self._down if key == self._sorted else False
            self._sorted = key
            self._show()

    def on_data_table_row_selected(self) -> None:
        """Enter or a click on the chosen line."""
        self.action_open()

    def action_open(self) -> None:
        """Shows the chosen line's run live."""
        chosen = self._table.chosen
        paths = {info.paths.name: info.paths for info in self.frame.runs or []}
        run = "" if chosen is None else chosen.runs[0] if isinstance(chosen, Mean) else chosen.run
        run = run.partition(BETWEEN)[2] if chosen is not None and chosen.quantizer else run
        if run in paths:
            self.frame.open_run(paths[run])

    def action_zoom(self, by: int) -> None:
        """Zooms in on the chosen line, out, or (0) out to the whole."""
        self._zoom = min(max(0, self._zoom + by), ZOOM_MOST) if by else 0
        self._show_chosen()

    def action_pan(self, by: int) -> None:
        """Moves the zoomed part by half its width."""
        if self._zoom:
            line, moved = self._panned
            self._panned = (line, min(max(moved + by, -(2 ** (self._zoom + 1))), 2 ** (self._zoom + 1)))
            self._show_chosen()

    def action_export(self) -> None:
        """Asks for a format, then writes what is shown."""
        if self._table.results:
            self.app.push_screen(ChooseOne("Write into the current folder as:", ENDINGS), self._export)
        else:
            self.frame.say("There is nothing to export yet: no run here has a complete round.", "warning")

    @property
    def _measurements(self) -> Results:
        """What is shown, run by run."""
        return self._shown if self._by_quantizer else self._results

    def _export(self, ending: str | None) -> None:
        if ending is None:
            return
        # Tables hold the measurements run by run; a reader can take means of them.
        path, rows = free_file(Path.cwd(), ending), in_order(self._measurements, self._sorted, self._down)
        shown = self._picture
        folders = [info.paths.root.absolute() for info in self.frame.runs or [] if info.paths.name in self._results]
        work = {
            "csv": partial(write_csv, path, rows),
            "svg": partial(write_svg, path, shown),
            "html": partial(write_report, path, folders),
        }
        if ending != "csv":
            self.frame.say(f"Writing {path.name}…")
        self.frame.perform(work[ending], f"{path.name}: {counted(rows)}, written to {path.parent}")


def _next(names: list[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]
