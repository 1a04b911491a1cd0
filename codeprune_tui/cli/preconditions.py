"""Checks what all runs of a plan need, once, before the first folder is made: disk, data, devices, models.

Each worker would find the same, but only after its start. The check loads the models, so a function here imports torch.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import CodepruneError, RunError
from core.recipe import NEW_MODEL, Data, Recipe
from core.spec.precheck import source_problems
from core.text.rows import load_rows

from ..runs import client
from ..runs.cost_text import size
from ..runs.costing import free_bytes, need_of


@dataclass(frozen=True)
class Quantized:
    """The model that a plan quantizes, and what its quantizers are scored on."""

    model: str
    data: str
    splits: tuple[str, ...]


def check(
    folder: Path,
    recipes: Sequence[Recipe],
    tell: Callable[[str], None],
    fix: str,
    quantized: Quantized | None = None,
    *,
    elsewhere: bool = False,
) -> None:
    """Refuses a plan that could only fail.

    Args:
        folder: Where the run folders will be; it is not made here.
        recipes: Recipes of the runs that are still missing.
        tell: Takes lines of news.
        fix: Where the plan names its data and models, as the end of each error.
        quantized: What is quantized besides; None for nothing.
        elsewhere: Whether other machines make the runs, of whose devices nothing is known here.

    Raises:
        CodepruneError: Something is missing, broken or too small; the first of them, in its own subclass.
    """
    if not recipes and quantized is None:
        return
    anchored = [client.anchored(recipe) for recipe in recipes]
    if not elsewhere:
        _check_devices(anchored)
    try:
        _check_sources(anchored)
        _check_disk(folder, anchored)
        data = sorted({recipe.data.path for recipe in recipes} | ({quantized.data} if quantized else set()))
        tell(f"Checking data and models before anything is started: {', '.join(data)}")
        _check_data(anchored, quantized)
        _check_models(anchored, quantized)
    except CodepruneError as error:
        raise type(error)(error.problem, " ".join(filter(None, [error.fix, f"Nothing was started; {fix}"]))) from error


def _check_sources(recipes: Sequence[Recipe]) -> None:
    for recipe in recipes:
        for error in source_problems(recipe).values():
            raise error


def _check_disk(folder: Path, recipes: Sequence[Recipe]) -> None:
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"{there} cannot be written.", "Choose another folder with --checkpoints.")
    needs = [need.peak for need, _ in map(need_of, recipes) if need is not None]
    free = free_bytes(folder)
    if free is not None and sum(needs) > free:
        raise RunError(
            f"The {len(needs)} runs need {size(sum(needs))} on disk, and {folder.absolute()} has {size(free)} left.",
            "Choose another folder with --checkpoints, or make fewer runs.",
        )


def _check_data(recipes: Sequence[Recipe], quantized: Quantized | None) -> None:
    """Reads every split to its last row: one that is broken would stop every run."""
    reads: set[tuple[str, str, str, Literal["stop", "skip"], int, int]] = {
        (data.path, split, data.hub_config, data.on_broken_row, shortest, data.unpack_limit)
        for data, scored in {(recipe.data, recipe.evaluation.split) for recipe in recipes}
        for split, shortest in (("train", data.shortest_comment), (scored, 0))
    }
    if quantized is not None:
        default = Data()
        path = client.local_path(quantized.data)
        reads |= {(path, split, default.hub_config, "stop", 0, default.unpack_limit) for split in quantized.splits}
    for path, split, hub_config, on_broken, shortest, unpack_limit in sorted(reads):
        load_rows(path, split, on_broken=on_broken, shortest=shortest, hub_config=hub_config, unpack_limit=unpack_limit)


def _check_devices(recipes: Sequence[Recipe]) -> None:
    from core.families.device import check_device, count_processes  # torch: seconds

    for training in dict.fromkeys(recipe.training for recipe in recipes):
        check_device(training.device)
        count_processes(training)


def _check_models(recipes: Sequence[Recipe], quantized: Quantized | None) -> None:
    from core.model import load_model, load_reader  # torch: seconds

    paths = {recipe.model.path for recipe in recipes} | ({client.local_path(quantized.model)} if quantized else set())
    for path in sorted(paths - {NEW_MODEL}):
        load_model(path)
        load_reader(path)
