"""The table of runs: one line a run, in one of the orders; the cursor stays on its run whatever comes and goes.

Is told which runs to show; knows neither the filter nor what is done with them.
"""

from collections.abc import Iterable, Sequence

from rich.text import Text
from textual.widgets import DataTable
from textual.widgets.data_table import CellKey, RowKey

from core.runs import RunInfo

from ..ordering import NEWEST, ORDERS, in_order
from ..runcells import COLUMNS, DEVICE, DISPENSABLE, KIND, aged, cells_of


ROOMY = 90
"""Columns of the screen from which on every column of figures is shown."""


class RunTable(DataTable[Text]):
    """The table."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, cell_padding=0, id=id)
        self.cells: dict[str, dict[str, Text]] = {}
        """Run -> its cells, as they are listed."""
        self.awaited = ""
        """Where the cursor goes once it is listed."""
        self.order, self.down = NEWEST, False
        self._made: dict[str, tuple[RunInfo, str, bool, dict[str, Text]]] = {}
        """Cells as they were made, and from what: a thousand runs would take a third of each second."""
        self._name_width = COLUMNS[1][2]
        self._here = ""

    # Every column has a width and every row one line, so nothing has to be measured; Textual would measure each cell of a new
    # or changed row, which is a fifth of what opening a list of a thousand runs takes.

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        super()._update_dimensions(())

    def _update_column_widths(self, updated_cells: set[CellKey]) -> None:
        pass

    @property
    def chosen(self) -> str:
        """Name of the run under the cursor; "" where there is none."""
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
        here, width = self.chosen, self.app.size.width
        self.clear(columns=True)
        narrow = tuple(column for column in COLUMNS if column[0] != DISPENSABLE)
        shown = (*COLUMNS, KIND) if width >= 120 else COLUMNS if width >= ROOMY else narrow
        free = width - 2 - sum(taken for _, _, taken in shown)
        if free >= DEVICE[2]:
            shown, free = (*shown, DEVICE), free - DEVICE[2]
        for key, title, taken in shown:
            if key == "run":
                taken += max(0, min(60, free))
                self._name_width, self._made = taken, {}
            self.add_column(self._heading(key, title), width=taken, key=key)
        self.cells, self._here = {}, here

    def _heading(self, key: str, title: str) -> Text:
        arrow = ("↓" if self.down else "↑") if key == self.order else ""
        return Text(title + arrow, justify="left" if title.startswith(" ") or key == "run" else "right")

    def show(self, infos: Sequence[RunInfo], marks: set[str], now: float) -> None:
        """Lists runs.

        Args:
            infos: Newest first.
            marks: Names of the marked ones.
            now: Seconds since 1970.
        """
        shown = in_order(list(infos), self.order, self.down)
        cells = {info.paths.name: self._cells_of(info, info.paths.name in marks, now) for info in shown}
        if list(cells) != list(self.cells):
            self._list(cells)
        else:
            self._update(cells)
        self.cells = cells
        if self.awaited in cells:
            self.move_cursor(row=list(cells).index(self.awaited), animate=False)
            self.awaited = ""

    def _list(self, cells: dict[str, dict[str, Text]]) -> None:
        here, row = self.chosen or self._here, self.cursor_row
        self.clear()
        for name, texts in cells.items():
            self.add_row(*(texts[column.value] for column in self.columns if column.value), key=name)
        self.move_cursor(row=list(cells).index(here) if here in cells else max(0, min(row, len(cells) - 1)), animate=False)
        self._here = here

    def _update(self, cells: dict[str, dict[str, Text]]) -> None:
        for name, texts in cells.items():
            if texts is self.cells[name]:
                continue
            for column, text in texts.items():
                if text != self.cells[name][column] and column in self.columns:
                    self.update_cell(name, column, text)

    def _cells_of(self, info: RunInfo, marked: bool, now: float) -> dict[str, Text]:
        name = info.paths.name
        made, age_told = self._made.get(name), aged(info, now)
        if made is None or made[0] is not info or made[1:3] != (age_told, marked):
            made = self._made[name] = (info, age_told, marked, cells_of(info, now, marked, self._name_width))
        return made[3]
