"""GPUs as NVML and CUDA_VISIBLE_DEVICES name them, on machines that have none."""

import itertools
import os

import psutil
import pytest
import torch
from fake_gpus import GIB, FakeGpu, machine

from codeprune_tui.runs import devices, placement
from codeprune_tui.runs.choices import sources
from codeprune_tui.runs.machine import Figures
from codeprune_tui.widgets.figures import machine_line
from core.gpus import Gpus, Identity, chosen, same_device
from core.recipe import Recipe

WHOLE = [Identity("GPU-aaaa-1"), Identity("GPU-aabb-2"), Identity("GPU-cccc-3")]
CUT = [Identity("GPU-aaaa-1", ("MIG-1", "MIG-2"), ("MIG-GPU-aaaa-1/8/0", "MIG-GPU-aaaa-1/9/0")), Identity("GPU-bbbb-2")]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("1gpu,2x", [1, 2]),
        ("0,7,1", [0]),
        ("0,-1,1", [0]),
        ("1,1", []),
        ("GPU-aabb-2,GPU-aaaa-1", [1, 0]),
        ("GPU-c", [2]),
        ("GPU-aa", []),
        ("GPU-aaaa,GPU-zzzz,GPU-cccc", [0]),
        ("MIG-1", []),
    ],
)
def test_what_cuda_shows_of_whole_gpus(variable: str | None, expected: list[int]) -> None:
    assert chosen(variable, WHOLE) == [(number, None) for number in expected]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, [(1, None)]),
        ("0", [(0, 0)]),
        ("0,1", [(0, 0)]),
        ("1,0", [(1, None)]),
        ("MIG-2", [(0, 1)]),
        ("MIG-2,MIG-1", [(0, 1)]),
        ("MIG-GPU-aaaa-1/9/0", [(0, 1)]),
        ("MIG-3", []),
    ],
)
def test_what_cuda_shows_of_slices(variable: str | None, expected: list[tuple[int, int | None]]) -> None:
    assert chosen(variable, CUT) == expected


NUMBERS = ("", "0", "2,1,0", "1,1", "0,-1,2", "+1", "1 ", " 1", "x", "1x,2", "0,9,1", "-0", "3", "0,,1", "1.5,2")


@pytest.mark.parametrize("variable", NUMBERS)
def test_numbers_are_read_as_torch_reads_them(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    parsed = torch.cuda._parse_visible_devices()
    there = [number for number in parsed if isinstance(number, int)]
    expected = list(itertools.takewhile(lambda number: 0 <= number < len(WHOLE), there))
    assert [number for number, _ in chosen(variable, WHOLE)] == expected


def test_only_a_slice_is_shown_where_every_gpu_is_cut() -> None:
    assert chosen(None, CUT[:1]) == [(0, 0)]
    assert chosen(None, [Identity("GPU-a", ())]) == []


def test_gpus_are_numbered_as_torch_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [FakeGpu("GPU-a", used_bytes=GIB), FakeGpu("GPU-b", "NVIDIA A100", 3 * GIB, 80 * GIB, 40, {7: GIB})])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    first, second = Gpus().visible()
    assert (first.number, first.name, first.uuid, first.free_bytes, first.busy) == (0, "NVIDIA A100", "GPU-b", 77 * GIB, 0.4)
    assert (first.celsius, first.watts, dict(first.users)) == (61, 412.345, {7: GIB})
    assert (second.number, second.uuid) == (1, "GPU-a")


def test_a_gpu_that_cannot_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [FakeGpu("GPU-a", lost=True), FakeGpu("GPU-b")])
    assert [gpu.uuid for gpu in Gpus().everything()] == ["GPU-b"]
    assert [gpu.uuid for gpu in Gpus().visible()] == ["GPU-b"]


