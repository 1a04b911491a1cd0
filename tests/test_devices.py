"""Where a process computes: which GPU, what is said where torch sees none, which kernels. torch's side of a GPU is faked."""

import os

import pytest
import torch
from fake_gpus import GIB, FakeGpu, machine, torch_sees
from typer.testing import CliRunner

from codeprune_tui.cli import models, quantize, sensitivity  # noqa: F401 - they add their commands to `app`
from codeprune_tui.cli.runs import app
from core.bench import suite
from core.errors import RecipeError, TrainingError
from core.families import device as devices
from core.families.device import choose_device, count_processes, describe, device_of, make_accelerator, overlooked_gpu
from core.recipe import build_recipe

TWO = [FakeGpu("GPU-a", used_bytes=90 * GIB), FakeGpu("GPU-b", used_bytes=GIB)]


@pytest.fixture(autouse=True)
def settings_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts back what a choice changes in this process."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    threads, cudnn = torch.get_num_threads(), torch.backends.cuda.cudnn_sdp_enabled()
    yield
    torch.set_num_threads(threads)
    torch.backends.cuda.enable_cudnn_sdp(cudnn)


def test_a_gpu_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, TWO)
    current = torch_sees(monkeypatch, ["NVIDIA H200", "NVIDIA H200"])
    assert choose_device("cuda:0", 1) == torch.device("cuda", 0)
    assert current == [0], "what is made on `cuda` without a number goes there, too"
    assert describe(torch.device("cuda", 1)) == "cuda (NVIDIA H200)"


def test_the_freest_gpu_where_no_number_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, TWO)
    torch_sees(monkeypatch, ["NVIDIA H200", "NVIDIA H200"])
    assert choose_device("auto", 1) == choose_device("cuda", 1) == torch.device("cuda", 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b,GPU-a")
    assert choose_device("auto", 1) == torch.device("cuda", 0)
    machine(monkeypatch, [])  # no library: nothing is known of their memory
    assert choose_device("auto", 1) == torch.device("cuda", 0)


def test_a_gpu_that_is_not_there_is_told_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, TWO)
    torch_sees(monkeypatch, ["NVIDIA H200", "NVIDIA A100"])
    with pytest.raises(
        TrainingError, match=r'no device "cuda:2" here\. There are: cuda:0 \(NVIDIA H200\), cuda:1 \(NVIDIA A100\)'
    ):
        choose_device("cuda:2", 1)


def test_gpus_are_numbered_as_nvidia_smi_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    choose_device("cpu", 1)
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    choose_device("cpu", 1)
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST", "whoever sets it means it"


def test_how_gpus_are_numbered_is_said_before_torch_is_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA reads the variable at the first question, whatever that is: later it would change nothing."""
    machine(monkeypatch, TWO)
    torch_sees(monkeypatch, ["NVIDIA H200", "NVIDIA A100"])
    said: list[str | None] = []
    for name, answer in (("is_available", True), ("device_count", 2)):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: said.append(os.environ.get("CUDA_DEVICE_ORDER")) or answer)
    training = build_recipe({"training": {"processes": 0, "batch_size": 8}}).training
    for first_question in (
        lambda: count_processes(training),
        lambda: device_of("cuda", 1, 2),
        lambda: choose_device("cuda", 1),
        suite.devices,
        overlooked_gpu,
    ):
        monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
        said.clear()
        first_question()
        assert said[0] == "PCI_BUS_ID"


def test_a_gpu_does_without_the_attention_that_plans_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, TWO)
    torch_sees(monkeypatch, ["NVIDIA H200"])
    torch.backends.cuda.enable_cudnn_sdp(True)
    choose_device("cpu", 1)
    assert torch.backends.cuda.cudnn_sdp_enabled()
    choose_device("cuda", 1)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_accelerate_takes_the_chosen_device(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    machine(monkeypatch, [])
    assert make_accelerator(device, "fp32", 1).device == torch.device("cpu")
    assert "ACCELERATE_TORCH_DEVICE" not in os.environ
    monkeypatch.setattr(devices, "choose_device", lambda device, threads: torch.device("meta"))
    assert make_accelerator(device, "fp32", 1).device == torch.device("meta")
    monkeypatch.undo()
    make_accelerator("cpu", "fp32", 1)  # the others of this process get the CPU again


# A GPU that torch does not see


@pytest.mark.parametrize(
    ("built", "cuda", "problem", "fix"),
    [
        (None, 13000, "is built for the CPU alone.", "whl/cu130"),
        (None, 12040, "is built for the CPU alone.", "whl/cu126"),
        ("13.0", 12040, "is built for CUDA 13.0, and that driver runs CUDA up to 12.4.", "Update the driver, or install"),
        ("12.6", 12040, "does not.", "See why: python -c"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, built: str | None, cuda: int, problem: str, fix: str
) -> None:
    machine(monkeypatch, TWO[:1], cuda=cuda)
    torch_sees(monkeypatch, [])
    monkeypatch.setattr(torch.version, "cuda", built)
    overlooked = overlooked_gpu()
    assert overlooked is not None
    assert overlooked[0].startswith("The driver (580.65.06) sees the GPU NVIDIA H200, but torch ")
    assert problem in overlooked[0]
    assert fix in overlooked[1]
    with pytest.raises(TrainingError, match=r'The device "cuda" is not available on this machine\. The driver'):
        choose_device("cuda", 1)
    assert choose_device("auto", 1) == torch.device("cpu")
    assert f"This computes on the CPU. {overlooked[0]}" in caplog.text, "never silently"


def test_nothing_is_overlooked_where_there_is_none_or_it_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_sees(monkeypatch, [])
    machine(monkeypatch, [])
    assert overlooked_gpu() is None
    machine(monkeypatch, TWO)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert overlooked_gpu() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert overlooked_gpu() == (
        "CUDA_VISIBLE_DEVICES=5 names no GPU of this machine.",
        "It has: NVIDIA H200, NVIDIA H200. Unset CUDA_VISIBLE_DEVICES.",
    )
    torch_sees(monkeypatch, ["NVIDIA H200"])
    assert overlooked_gpu() is None


# Recipes and options


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices_of_a_recipe(device: str) -> None:
    assert build_recipe({"training": {"device": device}}).training.device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0\n", "CPU", ""])
def test_what_is_no_device_is_refused_with_those_that_are(device: str) -> None:
    with pytest.raises(RecipeError, match=r"is not allowed; allowed: auto, cpu, cuda, mps, cuda:N \(such as cuda:1\)"):
        build_recipe({"training": {"device": device}})


@pytest.mark.parametrize("command", [["evaluate", "m"], ["comment", "x.rb"], ["quantize", "m"], ["sensitivity", "m"]])
def test_commands_refuse_what_is_no_device(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--device", "gpu0"])
    assert result.exit_code == 2
    assert "is none of auto, cpu, cuda" in " ".join(result.output.replace("│", " ").split())
