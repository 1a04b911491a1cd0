"""Device, threads and precision of a process.

`accelerate` makes the autocast; this module chooses the device, fixes the kernels that it uses, and says clearly what is
unavailable. NVML (`core.gpus`) is asked only where torch cannot answer: which GPU is free, and why torch sees none.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch

from ..errors import TrainingError
from ..gpus import ORDER, VISIBLE, Driver, Gpus, same_device
from ..recipe import Device, Precision, Training

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

_ACCELERATE_DEVICE = "ACCELERATE_TORCH_DEVICE"
"""Variable by which accelerate takes a device with a number; without it, it would call every GPU `cuda`."""


def choose_device(device: Device, threads: int) -> torch.device:
    """Where this process computes, with how many threads.

    Args:
        device: "auto" takes a GPU where there is one; "auto" and "cuda" take the GPU with the most free memory.
        threads: CPU threads, 0 = as many as cores.

    Returns:
        Where tensors go; a GPU with its number.

    Raises:
        TrainingError: The device is not there.
    """
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    check_device(device)
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = next((name for name, there in _available().items() if there), "cpu")
        if kind == "cpu" and (overlooked := overlooked_gpu()):
            logger.warning("This computes on the CPU. %s", " ".join(overlooked))
    return _gpu(number) if kind == "cuda" else torch.device(kind)


def check_device(device: Device) -> None:
    """Refuses a kind of device that this machine has not; makes no context on any.

    Raises:
        TrainingError: It is not there.
    """
    kind = device.partition(":")[0]
    if not _available().get(kind, True):
        overlooked = overlooked_gpu() if kind == "cuda" else None
        problem, fix = overlooked or ("", 'Give "auto" or "cpu" (training.device in a recipe, --device on the command line).')
        raise TrainingError(f'The device "{device}" is not available on this machine. {problem}'.strip(), fix)


def _available() -> dict[str, bool]:
    return {"cuda": has_gpu(), "mps": torch.backends.mps.is_available()}


def has_gpu() -> bool:
    """Whether torch sees a GPU, which are then counted as nvidia-smi counts them; by default CUDA puts the fastest first.

    To be asked before anything else of `torch.cuda`: CUDA reads how to count once, at its first question.
    """
    os.environ.setdefault(ORDER, "PCI_BUS_ID")
    return torch.cuda.is_available()


def _gpu(number: str) -> torch.device:
    """One of the GPUs that torch sees, made the current one; the freest where no number is given."""
    count = torch.cuda.device_count()
    at = int(number) if number else _freest(count)
    if at >= count:
        known = ", ".join(f"cuda:{place} ({torch.cuda.get_device_name(place)})" for place in range(count))
        raise TrainingError(f'There is no device "cuda:{at}" here.', f"There are: {known}.")
    torch.cuda.set_device(at)
    fix_kernels()
    return torch.device("cuda", at)


def _freest(count: int) -> int:
    """The number of the GPU with the most free memory, the first of equals; torch would make a context on each to tell."""
    if count < 2:
        return 0
    nvml = Gpus()
    free = {gpu.number: gpu.free_bytes or 0 for gpu in nvml.visible()}
    nvml.close()
    return max(range(count), key=lambda number: (free.get(number, 0), -number))


def fix_kernels() -> None:
    """Leaves cuDNN's attention out of torch's choice on a GPU.

    It builds a plan for each new shape and keeps every one; batches here have a shape of their own nearly every time.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def width_multiple(device: torch.device) -> int:
    """The multiple that widths of batches are padded to: the products of a GPU are fastest at multiples of 8."""
    return 8 if device.type == "cuda" else 1


def overlooked_gpu() -> tuple[str, str] | None:
    """Why torch does not see the GPUs that the driver sees, and what to do about it; None where it sees one, or there is none.

    GPUs that CUDA_VISIBLE_DEVICES hides count as overlooked only where the variable names none that is there.
    """
    if has_gpu():
        return None
    nvml = Gpus()
    driver, visible = nvml.driver(), nvml.visible()
    nvml.close()
    if driver is None:
        return None
    return _why_overlooked(driver, visible=bool(visible))


def _why_overlooked(driver: Driver, *, visible: bool) -> tuple[str, str] | None:
    hidden = os.environ.get(VISIBLE)
    if not visible:
        if not hidden or hidden == "-1":  # that is how GPUs are hidden on purpose
            return None
        return f"{VISIBLE}={hidden} names no GPU of this machine.", f"It has: {', '.join(driver.gpus)}. Unset {VISIBLE}."
    many = "GPUs" if len(driver.gpus) > 1 else "GPU"
    sees = f"The driver ({driver.version}) sees the {many} {', '.join(driver.gpus)}, but torch {torch.__version__}"
    built, newest = torch.version.cuda, ".".join(map(str, driver.cuda))
    if built is None:
        return f"{sees} is built for the CPU alone.", f"Install a build for CUDA: {_install(driver)}"
    if int(built.partition(".")[0]) > driver.cuda[0]:
        return (
            f"{sees} is built for CUDA {built}, and that driver runs CUDA up to {newest}.",
            f"Update the driver, or install another build: {_install(driver)}",
        )
    return f"{sees} does not.", "See why: python -c \"import torch; torch.zeros(1, device='cuda')\""


