"""Memory of this process, now and at its peak, as Linux counts it; 0 on other systems."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path


def resident_bytes(pid: int | str = "self") -> int:
    """Bytes of memory that this process has now."""
    return _field("VmRSS", pid)


def peak_bytes() -> int:
    """Most bytes that this process had since its start, or since `reset_peak`."""
    return _field("VmHWM", "self")


def available_bytes() -> int:
    """Bytes that new work may take without swapping, as the system estimates them."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def reset_peak() -> None:
    """Resets the peak (5 resets the high-water mark: proc(5), clear_refs)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def give_back() -> None:
    """Returns freed memory to the system, so that it does not hide the next peak (glibc only)."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _field(name: str, pid: int | str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
