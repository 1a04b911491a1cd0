"""The encoder against transformers' RobertaModel: states, gradients, start values, dropout; and layers that differ."""

import copy
import json
from pathlib import Path

import pytest
import torch
from test_model import SIZES, SOURCES, TARGETS, rows, small_model
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from core.errors import ModelError
from core.families.checkpoint import ENCODER_FIELDS
from core.families.config import PAD, CodeToTextConfig
from core.families.encoder import ACTIVATIONS, Encoder
from core.families.roberta import CodeToText
from core.model import load_model, save_model

NONE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "decoder_dropout": 0.0}
OURS_ALONE = {"decoder_layers", "decoder_ffn", "decoder_dropout"}
MASKS = {
    "nothing is padded": rows([9, 9, 9], 1),
    "some rows are padded": SOURCES,
    "more padding than any row needs": rows([9, 2, 5], 3, width=17),
}
"""The masks that occur: of an epoch's even batches, of others, and of sources put at a fixed length."""


def transformers_own(encoder: Encoder, config: CodeToTextConfig, attention: str) -> RobertaModel:
    """A RobertaModel with the weights of an encoder of ours."""
    theirs = RobertaModel(RobertaConfig(**{name: getattr(config, name) for name in ENCODER_FIELDS}))
    theirs.set_attn_implementation(attention)
    assert [name for name, _ in theirs.named_parameters()] == [name for name, _ in encoder.named_parameters()]
    theirs.load_state_dict(encoder.state_dict())
    return theirs


def states(theirs: RobertaModel, sources: Tensor) -> Tensor:
    out: Tensor = theirs(input_ids=sources, attention_mask=(sources != PAD).long()).last_hidden_state
    return out


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])  # ours has fused attention, or plain products
def test_states_and_gradients_are_transformers(attention: str, name: str, training: bool) -> None:
    model, sources = small_model(**NONE), MASKS[name]
    theirs = transformers_own(model.encoder, model.config, attention).train(training)
    ours = model.train(training).encode(sources).states
    expected, real = states(theirs, sources), sources != PAD
    assert (ours - expected)[real].abs().max() < 1e-6
    ours[real].square().sum().backward()
    expected[real].square().sum().backward()
    for (parameter, mine), other in zip(model.encoder.named_parameters(), theirs.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None) == parameter.startswith("pooler"), parameter
        if mine.grad is not None and other.grad is not None:
            assert (mine.grad - other.grad).norm() <= 1e-5 * other.grad.norm() + 1e-5, parameter


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_transformers(activation: str) -> None:
    model = small_model(hidden_act=activation)
    expected = states(transformers_own(model.encoder, model.config, "sdpa").eval(), SOURCES)
    assert (model.encode(SOURCES).states - expected)[SOURCES != PAD].abs().max() < 2e-6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_seed_drops_the_same_states_and_attention_weights(precision: str) -> None:
    """What a run learned with transformers' encoder, it learns again: the same bits, dropout included."""
    model = small_model(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2).train()
    theirs = transformers_own(model.encoder, model.config, "eager").train()
    encoded = []
    for encode in (lambda sources: model.encode(sources).states, lambda sources: states(theirs, sources)):
        torch.manual_seed(4)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            encoded.append(encode(SOURCES))
        encoded[-1].float().square().sum().backward()
    assert torch.equal(*encoded)
    for (name, mine), other in zip(model.encoder.named_parameters(), theirs.parameters(), strict=True):
        assert name.startswith("pooler") or torch.equal(mine.grad, other.grad), name  # type: ignore[arg-type]  # both are there


def test_a_seed_gives_the_start_values_of_transformers() -> None:
    config = CodeToTextConfig(**SIZES)  # type: ignore[arg-type]  # numbers, all of them
    torch.manual_seed(7)
    ours = Encoder(config)
    after = torch.rand(3)
    torch.manual_seed(7)
    theirs = RobertaModel(RobertaConfig(**{name: value for name, value in SIZES.items() if name not in OURS_ALONE}))
    assert torch.equal(after, torch.rand(3)), "as many numbers were drawn"
    for (name, mine), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(mine, other), name


def cut(model: CodeToText, heads: list[list[int]], neurons: list[list[int]]) -> CodeToText:
    """The model with these heads and neurons of each encoder layer alone."""
    width, state = model.config.head_width, copy.deepcopy(model.state_dict())
    for layer, (kept_heads, kept) in enumerate(zip(heads, neurons, strict=True)):
        place = f"encoder.encoder.layer.{layer}"
        lines = torch.cat([torch.arange(head * width, (head + 1) * width) for head in kept_heads])
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                name = f"{place}.attention.self.{part}.{kind}"
                state[name] = state[name][lines]
        state[f"{place}.attention.output.dense.weight"] = state[f"{place}.attention.output.dense.weight"][:, lines]
        for kind in ("weight", "bias"):
            state[f"{place}.intermediate.dense.{kind}"] = state[f"{place}.intermediate.dense.{kind}"][kept]
        state[f"{place}.output.dense.weight"] = state[f"{place}.output.dense.weight"][:, kept]
    sizes = {**SIZES, "heads_by_layer": [len(each) for each in heads], "neurons_by_layer": [len(each) for each in neurons]}
    smaller = CodeToText(CodeToTextConfig(**sizes))  # type: ignore[arg-type]  # numbers, and lists of them
    smaller.load_state_dict(state)
    return smaller.eval()


@torch.no_grad()
def test_layers_may_differ_in_heads_and_neurons(tmp_path: Path) -> None:
    model = small_model()
    heads, neurons = [[0, 2, 3], [1]], [list(range(0, 48, 2)), list(range(5))]
    smaller = cut(model, heads, neurons)
    for layer, (kept, some) in enumerate(zip(heads, neurons, strict=True)):  # what is cut says nothing in the model that is whole
        block = model.encoder.encoder.layer[layer]
        for head in set(range(4)) - set(kept):
            block.attention.output.dense.weight[:, head * 8 : (head + 1) * 8] = 0
        block.output.dense.weight[:, [number for number in range(48) if number not in some]] = 0
    assert (smaller.encode(SOURCES).states - model.encode(SOURCES).states)[SOURCES != PAD].abs().max() < 1e-6
    assert torch.allclose(smaller(SOURCES, TARGETS), model(SOURCES, TARGETS), atol=1e-6)
    save_model(smaller, None, tmp_path / "small")
    again = load_model(tmp_path / "small")
    assert again.config.heads_by_layer == [3, 1]
    assert torch.equal(again(SOURCES, TARGETS), smaller(SOURCES, TARGETS))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"heads_by_layer": [3]}, "has 1 entries in heads_by_layer, but asks for 2 layers"),
        ({"neurons_by_layer": [5, -1]}, "= [5, -1], where a list with a whole number from 0 to 131,072 for each"),
        ({"heads_by_layer": 3}, "heads_by_layer = 3, where a list"),
        ({"heads_by_layer": [3, 1]}, "has the shape (32, 32), but config.json asks for (32, 24)"),
    ],
)
def test_layers_that_do_not_fit_the_weights_are_refused(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    save_model(small_model(), None, tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "m")
    assert problem in caught.value.problem


def test_the_pooler_is_kept_and_never_computed() -> None:
    model = small_model()
    model.encoder.pooler.register_forward_hook(lambda *_: pytest.fail("nothing uses what it gives"))
    model(SOURCES, TARGETS)
    assert isinstance(model.encoder.pooler.dense, nn.Linear)
    assert "encoder.pooler.dense.weight" in model.state_dict()
