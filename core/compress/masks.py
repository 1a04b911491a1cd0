"""Masks: which weights may be pruned, which are kept, and how masks are applied and stored.

A mask is a bool tensor of its weight's shape, 1 = kept, keyed by the parameter's name; the weights stay under their own names.
Counts are exact: `round(sparsity * n)` weights are pruned in each competing group, ties go by position (the earlier parameter,
then the lower flat index, is pruned first). Knows nothing of criteria beyond calling one, nor of rounds.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from ..atomic import complete_or_absent
from ..errors import ModelError
from ..recipe import PrunablePreset, Scope, Unit, masked_unit
from ..spec.layout import is_prunable
from ..spec.maskbits import SHAPES, Bits, pack, read_bits, unpack
from .criteria import Criterion

Masks = dict[str, Tensor]

SAMPLE_STEP = 257
"""Every 257th score is drawn: a prime, so that no width of a matrix makes it the same column each time."""
LEAST_SAMPLE = 1000
"""Fewest scores from which a bracket is estimated."""
ZEROS = 0.01
"""Least share of exact zeros of a matrix that counts as pruned; rounding trained weights to fp16 makes fewer zeros."""
SPREAD = 4.0
"""Half the width of the bracket in square roots of the sample's size: eight standard deviations or more."""
TOGETHER = 1 << 24
"""Weights that are multiplied at once; on a GPU as many fp32 factors are made for a moment, 64 MB."""


