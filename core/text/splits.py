"""Finds the rows of a split in a folder, without reading one: what `rows` reads, and what can be said before a run.

Knows names of files and folders only, neither rows nor the hub.
"""

import difflib
import re
from pathlib import Path

from ..errors import DataError

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""What a hub data set is called: owner/name. The few old ones without an owner are not code-to-text."""


def find_split(path: str, split: str) -> Path | None:
    """Where the rows of a split lie; None where only the hub can know.

    Args:
        path: Folder, or name of a hub data set.
        split: `train`, `valid`, `test` or whatever the files are called.

    Returns:
        `{split}.jsonl`, `{split}.jsonl.gz` or a folder `{split}/` of Ruby files: the first of these that exists.

    Raises:
        DataError: It is no hub name, and the folder or the split is missing.
    """
    try:
        folder = Path(path).expanduser()
        if folder.is_dir():
            return _in_folder(folder, split)
        if HUB_NAME.fullmatch(path) and not folder.parent.exists():
            return None
        raise _no_folder(folder)
    except (OSError, RuntimeError, ValueError) as error:  # no such user as in ~user; a NUL in the name
        raise DataError(
            f"{path} cannot be read: {error}.", "Check the name and its permissions, or give another folder as data.path."
        ) from error


def _in_folder(folder: Path, split: str) -> Path:
    for file in (folder / f"{split}.jsonl", folder / f"{split}.jsonl.gz"):
        if file.is_file():
            return file
    if (folder / split).is_dir():
        return folder / split
    raise _no_split(folder, split)


def _no_folder(folder: Path) -> DataError:
    """The error for a path that is no folder, with the nearest name that exists."""
    if folder.exists():
        return DataError(f"{folder} is a file, not a folder.", f"Give the folder it lies in: {folder.parent}.")
    missing = folder
    while not missing.parent.is_dir():
        missing = missing.parent
    siblings = sorted(child.name for child in missing.parent.iterdir() if child.is_dir())
    near = difflib.get_close_matches(missing.name, siblings, n=1)
    fix = "Give data.path as a folder with jsonl or Ruby files, or as the name of a hub data set, owner/name."
    if near:
        fix = f"Did you mean {missing.parent / near[0] / folder.relative_to(missing)}? {fix}"
    nearest = "" if str(missing.parent) == "." or missing == folder else f"; the nearest folder that exists is {missing.parent}"
    return DataError(f"There is no folder {folder}{nearest}.", fix)


def _no_split(folder: Path, split: str) -> DataError:
    """The error for a folder without the split, with what is there instead."""
    entries = sorted(folder.iterdir())
    splits = sorted({file.name.partition(".jsonl")[0] for file in entries if file.name.endswith((".jsonl", ".jsonl.gz"))})
    folders = [entry.name for entry in entries if entry.is_dir()]
    there = [f"the splits {', '.join(splits)}"] * bool(splits) + [f"the folders {', '.join(folders[:8])}"] * bool(folders)
    return DataError(
        f"{folder} holds no {split}.jsonl, {split}.jsonl.gz or folder {split} of Ruby files.",
        f"There: {' and '.join(there) or 'nothing that could be a split'}. Name one of these splits, or give another folder.",
    )
