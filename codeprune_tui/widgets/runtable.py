"""The table of runs: a line for each run and each sweep, in one of the orders; the cursor stays on its line.

The table is given what to show; it knows neither the filter nor the commands.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text
from textual.widgets.data_table import CellKey, RowKey

from core.run.folder import RunInfo

from ..views.plain import plain
from ..views.run_columns import COLUMNS, aged, cells_of, group_cells, shown_at
from ..views.run_order import NEWEST, ORDERS, in_order
from ..views.shorten import apart, middle_out
from ..views.sweep_groups import Standing, arranged
from .rowtable import RowTable

MARK = "mark"
"""The column of marks, two wide."""


class RunTable(RowTable):
    """The table."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, cell_padding=0, id=id)
        self.cells: dict[str, dict[str, Text]] = {}
        """Run, or key of a sweep -> its cells, as they are listed."""
        self.awaited = ""
        """Where the cursor goes once it is listed."""
        self.order, self.down = NEWEST, False
        self._cells: dict[str, tuple[RunInfo | Standing, str, bool, str, dict[str, Text]]] = {}
        """The cells of each line, and the facts they were made from: a thousand runs would take a third of each second."""
        self._widths = {"run": COLUMNS["run"].width}
        """Column -> its width, in their order."""
        self._cursor_run = ""
        """Place of the cursor before the lines were removed."""
        self._extra = (False, False)
        """Whether a listed run's model was pruned before the run, and whether a listed run's worker has a cluster's job."""
        self._cut: tuple[tuple[tuple[str, str], ...], int, dict[str, str]] = ((), 0, {})
        """Names and sweeps, columns, and the names as they are cut."""

    # Every column has a width and every row one line, so nothing has to be measured; Textual would measure each cell of a new
    # or changed row, which is a fifth of what opening a list of a thousand runs takes.

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        super()._update_dimensions(())

    def _update_column_widths(self, updated_cells: set[CellKey]) -> None:
        pass

    @property
    def chosen(self) -> str:
        """Name of the run under the cursor, or key of the sweep; "" where there is neither."""
        names = list(self.cells)
        return names[self.cursor_row] if 0 <= self.cursor_row < len(names) else ""

    @property
    def ordered(self) -> str:
        """The order in words."""
        return ORDERS[self.order].title + ("" if self.order == NEWEST and not self.down else f" {'↓' if self.down else '↑'}")

    def sort_by(self, order: str, down: bool | None = None) -> None:
        """Takes another order; it counts from the next `show` on.

        Args:
            order: Key of `ORDERS`.
            down: Largest first; None for the way that the order begins with.
        """
        self.order, self.down = order, ORDERS[order].down if down is None else down
        self.lay_out()

    def lay_out(self) -> None:
        """Makes the columns anew for the terminal's width, without any run; the names get the room that is left."""
        cursor_run, width = self.chosen, self.app.size.width
        self.clear(columns=True)
        shown = shown_at(width, *self._extra)
        self._widths = {key: taken for key, (_, taken) in shown.items()}
        self._cells = {}
        self.add_column("", width=2, key=MARK)
        for key, (heading, taken) in shown.items():
            self.add_column(self._heading(key, heading), width=taken, key=key)
        self.cells, self._cursor_run = {}, cursor_run

    def _heading(self, key: str, heading: str) -> Text:
        arrow = ("↓" if self.down else "↑") if key == self.order else ""
        return Text(heading + arrow, justify="left" if COLUMNS[key].type == "text" else "right")

    def show(
        self,
        infos: Sequence[RunInfo],
        marks: set[str],
        now: float,
        groups: Mapping[str, Standing] | None = None,
        folded: Collection[str] = (),
    ) -> None:
        """Lists runs.

        Args:
            infos: Newest first.
            marks: Names of the marked ones.
            now: Seconds since 1970.
            groups: Sweep -> how it stands; its runs stand below a line of its own.
            folded: The sweeps whose runs are hidden.
        """
        groups = groups or {}
        lines = arranged(in_order(list(infos), self.order, self.down), groups, folded)
        if (extra := (any(info.before for info in infos), any(info.job for info in infos))) != self._extra:
            self._extra = extra
            self.lay_out()
        runs = [line for line in lines if isinstance(line, RunInfo)]
        names = self._names(tuple((info.paths.name, info.sweep if info.sweep in groups else "") for info in runs))
        cells = {}
        for line in lines:
            if isinstance(line, Standing):
                cells[line.key] = self._cells_of_sweep(line, line.name in folded, marks)
            else:
                name = line.paths.name
                shown = f"  {names[name]}" if line.sweep in groups else names[name]
                cells[name] = self._cells_of(line, name in marks, now, shown)
        if list(cells) != list(self.cells):
            self._list(cells)
        else:
            self._update(cells)
        self.cells = cells
        if self.awaited in cells:
            self.move_cursor(row=list(cells).index(self.awaited), animate=False)
            self.awaited = ""

    def _list(self, cells: dict[str, dict[str, Text]]) -> None:
        run, row = self.chosen or self._cursor_run, self.cursor_row
        self.clear()
        for name, texts in cells.items():
            self.add_row(*(texts[column.value] for column in self.columns if column.value), key=name)
        self.move_cursor(row=list(cells).index(run) if run in cells else max(0, min(row, len(cells) - 1)), animate=False)
        self._cursor_run = run

    def _update(self, cells: dict[str, dict[str, Text]]) -> None:
        for name, texts in cells.items():
            if texts is self.cells[name]:
                continue
            for column, text in texts.items():
                if text != self.cells[name][column] and column in self.columns:
                    self.update_cell(name, column, text)

    def _names(self, runs: tuple[tuple[str, str], ...]) -> dict[str, str]:
        """Name -> the part of it that fits; names made from model and criterion are long, and differ somewhere inside.

        Args:
            runs: (name, the sweep below whose line it stands or "") of each run.
        """
        width = self._widths["run"] - (2 if any(sweep for _, sweep in runs) else 0)
        if self._cut[:2] != (runs, width):
            safe = {name: plain(name, 100) for name, _ in runs}
            if any(cell_len(text) > width for text in safe.values()):  # the line above says the sweep's name
                safe = {name: safe[name].removeprefix(f"{sweep}-") if sweep else safe[name] for name, sweep in runs}
            cut = apart(set(safe.values()), width)
            self._cut = (runs, width, {name: cut[safe[name]] for name, _ in runs})
        return self._cut[2]

    def on_resize(self) -> None:
        """Keeps the cursor in sight when the table gets smaller."""
        self.call_after_refresh(self._scroll_cursor_into_view)

    def _cells_of(self, info: RunInfo, marked: bool, now: float, shown: str) -> dict[str, Text]:
        run, age = info.paths.name, aged(info, now)
        known = self._cells.get(run)
        if known is None or known[0] is not info or known[1:4] != (age, marked, shown):
            mark = Text("* " if marked else "  ", "bold yellow")
            known = self._cells[run] = (info, age, marked, shown, {MARK: mark, **cells_of(info, now, shown)})
        return known[4]

    def _cells_of_sweep(self, at: Standing, folded: bool, marks: set[str]) -> dict[str, Text]:
        marked, shown = any(info.paths.name in marks for info in at.infos), middle_out(at.name, self._widths["run"] - 2)
        known = self._cells.get(at.key)
        if known is None or known[0] is not at or known[1:4] != (str(folded), marked, shown):
            mark = Text("* " if marked else "  ", "bold yellow")
            known = (at, str(folded), marked, shown, {MARK: mark, **group_cells(at, folded, self._widths, shown)})
            self._cells[at.key] = known
        return known[4]
