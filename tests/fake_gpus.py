"""Machines with GPUs, as tests see them: NVIDIA's library and torch's side of it, without a driver and without a GPU.

The one seam for tests about devices: what the program asks of NVML and of `torch.cuda` is answered here.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest
import torch

GIB = 2**30


@dataclass
class FakeGpu:
    """One GPU of a fake machine."""

    uuid: str
    name: str = "NVIDIA H200"
    used_bytes: int = 0
    total_bytes: int = 140 * GIB
    busy: int = 0
    users: dict[int, int] = field(default_factory=dict)
    slices: "list[FakeGpu] | None" = None
    lost: bool = False
    """Whether its driver has lost it: it counts, but has no handle."""


def nvml(gpus: Sequence[FakeGpu], cuda: int = 13000, driver: str = "580.65.06") -> ModuleType:
    """NVIDIA's library on a machine with these GPUs."""

    class NVMLError(Exception):
        pass

    def handle(number: int) -> FakeGpu:
        if gpus[number].lost:
            raise NVMLError("GPU is lost")
        return gpus[number]

    def of_whole(answer: Callable[[FakeGpu], object]) -> Callable[[FakeGpu], object]:
        """NVML tells neither load nor power of a slice."""

        def ask(gpu: FakeGpu) -> object:
            if gpu.uuid.startswith("MIG-"):
                raise NVMLError("Not Supported")
            return answer(gpu)

        return ask

    library = ModuleType("pynvml")
    library.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=handle,
        nvmlSystemGetDriverVersion=lambda: driver,
        nvmlSystemGetCudaDriverVersion_v2=lambda: cuda,
        nvmlDeviceGetName=lambda gpu: gpu.name,
        nvmlDeviceGetUUID=lambda gpu: gpu.uuid,
        nvmlDeviceGetMigMode=lambda gpu: [int(gpu.slices is not None)] * 2,
        nvmlDeviceGetMaxMigDeviceCount=lambda gpu: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=lambda gpu, number: _slice(gpu, number, NVMLError),
        nvmlDeviceGetGpuInstanceId=lambda gpu: int(gpu.uuid[-1]) + 7,
        nvmlDeviceGetComputeInstanceId=lambda gpu: 0,
        nvmlDeviceGetUtilizationRates=of_whole(lambda gpu: SimpleNamespace(gpu=gpu.busy)),
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=gpu.used_bytes, total=gpu.total_bytes),
        nvmlDeviceGetPowerUsage=of_whole(lambda gpu: 412_345),
        nvmlDeviceGetTemperature=lambda gpu, sensor: 61,
        nvmlDeviceGetComputeRunningProcesses=lambda gpu: [
            SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in gpu.users.items()
        ],
    )
    return library


def _slice(gpu: FakeGpu, number: int, error: type[Exception]) -> FakeGpu:
    if gpu.slices is None or number >= len(gpu.slices):
        raise error("Not Found")
    return gpu.slices[number]


def machine(monkeypatch: pytest.MonkeyPatch, gpus: Sequence[FakeGpu], **driver: object) -> None:
    """Puts GPUs into this machine as far as NVML goes; CUDA_VISIBLE_DEVICES is not set."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml(gpus, **driver))  # type: ignore[arg-type]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def torch_sees(monkeypatch: pytest.MonkeyPatch, names: Sequence[str]) -> list[int]:
    """Lets torch see GPUs of these names, in this order; nothing can be computed on them.

    Returns:
        The numbers that were made the current device, as they come.
    """
    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=0: names[getattr(device, "index", device) or 0])
    return current
