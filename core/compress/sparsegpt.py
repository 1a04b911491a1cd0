"""SparseGPT: the weights whose removal costs a matrix's output least, and what the others make good of it.

The cost is the squared error of the output over the inputs of calibration rows, so it needs the Hessian of each matrix's inputs.
Scores are taken from the weights as they are, all at once, so that every scope, budget and pattern can share out by them what is
pruned; the update is the paper's, column by column in blocks, and settles which weights of a block go when it reaches the block.
Inputs are those of the model before pruning, in one pass over all layers. Knows single matrices, no model.

Source: Frantar and Alistarh 2023, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot (algorithm 1).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError

DAMPING = 0.01
"""Share of the Hessian's mean diagonal that is added to its diagonal, as in the authors' code."""
ATTEMPTS = 6
"""Each adds ten times as much."""
BLOCK = 128
"""Columns that are updated before the rest of the matrix is, as in the paper."""


class Inverse(NamedTuple):
    """The inverse of a Hessian in the form that the update needs."""

    factor: Tensor
    """(columns, columns) float32, the upper Cholesky factor U of the inverse of the damped Hessian, H⁻¹ = Uᵀ U."""
    prices: Tensor
    """(columns,) its diagonal, infinite where the input is always 0. U[j, j]² is the j-th diagonal entry of the inverse of the
    Hessian without its first j rows and columns: w² over it is what w costs once all columns before it are settled."""


def inverse(hessian: Tensor) -> Inverse:
    """The inverse of a damped Hessian.

    Args:
        hessian: (columns, columns) float32, mean of x xᵀ; inputs that are always 0 have zeros there.

    Returns:
        The inverse, factored.

    Raises:
        ModelError: The Hessian holds infinities or what is no number.
    """
    damped = hessian.clone()
    diagonal = damped.diagonal()
    idle = diagonal == 0
    diagonal[idle] = 1.0
    step = DAMPING * float(diagonal.mean())
    for _ in range(ATTEMPTS):  # few rows make a Hessian of low rank, which only the damping makes invertible
        diagonal.add_(step)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            factor, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not int(failed):
                return Inverse(factor, factor.diagonal().masked_fill(idle, math.inf))
        step *= 10
    raise ModelError("The inputs of a matrix on the calibration rows are no finite numbers.", "Use a criterion without data.")


def saliency(weight: Tensor, prices: Tensor) -> Tensor:
    """What removing each weight costs the output.

    Args:
        weight: (rows, columns).
        prices: (columns,), as in `Inverse`.

    Returns:
        (rows, columns) float32; 0 for weights whose input is always 0.
    """
    scores: Tensor = (weight.detach().float() / prices).square_()
    return scores


def solve(
    weight: Tensor, mask: Tensor, solver: Inverse, old: Tensor | None = None, width: int | None = BLOCK
) -> tuple[Tensor, Tensor]:
    """The weights that make good, as far as they can, what the output loses by a mask; which weights go is settled on the way.

    A mask says how many weights of each part of a block go. Which ones is chosen anew when the update reaches the block, by the
    weights as they have become: so the error that earlier columns leave is taken into account, and every count stays what it was.

    Args:
        weight: (rows, columns).
        mask: (rows, columns) bool, 1 = kept.
        solver: The inverse of the Hessian of the matrix's inputs.
        old: (rows, columns) bool; what it prunes stays pruned.
        width: Neighbouring weights of a row that compete, such as 4 for the pattern 2:4; 0 lets all rows of a block compete, None
            takes the mask as it is.

    Returns:
        The weights, of the given type, pruned ones 0; and the mask.
    """
    changed, settled, factor = weight.detach().float().clone(), mask.clone(), solver.factor
    columns = changed.shape[1]
    for start in range(0, columns, BLOCK):
        block = slice(start, min(start + BLOCK, columns))
        if width is not None:
            prices = saliency(changed[:, block], solver.prices[block])
            if old is not None:
                prices.masked_fill_(~old[:, block], -math.inf)
            settled[:, block] = _chosen(prices, mask[:, block], width)
        lines, kept = changed[:, block].T.contiguous(), settled[:, block].T.contiguous()  # (columns, rows): a column is one piece
        errors = torch.zeros_like(lines)
        own = factor[block, block]
        for column in range(len(lines)):
            torch.div(lines[column] * ~kept[column], own[column, column], out=errors[column])
            lines[column:].addr_(own[column, column:], errors[column], alpha=-1)
            lines[column] *= kept[column]  # exactly 0, not nearly
        changed[:, block] = lines.T
        changed[:, block.stop :] -= errors.T @ factor[block, block.stop :]
    return changed.to(weight.dtype), settled


def _chosen(prices: Tensor, mask: Tensor, width: int) -> Tensor:
    """A mask that prunes as many weights of each part as another one does, the cheapest; (rows, columns of a block) each."""
    shape = (-1, width) if width and prices.shape[1] % width == 0 else (-1, prices.shape[1]) if width else (1, -1)
    counts = (~mask).reshape(shape).sum(1, keepdim=True)
    order = prices.reshape(shape).argsort(dim=1, stable=True)
    ranks = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
    return (ranks >= counts).view(mask.shape)
