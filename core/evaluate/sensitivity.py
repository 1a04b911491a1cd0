"""One-shot sensitivity: the scores that a model loses when weights are pruned and nothing is trained.

    masks = prune(weights, masks, method, sparsity, seed, basis)
    loss  = score(model) - score(model · masks)

A criterion that looks at data has its basis measured before its first cell, and one that updates the kept weights does so. A cell
prunes by criterion and sparsity, or one prunable matrix alone. Every cell starts from the model as it is, and afterwards each
weight is bit by bit what it was. Results are handed on cell by cell, so that nothing is measured twice.
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

from ..compress.basis import NOTHING, Basis, Row, measure
from ..compress.masks import Masks, prunable, sparsity_of
from ..compress.selection import Method, prune
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
from ..spec.criteria import Need, needs_of
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
    calibration: Sequence[Row] = ()
    """The rows that a criterion may look at; none of them is scored."""

    @property
    def sparsity(self) -> float:
        """Pruned share of the weights that already carry a mask."""
        return sparsity_of(self.masks)


def by_sparsity(
    criteria: Sequence[str], scope: Scope, preset: PrunablePreset, sparsities: Sequence[float], calibration_rows: int = 0
) -> list[Wish]:
    """Every criterion at every sparsity.

    Args:
        criteria: Their names.
        scope: Which weights compete.
        preset: Which matrices are pruned.
        sparsities: Shares in [0, 1].
        calibration_rows: Rows for the criteria that look at data.
    """
    return [
        Wish(criterion, scope, preset, sparsity, calibration_rows=_rows_for(criterion, calibration_rows))
        for criterion in criteria
        for sparsity in sparsities
    ]


def by_matrix(
    model: CodeToText,
    criteria: Sequence[str],
    scope: Scope,
    preset: PrunablePreset,
    sparsity: float,
    calibration_rows: int = 0,
) -> list[Wish]:
    """Every prunable matrix alone; arguments as for `by_sparsity`.

    Raises:
        ModelError: The preset names no weights of this model.
    """
    names = prunable(model, preset)
    return [
        Wish(criterion, scope, preset, sparsity, name, _rows_for(criterion, calibration_rows))
        for criterion in criteria
        for name in names
    ]


def _rows_for(criterion: str, rows: int) -> int:
    return rows if needs_of(criterion) else 0


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
    after_row: Callable[[int], None] = lambda done: None,
) -> Sensitivity:
    """Measures the wishes that have not been measured yet; those that take nothing from a pruned model are left out.

    Args:
        ground: The model and its rows; afterwards its weights are what they were, even after an interruption.
        known: The measurements so far, at least `before`.
        wishes: What to prune.
        seed: Seed of a random criterion.
        save: Called after each cell with all measurements so far.
        after_batch: Called with the number of finished cells and of rows decoded in the present one.
        after_row: Called with the number of calibration rows measured so far, before the first cell that needs them.

    Returns:
        `known` with the cells added.
    """
    missing = [wish for wish in dict.fromkeys(wishes) if known.cell(wish) is None]
    basis, measured = NOTHING, (frozenset[Need](), "")
    for place, wish in enumerate(missing):
        if (needs := (method_of(wish).needs, wish.prunable)) != measured:
            basis, measured = _basis(ground, wish, after_row), needs
        with pruned(ground, wish, seed, basis) as masks:
            total = sum(mask.numel() for mask in masks.values())
            kept = sum(int(mask.sum()) for mask in masks.values())
            if total - kept <= _pruned_before(ground, wish):
                continue
            evaluation = _evaluate(ground, partial(after_batch, place))
        loss = _loss(ground, known, evaluation)
        cell = Cell(**asdict(_written(evaluation)), loss=loss, wish=wish, pruned=total - kept, total=total)
        known = replace(known, cells=(*known.cells, cell))
        save(known)
    return known


def _basis(ground: Ground, wish: Wish, after_row: Callable[[int], None]) -> Basis:
    names = prunable(ground.model, wish.prunable)  # type: ignore[arg-type]  # files hold it as text
    return measure(ground.model, ground.calibration, names, method_of(wish).needs, after_row)


def method_of(wish: Wish) -> Method:
    """How a wish chooses weights."""
    return Method(wish.criterion, wish.scope, wish.budget, wish.pattern)  # type: ignore[arg-type]  # files hold them as text


def _chosen(ground: Ground, wish: Wish) -> tuple[dict[str, Tensor], Masks]:
    """The weights of a wish, and their masks so far."""
    weights: dict[str, Tensor] = dict(prunable(ground.model, wish.prunable))  # type: ignore[arg-type]  # files hold it as text
    if wish.matrix:
        weights = {wish.matrix: weights[wish.matrix]}
    return weights, {name: ground.masks[name] for name in weights if name in ground.masks}


def share_before(ground: Ground, wish: Wish) -> float:
    """The share of a wish's weights, in [0, 1], that were pruned before anything is pruned here."""
    weights, _ = _chosen(ground, wish)
    return _pruned_before(ground, wish) / sum(weight.numel() for weight in weights.values())


def _pruned_before(ground: Ground, wish: Wish) -> int:
    return sum(int((~mask).sum()) for mask in _chosen(ground, wish)[1].values())


@contextmanager
def pruned(ground: Ground, wish: Wish, seed: int, basis: Basis = NOTHING) -> Iterator[Masks]:
    """Prunes a model for a while, and updates its kept weights where the criterion does; afterwards every bit is what it was.

    Args:
        ground: The model; what was pruned of it before stays pruned.
        wish: What to prune.
        seed: Of a random criterion.
        basis: What the criterion needs.

    Yields:
        The masks.

    Raises:
        ModelError: The model has no such weights.
    """
    weights, old = _chosen(ground, wish)
    saved = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        yield prune(weights, old, method_of(wish), wish.sparsity, derive_seed(seed, "sensitivity"), basis)
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
        scores=evaluation.scores.facts(),
        mean_tokens=evaluation.decoded.tokens / rows,
        ended=evaluation.decoded.ended / rows,
        seconds=round(evaluation.seconds, 3),
    )


def _evaluate(ground: Ground, after_batch: Callable[[int], None]) -> Evaluation:
    return evaluate(ground.model, ground.reader, ground.encoded, ground.recipe, after_batch, ground.floors)


def _loss(ground: Ground, known: Sensitivity, evaluation: Evaluation) -> dict[str, Difference]:
    before = tally(known.before.texts, [row.target for row in ground.encoded.rows])
    return significance.differences([before], [evaluation.tally], significance.draw(len(before)))
