"""How much the output of each matrix changes by pruning: what Wanda and SparseGPT keep small. Knows no model."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def output_errors(before: Mapping[str, Tensor], after: Mapping[str, Tensor], hessians: Mapping[str, Tensor]) -> dict[str, float]:
    """The relative error of each matrix's output on the inputs of a model before pruning.

    Args:
        before: Parameter name -> weight, (rows, columns).
        after: The same afterwards.
        hessians: Parameter name -> mean of x xᵀ, (columns, columns).

    Returns:
        Parameter name -> norm of the difference of the outputs over the norm of the output, over all tokens; without the
        matrices that no token reaches.
    """
    errors: dict[str, float] = {}
    for name, hessian in hessians.items():
        size = _energy(before[name], hessian)
        if size > 0:
            errors[name] = float(f"{(max(0.0, _energy(after[name] - before[name], hessian)) / size) ** 0.5:.6g}")
    return errors


def _energy(weight: Tensor, hessian: Tensor) -> float:
    """Mean square of the output of a weight, trace(W H Wᵀ)."""
    return float(((weight.float() @ hessian) * weight.float()).double().sum())
