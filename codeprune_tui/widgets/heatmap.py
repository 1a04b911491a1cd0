"""The sparsity heatmap: layers × matrices, the number in every cell.

Follows the line API of Textual's ScrollView, since a Rich renderable of this size costs five times the CPU; the strips are
kept until the sparsities or the size change. Colour only repeats what the numbers say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.spec.layout import locate
from core.spec.roberta import MATRICES

from ..themes import CIVIDIS, COLOUR_BLIND_SAFE

TONES = ("#262626", "#00005f", "#000087", "#005f87", "#5f5f87", "#5f8787", "#878787", "#afaf87", "#d7af5f", "#ffd75f", "#ffff87")
"""0 %, 10 % … 100 %: from dark blue to light yellow, rising in lightness, which all kinds of colour vision tell apart.
All are in the 256-colour palette, so that they look the same there."""
LIGHT_FROM = 6
"""Tones from here on carry black figures."""
ENCODER = ("query", "key", "value", "output", "ffn-in", "ffn-out")
DECODER = ("self-out", "cross-out", "ffn-in", "ffn-out")
SHORT = {
    "query": "qry",
    "key": "key",
    "value": "val",
    "output": "out",
    "ffn-in": "f·i",
    "ffn-out": "f·o",
    "self-out": "slf",
    "cross-out": "crs",
    "pooler": "pool",
}
MEANINGS = {
    "query": "query",
    "key": "key",
    "value": "value",
    "output": "attention output",
    "ffn-in": "into the feed-forward part",
    "ffn-out": "out of the feed-forward part",
    "self-out": "self-attention output",
    "cross-out": "cross-attention output",
}
"""Meanings of the columns' names."""
LABEL = 5
"""Columns of a row's label."""
GAP, WIDE_GAP = 2, 6
"""Columns between encoder and decoder; the wide one has room for a title."""
WIDEST = 9
SHORT_UNITS = len("12/12")

Grid = dict[str, dict[tuple[int, str], float]]
"""Part -> (layer, matrix) -> sparsity."""
Texts = dict[tuple[str, int, str], tuple[int, int]]
"""(part, layer, matrix) -> units kept, of how many."""
NO_UNITS: Mapping[str, tuple[int, int]] = {}
NO_TEXTS: Texts = {}


def arrange(matrices: Mapping[str, float]) -> Grid:
    """Sorts sparsities by the places of their matrices; a matrix without a known place is left out.

    Args:
        matrices: Parameter name -> sparsity, share in [0, 1].
    """
    grid: Grid = {"encoder": {}, "decoder": {}, "pooler": {}}
    for parameter, share in matrices.items():
        place = locate(parameter)
        if place is not None and place.layer < 1000:
            grid[place.part][place.layer, place.matrix] = share
    return grid


