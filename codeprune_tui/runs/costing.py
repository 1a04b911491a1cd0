"""The costs of a run on this machine: disk, from its model's sizes, and time, from earlier runs.

Reads files, so it belongs into a thread; the result is data for `cost_text`. Imports no torch.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.recipe import NEW_MODEL, Recipe
from core.regularfile import real
from core.spec import given, sizes
from core.spec.costs import DiskNeed, disk_need
from core.study.timings import Estimate, Timings

from . import client
from .unit_speeds import Foreseen, foresee

TOKENIZER_BYTES = 67
"""Bytes of `tokenizer.json` for each entry, if the file is not there; measured on a bundled one of 8,000 entries."""


@dataclass(frozen=True)
class Costs:
    """Of one run."""

    need: DiskNeed | None
    unknown: str
    """Why the need is not known; empty if it is."""
    free_bytes: int | None
    """Free bytes on the disk of the runs."""
    estimate: Estimate | None
    """Estimated time; None if nothing comparable was measured."""
    shares: tuple[float, ...] | None = None
    """Sparsity of what the recipe prunes after each round, given how the model comes; None where that is not known."""
    warnings: tuple[str, ...] = ()
    """Facts of the model that the run starts from."""
    foreseen: Foreseen | None = None
    """What a shrunk model will about be, by what units cost in an earlier run; None where none has measured it."""


def work_out(recipe: Recipe, checkpoints: Path, timings: Timings) -> Costs:
    """Looks up the costs of a run.

    Args:
        recipe: What to do; paths count from the working directory.
        checkpoints: Folder of all runs; need not exist yet.
        timings: Of that folder.
    """
    anchored = client.anchored(recipe)
    try:
        need, unknown = need_of(anchored)
        tensors = sizes.of_recipe(anchored)
    except (OSError, ValueError) as error:  # no path at all: too long, or with a NUL in it
        need, unknown, tensors = None, getattr(error, "strerror", None) or str(error), None
    foreseen = foresee(anchored, tensors, checkpoints, timings.host) if tensors else None
    counts = given.counts_of(anchored)
    shares, warnings = given.reached(recipe, counts) if counts else None, tuple(given.warnings(anchored, counts))
    return Costs(need, unknown, free_bytes(checkpoints), timings.estimate(anchored), shares, warnings, foreseen)


def need_of(recipe: Recipe) -> tuple[DiskNeed | None, str]:
    """What a run needs on disk.

    Args:
        recipe: What to do; its local paths are absolute.

    Returns:
        The need, and ""; or None, and why it is not known.
    """
    path = recipe.model.path
    if path == NEW_MODEL:
        shape = recipe.architecture
        return disk_need(recipe, sizes.of_recipe(recipe) or {}, TOKENIZER_BYTES * shape.vocab_size), ""
    folder = Path(path)
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        cached = downloaded(path)
        if cached is None:
            return None, f"{path} is no folder here, and not downloaded yet"
        folder = cached
    tensors = sizes.of_folder(folder, recipe.model.decoder_layers)
    if tensors is None:
        return None, f"the sizes of {path} cannot be read off its {sizes.CONFIG}"
    return disk_need(recipe, tensors, _tokenizer_bytes(folder, tensors)), ""


def downloaded(name: str) -> Path | None:
    """The folder of a hub model in the local cache, or None where it is not there.

    Args:
        name: Such as "microsoft/codebert-base".
    """
    from huggingface_hub import try_to_load_from_cache  # a third of a second
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, sizes.CONFIG)
    except (HFValidationError, OSError, ValueError):
        return None
    return Path(config).parent if isinstance(config, str) else None


def _tokenizer_bytes(folder: Path, tensors: sizes.Tensors) -> int:
    try:
        return (folder / "tokenizer.json").stat().st_size
    except OSError:
        config = sizes.read_config(folder) or {}
        entries = config.get("vocab_size")
        return TOKENIZER_BYTES * entries if isinstance(entries, int) and tensors else 0


def free_bytes(checkpoints: Path) -> int | None:
    """Free bytes on the disk of a folder, which need not exist yet; None if that is not known."""
    for place in (checkpoints, *real(checkpoints).parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


class CostFinder:
    """Looks up costs in a thread, one look at a time, and remembers the newest.

    Args:
        checkpoints: Folder of all runs.
        publish: Called, from that thread, when a look is over; whoever asks again then has the answer, or starts the next look.
    """

    def __init__(self, checkpoints: Path, publish: Callable[[], object]) -> None:
        self._checkpoints = checkpoints
        self._publish = publish
        self._timings = Timings(checkpoints)
        self._known: tuple[Recipe, Costs] | None = None
        self._stale = self._looking = False

    def ask(self, recipe: Recipe) -> Costs | None:
        """The costs of a recipe, or None while they are looked up."""
        known = self._known  # once: the thread may replace it
        fits = known is not None and known[0] == recipe
        if (self._stale or not fits) and not self._looking:
            self._looking, self._stale = True, False
            # A thread, not one of Textual's workers: the app waits for those when it ends, and disks may be slow.
            threading.Thread(target=self._look, args=(recipe,), name="costs", daemon=True).start()
        return known[1] if known is not None and fits else None

    def forget(self) -> None:
        """Makes the next call look again, since other runs may have been measured; the old costs are returned meanwhile."""
        self._stale = True

    def _look(self, recipe: Recipe) -> None:
        try:
            costs = work_out(recipe, self._checkpoints, self._timings)
        except (OSError, ValueError) as error:  # a path may hold a NUL
            costs = Costs(None, getattr(error, "strerror", None) or str(error), None, None)
        self._known = (recipe, costs)
        self._looking = False
        self._publish()
