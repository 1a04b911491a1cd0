"""Selection: which weights go, by criterion, scope, budget and pattern together; and the update of the others where there is one.

    masks = prune(weights, masks, method, sparsity, seed, basis)

Every competing group loses exactly `round(share * size)` weights, ties by position: all weights (global), those of a matrix
(layerwise), of a row, or of m neighbours in a row (n:m). A block counts as one weight, with the mean score of its weights. What
was pruned stays pruned. Knows nothing of rounds or models.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ModelError
from ..families.roberta import CodeToText
from ..families.units import blocks as blocks_of
from ..recipe import Budget, Pattern, Pruning, Scope, pattern_of
from ..run.events import UnitScores
from ..spec.criteria import CRITERIA as IN_WORDS
from ..spec.criteria import Need, needs_of
from . import sparsegpt
from .basis import NOTHING, Basis
from .budgets import shares
from .criteria import CRITERIA, Criterion, make_good
from .latency import TimeBudget
from .masks import Masks, apply_masks, keep, prunable
from .unitmasks import keep_fast_units, keep_units, scores_in_words, unit_blocks, unit_scores


@dataclass(frozen=True)
class Method:
    """How weights are chosen."""

    criterion: str = "magnitude"
    scope: Scope = "layerwise"
    budget: Budget = "uniform"
    pattern: str = ""
    """"" for single weights, "2:4", or "4x4"."""

    @staticmethod
    def of(pruning: Pruning) -> "Method":
        """How a recipe chooses weights."""
        return Method(pruning.criterion, pruning.scope, pruning.budget, pruning.pattern)

    @property
    def needs(self) -> frozenset[Need]:
        """What has to be measured first."""
        return needs_of(self.criterion, self.budget)

    @property
    def updates(self) -> bool:
        """Whether the kept weights change, too."""
        return IN_WORDS[self.criterion].updates


def select(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    method: Method,
    sparsity: float,
    seed: int,
    basis: Basis = NOTHING,
) -> Masks:
    """The masks of a method.

    Args:
        weights: Parameter name -> weight, (rows, columns).
        masks: Parameter name -> bool mask of what is still kept; a missing one means all.
        method: How weights are chosen.
        sparsity: Pruned share afterwards, in [0, 1].
        seed: Of whatever the criterion draws.
        basis: What the method needs.

    Returns:
        New masks, parameter name -> bool tensor.

    Raises:
        ModelError: A pattern does not divide a matrix.
    """
    criterion, pattern = CRITERIA[method.criterion](seed, basis), pattern_of(method.pattern)
    if pattern is not None and pattern.kind == "n:m":
        check_divides(weights, method.pattern)
        return _by_parts(weights, masks, criterion, dict.fromkeys(weights, sparsity), pattern.across)
    if method.scope == "global" and pattern is None:
        return keep(weights, masks, criterion, "global", sparsity)
    budget: Budget = "uniform" if method.scope == "global" else method.budget
    own = shares(weights, masks, criterion, budget, sparsity, basis)
    if pattern is None:
        return _inside(weights, masks, criterion, method.scope, own)
    return _blocks(weights, masks, criterion, method, own, pattern)


def prune(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    method: Method,
    sparsity: float,
    seed: int,
    basis: Basis = NOTHING,
) -> Masks:
    """Prunes weights in place, and updates the kept ones where the criterion does; arguments and errors as for `select`.

    Returns:
        The masks, whose counts are those of `select`.
    """
    chosen = select(weights, masks, method, sparsity, seed, basis)
    if method.updates:
        return make_good(weights, chosen, basis, masks, _width(method))
    apply_masks(weights, chosen)
    return chosen


def prune_model(
    model: CodeToText, old: Masks, pruning: Pruning, sparsity: float, seed: int, basis: Basis, time: TimeBudget | None = None
) -> Masks:
    """Prunes single weights or whole units of a model, in place.

    Args:
        model: The model.
        old: Parameter name -> bool mask of what is still kept, on its device.
        pruning: The recipe's table: criterion, scope, budget, pattern, unit, and which matrices.
        sparsity: Pruned share of these afterwards, in [0, 1].
        seed: Of whatever the criterion draws.
        basis: What the criterion needs, of the parameters that `scored` names.
        time: A speed to reach in place of the sparsity, for a budget of latency.

    Returns:
        New masks of the matrices that the recipe prunes.

    Raises:
        ModelError: The model has no such weights or units, a pattern does not divide them, or the speed cannot be reached.
    """
    weights: dict[str, Tensor] = dict(prunable(model, pruning.prunable, pruning.unit))
    method = Method.of(pruning)
    if not pruning.masked:
        return {}
    if pruning.unit == "weight":
        return prune(weights, old, method, sparsity, seed, basis)
    blocks = unit_blocks(model.config, pruning.prunable, pruning.unit)
    together = {name: model.get_parameter(name) for name in scored(model, pruning)}
    criterion = CRITERIA[pruning.criterion](seed, basis)
    if time is None:
        masks = keep_units(together, old, blocks, criterion, pruning.unit, pruning.scope, sparsity)
    else:
        masks = keep_fast_units(together, old, blocks, criterion, blocks_of(model.config.sizes), time)
    if method.updates:
        return make_good(weights, masks, basis, old, None)
    apply_masks(weights, masks)
    return masks


def scores_of_units(
    model: CodeToText, old: Masks, pruning: Pruning, seed: int, basis: Basis
) -> Callable[[Masks], dict[str, UnitScores]]:
    """Scores the units of a model before they are pruned, and tells the scores once masks are chosen.

    Args:
        model: As for `prune_model`, to which all arguments go afterwards.
        old: The same.
        pruning: The same.
        seed: The same.
        basis: The same.

    Returns:
        Takes the new masks; returns block -> scores, {} where single weights are pruned.

    Raises:
        ModelError: The model has no such units.
    """
    if pruning.masked in ("weight", ""):
        return lambda masks: {}
    blocks = unit_blocks(model.config, pruning.prunable, pruning.unit)
    together = {name: model.get_parameter(name) for name in scored(model, pruning)}
    scores = unit_scores(together, old, blocks, CRITERIA[pruning.criterion](seed, basis))
    return lambda masks: scores_in_words(scores, blocks, masks)


def scored(model: CodeToText, pruning: Pruning) -> list[str]:
    """The parameters that a recipe's criterion scores: of units, all that go with them, if it need not look at their inputs.

    Raises:
        ModelError: The model has none of them.
    """
    masked = list(prunable(model, pruning.prunable, pruning.unit))
    if pruning.masked in ("weight", "") or Method.of(pruning).needs & {"inputs", "hessians"}:
        return masked
    blocks = unit_blocks(model.config, pruning.prunable, pruning.unit)
    together = [name for block in blocks for name in (*(rows.tensor for rows in block.rows), block.columns)]
    return list(dict.fromkeys([*masked, *together]))


def _width(method: Method) -> int | None:
    """The parts of a block inside which SparseGPT may still choose anew, as `sparsegpt.solve` takes it."""
    pattern = pattern_of(method.pattern)
    if pattern is None:
        return sparsegpt.BLOCK if method.scope == "row" else 0
    return pattern.across if pattern.kind == "n:m" and sparsegpt.BLOCK % pattern.across == 0 else None


def _inside(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], criterion: Criterion, scope: Scope, own: Mapping[str, float]
) -> Masks:
    if scope == "row":
        return _by_parts(weights, masks, criterion, own, None)
    chosen: Masks = {}
    for name, weight in weights.items():
        chosen |= keep({name: weight}, masks, criterion, "global", own[name])
    return chosen


def _by_parts(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    criterion: Criterion,
    own: Mapping[str, float],
    width: int | None,
) -> Masks:
    """Prunes inside parts of `width` neighbours, None = whole rows, each by its matrix's share."""
    chosen: Masks = {}
    for name, weight in weights.items():
        part = width or weight.shape[1]
        scores = criterion(name, weight).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf).reshape(-1, part)
        gone = torch.zeros(len(scores), 1, dtype=torch.int64, device=scores.device)
        if name in masks:
            kept = masks[name].reshape(-1, part)
            scores, gone = scores.masked_fill(~kept, -math.inf), (~kept).sum(1, keepdim=True)
        order = scores.argsort(dim=1, stable=True)
        ranks = torch.empty_like(order).scatter_(1, order, torch.arange(part, device=order.device).expand_as(order))
        mask = (ranks >= gone.clamp_min(round(own[name] * part))).view(weight.shape)
        chosen[name] = mask & masks[name] if name in masks else mask
    return chosen


