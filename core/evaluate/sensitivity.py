"""One-shot sensitivity: the scores that a model loses when weights are pruned and nothing is trained.

    masks = keep(scores, masks, scope, sparsity)
    loss  = score(model) - score(model · masks)

A cell prunes by criterion and sparsity, or one prunable matrix alone. Every cell starts from the model as it is, and afterwards
each weight is bit by bit what it was. Results are handed on cell by cell, so that nothing is measured twice.
Source: Han et al. 2015, Learning both Weights and Connections (sensitivity to pruning, layer by layer).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..compress.criteria import CRITERIA
from ..compress.masks import Masks, apply_masks, keep, prunable, sparsity_of
from ..data import Encoded
from ..errors import ModelError
from ..families.reader import Reader
from ..families.roberta import CodeToText, without_encoder
from ..recipe import Evaluation as EvaluationRecipe
from ..recipe import PrunablePreset, Scope
from ..score import metrics, significance
from ..score.interval import Difference
from ..score.tally import tally
from ..seeds import derive_seed
from ..study.sensitivityfile import Before, Cell, Sensitivity, Wish, Written
from .evaluate import Evaluation, evaluate


@dataclass(frozen=True)
class Ground:
    """The model to measure, and its rows."""

    model: CodeToText
    """On its device, not quantized."""
    reader: Reader
    encoded: Encoded
    recipe: EvaluationRecipe
    floors: metrics.Floors
    """Of the rows."""
    masks: Mapping[str, Tensor]
    """The masks that the model was pruned with before; those weights stay and count as pruned. On the model's device."""

    @property
    def sparsity(self) -> float:
        """Pruned share of the weights that already carry a mask."""
        return sparsity_of(self.masks)


def by_sparsity(criteria: Sequence[str], scope: Scope, preset: PrunablePreset, sparsities: Sequence[float]) -> list[Wish]:
    """Every criterion at every sparsity."""
    return [Wish(criterion, scope, preset, sparsity) for criterion in criteria for sparsity in sparsities]


def by_matrix(model: CodeToText, criteria: Sequence[str], scope: Scope, preset: PrunablePreset, sparsity: float) -> list[Wish]:
    """Every prunable matrix alone.

    Raises:
        ModelError: The preset names no weights of this model.
    """
    names = prunable(model, preset)
    return [Wish(criterion, scope, preset, sparsity, name) for criterion in criteria for name in names]


def rows_digest(encoded: Encoded) -> str:
    """A digest of sources and references, so that only measurements on the same rows are put together."""
    lines = [[list(source), row.target, row.name] for source, row in zip(encoded.sources, encoded.rows, strict=True)]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def measure_before(ground: Ground, after_batch: Callable[[int], None]) -> Before:
    """Scores the model as it is.

    Args:
        ground: The model and its rows.
        after_batch: Called with the number of rows decoded so far.
    """
    evaluation = _evaluate(ground, after_batch)
    spreads = significance.intervals([evaluation.tally], significance.draw(len(evaluation.rows)))
    return Before(**asdict(_written(evaluation)), intervals=spreads, texts=evaluation.predictions)


def measure_off(ground: Ground, known: Sensitivity, after_batch: Callable[[int], None]) -> Cell:
    """Scores the model without its encoder's layers.

    Args:
        ground: The model and its rows.
        known: The measurements so far, at least that of the model as it is.
        after_batch: As for `measure_before`.
    """
    with without_encoder(ground.model):
        evaluation = _evaluate(ground, after_batch)
    return Cell(**asdict(_written(evaluation)), loss=_loss(ground, known, evaluation))


def measure_cells(
    ground: Ground,
    known: Sensitivity,
    wishes: Sequence[Wish],
    seed: int,
    save: Callable[[Sensitivity], None] = lambda known: None,
    after_batch: Callable[[int, int], None] = lambda cell, done: None,
) -> Sensitivity:
    """Measures the wishes that have not been measured yet.

    Args:
        ground: The model and its rows; afterwards its weights are what they were, even after an interruption.
        known: The measurements so far, at least `before`.
        wishes: What to prune.
        seed: Seed of a random criterion.
        save: Called after each cell with all measurements so far.
        after_batch: Called with the number of finished cells and of rows decoded in the present one.

    Returns:
        `known` with the cells added.
    """
    missing = [wish for wish in dict.fromkeys(wishes) if known.cell(wish) is None]
    for place, wish in enumerate(missing):
        masks = masks_of(ground, wish, seed)
        with pruned(ground.model, masks):
            evaluation = _evaluate(ground, partial(after_batch, place))
        total = sum(mask.numel() for mask in masks.values())
        kept = sum(int(mask.sum()) for mask in masks.values())
        loss = _loss(ground, known, evaluation)
        cell = Cell(**asdict(_written(evaluation)), loss=loss, wish=wish, pruned=total - kept, total=total)
        known = replace(known, cells=(*known.cells, cell))
        save(known)
    return known


def masks_of(ground: Ground, wish: Wish, seed: int) -> Masks:
    """The masks of a wish; what was pruned before stays pruned.

    Raises:
        ModelError: The model has no such weights.
    """
    weights: dict[str, Tensor] = dict(prunable(ground.model, wish.prunable))  # type: ignore[arg-type]  # files hold it as text
    if wish.matrix:
        weights = {wish.matrix: weights[wish.matrix]}
    old = {name: ground.masks[name] for name in weights if name in ground.masks}
    criterion = CRITERIA[wish.criterion](derive_seed(seed, "sensitivity"))
    return keep(weights, old, criterion, wish.scope, wish.sparsity)  # type: ignore[arg-type]  # as above


@contextmanager
def pruned(model: CodeToText, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Prunes a model for a while; afterwards every weight is bit by bit what it was.

    Args:
        model: The model.
        masks: Parameter name -> bool mask on its device.
    """
    weights = dict(model.named_parameters())
    saved = {name: weights[name].detach().clone() for name in masks}
    try:
        apply_masks(weights, masks)
        yield
    finally:
        with torch.no_grad():
            for name, weight in saved.items():
                weights[name].copy_(weight)


def refuse_quantized(model: CodeToText, shown: str) -> None:
    """Refuses a model whose weights are not floats and cannot be set to 0.

    Raises:
        ModelError: The model is quantized.
    """
    if model.config.quantization is not None:
        raise ModelError(
            f"{shown} is quantized ({model.config.quantization}) and cannot be pruned.", "Give the model it came from."
        )


def _written(evaluation: Evaluation) -> Written:
    rows = len(evaluation.rows)
    return Written(
        scores=asdict(evaluation.scores),
        mean_tokens=evaluation.decoded.tokens / rows,
        ended=evaluation.decoded.ended / rows,
        seconds=round(evaluation.seconds, 3),
    )


def _evaluate(ground: Ground, after_batch: Callable[[int], None]) -> Evaluation:
    return evaluate(ground.model, ground.reader, ground.encoded, ground.recipe, after_batch, ground.floors)


def _loss(ground: Ground, known: Sensitivity, evaluation: Evaluation) -> dict[str, Difference]:
    before = tally(known.before.texts, [row.target for row in ground.encoded.rows])
    return significance.differences([before], [evaluation.tally], significance.draw(len(before)))
