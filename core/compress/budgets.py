"""Budgets: how sparse each matrix becomes, for a given sparsity of all of them together.

The scope decides which weights compete inside a matrix, the budget what a matrix has to give. All but "uniform" are exact for the
total: as many weights go as `uniform` would take, if anything fits. Knows nothing of rounds.

Sources: Lee et al. 2021, Layer-adaptive Sparsity for the Magnitude-based Pruning (lamp); Yin et al. 2024, Outlier Weighed
Layerwise Sparsity (owl).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..recipe import Budget
from ..spec.layout import locate
from .basis import Basis
from .criteria import Criterion, wanda
from .masks import keep

OUTLIER = 5.0
"""A weight whose score is so many times the mean of its layer is an outlier: M of the paper."""
SPAN = 0.08
"""Most that a layer's sparsity differs from that of all: lambda of the paper."""
HALVINGS = 50
"""Steps of the search for the shift that makes a total exact, on an interval of length 2."""


def shares(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    criterion: Criterion,
    budget: Budget,
    sparsity: float,
    basis: Basis,
) -> dict[str, float]:
    """The sparsity of each matrix.

    Args:
        weights: Parameter name -> weight.
        masks: Parameter name -> bool mask of what is still kept; a missing one means all.
        criterion: Which weights are pruned first; "global" shares out by its scores.
        budget: How to share out.
        sparsity: Of all matrices together, in [0, 1].
        basis: With the inputs of every matrix for "owl".

    Returns:
        Parameter name -> share in [0, 1], never less than what is pruned already but for "uniform".
    """
    if budget == "uniform":
        return dict.fromkeys(weights, sparsity)
    if budget == "owl":
        return _owl(weights, masks, sparsity, basis)
    ranked = keep(weights, masks, criterion if budget == "global" else lamp, "global", sparsity)
    return {name: 1 - int(mask.count_nonzero()) / mask.numel() for name, mask in ranked.items()}


def lamp(name: str, weight: Tensor) -> Tensor:
    """Scores a weight by its square over the sum of the squares of all weights of its matrix that are no smaller.

    The largest weight of every matrix scores 1, so that no matrix is emptied before the others.

    Source: Lee et al. 2021.
    """
    squares = weight.detach().flatten().double().square()
    ordered, order = squares.sort(stable=True)
    backwards = ordered.flip(0)
    if torch.are_deterministic_algorithms_enabled():  # a GPU has no deterministic way to add up floating-point numbers like this
        backwards = backwards.cpu()
    rest = backwards.cumsum(0).flip(0).to(ordered.device)
    scores = torch.zeros_like(squares)
    scores[order] = ordered / rest.clamp_min(torch.finfo(torch.float64).tiny)
    return scores.float().view(weight.shape)


def _owl(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], sparsity: float, basis: Basis) -> dict[str, float]:
    """Layers with many outliers keep more: sparsity minus their share of outliers, stretched to the span, about its mean."""
    layers: dict[tuple[str, int], list[str]] = {}
    for name in weights:
        place = locate(name)
        layers.setdefault((name, 0) if place is None else (place.part, place.layer), []).append(name)
    score, outliers = wanda(0, basis), []
    for names in layers.values():
        scores = torch.cat([score(name, weights[name]).flatten() for name in names])
        outliers.append(float((scores > OUTLIER * scores.mean()).float().mean()))
    lowest, widest = min(outliers), max(outliers) - min(outliers)
    spread = [2 * SPAN * (each - lowest) / widest if widest else 0.0 for each in outliers]
    mean = sum(spread) / len(spread)
    targets = {name: sparsity - (own - mean) for names, own in zip(layers.values(), spread, strict=True) for name in names}
    return _exact({name: (targets[name], _pruned(weights, masks, name), weights[name].numel()) for name in weights}, sparsity)


def _pruned(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], name: str) -> int:
    return weights[name].numel() - int(masks[name].count_nonzero()) if name in masks else 0


def _exact(targets: Mapping[str, tuple[float, int, int]], sparsity: float) -> dict[str, float]:
    """Shares as near to the wanted ones as can be that give exactly the total.

    Args:
        targets: Name -> (share, weights pruned already, weights).
        sparsity: Of all together.
    """
    total = round(sparsity * sum(size for _, _, size in targets.values()))

    def counts(shift: float) -> dict[str, int]:
        return {name: min(size, max(pruned, round((share + shift) * size))) for name, (share, pruned, size) in targets.items()}

    low, high = -1.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(counts(middle).values()) <= total else (low, middle)
    chosen = counts(low)
    missing = total - sum(chosen.values())
    for name, (_, _, size) in targets.items():  # rounding: the first matrices with room take one or two more
        more = max(0, min(missing, size - chosen[name]))
        chosen[name] += more
        missing -= more
    return {name: chosen[name] / size for name, (_, _, size) in targets.items()}
