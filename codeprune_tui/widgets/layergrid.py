"""Layers × matrices with a cursor: any figure, its number in every cell.

The grid lays the matrices out as `heatmap` does and paints by the line API for the same reason. It knows numbers and positions,
not their meaning. Brackets mark the cursor as well as colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.spec.layout import Place

from .heatmap import (
    DECODER,
    ENCODER,
    LABEL,
    NO_UNITS,
    Columns,
    Texts,
    columns_for,
    header,
    meanings,
    tone_style,
    tones_of,
    units_text,
)

POOL = "pool"
CURSOR = Style(color="#000000", bgcolor="#ffffff", bold=True)
HEADER_LINES = 1


@dataclass(frozen=True)
class Layout:
    """The place of each matrix, and the columns."""

    rows: tuple[int | str, ...]
    """Layers from 0, then the pooler."""
    columns: Columns
    cells: Mapping[tuple[int, int], str]
    """(row, column) -> parameter."""

    def left(self, column: int) -> int:
        """Where a column begins on the screen."""
        gap = self.columns.gap if column >= len(self.columns.encoder) else 0
        return LABEL + sum(self.columns.widths[:column]) + gap


def lay_out(places: Mapping[str, Place], width: int, units: Mapping[str, tuple[int, int]] = NO_UNITS) -> Layout:
    """Finds room for matrices: encoder left, decoder right, pooler below.

    Args:
        places: Parameter name -> where it stands in the model.
        width: Columns of the screen.
        units: Parameter name -> units kept, of how many, where these stand in the cells.
    """
    known = {(place.part, place.layer, place.matrix): name for name, place in places.items()}
    encoder = tuple(name for name in ENCODER if any(part == "encoder" and name == m for part, _, m in known))
    decoder = tuple(name for name in DECODER if any(part == "decoder" and name == m for part, _, m in known))
    layers: list[int | str] = [*sorted({layer for part, layer, _ in known if part != "pooler"})]
    texts: Texts = {(place.part, place.layer, place.matrix): units[name] for name, place in places.items() if name in units}
    cells: dict[tuple[int, int], str] = {}
    for row, layer in enumerate(layers):
        for column, (part, matrix) in enumerate([*(("encoder", name) for name in encoder), *(("decoder", n) for n in decoder)]):
            if (name := known.get((part, layer, matrix))) is not None:  # type: ignore[arg-type]  # a layer is a number here
                cells[row, column] = name
    pooler = [name for (part, _, _), name in known.items() if part == "pooler"]
    if pooler:
        cells[len(layers), 0] = pooler[0]
        layers.append(POOL)
    return Layout(tuple(layers), columns_for(encoder, decoder, width, texts), cells)


def neighbour(layout: Layout, cell: tuple[int, int], down: int, right: int) -> tuple[int, int]:
    """The cell next to one in a direction, over holes if need be; the same one where there is none."""
    row, column = cell
    if right:
        columns = [c for r, c in layout.cells if r == row and (c - column) * right > 0]
        return (row, min(columns, key=lambda c: abs(c - column))) if columns else cell
    beyond = sorted((r for r, _ in layout.cells if (r - row) * down > 0), key=lambda r: abs(r - row))
    for r in beyond:
        if (r, column) in layout.cells:
            return r, column
    if not beyond:
        return cell
    return beyond[0], min((c for r, c in layout.cells if r == beyond[0]), key=lambda c: abs(c - column))


class LayerGrid(ScrollView, can_focus=False):
    """The heatmap with a cursor.

    Args:
        id: Of the widget.
        has_cursor: Whether a matrix can be chosen here.
    """

    class Moved(Message):
        """The cursor stands on another matrix."""

    class Opened(Message):
        """The matrix under the cursor was clicked once more."""

    def __init__(self, *, id: str | None = None, has_cursor: bool = True) -> None:
        super().__init__(id=id)
        self.has_cursor = has_cursor
        """Whether a matrix can be chosen here; else it only shows figures."""
        self._places: Mapping[str, Place] = {}
        self._values: Mapping[str, float | None] = {}
        self._top, self._scale = 1.0, 100.0
        self._note = ""
        self._units: Mapping[str, tuple[int, int]] = {}
        self._layout = lay_out({}, 80)
        self._cursor = (0, 0)
        self._strips: list[Strip] = []

    @property
    def chosen(self) -> str:
        """The parameter under the cursor; "" where there is none."""
        return self._layout.cells.get(self._cursor, "")

    def show(
        self,
        places: Mapping[str, Place],
        values: Mapping[str, float | None],
        top: float,
        scale: float,
        note: str,
        units: Mapping[str, tuple[int, int]] = NO_UNITS,
    ) -> None:
        """Shows other figures.

        Args:
            places: Parameter name -> where it stands.
            values: Parameter name -> figure; None or missing where it is not known.
            top: The figure with the lightest tone.
            scale: Factor by which figures are multiplied to be written.
            note: The text below, such as why there are none.
            units: Parameter name -> units kept, of how many; they stand in the cells in place of figures.
        """
        new = (places, values, top, scale, note, units)
        if new != (self._places, self._values, self._top, self._scale, self._note, self._units):
            self._places, self._values, self._top, self._scale, self._note, self._units = new
            self._arrange()

    def move(self, down: int, right: int) -> None:
        """Moves the cursor by one cell."""
        self._go_to(neighbour(self._layout, self._cursor, down, right))

    def _go_to(self, cell: tuple[int, int]) -> None:
        if cell != self._cursor and cell in self._layout.cells:
            self._cursor = cell
            self._draw()
            row, column = cell
            # The header is part of the picture: going to the first layer shows it again.
            region = Region(
                self._layout.left(column), row + HEADER_LINES if row else 0, self._layout.columns.widths[column], 1 if row else 2
            )
            self.scroll_to_region(region, animate=False, force=True)
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Fits the cells to the new width."""
        self._arrange()

    def notify_style_update(self) -> None:
        """Draws anew after a change of theme."""
        super().notify_style_update()
        self._draw()

    def on_click(self, event: Click) -> None:
        """Goes to the clicked cell; a click on the chosen one opens it."""
        inside = event.get_content_offset(self)
        if inside is None or not self.has_cursor:
            return
        y, x = inside.y + self.scroll_offset.y - HEADER_LINES, inside.x + self.scroll_offset.x
        for row, column in self._layout.cells:
            if row == y and 0 <= x - self._layout.left(column) < self._layout.columns.widths[column]:
                if (row, column) == self._cursor:
                    self.post_message(self.Opened())
                else:
                    self._go_to((row, column))

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        line, width, style = y + self.scroll_offset.y, self.size.width, self.rich_style
        if line >= len(self._strips):
            return Strip.blank(width, style)
        return self._strips[line].crop_extend(self.scroll_offset.x, self.scroll_offset.x + width, style).apply_style(style)

    def _arrange(self) -> None:
        before = self.chosen
        self._layout = lay_out(self._places, self.size.width, self._units)
        same = [cell for cell, name in self._layout.cells.items() if name == before]
        self._cursor = (same or [*self._layout.cells][:1] or [(0, 0)])[0]
        self._draw()
        if self.chosen != before and self.has_cursor:
            self.post_message(self.Moved())

    def _draw(self) -> None:
        layout = self._layout
        note = Strip([Segment(f" {self._note}"[: max(1, self.size.width)], Style(dim=bool(layout.cells)))])
        if not layout.cells:
            self._strips = [note]
        else:
            self._strips = [header(layout.columns)]
            self._strips += [self._row(number, label) for number, label in enumerate(layout.rows)]
            if self._note:
                self._strips.append(note)
            below = meanings(layout.columns.cells, self.size.width)
            if self.size.height >= len(self._strips) + len(below) + 4:
                self._strips += [Strip([]), *below]
            legend = self._legend()
            if self.size.height >= len(self._strips) + 2 and self.size.width >= legend.cell_length:
                self._strips += [Strip([])] * (self.size.height - len(self._strips) - 1) + [legend]
        width = max((strip.cell_length for strip in self._strips), default=0)
        self.virtual_size = Size(width, len(self._strips))
        self.refresh()

    def _row(self, row: int, label: int | str) -> Strip:
        name = str(label + 1) if isinstance(label, int) else label
        parts = [Segment(f"{name:>{LABEL - 1}} ")]
        for column in range(len(self._layout.columns.widths)):
            if column == len(self._layout.columns.encoder):
                parts.append(Segment(" " * self._layout.columns.gap))
            parts.append(self._cell((row, column)))
        return Strip(parts)

    def _cell(self, cell: tuple[int, int]) -> Segment:
        width = self._layout.columns.widths[cell[1]]
        if cell not in self._layout.cells:
            return Segment(" " * width)
        name = self._layout.cells[cell]
        value = self._values.get(name)
        if name in self._units:
            text = units_text(*self._units[name], width - 1)
        else:
            text = self._written(value, 1 if width >= 7 else 0)[: width - 1]
        if cell == self._cursor and self.has_cursor:
            inner = f"[{text}" if len(text) < width - 1 else text
            return Segment(f"{inner.rjust(width - 1)}]", CURSOR)
        return Segment(
            text.rjust(width - 1) + " ", Style() if value is None else tone_style(value / self._top, tones_of(self.app.theme))
        )

    def _written(self, value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value * self._scale:.{digits}f}"

    def _legend(self) -> Strip:
        cell = 4 if self.size.width < 62 else 5
        shades = [
            Segment(
                self._written(self._top * tone / 10, 0).rjust(cell - 1)[: cell - 1] + " ",
                tone_style(tone / 10, tones_of(self.app.theme)),
            )
            for tone in range(11)
        ]
        return Strip([Segment(" " * (LABEL if cell > 4 else 0)), *shades])
