"""The last resort: an unforeseen error leaves a report on disk, and a sentence that names it.

Knows neither terminals nor the failed work. A report holds the traceback and versions, and only its owner can read it:
messages of errors may quote code.
"""

import os
import platform
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs

from ..views.plain import plain

LONGEST = 200_000
"""Most characters of a report; an endless recursion fills pages with one line."""


def write_report(error: BaseException) -> Path | None:
    """Writes the report of an error.

    Args:
        error: The error.

    Returns:
        The file; None if it cannot be written.
    """
    text = "".join(traceback.format_exception(error))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n…\n{text[-LONGEST // 2 :]}"
    versions = ", ".join(f"{name} {_version(name)}" for name in ("codeprune-tui", "textual", "torch"))
    head = f"{time.strftime('%Y-%m-%d %H:%M:%S')}, Python {platform.python_version()} on {sys.platform}, {versions}\n\n"
    name = f"defect-{time.strftime('%Y%m%d-%H%M%S')}-"
    for folder in (platformdirs.user_state_path("codeprune-tui"), Path(tempfile.gettempdir())):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, path = tempfile.mkstemp(".txt", name, folder)  # readable by its owner only
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(head + text)
            return Path(path)
    return None


def sentences(error: BaseException, path: Path | None) -> str:
    """The sentences about an unforeseen error: its kind, and the path of its report."""
    what = plain(f"{type(error).__name__}: {error}", 300)
    if path is None:
        return f"This is a defect: {what}. Its report could not be written."
    return f"This is a defect: {what}. A report for the developers is in {plain(str(path), 300)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
