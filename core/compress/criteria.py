"""Criteria: a criterion decides which weights are pruned first.

A criterion gives one weight tensor its scores; the lowest are pruned first. It is pure: equal arguments give equal scores, so
that a ranking over all weights can pass over them several times instead of keeping a second copy of them. It knows nothing of
masks, scopes or shares. A new criterion is one function and one line in `CRITERIA`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..seeds import derive_seed

Criterion = Callable[[str, Tensor], Tensor]
"""(parameter name, weight) -> scores of the weight's shape, float32, on its device."""


def magnitude(seed: int) -> Criterion:
    """Scores a weight by its absolute value (L1).

    Args:
        seed: Not used; nothing is drawn.

    Returns:
        The criterion.

    Source: Han et al. 2015, Learning both Weights and Connections.
    """
    return lambda name, weight: weight.detach().abs().float()


def random(seed: int) -> Criterion:
    """Scores weights by draws from a generator seeded with `seed` and the parameter's name.

    Args:
        seed: Any integer; equal seeds, equal scores, on every device.

    Returns:
        The criterion.
    """

    def draw(name: str, weight: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(seed, name))
        return torch.rand(weight.shape, generator=generator).to(weight.device)

    return draw


CRITERIA: dict[str, Callable[[int], Criterion]] = {"magnitude": magnitude, "random": random}
"""Name in the recipe -> (seed -> criterion)."""
