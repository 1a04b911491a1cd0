"""Criteria: a criterion decides which weights are pruned first.

A criterion gives one weight tensor its scores; the lowest are pruned first. It is pure: equal arguments give equal scores, so
that a ranking over all weights can pass over them several times instead of keeping a second copy of them. What it needs to know
of a model beyond its weights is measured before (`basis`) and handed in. It knows nothing of masks, scopes or shares. A new
criterion is one function and one line in `CRITERIA`, and one in `core.spec.criteria`.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from ..seeds import derive_seed
from . import sparsegpt as solver
from .basis import NOTHING, Basis

Criterion = Callable[[str, Tensor], Tensor]
"""(parameter name, weight) -> scores of the weight's shape, float32, on its device."""


class Bind(Protocol):
    """Makes a criterion from a seed and what was measured."""

    def __call__(self, seed: int, basis: Basis = NOTHING) -> Criterion:
        """The criterion.

        Args:
            seed: Of whatever it draws.
            basis: What `core.spec.criteria` says that it needs, of every parameter that it will score.
        """
        ...


def magnitude(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores a weight by its absolute value (L1).

    Source: Han et al. 2015, Learning both Weights and Connections.
    """
    return lambda name, weight: weight.detach().abs().float()


def random(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores weights by draws from a generator seeded with `seed` and the parameter's name; equal on every device."""

    def draw(name: str, weight: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(seed, name))
        return torch.rand(weight.shape, generator=generator).to(weight.device)

    return draw


def wanda(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores a weight by its absolute value times the norm of its input.

    The norm is the root mean square over tokens instead of the root of the sum: the same order inside a matrix, and one that can
    be compared between matrices which see different numbers of tokens.

    Source: Sun et al. 2023, A Simple and Effective Pruning Approach for Large Language Models.
    """
    return lambda name, weight: weight.detach().abs().float() * basis.inputs[name].sqrt()


def sparsegpt(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores a weight by what its removal costs the matrix's output once the weights after it have made good what they can.

    Source: Frantar and Alistarh 2023 (see `sparsegpt`, which also has the update of the kept weights).
    """
    prices: dict[int, Tensor] = {}  # matrices with the same input share their Hessian

    def cost(name: str, weight: Tensor) -> Tensor:
        hessian = basis.hessians[name]
        if id(hessian) not in prices:
            prices[id(hessian)] = solver.inverse(hessian).prices
        return solver.saliency(weight, prices[id(hessian)])

    return cost


def taylor(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores a weight by how much the loss changes without it, to first order: |w · g|, g the mean gradient of the rows.

    Source: Molchanov et al. 2019, Importance Estimation for Neural Network Pruning.
    """
    return lambda name, weight: (weight.detach() * basis.gradients[name]).abs_().float()


def fisher(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores a weight by w² · E[g²], the second order of the loss with the diagonal of the empirical Fisher matrix.

    Source: Theis et al. 2018, Faster gaze prediction with dense networks and Fisher pruning; the diagonal of Kurtic et al. 2022
    (oBERT).
    """
    return lambda name, weight: weight.detach().square().float() * basis.squared_gradients[name]


def movement(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores a weight by −w · g, summed over training: low where training moves it towards 0, high where away from it.

    Where no training was watched, the sum is over the calibration rows: the first step that a training would make.

    Source: Sanh et al. 2020, Movement Pruning: Adaptive Sparsity by Fine-Tuning.
    """

    def moved(name: str, weight: Tensor) -> Tensor:
        if name in basis.movements:
            return basis.movements[name].float()
        return -(weight.detach() * basis.gradients[name]).float()

    return moved


def magnitude_inverted(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores the other way round than magnitude, so that the largest go first: a control that should be the worst."""
    return lambda name, weight: weight.detach().abs().float().neg_()


def shuffled(seed: int, basis: Basis = NOTHING) -> Criterion:
    """Scores by the magnitudes of each matrix, dealt out anew inside it: magnitude's share of every matrix, at random in there.

    Weights that are exactly 0 keep that score, so that what was pruned before does not change a matrix's share.

    Source: Su et al. 2020, Sanity-Checking Pruning Methods: Random Tickets can Win the Jackpot.
    """

    def deal(name: str, weight: Tensor) -> Tensor:
        scores = weight.detach().abs().float().flatten()
        places = scores.nonzero()[:, 0]
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(derive_seed(seed, "shuffled", name)))
        scores[places] = scores[places[order.to(places.device)]]
        return scores.view(weight.shape)

    return deal


CRITERIA: dict[str, Bind] = {
    "magnitude": magnitude,
    "random": random,
    "wanda": wanda,
    "sparsegpt": sparsegpt,
    "taylor": taylor,
    "fisher": fisher,
    "movement": movement,
    "magnitude-inverted": magnitude_inverted,
    "shuffled": shuffled,
}
"""Name in the recipe -> what makes the criterion."""


@torch.no_grad()
def make_good(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    basis: Basis,
    old: Mapping[str, Tensor] | None = None,
    width: int | None = solver.BLOCK,
) -> dict[str, Tensor]:
    """Updates the kept weights so that the matrices' outputs change as little as they can, in place; pruned ones become 0.

    Args:
        weights: Parameter name -> weight.
        masks: Parameter name -> bool mask, 1 = kept.
        basis: With the Hessian of every matrix that has a mask.
        old: Masks of what was pruned before, and stays so.
        width: As for `sparsegpt.solve`.

    Returns:
        The masks, with the same counts; which weights of a block go may have changed.
    """
    settled: dict[str, Tensor] = {}
    inverse: tuple[int, solver.Inverse] | None = None
    for name, mask in masks.items():
        hessian = basis.hessians[name]
        if inverse is None or inverse[0] != id(hessian):  # those of queries, keys and values follow each other
            inverse = id(hessian), solver.inverse(hessian)
        changed, settled[name] = solver.solve(weights[name], mask, inverse[1], (old or {}).get(name), width)
        weights[name].copy_(changed)
    return settled
