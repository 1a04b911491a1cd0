"""Criteria against computations that are dense, small and obvious, and their basis against the model itself."""

import math
from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from test_model import small_model

from core import recipe
from core.compress.basis import Basis, Row, measure
from core.compress.criteria import CRITERIA, make_good
from core.compress.masks import keep, prunable
from core.compress.sparsegpt import DAMPING, inverse, solve
from core.errors import ModelError
from core.families.roberta import CodeToText, reads_source
from core.spec import criteria as described
from core.spec.criteria import needs_of

ROWS: list[Row] = [([0, 9, 8, 7, 2], [0, 5, 6, 2]), ([0, 4, 2], [0, 11, 2]), ([0, 30, 31, 32, 33, 34, 2], [0, 12, 13, 14, 15, 2])]
QUERY = "encoder.encoder.layer.0.attention.self.query.weight"
POOLER = "encoder.pooler.dense.weight"


@pytest.fixture
def model() -> CodeToText:
    return small_model()


def everything(model: CodeToText, rows: list[Row] = ROWS) -> Basis:
    return measure(model, rows, prunable(model, "all"), ("inputs", "hessians", "gradients", "squared gradients"))


def padded_inputs(model: CodeToText, name: str, rows: list[Row]) -> torch.Tensor:
    """What reaches a matrix at the real tokens of all rows, computed in one padded batch: (tokens, columns)."""

    def side_by_side(lists: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, lists))
        return torch.tensor([ids + [1] * (longest - len(ids)) for ids in lists])

    sources, targets = (side_by_side([list(row[side]) for row in rows]) for side in (0, 1))
    caught: list[torch.Tensor] = []
    layer = model.get_submodule(name.removesuffix(".weight"))
    handle = layer.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0].detach()))
    with torch.no_grad():
        model.target_logits(sources, targets)
    handle.remove()
    real = sources != 1 if reads_source(name.removesuffix(".weight")) else targets[:, 1:] != 1
    return caught[0][real]


