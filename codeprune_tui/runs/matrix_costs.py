"""The cost of each matrix of a run, from the file of one-shot sensitivity that belongs to it; else the command that makes one.

A file belongs to a run if it measured the run's model: the digest of the weights says so, wherever the file lies. Reads files,
so it belongs into a thread. Imports no torch.
"""

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import CodepruneError
from core.recipe import NEW_MODEL, Recipe, load_recipe
from core.run.folder import RunPaths
from core.run.results import MEASURES
from core.score.interval import Difference
from core.study.sensitivityfile import NAME, Cell, Sensitivity, digest_of_weights, read_sensitivity

from ..views.text import changed, percent, score
from .client import local_path

DRAWN = "chrf"
"""The measure that the heatmap shows."""
LOST = {"chrf": "chrF lost", "bleu": "BLEU lost", "corpus_bleu": "corpus BLEU lost", "rouge_l": "ROUGE-L lost"}


@dataclass(frozen=True)
class MatrixCosts:
    """The cost of each matrix of a model."""

    cells: Mapping[str, Cell] = field(default_factory=dict)
    """Parameter -> the loss when a share of it is pruned; empty if nothing was measured."""
    of: str = ""
    """The measured model: "round 2", "round 0" or "the model at the start"."""
    rows: int = 0
    command: str = ""
    """The command that measures it, to be typed in the folder that the app was started in."""

    @property
    def losses(self) -> dict[str, float]:
        """Parameter -> points of chrF that are lost."""
        return {name: cell.loss[DRAWN].value for name, cell in self.cells.items() if DRAWN in cell.loss}

    @property
    def title(self) -> str:
        """The title of the heatmap."""
        wish = next((cell.wish for cell in self.cells.values()), None)
        if wish is None:
            return "cost of each matrix: not measured"
        what = f"{MEASURES[DRAWN]} lost ×10 when {percent(wish.sparsity)} of a matrix are pruned ({wish.criterion})"
        return f"{what}, {self.of}, {self.rows:,} rows"


def facts(cell: Cell) -> list[tuple[str, str]]:
    """What a matrix costs as (label, text) pairs."""
    losses: list[tuple[str, str]] = [(title, _loss(cell.loss.get(name))) for name, title in LOST.items()]
    share = percent(cell.pruned / max(1, cell.total))
    return [("pruned", share), *losses, ("tokens", score(cell.mean_tokens, 1)), ("ended by itself", percent(cell.ended))]


def _loss(difference: Difference | None) -> str:
    clear = ", clearly" if difference is not None and difference.is_clear else ""
    return f"{changed(difference)}{clear}"


def find(paths: RunPaths, number: int) -> MatrixCosts:
    """The costs of the matrices of a run's model in a round: of that round, else of round 0, else of the model at the start.

    Args:
        paths: The run.
        number: The round that is looked at.
    """
    recipe = None
    with suppress(CodepruneError):
        recipe = load_recipe(paths.recipe)
    models = {f"round {number}": paths.round(number), "round 0": paths.round(0)}
    if recipe is not None:
        models["the model at the start"] = Path(local_path(recipe.model.path))
    command = _command(paths, number, recipe)
    places = [*dict.fromkeys([paths.root, *models.values(), Path()])]
    files = {place: known for place in places if (known := _read(place / NAME)) is not None}
    for of, model in models.items():
        digest = digest_of_weights(model) if files else None
        for place, known in files.items():
            # A round whose weights were deleted to make room is still known by its place.
            if known.weights_sha256 == digest or (digest is None and place == model):
                return MatrixCosts(known.by_matrix(), of, known.rows, command)
    return MatrixCosts(command=command)


def _read(file: Path) -> Sensitivity | None:
    try:
        known = read_sensitivity(file) if file.is_file() else None
    except (CodepruneError, OSError, ValueError):
        return None
    return known if known is not None and known.by_matrix() else None


def _command(paths: RunPaths, number: int, recipe: Recipe | None) -> str:
    """Measures round 0, the dense model, else the model at the start, else what there is of the run."""
    with_weights = [each for each in (0, number) if (paths.round(each) / "model.safetensors").is_file()]
    given = recipe is not None and recipe.model.path != NEW_MODEL and 0 not in with_weights
    model = recipe.model.path if recipe is not None and given else _near(paths.round((with_weights or [0])[0]))
    words = ["codeprune-tui", "sensitivity", model, "--by", "matrix"]
    if recipe is not None:
        evaluation = recipe.evaluation
        words += ["--data", _near(Path(recipe.data.path)), "--split", evaluation.split, "--rows", str(evaluation.rows)]
        words += [
            "--beam",
            str(evaluation.beam),
            "--max-length",
            str(evaluation.max_length),
            "--prunable",
            recipe.pruning.prunable,
        ]
    return shlex.join(words)


def _near(path: Path) -> str:
    """A path as it is typed in this folder, where it lies below it."""
    whole = os.path.abspath(path)  # noqa: PTH100 - links are to stay as they were given
    relative = os.path.relpath(whole)
    return whole if relative.startswith("..") else relative
