"""The NVIDIA GPUs of this machine: what they are, how busy they are, and which of them torch will call `cuda:N`. Without torch.

NVIDIA's management library (NVML) counts all GPUs in the order of their bus, whatever CUDA_VISIBLE_DEVICES says; torch counts
those that the variable lets it see, in the variable's order. `visible` maps the one to the other, slices of a GPU (MIG) included.
Sources: the CUDA programming guide on CUDA_VISIBLE_DEVICES, NVIDIA's MIG user guide on device enumeration.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_TEMPERATURE_GPU = 0
"""NVML's number of the sensor on the chip."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one slice of one; None where its driver does not tell."""

    number: int
    """N of torch's `cuda:N` from `Gpus.visible`; the GPU's number in nvidia-smi from `Gpus.everything`."""
    busy: float | None
    """Share of the time in which a kernel ran, in [0, 1]."""
    used_bytes: int | None
    total_bytes: int | None
    celsius: int | None = None
    watts: float | None = None
    name: str = ""
    uuid: str = ""
    """As CUDA_VISIBLE_DEVICES takes it: "GPU-..." or "MIG-..."; "" where the driver does not tell."""
    users: Mapping[int, int | None] = field(default_factory=dict)
    """Process id -> bytes that it holds, None where the driver does not tell. In a container these are often not to be seen."""

    @property
    def free_bytes(self) -> int | None:
        """Memory that nobody holds."""
        return None if self.used_bytes is None or self.total_bytes is None else self.total_bytes - self.used_bytes


@dataclass(frozen=True)
class Identity:
    """A GPU as far as CUDA_VISIBLE_DEVICES can name it."""

    uuid: str
    slices: tuple[str, ...] | None = None
    """Ids of its MIG slices, where it is cut into slices (perhaps none yet); None where it is whole."""
    old_ids: tuple[str, ...] = ()
    """The same slices in the older form, `MIG-GPU-<uuid>/<instance>/<compute instance>`."""


@dataclass(frozen=True)
class Driver:
    """The driver, where there is one and it sees a GPU."""

    version: str
    cuda: tuple[int, int]
    """Newest CUDA that it runs; (0, 0) where it does not tell."""
    gpus: tuple[str, ...]
    """Names of all GPUs."""


def chosen(variable: str | None, gpus: Sequence[Identity]) -> list[tuple[int, int | None]]:
    """The devices that CUDA shows a program, in the order of `cuda:0`, `cuda:1`, ...

    Args:
        variable: CUDA_VISIBLE_DEVICES; None where it is not set.
        gpus: All GPUs, in the order of their bus.

    Returns:
        (number of the GPU, number of its slice or None for a whole GPU). An entry that names nothing ends the list, as in CUDA;
        an entry that stands twice empties it. A program sees one slice at most, and no whole GPU beside it.
    """
    if variable is None:
        whole = [number for number, gpu in enumerate(gpus) if gpu.slices is None]
        return _with_slices([(number, None) for number in whole or range(len(gpus))], gpus)
    devices: list[tuple[int, int | None]] = []
    for entry in variable.split(","):
        device = _named(entry.strip(), gpus)
        if device is None:
            break
        if device in devices:
            return []
        devices.append(device)
    return _with_slices(devices, gpus)


def _named(entry: str, gpus: Sequence[Identity]) -> tuple[int, int | None] | None:
    """The device of one entry of CUDA_VISIBLE_DEVICES; None where it names nothing."""
    if entry.startswith("MIG-"):
        for number, gpu in enumerate(gpus):
            for ids in (gpu.slices or (), gpu.old_ids):
                if entry in ids:
                    return number, ids.index(entry)
        return None
    if entry.startswith("GPU-"):  # the beginning of an id is enough where it fits one GPU
        fitting = [number for number, gpu in enumerate(gpus) if gpu.uuid.startswith(entry)]
        return (fitting[0], None) if len(fitting) == 1 else None
    digits = re.match(r"[+-]?\d+", entry)  # CUDA reads as far as there are any
    return (int(digits[0]), None) if digits and 0 <= int(digits[0]) < len(gpus) else None


def _with_slices(devices: list[tuple[int, int | None]], gpus: Sequence[Identity]) -> list[tuple[int, int | None]]:
    """Puts the first slice in the place of a GPU that is cut into slices; where a slice comes first, it is the only device."""
    resolved: list[tuple[int, int | None]] = []
    for number, part in devices:
        slices = gpus[number].slices
        if slices is None:
            resolved.append((number, part))
        elif slices and not resolved:
            return [(number, part or 0)]
    return resolved


def same_device(uuid: str, other: str) -> bool:
    """Whether two ids are of one device; torch gives ids without "GPU-"."""
    return bool(uuid) and re.sub(r"^(GPU|MIG)-", "", uuid) == re.sub(r"^(GPU|MIG)-", "", other)