def prunable(model: nn.Module, preset: PrunablePreset, unit: Unit = "weight") -> dict[str, nn.Parameter]:
    """The weight matrices that a preset prunes, in the model's order.

    Args:
        model: A code-to-text model.
        preset: Which matrices.
        unit: What goes as one; matrices that hold no such units are left out.

    Returns:
        Parameter name -> parameter; never biases, embeddings or LayerNorm, nor a matrix whose heads or neurons are all gone. The
        vocabulary alone has none.

    Raises:
        ModelError: The model has none of them, or one is tied to another weight.
    """
    weights = {name: weight for name, weight in model.named_parameters() if is_prunable(name, preset, unit) and weight.numel()}
    if not weights and masked_unit(unit):
        presets = ", ".join(get_args(PrunablePreset))
        raise ModelError(f'The model has no weights that prunable = "{preset}" names.', f"Presets: {presets}.")
    refuse_tied(model, weights)
    return weights


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
        criterion: Gives a weight its scores; the lowest are pruned first.
        scope: "global" lets all weights compete, "layerwise" those of one matrix.
        sparsity: Pruned share afterwards, in [0, 1].

    Returns:
        New masks, parameter name -> bool tensor.

    Source: identical to `torch.nn.utils.prune.global_unstructured` and `l1_unstructured` where no scores are equal.
    """
    groups = [list(weights)] if scope == "global" else [[name] for name in weights]
    kept: Masks = {}
    for names in groups:
        total = sum(weights[name].numel() for name in names)
        pruned = total - sum(int(masks[name].sum()) if name in masks else weights[name].numel() for name in names)
        missing = round(sparsity * total) - pruned
        group = _Group({name: weights[name] for name in names}, masks, criterion)
        kept.update(group.masks_without_lowest(missing) if missing > 0 else group.masks_now())
    return kept


class _Group:
    """Weights that compete with each other. Finds their lowest scores exactly, without holding all scores at once.

    A sample of the scores brackets the threshold; one pass counts what lies below the bracket and collects what lies inside,
    which gives the threshold itself, and another writes the masks. If the sample misleads, the threshold is found by counting
    instead (`_counted`), which always works and takes longer. A score that is not a number counts as the largest.
    """

    def __init__(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], criterion: Criterion) -> None:
        self._weights, self._masks, self._criterion = weights, masks, criterion

    def masks_now(self) -> Masks:
        return {
            name: self._masks[name].clone() if name in self._masks else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self._weights.items()
        }

    def masks_without_lowest(self, count: int) -> Masks:
        threshold = _Threshold.of(self._bracketed(count), count) or _Threshold.of(self._counted(count), count)
        assert threshold is not None, "counting always finds it"
        kept: Masks = {}
        ties = threshold.ties
        for name in self._weights:
            scores = _numbers(self._scores(name)) if math.isinf(threshold.score) else self._scores(name)
            kept[name] = (
                scores <= threshold.score
            ).logical_not_()  # written this way round, a weight whose score is not a number is kept
            if threshold.equal > threshold.ties:  # the first `ties` of those equal to it are pruned, the others stay
                equal = self._only_kept(name, scores == threshold.score).flatten().nonzero().flatten()
                kept[name].view(-1)[equal[ties:]] = True
                ties -= min(ties, equal.numel())
            if name in self._masks:
                kept[name] &= self._masks[name]
        return kept

    def _bracketed(self, count: int) -> "_Inside | None":
        """The scores around the `count`-th lowest, bracketed by a sample; None where there are too few to draw one from."""
        drawn = torch.cat([self._sample(name) for name in self._weights])
        if drawn.numel() < LEAST_SAMPLE:
            return None
        drawn = drawn.sort().values
        place = count / self._size() * drawn.numel()
        low, high = (drawn[int(min(max(place + side * SPREAD * drawn.numel() ** 0.5, 0), drawn.numel() - 1))] for side in (-1, 1))
        return self._inside(low, high)

    def _counted(self, count: int) -> "_Inside":
        """As `_bracketed`, but by counting the upper 16 bits of all scores."""
        histogram = sum(torch.bincount((_keys(self._kept_scores(name)) >> 16) + 32768, minlength=65536) for name in self._weights)
        assert isinstance(histogram, Tensor)
        below = histogram.cumsum(0)  # (65536,)
        bracket = int(torch.searchsorted(below, count))
        inside = []
        for name in self._weights:
            scores = self._kept_scores(name)
            inside.append(scores[(_keys(scores) >> 16) + 32768 == bracket])
        return _Inside(int(below[bracket - 1]) if bracket else 0, torch.cat(inside))

    def _inside(self, low: Tensor, high: Tensor) -> "_Inside":
        below, inside = 0, []
        for name in self._weights:
            scores = self._scores(name)
            under = self._only_kept(name, scores < low)
            between = self._only_kept(name, scores <= high) ^ under
            below += int(under.count_nonzero())
            inside.append(scores[between])
        return _Inside(below, torch.cat(inside))

    def _sample(self, name: str) -> Tensor:
        scores, step = self._scores(name).flatten(), SAMPLE_STEP
        mask = self._masks[name].flatten()[::step] if name in self._masks else None
        return scores[::step].clone() if mask is None else scores[::step][mask]  # a view would keep all scores in memory

    def _size(self) -> int:
        """Number of weights that are still kept."""
        return sum(
            int(self._masks[name].count_nonzero()) if name in self._masks else weight.numel()
            for name, weight in self._weights.items()
        )

    def _scores(self, name: str) -> Tensor:
        return self._criterion(name, self._weights[name]).contiguous()

    def _kept_scores(self, name: str) -> Tensor:
        scores = _numbers(self._scores(name)).flatten()
        return scores[self._masks[name].flatten()] if name in self._masks else scores

    def _only_kept(self, name: str, chosen: Tensor) -> Tensor:
        return chosen & self._masks[name] if name in self._masks else chosen


class _Inside(NamedTuple):
    """The scores inside a bracket."""

    below: int
    """How many scores lie below the bracket."""
    scores: Tensor


class _Threshold(NamedTuple):
    """The score of the last weight to prune."""

    score: float
    ties: int
    """How many weights with exactly this score are pruned."""
    equal: int
    """How many weights have exactly this score."""

    @classmethod
    def of(cls, inside: _Inside | None, count: int) -> "_Threshold | None":
        """The `count`-th lowest score; None if it does not lie inside the bracket."""
        if inside is None or not 0 < count - inside.below <= inside.scores.numel():
            return None
        rest = count - inside.below
        score = _kth(inside.scores, rest)
        under = int((inside.scores < score).count_nonzero())
        return cls(float(score), rest - under, int((inside.scores == score).count_nonzero()))


def _kth(scores: Tensor, place: int) -> Tensor:
    """The score at a place of their ascending order, counted from 1, 0-dimensional; deterministic on every device.

    On a GPU `kthvalue` is refused where only deterministic algorithms are allowed: which of equal scores it names is open there.
    """
    return scores.sort().values[place - 1] if _on_gpu(scores) else scores.kthvalue(place).values


def _numbers(scores: Tensor) -> Tensor:
    """The scores, with infinity for what is not a number, and without negative zeros."""
    return scores.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf) + 0.0


def _keys(scores: Tensor) -> Tensor:
    """Integers in the order of the scores, (n,) int32: a float32 read as one keeps its order once negative ones are flipped."""
    bits = scores.view(torch.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@torch.no_grad()
def apply_masks(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Sets every pruned weight to 0, in place.

    Args:
        weights: Parameter name -> weight.
        masks: Parameter name -> bool mask on the same device; weights without one are left alone.
    """
    for names in _together(masks):
        pruned = [weights[name] for name in names]
        # As numbers of a byte: the CPU takes three times as long, and more, where they are bools.
        factors = [masks[name].view(torch.uint8) for name in names]
        torch._foreach_mul_(pruned, _in_one_type(factors, pruned) if _on_gpu(pruned[0]) else factors)


