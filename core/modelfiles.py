"""Finds the files of a model in a folder, without opening weights: what `weightfiles` reads, and what can be said before a run.

Knows names of files only. Torch-free, so that a path that leads nowhere is refused before there is a run to fail.
"""

import difflib
import re
from pathlib import Path

from .errors import ModelError
from .experiments import FINETUNED, PRETRAINED
from .hub import is_cached

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names a weights file may have; the first one found is taken."""

TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Files a tokenizer may consist of; the first complete set is taken."""

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def local_weights(source: str | Path) -> Path | None:
    """The weights file meant by `source`, a `config.json` beside it; None where only the hub can know.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: Something is missing.
    """
    path = _local(source)
    if path is None:
        return None
    folder = path if path.is_dir() else path.parent
    if not (folder / CONFIG).exists():
        raise ModelError(f"{folder} has no {CONFIG}, so the model's sizes are unknown.", "Put the model's configuration there.")
    if path.is_file():
        if path.suffix not in (".bin", ".safetensors"):
            raise ModelError(f"{path} is no weights file.", "Give a folder, a .safetensors or a .bin file.")
        return path
    found = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if found is None:
        split = next(folder.glob("*.index.json"), None)
        raise ModelError(
            f"{folder} has neither {WEIGHTS[0]} nor {WEIGHTS[1]}"
            + (f", only a model in several files ({split.name})." if split else "."),
            "Save the model again in one file." if split else "Put the model's weights there, or choose another folder.",
        )
    return found


def local_tokenizer(source: str | Path) -> Path | None:
    """The folder with the tokenizer of `source`; None where only the hub can know.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: There is none.
    """
    path = _local(source)
    if path is None:
        return None
    folder = path if path.is_dir() else path.parent
    if not any(all((folder / name).exists() for name in names) for names in TOKENIZERS):
        raise ModelError(
            f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt.",
            "Copy the tokenizer files of the model that these weights were trained from into the folder.",
        )
    return folder


def no_model(path: Path) -> ModelError:
    """The error for a path that is not there, with the nearest name that is."""
    existing, wanted = path.parent, path.name
    while not existing.is_dir():
        existing, wanted = existing.parent, existing.name
    near = difflib.get_close_matches(wanted, [entry.name for entry in existing.iterdir()], n=1)
    hint = f"Did you mean {existing / near[0]}?" if near else "Check the name; a path is taken from the current folder."
    return ModelError(f"There is no model at {path}.", hint)


def _no_such_word(name: str) -> ModelError:
    """The error for one word that is neither here nor downloaded: a slip more often than one of the hub's few old names."""
    known = {entry.name: entry.name for entry in Path().iterdir()} | {Path(path).name: path for path in (FINETUNED, PRETRAINED)}
    near = difflib.get_close_matches(name, known, n=1)
    return ModelError(
        f"There is no model {name} in this folder, and none of that name was downloaded from the Hugging Face hub.",
        (f"Did you mean {known[near[0]]}? " if near else "Check the name; a path is taken from the current folder. ")
        + "A model of the hub is written with its owner, such as microsoft/codebert-base.",
    )


def _local(source: str | Path) -> Path | None:
    """`source` as a path that exists; None where it may be a hub name.

    Raises:
        ModelError: It is neither, or cannot be looked at.
    """
    try:
        path = Path(source).expanduser()
        if path.exists():
            return path
        if not _HUB_NAME.fullmatch(str(source)):
            raise no_model(path)
        if "/" in str(source):
            if path.parent.is_dir():
                raise no_model(path)
        elif not is_cached(str(source)):
            raise _no_such_word(str(source))
        return None
    except (OSError, RuntimeError, ValueError) as error:  # no such user as in ~user; too long, or a NUL in it
        raise ModelError(f"{source} cannot be read: {error}.", "Check the name and its permissions.") from error
