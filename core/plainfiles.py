"""Opens files that somebody else may have made: only plain ones, and only up to a size.

A pipe would let a reader wait for ever, a device never ends, and a file may be larger than memory. Knows no format. Torch-free.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""What a path may be that is no plain file."""

HOLLOW_BYTES = 100_000_000
"""Larger files must have been written: a file that is all holes costs its maker nothing, and its reader memory."""


def open_plain(path: Path, most_bytes: int | None = None) -> BinaryIO:
    """Opens a plain file for reading, without ever waiting for one.

    Args:
        path: A link is followed.
        most_bytes: A larger file is refused; None for any size.

    Raises:
        OSError: It is missing, no plain file, all holes, too large or not readable; `strerror` says which, as half a sentence.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # without O_NONBLOCK a pipe waits for its writer
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, f"it is {KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, not a plain file", str(path))
        if status.st_size > HOLLOW_BYTES and 0 < status.st_blocks * 512 < status.st_size / 100:
            raise OSError(0, f"its {size_words(status.st_size)} are almost all holes: little of it was ever written", str(path))
        if most_bytes is not None and status.st_size > most_bytes:
            raise OSError(0, f"it has {size_words(status.st_size)}, more than the {size_words(most_bytes)} allowed", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, most_bytes: int) -> bytes:
    """All of a plain file.

    Args:
        path: A link is followed.
        most_bytes: A larger file is refused.

    Raises:
        OSError: As for `open_plain`.
    """
    with open_plain(path, most_bytes) as file:
        return file.read(most_bytes)


def reason(error: Exception) -> str:
    """Why a file could not be read, as half a sentence without the file's name."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    return first[:300]


def size_words(size_bytes: int) -> str:
    """A size for an error's text: "5.0 MB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"