class Heatmap(ScrollView, can_focus=True):
    """Layers × matrices with the sparsity in percent; encoder left, decoder right, the pooler below."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "sparsity %"
        self._matrices: Mapping[str, float] = {}
        self._strips: list[Strip] = []
        self._note = ""
        self._units: Mapping[str, tuple[int, int]] = {}

    def show(self, matrices: Mapping[str, float], note: str, units: Mapping[str, tuple[int, int]] = NO_UNITS) -> None:
        """Shows other sparsities.

        Args:
            matrices: Parameter name -> sparsity; empty for a dense model.
            note: The text to show if there are none.
            units: Parameter name -> units kept, of how many; they stand in the cells: "7/12", "7" or "1k", as there is room.
        """
        if (matrices, note, units) != (self._matrices, self._note, self._units):
            self._matrices, self._note, self._units = matrices, note, units
            self._draw()

    def on_resize(self) -> None:
        """Fits the cells to the new width."""
        self._draw()

    def notify_style_update(self) -> None:
        """Draws anew after a change of theme."""
        super().notify_style_update()
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        line = y + self.scroll_offset.y
        width = self.size.width
        style = self.rich_style
        if line >= len(self._strips):
            return Strip.blank(width, style)
        return self._strips[line].crop_extend(self.scroll_offset.x, self.scroll_offset.x + width, style).apply_style(style)

    def _draw(self) -> None:
        grid, tones = arrange(self._matrices), tones_of(self.app.theme)
        self._strips = [Strip([Segment(" " + self._note)])]
        if any(grid.values()):
            self._strips = _strips(grid, self.size.width, tones, _places_of(self._units))
            below = meanings(_columns(grid, self.size.width, _places_of(self._units)).cells, self.size.width)
            if self.size.height >= len(self._strips) + len(below) + 4:
                self._strips += [Strip([]), *below]
        legend = _legend(4 if self.size.width < 62 else 5, tones)
        if any(grid.values()) and self.size.height >= len(self._strips) + 2 and self.size.width >= legend.cell_length:
            self._strips += [Strip([])] * (self.size.height - len(self._strips) - 1) + [legend]
        width = max((strip.cell_length for strip in self._strips), default=0)
        self.virtual_size = Size(width, len(self._strips))
        self.refresh()


@dataclass(frozen=True)
class Columns:
    """The columns of a picture of matrices, and their widths."""

    encoder: tuple[str, ...]
    """Its matrices, each a column."""
    decoder: tuple[str, ...]
    widths: tuple[int, ...]
    """Of the encoder's columns, then the decoder's; one where there is none."""
    gap: int
    """Columns of the screen between the parts."""

    @property
    def cells(self) -> list[tuple[str, int]]:
        """Every column with its width."""
        return [*zip((*self.encoder, *self.decoder), self.widths, strict=False)]

    @property
    def parts(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """The same, the encoder's and the decoder's apart."""
        return self.cells[: len(self.encoder)], self.cells[len(self.encoder) :]


def columns_for(encoder: Sequence[str], decoder: Sequence[str], width: int, units: Texts = NO_TEXTS) -> Columns:
    """Finds room for columns: all of one width, or where numbers of units need it and there is room, each as wide as they are.

    Args:
        encoder: Matrices that have a column there.
        decoder: Likewise.
        width: Columns of the screen.
        units: Units kept, of how many, where these stand in the cells.
    """
    count, both = max(1, len(encoder) + len(decoder)), bool(encoder and decoder)
    gap = 0 if not both else WIDE_GAP if width - LABEL - WIDE_GAP >= 7 * count else GAP
    equal = max(4, min(WIDEST, (width - LABEL - gap) // count))
    places = [*(("encoder", name) for name in encoder), *(("decoder", name) for name in decoder)]
    longest = [max((len(_whole(*units[at])) for at in units if (at[0], at[2]) == place), default=0) for place in places]
    for blanks, between in ((1, gap), (1, min(gap, GAP)), (0, gap), (0, min(gap, GAP))):
        needed = [length + 1 + max(blanks, _before(length)) if length else min(equal, 7) for length in longest]
        if units and max(needed, default=0) > equal and sum(needed) <= width - LABEL - between:
            return Columns(tuple(encoder), tuple(decoder), tuple(needed), between)
    return Columns(tuple(encoder), tuple(decoder), (equal,) * count, gap)


def _columns(grid: Grid, width: int, units: Texts) -> Columns:
    encoder = [name for name in ENCODER if any(matrix == name for _, matrix in grid["encoder"])]
    decoder = [name for name in DECODER if any(matrix == name for _, matrix in grid["decoder"])]
    return columns_for(encoder, decoder, width, units)


def _places_of(units: Mapping[str, tuple[int, int]]) -> Texts:
    """Units by the places of their matrices."""
    places = {name: locate(name) for name in units}
    return {(place.part, place.layer, place.matrix): units[name] for name, place in places.items() if place is not None}


def _strips(grid: Grid, width: int, tones: Sequence[str], units: Texts) -> list[Strip]:
    columns = _columns(grid, width, units)
    layers = sorted({layer for part in ("encoder", "decoder") for layer, _ in grid[part]})
    strips = [header(columns)] if columns.cells else []
    for layer in layers:
        left, right = (
            [_cell(grid[part].get((layer, name)), cell, tones, units=units.get((part, layer, name))) for name, cell in cells]
            for part, cells in zip(("encoder", "decoder"), columns.parts, strict=True)
        )
        strips.append(Strip([Segment(f"{layer + 1:>{LABEL - 1}} "), *left, Segment(" " * columns.gap), *right]))
    if grid["pooler"]:
        share = next(iter(grid["pooler"].values()))
        strips.append(Strip([Segment(f"{'pool':>{LABEL - 1}} "), _cell(share, columns.widths[0], tones)]))
    return strips


def header(columns: Columns) -> Strip:
    """The line with the matrices' names above their columns."""

    def titles(cells: Sequence[tuple[str, int]]) -> str:
        return "".join((name if len(name) < cell else SHORT[name])[: cell - 1].rjust(cell - 1) + " " for name, cell in cells)

    left, right = map(titles, columns.parts)
    corner = "enc" if columns.encoder else ""
    between = "dec".center(columns.gap) if columns.gap == WIDE_GAP else " " * columns.gap
    return Strip([Segment(f"{corner:>{LABEL - 1}} {left}{between}{right}", Style(dim=True))])