def _in_one_type(factors: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """The factors in the weights' type: factors of another one a GPU would multiply in a launch for each matrix."""
    converted = [torch.empty_like(weight) for weight in weights]
    torch._foreach_copy_(converted, factors)
    return converted


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cuda"


def _together(masks: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """The names of masks, in groups of `TOGETHER` weights at most, or of one mask."""
    names: list[str] = []
    weights = 0
    for name, mask in masks.items():
        if names and weights + mask.numel() > TOGETHER:
            yield names
            names, weights = [], 0
        names.append(name)
        weights += mask.numel()
    if names:
        yield names


def masks_of_zeros(weights: Mapping[str, Tensor]) -> Masks:
    """Masks of the weights that are exactly 0, as after `torch.nn.utils.prune.remove`; trained weights practically never are.

    Args:
        weights: Parameter name -> weight.

    Returns:
        Parameter name -> bool mask; only of matrices of which a share of `ZEROS` or more is 0. One that is all 0 is left out: it
        may be so on purpose.
    """
    masks = {name: weight != 0 for name, weight in weights.items()}
    kept = {name: int(mask.count_nonzero()) for name, mask in masks.items()}
    return {name: mask for name, mask in masks.items() if 0 < kept[name] <= (1 - ZEROS) * mask.numel()}


def sparsity_of(masks: Mapping[str, Tensor]) -> float:
    """The pruned share of all weights that carry a mask, in [0, 1]; 0 where none does."""
    total = sum(mask.numel() for mask in masks.values())
    return 1 - sum(int(mask.sum()) for mask in masks.values()) / total if total else 0.0


def collapsed(masks: Mapping[str, Tensor]) -> list[str]:
    """Names of the matrices that have no weight left, so that nothing flows through them any more."""
    return [name for name, mask in masks.items() if not bool(mask.any())]


def to_bits(mask: Tensor) -> Bits:
    """A bool mask of any shape as bits, eight weights a byte, the last byte filled up with zeros."""
    return pack(mask.cpu().numpy())


def from_bits(bits: Bits, shape: Sequence[int]) -> Tensor:
    """The bool mask of this shape whose bits `to_bits` made, on the CPU.

    Raises:
        ValueError: The shape needs more or fewer bytes.
    """
    return torch.from_numpy(unpack(bits, tuple(shape)))


def save_masks(masks: Mapping[str, Tensor], path: Path) -> None:
    """Stores masks as bits, one eighth of a byte a weight; complete or absent.

    Args:
        masks: Parameter name -> bool mask.
        path: The file to write.
    """
    bits = {name: to_bits(mask) for name, mask in masks.items()}
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    with complete_or_absent(path) as draft:
        save_file(bits, draft, metadata={SHAPES: json.dumps(shapes)})


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
        return {name: from_bits(mask.bits, mask.shape) for name, mask in read_bits(path).items()}
    except ModelError as error:
        detail = error.problem.removesuffix(".")
        raise ModelError(f"Cannot read the masks in {path}: {detail}.", "Restore the file, or repeat the round.") from error
