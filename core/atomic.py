"""Files and folders that are complete or absent, whatever kills the process that writes them.

Knows nothing of their content. The recipe is the usual one: write beside the target under a temporary name, fsync, rename.
"""

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk import system_error

TEMPORARY = ".tmp-"
"""Prefix of everything unfinished."""


@contextmanager
def complete_or_absent(target: Path, *, private: bool = False) -> Iterator[Path]:
    """Gives a temporary path to write to, which becomes `target` only when the block ends without an exception.

    Args:
        target: File or folder to make. A file that exists is replaced; a folder must not exist.
        private: Leave who may read it as the writer says; else it is as open as this process' umask has it.

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
        if not private:
            open_to_umask(draft)
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


def open_to_umask(path: Path) -> None:
    """Gives a file, or a folder with all that is in it, the permissions that plain writing would have given it.

    Temporary files are for their owner alone, and some libraries write by way of one (safetensors): a run's weights could then be
    read by nobody else on a shared file system.

    Args:
        path: Ours; nothing below it may be meant to stay private.
    """
    # The umask cannot be asked for without changing it for all threads, so a file is made and looked at.
    probe = path.parent / f"{TEMPORARY}mode-{os.getpid()}-{threading.get_ident()}"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink()
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with suppress(OSError):  # some network file systems have no such permissions
            each.chmod(mode | (mode & 0o444) >> 2 if each.is_dir() else mode)


def remove_unfinished(folder: Path) -> None:
    """Deletes the drafts of a killed writer directly in `folder`; only the holder of the folder's lock may call this."""
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