def test_the_figures_are_of_the_runs_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = [FakeGpu("MIG-1", "NVIDIA H200 MIG 1g.18gb", GIB, 16 * GIB), FakeGpu("MIG-2", total_bytes=16 * GIB, users={9: GIB})]
    machine(monkeypatch, [FakeGpu("GPU-a", busy=70), FakeGpu("GPU-b", slices=slices)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # what this program may see says nothing about the worker
    gpus = Gpus()
    assert [gpu.uuid for gpu in gpus.measure(1, ["GPU-a"])] == ["GPU-a"]
    assert [gpu.uuid for gpu in gpus.measure(1, ["1"])] == ["MIG-1"], "torch gives ids without their kind"
    assert [gpu.uuid for gpu in gpus.measure(1, ["GPU-a", "MIG-2"])] == ["GPU-a", "MIG-2"], "those of all its processes"
    assert [gpu.uuid for gpu in gpus.measure(9)] == ["MIG-2"]
    assert [gpu.uuid for gpu in gpus.measure(8)] == ["GPU-a", "MIG-1", "MIG-2"]
    whole, part = (Figures(0.5, 3 * GIB, 16 * GIB, None, gpus.measure(1, [uuid])) for uuid in ("GPU-a", "MIG-1"))
    assert machine_line(whole).plain.endswith("GPU 70 % 0.0/140.0 GiB 61 °C 412 W")
    assert machine_line(part).plain.endswith("GPU – 1.0/16.0 GiB 61 °C")


def test_ids_of_one_device() -> None:
    assert same_device("1234", "GPU-1234")
    assert same_device("MIG-1234", "1234")
    assert not same_device("", "")


def test_the_driver_says_what_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [FakeGpu("GPU-a")], cuda=12040, driver=b"550.54")
    driver = Gpus().driver()
    assert driver is not None
    assert (driver.version, driver.cuda, driver.gpus) == ("550.54", (12, 4), ("NVIDIA H200",))
    machine(monkeypatch, [])
    assert Gpus().driver() is None


# The form's list


def test_the_form_lists_gpus_with_free_memory_and_users(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {os.getpid(): 2 * GIB, 2**22 + 5: GIB}
    machine(monkeypatch, [FakeGpu("GPU-a", used_bytes=4 * GIB, busy=12, users=used), FakeGpu("GPU-b")])
    listed = [candidate for source in sources("training.device", None) for candidate in source()]  # type: ignore[arg-type]
    assert [candidate.value for candidate in listed] == ["auto", "cpu", "cuda:0", "cuda:1"]
    owner = psutil.Process().username()
    assert "NVIDIA H200" in listed[2].label
    assert listed[2].detail.startswith("136.0 of 140.0 GiB free, 12 % busy · used by ")
    assert f"{owner}'s " in listed[2].detail
    assert f"(process {os.getpid()}, 2.0 GiB), process {2**22 + 5}, 1.0 GiB" in listed[2].detail
    assert listed[3].detail == "140.0 of 140.0 GiB free, 0 % busy · no user to be seen"


def test_a_worker_on_a_gpu_is_called_by_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["python", "-P", "-m", "core.worker", "/runs/ruby-\x1b[31m1"]
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: command)
    machine(monkeypatch, [FakeGpu("GPU-a", users={os.getpid(): GIB})])
    ((_, _, detail),) = devices.gpus()
    assert detail.endswith("used by run ruby-<1B>[31m1, 1.0 GiB")


# Placing workers


def gpu_of(number: int, free: int, **entries: object) -> FakeGpu:
    return FakeGpu(f"GPU-{number}", used_bytes=80 * GIB - free * GIB, total_bytes=80 * GIB, **entries)  # type: ignore[arg-type]


def test_one_worker_a_gpu_and_more_only_where_memory_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [gpu_of(0, 40), gpu_of(1, 70), gpu_of(2, 1)])
    gpus = Gpus().visible()

    def sent_to(workers: dict[str, int], needed: int = 30) -> str | None:
        gpu = placement.choose(gpus, workers, needed * GIB)
        return None if gpu is None else gpu.uuid

    assert sent_to({}) == "GPU-1", "the freest of those without one of our workers"
    assert sent_to({"GPU-1": 1}) == "GPU-0"
    assert sent_to({"GPU-1": 1, "GPU-0": 1}) == "GPU-1", "a second one where the memory is"
    assert sent_to({"GPU-1": 2, "GPU-0": 1}) is None
    assert sent_to({}, needed=75) is None
    assert placement.environment(gpus[1]) == {"CUDA_VISIBLE_DEVICES": "GPU-1"}


def test_a_build_of_torch_for_the_cpu_gets_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [gpu_of(0, 40)])
    monkeypatch.setattr(placement, "version", lambda package: "2.13.0+cpu")
    assert placement.visible_gpus() == ()
    monkeypatch.setattr(placement, "version", lambda package: "2.13.0")
    assert [gpu.uuid for gpu in placement.visible_gpus()] == ["GPU-0"]


def test_memory_of_training_follows_the_model() -> None:
    small, base = (
        Recipe.model_validate({"kind": "pretrain", "model": {"path": "new"}, "architecture": shape})
        for shape in ({}, {"hidden": 768, "layers": 12, "heads": 12, "ffn": 3072, "vocab_size": 50_000, "decoder_layers": 6})
    )
    assert 2 * GIB < placement.needed_bytes(small) < 2.5 * GIB
    assert 4.4 * GIB < placement.needed_bytes(base) < 5 * GIB
    assert not placement.on_any_gpu(Recipe.model_validate({"training": {"device": "cuda:1"}}))
