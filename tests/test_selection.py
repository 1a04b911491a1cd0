"""Scopes, budgets and patterns: exact counts in every group, and shares against small dense computations."""

import math

import pytest
import torch
from test_masks import distinct

from core.compress.basis import Basis
from core.compress.budgets import OUTLIER, SPAN, lamp, shares
from core.compress.criteria import CRITERIA
from core.compress.masks import Masks, keep
from core.compress.selection import Method, prune, select
from core.errors import ModelError, RecipeError
from core.recipe import LOOKING, Budget, Pruning, Scope, parse_recipe, pattern_of
from core.spec.criteria import CRITERIA as IN_WORDS

QUERY, INNER = "encoder.encoder.layer.{}.attention.self.query.weight", "encoder.encoder.layer.{}.intermediate.dense.weight"
Weights = dict[str, torch.Tensor]


def some_weights(scales: tuple[float, ...] = (1.0, 3.0, 0.5)) -> Weights:
    parts = distinct((16, 24), (32, 24), (16, 24)).values()
    names = (QUERY.format(0), INNER.format(0), QUERY.format(1))
    return {name: part * scale for name, part, scale in zip(names, parts, scales, strict=True)}


def gone(masks: Masks) -> int:
    return sum(int((~mask).sum()) for mask in masks.values())


def total(weights: Weights) -> int:
    return sum(weight.numel() for weight in weights.values())


def a_basis(weights: Weights) -> Basis:
    generator = torch.Generator().manual_seed(5)
    return Basis(inputs={name: torch.rand(weight.shape[1], generator=generator) ** 4 for name, weight in weights.items()})


@pytest.mark.parametrize("scope", ["layerwise", "global"])
def test_plain_selection_is_what_keep_does(scope: Scope) -> None:
    weights = some_weights()
    old = keep(weights, {}, CRITERIA["random"](1), "global", 0.2)
    expected = keep(weights, old, CRITERIA["magnitude"](0), scope, 0.6)
    masks = select(weights, old, Method(scope=scope), 0.6, 0)
    assert all(torch.equal(masks[name], expected[name]) for name in weights)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_every_row_loses_its_lowest(share: float) -> None:
    weights = some_weights()
    masks = select(weights, {}, Method(scope="row"), share, 0)
    for name, weight in weights.items():
        for row, mask in zip(weight.abs(), masks[name], strict=True):
            assert int((~mask).sum()) == round(share * len(row))
            assert set((~mask).nonzero()[:, 0].tolist()) == set(row.argsort()[: round(share * len(row))].tolist())


@pytest.mark.parametrize("pattern", ["2:4", "4:8", "1:3", "7:8"])
def test_every_group_of_neighbours_keeps_n_of_m(pattern: str) -> None:
    weights, (n, m) = some_weights(), map(int, pattern.split(":"))
    masks: Masks = {}
    for share in (0.3 * (1 - n / m), 0.7 * (1 - n / m), 1 - n / m):  # as a schedule comes there
        before, masks = masks, select(weights, masks, Method(pattern=pattern), share, 0)
        assert not any((masks[name] & ~mask).any() for name, mask in before.items())
        for name in weights:
            assert ((~masks[name]).view(-1, m).sum(1) == round(share * m)).all()
    for name, weight in weights.items():
        groups, kept = weight.abs().view(-1, m), masks[name].view(-1, m)
        assert (kept.sum(1) == n).all()
    once = select(weights, {}, Method(pattern=pattern), 1 - n / m, 0)
    for name, weight in weights.items():
        groups, kept = weight.abs().view(-1, m), once[name].view(-1, m)
        lowest_kept = groups.masked_fill(~kept, math.inf).amin(1)
        assert (groups.masked_fill(kept, 0).amax(1) < lowest_kept).all()


