"""Masks: which weights may be pruned, which are kept, and how masks are applied and stored.

A mask is a bool tensor of its weight's shape, 1 = kept, keyed by the parameter's name; the weights stay under their own names.
Counts are exact: `round(sparsity * n)` weights are pruned in each competing group, ties go by position (the earlier parameter,
then the lower flat index, is pruned first). Knows nothing of criteria beyond calling one, nor of rounds.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from .errors import ModelError
from .files import complete_or_absent
from .names import is_prunable
from .recipe import PrunablePreset, Scope
from .scores import Criterion

Masks = dict[str, Tensor]


def prunable(model: nn.Module, preset: PrunablePreset) -> dict[str, nn.Parameter]:
    """The weight matrices that a preset prunes, in the model's order.

    Args:
        model: A code-to-text model.
        preset: Which of them.

    Returns:
        Parameter name -> parameter; never biases, embeddings or LayerNorm.

    Raises:
        ModelError: The model has none of them, or one is tied to another weight.
    """
    found = {name: weight for name, weight in model.named_parameters() if is_prunable(name, preset)}
    if not found:
        presets = ", ".join(get_args(PrunablePreset))
        raise ModelError(f'The model has no weights that prunable = "{preset}" names.', f"Presets: {presets}.")
    refuse_tied(model, found)
    return found


def refuse_tied(model: nn.Module, names: Iterable[str]) -> None:
    """Refuses weights that the model uses in two places: a mask on one would silently prune the other.

    Args:
        model: Any module.
        names: Parameters that are to carry a mask.

    Raises:
        ModelError: Names the weight and what it is tied to.
    """
    owners: dict[int, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(weight), []).append(name)
    shared = {name: others for others in owners.values() if len(others) > 1 for name in others}
    for name in names:
        if name in shared:
            others = ", ".join(other for other in shared[name] if other != name)
            raise ModelError(f"{name} cannot be pruned: it is tied to {others}.", "Leave it out of the prunable weights.")


def keep(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], criterion: Criterion, scope: Scope, sparsity: float
) -> Masks:
    """Prunes the lowest scores until `round(sparsity * n)` weights are gone in each competing group.

    Args:
        weights: Parameter name -> weight, any shape.
        masks: Parameter name -> bool mask of what is still kept; a missing one means all. What is pruned stays pruned.
        criterion: Scores of a weight, low goes first.
        scope: "global" lets all weights compete, "layerwise" those of one matrix.
        sparsity: Share to have pruned afterwards, in [0, 1].

    Returns:
        New masks, parameter name -> bool tensor.

    Source: identical to `torch.nn.utils.prune.global_unstructured` and `l1_unstructured` where no scores are equal.
    """
    groups = [list(weights)] if scope == "global" else [[name] for name in weights]
    kept: Masks = {}
    for names in groups:
        total = sum(weights[name].numel() for name in names)
        pruned = total - sum(int(masks[name].sum()) if name in masks else weights[name].numel() for name in names)
        wanted = round(sparsity * total) - pruned
        group = _Group({name: weights[name] for name in names}, masks, criterion)
        kept.update(group.masks_without_lowest(wanted) if wanted > 0 else group.masks_now())
    return kept


class _Group:
    """Weights that compete with each other; finds its lowest scores exactly, without holding all of them at once.

    A float32 read as an integer keeps its order once negative numbers are flipped. One pass counts the upper 16 bits of these
    keys, which brackets the threshold; a second collects only the keys inside the bracket; a third writes the masks.
    """

    def __init__(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], criterion: Criterion) -> None:
        self._weights, self._masks, self._criterion = weights, masks, criterion

    def masks_now(self) -> Masks:
        return {name: self._mask(name).clone() for name in self._weights}

    def masks_without_lowest(self, count: int) -> Masks:
        threshold, ties = self._threshold(count)
        kept: Masks = {}
        for name, weight in self._weights.items():
            keys = self._keys(name)
            kept[name] = ((keys > threshold) & self._mask(name).flatten()).view(weight.shape)
            equal = ((keys == threshold) & self._mask(name).flatten()).nonzero().flatten()  # (ties here,)
            kept[name].view(-1)[equal[ties:]] = True  # the first `ties` of them are pruned
            ties -= min(ties, equal.numel())
        return kept

    def _threshold(self, count: int) -> tuple[int, int]:
        """The key of the last weight to prune, and how many weights with exactly this key are pruned."""
        histogram = sum(torch.bincount((keys >> 16) + 32768, minlength=65536) for keys in map(self._kept_keys, self._weights))
        assert isinstance(histogram, Tensor)
        below = histogram.cumsum(0)  # (65536,)
        bracket = int(torch.searchsorted(below, count))
        rest = count - (int(below[bracket - 1]) if bracket else 0)
        inside = torch.cat([keys[(keys >> 16) + 32768 == bracket] for keys in map(self._kept_keys, self._weights)])
        threshold = int(inside.kthvalue(rest).values)
        return threshold, rest - int((inside < threshold).sum())

    def _keys(self, name: str) -> Tensor:
        bits = self._criterion(name, self._weights[name]).flatten().contiguous().view(torch.int32)
        return bits ^ ((bits >> 31) & 0x7FFFFFFF)

    def _kept_keys(self, name: str) -> Tensor:
        return self._keys(name)[self._masks[name].flatten()] if name in self._masks else self._keys(name)

    def _mask(self, name: str) -> Tensor:
        return self._masks[name] if name in self._masks else torch.ones_like(self._weights[name], dtype=torch.bool)


@torch.no_grad()
def apply_masks(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Sets every pruned weight to 0, in place.

    Args:
        weights: Parameter name -> weight.
        masks: Parameter name -> bool mask on the same device; weights without one are left alone.
    """
    for name, mask in masks.items():
        weights[name].mul_(mask)


def sparsity_of(masks: Mapping[str, Tensor]) -> float:
    """The pruned share of all weights that carry a mask, in [0, 1]; 0 where none does."""
    total = sum(mask.numel() for mask in masks.values())
    return 1 - sum(int(mask.sum()) for mask in masks.values()) / total if total else 0.0


def collapsed(masks: Mapping[str, Tensor]) -> list[str]:
    """Names of the matrices of which nothing is left: what flows through them is gone."""
    return [name for name, mask in masks.items() if not bool(mask.any())]


def save_masks(masks: Mapping[str, Tensor], path: Path) -> None:
    """Stores masks as bits, one eighth of a byte a weight; complete or absent.

    Args:
        masks: Parameter name -> bool mask.
        path: The file to write.
    """
    bits = {name: np.packbits(mask.cpu().numpy(), axis=None) for name, mask in masks.items()}
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    with complete_or_absent(path) as draft:
        save_file(bits, draft, metadata={"shapes": json.dumps(shapes)})  # one key: more make the bytes differ


def load_masks(path: Path) -> Masks:
    """Reads masks that `save_masks` wrote.

    Args:
        path: The file.

    Returns:
        Parameter name -> bool mask on the CPU.

    Raises:
        ModelError: The file is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            shapes: dict[str, list[int]] = json.loads((file.metadata() or {})["shapes"])
            return {
                name: torch.from_numpy(
                    np.unpackbits(file.get_tensor(name), count=int(np.prod(shape))).reshape(shape).astype(bool)
                )
                for name, shape in shapes.items()
            }
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"Cannot read the masks in {path}: {error}.", "Restore the file, or repeat the round.") from error
