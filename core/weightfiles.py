"""Finds weights and tokenizer files, in a folder or on the Hugging Face hub, and reads tensors out of them.

Pickles are opened with `weights_only=True` and in no other way. Knows names and tensors, not what they make together (`loading`).
Sources: CodeXGLUE (`pytorch_model.bin` and its unused buffer `bias`); `torch.nn.utils.prune` (`<name>_orig`, `<name>_mask`).
"""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import ModelError
from .hub import cache_only, why_unreachable
from .modelfiles import CONFIG, TOKENIZERS, WEIGHTS, local_tokenizer, local_weights, no_model

_NO_WEIGHTS = re.compile(r"bias|.*\.position_ids")  # buffers that CodeXGLUE and older versions of transformers saved


def find_weights(source: str | Path) -> Path:
    """The weights file meant by `source`; fetched first if it is on the hub. A `config.json` lies beside it.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: Something is missing, or the hub cannot be reached.
    """
    found = local_weights(source)
    return found or _fetch(str(source), [(CONFIG,)], [(name,) for name in WEIGHTS])


def find_tokenizer(source: str | Path) -> Path:
    """The folder with the tokenizer of `source`; fetched first if it is on the hub.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: There is none, or the hub cannot be reached.
    """
    found = local_tokenizer(source)
    return found or _fetch(str(source), [(CONFIG,)], TOKENIZERS).parent


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a file.

    Raises:
        ModelError: It is no JSON object.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}.", "Copy the file again.") from error
    if not isinstance(facts, dict):
        raise ModelError(f"{path} holds no JSON object.", "Copy the file again.")
    return facts


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file, in memory, under the names they have there.

    Raises:
        ModelError: The file is damaged, or a pickle that holds more than tensors.
    """
    if path.suffix == ".bin":
        return _read_pickle(path)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def read_names(path: Path) -> list[str]:
    """The names of a file's tensors, without reading the tensors where the format allows it.

    Raises:
        ModelError: As for `read_tensors`.
    """
    if path.suffix == ".bin":
        return list(_read_pickle(path))
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Name in the file -> name without the `module.` that `DataParallel` puts before every one."""
    names = list(names)
    wrapped = bool(names) and all(name.startswith("module.") for name in names)
    return {name: name.removeprefix("module.") if wrapped else name for name in names}


def unpack(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights in float32 and masks, under plain names.

    Args:
        tensors: As `read_tensors` gives them.
        path: Where they came from, for errors.

    Returns:
        Name -> weight, masked where there is a mask; name -> mask, bool, True = kept. Nothing shares memory with `tensors`.

    Raises:
        ModelError: One half of a pruned pair is missing, or their shapes differ.
    """
    plain = {new: tensors[old] for old, new in plain_names(tensors).items() if not _NO_WEIGHTS.fullmatch(new)}
    weights: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        base, kind = _pair(name)
        if not kind:
            weights[name] = tensor.to(torch.float32, copy=True)
            continue
        other = plain.get(base + ("_mask" if kind == "_orig" else "_orig"))
        if other is None or other.shape != tensor.shape:
            raise ModelError(
                f"{path} holds {name} without its counterpart in the same shape.",
                f"Save the pruned checkpoint again: a pruned weight needs both {base}_orig and {base}_mask.",
            )
        if kind == "_mask":
            masks[base] = tensor != 0
            weights[base] = other.float() * tensor.float()
    return weights, masks


def _pair(name: str) -> tuple[str, str]:
    """The name without `_orig` or `_mask`, and which of them it had."""
    kind = next((kind for kind in ("_orig", "_mask") if name.endswith(kind)), "")
    return name.removesuffix(kind), kind


def _read_pickle(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        if not file.read(2).startswith((b"PK", b"\x80")):  # zip, or the pickle of old versions
            raise _damaged(path, ValueError("it does not begin like a PyTorch file (a Git LFS pointer?)"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on old pickle protocols: the checks below decide
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is no plain PyTorch state dict: it holds objects whose loading could run code, so it was not opened.",
            "Save it again with torch.save(model.state_dict(), ...), or as safetensors.",
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise _damaged(path, error) from error
    if isinstance(state, dict) and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        return dict(state)
    raise ModelError(
        f"{path} holds no state dict (names with tensors).", "Save it again with torch.save(model.state_dict(), ...)."
    )


def _damaged(path: Path, error: Exception) -> ModelError:
    detail = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(f"{path} is damaged or cut off: {detail}.", "Copy it again, and compare its size with the original.")


def _fetch(name: str, *wanted: Sequence[Sequence[str]]) -> Path:
    """Get files from the hub or its cache.

    Args:
        name: Hub name.
        wanted: Several choices; of each the first complete set of files is taken.

    Returns:
        The last file fetched; the others lie beside it.
    """
    from huggingface_hub import constants

    if why := why_unreachable():  # or the hub's library would ask again and again, for half a minute
        with cache_only(constants):
            return _download(name, wanted, f"the hub cannot be reached ({why})")
    return _download(name, wanted, "the hub cannot be reached (offline?)")


def _download(name: str, wanted: Sequence[Sequence[Sequence[str]]], unreached: str) -> Path:
    """As `_fetch`; `unreached` is what an error says of the hub where it is out of reach."""
    missing = no_model(Path(name))
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    last = Path(name)
    for choices in wanted:
        unreachable: Exception | None = None
        for files in choices:
            try:
                last = [Path(hf_hub_download(name, file)) for file in files][-1]
                break
            except LocalEntryNotFoundError as error:
                unreachable = error
            except EntryNotFoundError:
                continue
            except RepositoryNotFoundError as error:
                raise ModelError(
                    f"{missing.problem} The Hugging Face hub has no public model of that name either.", missing.fix
                ) from error
            except (OSError, ValueError) as error:
                unreachable = error
        else:
            files_wanted = " or ".join(" with ".join(files) for files in choices)
            if unreachable is None:
                raise ModelError(f"The model {name} on the Hugging Face hub has no {files_wanted}.", "Choose another model.")
            raise ModelError(
                f"{missing.problem} It is not in the Hugging Face cache, and {unreached}.",
                f"{missing.fix} Or download {name} once while online.",
            ) from unreachable
    return last
