"""The bits of masks in files: only this module reads them, as numpy arrays. Torch-free.

A mask is one bit a weight, 1 = kept, in the order of the weight's elements, the last byte padded with 0. The masks of a round
or of a model lie in `masks.safetensors`, whose metadata says their shapes. A checkpoint of `torch.nn.utils.prune` holds its masks
as numbers beside the weights; of these only the counts are taken.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..regularfile import open_regular, reason
from .configfields import short
from .weightheaders import Stored, read_file_header, tensor_bytes

MASKS = "masks.safetensors"
"""Name of the masks' file, beside the weights in every round of a run."""
SHAPES = "shapes"
"""The one key of the file's metadata: JSON, name -> shape. More keys would make the bytes differ from save to save."""

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MaskBits:
    """One mask."""

    bits: Bits
    shape: tuple[int, ...]
    """Shape of its weight."""

    @property
    def count(self) -> int:
        """Number of weights that the mask covers."""
        return prod(self.shape)

    @property
    def kept(self) -> int:
        """Number of weights that it keeps."""
        return int(np.bitwise_count(self.bits).sum())


def pack(mask: npt.NDArray[np.bool_]) -> Bits:
    """The bits of a mask of any shape."""
    return np.packbits(mask, axis=None)


def unpack(bits: Bits, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The mask of this shape whose bits `pack` made.

    Raises:
        ValueError: The shape needs more or fewer bits; a missing one would be read as pruned.
    """
    count = prod(shape)
    if bits.dtype != np.uint8 or bits.shape != ((count + 7) // 8,):
        raise ValueError(f"a mask of {count} weights has {bits.size} bytes")
    return np.unpackbits(bits, count=count).reshape(shape).astype(bool)


def read_bits(path: Path) -> dict[str, MaskBits]:
    """Reads the masks in a `masks.safetensors`.

    Args:
        path: The file.

    Returns:
        Parameter name -> mask, in the order in which they were saved.

    Raises:
        ModelError: The file is missing or damaged.
    """
    header = read_file_header(path)
    try:
        shapes = json.loads(header.metadata[SHAPES])
        _check_shapes(shapes, header.tensors)
        with open_regular(path) as file:
            bits = {name: np.frombuffer(tensor_bytes(file, header, name), np.uint8) for name in shapes}
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} holds no masks: {reason(error)}.", "Copy it again.") from error
    return {name: MaskBits(bits[name], tuple(shape)) for name, shape in shapes.items()}


def prune_counts(path: Path) -> dict[str, tuple[int, int]]:
    """Counts of the masks inside a checkpoint of `torch.nn.utils.prune`.

    Args:
        path: A safetensors file.

    Returns:
        Parameter name -> (weights pruned, weights); {} for a checkpoint without masks.

    Raises:
        ModelError: The file is missing or damaged.
        OSError: It cannot be read.
        ValueError: A mask has an unknown type of number.
    """
    header = read_file_header(path)
    counts = {}
    with open_regular(path) as file:
        for name, stored in header.tensors.items():
            if name.endswith("_mask"):
                content, size = tensor_bytes(file, header, name), stored.numbers
                # Only 0 has no bit set, whatever type of number a mask was saved as.
                kept = int(np.frombuffer(content, f"u{len(content) // size}").astype(bool).sum()) if size else 0
                counts[name.removeprefix("module.").removesuffix("_mask")] = (size - kept, size)
    return counts


def _check_shapes(shapes: object, tensors: Mapping[str, Stored]) -> None:
    """Raises a ValueError unless every mask has exactly the bits that its shape needs."""
    if not isinstance(shapes, dict) or shapes.keys() != tensors.keys():
        raise ValueError("it does not say the shapes of the masks in it")
    for name, shape in shapes.items():
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{short(name)} has no shape")
        if tensors[name].kind != "U8" or tensors[name].shape != ((prod(shape) + 7) // 8,):
            raise ValueError(
                f"{short(name)} is said to be {short(shape)}, which is not what its {tensors[name].numbers} bytes hold"
            )