def test_inputs_are_those_of_real_tokens_alone(model: CodeToText) -> None:
    basis = everything(model)
    for name in prunable(model, "all"):
        if name == POOLER:  # nothing reads it
            assert not basis.inputs[name].any()
            assert not basis.hessians[name].any()
            continue
        x = padded_inputs(model, name, ROWS).double()
        torch.testing.assert_close(basis.inputs[name], (x**2).mean(0).float(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(basis.hessians[name], (x.T @ x / len(x)).float(), rtol=1e-4, atol=1e-5)
    key = basis.hessians[QUERY.replace("query", "key")]
    assert key is basis.hessians[QUERY]  # one input, one Hessian
    only = measure(model, ROWS, [QUERY], ["inputs"])
    torch.testing.assert_close(only.inputs[QUERY], basis.inputs[QUERY])
    assert (only.hessians, only.gradients, only.squared_gradients) == ({}, {}, {})


def gradients(model: CodeToText) -> Iterator[dict[str, torch.Tensor]]:
    for source, target in ROWS:
        model.zero_grad()
        model(torch.tensor([source]), torch.tensor([target])).backward()
        yield {
            name: torch.zeros_like(weight) if weight.grad is None else weight.grad
            for name, weight in prunable(model, "all").items()
        }
    model.zero_grad()


def test_gradients_are_the_means_over_rows(model: CodeToText) -> None:
    basis, each = everything(model), list(gradients(model))
    for name in prunable(model, "all"):
        stacked = torch.stack([gradient[name] for gradient in each])
        torch.testing.assert_close(basis.gradients[name], stacked.mean(0), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(basis.squared_gradients[name], (stacked**2).mean(0), rtol=1e-4, atol=1e-9)
    assert all(weight.grad is None for weight in model.parameters())


def test_measuring_changes_nothing_and_is_the_same_again(model: CodeToText) -> None:
    before, state = {name: weight.clone() for name, weight in model.state_dict().items()}, torch.get_rng_state()
    model.train()
    done: list[int] = []
    first = measure(model, ROWS, [QUERY], ["gradients", "hessians"], done.append)
    assert done == [1, 2, 3]
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    second = measure(model, ROWS, [QUERY], ["gradients", "hessians"])
    assert torch.equal(first.gradients[QUERY], second.gradients[QUERY])  # although dropout was on before
    assert torch.equal(first.hessians[QUERY], second.hessians[QUERY])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_an_interruption_leaves_no_hook_and_the_mode(model: CodeToText) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    model.train()
    with pytest.raises(KeyboardInterrupt):
        measure(model, ROWS, [QUERY], ["inputs"], stop)
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_nothing_is_measured_where_nothing_is_needed(model: CodeToText) -> None:
    def refuse(done: int) -> None:
        raise AssertionError

    assert measure(model, ROWS, [QUERY], [], refuse) == Basis()


def scores(name: str, model: CodeToText, basis: Basis, parameter: str = QUERY, seed: int = 0) -> torch.Tensor:
    return CRITERIA[name](seed, basis)(parameter, model.get_parameter(parameter))


def test_scores_are_their_formulas(model: CodeToText) -> None:
    basis, each = everything(model), [gradient[QUERY] for gradient in gradients(model)]
    weight, x = model.get_parameter(QUERY).detach(), padded_inputs(model, QUERY, ROWS)
    mean, square = sum(each) / len(each), sum(g**2 for g in each) / len(each)
    formulas = {
        "magnitude": weight.abs(),
        "wanda": weight.abs() * x.norm(dim=0) / math.sqrt(len(x)),
        "taylor": (weight * mean).abs(),
        "fisher": weight**2 * square,
        "movement": -weight * mean,
        "magnitude-inverted": -weight.abs(),
    }
    for name, expected in formulas.items():
        torch.testing.assert_close(scores(name, model, basis), expected, rtol=1e-4, atol=1e-8, msg=name)
    assert (scores("movement", model, basis) < 0).any()


def test_movement_takes_what_a_training_summed_up(model: CodeToText) -> None:
    weight = model.get_parameter(QUERY)
    sums = torch.arange(weight.numel(), dtype=torch.float32).view(weight.shape)
    assert torch.equal(scores("movement", model, Basis(movements={QUERY: sums})), sums)


def test_wanda_prunes_what_the_authors_code_prunes(model: CodeToText) -> None:
    basis, weight = everything(model), model.get_parameter(QUERY).detach()
    x = padded_inputs(model, QUERY, ROWS)
    metric = weight.abs() * torch.sqrt((x**2).sum(0).reshape(1, -1) / len(ROWS))  # as in their prune_wanda
    order = torch.sort(metric, dim=-1, stable=True)[1]
    mine = CRITERIA["wanda"](0, basis)(QUERY, weight).argsort(dim=-1, stable=True)
    assert torch.equal(mine, order)


def eliminated(weight: torch.Tensor, hessian: torch.Tensor, counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """SparseGPT with an explicit inverse for each column, in double; `counts` is how many weights of each block go."""
    changed, columns = weight.double().clone(), weight.shape[1]
    mask = torch.ones_like(weight, dtype=torch.bool)
    inverses = [torch.linalg.inv(hessian[column:, column:])[0] for column in range(columns)]
    for column in range(columns):
        if column % 128 == 0:
            prices = torch.stack(
                [changed[:, each] ** 2 / inverses[each][0] for each in range(column, min(column + 128, columns))]
            )
            cheap = prices.T.flatten().argsort()[: counts[column // 128]]
            mask[cheap // len(prices), column + cheap % len(prices)] = False
        error = changed[:, column] * ~mask[:, column] / inverses[column][0]
        changed[:, column:] -= torch.outer(error, inverses[column])
    return changed, mask


def a_layer(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A weight, the Hessian of correlated inputs, and the same damped, in double."""
    generator = torch.Generator().manual_seed(columns)
    x = torch.randn(4 * columns, columns, generator=generator) + torch.randn(4 * columns, 1, generator=generator)
    hessian = x.T @ x / len(x)
    damped = hessian.double() + DAMPING * hessian.diagonal().double().mean() * torch.eye(columns, dtype=torch.float64)
    return torch.randn(rows, columns, generator=generator), hessian, damped


@pytest.mark.parametrize("columns", [40, 300])  # less than a block, and more than two
def test_sparsegpt_against_explicit_inverses(columns: int) -> None:
    weight, hessian, damped = a_layer(6, columns)
    prices = torch.stack([torch.linalg.inv(damped[j:, j:])[0, 0] for j in range(columns)])
    scores = CRITERIA["sparsegpt"](0, Basis(hessians={"w": hessian}))("w", weight)
    torch.testing.assert_close(scores, (weight.double() ** 2 / prices).float(), rtol=1e-3, atol=1e-4)
    mask = keep({"w": weight}, {}, lambda name, each: scores, "global", 0.5)["w"]
    counts = [int((~mask[:, first : first + 128]).sum()) for first in range(0, columns, 128)]
    expected, chosen = eliminated(weight, damped, counts)
    actual, settled = solve(weight, mask, inverse(hessian), width=0)
    assert torch.equal(settled, chosen)
    assert not actual[~settled].any()
    torch.testing.assert_close(actual.double(), expected * chosen, rtol=1e-3, atol=1e-3)

    def lost(changed: torch.Tensor) -> float:
        off = changed.double() - weight.double()
        return float(torch.einsum("rc,cd,rd->", off, damped, off))

    by_magnitude = weight * keep({"w": weight}, {}, CRITERIA["magnitude"](0), "global", 0.5)["w"]
    assert lost(actual) < lost(weight * mask) < lost(by_magnitude)


@pytest.mark.parametrize(("width", "parts"), [(128, [128, 2]), (4, [4]), (0, None), (None, None)])
def test_the_update_keeps_every_count_and_what_was_pruned(width: int | None, parts: list[int] | None) -> None:
    weight, hessian, _ = a_layer(8, 132)
    old = torch.rand(8, 132, generator=torch.Generator().manual_seed(1)) > 0.1
    mask = old & (torch.rand(8, 132, generator=torch.Generator().manual_seed(2)) > 0.5)
    changed, settled = solve(weight * old, mask, inverse(hessian), old, width)
    assert not (settled & ~old).any()
    assert not changed[~settled].any()
    if width is None:
        assert torch.equal(settled, mask)
        return
    assert not torch.equal(settled, mask)
    for first, block in ((0, 128), (128, 4)):
        pair = [each[:, first : first + block].sum() for each in (mask, settled)]
        assert pair[0] == pair[1]
        if parts:
            size = min(parts[0], block)
            counts = [each[:, first : first + block].reshape(-1, size).sum(1) for each in (mask, settled)]
            assert torch.equal(counts[0], counts[1])


def test_inputs_that_are_always_0_make_their_weights_the_first_to_go() -> None:
    hessian = torch.diag(torch.tensor([0.0, 4.0, 1.0]))
    weight = torch.tensor([[9.0, 1.0, 1.0]])
    scores = CRITERIA["sparsegpt"](0, Basis(hessians={"w": hessian}))("w", weight)
    assert scores[0].argsort().tolist() == [0, 2, 1]
    weights = {"w": weight.clone()}
    make_good(weights, {"w": torch.tensor([[False, True, True]])}, Basis(hessians={"w": hessian}))
    torch.testing.assert_close(weights["w"], torch.tensor([[0.0, 1.0, 1.0]]))
    nothing = {"w": weight.clone()}  # what no row reaches stays as it is
    make_good(nothing, {"w": torch.ones(1, 3, dtype=torch.bool)}, Basis(hessians={"w": torch.zeros(3, 3)}))
    assert torch.equal(nothing["w"], weight)


def test_fewer_tokens_than_columns_still_have_an_inverse_and_infinities_are_an_error() -> None:
    x = torch.randn(2, 60, generator=torch.Generator().manual_seed(0))
    assert inverse(x.T @ x / 2).factor.isfinite().all()
    with pytest.raises(ModelError, match="no finite numbers"):
        inverse(torch.full((4, 4), math.nan))


def test_shuffled_has_magnitudes_share_of_each_matrix_and_other_places(model: CodeToText) -> None:
    weights = {name: weight.detach().clone() for name, weight in prunable(model, "all").items()}
    for number, weight in enumerate(weights.values()):
        weight *= 1 + number % 3  # so that shares differ
    old = keep(weights, {}, CRITERIA["magnitude"](0), "global", 0.2)
    weights = {name: weight * old[name] for name, weight in weights.items()}
    masks = {name: keep(weights, old, CRITERIA[name](3), "global", 0.6) for name in ("magnitude", "shuffled", "random")}
    counts = {name: {matrix: int(mask.sum()) for matrix, mask in each.items()} for name, each in masks.items()}
    assert counts["shuffled"] == counts["magnitude"]
    assert counts["random"] != counts["magnitude"]
    assert any(not torch.equal(masks["shuffled"][name], masks["magnitude"][name]) for name in weights)
    again = keep(weights, old, CRITERIA["shuffled"](3), "global", 0.6)
    other = keep(weights, old, CRITERIA["shuffled"](4), "global", 0.6)
    assert all(torch.equal(again[name], masks["shuffled"][name]) for name in weights)
    assert any(not torch.equal(other[name], again[name]) for name in weights)


def test_the_tables_of_criteria_agree() -> None:
    assert list(CRITERIA) == list(described.CRITERIA)
    assert get_args(recipe.Criterion) == tuple(CRITERIA)
    assert needs_of("magnitude") == frozenset()
    assert needs_of("taylor", "owl") == {"gradients", "inputs"}
