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


def speedups(recipe: Recipe) -> tuple[float, ...]:
    """How many times as fast as dense each round is to be, for a budget of latency: the time that goes grows as sparsity does.

    Args:
        recipe: The run's recipe.

    Returns:
        One number a round, round 0 (dense, 1.0) first.
    """
    shares = sparsities(recipe)
    gone = 1 - 1 / recipe.pruning.speedup
    return tuple(1 / (1 - gone * share / shares[-1]) if share else 1.0 for share in shares)


def entries_words(recipe: Recipe) -> str:
    """How many entries of the vocabulary a recipe lets stay, in words; "" where it leaves the vocabulary alone."""
    pruning = recipe.pruning
    if not (recipe.rounds and pruning.drops_entries):
        return ""
    return f"at most {pruning.entries:,} entries" if pruning.entries else "the entries that training rows use"


def cubic(start: float, final: float, progress: float) -> float:
    """The sparsity inside a training whose masks grow: fast at first, when much can still go, and slower towards the end.

    Args:
        start: Sparsity at the beginning.
        final: Sparsity at the end.
        progress: How far the growth has come, in [0, 1].

    Source: Zhu and Gupta 2017, To Prune, or Not to Prune.
    """
    return final + (start - final) * (1 - progress) ** 3


def growth(recipe: Recipe) -> tuple[int, ...]:
    """The steps of a round after which its masks grow; () where masks change between rounds only."""
    pruning = recipe.pruning
    if not pruning.gradual_every:
        return ()
    steps = range(pruning.gradual_from + pruning.gradual_every, recipe.last_growth, pruning.gradual_every)
    return (*steps, recipe.last_growth)


def grown(recipe: Recipe, number: int, step: int) -> float:
    """The sparsity of a round with growing masks after one of the steps of `growth`.

    Args:
        recipe: The run's recipe.
        number: The round, from 1.
        step: The step, from 1.
    """
    first, last = recipe.pruning.gradual_from, recipe.last_growth
    before, after = sparsities(recipe)[number - 1 : number + 1]
    return cubic(before, after, (step - first) / (last - first))
