"""What a run needs on disk, before it begins.

Follows what is written where: `round_end` and `pretrain` (rounds), `lottery` (rewind weights), `trainer` (the resume checkpoint
holds the weights, AdamW's two moments and the masks), `masks` (one bit a prunable weight). Journal, predictions and headers, a
few hundred kilobytes in all, are left out. Torch-free.
"""

from dataclasses import dataclass

from ..recipe import Recipe
from . import roberta, sizes

FLOAT_BYTES = 4
"""Everything is stored in float32, whatever precision it was trained in."""
MOMENTS = 2
"""AdamW's, of each weight that has had a gradient; the resume checkpoint holds them beside the weights."""


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that a run takes up."""

    parameters: int
    prunable: int
    """Weights that carry a mask."""
    rounds: int
    """Bytes of all rounds together."""
    rewind: int
    """Of the weights that a rewind goes back to."""
    resume: int
    """Of the resume checkpoint, and of the best weights of a round where the picker wants them."""
    draft: int
    """Of the second resume checkpoint that is there while the first is replaced, less the last round, which is not there yet."""

    @property
    def total(self) -> int:
        """At the end."""
        return self.rounds + self.rewind + self.resume

    @property
    def peak(self) -> int:
        """At most, for a moment."""
        return self.total + max(0, self.draft)


def disk_need(recipe: Recipe, tensors: sizes.Tensors, tokenizer_bytes: int = 0) -> DiskNeed:
    """Bytes of a whole run.

    Args:
        recipe: What it does.
        tensors: Its model's parameters.
        tokenizer_bytes: Of the tokenizer, which every round holds, too.
    """
    weights, masked = sum(tensors.values()), sizes.prunable(tensors, recipe.pruning.prunable)
    bits = -(-masked // 8)
    state = FLOAT_BYTES * (weights + MOMENTS * _trained(recipe, tensors)) + (bits if recipe.rounds else 0)
    best = FLOAT_BYTES * weights if recipe.picker.rule != "last" and recipe.kind != "pretrain" else 0
    one = FLOAT_BYTES * _stored(recipe, tensors) + tokenizer_bytes
    if recipe.kind != "pretrain":
        one += bits
    rewind = 0 if recipe.kind == "pretrain" else FLOAT_BYTES * weights
    return DiskNeed(weights, masked, (recipe.rounds + 1) * one, rewind, state + best, state - one)


def _stored(recipe: Recipe, tensors: sizes.Tensors) -> int:
    """Weights that a round holds: pre-training on masked tokens keeps the encoder alone."""
    encoder_only = recipe.kind == "pretrain" and recipe.pretraining.objective == "mask"
    return sum(size for name, size in tensors.items() if not encoder_only or name.startswith("encoder."))


def _trained(recipe: Recipe, tensors: sizes.Tensors) -> int:
    """Weights that have a gradient: never the pooler, which nothing reads; with masked tokens no decoder is there to have one."""
    if recipe.kind == "lottery" and recipe.order == "prune-first" and recipe.rounds == 0:
        return 0
    encoder_only = recipe.kind == "pretrain" and recipe.pretraining.objective == "mask"
    return sum(
        size for name, size in tensors.items() if roberta.is_trained(name) and not (encoder_only and roberta.in_decoder(name))
    )
