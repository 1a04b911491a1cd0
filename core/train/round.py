"""A round of a run: its material, and which of its masks are counted. Holds nothing that changes; does nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..compress import figures
from ..compress.masks import Masks, prunable, sparsity_of
from ..compress.shrink import Plan
from ..data import Encoded
from ..families.checkpoint import WORDS
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..recipe import VOCABULARY
from ..score import metrics
from ..score.semantic import Embedder
from ..spec import given
from ..spec.layout import is_prunable
from .session import Session


@dataclass(frozen=True)
class SmallerVocabulary:
    """What a run's material was before entries of its vocabulary were dropped, and which rows of the embeddings stayed."""

    plan: Plan
    reader: Reader
    """The reader of the dense round."""
    held_out: Encoded
    """The rows that are scored, in the tokens of the dense round."""

    @property
    def entries(self) -> tuple[int, int]:
        """Entries that stay, of how many."""
        return self.plan.config.vocab_size, self.plan.kept[VOCABULARY][1]

    def fit(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a round or of the rewind point, cut if that was before entries were dropped."""
        return self.plan.cut(weights) if len(weights[WORDS]) != self.entries[0] else dict(weights)


@dataclass(frozen=True)
class Material:
    """Model, reader and rows of a run."""

    model: CodeToText
    """On its device; at the start of the run's weights."""
    reader: Reader
    train: Encoded
    held_out: Encoded
    """The rows that every evaluation scores."""
    floors: metrics.Floors
    """Of `held_out`."""
    masks: Masks = field(default_factory=dict)
    """The masks that the model was pruned with before this run began; those weights stay pruned."""
    decoding_batch: int = 0
    """Sources decoded together in every evaluation of the run; 0 = as the recipe says."""
    embedder: Embedder | None = None
    """Of the recipe's evaluation."""
    smaller: SmallerVocabulary | None = None
    """Where the vocabulary of the model, of its reader and of the rows has lost entries."""

    def fit(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of a round or of the rewind point, with the entries of this material's vocabulary."""
        return weights if self.smaller is None else self.smaller.fit(weights)

    def counts(self) -> given.Counts:
        """How many weights of each matrix were pruned before this run began."""
        weights = {name: weight.numel() for name, weight in self.model.named_parameters()}
        pruned = {name: int((~mask).sum()) for name, mask in self.masks.items()}
        return {name: (pruned.get(name, 0), size) for name, size in weights.items() if name in pruned or is_prunable(name, "all")}


@dataclass(frozen=True)
class Round:
    """Which round of which run."""

    session: Session
    material: Material
    number: int

    @property
    def steps(self) -> int:
        """Most steps that it trains; 0 where the dense model is given."""
        recipe = self.session.recipe
        dense_is_given = recipe.kind == "lottery" and recipe.order == "prune-first" and self.number == 0
        return 0 if dense_is_given else recipe.training.steps

    @property
    def heads(self) -> figures.Heads:
        """How many attention heads the model's matrices have."""
        sizes = self.material.model.config.sizes
        return figures.Heads(sizes.encoder_heads, sizes.decoder_heads, sizes.cross_heads)

    def all_masks(self, masks: Masks) -> Masks:
        """The round's masks, with ones for the matrices that the recipe prunes in later rounds."""
        weights = prunable(self.material.model, self.session.recipe.pruning.prunable, self.session.recipe.pruning.unit)
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()} | masks

    def pruned(self, own: Masks) -> tuple[float, int, int]:
        """Sparsity, kept weights and all weights of what the recipe prunes: those under masks, or the vocabulary's alone."""
        material = self.material
        if material.smaller is None or self.session.recipe.pruning.masked:
            return sparsity_of(own), kept(own), size(own)
        (left, entries), width = material.smaller.entries, material.model.config.hidden_size
        return 1 - left / entries, left * width, entries * width

    def own_masks(self, masks: Masks) -> Masks:
        """The masks of the weights that the recipe prunes; where it prunes none, those that the model came with."""
        recipe = self.session.recipe
        if recipe.rounds == 0:
            return masks
        pruning = recipe.pruning
        return {name: mask for name, mask in self.all_masks(masks).items() if is_prunable(name, pruning.prunable, pruning.unit)}


def kept(masks: Masks) -> int:
    """How many weights are kept."""
    return sum(int(mask.sum()) for mask in masks.values())


def size(masks: Masks) -> int:
    """How many weights carry a mask."""
    return sum(mask.numel() for mask in masks.values())
