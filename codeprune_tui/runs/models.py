"""The models that can be chosen: the bundled ones, and of every run its shrunk model and every round that has weights.

The example run comes last, so that it is the newest one only where there is no other.

Reads names and metrics, never weights. Imports no torch; knows neither Textual nor the playground.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from core.regularfile import read_facts, real
from core.run.folder import RunPaths, read_metrics, run_folders

from .. import bundle
from ..views.plain import plain
from ..views.text import percent, with_before

WEIGHTS = "model.safetensors"
DENSE = "ruby-mini"
"""The bundled model that stands first."""
MOST_CHOICES = 500
"""Most models in the list, more than anybody looks through; the newest are kept."""
MOST_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen."""

    path: str
    """Absolute folder."""
    label: str
    """Safe to show."""
    short: str
    """The same for a narrow column."""
    run: str = ""
    """Name of its run; empty for a bundled model."""
    sparsity: float = 0.0
    """Share in [0, 1]."""
    saved_as: str = ""
    """The quantizer of its folder; "" if it was not quantized."""


def choices(checkpoints: Path) -> list[Choice]:
    """All models, the bundled ones first, then the runs', newest run and last round first.

    Args:
        checkpoints: Folder of all runs.
    """
    return list(islice(_all(checkpoints), MOST_CHOICES))


def default_pair(known: list[Choice]) -> tuple[Choice | None, Choice | None]:
    """The dense model, and a pruned one: the sparsest round of the newest run that has weights.

    Without such a run, the second is another bundled model, so that there is something to compare with.
    """
    bundled = [choice for choice in known if not choice.run]
    dense = next((choice for choice in bundled if choice.label == DENSE), bundled[0] if bundled else None)
    rounds = [choice for choice in known if choice.run]
    newest = [choice for choice in rounds if choice.run == rounds[0].run]
    other = next((choice for choice in bundled if choice is not dense), None)
    return dense, max(newest, key=lambda choice: choice.sparsity, default=other)


def saved_method(folder: str) -> str:
    """The quantizer that a model folder names; "" if it names none, and for a hub name."""
    try:
        method = read_facts(Path(folder) / "config.json", MOST_CONFIG_BYTES).get("quantization")
    except OSError:
        return ""
    return method if isinstance(method, str) else ""


def _all(checkpoints: Path) -> Iterator[Choice]:
    bundled = bundle.folder()
    for folder in sorted(bundled.glob("*")) if bundled.is_dir() else []:
        if (folder / WEIGHTS).is_file():
            yield Choice(str(folder), plain(folder.name, 60), plain(folder.name, 60))
    for paths in sorted(run_folders(checkpoints), key=_recipe_time, reverse=True):
        yield from _of_run(paths)
    example = bundle.example()
    if example is not None and real(checkpoints) != real(bundled):
        yield from _of_run(example)


def _of_run(paths: RunPaths) -> Iterator[Choice]:
    finished = paths.finished_rounds()
    if finished and os.path.isfile(paths.shrunk / WEIGHTS):  # noqa: PTH113 - as below
        yield _shrunk(paths, finished[-1])
    for number in reversed(finished):
        if os.path.isfile(paths.round(number) / WEIGHTS):  # noqa: PTH113 - is_file raises where nobody may look
            yield _round(paths, number)


def _round(paths: RunPaths, number: int) -> Choice:
    folder = paths.round(number)
    metrics = read_metrics(folder) or {}
    sparsity, before = (_share(metrics.get(key)) for key in ("sparsity", "sparsity_before"))
    name = plain(paths.name, 60)
    short = _short(name)
    label = f"{name} · round {number} · {with_before(sparsity, before)}"
    end = f"r{number} {percent(sparsity)}" + (f" (was {percent(before)})" if before else "")
    return Choice(str(real(folder)), label, f"{short} {end}", paths.name, sparsity)


def _shrunk(paths: RunPaths, last: int) -> Choice:
    """The last round without the units that are pruned whole."""
    name = plain(paths.name, 60)
    folder, label, short = str(real(paths.shrunk)), f"{name} · shrunk", f"{_short(name)} shrunk"
    return replace(_round(paths, last), path=folder, label=label, short=short)


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:6]}…{name[-9:]}"


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 0.0


def _recipe_time(paths: RunPaths) -> float:
    try:
        return paths.recipe.stat().st_mtime
    except OSError:
        return 0.0
