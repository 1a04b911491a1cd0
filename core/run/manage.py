"""Renaming and deleting run folders, under the run's lock and never outside the folder of all runs.

A worker holds the lock for as long as it lives, so while the lock is held here, none is at work. Knows nothing of weights, and
does not ask for confirmation, which is the caller's business. Torch-free.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import RunError
from ..program import program, run_handle
from ..regularfile import real
from .folder import NAME_PATTERN, STALE_AFTER_S, RunPaths, hold_lock, is_held, is_run
from .holder import may_live_elsewhere, refuse_second


def check_name(name: str) -> None:
    """Refuses what cannot be the name of a run.

    Raises:
        RunError: It has other characters than those allowed, or too many.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise RunError(
            f"{name!r} cannot be the name of a run.",
            "Use letters, digits, '.', '-' and '_', beginning with a letter or digit, 100 at most.",
        )


def check_own(checkpoints: Path, paths: RunPaths) -> None:
    """Refuses what does not lie directly in the folder of all runs.

    Args:
        checkpoints: Folder of all runs.
        paths: The run; its path must not be resolved, or a link could no longer be told from a folder.

    Raises:
        RunError: It is a link, lies elsewhere, or is no run.
    """
    if paths.root.is_symlink():
        raise RunError(
            f"{paths.root} is a link to {paths.root.readlink()}, and links are not followed.",
            "Remove or rename the link itself with rm or mv.",
        )
    if real(paths.root.parent) != real(checkpoints) or paths.root.name in ("", ".", ".."):
        raise RunError(f"{paths.root} does not lie in {checkpoints}.", "Name the folder of its runs with --checkpoints.")
    if not is_run(paths.root):
        raise RunError(f"{paths.root} is no run: it has no recipe.toml.", f"See what is there: {program()} status")


def rename_run(checkpoints: Path, paths: RunPaths, name: str) -> RunPaths:
    """Gives a run another name.

    Args:
        checkpoints: Folder of all runs.
        paths: The run; no worker may be at work on it.
        name: Its new name.

    Returns:
        Its paths from now on.

    Raises:
        RunError: The name is taken or cannot be one, a worker is at work, or the run lies elsewhere.
    """
    check_name(name)
    check_own(checkpoints, paths)
    renamed = RunPaths(paths.root.with_name(name))
    with _alone(paths, "renamed"):
        # Under the lock, but another program may still make the folder in between: rename(2) then refuses one with content.
        if os.path.lexists(renamed.root):
            raise RunError(f"There is already something at {renamed.root}.", "Choose another name.")
        _move(paths.root, renamed.root)
    return renamed


def delete_run(checkpoints: Path, paths: RunPaths) -> None:
    """Deletes a run with all its rounds; a link inside it goes, what it points to stays.

    The folder first disappears from the list in one rename, so that a killed deletion leaves no half a run.

    Args:
        checkpoints: Folder of all runs.
        paths: The run; no worker may be at work on it.

    Raises:
        RunError: A worker is at work, the run lies elsewhere, or it cannot be deleted.
    """
    check_own(checkpoints, paths)
    with _alone(paths, "deleted"):
        try:
            bin_folder = Path(tempfile.mkdtemp(prefix=".deleted-", dir=checkpoints))
        except OSError as error:
            raise RunError(f"Cannot delete {paths.root}: {error.strerror}.", f"Check who may write {checkpoints}.") from error
        try:
            _move(paths.root, bin_folder / "run")
        except RunError:
            bin_folder.rmdir()
            raise
        try:
            shutil.rmtree(bin_folder)
        except OSError as error:
            raise RunError(
                f"Not all of {paths.name} could be deleted: {error.strerror}.", f"What is left lies in {bin_folder}."
            ) from error


@contextmanager
def _alone(paths: RunPaths, done: str) -> Iterator[None]:
    """Holds the run's lock, or says that a worker does."""
    busy = RunError(
        f"{paths.name} cannot be {done} while its worker is alive.",
        f"Stop it with: {program()} stop {run_handle(paths.root)}",
    )
    if is_held(paths):
        raise busy
    if may_live_elsewhere(paths):  # by a clock that is slow, where its lock does not reach this host
        refuse_second(paths, STALE_AFTER_S)
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(paths))
        except RunError as error:
            raise busy from error
        except OSError as error:
            raise RunError(
                f"Cannot take the lock {paths.lock}: {error.strerror}.", f"Check who may write {paths.root}."
            ) from error
        yield


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise RunError(f"Cannot move {source} to {target}: {error.strerror}.", f"Check who may write {source.parent}.") from error
