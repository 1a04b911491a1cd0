"""Reads the names, shapes and types of the tensors in a weights file, without the tensors, and checks them against its size.

Reads the headers of safetensors files, and the index of a model in several files. Torch-free, so that a form can count weights.
Source: the format's description: 8 bytes of length, little-endian, then JSON with kind, shape and place of each tensor.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, TypeGuard

from ..errors import ModelError
from ..regularfile import open_written, read_regular, reason, size_words
from .configfields import short

HEADER_BYTES = 10_000_000
"""Most bytes of a header; that of 200 tensors has 25 kB."""
INDEX = ".index.json"
"""Suffix of the name of an index of several files."""
PACKED = "packed"
"""The one key of the metadata of a file with packed matrices: JSON, name -> shape. Their masks lie beside the file."""
KEPT = ".kept"
"""Behind the name of a packed matrix: its kept values, one after the other."""
SCALES = ".kept_scale"
"""Behind the name of a packed matrix whose kept values are 8-bit integers: what those of each row are multiplied by."""
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_BYTES |= {"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}


@dataclass(frozen=True)
class Stored:
    """One tensor in a file, by its header."""

    shape: tuple[int, ...]
    kind: str
    """Its type in safetensors' terms: F32, I8 and so on."""
    place: tuple[int, int] = (0, 0)
    """Its first byte and the one after its last, counted from the end of the header."""

    @property
    def numbers(self) -> int:
        """Number of its values."""
        return prod(self.shape)


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file."""

    tensors: dict[str, Stored]
    """Name -> tensor, in the order of the file; no tensor claims more bytes than the file has."""
    metadata: dict[str, str]
    start: int
    """First byte of the values."""


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file: name -> shape and type; raises as `read_file_header`.

    A packed matrix, of which the file holds the kept values alone, has its own name and shape.
    """
    header = read_file_header(path)
    shapes = packed_shapes(header, path)
    whole = {name: Stored(shape, header.tensors[name + KEPT].kind) for name, shape in shapes.items()}
    parts = {name + part for name in shapes for part in (KEPT, SCALES)}
    return {name: stored for name, stored in header.tensors.items() if name not in parts} | whole


def packed_shapes(header: Header, path: Path) -> dict[str, tuple[int, ...]]:
    """The matrices of which a file holds the kept values alone: name -> shape; {} for any other file.

    Args:
        header: The file's.
        path: The file, for errors.

    Raises:
        ModelError: The header contradicts itself.
    """
    if PACKED not in header.metadata:
        return {}
    try:
        shapes = json.loads(header.metadata[PACKED])
        if not isinstance(shapes, dict):
            raise ValueError("its packed matrices are no table")
        for name, shape in shapes.items():
            stored = header.tensors.get(name + KEPT)
            if not _whole_numbers(shape) or len(shape) > 8 or stored is None or len(stored.shape) != 1 or name in header.tensors:
                raise ValueError(f"{short(name)} is said to be packed, which is not what the file holds")
            scales = header.tensors.get(name + SCALES)
            if (scales is not None) != (stored.kind == "I8") or (scales is not None and scales.shape != tuple(shape[:1])):
                raise ValueError(f"{short(name)} does not have one scale for each row of its 8-bit values")
            if scales is not None and len(shape) != 2:
                raise ValueError(f"{short(name)} is no matrix, and its values are 8-bit ones")
            if stored.numbers > prod(shape):
                raise ValueError(f"{short(name)} holds more values than {short(shape)} has places")
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    return {name: tuple(shape) for name, shape in shapes.items()}


def read_file_header(path: Path) -> Header:
    """Reads the header of a safetensors file.

    Args:
        path: The file.

    Raises:
        ModelError: The file is missing, damaged, or no such file.
    """
    try:
        with open_written(path) as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(HEADER_BYTES, size_bytes - 8):
                raise ValueError(f"it claims a header of {size_words(length)}")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no table")
        metadata, room = header.pop("__metadata__", {}), size_bytes - 8 - length
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata is no table of texts")
        return Header({name: _stored(name, facts, room) for name, facts in header.items()}, metadata, 8 + length)
    except (OSError, struct.error, ValueError, RecursionError) as error:
        raise damaged(path, error) from error


def tensor_bytes(file: BinaryIO, header: Header, name: str) -> bytes:
    """Reads the bytes of one tensor.

    Args:
        file: The file that the header belongs to, open for reading.
        header: As `read_file_header` read it.
        name: Name of the tensor.

    Raises:
        ValueError: The file has become shorter.
    """
    first, last = header.tensors[name].place
    file.seek(header.start + first)
    content = file.read(last - first)
    if len(content) < last - first:
        raise ValueError(f"{short(name)} is cut off")
    return content


def shards(index: Path) -> dict[Path, list[str]]:
    """Reads the files that an index names.

    Args:
        index: `model.safetensors.index.json` or `pytorch_model.bin.index.json`.

    Returns:
        File, beside the index -> names of the tensors in it.

    Raises:
        ModelError: The index is damaged, or names a file that is missing or is no weights file beside it.
    """
    facts = read_json(index, HEADER_BYTES)
    places = facts.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{index} has no weight_map, so it does not say where the tensors are.", "Copy the file again.")
    suffix = Path(index.name.removesuffix(INDEX)).suffix
    names_of: dict[Path, list[str]] = {}
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file or Path(file).suffix != suffix:
            raise ModelError(
                f"{index} names {short(file)} for {short(name)}, but only {suffix} files beside it can be meant.",
                "Copy the index again from where the model came from.",
            )
        names_of.setdefault(index.parent / file, []).append(name)
    for file in names_of:
        if not file.is_file():
            raise ModelError(
                f"{index} names {short(file.name)}, which is not in {index.parent}.",
                "Copy all files of the model into the folder.",
            )
    return names_of


def read_json(path: Path, most_bytes: int = 4_000_000) -> dict[str, object]:
    """Reads a JSON object from a file.

    Args:
        path: The file.
        most_bytes: Most bytes of the file; a larger one is refused.

    Raises:
        ModelError: It is no regular file, too large, or no JSON object.
    """
    try:
        facts = json.loads(read_regular(path, most_bytes).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {reason(error)}.", "Copy the file again.") from error
    if not isinstance(facts, dict):
        raise ModelError(f"{path} holds no JSON object.", "Copy the file again.")
    return facts


def damaged(path: Path, error: Exception) -> ModelError:
    """The error for a weights file that breaks its format."""
    return ModelError(f"{path} is damaged or cut off: {reason(error)}.", "Copy it again, and compare its size with the original.")


def _stored(name: str, facts: Mapping[str, object] | object, room: int) -> Stored:
    """One entry of a header; raises a ValueError where it is not one, or claims bytes that the file does not have."""
    if not isinstance(facts, dict):
        raise ValueError(f"its header says nothing of {short(name)}")
    shape, kind, place = facts.get("shape"), facts.get("dtype"), facts.get("data_offsets")
    if not _whole_numbers(shape) or not isinstance(kind, str) or len(shape) > 8:
        raise ValueError(f"{short(name)} has no shape or type in its header")
    if not _whole_numbers(place) or len(place) != 2 or not 0 <= place[0] <= place[1] <= room:
        raise ValueError(f"{short(name)} lies outside the file")
    if kind not in _BYTES or prod(shape) * _BYTES[kind] != place[1] - place[0]:
        raise ValueError(f"{short(name)} is said to be {short(shape)} {short(kind)}, which is not what its bytes hold")
    return Stored(tuple(shape), kind, (place[0], place[1]))


def _whole_numbers(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
