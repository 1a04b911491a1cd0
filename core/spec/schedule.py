"""Schedules: the sparsity of the prunable weights after each round.

Pure arithmetic on the recipe; knows nothing of weights. The paper's schedule is linear: each round prunes the same share of
the original weights, that is 1/(rounds − r) of what remains.
"""

from collections.abc import Callable

from ..recipe import Recipe

_SHARES: dict[str, Callable[[int, int, float], float]] = {
    "linear": lambda number, rounds, final: final * number / rounds,
    "geometric": lambda number, rounds, final: 1 - (1 - final) ** (number / rounds),
    "one-shot": lambda number, rounds, final: final,
}


def sparsities(recipe: Recipe) -> tuple[float, ...]:
    """The sparsity that each round is pruned to.

    Args:
        recipe: The run's recipe.

    Returns:
        One share in [0, 1] a round, round 0 (dense, 0.0) first; `recipe.rounds + 1` of them, never falling.
    """
    share, rounds, final = _SHARES[recipe.pruning.schedule], recipe.rounds, recipe.pruning.final_sparsity
    return (0.0, *(share(number, rounds, final) for number in range(1, rounds + 1)))
