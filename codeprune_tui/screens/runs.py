"""Mode 1: every run folder with how it stands, and the keys to command one.

Shows the list that the app keeps; the cursor stays on its run whatever comes and goes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import DataTable, Static

from core.errors import CodepruneError
from core.recipe import Recipe, load_recipe
from core.runs import RunInfo
from core.schedule import sparsities

from .. import bundle, client
from ..bundle import BundledModel
from ..plain import plain
from ..widgets.statusline import tone
from ..words import age, difference, percent, score
from .mode import RUN_KEYS, ModeScreen, Target

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("run", "run", 12),
    ("state", "  state", 14),
    ("round", "round", 6),
    ("sparsity", "sparsity", 9),
    ("bleu", "BLEU", 7),
    ("best", "best", 7),
    ("diff", "Δ dense", 8),
    ("age", "age", 10),
)
"""(key, title, width); the first is the least, it takes what is left. Figures stand at the right end of their column."""
NOW_S = 10.0
"""Younger than this is "now"."""
WIDE_COLUMNS = (("kind", "  kind", 10), ("device", "  device", 10))
"""Only on wide screens."""
STYLES = {
    "$text-success": "green",
    "$text-warning": "yellow",
    "$text-error": "bold red",
    "$text-primary": "cyan",
    "$text-muted": "dim",
}

KEY = "bold $footer-key-foreground"

EMPTY = Content.assemble(
    ("No runs yet.\n\n", "bold"),
    "A run prunes a code-to-text model in rounds and measures every round.\n\nPress ",
    ("6", "bold"),
    " to start one, ",
    ("d", "bold"),
    " to try it on the bundled model and data, or ",
    ("?", "bold"),
    " for all keys.\n\n",
    ("Runs are folders below ", "$text-muted"),
)


class RunsScreen(ModeScreen):
    """The list of runs."""

    MODE = "runs"
    AUTO_FOCUS = "DataTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", priority=False, tooltip="Show the chosen run live", id="runs.open"),
        *RUN_KEYS,
        Binding("c", "copy", "Copy", tooltip="New run from the chosen run's recipe", id="runs.copy"),
        Binding("d", "demo", "Demo", tooltip="Prune the bundled model on the bundled corpus, and show it live", id="runs.demo"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, RunInfo] = {}
        self._cells: dict[str, dict[str, Text]] = {}
        self._here = ""
        self._starting = False
        self._awaited = ""
        """Where the cursor goes once it is listed."""

    def body(self) -> ComposeResult:
        """The table, and what stands there while it is empty."""
        with Vertical(id="body"):
            yield Static("", markup=False, id="empty")
            yield DataTable[Text](cursor_type="row", zebra_stripes=True, cell_padding=0, id="runs")
            if self.frame.demo:
                yield Static(bundled(bundle.models(), bundle.demo_recipe()), markup=False, id="bundle")

    def on_mount(self) -> None:
        """Lays out the columns."""
        if self.frame.demo:
            self.query_one("#bundle").border_title = "what came with codeprune-tui"
        self._lay_out()
        self._table.display = False
        self.query_one("#empty", Static).update(Content.styled("Looking for runs…", "$text-muted"))

    def on_resize(self) -> None:
        """Gives the names the room that is left."""
        self._lay_out()
        self.refresh_all()

    def _lay_out(self) -> None:
        table, here = self._table, self._chosen_name()
        table.clear(columns=True)
        shown = (*COLUMNS, *(WIDE_COLUMNS if self.app.size.width >= 120 else ()))
        for key, title, width in shown:
            rest = max(0, min(60, self.app.size.width - 2 - sum(taken for _, _, taken in shown))) if key == "run" else 0
            table.add_column(
                Text(title, justify="left" if title.startswith(" ") or key == "run" else "right"), width=width + rest, key=key
            )
        self._cells, self._here = {}, here

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one(DataTable)

    def show_news(self) -> None:
        """Shows the newest list."""
        if self.frame.runs is not None:
            self.show_runs(self.frame.runs)

    def show_time(self) -> None:
        """Ages grow by themselves."""
        if self.frame.runs is not None:
            self._fill(self.frame.runs)

    def show_runs(self, runs: list[RunInfo]) -> None:
        """Shows another list."""
        self._runs = {info.paths.name: info for info in runs}
        table, empty = self._table, self.query_one("#empty", Static)
        table.display, empty.display = bool(runs), not runs
        if not runs:
            empty.update(EMPTY.append_text(f"{plain(str(self.frame.checkpoints), 200)}/", "$text-muted"))
        elif self.focused is None:
            table.focus()
        self._fill(runs)
        if self._awaited in self._cells:
            table.move_cursor(row=list(self._cells).index(self._awaited), animate=False)
            self._awaited = ""

    def _fill(self, runs: list[RunInfo]) -> None:
        table, now = self._table, self.frame.clock()
        cells = {info.paths.name: _cells(info, now) for info in runs}
        if list(cells) != list(self._cells):
            here = self._chosen_name() or self._here
            table.clear()
            for name, row in cells.items():
                table.add_row(*(row[column.value] for column in table.columns if column.value), key=name)
            if here in cells:
                table.move_cursor(row=list(cells).index(here), animate=False)
        else:
            for name, row in cells.items():
                for column, text in row.items():
                    if text != self._cells[name][column] and column in table.columns:
                        table.update_cell(name, column, text)
        self._cells = cells

    def _chosen_name(self) -> str:
        names = list(self._cells)
        row = self._table.cursor_row
        return names[row] if 0 <= row < len(names) else ""

    def target(self) -> Target | None:
        """The chosen run."""
        info = self._runs.get(self._chosen_name())
        return None if info is None else Target(info.paths, str(info.state))

    def on_data_table_row_selected(self) -> None:
        """Enter or a click on the chosen run opens it."""
        self.action_open()

    def action_open(self) -> None:
        """Shows the chosen run live."""
        if target := self.target():
            self.frame.open_run(target.paths)

    def action_copy(self) -> None:
        """Opens the form with the chosen run's recipe in it."""
        if target := self.target():
            try:
                self.frame.new_from(load_recipe(target.paths.recipe))
            except CodepruneError as error:
                self.frame.say(str(error), "error")

    def action_demo(self) -> None:
        """Starts a demo run and shows it, or shows the one that is at work."""
        if not self._starting:
            self._starting = True
            self.frame.perform(self._start_demo, "")

    def _start_demo(self) -> None:
        try:
            paths = client.start_demo(self.frame.checkpoints)
            self._awaited = paths.name
            self.app.call_from_thread(self.frame.open_run, paths)
        finally:
            self._starting = False


