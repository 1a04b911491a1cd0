"""Finds the rows of a split in a folder without reading any, for `rows` and for checks before a run.

Knows names of files and folders only, neither rows nor the hub. Sources of the layouts:
CodeXGLUE's `train.jsonl`; CodeSearchNet's `final/jsonl/train/ruby_train_0.jsonl.gz`; the hub's `train-00000-of-00002.parquet`;
`datasets.save_to_disk`.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import DataError

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""Name of a hub data set: owner/name. The few old ones without an owner are not code-to-text."""


ALIASES = {"valid": "validation"}
"""Other names of a split, on the hub."""
_SAVED = ("state.json", "dataset_info.json")
_DIGITS = re.compile(r"([0-9]+)")
_ROWS = (".jsonl", ".jsonl.gz")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z")


@dataclass(frozen=True)
class Split:
    """Where the rows of a split lie."""

    kind: Literal["jsonl", "parquet", "saved", "ruby"]
    """CodeXGLUE's or CodeSearchNet's rows, the hub's tables, a folder of `datasets.save_to_disk`, or Ruby files."""
    paths: tuple[Path, ...]
    """Files in the order of their rows; for the last two kinds the folder."""


def find_split(path: str, split: str) -> Split | None:
    """The place of a split's rows; None where only the hub can tell.

    Args:
        path: Folder, or name of a hub data set.
        split: `train`, `valid`, `test` or whatever the files are called.

    Returns:
        The result of `in_folder`.

    Raises:
        DataError: `path` is no hub name, and the folder or the split is missing.
    """
    try:
        folder = Path(path).expanduser()
        if folder.is_dir():
            if (place := in_folder(folder, split)) is None:
                raise _no_split(folder, split)
            return place
        if HUB_NAME.fullmatch(path) and not folder.parent.exists():
            return None
        raise _no_folder(folder)
    except (OSError, RuntimeError, ValueError) as error:  # no such user as in ~user; a NUL in the name
        raise DataError(
            f"{path} cannot be read: {error}.", "Check the name and its permissions, or give another folder as data.path."
        ) from error


def in_folder(folder: Path, split: str) -> Split | None:
    """The place of a split's rows in a data folder; None where the folder has none.

    Args:
        folder: An existing folder.
        split: As for `find_split`; `valid` is found as `validation`, too.

    Returns:
        `{split}.jsonl`, `{split}.jsonl.gz`, a folder `{split}/`, parquet files, CodeSearchNet's `final/jsonl/{split}/`: the
        first of these that exists.
    """
    return next((place for name in (split, ALIASES.get(split, split)) for place in _places(folder, name)), None)


def _places(folder: Path, name: str) -> Iterator[Split]:
    yield from (Split("jsonl", (file,)) for end in _ROWS if (file := folder / f"{name}{end}").is_file())
    if (folder / name).is_dir():
        yield _inside(folder / name)
    for place in (folder, folder / "data"):
        if tables := _in_order([*place.glob(f"{name}.parquet"), *place.glob(f"{name}-*.parquet")]):
            yield Split("parquet", tables)
    for place in (folder / "final" / "jsonl" / name, folder / "jsonl" / name):
        if place.is_dir():
            yield _inside(place)


def _inside(folder: Path) -> Split:
    """The kind and files of a folder that holds one split."""
    if all((folder / name).is_file() for name in _SAVED):
        return Split("saved", (folder,))
    names = [entry for entry in folder.iterdir() if entry.name.endswith((".rb", ".parquet", *_ROWS))]
    if any(entry.suffix == ".rb" for entry in names):
        return Split("ruby", (folder,))
    rows = [entry for entry in names if entry.name.endswith(_ROWS)]
    if rows or names:
        return Split("jsonl" if rows else "parquet", _in_order(rows or names))
    return Split("ruby", (folder,))  # they may lie deeper


def _in_order(files: list[Path]) -> tuple[Path, ...]:
    """Files in the order of their names, `_2` before `_10`."""
    return tuple(sorted(files, key=lambda file: [int(part) if part.isdecimal() else part for part in _DIGITS.split(file.name)]))


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
    """The error for a folder without the split; it lists the splits that are there."""
    entries = sorted(folder.iterdir())
    splits = sorted({file.name.partition(".jsonl")[0] for file in entries if file.name.endswith((".jsonl", ".jsonl.gz"))})
    splits += sorted({re.split(r"[-.]", file.name)[0] for file in entries if file.suffix == ".parquet"})
    folders = [entry.name for entry in entries if entry.is_dir()]
    if all((folder / name).is_file() for name in _SAVED):
        return DataError(
            f"{folder} is one saved data set without splits.",
            f"Put it into a folder called {split}, and give the folder around it.",
        )
    packed = next((entry.name for entry in entries if entry.name.endswith(_ARCHIVES)), None)
    if packed is not None and not splits + folders:
        return DataError(
            f"{folder} holds no {split}.jsonl, {split}.jsonl.gz or folder {split} of Ruby files, but {packed}.",
            f"Unpack {packed}, and give the folder with its splits.",
        )
    there = [f"the splits {', '.join(splits)}"] * bool(splits) + [f"the folders {', '.join(folders[:8])}"] * bool(folders)
    return DataError(
        f"{folder} holds no {split}.jsonl, {split}.jsonl.gz or folder {split} of Ruby files.",
        f"There: {' and '.join(there) or 'nothing that could be a split'}. Name one of these splits, or give another folder.",
    )
