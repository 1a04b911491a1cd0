"""Device, threads and precision of a run.

`accelerate` chooses the device and makes the autocast; this module only says clearly what is unavailable.
"""

import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch

from ..errors import TrainingError
from ..recipe import Device, Precision

if TYPE_CHECKING:
    from accelerate import Accelerator


def choose_device(device: Device, threads: int) -> torch.device:
    """Where this process computes what trains nothing, with how many threads.

    Args:
        device: "auto" takes a GPU where there is one.
        threads: CPU threads, 0 = as many as cores.

    Returns:
        Where tensors go.

    Raises:
        TrainingError: The device is not there.
    """
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device, True):
        raise TrainingError(
            f'training.device = "{device}" is not available on this machine.', 'Set training.device = "auto", or "cpu".'
        )
    return torch.device(next((name for name, there in available.items() if there), "cpu") if device == "auto" else device)


def make_accelerator(device: Device, precision: Precision, threads: int) -> "Accelerator":
    """Prepares the device of this process for training.

    Args:
        device: "auto" takes a GPU where there is one.
        precision: fp32, or bf16 autocast.
        threads: CPU threads, 0 = as many as cores.

    Returns:
        The accelerator; its `.device` is where tensors go.

    Raises:
        TrainingError: The device is not there.
    """
    from accelerate import Accelerator  # importing it takes a third of a second, and comments do not need it
    from accelerate.state import AcceleratorState

    choose_device(device, threads)
    # accelerate keeps the first settings of a process for ever, but a library must be able to evaluate after training.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")


def autocast(accelerator: "Accelerator") -> AbstractContextManager[None]:
    """The context in which the model computes: bf16 where the recipe says so, else its own precision."""
    context: AbstractContextManager[None] = accelerator.autocast()
    return context


def describe(device: torch.device) -> str:
    """The device in words for the screen: "cuda (NVIDIA H200)", "cpu"."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
