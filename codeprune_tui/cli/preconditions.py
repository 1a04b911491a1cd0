"""Checks what all runs of a plan need, once, before the first folder is made: disk, data, models.

Each worker would find the same, but only after its start. The check loads the models, so a function here imports torch.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from core.errors import CodepruneError, RunError
from core.recipe import Recipe
from core.spec.precheck import source_problems
from core.study.experiments import Material
from core.text.rows import load_rows

from ..runs import client
from ..runs.cost_text import size
from ..runs.costing import free_bytes, need_of


def check(
    folder: Path, recipes: Sequence[Recipe], material: Material, splits: Sequence[str], tell: Callable[[str], None]
) -> None:
    """Refuses a plan that could only fail.

    Args:
        folder: Where the run folders will be; it is not made here.
        recipes: Recipes of the runs that are still missing.
        material: Data and models of the runs.
        splits: Splits that the quantizers are scored on; none if nothing is quantized.
        tell: Takes lines of news.

    Raises:
        CodepruneError: Something is missing, broken or too small; the first of them, in its own subclass.
    """
    if not recipes and not splits:
        return
    anchored = [client.anchored(recipe) for recipe in recipes]
    try:
        _check_sources(anchored)
        _check_disk(folder, anchored)
        tell(f"Checking data and models before anything is started: {material.data}")
        _check_data(material, anchored, splits)
        _check_models(material, anchored, quantized=bool(splits))
    except CodepruneError as error:
        options = "--data, --pretrained and --finetuned name other data and models."
        raise type(error)(error.problem, " ".join(filter(None, [error.fix, f"Nothing was started; {options}"]))) from error


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
            "Choose another folder with --checkpoints, or fewer experiments.",
        )


def _check_data(material: Material, recipes: Sequence[Recipe], splits: Sequence[str]) -> None:
    """Reads every split to its last row: one that is broken would stop every run."""
    path = client.local_path(material.data)
    reads: set[tuple[str, Literal["stop", "skip"], int]] = {
        (split, recipe.data.on_broken_row, recipe.data.shortest_comment if split == "train" else 0)
        for recipe in recipes
        for split in ("train", recipe.evaluation.split)
    }
    reads |= {(split, "stop", 0) for split in splits}
    for split, on_broken, shortest in sorted(reads):
        load_rows(path, split, on_broken=on_broken, shortest=shortest)


def _check_models(material: Material, recipes: Sequence[Recipe], *, quantized: bool) -> None:
    from core.model import load_model, load_reader  # torch: seconds

    paths = {recipe.model.path for recipe in recipes} | ({client.local_path(material.finetuned)} if quantized else set())
    for path in sorted(paths):
        load_model(path)
        load_reader(path)
