"""What the controls say: does the ticket matter, or only its mask, or only each matrix's share?

A control differs from a method in one key of the recipe: its weights are drawn anew instead of rewound, or its masks are drawn or
dealt out at random, or made the wrong way round. For each such pair among the runs, the method minus its control is judged by the
rule of all findings. Pure functions of a `Study`.

Sources: Frankle and Carbin 2019 (random reinitialisation); Su et al. 2020, Sanity-Checking Pruning Methods (shuffled masks).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from ..recipe import Recipe
from .experiments import without_seed
from .findings import Finding, compare, finding_of
from .runs import Group, Study


@dataclass(frozen=True)
class Control:
    """A kind of control."""

    key: str
    table: str
    """The table of the recipe."""
    name: str
    """The key in it."""
    value: str
    """Its value in the control."""
    claim: str
    """What holds where the method beats its control."""


CONTROLS = (
    Control("ticket", "rewind", "to", "random", "The values that a ticket keeps matter: weights drawn anew do worse"),
    Control(
        "share", "pruning", "criterion", "shuffled", "Which weights of a matrix go matters, not only how many of each matrix do"
    ),
    Control("mask", "pruning", "criterion", "random", "The masks matter: masks drawn at random do worse"),
    Control("order", "pruning", "criterion", "magnitude-inverted", "The order matters: the wrong way round does worse"),
)


def control_findings(study: Study) -> list[Finding]:
    """The verdict on each pair of a method and its control; [] where no run is a control.

    Args:
        study: The runs; curves whose recipe cannot be read are left out.
    """
    judged = []
    for control in CONTROLS:
        for method, other in _pairs(study, control):
            rule = f"{method.title} minus {other.title}, mean over all pruned sparsities: above 0"
            compared = compare(method, other, lambda level: level > 0)
            judged.append(finding_of(f"{control.key}: {method.key}", control.claim, rule, compared))
    return judged


def _pairs(study: Study, control: Control) -> Iterator[tuple[Group, Group]]:
    for method, other in permutations(study.groups, 2):
        ours, theirs = (group.runs[0].recipe for group in (method, other))
        if ours is None or theirs is None or not ours.rounds:
            continue
        values = tuple(getattr(getattr(recipe, control.table), control.name) for recipe in (ours, theirs))
        if values[1] != control.value or values[0] == control.value or not _is_method(control, values[0]):
            continue
        if _without(ours, control) == _without(theirs, control):
            yield method, other


def _is_method(control: Control, value: str) -> bool:
    """Whether a value of the key is no control itself; the share that a shuffled mask keeps is magnitude's."""
    if control.name == "criterion" and value in {each.value for each in CONTROLS}:
        return False
    return control.key != "share" or value == "magnitude"


def _without(recipe: Recipe, control: Control) -> str:
    """What a recipe asks for beside the key of a control, the order that follows from it, and its seed."""
    order = recipe.order
    section = getattr(recipe, control.table).model_copy(update={control.name: ""})
    changed = recipe.model_copy(update={control.table: section})
    pruning = changed.pruning.model_copy(update={"order": order})
    return without_seed(changed.model_copy(update={"pruning": pruning}))
