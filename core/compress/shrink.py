"""Shrinks a model: heads and neurons whose weights are masked whole are really removed, so that its matrices get smaller.

A plan says which lines of which tensor stay. It is read off the masks once, and everything that belongs to the weights goes the
same way: the model, the weights to rewind to, the optimizer's moments, the masks that are left. A unit is removed where nothing
of it reaches its output (all its columns are pruned), or where it says the same of every text (its value rows are pruned): what
it says then is added to the bias, so that the shrunk model computes what the masked one does. A layer that loses all its units
keeps norms and biases, which the masked model computes as well. Entries of the vocabulary go by a plan, too, which says which
rows of the embeddings stay.

Knows nothing of criteria, rounds, tokenizers or files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..families.checkpoint import WORDS
from ..families.config import CodeToTextConfig
from ..families.encoder import ACTIVATIONS
from ..families.roberta import OUTPUT_LAYER, CodeToText, outline
from ..families.units import Block, Rows, blocks
from ..recipe import VOCABULARY
from .masks import Masks


@dataclass(frozen=True)
class Plan:
    """What stays of a model."""

    config: CodeToTextConfig
    """The sizes afterwards."""
    lines: Mapping[str, tuple[int, Tensor]]
    """Tensor name -> axis, and the lines along it that stay, int64; tensors that stay whole are not named."""
    constant: Mapping[str, Tensor]
    """Name of a matrix that reads units -> its columns of removed units that say something, the same of every text."""
    kept: Mapping[str, tuple[int, int]]
    """Name of a block with units -> how many stay, of how many; every block is named; in a vocabulary's plan, that alone."""

    def cut(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cuts tensors that are shaped as the weights are: weights, moments, masks.

        Args:
            tensors: Parameter name -> tensor; 0-dimensional ones stay as they are.

        Returns:
            Parameter name -> new tensor.
        """
        return {name: self._cut(name, tensor) for name, tensor in tensors.items()}

    def _cut(self, name: str, tensor: Tensor) -> Tensor:
        if name not in self.lines or tensor.dim() == 0:
            return tensor
        axis, kept = self.lines[name]
        return tensor.index_select(axis, kept.to(tensor.device)).contiguous()

    @property
    def removes(self) -> bool:
        """Whether anything is removed."""
        return bool(self.lines)


def plan(config: CodeToTextConfig, masks: Mapping[str, Tensor]) -> Plan:
    """Reads off masks what can be removed.

    Args:
        config: The model's sizes.
        masks: Parameter name -> bool mask, 1 = kept; a missing one means that all is kept.
    """
    lines: dict[str, tuple[int, Tensor]] = {}
    constant: dict[str, Tensor] = {}
    kept: dict[str, tuple[int, int]] = {}
    left: dict[str, list[int]] = {}
    for block in blocks(config.sizes):
        silent, unvarying = silent_units(block, masks), unvarying_units(block, masks)
        staying = ~(silent | unvarying)
        kept[block.name] = (int(staying.sum()), block.count)
        left.setdefault(block.field, []).append(int(staying.sum()))
        if bool(staying.all()):
            continue
        for rows in block.rows:
            lines[rows.tensor] = 0, _row_numbers(block, rows, staying)
        lines[block.columns] = 1, _spread(block, staying).nonzero().flatten()
        if bool((folded := unvarying & ~silent).any()):
            constant[block.columns] = _spread(block, folded).nonzero().flatten()
    changed = {field: counts for field, counts in left.items() if counts != _counts(config, field)}
    return Plan(replace(config, **changed), lines, constant, kept)  # type: ignore[arg-type]  # fields of lists of numbers


def vocabulary_plan(config: CodeToTextConfig, entries: Sequence[int]) -> Plan:
    """The plan of a vocabulary that loses entries.

    Args:
        config: The model's sizes.
        entries: Ids of those that stay, ascending.
    """
    rows = {WORDS: (0, torch.tensor(entries, dtype=torch.int64))} if len(entries) < config.vocab_size else {}
    return Plan(replace(config, vocab_size=len(entries)), rows, {}, {VOCABULARY: (len(entries), config.vocab_size)})


def cut_vocabulary(model: CodeToText, small: Plan) -> None:
    """Takes entries out of a model, in place: out of its embeddings, and so out of its output layer, which is tied to them.

    Args:
        model: In floating point.
        small: From `vocabulary_plan`.
    """
    model.set_words(small.cut({WORDS: model.get_parameter(WORDS).detach()})[WORDS])


def shrink(model: CodeToText, masks: Mapping[str, Tensor]) -> tuple[CodeToText, Masks]:
    """The model without the units that masks remove whole; it computes what the masked model does.

    Args:
        model: In floating point; it stays as it is. Its pruned weights need not be 0.
        masks: Parameter name -> bool mask, 1 = kept.

    Returns:
        A smaller model on the same device, in evaluation mode, and the masks of what is pruned inside the units that stay.
    """
    small = plan(model.config, masks)
    state = shrink_weights({name: weight.detach() for name, weight in model.named_parameters()}, masks, small)
    smaller = outline(small.config)
    smaller.load_state_dict(state, strict=False, assign=True)
    smaller.tie()
    return smaller.eval(), {name: mask for name, mask in small.cut(masks).items() if mask.numel() and not bool(mask.all())}


def shrink_weights(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], small: Plan) -> dict[str, Tensor]:
    """The weights of a shrunk model, from the model's own or from those of its rewind point.

    Args:
        weights: Parameter name -> weight; they stay as they are. The output layer, which is tied, is left out.
        masks: Parameter name -> bool mask.
        small: The masks' plan.

    Returns:
        Parameter name -> new tensor.
    """
    masked = {
        name: weight * masks[name].to(weight.device) if name in masks else weight.clone()
        for name, weight in weights.items()
        if name != f"{OUTPUT_LAYER}.weight"
    }
    for block in blocks(small.config.sizes):
        if block.columns in small.constant:
            _fold(masked, block, small)
    return small.cut(masked)


def silent_units(block: Block, masks: Mapping[str, Tensor]) -> Tensor:
    """The units of which nothing reaches the output, (units,) bool: all their columns are pruned."""
    if block.columns not in masks:
        return torch.zeros(block.count, dtype=torch.bool)
    return ~masks[block.columns].cpu().any(dim=0).view(block.count, block.width).any(dim=1)


def unvarying_units(block: Block, masks: Mapping[str, Tensor]) -> Tensor:
    """The units that say the same of every text, (units,) bool: all their value rows are pruned, and the bias is left."""
    mask = masks.get(block.value.tensor)
    if mask is None:
        return torch.zeros(block.count, dtype=torch.bool)
    rows = mask.cpu().any(dim=1)[row_slice(block, block.value, block.value.parts[0], len(mask))]
    return ~rows.view(block.count, block.width).any(dim=1)


def row_slice(block: Block, rows: Rows, part: int, size: int) -> slice:
    """The rows of one part of a tensor with `size` rows, those of all units."""
    each = size // rows.of
    return slice(part * each, (part + 1) * each)


def _fold(weights: dict[str, Tensor], block: Block, small: Plan) -> None:
    """Adds to the output's bias what removed units say of every text."""
    bias, columns = weights[block.value_bias.tensor], small.constant[block.columns]
    values = bias[row_slice(block, block.value_bias, block.value_bias.parts[0], len(bias))]
    if block.kind == "neuron":  # attention weights sum to 1, so what a head says is its value itself
        values = ACTIVATIONS[small.config.hidden_act](values) if block.part == "encoder" else F.relu(values)
    columns = columns.to(values.device)
    said = weights[block.columns][:, columns].double() @ values[columns].double()
    weights[block.columns_bias] = (weights[block.columns_bias].double() + said).to(values.dtype)


def _spread(block: Block, units: Tensor) -> Tensor:
    """(units,) bool -> (rows of all units,) bool."""
    return units.repeat_interleave(block.width)


def _row_numbers(block: Block, rows: Rows, staying: Tensor) -> Tensor:
    numbers, each = _spread(block, staying).nonzero().flatten(), block.count * block.width
    return torch.cat([numbers + part * each for part in rows.parts])


def _counts(config: CodeToTextConfig, field: str) -> list[int]:
    return [block.count for block in blocks(config.sizes) if block.field == field]
