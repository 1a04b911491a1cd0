"""Files and folders that are complete or absent, whatever kills the process that writes them.

Knows nothing of their content. The recipe is the usual one: write beside the target under a temporary name, fsync, rename.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk import system_error

TEMPORARY = ".tmp-"
"""Prefix of everything unfinished."""


@contextmanager
def complete_or_absent(target: Path) -> Iterator[Path]:
    """Gives a temporary path to write to, which becomes `target` only when the block ends without an exception.

    Args:
        target: File or folder to make. A file that exists is replaced; a folder must not exist.

    Raises:
        OSError: It cannot be written, whichever library found that out.

    Yields:
        Where to write: a path that does not exist yet, in the same folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f"{TEMPORARY}{target.name}-{os.getpid()}"
    _remove(draft)
    try:
        yield draft
        for path in [*draft.rglob("*"), draft] if draft.is_dir() else [draft]:
            _fsync(path)
        draft.replace(target)
        _fsync(target.parent)
    except BaseException as error:
        with suppress(OSError):  # what happened first is the cause; the draft goes with the next one
            _remove(draft)
        if isinstance(error, Exception) and (of_system := system_error(error, target)) is not None:
            raise of_system from error
        raise


def remove_unfinished(folder: Path) -> None:
    """Deletes what a killed writer left behind, directly in `folder`; only whoever holds the folder's lock may."""
    if folder.is_dir():
        for path in folder.glob(f"{TEMPORARY}*"):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