@pytest.mark.parametrize(("pattern", "down", "across"), [("4x4", 4, 4), ("1x8", 1, 8), ("16x1", 16, 1)])
@pytest.mark.parametrize("scope", ["layerwise", "global", "row"])
def test_blocks_go_as_a_whole_those_with_the_lowest_mean_first(pattern: str, down: int, across: int, scope: Scope) -> None:
    weights = some_weights()
    masks = select(weights, {}, Method(scope=scope, pattern=pattern), 0.5, 0)
    blocks, sums = {}, {}
    for name, weight in weights.items():
        cut = masks[name].view(weight.shape[0] // down, down, weight.shape[1] // across, across).transpose(1, 2)
        assert (cut.flatten(2).all(2) | ~cut.flatten(2).any(2)).all()
        blocks[name] = cut[..., 0, 0]
        sums[name] = weight.abs().view(weight.shape[0] // down, down, -1, across).sum((1, 3))
        if scope == "row":
            assert ((~blocks[name]).sum(1) == round(0.5 * blocks[name].shape[1])).all()
        elif scope == "layerwise":
            assert int((~blocks[name]).sum()) == round(0.5 * blocks[name].numel())
            assert sums[name][~blocks[name]].max() < sums[name][blocks[name]].min()
    if scope == "global":
        every, kept = (torch.cat([each.flatten() for each in parts.values()]) for parts in (sums, blocks))
        assert int((~kept).sum()) == round(0.5 * len(kept))
        assert every[~kept].max() < every[kept].min()
    later = select(weights, masks, Method(scope=scope, pattern=pattern), 0.75, 0)
    assert not any((later[name] & ~masks[name]).any() for name in weights)


@pytest.mark.parametrize("pattern", ["2:5", "3x4", "4x5"])
def test_a_pattern_that_does_not_divide_is_refused(pattern: str) -> None:
    with pytest.raises(ModelError, match=f"pruning.pattern = '{pattern}' does not divide {QUERY.format(0)}"):
        select(some_weights(), {}, Method(pattern=pattern), 0.5, 0)


@pytest.mark.parametrize("budget", ["uniform", "global", "lamp", "owl"])
@pytest.mark.parametrize("criterion", ["magnitude", "random", "magnitude-inverted"])
def test_budgets_give_the_total_and_never_bring_anything_back(budget: Budget, criterion: str) -> None:
    weights = some_weights()
    basis, masks = a_basis(weights), keep(weights, {}, CRITERIA["random"](1), "layerwise", 0.1)
    for sparsity in (0.3, 0.6, 0.95):
        before = masks
        masks = select(weights, masks, Method(criterion, budget=budget), sparsity, 0, basis)
        assert gone(masks) == (
            round(sparsity * total(weights))
            if budget != "uniform"
            else sum(round(sparsity * w.numel()) for w in weights.values())
        )
        assert not any((masks[name] & ~before[name]).any() for name in weights)


def test_the_global_budget_is_global_pruning_and_shares_out_rows_alike() -> None:
    weights = some_weights()
    expected = keep(weights, {}, CRITERIA["magnitude"](0), "global", 0.5)
    masks = select(weights, {}, Method(budget="global"), 0.5, 0)
    assert all(torch.equal(masks[name], expected[name]) for name in weights)
    rows = select(weights, {}, Method(scope="row", budget="global"), 0.5, 0)
    for name, mask in rows.items():
        counts = (~mask).sum(1)
        assert (counts == counts[0]).all()
        assert abs(float((~mask).float().mean()) - float((~expected[name]).float().mean())) <= 0.5 / mask.shape[1]


def test_lamp_is_the_papers_score() -> None:
    weight = torch.tensor([[3.0, -1.0], [2.0, 0.0]])
    assert torch.allclose(lamp("w", weight), torch.tensor([[1.0, 1 / 14], [4 / 13, 0.0]]))
    assert not lamp("w", torch.zeros(2, 2)).any()
    weights = some_weights()
    scores = {}
    for name, each in weights.items():
        flat = each.flatten().double() ** 2
        scores[name] = torch.stack([value / flat[flat >= value].sum() for value in flat]).view(each.shape)
    threshold = torch.cat([each.flatten() for each in scores.values()]).sort().values[round(0.7 * total(weights))]
    own = shares(weights, {}, CRITERIA["random"](0), "lamp", 0.7, Basis())
    for name, each in scores.items():
        assert own[name] == pytest.approx(float((each < threshold).double().mean()))
    masks = select(weights, {}, Method(budget="lamp"), 0.7, 0)
    assert all(torch.equal(masks[name], scores[name] >= threshold) for name in weights)


def test_owl_keeps_more_where_outliers_are() -> None:
    weights = some_weights((1.0, 1.0, 1.0))
    basis = a_basis(weights)
    for name in (QUERY.format(0), INNER.format(0)):
        basis.inputs[name][:2] = 400.0
    ratios = []
    for names in ([QUERY.format(0), INNER.format(0)], [QUERY.format(1)]):  # layer by layer
        scores = torch.cat([(weights[name].abs() * basis.inputs[name].sqrt()).flatten() for name in names])
        ratios.append(float((scores > OUTLIER * scores.mean()).double().mean()))
    assert ratios[0] != ratios[1]
    spread = [2 * SPAN * (each - min(ratios)) / (max(ratios) - min(ratios)) for each in ratios]
    sparsities = [0.6 - (each - sum(spread) / 2) for each in spread]
    own = shares(weights, {}, CRITERIA["magnitude"](0), "owl", 0.6, basis)
    assert own[QUERY.format(0)] == pytest.approx(own[INNER.format(0)], abs=1e-2)
    assert own[QUERY.format(0)] - own[QUERY.format(1)] == pytest.approx(sparsities[0] - sparsities[1], abs=1e-2)
    alike = shares(weights, {}, CRITERIA["magnitude"](0), "owl", 0.6, Basis(inputs=dict.fromkeys(weights, torch.ones(24))))
    assert sum(alike[name] * weights[name].numel() for name in weights) == pytest.approx(round(0.6 * total(weights)))


SOLVED: list[tuple[Scope, str]] = [("layerwise", ""), ("row", ""), ("layerwise", "2:4"), ("layerwise", "4x4")]


def test_pruning_sets_what_goes_to_0_and_sparsegpt_updates_the_rest() -> None:
    for method in (
        Method(),
        Method("sparsegpt"),
        Method("sparsegpt", "row"),
        Method("sparsegpt", pattern="2:4"),
        Method("sparsegpt", pattern="4x4"),
    ):
        weights, dense = some_weights(), some_weights()
        x = torch.randn(200, 24, generator=torch.Generator().manual_seed(0)) + 1.0
        basis = Basis(hessians=dict.fromkeys(weights, x.T @ x / len(x)))
        old = keep(weights, {}, CRITERIA["random"](0), "layerwise", 0.0)
        masks = prune(weights, old, method, 0.5, 0, basis)
        chosen = select(dense, old, method, 0.5, 0, basis)
        assert gone(masks) == gone(chosen)
        for name in weights:
            assert not weights[name][~masks[name]].any()
            moved = not torch.equal(weights[name][masks[name]], dense[name][masks[name]])
            assert moved == (method.criterion == "sparsegpt")
            if method.scope == "row":
                assert ((~masks[name]).sum(1) == 12).all()
            if method.pattern == "2:4":
                assert (masks[name].view(-1, 4).sum(1) == 2).all()
            if method.pattern == "4x4":
                assert torch.equal(masks[name], chosen[name])


def test_patterns_are_read() -> None:
    assert pattern_of("") is None
    assert (pattern_of("2:4"), pattern_of("4x8")) != (None, None)
    assert [(each.kind, each.down, each.across) for text in ("2:4", "4x8") if (each := pattern_of(text))] == [
        ("n:m", 2, 4),
        ("block", 4, 8),
    ]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('scope = "global"\nbudget = "lamp"', 'pruning.budget = "lamp" is for a scope inside matrices'),
        ('pattern = "2:4"', 'pruning.pattern = "2:4" ends at a sparsity of 0.5; set pruning.final_sparsity to that'),
        ('pattern = "4:4"\nfinal_sparsity = 0.5', "keeps nothing or everything"),
        ('pattern = "2:4"\nfinal_sparsity = 0.5\nbudget = "lamp"', "gives every matrix the same sparsity"),
        ('pattern = "two"', "pruning.pattern = 'two' is not allowed; allowed: nothing, n:m such as 2:4"),
        ('criterion = "wanda"\n[evaluation]\nsplit = "train"', "looks at training rows, which evaluation.split"),
        ('budget = "owl"\n[evaluation]\nsplit = "train"', 'pruning.budget = "owl" looks at training rows'),
        ('criterion = "wands"', 'did you mean "wanda"?'),
    ],
)
def test_what_does_not_go_together_is_refused(lines: str, problem: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(f"[pruning]\n{lines}\n")
    assert problem in str(error.value)


def test_recipes_and_tables_agree() -> None:
    assert set(LOOKING) == {name for name, each in IN_WORDS.items() if each.needs}
    parse_recipe('[pruning]\npattern = "2:4"\nfinal_sparsity = 0.5\ncriterion = "sparsegpt"\n')
    assert Pruning().pattern == ""
