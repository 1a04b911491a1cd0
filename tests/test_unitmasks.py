"""Masks of whole units: exactly as many as asked for, the lowest scores, whatever the scope; they can all be removed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_model import small_model
from torch import Tensor

from core.compress.criteria import CRITERIA
from core.compress.masks import Masks, apply_masks, prunable, sparsity_of
from core.compress.shrink import plan, shrink, silent_units
from core.compress.unitmasks import LISTED, keep_units, masked_matrices, scores_in_words, unit_blocks, unit_scores
from core.errors import ModelError, RecipeError
from core.families.roberta import CodeToText
from core.families.units import Block
from core.recipe import Scope, Unit, build_recipe
from core.spec.layout import is_prunable


def weights_of(model: CodeToText) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters()}


def chosen(
    model: CodeToText, unit: Unit, scope: Scope, sparsity: float, masks: Masks | None = None, criterion: str = "magnitude"
) -> Masks:
    blocks = unit_blocks(model.config, "all", unit)
    return keep_units(weights_of(model), masks or {}, blocks, CRITERIA[criterion](0), unit, scope, sparsity)


def score(model: CodeToText, block: Block, unit: int) -> float:
    """The mean magnitude of a unit's weights, taken apart by hand."""
    weights, hidden = weights_of(model), model.config.hidden_size
    lines = slice(unit * block.width, (unit + 1) * block.width)
    parts = [weights[block.columns][:, lines]]
    for rows in block.rows:
        parts += [weights[rows.tensor][part * hidden * (rows.of > 1) :][lines] for part in rows.parts]
    flat = torch.cat([part.flatten() for part in parts])
    return float(flat.abs().mean())


@pytest.mark.parametrize("unit", ["head", "neuron"])
@pytest.mark.parametrize("sparsity", [0.0, 0.2, 0.5, 1.0])
def test_every_block_loses_its_lowest_units(unit: Unit, sparsity: float) -> None:
    model = small_model()
    masks = chosen(model, unit, "layerwise", sparsity)
    kept = plan(model.config, masks).kept
    for block in unit_blocks(model.config, "all", unit):
        assert block.kind == unit
        assert kept[block.name] == (block.count - round(sparsity * block.count), block.count)
        alive = masks[block.columns].any(0).view(block.count, block.width).any(1)
        scores = torch.tensor([score(model, block, number) for number in range(block.count)])
        if 0 < sparsity < 1:
            assert scores[alive].min() >= scores[~alive].max()
    assert sparsity_of(masks) == pytest.approx(sparsity, abs=0.06)


