"""Computes the disk space that a run needs, before it begins.

Follows the modules that write files: `round_end` and `pretrain` (rounds), `lottery` (rewind weights), `trainer` (the resume
checkpoint holds the weights, AdamW's two moments and the masks), `masks` (one bit a prunable weight). Of a pruned matrix a round
holds the kept weights alone. Journal, predictions and headers, a few hundred kilobytes in all, are left out. Torch-free.
"""

from dataclasses import dataclass

from ..recipe import Recipe
from . import roberta, sizes
from .layout import is_prunable
from .schedule import sparsities

FLOAT_BYTES = 4
"""Bytes of a stored weight: everything is stored in float32, whatever the precision of training."""
MOMENTS = 2
"""Moments of AdamW for each weight that has had a gradient; the resume checkpoint holds them beside the weights."""


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that a run takes up."""

    parameters: int
    prunable: int
    """Number of weights that carry a mask."""
    rounds: int
    """Bytes of all rounds together, and of a shrunk model as if nothing of it were removed."""
    rewind: int
    """Bytes of the weights that rounds rewind to."""
    resume: int
    """Bytes of the resume checkpoint, and of the best weights of a round where the picker needs them."""
    draft: int
    """Bytes of the second resume checkpoint while the first is replaced, minus the last round, which is not there yet."""
    shrunk: int | None = None
    """About how many weights a shrunk model will have; None where the run writes none, or a speed decides what goes."""

    @property
    def total(self) -> int:
        """Bytes at the end of the run."""
        return self.rounds + self.rewind + self.resume

    @property
    def peak(self) -> int:
        """Most bytes at any moment of the run."""
        return self.total + max(0, self.draft)


def disk_need(recipe: Recipe, tensors: sizes.Tensors, tokenizer_bytes: int = 0) -> DiskNeed:
    """Computes the bytes of a whole run.

    Args:
        recipe: The run's recipe.
        tensors: The parameters of its model.
        tokenizer_bytes: Bytes of the tokenizer, which every round holds, too.
    """
    weights, masked = sum(tensors.values()), sizes.prunable(tensors, recipe.pruning.prunable, recipe.pruning.unit)
    bits = -(-masked // 8)
    state = FLOAT_BYTES * (weights + MOMENTS * _trained(recipe, tensors)) + (bits if recipe.rounds else 0)
    best = FLOAT_BYTES * weights if recipe.picker.rule != "last" and recipe.kind != "pretrain" else 0
    one = FLOAT_BYTES * _stored(recipe, tensors) + tokenizer_bytes
    if recipe.kind != "pretrain":
        one += bits
    # A round holds kept weights alone. How many a budget of latency will leave is not known before.
    packs = recipe.kind != "pretrain" and recipe.pruning.pack and recipe.pruning.budget != "latency"
    gone = [FLOAT_BYTES * round(share * masked) if packs else 0 for share in sparsities(recipe)]
    rewind = 0 if recipe.kind == "pretrain" else FLOAT_BYTES * weights
    shrunk = one if recipe.pruning.shrink and recipe.rounds else 0  # at its end a run may write a shrunk model, too
    rounds = len(gone) * one - sum(gone) + shrunk
    return DiskNeed(weights, masked, rounds, rewind, state + best, state - (one - gone[-1]), _shrunk(recipe, tensors))


def _shrunk(recipe: Recipe, tensors: sizes.Tensors) -> int | None:
    """About how many weights are left when whole units are removed; their biases, a thousandth of all, are left out."""
    pruning = recipe.pruning
    if not (recipe.rounds and pruning.shrink) or pruning.budget == "latency":
        return None
    of_units = sizes.prunable(tensors, pruning.prunable, pruning.unit)
    packed, beside = roberta.PACKED
    of_units += sum(
        size
        for name, size in tensors.items()
        if name.endswith(packed) and is_prunable(name.replace(packed, beside), pruning.prunable, pruning.unit)
    )
    gone = round(pruning.final_sparsity * of_units)
    if pruning.drops_entries and pruning.entries:
        words, hidden = tensors[roberta.WORDS], tensors[f"{roberta.NORM}.weight"]
        gone += max(0, words - pruning.entries * hidden)
    return sum(tensors.values()) - gone


def _stored(recipe: Recipe, tensors: sizes.Tensors) -> int:
    """Number of weights in a round: pre-training on masked tokens keeps the encoder alone."""
    encoder_only = recipe.kind == "pretrain" and recipe.pretraining.objective == "mask"
    return sum(size for name, size in tensors.items() if not encoder_only or name.startswith("encoder."))


def _trained(recipe: Recipe, tensors: sizes.Tensors) -> int:
    """Number of weights with a gradient: without the pooler, whose output is not used, and on masked tokens without a decoder."""
    if recipe.kind == "lottery" and recipe.order == "prune-first" and recipe.rounds == 0:
        return 0
    encoder_only = recipe.kind == "pretrain" and recipe.pretraining.objective == "mask"
    return sum(
        size for name, size in tensors.items() if roberta.is_trained(name) and not (encoder_only and roberta.in_decoder(name))
    )
