"""The devices that a run may compute on, for the form's list: each GPU with its free memory and with who uses it.

NVML and psutil are asked; processes of others may be hidden, and in a container all are. Knows neither Textual nor torch.
"""

from collections.abc import Mapping
from pathlib import PurePath

import psutil

from core.gpus import Gpu, Gpus

from ..views.plain import plain

GIB = 2**30
MOST_USERS = 4
"""Most processes that are named for one GPU."""


def gpus() -> list[tuple[str, str, str]]:
    """(value of training.device, name, free memory and users) of each GPU that a worker started here would see."""
    nvml = Gpus()
    visible = nvml.visible()
    nvml.close()
    return [(f"cuda:{gpu.number}", plain(gpu.name, 60), about(gpu)) for gpu in visible]


def about(gpu: Gpu) -> str:
    """A GPU's free memory and its users in words."""
    total, free = gpu.total_bytes, gpu.free_bytes
    memory = "memory not told" if total is None or free is None else f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    busy = "" if gpu.busy is None else f", {gpu.busy:.0%} busy".replace("%", " %")
    return f"{memory}{busy} · {_users(gpu.users)}"


def _users(users: Mapping[int, int | None]) -> str:
    if not users:
        return "no user to be seen"
    named = [_user(pid, size_bytes) for pid, size_bytes in list(users.items())[:MOST_USERS]]
    more = f" and {len(users) - len(named)} more" if len(users) > len(named) else ""
    return f"used by {', '.join(named)}{more}"


def _user(pid: int, size_bytes: int | None) -> str:
    """A process in words: the run whose worker it is, else its owner and its program."""
    held = "" if size_bytes is None else f", {size_bytes / GIB:.1f} GiB"
    try:
        process = psutil.Process(pid)
        command, owner = process.cmdline(), process.username()
    except (psutil.Error, ValueError, OverflowError, KeyError):
        return f"process {pid}{held}"
    if "core.worker" in command[:-1]:  # one of several ranks has further arguments before its folder
        return f"run {plain(PurePath(command[-1]).name, 60)}{held}"
    program = PurePath(command[0]).name if command else "a process"
    return f"{plain(owner, 30)}'s {plain(program, 30)} (process {pid}{held})"
