"""How alike two sets of masks are, beside what chance alone would give. Torch-free: the masks stay packed as they are on disk.

The Jaccard index is |both keep| / |either keeps|. Within a run it says nothing new between rounds, since masks only shrink (it is
the ratio of what is kept); between runs and seeds it says whether they found the same weights.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Bits:
    """One packed mask."""

    packed: Packed
    """(⌈size / 8⌉,), 1 = kept, row by row."""
    size: int
    """Weights."""

    @property
    def kept(self) -> int:
        """How many weights are kept."""
        return int(np.bitwise_count(self.packed).sum(dtype=np.int64))


@dataclass(frozen=True)
class Overlap:
    """The Jaccard index of two sets of masks, in [0, 1]."""

    value: float
    chance: float
    """What masks drawn at random would have, with the same number of kept weights in each matrix."""


def read_bits(path: Path) -> dict[str, Bits]:
    """Reads a `masks.safetensors`.

    Args:
        path: The file.

    Returns:
        Parameter name -> mask; empty where the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            shapes = json.loads((file.metadata() or {}).get("shapes", "{}"))
            found = {name: Bits(file.get_tensor(name), int(np.prod(shapes[name]))) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return {}
    fits = all(bits.packed.dtype == np.uint8 and bits.packed.size == -(-bits.size // 8) for bits in found.values())
    return found if fits else {}


def overlap(first: Mapping[str, Bits], second: Mapping[str, Bits]) -> Overlap | None:
    """Compares two sets of masks.

    Args:
        first: Parameter name -> mask.
        second: The same of another round or run.

    Returns:
        The index over all matrices together; None where they are not of the same matrices.
    """
    if not first or first.keys() != second.keys() or any(first[name].size != second[name].size for name in first):
        return None
    both = either = 0
    chance_both = chance_either = 0.0
    for name, ours in first.items():
        theirs = second[name]
        shared = int(np.bitwise_count(ours.packed & theirs.packed).sum(dtype=np.int64))
        ours_kept, theirs_kept = ours.kept, theirs.kept
        both, either = both + shared, either + ours_kept + theirs_kept - shared
        expected = ours_kept * theirs_kept / ours.size if ours.size else 0.0
        chance_both, chance_either = chance_both + expected, chance_either + ours_kept + theirs_kept - expected
    return Overlap(both / either if either else 1.0, chance_both / chance_either if chance_either else 1.0)
