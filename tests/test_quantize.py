"""Quantized copies against plain arithmetic written here, their fast decoding, and their folders."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_model import SIZES, SOURCES, TARGETS, small_model
from torch import Tensor, nn

from core.compress import quantize as quantizers
from core.compress.quantize import (
    UnavailableError,
    all_codes,
    memory_bytes,
    multiplied_weights,
    quantize,
    quantized_weights,
)
from core.decode import beam_search
from core.errors import ModelError
from core.evaluate.speed import endless
from core.families.config import BOS, EOS, PAD
from core.families.projected import project
from core.families.reader import Reader
from core.families.roberta import CodeToText
from core.families.tokenizer import train_tokenizer
from core.model import is_finetuned, load_masks, load_model, save_model
from core.spec.quantizers import METHODS

HERE = [name for name in METHODS if name != "llm-int8"]
INTEGERS = ["dynamic-int8", "int8-weight", "int8-w8a8"]
LISTS = [[token for token in row if token != PAD] for row in SOURCES.tolist()]


def outputs(model: CodeToText) -> Tensor:
    with torch.inference_mode():
        return model.target_logits(SOURCES, TARGETS)[0].float()


def error(values: Tensor, exact: Tensor) -> float:
    return float((values - exact).norm() / exact.norm())


def test_every_method_has_a_function() -> None:
    assert all(callable(getattr(quantizers, method.function)) for method in METHODS.values())


# --- what is computed


def rounded_rows(weight: Tensor) -> Tensor:
    scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-9) / 127.5
    return (weight * (1 / scale)).round().clamp(
        -128, 127
    ) * scale  # a row's largest is a tie, -127.5: divided it may round otherwise


def with_weights(model: CodeToText, rounded: Any) -> CodeToText:
    """The model with other weights in every multiplied matrix; the embedding table stays."""
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(rounded(module.weight))
            elif hasattr(module, "in_proj_weight"):
                module.in_proj_weight.copy_(rounded(module.in_proj_weight))
    return model


def test_weight_only_is_rounding_every_row_of_every_matrix() -> None:
    assert error(outputs(quantize(small_model(), "int8-weight")), outputs(with_weights(small_model(), rounded_rows))) < 1e-5
    assert error(outputs(small_model()), outputs(with_weights(small_model(), rounded_rows))) > 1e-3


def test_int4_is_four_bits_with_a_scale_and_a_zero_for_each_group_of_columns() -> None:
    exact = small_model().decoder.layers[0].linear1
    model = quantize(small_model(), "int4-weight")
    codes, grid = all_codes(model)["decoder.layers.0.linear1"]
    assert (codes.shape, codes.dtype, grid.shape) == ((64, 16), torch.uint8, (64, 1, 2))
    low, high = exact.weight.bfloat16().float().aminmax(dim=1)
    assert torch.allclose(grid[:, 0, 0].float(), (high - low) / 15, rtol=2e-2)
    each = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(1).float()  # columns 0, 1, 2, …
    weight = grid[:, 0, :1].float() * (each - 8) + grid[:, 0, 1:].float()
    assert (weight - exact.weight).abs().max() < 0.6 * grid[:, 0, 0].max()
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert error(model.decoder.layers[0].linear1(x).float(), F.linear(x.float(), weight, exact.bias.detach())) < 0.01


def test_dynamic_int8_is_seven_bits_a_tensor() -> None:
    layer = quantize(small_model(), "dynamic-int8").decoder.layers[0].linear1
    weight, x = small_model().decoder.layers[0].linear1, torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1))
    low, scale = float(x.min()), float(x.max() - x.min()) / 127
    zero = round(-low / scale)
    seen = (((x / scale).round() + zero).clamp(0, 127) - zero) * scale
    step = weight.weight.abs().max() / 127.5
    expected = F.linear(seen, (weight.weight / step).round().clamp(-128, 127) * step, weight.bias)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_w8a8_rounds_each_token_on_its_own() -> None:
    layer = quantize(small_model(), "int8-w8a8").decoder.layers[0].linear1
    x = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 10.0, 100.0])[:, None]
    step = x.abs().amax(-1, keepdim=True) / 127.5
    linear = small_model().decoder.layers[0].linear1
    expected = F.linear((x * (1 / step)).round().clamp(-128, 127) * step, rounded_rows(linear.weight), linear.bias)
    assert torch.allclose(layer(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "most"),
    [("fp16", 0.005), ("bf16", 0.03), ("dynamic-int8", 0.2), ("int8-weight", 0.02), ("int8-w8a8", 0.05), ("int4-weight", 0.25)],
)
def test_outputs_stay_near_and_the_model_itself_as_it_was(method: str, most: float) -> None:
    model, before = small_model(), outputs(small_model())
    assert 0 < error(outputs(quantize(model, method)), before) < most
    assert torch.equal(outputs(model), before)
    assert model.config.quantization is None
    assert model.lm_head.weight is model.encoder.embeddings.word_embeddings.weight


def test_projected_attention_computes_the_same() -> None:
    model = small_model()
    before = outputs(model)
    project(model)
    assert torch.allclose(outputs(model), before, atol=1e-6)
    assert [h.tokens for (h,) in beam_search(model, LISTS, beam=3, max_length=9)] == [
        h.tokens for (h,) in beam_search(small_model(), LISTS, beam=3, max_length=9)
    ]


# --- decoding


def logits_twice(model: CodeToText, source: list[int]) -> tuple[list[int], Tensor, Tensor]:
    """A greedy comment, its logits with cache, and those computed anew from all tokens so far at each step."""
    tokens = beam_search(model, [source], beam=1, max_length=12)[0][0].tokens
    written, ids = [BOS, *tokens], torch.tensor([source])
    with torch.inference_mode():
        cache, memory = model.prefill(ids), model.encode(ids).states
        mask = torch.ones(1, 1, 1, len(source), dtype=torch.bool)
        fast = torch.stack([model.step(torch.tensor([[token]]), cache)[0, 0] for token in written])
        states = [
            model.decoder(model.encoder.embeddings(torch.tensor([written[:length]])), memory, mask)[:, -1]
            for length in range(1, len(written) + 1)
        ]
        slow = torch.cat([model.lm_head(torch.tanh(model.dense(state))) for state in states])
    return list(tokens), fast.float(), slow.float()


@pytest.mark.parametrize(
    ("method", "most"),
    # Rounded activations blow the last bit of a float up to a step of their scale: torchao's put the largest value of a
    # token exactly between two integers, and torch's range is that of all tokens which are computed together.
    [("fp16", 2e-3), ("bf16", 2e-2), ("int8-weight", 1e-5), ("int8-w8a8", 2e-2), ("dynamic-int8", 4e-2), ("int4-weight", 3e-2)],
)
def test_cache_finds_what_plain_decoding_finds(method: str, most: float) -> None:
    model = quantize(small_model(), method)
    for source in LISTS:
        tokens, fast, slow = logits_twice(model, source)
        assert torch.equal(fast[0], slow[0])
        assert error(fast, slow) < most
        if method == "int8-weight":
            assert slow.argmax(-1).tolist()[: len(tokens)] == tokens


def test_beams_of_a_weight_only_model_do_not_depend_on_the_batch() -> None:
    model = quantize(small_model(), "int8-weight")
    alone = [beam_search(model, [source], beam=4, max_length=12)[0][0].tokens for source in LISTS]
    assert [best.tokens for (best,) in beam_search(model, LISTS, beam=4, max_length=12)] == alone


def test_dynamic_int8_depends_on_what_is_computed_together() -> None:
    """Why its comments may change with the batch size: one range for all activations of a batch."""
    model = quantize(small_model(), "dynamic-int8")
    with torch.inference_mode():
        small, large = torch.randn(1, 4, 32), 100 * torch.randn(1, 4, 32)
        both = model.dense(torch.cat([small, large]))[:1]
        assert error(both, model.dense(small)) > 0.05
        by_token = quantize(small_model(), "int8-w8a8")
        assert torch.allclose(by_token.dense(torch.cat([small, large]))[:1], by_token.dense(small), atol=1e-6)


@pytest.mark.parametrize("method", HERE)
def test_all_decode(method: str) -> None:
    results = beam_search(quantize(small_model(), method), LISTS, beam=3, max_length=8)
    assert len(results) == 3
    assert all(-1e4 < best.score < 0 for (best,) in results)


@pytest.mark.parametrize("method", HERE)
def test_no_model_ends_a_comment_while_speeds_are_measured(method: str) -> None:
    def at_once(module: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        logits[..., EOS] = 100.0

    model = quantize(small_model(), method)
    model.get_output_layer().register_forward_hook(at_once)
    with endless(model):
        results = beam_search(model, LISTS, beam=3, max_length=8)
    assert [len(best.tokens) for (best,) in results] == [8, 8, 8]
    assert not any(EOS in best.tokens for (best,) in results)
    ended = beam_search(model, LISTS, beam=3, max_length=8)
    assert [best.finished for (best,) in ended] == [True] * 3, "it may again"


# --- sizes and shares


def test_shares_and_bytes_counted_by_hand() -> None:
    model = small_model()
    h, f, v, d = SIZES["hidden_size"], SIZES["intermediate_size"], SIZES["vocab_size"], SIZES["decoder_ffn"]
    encoder = 2 * (4 * h * h + 2 * h * f) + h * h  # with the pooler
    rest = 2 * 2 * h * d + h * h + v * h
    attention = 2 * 2 * 4 * h * h
    assert multiplied_weights(model) == encoder + rest + attention
    assert quantized_weights(quantize(model, "fp32")) == 0
    assert quantized_weights(quantize(model, "fp16")) == encoder + rest + attention
    assert quantized_weights(quantize(model, "dynamic-int8")) == encoder + rest
    assert quantized_weights(quantize(model, "int8-weight")) == encoder + rest + attention
    weights, ids = sum(p.numel() for p in model.parameters()), 2 * 8 * SIZES["max_position_embeddings"]
    full = 4 * weights + sum(b.numel() * b.element_size() for b in model.buffers())
    assert memory_bytes(model) in (full, full - ids // 2)  # position ids may be a view
    assert memory_bytes(quantize(model, "fp16")) < 0.6 * full
    saved = 3 * (encoder + rest + attention - v * h)
    assert full - saved < memory_bytes(quantize(model, "int8-weight")) < full - saved + 3 * v * h + 6 * 2000


# --- folders


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(train_tokenizer(["def size", "Returns the size ."], vocab_size=270))


@pytest.mark.parametrize("method", [name for name in HERE if name != "fp32"])
def test_saved_and_loaded_computes_the_same(method: str, tmp_path: Path, reader: Reader) -> None:
    model = quantize(small_model(vocab_size=270), method)
    save_model(model, reader, tmp_path / "q")
    loaded = load_model(tmp_path / "q")
    assert json.loads((tmp_path / "q" / "config.json").read_text())["quantization"] == method
    assert loaded.config.quantization == method
    assert torch.equal(outputs(loaded), outputs(model))
    assert beam_search(loaded, LISTS, beam=3, max_length=8) == beam_search(model, LISTS, beam=3, max_length=8)
    assert memory_bytes(loaded) == memory_bytes(model)
    assert is_finetuned(tmp_path / "q")
    assert load_masks(tmp_path / "q") == {}
    assert (tmp_path / "q" / "model.safetensors").stat().st_size < 4 * sum(
        p.numel() for p in small_model(vocab_size=270).parameters()
    )


def test_a_spoiled_folder_is_refused(tmp_path: Path, reader: Reader) -> None:
    save_model(quantize(small_model(vocab_size=270), "int8-weight"), reader, tmp_path / "q")
    config = tmp_path / "q" / "config.json"
    facts = json.loads(config.read_text())
    for changed, text in (
        ({"quantization": "int3"}, "'int3'"),
        ({"quantization": "int8-w8a8", "decoder_ffn": 65}, "not (65"),
        ({"quantization": "dynamic-int8"}, "lacks"),
        ({"quantization": None}, "lm_head.weight"),
    ):
        config.write_text(json.dumps(facts | changed))
        with pytest.raises(ModelError, match=r"\w") as caught:
            load_model(tmp_path / "q")
        assert text in str(caught.value)
        assert caught.value.fix


# --- refusals


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    with pytest.raises(ModelError, match=r"no quantization method 'int4'.*There are: fp32, fp16"):
        quantize(model, "int4")
    with pytest.raises(ModelError, match=r"quantized already \(fp16\)"):
        quantize(quantize(model, "fp16"), "int8-weight")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("bitsandbytes"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError, match=r"^not installed: pip install 'codeprune-tui\[bitsandbytes\]'$"):
        quantize(model, "llm-int8")


def test_what_a_version_cannot_do_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: CodeToText) -> CodeToText:
        raise RuntimeError("no kernel\nmore")

    monkeypatch.setattr(quantizers, "int8_weight", broken)
    with pytest.raises(UnavailableError, match=r"int8-weight does not work here \(torch .*, cpu\): no kernel$"):
        quantize(small_model(), "int8-weight")
