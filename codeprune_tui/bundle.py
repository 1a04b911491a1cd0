"""The bundle that comes with the package: models, a corpus, recipes, and a finished run as an example. Nothing writes to it.

The bundle lies in the checkout under `checkpoints/bundled`, and in the wheel beside this file; a path that begins with the first
also means the second. Reads sizes and scores without torch. Knows neither Textual nor workers.
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
"""Paths that begin with this also mean what was installed with the package."""
EXAMPLE = "example-run"
DEMO = "demo"
"""Name of the demo's recipe; the runs made from it append a number."""
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class BundledModel:
    """A model folder that came with the package."""

    name: str
    size_bytes: int
    """Size of the weights on disk."""
    parameters: int
    bleu: float | None
    """Score from the `metrics.json` beside the weights, as `codeprune-tui evaluate --json` writes it; None if it has none."""
    held_out_accuracy: float | None
    """Share of held-out tokens that a pre-trained model predicts; None for other models."""
    scored_on: str
    """The rows of the score, such as "1,400 valid rows"; empty if they are not known."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Floor -> its BLEU on these rows."""


def folder() -> Path:
    """Where the bundle lies: in the wheel, else in the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "bundled"
    return installed if installed.is_dir() else package.parent / PREFIX


def find(given: str) -> Path | None:
    """The bundled file or folder that a path such as `checkpoints/bundled/ruby-mini` means; None if there is none."""
    if not given.startswith(PREFIX):
        return None
    path = folder() / given.removeprefix(PREFIX)
    return path if path.exists() else None


def recipes() -> dict[str, Path]:
    """The recipes that come with the package, name -> file."""
    return dict(sorted((file.stem, file) for file in (folder() / "recipes").glob("*.toml")))


def recipe_file(given: Path) -> Path:
    """The file that a recipe argument means: the file at that path, else the bundled recipe of that name.

    Args:
        given: A path, or a name such as "demo".

    Raises:
        RecipeError: The argument is neither; the text names the bundled recipes.
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
    """The demo's recipe."""
    return load_recipe(recipe_file(Path(DEMO)))


def example() -> RunPaths | None:
    """The finished run that came with the package; None if the package has none."""
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
        RunError: The run came with the package.
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
    """The number of weights in a safetensors file, from its header: 8 bytes of length, then JSON with the shapes."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _number(value: object) -> float | None:
    return number_of(value)
