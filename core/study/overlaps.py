"""The overlap of masks between rounds, seeds and curves, beside the overlap by chance.

The overlap is the Jaccard index of what two masks keep, over all matrices together. Chance is what two masks with the same number
of kept weights in every matrix would share if each were drawn at random. Masks of one run only shrink, so the overlap of two of
its rounds is high by construction; seeds and curves are where it means something. Works on the packed bits; needs no torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import ModelError
from ..spec import maskbits
from .runs import Group, Level, Run, Study, level_of

Kind = Literal["rounds", "seeds", "curves"]
Masks = Mapping[str, maskbits.MaskBits]
"""Parameter name -> its mask."""


@dataclass(frozen=True)
class Overlap:
    """The overlap of two masks."""

    jaccard: float
    """Kept by both / kept by either, in [0, 1]."""
    chance: float
    """The overlap of random masks with the same densities."""


@dataclass(frozen=True)
class Compared:
    """Two masks and their overlap."""

    kind: Kind
    first: str
    """Run of the first mask."""
    second: str
    """Run of the second."""
    levels: tuple[Level, Level]
    """Their sparsities in percent."""
    overlap: Overlap


def bits_of(path: Path) -> Masks | None:
    """The masks of a round, or None where they are missing, damaged, or of a matrix without a weight."""
    try:
        masks = maskbits.read_bits(path)
    except ModelError:
        return None
    return masks if all(mask.count for mask in masks.values()) else None


def overlap(first: Masks, second: Masks) -> Overlap | None:
    """The overlap of two masks over the matrices that both have.

    Args:
        first: One mask.
        second: The other.

    Returns:
        Jaccard index (1 for two empty masks) and chance; None where they have no matrix of the same size in common.
    """
    both = either = 0
    expected_both = expected_either = 0.0
    names = [name for name in first if name in second and first[name].count == second[name].count]
    for name in names:
        ours, theirs = first[name], second[name]
        a, b, count = ours.kept, theirs.kept, ours.count
        shared = int(np.bitwise_count(ours.bits & theirs.bits).sum())
        both, either = both + shared, either + a + b - shared
        by_chance = a * b / count
        expected_both, expected_either = expected_both + by_chance, expected_either + a + b - by_chance
    if not names:
        return None
    return Overlap(both / either if either else 1.0, expected_both / expected_either if expected_either else 1.0)


def by_matrix(first: Masks, second: Masks) -> dict[str, Overlap]:
    """The overlap of two masks, matrix by matrix; those of unequal sizes are left out."""
    return {name: shared for name, mask in first.items() if (shared := overlap({name: mask}, second)) is not None}


def overlaps(study: Study) -> list[Compared]:
    """All comparisons of a report: rounds that follow each other, seeds of a curve, and curves with one seed in common.

    Args:
        study: The runs; those without masks on disk are left out.

    Returns:
        By kind; rounds that are dense are not compared, for they are all alike.
    """
    compared = [each for group in study.groups for run in group.runs for each in between_rounds(run)]
    compared += [each for group in study.groups for each in _between_seeds(group)]
    for first, second in combinations(study.groups, 2):
        shared = {run.seed for run in first.runs} & {run.seed for run in second.runs}
        for seed in sorted(shared)[:1]:  # other seeds would only repeat it
            sides = [next(run for run in group.runs if run.seed == seed) for group in (first, second)]
            compared += _at_equal_levels("curves", *sides)
    return compared


def between_rounds(run: Run) -> Iterator[Compared]:
    """The overlap of each pruned round of a run with the previous one."""
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


def _masks(run: Run) -> Sequence[tuple[Level, Masks]]:
    """The pruned rounds whose masks are on disk."""
    if run.paths is None:
        return []
    places = [(level_of(result.sparsity), run.paths.round(result.round) / maskbits.MASKS) for result in run.results]
    return [(level, bits) for level, path in places if level > 0 and (bits := bits_of(path)) is not None]
