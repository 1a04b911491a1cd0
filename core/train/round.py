"""A round of a run: its material, and which of its masks are counted. Holds nothing that changes; does nothing."""

from dataclasses import dataclass, field

import torch

from ..compress import figures
from ..compress.masks import Masks, prunable
from ..data import Encoded
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..score import metrics
from ..score.semantic import Embedder
from ..spec import given
from ..spec.layout import is_prunable
from .session import Session


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