def _blocks(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    criterion: Criterion,
    method: Method,
    own: Mapping[str, float],
    pattern: Pattern,
) -> Masks:
    """Prunes whole blocks: each is one weight of a smaller matrix, kept as long as one of its weights is."""
    sides = pattern.down, pattern.across
    check_divides(weights, method.pattern)
    means = {name: F.avg_pool2d(criterion(name, weight)[None], sides)[0] for name, weight in weights.items()}
    kept = {name: F.max_pool2d(mask[None].float(), sides)[0] > 0 for name, mask in masks.items() if name in weights}

    def mean_score(name: str, scores: Tensor) -> Tensor:
        return scores

    if method.scope == "global":
        small = keep(means, kept, mean_score, "global", next(iter(own.values())))  # uniform: they are all the same
    else:
        small = _inside(means, kept, mean_score, method.scope, own)
    grown = {name: mask.repeat_interleave(sides[0], 0).repeat_interleave(sides[1], 1) for name, mask in small.items()}
    return {name: mask & masks[name] if name in masks else mask for name, mask in grown.items()}


def check_divides(weights: Mapping[str, Tensor], text: str) -> None:
    """Refuses a pattern that does not divide every matrix.

    Args:
        weights: Parameter name -> weight.
        text: The pattern, "" for single weights.

    Raises:
        ModelError: Names the first matrix.
    """
    pattern = pattern_of(text)
    if pattern is None:
        return
    down = pattern.down if pattern.kind == "block" else 1
    for name, weight in weights.items():
        if weight.shape[0] % down or weight.shape[1] % pattern.across:
            raise ModelError(
                f"pruning.pattern = {text!r} does not divide {name}, which has {weight.shape[0]} rows of {weight.shape[1]}.",
                "Choose a pattern whose sides divide them.",
            )
