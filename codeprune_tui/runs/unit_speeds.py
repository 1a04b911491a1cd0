"""How fast, or how small, a shrunk model will about be, by what heads and neurons cost in an earlier run on this machine.

A run with a budget of time measures such a table (`latency.json`). It counts for a recipe with the same model, vocabulary,
device, threads, beam and batch size. Reads files, so it belongs into a thread; imports no torch.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import CodepruneError
from core.families.units import Kind, Sizes, blocks, pruned_blocks
from core.recipe import Recipe
from core.regularfile import read_facts
from core.run.folder import RunPaths, run_folders
from core.spec import sizes
from core.spec.costs import disk_need
from core.spec.layout import locate
from core.study.pace import read_recipe
from core.study.timings import MOST_RUNS

KINDS: Mapping[str, tuple[Kind, ...]] = {"head": ("head",), "neuron": ("neuron",), "head+neuron": ("head", "neuron")}
"""Units whose cost a table holds -> the kinds of blocks that lose some."""
HALVINGS = 12
"""Steps in which a share of units is looked for: to a quarter of a thousandth."""


@dataclass(frozen=True)
class Foreseen:
    """What a shrunk model will about be."""

    run: str
    """Name of the run whose table says so."""
    batch: int
    """Batch size of its times."""
    speed: float
    """Times as fast as the dense model."""
    parameters: int | None
    """About how many weights it will have, if all layers lose alike."""


def foresee(recipe: Recipe, tensors: sizes.Tensors, checkpoints: Path, host: str) -> Foreseen | None:
    """What is known beforehand of a recipe's shrunk model; None where no run on this machine has measured it.

    Args:
        recipe: With absolute paths, as run folders have them.
        tensors: The parameters of its model.
        checkpoints: Folder of all runs.
        host: Name of this machine.
    """
    pruning = recipe.pruning
    if not (recipe.rounds and pruning.shrink) or pruning.masked not in KINDS:
        return None
    for paths in _tables(recipe, checkpoints, host):
        try:
            return _foreseen(recipe, tensors, paths)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
            continue  # damaged: the next one may be whole
    return None


def _tables(recipe: Recipe, checkpoints: Path, host: str) -> Iterator[RunPaths]:
    """Runs with a table that counts for a recipe, newest first."""
    with_one = [paths for paths in run_folders(checkpoints) if paths.latency.is_file()]
    for paths in sorted(with_one, key=lambda paths: -paths.latency.stat().st_mtime)[:MOST_RUNS]:
        other = read_recipe(paths)
        if other is None or _conditions(other) != _conditions(recipe):
            continue
        try:
            if read_facts(paths.meta).get("host") == host:
                yield paths
        except (OSError, ValueError, CodepruneError):
            continue


def _conditions(recipe: Recipe) -> tuple[object, ...]:
    pruning, training, evaluation = recipe.pruning, recipe.training, recipe.evaluation
    entries = (pruning.drops_entries, pruning.entries)
    data = (recipe.data.path, recipe.data.source_length) if pruning.drops_entries else recipe.data.source_length
    return recipe.model.path, entries, data, training.device, training.threads, evaluation.beam, evaluation.batch_size


def _foreseen(recipe: Recipe, tensors: sizes.Tensors, paths: RunPaths) -> Foreseen:
    from core.compress.latency import Latency  # numpy takes a while, and the first paint must not wait for it

    table, pruning = Latency.of(read_facts(paths.latency)), recipe.pruning
    model = _sizes(tensors, {field: max(costs) for field, costs in table.costs.items()})
    losing = {block.name for block in pruned_blocks(model, pruning.prunable, KINDS[pruning.masked])}

    def speed(share: float) -> float:
        """Times as fast as dense where all blocks that lose units lose the same share of them."""
        return 1 / table.share(
            [(block.field, round(block.count * (1 - share * (block.name in losing)))) for block in blocks(model)]
        )

    share = pruning.final_sparsity if pruning.budget == "uniform" else _least(lambda some: speed(some) >= pruning.speedup)
    alike = pruning.model_copy(update={"budget": "uniform", "final_sparsity": share})
    need = disk_need(recipe.model_copy(update={"pruning": alike}), tensors)
    if not 0 < (fast := speed(share)) < math.inf:
        raise ValueError("a table of times that are none")
    return Foreseen(paths.name, int(table.batch), fast, need.shrunk)


def _sizes(tensors: sizes.Tensors, counts: Mapping[str, int]) -> Sizes:
    """The sizes of a model, from how many units its layers have; the widths of heads do not matter here."""
    places = [place for name in tensors if (place := locate(name)) is not None]
    encoder, decoder = ({place.layer for place in places if place.part == part} for part in ("encoder", "decoder"))

    def each(field: str, layers: set[int]) -> tuple[int, ...]:
        return (counts[field],) * len(layers)

    return Sizes(
        encoder_heads=each("heads_by_layer", encoder),
        encoder_head_width=1,
        encoder_neurons=each("neurons_by_layer", encoder),
        decoder_heads=each("decoder_heads_by_layer", decoder),
        cross_heads=each("cross_heads_by_layer", decoder),
        decoder_head_width=1,
        decoder_neurons=each("decoder_neurons_by_layer", decoder),
    )


def _least(enough: Callable[[float], bool]) -> float:
    """The least share for which something holds; 1 where it holds for none."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