def meanings(cells: Sequence[tuple[str, int]], width: int) -> list[Strip]:
    """The meanings of columns whose names had to be cut, in as many lines as that takes.

    Args:
        cells: The matrices that have a column, and its width.
        width: Columns of a line.
    """
    entries = dict.fromkeys(f"{SHORT[name]} {MEANINGS[name]}" for name, cell in cells if len(name) >= cell)
    lines: list[str] = []
    for entry in entries:
        if lines and len(lines[-1]) + 3 + len(entry) <= width - 1:
            lines[-1] += f" · {entry}"
        else:
            lines.append(entry)
    return [Strip([Segment(f" {line}"[:width], Style(dim=True))]) for line in lines]


def _cell(
    share: float | None, width: int, tones: Sequence[str], digits: int | None = None, units: tuple[int, int] | None = None
) -> Segment:
    if share is None:
        return Segment(" " * width)
    share = min(1.0, max(0.0, share)) if share == share else 0.0
    if units is not None:
        return Segment(units_text(*units, width - 1).rjust(width - 1) + " ", tone_style(share, tones))
    digits = (1 if width >= 7 else 0) if digits is None else digits
    return Segment(f"{share * 100:.{digits}f}".rjust(width - 1) + " ", tone_style(share, tones))


def units_text(left: int, all_: int, width: int) -> str:
    """How many units are kept, as it fits into so many columns: "512/3072" with a blank before it, "512", "1.5k", "1k" or "…"."""
    thousands = [f"{left / 1000:.1f}k", f"{left // 1000}k"] if left >= 1000 else []
    length = len(_whole(left, all_))
    whole = [_whole(left, all_)] if length + _before(length) <= width else []
    return next(text for text in (*whole, f"{left}", *thousands, "…") if len(text) <= width)


def _before(length: int) -> int:
    """Blanks that a number of units needs before it, so that long ones side by side do not read as one."""
    return 0 if length <= SHORT_UNITS else 1


def _whole(left: int, all_: int) -> str:
    return f"{left}/{all_}"


def tone_style(share: float, tones: Sequence[str] = TONES) -> Style:
    """The colours of a cell, from a number that is brought into [0, 1]."""
    tone = round(10 * min(1.0, max(0.0, share))) if share == share else 0
    return Style(color="#000000" if tone >= LIGHT_FROM else "#ffffff", bgcolor=tones[tone])


def tones_of(theme: str) -> Sequence[str]:
    """The eleven tones that go with a theme."""
    return CIVIDIS if theme == COLOUR_BLIND_SAFE.name else TONES


def _legend(cell: int, tones: Sequence[str]) -> Strip:
    indent = LABEL if cell > 4 else 0
    return Strip([Segment(" " * indent), *(_cell(tone / 10, cell, tones, digits=0) for tone in range(11)), Segment(" %")])


assert set(SHORT) >= {*MATRICES.values()}
