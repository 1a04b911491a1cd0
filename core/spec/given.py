"""Sparsity of the model that a run starts from, and what its recipe can still prune.

Two figures must not be mixed: the sparsity of the weights that the recipe prunes, and that of the model before the run. Both
follow from counts, one pair a matrix, so a recipe can be judged before there is a worker. Reads masks, never weights; torch-free.
"""

from collections.abc import Mapping
from pathlib import Path

from ..errors import CodepruneError
from ..recipe import NEW_MODEL, Recipe
from . import sizes
from .checkpoint_files import local_weights
from .layout import is_prunable, locate
from .schedule import sparsities

Counts = Mapping[str, tuple[int, int]]
"""Parameter name -> (weights pruned, weights), for every matrix that a preset can prune and every other one with a mask."""


UNSEEN = "Whether the model comes pruned shows only once it is loaded: pytorch_model.bin is not opened before that."


KEPT_ZEROS = "Which weights are 0, and so count as pruned, shows only once the model is loaded."


def counts_of(recipe: Recipe) -> Counts | None:
    """Counts of the model that a recipe starts from; None where they are known only once it is loaded.

    Args:
        recipe: A recipe whose local paths are absolute or relative to the working directory.
    """
    new, path = recipe.model.path == NEW_MODEL, Path(recipe.model.path)
    folder = path.parent if _is_file(path) else path
    tensors = sizes.of_recipe(recipe) if new else sizes.of_folder(folder, recipe.model.decoder_layers)
    pruned = {} if new else _pruned(path)
    if pruned == {} and recipe.model.keep_zeros and not new:
        return None
    if tensors is None or pruned is None:
        return None
    return {name: (0, size) for name, size in tensors.items() if is_prunable(name, "all")} | pruned


def before(counts: Counts) -> float:
    """The sparsity of the model before the run: the pruned share of the matrices of which anything is pruned; 0 if dense."""
    return _share([pair for pair in counts.values() if pair[0]])


def reached(recipe: Recipe, counts: Counts) -> tuple[float, ...]:
    """The sparsity, after each round, of the weights that a recipe prunes; in the first, that before the run.

    Args:
        recipe: What is asked for.
        counts: Counts of the model that it starts from.

    Returns:
        One share in [0, 1] a round, never less than what was pruned before, because that stays pruned. A recipe without pruning
        rounds has one: the sparsity of the model before the run.
    """
    if recipe.rounds == 0:
        return (before(counts),)
    pruning = recipe.pruning
    own = [pair for name, pair in counts.items() if is_prunable(name, pruning.prunable, pruning.unit)]
    groups = [tuple(map(sum, zip(*own, strict=True)))] if pruning.scope == "global" and own else own
    total = max(1, sum(size for _, size in own))
    return tuple(sum(max(pruned, round(share * size)) for pruned, size in groups) / total for share in sparsities(recipe))


def description(counts: Counts) -> str:
    """Sparsity of the parts of a pruned model, such as "encoder 90 %, decoder 50 % (2 of 4 matrices)"; "" for a dense one."""
    parts: dict[str, list[tuple[int, int]]] = {"encoder": [], "decoder": [], "other": []}
    for name, pair in counts.items():
        place = locate(name)
        parts["other" if place is None else "decoder" if place.part == "decoder" else "encoder"].append(pair)
    words = []
    for part, pairs in parts.items():
        if touched := [pair for pair in pairs if pair[0]]:
            where = "" if len(touched) == len(pairs) else f" ({len(touched)} of {len(pairs)} matrices)"
            words.append(f"{part} {_percent(_share(touched))}{where}")
    return ", ".join(words)


def warnings(recipe: Recipe, counts: Counts | None) -> list[str]:
    """Warnings about the model that a recipe starts from; [] for a dense one.

    Args:
        recipe: What is asked for.
        counts: Counts of the model; None where they are not known.
    """
    if counts is None and recipe.model.keep_zeros:
        return [KEPT_ZEROS]
    if counts is None:
        return [UNSEEN] if _is_file(Path(recipe.model.path) / "pytorch_model.bin") else []
    where = description(counts)
    if not where:
        return []
    if recipe.kind == "pretrain":
        return [f"The model comes pruned ({where}), and pre-training keeps no masks: its pruned weights are trained again."]
    texts = [f"The model comes pruned: {where}. What is pruned stays pruned."]
    if not recipe.pruning.masked:
        return texts  # entries of the vocabulary go, and no weight of these matrices
    shares = reached(recipe, counts)
    idle = next((number for number, share in enumerate(shares) if share > shares[0]), len(shares))
    if idle == len(shares) and recipe.rounds:
        texts.append(f"The recipe prunes nothing in any round: its weights come at {_percent(shares[0])} already.")
    elif idle > 1:
        texts.append(f"The recipe prunes nothing until round {idle}: its weights come at {_percent(shares[0])} already.")
    return texts


def zeros_warning(counts: Counts) -> str:
    """The warning about a model with zeros that no mask holds at 0.

    Args:
        counts: Counts of the matrices with zeros.
    """
    return (
        f"The model has exact zeros and no masks, as after prune.remove: {description(counts)}. They are trained like all other "
        "weights; model.keep_zeros = true keeps them pruned."
    )


def _share(pairs: list[tuple[int, int]]) -> float:
    total = sum(size for _, size in pairs)
    return sum(pruned for pruned, _ in pairs) / total if total else 0.0


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        return False


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _pruned(source: Path) -> dict[str, tuple[int, int]] | None:
    """Counts of the matrices that a local model has masks for; None where they cannot be read without torch."""
    from .maskbits import MASKS, prune_counts, read_bits  # numpy takes a tenth of a second, which most commands need not wait for

    try:
        weights = local_weights(source)
        beside = None if weights is None else weights.parent / MASKS
        if weights is None or beside is None:
            return None
        if beside.exists():
            return {name: (mask.count - mask.kept, mask.count) for name, mask in read_bits(beside).items()}
        return None if weights.suffix == ".bin" else prune_counts(weights)
    except (CodepruneError, OSError, ValueError, TypeError):  # loading it will say what is wrong
        return None
