"""Quantized models by device: what stays on the CPU, what a GPU's kernels refuse, what the ladder says of eager times."""

import pytest
import torch
from fake_gpus import FakeGpu, machine, torch_sees
from torch import nn

from core.compress.quantize import (
    UnavailableError,
    linear_names,
    multiplied_weights,
    on_this_device,
    quantize,
    quantized_weights,
    restore_refused,
)
from core.errors import ModelError
from core.evaluate.evaluate import load_runnable
from core.families.config import CodeToTextConfig
from core.families.roberta import CodeToText, tiny
from core.model import place
from core.spec.quantizers import METHODS


@pytest.fixture(autouse=True)
def threads() -> None:
    before, cudnn = torch.get_num_threads(), torch.backends.cuda.cudnn_sdp_enabled()
    yield
    torch.set_num_threads(before)
    torch.backends.cuda.enable_cudnn_sdp(cudnn)


def odd() -> CodeToText:
    """A model whose output layer has a width that is no multiple of 8, like CodeBERT's 50,265."""
    sizes = CodeToTextConfig(
        vocab_size=61, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=20, decoder_layers=1, decoder_ffn=64,
    )  # fmt: skip
    return CodeToText(sizes).eval()


def test_dynamic_int8_stays_on_the_cpu_whatever_auto_would_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [FakeGpu("GPU-a")])
    torch_sees(monkeypatch, ["NVIDIA H200"])
    model = quantize(tiny(), "dynamic-int8")
    assert place(model, "auto", 1, "here").device == torch.device("cpu")
    assert place(model, "cpu", 1, "here").device == torch.device("cpu")
    for device in ("cuda", "cuda:0"):
        with pytest.raises(
            ModelError, match=rf"here is quantized \(dynamic-int8\) and computes on the CPU alone, not on {device}"
        ):
            place(model, device, 1, "here")


def test_a_saved_model_is_placed_like_that_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [FakeGpu("GPU-a")])
    torch_sees(monkeypatch, ["NVIDIA H200"])
    model = quantize(tiny(), "dynamic-int8")
    monkeypatch.setattr("core.evaluate.evaluate.load_model", lambda path: model)
    assert load_runnable("here", "auto", 1) is model
    with pytest.raises(ModelError, match="computes on the CPU alone"):
        load_runnable("here", "cuda", 1)


def test_which_quantizers_are_for_the_cpu_alone() -> None:
    assert [name for name, method in METHODS.items() if method.cpu_only] == ["dynamic-int8", "int4-weight"]
    assert [name for name, method in METHODS.items() if method.eager] == ["int8-weight", "int8-w8a8"]


def test_layers_that_a_gpu_refuses_get_their_weights_back() -> None:
    model = odd()
    quantized = quantize(model, "int8-w8a8")
    head = next(name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module.out_features == 61)
    assert hasattr(quantized.get_submodule(head).weight, "qdata"), "on the CPU nothing is left out"
    weights = [quantized.get_submodule(name).weight for name in linear_names(quantized) if name != head]
    assert restore_refused(quantized) == [head]
    restored = quantized.get_submodule(head).weight
    assert isinstance(restored, nn.Parameter)
    assert not hasattr(restored, "qdata")
    assert torch.allclose(restored, model.get_submodule(head).weight, atol=0.02)
    assert all(hasattr(weight, "qdata") for weight in weights)
    assert restore_refused(quantized) == []
    assert restore_refused(quantize(model, "int8-weight")) == [], "its products are in floating point"
    assert restore_refused(model) == []


def test_a_gpu_quantizes_only_layers_whose_widths_are_multiples_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CodeToText, "device", property(lambda self: torch.device("cuda", 0)))
    quantized = quantize(odd(), "int8-w8a8")
    plain = [name for name in linear_names(quantized) if not hasattr(quantized.get_submodule(name).weight, "qdata")]
    assert [quantized.get_submodule(name).out_features for name in plain] == [61]
    assert on_this_device(quantized) == (
        "; eager, not compiled: its times here say nothing about compiled ones"
        f"; left alone, for a width is no multiple of 8: {plain[0]}"
    )
    assert on_this_device(quantize(odd(), "int8-weight")).startswith("; eager")
    assert on_this_device(odd()) == ""


def test_nothing_is_said_on_the_cpu() -> None:
    assert on_this_device(quantize(odd(), "int8-w8a8")) == ""


def test_int4_leaves_alone_what_its_kernel_refuses_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    quantized = quantize(odd(), "int4-weight")
    head = next(name for name in linear_names(quantized) if quantized.get_submodule(name).out_features == 61)
    assert on_this_device(quantized) == f"; left alone, for the kernel refuses its width: {head}"
    assert quantized_weights(quantized) == multiplied_weights(odd()) - 61 * 32
    narrow = CodeToText(CodeToTextConfig(**{**vars(odd().config), "hidden_size": 24, "num_attention_heads": 2}))
    with pytest.raises(UnavailableError, match="none is"):
        quantize(narrow, "int4-weight")
    monkeypatch.setattr(CodeToText, "device", property(lambda self: torch.device("cuda", 0)))
    with pytest.raises(UnavailableError, match="int4-weight runs on the CPU only"):
        quantize(odd(), "int4-weight")
