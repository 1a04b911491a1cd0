"""Finds weights and tokenizer files, in a folder or on the Hugging Face hub, and reads tensors out of them.

Pickles are opened only with `weights_only=True`. Knows names and tensors, not the model that they make together (`core.model`).
Sources: CodeXGLUE (`pytorch_model.bin` and its unused buffer `bias`); `torch.nn.utils.prune` (`<name>_orig`, `<name>_mask`).
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import ModelError
from ..hub import cache_only, why_unreachable
from ..regularfile import size_words
from ..spec.checkpoint_files import CONFIG, INDEXES, READER, TOKENIZERS, WEIGHTS, local_tokenizer, local_weights, no_model
from ..spec.configfields import short
from ..spec.maskbits import MASKS, read_bits
from ..spec.maskbits import unpack as unpack_bits
from ..spec.weightheaders import KEPT, SCALES, damaged, packed_shapes, read_file_header, read_header, shards
from ..spec.weightheaders import read_json as read_json
from .memory import available_bytes
from .picklescan import check_pickle

MOST_SHARED = 3
"""How often the bytes of a file may be used: a tied matrix has two names."""
LARGEST_CODE = 127
"""Of a kept value in 8 bits; its negative is the least one."""
_WRAPPERS = ("module", "_orig_mod")
NO_WEIGHTS = re.compile(r"bias|(?:.*\.)?(?:position_ids|token_type_ids)")
"""Buffers that CodeXGLUE (the causal triangle) and older versions of transformers saved, and that a model makes itself."""


def find_weights(source: str | Path) -> Path:
    """The weights file (or index of several) of `source`, with a `config.json` beside it; fetched first if it is on the hub.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: Something is missing, or the hub cannot be reached.
    """
    path = local_weights(source)
    if path is not None:
        return path
    path = _fetch(str(source), [(CONFIG,)], [(name,) for name in (*WEIGHTS, *INDEXES)])
    if path.name in INDEXES:
        places = read_json(path).get("weight_map")
        files = sorted({str(file) for file in places.values()}) if isinstance(places, dict) else []
        for file in files:
            _fetch(str(source), [(file,)])
    return path


def find_tokenizer(source: str | Path) -> Path:
    """The folder with the tokenizer of `source`; fetched first if it is on the hub.

    Args:
        source: Folder, weights file, or hub name.

    Raises:
        ModelError: There is none, or the hub cannot be reached.
    """
    folder = local_tokenizer(source)
    if folder is None:
        folder = _fetch(str(source), [(CONFIG,)], TOKENIZERS).parent
        with suppress(ModelError):  # only models of this project have this file
            _fetch(str(source), [(READER,)])
    return folder


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads all tensors of a weights file into memory, under their names in the file.

    Args:
        path: The file, or the index of several.

    Raises:
        ModelError: The file is damaged, is a pickle with more than tensors, or is larger than the free memory.
    """
    if path.name in INDEXES:
        return _read_shards(path)
    _check_room(path)
    if path.suffix == ".bin":
        return _read_pickle(path)
    read_header(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error
    return _unpacked(tensors, path)


def _unpacked(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Puts the kept values of packed matrices to their places, which the masks beside the file know; the others are 0."""
    shapes = packed_shapes(read_file_header(path), path)
    masks = read_bits(path.parent / MASKS) if shapes else {}
    _check_room(path, sum(4 * prod(shape) for shape in shapes.values()))
    for name, shape in shapes.items():
        values, bits, scales = tensors.pop(name + KEPT), masks.get(name), tensors.pop(name + SCALES, None)
        if bits is None or bits.shape != shape or bits.kept != values.numel():
            raise ModelError(
                f"{path} holds {values.numel()} kept values of {short(name)}, to which {MASKS} beside it does not belong.",
                "Copy both files again from where the model came from.",
            )
        mask = torch.from_numpy(unpack_bits(bits.bits, shape))
        tensors[name] = placed(values if scales is None else from_codes(values, scales, mask), mask)
    return tensors


def placed(values: Tensor, mask: Tensor) -> Tensor:
    """A matrix with its kept values at their places and 0 elsewhere.

    Args:
        values: (kept,), row by row.
        mask: Of the matrix; bool, on the CPU.
    """
    matrix = values.new_zeros(mask.shape)
    matrix[mask] = values
    return matrix


def to_codes(matrix: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The kept values of a matrix in 8 bits, with one scale for each row, that is for each output.

    Args:
        matrix: (rows, columns) float32.
        mask: Of the matrix; bool.

    Returns:
        (kept,) int8, row by row, and (rows,) float32.
    """
    kept = matrix * mask
    scales = (kept.abs().amax(1) / LARGEST_CODE).clamp_min(torch.finfo(torch.float32).tiny)
    return (kept / scales[:, None]).round().to(torch.int8)[mask], scales


def from_codes(codes: Tensor, scales: Tensor, mask: Tensor) -> Tensor:
    """The values, (kept,) float32, whose codes and scales `to_codes` made."""
    return codes * scales.repeat_interleave(mask.sum(1))


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of a file's tensors, without reading the tensors where the format allows it.

    Args:
        path: The file, or the index of several.

    Raises:
        ModelError: As for `read_tensors`.
    """
    if path.name in INDEXES:
        return {name: shape for file in shards(path) for name, shape in read_shapes(file).items()}
    if path.suffix == ".bin":
        return {name: tuple(tensor.shape) for name, tensor in _read_pickle(path).items()}
    return {name: tensor.shape for name, tensor in read_header(path).items()}


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Name in the file -> name without the prefixes of wrappers.

    `DataParallel` puts `module.` before every name, `torch.compile` `_orig_mod.`, and both do so to parts of a model as well; a
    trainer may keep the model as its `model`.
    """
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}
    while plain and all(name.startswith("model.") for name in plain.values()):
        plain = {old: name.removeprefix("model.") for old, name in plain.items()}
    return plain


def unpack(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Separates weights, in float32, and masks, under plain names.

    Args:
        tensors: As `read_tensors` gives them.
        path: Their file, for errors.

    Returns:
        Name -> weight, masked where there is a mask; name -> mask, bool, True = kept. Nothing shares memory with `tensors`.

    Raises:
        ModelError: One half of a pruned pair is missing, or their shapes differ.
    """
    names = plain_names(tensors)
    plain = {new: tensors[old] for old, new in names.items() if not NO_WEIGHTS.fullmatch(new)}
    if len(set(names.values())) < len(names):
        twice = next(new for new in names.values() if list(names.values()).count(new) > 1)
        raise ModelError(f"{path} holds {twice} more than once, with and without a prefix.", "Save the checkpoint again.")
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


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all files of an index; raises ModelError where they are not those that it lists."""
    tensors: dict[str, Tensor] = {}
    for file, names in shards(index).items():
        part = read_tensors(file)
        missing = next((name for name in names if name not in part), None)
        twice = next((name for name in part if name in tensors), None)
        if missing is not None or twice is not None:
            problem = (
                f"lacks {short(missing)}, which {index.name} places there" if twice is None else f"holds {short(twice)} again"
            )
            raise ModelError(f"{file} {problem}.", "Copy all files of the model again.")
        tensors |= part
    return tensors


def _check_room(path: Path, unpacked_bytes: int = 0) -> None:
    """Refuses a file larger than the free memory, or one that unpacks to more; the model made from it takes as much."""
    size_bytes, free = max(path.stat().st_size, unpacked_bytes), available_bytes()
    if free and size_bytes > free:
        raise ModelError(
            f"{path} has {size_words(size_bytes)}, more than the {size_words(free)} of memory that are free.",
            "Free memory, or use a larger machine.",
        )


def _read_pickle(path: Path) -> dict[str, Tensor]:
    check_pickle(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about old pickle protocols: the checks below decide
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is no plain PyTorch state dict: it holds objects whose loading could run code, so it was not opened.",
            "Save it again with torch.save(model.state_dict(), ...), or as safetensors.",
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise damaged(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(n, str) and isinstance(value, Tensor) for n, value in state.items()):
        raise ModelError(
            f"{path} holds no state dict (names with tensors).", "Save it again with torch.save(model.state_dict(), ...)."
        )
    size_bytes = path.stat().st_size
    for name, tensor in state.items():  # one number may be stretched to a matrix, and one matrix stand under many names
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() > size_bytes:
            raise damaged(path, ValueError(f"{short(name)} is no plain tensor, or claims more than the file holds"))
    if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > MOST_SHARED * size_bytes:
        raise damaged(path, ValueError("its tensors claim more than the file holds"))
    return dict(state)


def _fetch(name: str, *file_sets: Sequence[Sequence[str]]) -> Path:
    """Gets files from the hub or its cache.

    Args:
        name: Hub name.
        file_sets: For each kind of file the possible sets, of which the first complete one is taken.

    Returns:
        The last file fetched; the others lie beside it.
    """
    from huggingface_hub import constants

    if why := why_unreachable():  # or the hub's library would ask again and again, for half a minute
        with cache_only(constants):
            return _download(name, file_sets, f"the hub cannot be reached ({why})")
    return _download(name, file_sets, "the hub cannot be reached (offline?)")


def _download(name: str, file_sets: Sequence[Sequence[Sequence[str]]], unreached: str) -> Path:
    """As `_fetch`; `unreached` says why the hub is out of reach, for errors."""
    missing = no_model(Path(name))
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    last = Path(name)
    for choices in file_sets:
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
