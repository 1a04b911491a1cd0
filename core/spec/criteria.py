"""The table of criteria: names, what they do, and what they have to measure before they can score a weight.

Torch-free, so that form, help and legends can list them at once; the functions stand in `core.compress.criteria`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..recipe import Recipe

Need = Literal["inputs", "hessians", "gradients", "squared gradients"]
"""What a criterion measures on calibration rows, matrix by matrix."""

CALIBRATION_SPLIT = "train"
"""Split that calibration rows are drawn from; what is scored must be another one."""


@dataclass(frozen=True)
class Described:
    """A criterion in words."""

    score: str
    """Its score as a formula."""
    source: str
    """The paper that it follows."""
    needs: Need | None = None
    """None where it sees the weights alone."""
    control: bool = False
    """Whether it stands for chance, or for the wrong way round, rather than for a method."""
    updates: bool = False
    """Whether it changes the kept weights, too."""


CRITERIA: dict[str, Described] = {
    "magnitude": Described("|w|", "Han et al. 2015"),
    "random": Described("drawn", "none", control=True),
    "wanda": Described("|w| times the norm of its input", "Sun et al. 2023", "inputs"),
    "sparsegpt": Described("w² over the inverse Hessian's diagonal", "Frantar & Alistarh 2023", "hessians", updates=True),
    "taylor": Described("|w · gradient|", "Molchanov et al. 2019", "gradients"),
    "fisher": Described("w² times the mean squared gradient", "Theis et al. 2018", "squared gradients"),
    "movement": Described("−w · gradient, summed", "Sanh et al. 2020", "gradients"),
    "magnitude-inverted": Described("−|w|", "none", control=True),
    "shuffled": Described("|w| of another weight of the same matrix", "Su et al. 2020", control=True),
}
"""Name in the recipe -> the criterion in words."""


def method_words(recipe: Recipe) -> list[str]:
    """How a recipe prunes, in words for names and legends: criterion and scope, and what is not as usual.

    Args:
        recipe: Any recipe; one that does not prune has none.
    """
    if not recipe.rounds:
        return []
    facts, usual = _facts(recipe), _facts(Recipe())
    return [word for key, word in facts.items() if word and (key in ("criterion", "scope") or word != usual[key])]


def differing_words(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """What sets runs apart in how they prune, in words for a legend; "" for each where nothing does.

    Args:
        recipes: Run -> its recipe; runs that do not prune are left out.
    """
    facts = {run: _facts(recipe) for run, recipe in recipes.items() if recipe.rounds}
    differ = [key for key in FACTS if len({each[key] for each in facts.values()}) > 1]
    # A scope can be global, too.
    named = {run: {**each, "budget": each["budget"].replace("global", "global budget")} for run, each in facts.items()}
    return {run: ", ".join(each[key] for key in differ if each[key]) for run, each in named.items()}


FACTS = ("criterion", "scope", "unit", "budget", "pattern", "prunable", "growth", "rewind")
"""What is said of a way to prune, in this order."""


def _facts(recipe: Recipe) -> dict[str, str]:
    """How a recipe prunes: one word for each of `FACTS`, "" where there is nothing to say."""
    pruning = recipe.pruning
    return {
        **{key: str(getattr(pruning, key)) for key in FACTS[:-2]},
        "growth": "gradual" if pruning.gradual_every else "",
        "rewind": "drawn anew" if recipe.rewind.to == "random" else "",
    }


def needs_of(criterion: str, budget: str = "uniform") -> frozenset[Need]:
    """What has to be measured on calibration rows for a criterion and a budget; empty where the weights are enough.

    Args:
        criterion: A key of `CRITERIA`.
        budget: How sparsity is shared out over the matrices; "owl" looks at their inputs.
    """
    own = CRITERIA[criterion].needs
    needs: set[Need] = {own} if own is not None else set()
    if budget == "owl":
        needs.add("inputs")
    return frozenset(needs)
