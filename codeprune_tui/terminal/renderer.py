"""Sends the terminal only those cells that differ from what it shows already.

Textual sends the whole of a widget that asks to be painted, and all of the screen below a dialog, whether or not anything looks
different. Over a slow line that is most of what is sent. Knows cells, but neither widgets nor what they show.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import ne
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

Cell = tuple[str, Style | None]
GAP = 8
"""So many unchanged cells are cheaper sent again than jumped over."""


class Run(NamedTuple):
    """Cells that are to be sent, side by side."""

    x: int
    y: int
    segments: Sequence[Segment]


class Changes(CompositorUpdate):
    """An update of a few cells."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs

    def render_segments(self, console: Console) -> str:
        """What the terminal is to get, with escape sequences."""
        return "".join(f"\x1b[{run.y + 1};{run.x + 1}H{Strip(run.segments).render(console)}" for run in self.runs)


class Painted:
    """The cells that the terminal shows, as far as they are known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}
        self._size = (0, 0)

    def forget(self) -> None:
        """Nothing is known any more: all of the next update is sent."""
        self._rows = {}

    def changes(self, update: LayoutUpdate | ChopsUpdate, size: tuple[int, int]) -> Changes:
        """The part of an update that the terminal does not show yet; it counts as shown from now on.

        Args:
            update: From Textual's compositor.
            size: Columns and lines of the terminal; another size than before means that nothing is known.
        """
        if size != self._size:
            self._size = size
            self.forget()
        return Changes([run for x, y, strip in _pieces(update) for run in self._differing(x, y, strip)])

    def _differing(self, x: int, y: int, strip: Strip) -> list[Run]:
        segments = [segment for segment in strip if segment.text and not segment.control]
        text = "".join(segment.text for segment in segments)
        row, width = self._row(y, x + len(text)), len(text)
        if not (text.isascii() or all(cell_len(letter) == 1 for letter in set(text))):
            return self._whole(x, row, y, strip.cell_length, segments)
        cells: list[Cell] = []
        for segment in segments:
            cells += zip(segment.text, repeat(segment.style))
        old = row[x : x + width]
        if old == cells:
            return []
        row[x : x + width] = cells
        changed = [at for at, differs in enumerate(map(ne, old, cells)) if differs]
        return [Run(x + first, y, _cut(segments, first, last + 1)) for first, last in _stretches(changed)]

    def _row(self, y: int, width: int) -> list[Cell | None]:
        """What is known of a line, at least so many cells of it."""
        row = self._rows.setdefault(y, [])
        row += [None] * (width - len(row))
        return row

    def _whole(self, x: int, row: list[Cell | None], y: int, width: int, segments: list[Segment]) -> list[Run]:
        """A piece with letters that take two cells or none: which cell is whose is the terminal's affair, so all or nothing."""
        text = "".join(f"{segment.text}\x00{segment.style}\x00" for segment in segments)
        marks: list[Cell | None] = [(f"{x} {width} {text}", None)] * width
        row += [None] * (x + width - len(row))
        known, row[x : x + width] = row[x : x + width] == marks, marks
        return [] if known else [Run(x, y, segments)]


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterable[tuple[int, int, Strip]]:
    """(column, line, what stands there from there on)."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield x, y, strip
                x += strip.cell_length
        return
    for y, first, end in update.spans:
        for at, piece in update.chops[y].items():
            # Beside its span a line holds whatever lies below what is there: only what overlaps the span was rendered.
            if piece is not None and (start := max(at, first)) < (stop := min(at + piece.cell_length, end)):
                yield start, y, piece.crop(start - at, stop - at)


def _stretches(places: Sequence[int]) -> Iterable[tuple[int, int]]:
    """First and last of the places that lie close together."""
    stretches: list[tuple[int, int]] = []
    for at in places:
        if stretches and at - stretches[-1][1] <= GAP:
            stretches[-1] = (stretches[-1][0], at)
        else:
            stretches.append((at, at))
    return stretches


def _cut(segments: Sequence[Segment], first: int, end: int) -> list[Segment]:
    """Those cells, from `first` to before `end`, of segments whose letters take one cell each."""
    pieces: list[Segment] = []
    at = 0
    for segment in segments:
        text = segment.text[max(0, first - at) : max(0, end - at)]
        if text:
            pieces.append(Segment(text, segment.style))
        at += len(segment.text)
    return pieces
