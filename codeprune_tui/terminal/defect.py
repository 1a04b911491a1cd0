"""The last resort: an error that nobody has foreseen leaves a report on disk, and a sentence that names it.

Knows neither terminals nor what was being done. A report holds the traceback and versions, and is for its owner alone:
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
"""Characters of a report; a recursion without an end fills pages with one line."""


def write_report(error: BaseException) -> Path | None:
    """Writes the report of an error.

    Args:
        error: What was raised.

    Returns:
        The file; None where nothing can be written.
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
    """What to say of an error that nobody has foreseen: what it is, and where its report lies."""
    what = plain(f"{type(error).__name__}: {error}", 300)
    if path is None:
        return f"This is a defect: {what}. Its report could not be written."
    return f"This is a defect: {what}. A report for the developers is in {plain(str(path), 300)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
