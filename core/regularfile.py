"""Reading and appending to files that anybody may have put there: regular ones only, no more of them than was expected.

Whatever lies in a run's or a model's folder may be a FIFO that never answers, a device, a folder, a link in a circle, gigabytes
long or all holes. Nothing but a regular file is opened here (opening a device can already do something), a link to one counts as
one, and nothing is waited for. Knows no file of a run or a model. Torch-free.
"""

import errno
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import BinaryIO

JSON_BYTES = 4_000_000
"""Most of a file of facts; those that are written here have some kilobytes."""
TOML_BYTES = 64 * 1024
"""Most of a recipe or of settings: ten times the longest."""
DOTS = 500
"""Most dots in a line of TOML: the time that its parser takes for one key grows with their square."""
HOLLOW_BYTES = 100_000_000
"""Larger files of a model must have been written: one that is all holes costs its maker nothing, and its reader memory."""
NO_WAITING = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnfitFileError(OSError):
    """A file that is there, but is none to read: `strerror` says why.

    Args:
        reason: What it is, as the end of a sentence that begins with the file's name.
        path: The file.
    """

    def __init__(self, reason: str, path: str | Path) -> None:
        super().__init__(None, reason, str(path))


def check_regular(path: str | Path) -> None:
    """Refuses what is no regular file, without opening it; for readers that open by name.

    Raises:
        OSError: It is none, or not there.
    """
    _check(os.stat(path), path)  # noqa: PTH116 - a list of runs looks at thousands


def open_regular(path: str | Path) -> BinaryIO:
    """Opens a regular file for reading, in bytes.

    Raises:
        OSError: It is none, not there, or may not be read.
    """
    return os.fdopen(_open(path, os.O_RDONLY), "rb")


def open_written(path: str | Path) -> BinaryIO:
    """Opens a regular file for reading that, if it is large, is not almost all holes: whoever reads it believes its size.

    Raises:
        OSError: As `open_regular`, or it is hollow.
    """
    file = open_regular(path)
    status = os.fstat(file.fileno())
    if status.st_size > HOLLOW_BYTES and 0 < status.st_blocks * 512 < status.st_size / 100:
        file.close()
        raise UnfitFileError(f"its {size_words(status.st_size)} are almost all holes: little of it was ever written", path)
    return file


def append_regular(path: str | Path, mode: int = 0o666) -> int:
    """Opens a regular file for appending; makes it if it is missing.

    Args:
        path: The file.
        mode: Permissions of a new one, less the umask.

    Returns:
        The descriptor.

    Raises:
        OSError: There is something else, or it may not be written.
    """
    if not os.path.lexists(path):
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_WAITING, mode)
    return _open(path, os.O_WRONLY | os.O_APPEND)


def read_regular(path: str | Path, most_bytes: int) -> bytes:
    """Reads a regular file whole.

    Args:
        path: The file.
        most_bytes: A longer one is refused.

    Raises:
        OSError: It is no regular file, too long, not there, or may not be read.
    """
    descriptor = _open(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size > most_bytes:
            raise UnfitFileError(f"it is longer than {most_bytes / 1e6:.3g} MB", path)
        parts, left = [], most_bytes + 1  # it may grow while it is read
        while left > 0 and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(descriptor)
    if left <= 0:
        raise UnfitFileError(f"it is longer than {most_bytes / 1e6:.3g} MB", path)
    return b"".join(parts)


def read_text(path: str | Path, most_bytes: int) -> str:
    """Reads a regular file as UTF-8.

    Raises:
        OSError: As `read_regular`, or it is no UTF-8 text.
    """
    try:
        return read_regular(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnfitFileError("it is not UTF-8 text", path) from error


def read_json(path: str | Path, most_bytes: int = JSON_BYTES) -> object:
    """Reads a JSON file.

    Raises:
        OSError: As `read_regular`, or it is no JSON, or is nested deeper than can be read.
    """
    try:
        return json.loads(read_text(path, most_bytes))
    except ValueError as error:
        raise UnfitFileError(f"it is not valid JSON ({error})", path) from error
    except RecursionError as error:
        raise UnfitFileError("it is nested too deeply", path) from error


def read_facts(path: str | Path, most_bytes: int = JSON_BYTES) -> dict[str, object]:
    """Reads a JSON file that holds one object.

    Raises:
        OSError: As `read_json`, or it holds something else.
    """
    content = read_json(path, most_bytes)
    if not isinstance(content, dict):
        raise UnfitFileError("it holds no JSON object", path)
    return content


def parse_toml(text: str) -> dict[str, object]:
    """Reads TOML.

    Raises:
        ValueError: It is none, or would take for ever.
    """
    if len(text) > TOML_BYTES or any(line.count(".") > DOTS for line in text.split("\n")):
        raise ValueError(f"more than {TOML_BYTES // 1024} kB, or a line with more than {DOTS} dots")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python's own limit on the digits of a number
        raise ValueError("a number in it has thousands of digits") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def real(path: Path) -> Path:
    """The absolute path without links; unlike `Path.resolve`, a link in a circle stays as it is instead of being an error."""
    return Path(os.path.realpath(path))


def reason(error: Exception) -> str:
    """Why a file could not be read, as the end of a sentence without its full stop; the first line of a longer text."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.splitlines()[0][:300] if text else type(error).__name__


def size_words(size_bytes: int) -> str:
    """A size for an error's text: "5.0 MB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"


def _open(path: str | Path, flags: int) -> int:
    check_regular(path)
    descriptor = os.open(path, flags | NO_WAITING)
    try:
        _check(os.fstat(descriptor), path)  # another one may have taken its place
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(status: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise UnfitFileError(f"it is {KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}, not a regular file", path)