def _install(driver: Driver) -> str:
    """The command that installs torch for a driver; within one major version of CUDA a newer build runs on an older driver."""
    build = "cu130" if driver.cuda[0] >= 13 else "cu126"
    return f"pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{build}"


def resolved(precision: Precision, device: torch.device) -> Precision:
    """The precision of training on a device, with "auto" resolved; a GPU that only emulates bf16 counts as one without it."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def count_processes(training: Training) -> int:
    """The number of processes that are to share a run on this machine, with 0 resolved.

    Raises:
        TrainingError: There are no GPUs, or fewer, or fewer rows in a batch.
    """
    processes, device = training.processes, training.device
    check_device(device)
    gpus = torch.cuda.device_count() if device != "cpu" and has_gpu() else 0
    count = processes or max(1, gpus)
    if count > training.batch_size:
        raise TrainingError(
            f"There are {count} GPUs here, more than training.batch_size = {training.batch_size}: some would get no rows.",
            f"Set training.processes to {training.batch_size} or less, or raise batch_size.",
        )
    if gpus and count > gpus:
        raise TrainingError(
            f"training.processes = {count}, but there {'is 1 GPU' if gpus == 1 else f'are {gpus} GPUs'} here.",
            f"Set training.processes = {gpus}, or 0 for as many as there are.",
        )
    return count


def device_of(device: Device, rank: int, count: int) -> Device:
    """The device of one of the processes that share a run: a GPU each, where they compute on GPUs."""
    on_gpu = count > 1 and device != "cpu" and has_gpu()
    return f"cuda:{rank}" if on_gpu else device


def threads_of(threads: int, count: int) -> int:
    """CPU threads of one of the processes that share a run: as many as given, or its share of the cores."""
    return threads or (max(1, len(os.sched_getaffinity(0)) // count) if count > 1 else 0)


def make_accelerator(
    device: Device, precision: Precision, threads: int, *, tf32: bool = False, deterministic: bool = False, processes: int = 1
) -> "Accelerator":
    """Prepares the device of this process for training.

    Args:
        device: As for `choose_device`.
        precision: fp32, or bf16 autocast; auto: bf16 on a GPU that has it, fp32 elsewhere.
        threads: CPU threads, 0 = as many as cores.
        tf32: Whether a GPU may multiply fp32 matrices in TF32; on other devices nothing changes.
        deterministic: Whether a GPU may use only algorithms that give the same bits each time; the CPU's do anyway.
        processes: How many share the run; where there are several, this one has joined them.

    Returns:
        The accelerator; its `.device` is where tensors go.

    Raises:
        TrainingError: The device is not there.
    """
    from accelerate import Accelerator  # importing it takes a third of a second, and comments do not need it
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs

    if deterministic:  # cuBLAS reads it when it is first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    chosen = choose_device(device, threads)
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
        _allow_only_deterministic(deterministic)
    # accelerate keeps the first settings of a process for ever, but a library must be able to evaluate after training.
    AcceleratorState._reset_state(reset_partial_state=True)
    # The pooler has no gradient. Told that some have none, DDP keeps its buckets, too: a resumed run adds up in the same order.
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)] if processes > 1 else None
    mixed = "bf16" if resolved(precision, chosen) == "bf16" else "no"
    if processes > 1:  # accelerate would choose another number
        os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    with _told_to_accelerate(chosen):
        return Accelerator(cpu=chosen.type == "cpu", mixed_precision=mixed, kwargs_handlers=handlers)


def _allow_only_deterministic(deterministic: bool) -> None:
    """Sets torch's choice of algorithms on a GPU; an operation that has no deterministic one then raises RuntimeError."""
    torch.use_deterministic_algorithms(deterministic)
    # Memory that nobody reads would be filled for nothing: no code here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch adds it at run time


@contextmanager
def _told_to_accelerate(device: torch.device) -> Iterator[None]:
    before = os.environ.get(_ACCELERATE_DEVICE)
    os.environ[_ACCELERATE_DEVICE] = str(device)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ACCELERATE_DEVICE]
        else:
            os.environ[_ACCELERATE_DEVICE] = before


def autocast(accelerator: "Accelerator") -> AbstractContextManager[None]:
    """The context in which the model computes: bf16 where the recipe says so, else its own precision."""
    context: AbstractContextManager[None] = accelerator.autocast()
    return context


def precision_of(accelerator: "Accelerator") -> Precision:
    """The precision in which an accelerator trains."""
    return "bf16" if accelerator.mixed_precision == "bf16" else "fp32"


def describe(device: torch.device) -> str:
    """The device in words for the screen: "cuda (NVIDIA H200)", "cpu"; equal GPUs are equal words, for times can be compared."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def uuid_of(device: torch.device) -> str:
    """The id of a GPU or of a slice of one, as NVML gives it; "" for other devices."""
    if device.type != "cuda":
        return ""
    own = str(torch.cuda.get_device_properties(device).uuid)
    nvml = Gpus()
    ids = [gpu.uuid for gpu in nvml.everything() if same_device(own, gpu.uuid)]
    nvml.close()
    return ids[0] if ids else own
