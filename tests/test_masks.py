"""Masks against torch's own pruning, and against what must hold for any weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from core.compress.criteria import magnitude, random
from core.compress.masks import (
    SAMPLE_STEP,
    _Group,
    apply_masks,
    collapsed,
    keep,
    load_masks,
    masks_of_zeros,
    prunable,
    refuse_tied,
    save_masks,
    sparsity_of,
)
from core.errors import ModelError
from core.spec.layout import locate


def distinct(*shapes: tuple[int, ...], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights without two equal magnitudes, so that every correct ranking gives the same masks."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(torch.Size(shape).numel() for shape in shapes)
    values = (torch.randperm(total, generator=generator) + 1).float() / total
    values *= torch.where(torch.rand(total, generator=generator) < 0.5, -1.0, 1.0)
    parts = values.split([torch.Size(shape).numel() for shape in shapes])
    return {f"w{i}": part.view(shape) for i, (part, shape) in enumerate(zip(parts, shapes, strict=True))}


@pytest.mark.parametrize("sparsity", [0.001, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_global_magnitude_equals_torch_global_unstructured(sparsity: float) -> None:
    weights = distinct((40, 50), (7, 3), (64, 10))
    layers = []
    for weight in weights.values():
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data.copy_(weight)
        layers.append(layer)
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=sparsity)
    masks = keep(weights, {}, magnitude(0), "global", sparsity)
    for layer, mask in zip(layers, masks.values(), strict=True):
        assert torch.equal(layer.weight_mask.bool(), mask)


def test_layerwise_magnitude_equals_torch_l1_unstructured_round_after_round() -> None:
    weights = distinct((40, 50), (7, 3))
    masks: dict[str, torch.Tensor] = {}
    layers = {name: nn.Linear(w.shape[1], w.shape[0], bias=False) for name, w in weights.items()}
    for name, layer in layers.items():
        layer.weight.data.copy_(weights[name])
    for number in range(1, 10):
        masks = keep(weights, masks, magnitude(0), "layerwise", number / 10)
        for name, layer in layers.items():
            amount = round(number / 10 * layer.weight.numel()) - int(weights[name].numel() - masks_before(layer))
            prune.l1_unstructured(layer, "weight", amount=amount)
            assert torch.equal(layer.weight_mask.bool(), masks[name])


def masks_before(layer: nn.Linear) -> int:
    return int(layer.weight_mask.sum()) if hasattr(layer, "weight_mask") else layer.weight.numel()


def test_denormal_scores_keep_their_order_and_both_zeros_are_one() -> None:
    weights = {"w": torch.tensor([3.0, -1e-40, 0.0, -2.0, 1e-45, -0.0])}
    identity = lambda name, weight: weight.float()  # noqa: E731 - a criterion with scores below zero
    order = []
    masks: dict[str, torch.Tensor] = {}
    for count in range(1, 7):
        before = masks.get("w", torch.ones(6, dtype=torch.bool))
        masks = keep(weights, masks, identity, "global", count / 6)
        order.append(int((before & ~masks["w"]).nonzero()))
    # 0.0 and -0.0 are equal, so the earlier one goes first; nothing else is equal
    assert order == [3, 1, 2, 5, 4, 0]


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_ties_go_by_position(scope: str) -> None:
    weights = {"a": torch.ones(4), "b": torch.ones(4)}
    masks = keep(weights, {}, magnitude(0), scope, 0.5)  # type: ignore[arg-type]  # parametrised literal
    expected = {"global": ([0, 0, 0, 0], [1, 1, 1, 1]), "layerwise": ([0, 0, 1, 1], [0, 0, 1, 1])}[scope]
    assert (masks["a"].int().tolist(), masks["b"].int().tolist()) == expected


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.sampled_from(["global", "layerwise"]),
    st.sampled_from([magnitude, random]),
    st.integers(0, 5),
)
def test_counts_are_exact_and_masks_only_shrink(sizes, shares, scope, criterion, distinct_values) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    # few distinct values: many ties
    weights = {
        f"w{i}": torch.randint(-distinct_values, distinct_values + 1, (n,), generator=generator).float()
        for i, n in enumerate(sizes)
    }
    masks: dict[str, torch.Tensor] = {}
    for number, share in enumerate(sorted(shares)):
        before = masks
        masks = keep(weights, masks, criterion(number), scope, share)
        groups = [list(weights)] if scope == "global" else [[name] for name in weights]
        for names in groups:
            total = sum(weights[name].numel() for name in names)
            assert total - sum(int(masks[name].sum()) for name in names) == round(share * total)
        for name, old in before.items():
            assert not (masks[name] & ~old).any()


def test_a_lower_sparsity_brings_nothing_back() -> None:
    weights = distinct((20, 20))
    masks = keep(weights, {}, magnitude(0), "global", 0.5)
    assert torch.equal(keep(weights, masks, magnitude(0), "global", 0.2)["w0"], masks["w0"])


def test_random_scores_depend_on_seed_and_name_only() -> None:
    weight = torch.zeros(50)
    assert torch.equal(random(1)("a", weight), random(1)("a", weight + 1))
    assert not torch.equal(random(1)("a", weight), random(2)("a", weight))
    assert not torch.equal(random(1)("a", weight), random(1)("b", weight))
    state = torch.get_rng_state()
    random(1)("a", weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_apply_sets_pruned_weights_to_zero_and_leaves_the_rest() -> None:
    weights = distinct((10, 10))
    masks = keep(weights, {}, magnitude(0), "global", 0.3)
    before = weights["w0"].clone()
    apply_masks(weights, masks)
    assert int((weights["w0"] == 0).sum()) == 30
    assert torch.equal(weights["w0"][masks["w0"]], before[masks["w0"]])
    assert sparsity_of(masks) == pytest.approx(0.3)


def test_collapsed_names_matrices_with_nothing_left() -> None:
    assert collapsed({"a": torch.zeros(3, dtype=torch.bool), "b": torch.tensor([False, True])}) == ["a"]


def test_masks_are_stored_as_bits(tmp_path) -> None:
    masks = {"a.weight": torch.rand(33, 7) < 0.5, "b": torch.zeros(1, dtype=torch.bool)}
    save_masks(masks, tmp_path / "m.safetensors")
    loaded = load_masks(tmp_path / "m.safetensors")
    assert list(loaded) == ["a.weight", "b"]
    assert all(torch.equal(masks[name], loaded[name]) for name in masks)
    save_masks({"x": torch.ones(800_000, dtype=torch.bool)}, tmp_path / "big.safetensors")
    assert (tmp_path / "big.safetensors").stat().st_size < 101_000


def test_damaged_masks_are_a_clear_error(tmp_path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"Cannot read the masks in .*m\.safetensors.*repeat the round"):
        load_masks(tmp_path / "m.safetensors")


class Tiny(nn.Module):
    """Names as in a CodeXGLUE checkpoint, two layers."""

    def __init__(self) -> None:
        super().__init__()
        names = [
            f"encoder.encoder.layer.0.{part}" for part in ("attention.self.query", "attention.output.dense", "intermediate.dense")
        ]
        names += ["encoder.pooler.dense", "decoder.layers.0.linear1", "decoder.layers.0.self_attn.out_proj", "lm_head"]
        for name in names:
            self._put(name)

    def _put(self, name: str) -> None:
        owner: nn.Module = self
        *path, last = name.split(".")
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, nn.Module())
            owner = getattr(owner, part)
        owner.add_module(last, nn.Linear(4, 4))


@pytest.mark.parametrize(
    ("preset", "count"), [("encoder", 4), ("encoder-attention", 2), ("encoder-ffn", 1), ("decoder", 2), ("all", 6)]
)
def test_presets_name_weight_matrices_only(preset: str, count: int) -> None:
    matrices = prunable(Tiny(), preset)  # type: ignore[arg-type]  # parametrised literal
    assert len(matrices) == count
    assert all(name.endswith(".weight") and locate(name) is not None for name in matrices)


def test_a_model_without_such_weights_is_refused() -> None:
    with pytest.raises(ModelError, match='no weights that prunable = "encoder" names'):
        prunable(nn.Linear(2, 2), "encoder")


def test_tied_weights_are_refused_by_name() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    refuse_tied(model, ["a.weight", "b.weight"])
    model["b"].weight = model["a"].weight
    with pytest.raises(ModelError, match=r"b\.weight cannot be pruned: it is tied to a\.weight"):
        refuse_tied(model, ["b.weight"])


# --- by a sample, and by counting


def large(seed: int) -> dict[str, torch.Tensor]:
    """Weights enough to draw a sample from, many of them equal."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(900, 900, generator=generator),
        "b": torch.randn(300, 700, generator=generator).mul(50).round().div(50),
    }


