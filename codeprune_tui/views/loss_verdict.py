"""From which sparsity on a run has lost something that can be measured, in one sentence: each round held against the dense one.

A loss is measurable where the whole interval of a round's score less the dense one lies below 0, as the report has it.
Pure functions.
"""

from core.run.results import MEASURES

from .state import RoundView, RunView
from .text import changed, percent

LEADING = "chrf"
"""The measure that is named first, and alone where there is little room."""


def loss_sentence(view: RunView, *, short: bool = False) -> str:
    """From where on the loss is measurable, under each measure.

    Args:
        view: A run.
        short: One measure only, for small screens.

    Returns:
        The sentence; "" before any pruned round was held against the dense one.
    """
    rounds = _compared(view)
    if not rounds:
        return ""
    others = () if short else tuple(measure for measure in MEASURES if measure != LEADING)
    parts = [_of_measure(rounds, measure) for measure in (LEADING, *others)]
    return "Measurable loss against dense: " + "; ".join(parts) + "."


def first_loss(rounds: list[RoundView], measure: str) -> RoundView | None:
    """The round from which on every one has a measurable loss.

    Args:
        rounds: Pruned rounds that were held against the dense one, in order.
        measure: One of `MEASURES`.

    Returns:
        The first of them; None where the last one has no measurable loss.
    """
    first = None
    for round_view in reversed(rounds):
        change = round_view.against_dense.get(measure)
        if change is None or not change.high < 0:
            break
        first = round_view
    return first


def _compared(view: RunView) -> list[RoundView]:
    return [view.by_round[number] for number in sorted(view.by_round) if view.by_round[number].against_dense]


def _of_measure(rounds: list[RoundView], measure: str) -> str:
    first = first_loss(rounds, measure)
    if first is None:
        last = rounds[-1]
        return f"{MEASURES[measure]} none up to {percent(last.sparsity)}, {changed(last.against_dense.get(measure))}"
    return f"{MEASURES[measure]} from {percent(first.sparsity)} on, {changed(first.against_dense.get(measure))}"
