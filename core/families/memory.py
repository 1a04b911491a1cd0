"""How much memory this process has and had at most, as Linux counts it; 0 elsewhere."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path


def resident_bytes(pid: int | str = "self") -> int:
    """Memory a process has now."""
    return _field("VmRSS", pid)


def peak_bytes() -> int:
    """The most this process had since its start, or since `reset_peak`."""
    return _field("VmHWM", "self")


def available_bytes() -> int:
    """Memory that new work may take without swapping, as the system estimates it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def reset_peak() -> None:
    """Forgets the peak (5 resets the high-water mark: proc(5), clear_refs)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def give_back() -> None:
    """Gives memory that is no longer needed back to the system: the next peak then shows (glibc only)."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _field(name: str, pid: int | str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
