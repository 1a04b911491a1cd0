"""How much of two masks is the same: between rounds, seeds and curves, beside what chance alone would give.

The overlap is the Jaccard index of what two masks keep, over all matrices together. Chance is what two masks with the same number
of kept weights in every matrix would share if each were drawn at random. Masks of one run only shrink, so the overlap of two of
its rounds is high by construction; seeds and curves are where it means something. Works on the packed bits; needs no torch.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..regularfile import check_regular
from .runs import Group, Level, Run, Study, level_of

Kind = Literal["rounds", "seeds", "curves"]
Bits = Mapping[str, tuple[npt.NDArray[np.uint8], int]]
"""Parameter -> packed bits (the last byte filled up with 0), and how many weights they stand for."""


@dataclass(frozen=True)
class Overlap:
    """What two masks share."""

    jaccard: float
    """Kept by both / kept by either, in [0, 1]."""
    chance: float
    """What random masks of the same densities would have."""


@dataclass(frozen=True)
class Compared:
    """Two masks, and what they share."""

    kind: Kind
    first: str
    """Run of the first mask."""
    second: str
    """Run of the second."""
    levels: tuple[Level, Level]
    """Their sparsities in percent."""
    overlap: Overlap


def read_bits(path: Path) -> Bits | None:
    """Reads the masks of a round as they are stored, or None where they are missing or damaged."""
    from safetensors import SafetensorError, safe_open  # light, but the app does not need it

    try:
        check_regular(path)
        with safe_open(path, framework="numpy") as file:
            shapes: dict[str, list[int]] = json.loads((file.metadata() or {})["shapes"])
            found = {name: (file.get_tensor(name), prod(shape)) for name, shape in shapes.items()}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    fits = all(bits.dtype == np.uint8 and bits.shape == ((count + 7) // 8,) and count > 0 for bits, count in found.values())
    return found if fits else None


def overlap(first: Bits, second: Bits) -> Overlap | None:
    """What two masks share, over the matrices that both have.

    Args:
        first: One mask.
        second: The other.

    Returns:
        Jaccard index (1 for two empty masks) and chance; None where they have no matrix of the same size in common.
    """
    both = either = 0
    expected_both = expected_either = 0.0
    names = [name for name in first if name in second and first[name][1] == second[name][1]]
    for name in names:
        (ours, count), (theirs, _) = first[name], second[name]
        a, b, shared = (int(np.bitwise_count(bits).sum()) for bits in (ours, theirs, ours & theirs))
        both, either = both + shared, either + a + b - shared
        by_chance = a * b / count
        expected_both, expected_either = expected_both + by_chance, expected_either + a + b - by_chance
    if not names:
        return None
    return Overlap(both / either if either else 1.0, expected_both / expected_either if expected_either else 1.0)


def overlaps(study: Study) -> list[Compared]:
    """All comparisons of a report: rounds that follow each other, seeds of a curve, and curves with one seed in common.

    Args:
        study: The runs; those without masks on disk are left out.

    Returns:
        By kind; rounds that are dense are not compared, for they are all alike.
    """
    found = [each for group in study.groups for run in group.runs for each in between_rounds(run)]
    found += [each for group in study.groups for each in _between_seeds(group)]
    for first, second in combinations(study.groups, 2):
        shared = {run.seed for run in first.runs} & {run.seed for run in second.runs}
        for seed in sorted(shared)[:1]:  # another seed would say the same again
            sides = [next(run for run in group.runs if run.seed == seed) for group in (first, second)]
            found += _at_equal_levels("curves", *sides)
    return found


def between_rounds(run: Run) -> Iterator[Compared]:
    """What each pruned round of a run shares with the one before it."""
    for (level, ours), (later, theirs) in pairwise(_masks(run)):
        if (shared := overlap(ours, theirs)) is not None:
            yield Compared("rounds", run.name, run.name, (level, later), shared)


def _between_seeds(group: Group) -> Iterator[Compared]:
    for first, second in combinations(group.runs, 2):
        yield from _at_equal_levels("seeds", first, second)


def _at_equal_levels(kind: Kind, first: Run, second: Run) -> Iterator[Compared]:
    theirs = dict(_masks(second))
    for level, bits in _masks(first):
        if level in theirs and (shared := overlap(bits, theirs[level])) is not None:
            yield Compared(kind, first.name, second.name, (level, level), shared)


def _masks(run: Run) -> Sequence[tuple[Level, Bits]]:
    """The pruned rounds whose masks are on disk."""
    if run.paths is None:
        return []
    places = [(level_of(result.sparsity), run.paths.round(result.round) / "masks.safetensors") for result in run.results]
    return [(level, bits) for level, path in places if level > 0 and (bits := read_bits(path)) is not None]
