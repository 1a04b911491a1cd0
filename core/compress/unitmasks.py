"""Masks of whole units: heads, neurons and layers go as one, by the criterion's scores of the weights that go together.

A unit's score is the mean over its weights, so that units of different kinds compete by score per weight. In each competing group
the lowest go until the pruned share of the weights under masks is as near to the wanted sparsity as whole units allow; where all
cost the same, that is exactly `round(sparsity * n)` units. Ties go by position. Masks stay masks of weights: what holds, shows
and stores them need not know of units.

Knows nothing of rounds, nor how units are removed (`shrink`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ModelError
from ..families.config import CodeToTextConfig
from ..families.units import Block, Kind, Rows, pruned_blocks
from ..recipe import PrunablePreset, Scope, Unit, masked_unit
from ..run.events import UnitScores
from ..spec.layout import is_prunable
from .criteria import Criterion
from .latency import TimeBudget, counts_within
from .masks import Masks
from .shrink import row_slice, silent_units, unvarying_units

KINDS: dict[str, tuple[Kind, ...]] = {
    "head": ("head",),
    "neuron": ("neuron",),
    "head+neuron": ("head", "neuron"),
    "layer": ("head", "neuron"),
}
"""Unit in the recipe, without the vocabulary -> what has to be masked for it."""


LISTED = 64
"""Most units of a block whose scores are listed one by one; of neurons there are thousands."""


@dataclass(frozen=True)
class _Candidates:
    """Units that compete, in the order of their ties."""

    scores: Tensor
    """(units,) float64; a score that is not a number counts as the largest."""
    costs: Tensor
    """(units,) int64: weights under masks."""
    gone: Tensor
    """(units,) bool: pruned before."""
    sums: Tensor
    """(units,) float64: the scores of their weights, summed instead of averaged."""


def unit_blocks(config: CodeToTextConfig, preset: PrunablePreset, unit: Unit) -> list[Block]:
    """The blocks whose units a recipe prunes.

    Raises:
        ModelError: The model has none of them.
    """
    blocks = pruned_blocks(config.sizes, preset, KINDS[masked_unit(unit)])
    if not blocks:
        raise ModelError(f'The model has no units that prunable = "{preset}" and unit = "{unit}" name.', "Choose other ones.")
    return blocks


def keep_units(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    blocks: Sequence[Block],
    criterion: Criterion,
    unit: Unit,
    scope: Scope,
    sparsity: float,
) -> Masks:
    """Prunes the units with the lowest scores.

    Args:
        weights: Parameter name -> weight or bias; those that the criterion can score. Matrices under masks must be among them.
        masks: Parameter name -> bool mask of what is still kept; a missing one means all. What is pruned stays pruned.
        blocks: From `unit_blocks`.
        criterion: Gives a weight its scores.
        unit: What goes as one.
        scope: "global" lets all units compete, "layerwise" those of one block.
        sparsity: Pruned share of the weights under masks afterwards, in [0, 1].

    Returns:
        New masks of all matrices of these blocks, parameter name -> bool tensor.
    """
    known = [_candidates(block, weights, masks, criterion) for block in blocks]
    if masked_unit(unit) == "layer":
        gone = _gone_layers(blocks, known, sparsity)
    elif scope == "global":
        gone = list(torch.split(_lowest(_joined(known), sparsity), [block.count for block in blocks]))
    else:
        gone = [_lowest(candidates, sparsity) for candidates in known]
    kept: Masks = {}
    for block, pruned in zip(blocks, gone, strict=True):
        kept |= _masks(block, weights, masks, pruned)
    return kept


def keep_fast_units(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    blocks: Sequence[Block],
    criterion: Criterion,
    every: Sequence[Block],
    time: TimeBudget,
) -> Masks:
    """Prunes units so that the model is so many times as fast, and the summed score of what goes is the least.

    Args:
        weights: As for `keep_units`.
        masks: As for `keep_units`.
        blocks: From `unit_blocks`.
        criterion: Gives a weight its scores.
        every: All blocks of the model.
        time: The speed, and what units cost.

    Returns:
        As `keep_units`.

    Raises:
        ModelError: Without any of these units the model would not be as fast.
    """
    known = [_candidates(block, weights, masks, criterion) for block in blocks]
    # Losses count from the lowest score there is: a criterion may score below 0, and what goes must never seem to be a gain.
    lowest = min(float(each.sums.min()) for each in known)
    orders = [each.sums.masked_fill(each.gone, -math.inf).sort(stable=True).indices for each in known]
    losses = []
    for each, order in zip(known, orders, strict=True):
        own = (each.sums - min(0.0, lowest)).masked_fill(each.gone, 0.0)[order]
        losses.append([0.0, *own.clamp_min(1e-30).masked_fill(each.gone[order], 0.0).cumsum(0).tolist()])
    names = {block.name for block in blocks}
    counts = counts_within(blocks, losses, [block for block in every if block.name not in names], time)
    kept: Masks = {}
    for block, order, count in zip(blocks, orders, counts, strict=True):
        pruned = torch.zeros(block.count, dtype=torch.bool)
        pruned[order[: block.count - count]] = True
        kept |= _masks(block, weights, masks, pruned)
    return kept


def unit_scores(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], blocks: Sequence[Block], criterion: Criterion
) -> dict[str, tuple[Tensor, Tensor]]:
    """What a criterion gives the units of each block, before any of them is pruned.

    Args:
        weights: As for `keep_units`.
        masks: As for `keep_units`.
        blocks: From `unit_blocks`.
        criterion: Gives a weight its scores.

    Returns:
        Block's name -> scores, (units,) float64, means over a unit's weights; and which are pruned already, (units,) bool.
    """
    known = {block.name: _candidates(block, weights, masks, criterion) for block in blocks}
    return {name: (each.scores, each.gone) for name, each in known.items()}


def scores_in_words(
    scores: Mapping[str, tuple[Tensor, Tensor]], blocks: Sequence[Block], masks: Mapping[str, Tensor]
) -> dict[str, UnitScores]:
    """The scores of units in the form of the journal, once masks are chosen by them.

    Args:
        scores: From `unit_scores`.
        blocks: The same blocks.
        masks: The new masks.
    """
    words: dict[str, UnitScores] = {}
    for block in blocks:
        own, before = scores[block.name]
        gone = silent_units(block, masks) | unvarying_units(block, masks)
        each = [score if known else None for score, known in zip(own.tolist(), (~before & own.isfinite()).tolist(), strict=True)]
        listed = block.count <= LISTED
        words[block.name] = UnitScores(
            kept=int((~gone).sum()),
            count=block.count,
            kept_scores=_spread(own[~gone]),
            pruned_scores=_spread(own[gone & ~before]),
            each=each if listed else [],
            pruned=gone.nonzero().flatten().tolist() if listed else [],
        )
    return words


def _spread(scores: Tensor) -> list[float]:
    """Lowest, middle and highest of the scores that are numbers."""
    finite = scores[scores.isfinite()]
    return [float(finite.min()), float(finite.median()), float(finite.max())] if finite.numel() else []


def masked_matrices(block: Block) -> list[str]:
    """The matrices of a block that carry masks: a packed one of query, key and value does not."""
    return [name for name in block.matrices if is_prunable(name, "all")]


def _candidates(block: Block, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], criterion: Criterion) -> _Candidates:
    total, count = torch.zeros(block.count, dtype=torch.float64), 0
    for rows in (*block.rows, Rows(block.columns)):
        if rows.tensor in weights:
            scores = criterion(rows.tensor, weights[rows.tensor]).detach().double().cpu()
            lines = scores.T if rows.tensor == block.columns else scores  # (all lines, ...)
            for part in rows.parts:
                own = lines[row_slice(block, rows, part, len(lines))].reshape(block.count, -1)
                total, count = total + own.sum(1), count + own.shape[1]
    each = sum(weights[name].numel() for name in masked_matrices(block)) // block.count
    scores = (total / max(1, count)).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    gone = silent_units(block, masks) | unvarying_units(block, masks)
    return _Candidates(scores, torch.full((block.count,), each), gone, scores * max(1, count))


def _joined(groups: Sequence[_Candidates]) -> _Candidates:
    return _Candidates(*(torch.cat([getattr(group, part) for group in groups]) for part in ("scores", "costs", "gone", "sums")))


def _gone_layers(blocks: Sequence[Block], known: Sequence[_Candidates], sparsity: float) -> list[Tensor]:
    """For each block, all of its units or none."""
    layers = list(dict.fromkeys((block.part, block.layer) for block in blocks))
    members = [
        [each for block, each in zip(blocks, known, strict=True) if (block.part, block.layer) == layer] for layer in layers
    ]
    costs = torch.tensor([sum(int(each.costs.sum()) for each in group) for group in members])
    sums = torch.stack([torch.stack([(each.scores * each.costs).sum() for each in group]).sum() for group in members])
    gone = torch.tensor([all(bool(each.gone.all()) for each in group) for group in members])
    lost = dict(zip(layers, _lowest(_Candidates(sums / costs, costs, gone, sums), sparsity).tolist(), strict=True))
    return [each.gone | lost[block.part, block.layer] for block, each in zip(blocks, known, strict=True)]


def _lowest(units: _Candidates, sparsity: float) -> Tensor:
    """The units that are pruned afterwards, (units,) bool."""
    order = units.scores.masked_fill(units.gone, -math.inf).sort(stable=True).indices
    costs, total = units.costs[order], int(units.costs.sum())
    if int(costs.min()) == int(costs.max()):
        count = round(sparsity * len(costs))
    else:
        spent = torch.cat([torch.zeros(1, dtype=torch.int64), costs.cumsum(0)])
        count = int((spent.double() - sparsity * total).abs().argmin())
    pruned = units.gone.clone()
    pruned[order[:count]] = True
    return pruned


def _masks(block: Block, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], pruned: Tensor) -> Masks:
    kept: Masks = {}
    lines = ~pruned.repeat_interleave(block.width)  # (all lines,)
    for name in masked_matrices(block):
        before = masks[name] if name in masks else torch.ones_like(weights[name], dtype=torch.bool)
        kept_lines = lines.to(before.device)
        kept[name] = before & (kept_lines if name == block.columns else kept_lines[:, None])
    return kept