def test_scores_are_told_of_kept_and_pruned_units() -> None:
    model = small_model()
    blocks, criterion = unit_blocks(model.config, "all", "head+neuron"), CRITERIA["magnitude"](0)
    before: Masks = {}
    for sparsity in (0.25, 0.5):
        scores = unit_scores(weights_of(model), before, blocks, criterion)
        masks = chosen(model, "head+neuron", "layerwise", sparsity, before)
        in_words = scores_in_words(scores, blocks, masks)
        kept = plan(model.config, masks).kept
        assert {name: (each.kept, each.count) for name, each in in_words.items()} == kept
        for block in blocks:
            own = [score(model, block, number) for number in range(block.count)]
            gone = silent_units(block, masks)
            new = [own[number] for number in range(block.count) if gone[number] and not silent_units(block, before)[number]]
            alive = [own[number] for number in range(block.count) if not gone[number]]
            each = in_words[block.name]
            assert each.kept_scores == pytest.approx([min(alive), sorted(alive)[(len(alive) - 1) // 2], max(alive)])
            assert each.pruned_scores == pytest.approx([min(new), sorted(new)[(len(new) - 1) // 2], max(new)])
            assert each.pruned == gone.nonzero().flatten().tolist()
            listed = [None if silent_units(block, before)[number] else own[number] for number in range(block.count)]
            assert each.each == pytest.approx(listed)
        before = masks
    many = small_model(intermediate_size=LISTED + 1)
    blocks = unit_blocks(many.config, "encoder", "neuron")
    in_words = scores_in_words(unit_scores(weights_of(many), {}, blocks, criterion), blocks, {})
    assert {(len(each.each), each.kept, tuple(each.pruned_scores)) for each in in_words.values()} == {(0, LISTED + 1, ())}


def test_globally_the_lowest_units_of_all_blocks_go() -> None:
    model = small_model()
    blocks = unit_blocks(model.config, "encoder", "head")
    masks = keep_units(weights_of(model), {}, blocks, CRITERIA["magnitude"](0), "head", "global", 0.5)
    scores = sorted((score(model, block, number), block.name, number) for block in blocks for number in range(block.count))
    gone = {(name, number) for _, name, number in scores[:4]}
    for block in blocks:
        alive = masks[block.columns].any(0).view(block.count, block.width).any(1)
        assert {(block.name, int(number)) for number in (~alive).nonzero()} == {pair for pair in gone if pair[0] == block.name}
    assert sparsity_of(masks) == 0.5


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["head", "neuron", "head+neuron", "layer"]), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_masks_only_grow_and_every_pruned_unit_can_be_removed(unit: Unit, first: float, second: float, seed: int) -> None:
    model = small_model(seed % 2)
    scope: Scope = "global" if unit == "layer" or seed % 3 else "layerwise"
    before = chosen(model, unit, scope, first, criterion="random")
    masks = chosen(model, unit, scope, second, before, criterion="random")
    assert all(not bool((masks[name] & ~mask).any()) for name, mask in before.items())
    assert set(masks) == {name for name in prunable(model, "all", unit) if is_prunable(name, "all", unit)}
    if second >= first:
        sizes: dict[object, float] = {}
        for block in unit_blocks(model.config, "all", unit):
            weights = sum(masks[name].numel() for name in masked_matrices(block))
            place = (block.part, block.layer) if unit == "layer" else block
            sizes[place] = sizes.get(place, 0.0) + (weights if unit == "layer" else weights / block.count)
        half_a_unit = max(sizes.values()) / 2 / sum(mask.numel() for mask in masks.values())
        assert abs(sparsity_of(masks) - second) <= (1 / 8 if scope == "layerwise" else half_a_unit) + 1e-9  # of four heads
    smaller, left = shrink(model, masks)
    assert not left  # nothing but whole units is pruned
    assert sum(weight.numel() for weight in smaller.parameters()) <= sum(weight.numel() for weight in model.parameters())


def test_a_layer_goes_with_all_its_blocks() -> None:
    model = small_model()
    masks = chosen(model, "layer", "global", 0.5)
    kept = plan(model.config, masks).kept
    layers: dict[str, set[bool]] = {}
    for name, (left, _) in kept.items():
        layers.setdefault(" ".join(name.split()[:2]), set()).add(left > 0)
    assert all(len(states) == 1 for states in layers.values()), "whole or not at all"
    assert {True} in layers.values()
    assert {False} in layers.values()


def test_units_of_two_kinds_compete_by_score_per_weight() -> None:
    model = small_model()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(0.5 if "attention" in name or "attn" in name else 1.0)
    masks = chosen(model, "head+neuron", "global", 0.25)
    assert all(bool(mask.all()) for name, mask in masks.items() if not ("attention" in name or "attn" in name))
    assert sparsity_of(masks) == pytest.approx(0.25, abs=0.02)


def test_ties_and_scores_that_are_no_numbers() -> None:
    model = small_model()
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0)
        model.encoder.encoder.layer[0].intermediate.dense.weight[0] = torch.nan
    masks = chosen(model, "neuron", "layerwise", 0.5)
    alive = masks["encoder.encoder.layer.0.output.dense.weight"].any(0)
    assert alive.tolist() == [True] + [False] * 24 + [True] * 23  # by position; what is no number is kept


def test_the_masked_units_say_nothing() -> None:
    model = small_model()
    masks = chosen(model, "head+neuron", "global", 0.6)
    apply_masks(weights_of(model), masks)
    smaller, _ = shrink(model, masks)
    assert smaller.config.is_uneven


def test_units_that_are_not_there_are_refused() -> None:
    with pytest.raises(ModelError, match='no units that prunable = "encoder" and unit = "head" name'):
        unit_blocks(small_model(heads_by_layer=[0, 0]).config, "encoder", "head")


@pytest.mark.parametrize(
    ("pruning", "problem"),
    [
        ({"unit": "layer"}, 'pruning.unit = "layer" lets layers compete'),
        ({"unit": "neuron", "prunable": "encoder-attention"}, 'prunable = "encoder-attention" names no neurons'),
        ({"shrink": True}, "pruning.shrink = true removes whole units"),
        ({"unit": ["head", "word"]}, "allowed: weight, head, neuron, head+neuron, layer"),
    ],
)
def test_recipes_that_cannot_be(pruning: dict[str, object], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe({"pruning": pruning})
    assert problem in caught.value.problem


def test_a_list_of_units_is_a_competition() -> None:
    assert build_recipe({"pruning": {"unit": ["neuron", "head"]}}, strict=True).pruning.unit == "head+neuron"
