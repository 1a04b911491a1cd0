"""The sparsity from which on a run has a measurable loss, in one sentence: each round is compared with the dense one.

A loss is measurable if the whole interval of a round's score minus the dense score lies below 0, as in the report.
Pure functions.
"""

from core.run.results import LEADING, MEASURES

from .state import RoundView, RunView
from .text import changed, percent


def loss_sentence(view: RunView, *, short: bool = False) -> str:
    """The sparsity from which on the loss is measurable, under each measure.

    Args:
        view: A run.
        short: One measure only, for small screens.

    Returns:
        The sentence; "" before any pruned round was compared with the dense one.
    """
    rounds = _compared(view)
    if not rounds:
        return ""
    others = () if short else tuple(measure for measure in MEASURES if measure != LEADING)
    parts = [_of_measure(rounds, measure) for measure in (LEADING, *others)]
    return "Measurable loss against dense: " + "; ".join(parts) + "."


def first_loss(rounds: list[RoundView], measure: str) -> RoundView | None:
    """The first round of those at the end that all have a measurable loss.

    Args:
        rounds: Pruned rounds that were compared with the dense one, in order.
        measure: One of `MEASURES`.

    Returns:
        The round; None if the last round has no measurable loss.
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