class Gpus:
    """NVML, opened at the first question; without it, or without a GPU, there are none. A GPU that cannot be read is left out."""

    def __init__(self) -> None:
        self._library: Any = None  # a module without types, or None
        self._tried = False

    def visible(self) -> tuple[Gpu, ...]:
        """The GPUs that torch sees in this process's environment, as it numbers them with CUDA_DEVICE_ORDER=PCI_BUS_ID."""
        handles = self._handles()
        identities = [self._identity(handle) for handle in handles]
        devices = chosen(os.environ.get(VISIBLE), identities)
        return tuple(self._measure(at, handles[number], part) for at, (number, part) in enumerate(devices))

    def everything(self) -> tuple[Gpu, ...]:
        """All GPUs of the machine; of those that are cut into slices, every slice."""
        gpus: list[Gpu] = []
        for number, handle in enumerate(self._handles()):
            slices = self._slices(handle)
            gpus += [self._measure(number, handle, part) for part in (range(len(slices)) if slices else (None,))]
        return tuple(gpus)

    def measure(self, pid: int, uuids: Collection[str] = ()) -> tuple[Gpu, ...]:
        """The GPUs that a process uses; all, where nobody tells which these are.

        Args:
            pid: The process.
            uuids: The GPUs that the process, or those that share its work, named themselves; none where they named none.
        """
        gpus = self.everything()
        own = tuple(gpu for gpu in gpus if any(same_device(uuid, gpu.uuid) for uuid in uuids))
        return own or tuple(gpu for gpu in gpus if pid in gpu.users) or gpus

    def driver(self) -> Driver | None:
        """The driver; None where there is none, or no GPU."""
        handles = self._handles()
        if not handles:
            return None
        cuda = self._answer("nvmlSystemGetCudaDriverVersion_v2") or 0
        names = tuple(_text(self._answer("nvmlDeviceGetName", handle)) or "GPU" for handle in handles)
        return Driver(_text(self._answer("nvmlSystemGetDriverVersion")), (cuda // 1000, cuda % 1000 // 10), names)

    def close(self) -> None:
        """Lets the library go."""
        if self._library is not None:
            self._answer("nvmlShutdown")

    def _open(self) -> None:
        if self._tried:
            return
        self._tried = True
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:  # no driver, or no GPU
            return
        self._library = pynvml

    def _handles(self) -> list[object]:
        """A handle for every GPU that has one."""
        self._open()
        if self._library is None:
            return []
        handles = [
            self._answer("nvmlDeviceGetHandleByIndex", number) for number in range(self._answer("nvmlDeviceGetCount") or 0)
        ]
        return [handle for handle in handles if handle is not None]

    def _slices(self, handle: object) -> list[object] | None:
        """Handles of the slices of a GPU; None where it is whole."""
        mode = self._answer("nvmlDeviceGetMigMode", handle)
        if not mode or not mode[0]:
            return None
        most = self._answer("nvmlDeviceGetMaxMigDeviceCount", handle) or 0
        parts = [self._answer("nvmlDeviceGetMigDeviceHandleByIndex", handle, number) for number in range(most)]
        return [part for part in parts if part is not None]

    def _identity(self, handle: object) -> Identity:
        uuid, slices = _text(self._answer("nvmlDeviceGetUUID", handle)), self._slices(handle)
        if slices is None:
            return Identity(uuid)
        instances = ("nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetComputeInstanceId")
        old = (f"MIG-{uuid}/{'/'.join(str(self._answer(name, part)) for name in instances)}" for part in slices)
        return Identity(uuid, tuple(_text(self._answer("nvmlDeviceGetUUID", part)) for part in slices), tuple(old))

    def _measure(self, number: int, whole: object, part: int | None) -> Gpu:
        """One device; of a slice, its own memory and users, but the load, temperature and power of nobody: NVML has none."""
        slices = self._slices(whole) if part is not None else None
        handle = slices[part] if slices is not None and part is not None else whole
        rates, memory = self._answer("nvmlDeviceGetUtilizationRates", handle), self._answer("nvmlDeviceGetMemoryInfo", handle)
        milliwatts = self._answer("nvmlDeviceGetPowerUsage", handle)
        users = self._answer("nvmlDeviceGetComputeRunningProcesses", handle) or ()
        return Gpu(
            number,
            None if rates is None else rates.gpu / 100,
            None if memory is None else memory.used,
            None if memory is None else memory.total,
            self._answer("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU),
            None if milliwatts is None else milliwatts / 1000,
            _text(self._answer("nvmlDeviceGetName", handle)),
            _text(self._answer("nvmlDeviceGetUUID", handle)),
            {process.pid: getattr(process, "usedGpuMemory", None) for process in users},
        )

    def _answer(self, name: str, *arguments: object) -> Any:
        """The answer, or None where this GPU, its driver or the library has none."""
        question: Callable[..., Any] | None = getattr(self._library, name, None)
        if question is None:
            return None
        try:
            return question(*arguments)
        except self._library.NVMLError:
            return None


def _text(answer: object) -> str:
    """A name or id; older versions of the library give bytes."""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer or "")
