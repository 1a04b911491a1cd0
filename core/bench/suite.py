"""All comparisons by name, and how they are run."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import TrainingError
from ..families.device import describe, has_gpu, make_accelerator
from ..model import load_model
from ..provenance import processor, versions
from ..recipe import Device
from . import criteria, decoding, evaluating, growth, peers, pruning, runtimes, starting, training, where
from .ground import SIZES, Ground
from .measure import Result, Table
from .names import NAMES
from .stored import Facts

PACKAGES = ("torch", "transformers", "textual")


@dataclass(frozen=True)
class Comparison:
    """One comparison."""

    run: Callable[[Ground, str], Sequence[Result | Table]]
    sizes: tuple[str, ...] = SIZES
    """Sizes of its models; ("",) where it has none."""


COMPARISONS: dict[str, Comparison] = {
    training.NAME: Comparison(training.training),
    decoding.NAME: Comparison(decoding.decoding),
    decoding.GENERATE: Comparison(decoding.against_generate),
    decoding.GREEDY: Comparison(decoding.greedy),
    training.MASKED: Comparison(training.masked_step),
    training.JOURNAL: Comparison(training.journal, ("mini",)),
    evaluating.NAME: Comparison(evaluating.evaluation, ("mini",)),
    evaluating.ROUND: Comparison(evaluating.picking_best, ("mini",)),
    pruning.NAME: Comparison(pruning.pruning, ("",)),
    starting.NAME: Comparison(starting.starting, ("",)),
    criteria.NAME: Comparison(criteria.criteria),
    runtimes.NAME: Comparison(runtimes.runtimes, ("mini",)),
    growth.NAME: Comparison(growth.growth, ("",)),
    where.NAME: Comparison(where.where),
    peers.NAME: Comparison(peers.peers),
}
assert tuple(COMPARISONS) == NAMES


ON_CUDA = (training.NAME, decoding.NAME, decoding.GENERATE, decoding.GREEDY)
"""Comparisons that are measured on a GPU as well."""


def devices(given: Device = "auto") -> tuple[Device, ...]:
    """The devices to measure on.

    Args:
        given: "auto" for the CPU, and a GPU where there is one.
    """
    if given != "auto":
        return (given,)
    return ("cpu", "cuda") if has_gpu() else ("cpu",)


def make_ground(bundle: Path, device: Device, threads: int, *, quick: bool) -> Ground:
    """The ground of the comparisons; the engine trains in the precision that its users get there."""
    accelerator = make_accelerator(device, "auto", threads)
    return Ground(bundle, accelerator, torch.get_num_threads(), quick)


def planned(names: Sequence[str], sizes: Sequence[str], device: Device = "cpu") -> list[tuple[str, str]]:
    """The pairs (comparison, size) to measure, ordered by size, so that each model is loaded once.

    Args:
        names: Of `COMPARISONS`; none for all.
        sizes: Of `SIZES`; a comparison without a size is always made.
        device: On "cuda" only the comparisons for a GPU.

    Raises:
        TrainingError: There is no such comparison or size.
    """
    for kind, given, known in (("comparison", names, tuple(COMPARISONS)), ("size", sizes, SIZES)):
        for name in given:
            if name not in known:
                raise TrainingError(f"There is no {kind} {name!r}.", f"There are: {', '.join(known)}.")
    chosen = [name for name in names or COMPARISONS if device == "cpu" or name in ON_CUDA]
    return [(name, size) for size in (*sizes, "") for name in chosen if size in COMPARISONS[name].sizes]


def measure(ground: Ground, plan: Sequence[tuple[str, str]]) -> Iterator[Result | Table]:
    """Runs comparisons, and yields the results of each as they come."""
    for name, size in plan:
        yield from COMPARISONS[name].run(ground, size)


def facts(ground: Ground) -> Facts:
    """Machine and versions of the present run."""
    cuda = ground.device.type == "cuda"
    name = torch.cuda.get_device_name(ground.device).lower().replace(" ", "-") if cuda else f"cpu-{platform.machine()}"
    return Facts(
        device=describe(ground.device) if cuda else processor(),
        device_class=name if cuda else f"{name}-{ground.threads}-threads",
        threads=ground.threads,
        versions=versions(PACKAGES),
        rows=ground.rows,
        quick=ground.quick,
        busy=round(os.getloadavg()[0], 1),
        mini=f"{sum(weight.numel() for weight in load_model(ground.mini_path).parameters()) / 1e6:.1f} M weights",
    )