def bundled(models: Sequence[BundledModel], demo: Recipe) -> Content:
    """The models that came with the package, and what to press."""
    parts: list[str | tuple[str, str]] = []
    width = max((len(model.name) for model in models), default=0)
    for model in models:
        sizes = f"  {model.size_bytes / 1e6:4.1f} MB  {model.parameters / 1e6:3.1f} M parameters"
        parts += [(model.name.ljust(width), "bold"), f"{sizes}  {_quality(model)}\n"]
    return Content.assemble(
        *parts,
        ("\nd", KEY),
        f" prunes {Path(demo.model.path).name} on the bundled corpus, {demo.rounds + 1} rounds "
        f"up to {percent(sparsities(demo)[-1])}, shown live.\n",
        ("Enter", KEY),
        f" opens the chosen run; {bundle.EXAMPLE} is such a run, finished.",
    )


def _quality(model: BundledModel) -> str:
    if model.bleu is None and model.held_out_accuracy is not None:
        return f"finds {percent(model.held_out_accuracy)} of hidden tokens"
    return ", ".join(filter(None, [f"BLEU {score(model.bleu)}", model.scored_on]))


def _age(info: RunInfo, now: float) -> str:
    if info.paths.name == bundle.EXAMPLE and bundle.is_read_only(info.paths):
        return "read-only"
    return "now" if 0 <= now - info.changed < NOW_S else age(info.changed, now)


def _cells(info: RunInfo, now: float) -> dict[str, Text]:
    sign, colour = tone(str(info.state))
    state = f"STALE {age(info.changed, now)}" if info.state == "STALE" else str(info.state)
    dense = None if info.bleu is None or info.dense_bleu is None or info.round < 1 else info.bleu - info.dense_bleu
    rounds = f"{info.round}/{info.rounds}" if info.round >= 0 else f"–/{info.rounds}"
    return {
        "run": Text(plain(info.paths.name, 100), overflow="ellipsis", no_wrap=True),
        "state": Text(f"  {sign} {state}", STYLES[colour]),
        "round": Text(rounds, justify="right"),
        "sparsity": Text(percent(info.sparsity) if info.round >= 0 else "–", justify="right"),
        "bleu": Text(score(info.bleu), justify="right"),
        "best": Text(score(info.best_bleu), justify="right"),
        "diff": Text(difference(dense), justify="right"),
        # A live run's age would change every second, and with it the whole table.
        "age": Text(_age(info, now), justify="right"),
        "kind": Text(f"  {plain(info.kind, 20)}"),
        "device": Text(f"  {plain(info.device, 20)}"),
    }
