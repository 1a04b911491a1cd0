"""What comes with the package: models, a corpus, recipes, and a finished run as an example. None of it is ever written to.

It lies in the checkout under `checkpoints/bundled`, and in the wheel beside this file; a path that begins with the one means the
other as well. Reads sizes and scores without torch. Knows neither Textual nor workers.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from core.errors import RecipeError, RunError
from core.program import program
from core.recipe import Recipe, load_recipe
from core.regularfile import real
from core.run.folder import RunPaths, floors_in, number_of, read_metrics

PREFIX = "checkpoints/bundled/"
"""Paths that begin so also mean what was installed with the package."""
EXAMPLE = "example-run"
DEMO = "demo"
"""Name of the demo's recipe, and of the runs made from it, less their number."""
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class BundledModel:
    """A model folder that came with the package."""

    name: str
    size_bytes: int
    """Of the weights on disk."""
    parameters: int
    bleu: float | None
    """From the `metrics.json` beside the weights, as `codeprune-tui evaluate --json` prints it; None where it has none."""
    held_out_accuracy: float | None
    """Share of held-out tokens found, of a model that was pre-trained; else None."""
    scored_on: str
    """The rows of the score, such as "1,400 valid rows"; empty where it is not told."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Floor -> its BLEU on these rows."""


def folder() -> Path:
    """Where the bundle lies: in the wheel, else in the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "bundled"
    return installed if installed.is_dir() else package.parent / PREFIX


def find(given: str) -> Path | None:
    """What a path such as `checkpoints/bundled/ruby-mini` means; None for other paths, and where nothing is there."""
    if not given.startswith(PREFIX):
        return None
    path = folder() / given.removeprefix(PREFIX)
    return path if path.exists() else None


def recipes() -> dict[str, Path]:
    """The recipes that come with the package, name -> file."""
    return dict(sorted((file.stem, file) for file in (folder() / "recipes").glob("*.toml")))


def recipe_file(given: Path) -> Path:
    """The file that a recipe argument means: what lies there, else the recipe of that name that came with the package.

    Args:
        given: A path, or a name such as "demo".

    Raises:
        RecipeError: Neither; the text names the recipes there are.
    """
    if given.exists() and not given.is_dir():
        return given
    known = recipes()
    if str(given) in known:
        return known[str(given)]
    raise RecipeError(
        f"Cannot read the recipe {given}: {'it is a folder' if given.is_dir() else 'there is no such file'}.",
        f"Write one with: {program()} recipe > mine.toml, or name one that came with codeprune-tui: {', '.join(known)}.",
    )


def demo_recipe() -> Recipe:
    """What the demo runs."""
    return load_recipe(recipe_file(Path(DEMO)))


def example() -> RunPaths | None:
    """The finished run that came with the package, where it did."""
    paths = RunPaths(folder() / EXAMPLE)
    return paths if paths.recipe.is_file() else None


def is_read_only(paths: RunPaths) -> bool:
    """Whether a run came with the package."""
    return real(paths.root).is_relative_to(real(folder()))


def of_your_own() -> str:
    """How to get a run like the example that may be changed."""
    return f"For such a run of your own press d under 1 Runs, or: {program()} run demo"


def check_writable(paths: RunPaths) -> None:
    """Refuses a run that came with the package.

    Raises:
        RunError: It did.
    """
    if is_read_only(paths):
        raise RunError(f"{paths.name} came with codeprune-tui as an example: it can be read, not changed.", of_your_own())


def models() -> list[BundledModel]:
    """The models that came with the package, by name."""
    bundled_models = []
    for weights in sorted(folder().glob(f"*/{WEIGHTS}")):
        facts = read_metrics(weights.parent) or {}
        scores = facts.get("scores")
        rows, split = facts.get("rows"), facts.get("split")
        bundled_models.append(
            BundledModel(
                weights.parent.name,
                weights.stat().st_size,
                _count_parameters(weights),
                _number(scores.get("bleu")) if isinstance(scores, dict) else None,
                _number(facts.get("held_out_accuracy")),
                f"{rows:,} {split} rows" if isinstance(rows, int) and isinstance(split, str) else "",
                floors_in(facts),
            )
        )
    return bundled_models


def _count_parameters(weights: Path) -> int:
    """Weights in a safetensors file, read off its header: 8 bytes of length, then JSON with the shapes."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _number(value: object) -> float | None:
    return number_of(value)
