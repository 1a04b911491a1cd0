"""The masks of a round: what the criterion needs is measured, the weights are chosen, and both are journalled.

    basis = measure(model, calibration rows)
    masks = prune_model(model, masks, pruning, sparsity, seed, basis)

Equal weights give equal masks (what is measured on a GPU only with `training.deterministic`), so a run that is killed while it
measures measures again and ends with the same bits; where masks took a measurement, they are saved before the round's first step.
Knows nothing of how a round trains.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..compress import figures
from ..compress.basis import Basis, measure
from ..compress.latency import TimeBudget
from ..compress.masks import Masks, collapsed, load_masks, sparsity_of
from ..compress.output_errors import output_errors
from ..compress.selection import Method, prune_model, scored, scores_of_units
from ..evaluate.calibration import drawn
from ..families.weightfiles import read_tensors
from ..regularfile import check_regular
from ..run.events import Measuring, Pruned, UnitScores, Warned
from ..seeds import derive_seed
from ..spec.schedule import grown, growth, sparsities, speedups
from . import leftovers
from .checkpoint import load_tensors, set_weights, usable
from .objectives import WriteComments
from .round import Round
from .session import STEP_EVENT_S
from .timetable import timetable


def make_masks(round_: Round, *, announce: bool) -> Masks:
    """A round's masks, made from the weights that the previous round picked, which the model has afterwards, pruned.

    Args:
        round_: The round.
        announce: Whether the journal lacks them; not so when a round is resumed that was saved without its masks.

    Returns:
        Parameter name -> bool mask on the model's device; equal arguments give equal masks, as far as the measurements are equal.

    Raises:
        StopRequested: On command, while the basis is measured; nothing has been changed on disk.
        RunError: The previous round is damaged.
    """
    session, model, number = round_.session, round_.material.model, round_.number
    if number == 0:
        masks = {name: mask.to(model.device) for name, mask in round_.material.masks.items()}
        if masks and announce:
            _announce(round_, masks, 0.0)
        return masks
    recipe, started, before = session.recipe, session.clock(), session.paths.round(number - 1)
    with usable(before / "model.safetensors", f"Restore it; or delete {before} and resume, and that round is done again."):
        check_regular(before / "model.safetensors")
        set_weights(model, round_.material.fit(read_tensors(before / "model.safetensors")))
    old = {name: mask.to(model.device) for name, mask in load_masks(before / "masks.safetensors").items()}
    if growth(recipe):
        return old
    basis = _basis(round_, lambda: _movements(round_), errors=True)
    weights = {name: model.get_parameter(name).detach().clone() for name in basis.hessians}
    seed = derive_seed(recipe.training.seed, "criterion", number)
    # A model that was pruned elsewhere may have masks on matrices that this preset leaves alone; those stay as they are.
    time = TimeBudget(timetable(round_), speedups(recipe)[number]) if recipe.pruning.budget == "latency" else None
    scores_of = scores_of_units(model, old, recipe.pruning, seed, basis)
    masks = old | prune_model(model, old, recipe.pruning, sparsities(recipe)[number], seed, basis, time)
    if announce:
        errors = output_errors(weights, {name: model.get_parameter(name).detach() for name in weights}, basis.hessians)
        _announce(round_, masks, session.clock() - started, errors, scores_of(masks))
        if gone := figures.collapse(masks, old, round_.heads.of):
            session.emit(Warned(message=f"Round {number}: nothing is left of {gone}."))
    return masks


def movements(round_: Round) -> dict[str, Tensor] | None:
    """What a training has to sum up for the next masks, at 0: None where the criterion is not about movement."""
    pruning = round_.session.recipe.pruning
    if pruning.criterion != "movement" or round_.session.recipe.rounds == 0:
        return None
    model = round_.material.model
    return {name: torch.zeros_like(model.get_parameter(name)) for name in scored(model, pruning)}


@dataclass(frozen=True)
class GrowMasks(WriteComments):
    """Writing comments while masks grow: the objective of a round with gradual pruning."""

    grow: Callable[[int, Masks], Masks] = lambda step, masks: masks

    def masks(self, step: int, masks: Masks) -> Masks:
        """As `Objective.masks`."""
        return self.grow(step, masks)


def growing(round_: Round, sums: dict[str, Tensor] | None) -> Callable[[int, Masks], Masks] | None:
    """What lets a round's masks grow inside its training; None where they don't.

    Args:
        round_: The round.
        sums: The movements of its training, which change while it trains.
    """
    steps = set(growth(round_.session.recipe)) if round_.number else set()
    return partial(_grow, round_, steps, sums) if steps else None


def _grow(round_: Round, steps: set[int], sums: dict[str, Tensor] | None, step: int, masks: Masks) -> Masks:
    if step not in steps:
        return masks
    return round_.session.ranks.made_once(round_.material.model, lambda: _grown(round_, sums, step, masks))


def _grown(round_: Round, sums: dict[str, Tensor] | None, step: int, masks: Masks) -> Masks:
    session, model, number = round_.session, round_.material.model, round_.number
    recipe, started = session.recipe, session.clock()
    basis = _basis(round_, lambda: sums or {}, step)
    seed = derive_seed(recipe.training.seed, "criterion", number, step)
    masks = masks | prune_model(model, masks, recipe.pruning, grown(recipe, number, step), seed, basis)
    _announce(round_, masks, session.clock() - started)
    return masks


def _basis(round_: Round, summed: Callable[[], dict[str, Tensor]], step: int = 0, *, errors: bool = False) -> Basis:
    """Measures what the criterion needs, on calibration rows or from the sums of a training, and obeys meanwhile.

    Args:
        round_: The round.
        summed: Gives the sums of a training, {} where there are none.
        step: The step where the round stands.
        errors: Whether to measure what the errors of outputs need, too, where anything is measured.
    """
    session, material = round_.session, round_.material
    pruning, seed = session.recipe.pruning, session.recipe.training.seed
    sums = summed() if pruning.criterion == "movement" else {}
    needs = Method.of(pruning).needs - ({"gradients"} if sums else set()) if pruning.masked else set()
    if errors and needs:
        needs |= {"hessians"}
    rows = drawn(material.train, pruning.calibration_rows, seed) if needs else []
    reported = session.clock()

    def after_row(done: int) -> None:
        nonlocal reported
        if done in (1, len(rows)) or session.clock() - reported >= STEP_EVENT_S:
            reported = session.clock()
            session.emit(Measuring(round=round_.number, done=done, rows=len(rows), criterion=pruning.criterion))
        session.breathe(round_.number, step, lambda: None)  # what is on disk is the checkpoint

    measured = measure(material.model, rows, scored(material.model, pruning), needs, after_row)
    return Basis(measured.inputs, measured.hessians, measured.gradients, measured.squared_gradients, sums)


def _movements(round_: Round) -> dict[str, Tensor]:
    """The sums of the previous round's training; {} where it did not train."""
    before = round_.session.paths.round(round_.number - 1)
    path = before / leftovers.MOVEMENTS
    recorded = leftovers.recorded_digests(round_.session.paths, round_.number - 1).get(leftovers.MOVEMENTS)
    if recorded is None:
        return {}
    leftovers.check_file(path, recorded, f"what round {round_.number} is pruned by")
    _, sums = load_tensors(path)
    return {name: each.to(round_.material.model.device) for name, each in sums.items()}


def _announce(
    round_: Round,
    masks: Masks,
    seconds: float,
    errors: Mapping[str, float] | None = None,
    units: Mapping[str, UnitScores] | None = None,
) -> None:
    session, number = round_.session, round_.number
    sparsity, left, total = round_.pruned(round_.own_masks(masks))
    session.emit(
        Pruned(
            round=number,
            sparsity=sparsity,
            kept=left,
            total=total,
            matrices={name: round(sparsity_of({name: mask}), 6) for name, mask in round_.all_masks(masks).items()},
            seconds=round(seconds, 3),
            unit=session.recipe.pruning.unit,
            before=sparsity_of(round_.material.masks),
            output_errors=dict(errors or {}),
            unit_scores=dict(units or {}),
            entries=None if round_.material.smaller is None else round_.material.smaller.entries,
        )
    )
    if gone := collapsed(masks):
        session.emit(Warned(message=f"Round {number}: nothing is left of {', '.join(gone)}."))
