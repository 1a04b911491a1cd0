"""Finds the files of a model in a folder without opening weights, for `weightfiles` and for checks before a run.

Knows only names of files, and those that an index lists. Torch-free, so that a path that leads nowhere is refused before there is
a run that could fail.
"""

import difflib
import re
from pathlib import Path

from ..errors import ModelError
from ..hub import is_cached
from ..recipe import FINETUNED, PRETRAINED
from ..regularfile import open_written, reason
from ..text.content import HEAD_BYTES, is_lfs_pointer
from .weightheaders import INDEX, shards

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Possible names of a weights file; the first one that exists is taken."""
INDEXES = tuple(f"{name}{INDEX}" for name in WEIGHTS)
"""Possible names of the index of a model in several files, where there is no single file."""

ONNX_FILES = ("encoder.onnx", "decoder.onnx")
"""The two graphs of a model that was exported to ONNX."""
TUNED = "finetuned"
"""Another key: whether the model's decoder has learned to write comments."""
PRECISION = "onnx"
"""Key of such a model's `config.json`: fp32, fp16 or int8."""

TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Sets of files that a tokenizer may consist of; the first complete one is taken."""

ROUNDS = "rounds"
"""Folder of a run that holds its rounds, each of them a model."""
METRICS = "metrics.json"
"""File of a round with its scores."""

READER = "reader.json"
"""File with the steps that the text of a source goes through before it is tokenized."""

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def local_weights(source: str | Path) -> Path | None:
    """The weights file (or index of several) of `source`, with a `config.json` beside it; None where only the hub can tell.

    Args:
        source: Folder, weights file, index, or hub name.

    Raises:
        ModelError: Something is missing, or is no regular file.
    """
    path = _local(source)
    if path is None:
        return None
    folder = path if path.is_dir() else path.parent
    _refuse_what_holds_no_model(path)
    if not (folder / CONFIG).exists():
        raise ModelError(
            f"{folder} has no {CONFIG}, so the model's sizes are unknown.",
            "Put the model's configuration there. CodeXGLUE's run.py saves weights alone: copy config.json, vocab.json and "
            "merges.txt of its --model_name_or_path beside them.",
        )
    _must_be_regular(folder / CONFIG)
    if not path.is_dir():
        _must_be_regular(path)
        weights = path
    else:
        weights = next((folder / name for name in (*WEIGHTS, *INDEXES) if (folder / name).exists()), folder)
    if weights == folder and is_onnx(folder):
        raise ModelError(
            f"{folder} is an ONNX model: it writes comments and is evaluated, and cannot be trained, pruned or quantized.",
            "Give the model that it was exported from.",
        )
    if weights == folder:
        raise ModelError(
            f"{folder} has neither {WEIGHTS[0]} nor {WEIGHTS[1]}.", "Put the model's weights there, or choose another folder."
        )
    for file in shards(weights) if weights.name in INDEXES else [weights]:
        _must_be_regular(file)
    return weights


def is_onnx(source: str | Path) -> bool:
    """Whether `source` is the folder of a model that runs in ONNX Runtime."""
    try:
        folder = Path(source).expanduser()
        return all((folder / name).is_file() for name in ONNX_FILES)
    except (OSError, RuntimeError, ValueError):
        return False


def local_tokenizer(source: str | Path) -> Path | None:
    """The folder with the tokenizer of `source`; None where only the hub can tell.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: There is none.
    """
    path = _local(source)
    if path is None:
        return None
    folder = path if path.is_dir() else path.parent
    files = next((names for names in TOKENIZERS if all((folder / name).exists() for name in names)), None)
    if files is None:
        raise ModelError(
            f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt.",
            "Copy the tokenizer files of the model that these weights were trained from into the folder.",
        )
    for name in files:
        _must_be_regular(folder / name)
    return folder


def _must_be_regular(path: Path) -> None:
    try:
        with open_written(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {reason(error)}.", "Put the model's own file there.") from error
    if is_lfs_pointer(head):
        raise ModelError(
            f"{path} is a git-lfs pointer, not the file itself.",
            f"Fetch it where it was cloned: git lfs pull --include {path.name}",
        )


def no_model(path: Path) -> ModelError:
    """The error for a path that does not exist, with the nearest name that does."""
    existing, missing = path.parent, path.name
    while not existing.is_dir():
        existing, missing = existing.parent, existing.name
    near = difflib.get_close_matches(missing, [entry.name for entry in existing.iterdir()], n=1)
    hint = f"Did you mean {existing / near[0]}?" if near else "Check the name; a path is taken from the current folder."
    return ModelError(f"There is no model at {path}.", hint)


def _no_such_word(name: str) -> ModelError:
    """The error for a single word that is neither a file nor downloaded: usually a slip, rarely an old name of the hub."""
    known = {entry.name: entry.name for entry in Path().iterdir()} | {Path(path).name: path for path in (FINETUNED, PRETRAINED)}
    near = difflib.get_close_matches(name, known, n=1)
    return ModelError(
        f"There is no model {name} in this folder, and none of that name was downloaded from the Hugging Face hub.",
        (f"Did you mean {known[near[0]]}? " if near else "Check the name; a path is taken from the current folder. ")
        + "A model of the hub is written with its owner, such as microsoft/codebert-base.",
    )


def _refuse_what_holds_no_model(path: Path) -> None:
    """Refuses a file that holds no weights, a run as a whole, and a round whose weights were not kept."""
    if not path.is_dir():
        if path.suffix not in (".bin", ".safetensors") and path.name not in INDEXES:
            raise ModelError(f"{path} is no weights file.", "Give a folder, a .safetensors or a .bin file.")
    elif not (path / CONFIG).exists():
        if (path / ROUNDS).is_dir():
            with_weights = [file.parent for name in WEIGHTS for file in path.glob(f"{ROUNDS}/*/{name}")]
            fix = "None of its rounds has weights: give another model."
            if with_weights:
                fix = f"Give one of its rounds, such as {max(with_weights)}."
            raise ModelError(f"{path} is a run and holds no model itself.", fix)
        if (path / METRICS).exists() and path.parent.name == ROUNDS:
            raise ModelError(
                f"{path} is a round whose weights are not there.", "Give another round of the run, or another model."
            )


def _local(source: str | Path) -> Path | None:
    """`source` as an existing path; None where it may be a hub name.

    Raises:
        ModelError: It is neither, or cannot be read.
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