def by_counting(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> dict[str, torch.Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr("core.compress.masks.LEAST_SAMPLE", 10**9)
        return keep(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("sparsity", [0.001, 0.3, 0.5, 0.9, 0.999])
def test_a_sample_finds_the_very_threshold_that_counting_finds(sparsity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = large(1)
    old = keep(weights, {}, magnitude(0), "global", sparsity / 2)
    expected = by_counting(monkeypatch, weights, old, magnitude(0), "global", sparsity)
    with monkeypatch.context() as patch:
        patch.setattr(_Group, "_counted", None)  # the sample has to be enough
        masks = keep(weights, old, magnitude(0), "global", sparsity)
    assert all(torch.equal(masks[name], expected[name]) for name in weights)
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(sparsity * sum(w.numel() for w in weights.values()))


def test_a_sample_that_misleads_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"a": torch.rand(600, 600)}
    weights["a"].view(-1)[::SAMPLE_STEP] = 7.0  # all that is drawn is larger than all the rest
    expected = by_counting(monkeypatch, weights, {}, magnitude(0), "global", 0.5)
    assert torch.equal(keep(weights, {}, magnitude(0), "global", 0.5)["a"], expected["a"])


def test_what_is_no_number_goes_last() -> None:
    weights = large(2)
    weights["a"][3, :7] = torch.nan
    for left in (510_000, 5):
        masks = keep(weights, {}, magnitude(0), "global", 1 - left / 1_020_000)
        assert int(masks["a"][3, :7].sum()) == min(left, 7)
        assert sum(int(mask.sum()) for mask in masks.values()) == left
    assert not any(mask.any() for mask in keep(weights, {}, magnitude(0), "global", 1.0).values())


def test_masks_of_zeros_are_those_of_matrices_that_were_pruned() -> None:
    weights = {name: torch.ones(10, 20) for name in ("pruned", "dense", "few", "all")}
    weights["pruned"][:, ::2] = 0
    weights["few"][0, 0] = 0
    weights["all"].zero_()
    (name, mask), *rest = masks_of_zeros(weights).items()
    assert (name, rest) == ("pruned", [])
    assert torch.equal(mask, weights["pruned"] != 0)
