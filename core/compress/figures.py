"""Figures of masks and weights, matrix by matrix, so that a screen can show a round without loading it.

The worker measures them at the end of a round and journals one small event a matrix. Nothing here draws a random number or
changes a tensor, so a run with these figures has the same bits as one without. Knows neither rounds nor files: the weights and
masks of the round before are passed in.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..run.events import MatrixMeasured
from ..spec.layout import HEAD_COLUMNS, HEAD_ROWS, locate

BLOCKS = 16
"""Most blocks along one side of a density map: enough to show a pattern, and narrow enough for 80 columns with figures."""
FLOAT_BYTES = 4
NAMED = 3
"""Most matrices that a warning names."""


@dataclass(frozen=True)
class Heads:
    """Number of attention heads of each layer, by kind of attention."""

    encoder: Sequence[int]
    decoder: Sequence[int]
    """Of the self-attention."""
    cross: Sequence[int]

    def of(self, parameter: str) -> tuple[int, int]:
        """The number of heads of a matrix and their axis, 0 for rows and 1 for columns; (0, 0) where it has none."""
        place = locate(parameter)
        if place is None or place.matrix not in HEAD_ROWS | HEAD_COLUMNS:
            return 0, 0
        heads = self.cross if place.matrix == "cross-out" else self.decoder if place.part == "decoder" else self.encoder
        return heads[place.layer], int(place.matrix in HEAD_COLUMNS)


@dataclass(frozen=True)
class Before:
    """A matrix one round earlier; None for what is not known."""

    mask: Tensor | None = None
    weight: Tensor | None = None


@torch.no_grad()
def measure(number: int, parameter: str, weight: Tensor, mask: Tensor, before: Before, heads: tuple[int, int]) -> MatrixMeasured:
    """The figures of one matrix in one round.

    Args:
        number: The round.
        parameter: The matrix's name.
        weight: (rows, columns) float, the weights that the round picked.
        mask: (rows, columns) bool, 1 = kept.
        before: The same matrix one round earlier.
        heads: As `Heads.of` gives them.

    Returns:
        The event.
    """
    weight, mask = weight.detach().cpu(), mask.cpu()
    rows, columns = mask.shape
    kept = int(mask.sum())
    count, axis = heads = _fitting(mask, heads)
    magnitude = _length(weight, mask, 1) / kept if kept else None
    return MatrixMeasured(
        round=number,
        parameter=parameter,
        rows=rows,
        columns=columns,
        kept=kept,
        magnitude=_short(magnitude),
        change=_short(None if before.weight is None else change(weight, before.weight.cpu(), mask)),
        overlap=_short(None if before.mask is None else overlap(mask, before.mask.cpu())),
        dead_rows=dead(mask, rows, 0),
        dead_columns=dead(mask, columns, 1),
        heads=count,
        dead_heads=dead(mask, count, axis) if count else 0,
        density=density(mask, _sides(mask, heads)),
    )


def overlap(mask: Tensor, before: Tensor) -> float:
    """Jaccard index of what two masks keep: 1 for equal masks, also for two empty ones, 0 for disjoint ones."""
    either = int((mask | before).sum())
    return int((mask & before).sum()) / either if either else 1.0


def change(weight: Tensor, before: Tensor, mask: Tensor) -> float | None:
    """How far the kept weights moved: |w − w'| / |w'| in the Euclidean norm, or None where |w'| is 0.

    Args:
        weight: (rows, columns) float.
        before: (rows, columns) float, the weights one round earlier.
        mask: (rows, columns) bool; only weights that are kept count.
    """
    length = _length(before, mask, 2)
    return _length(weight - before, mask, 2) / length if length else None


def dead(mask: Tensor, slices: int, axis: int) -> int:
    """How many of `slices` equal slices along an axis keep nothing: rows (as many as there are), columns, or heads."""
    along = mask.any(dim=1 - axis)  # (rows,) or (columns,)
    return int((~along.view(slices, -1).any(dim=1)).sum())


def density(mask: Tensor, sides: tuple[int, int]) -> list[list[int]]:
    """The kept share of each block of a mask in whole percent.

    Args:
        mask: (rows, columns) bool.
        sides: Blocks down and across; block i begins at row `i * rows // sides[0]`, and so for columns.

    Returns:
        sides[0] lists of sides[1] numbers; 0 means that exactly nothing is kept, 100 that everything is.
    """
    edges = [np.arange(side) * size // side for side, size in zip(sides, mask.shape, strict=True)]
    down = np.add.reduceat(mask.cpu().numpy(), edges[0], axis=0, dtype=np.int64)
    kept = np.add.reduceat(down, edges[1], axis=1)  # (down, across)
    sizes = [np.diff(np.append(edge, size)) for edge, size in zip(edges, mask.shape, strict=True)]
    share = kept / np.outer(*sizes)
    whole = np.where((share > 0) & (share < 1), np.clip(np.rint(100 * share), 1, 99), 100 * share)
    return [[int(value) for value in row] for row in whole]


def _fitting(mask: Tensor, heads: tuple[int, int]) -> tuple[int, int]:
    """The heads, or (0, 0) where they do not divide the matrix, as after some were cut out: they cannot be told apart then."""
    count, axis = heads
    return heads if count and mask.shape[axis] % count == 0 else (0, 0)


def _sides(mask: Tensor, heads: tuple[int, int]) -> tuple[int, int]:
    """Blocks down and across: no more than rows and columns, and where there are heads, their edges are edges of blocks."""
    sides = [min(BLOCKS, size) for size in mask.shape]
    count, axis = heads
    if 0 < count <= sides[axis] and mask.shape[axis] % (count * (sides[axis] // count)) == 0:
        sides[axis] = count * (sides[axis] // count)
    return sides[0], sides[1]


def collapse(masks: Mapping[str, Tensor], before: Mapping[str, Tensor], heads: Callable[[str], tuple[int, int]]) -> str:
    """The heads and rows that lost their last weight in a round, by matrix, as part of a sentence.

    Args:
        masks: Parameter name -> bool mask.
        before: The masks one round earlier; a missing one means that nothing was pruned.
        heads: As `Heads.of`.

    Returns:
        Such as "2 heads and 14 rows of encoder…query.weight"; "" where none did. Matrices that lost all weights are left out:
        `masks.collapsed` names them.
    """
    lost: list[str] = []
    for name, mask in masks.items():
        count, axis = _fitting(mask, heads(name))
        if not bool(mask.any()):
            continue
        gone_rows = dead(mask, mask.shape[0], 0) - (dead(before[name], mask.shape[0], 0) if name in before else 0)
        gone_heads = dead(mask, count, axis) - (dead(before[name], count, axis) if name in before else 0) if count else 0
        words = [_plural(gone_heads, "head"), _plural(gone_rows, "row")]
        if any(words):
            lost.append(f"{' and '.join(filter(None, words))} of {name}")
    more = [f"and of {len(lost) - NAMED} more matrices"] if len(lost) > NAMED else []
    return ", ".join(lost[:NAMED] + more)


def sparse_bytes(parameters: int, prunable: int, kept: int) -> int:
    """Bytes of a model stored as float32: its prunable matrices as a bitmask and the kept values, the rest as it is.

    Args:
        parameters: Number of the model's weights, tied ones once.
        prunable: Number of weights that carry a mask.
        kept: Number of these that are kept; a model of which nothing is pruned needs no bitmask.
    """
    bitmask = -(-prunable // 8) if kept < prunable else 0
    return FLOAT_BYTES * (parameters - prunable + kept) + bitmask


def _length(values: Tensor, mask: Tensor, order: int) -> float:
    """The 1-norm or 2-norm of the kept values; rows are summed in float32 and together in double, which keeps six digits."""
    kept = values * mask  # (rows, columns)
    rows = kept.abs_().sum(1) if order == 1 else torch.einsum("rc,rc->r", kept, kept)
    total = float(rows.double().sum())
    return total if order == 1 else math.sqrt(total)


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number > 1 else ''}" if number > 0 else ""


def _short(value: float | None) -> float | None:
    """Six significant digits: more would only fill the journal."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
