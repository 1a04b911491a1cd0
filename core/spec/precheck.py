"""Checks whether a recipe's model and data exist, before a run is made.

Looks only at names of files and never at the hub: a hub name passes, and the worker will see. Torch-free.
"""

from pathlib import Path

from ..errors import CodepruneError, DataError, ModelError
from ..hub import is_cached, why_unreachable
from ..recipe import NEW_MODEL, Recipe
from ..text.splits import find_split
from .checkpoint_files import is_onnx, local_tokenizer, local_weights


def source_problems(recipe: Recipe) -> dict[str, CodepruneError]:
    """The problems of the paths that a recipe names.

    Args:
        recipe: A recipe whose local paths are absolute or relative to the working directory.

    Returns:
        Dotted key -> the error; {} where every path on this machine holds what is needed.
    """
    problems: dict[str, CodepruneError] = {}
    for key, check in {"model.path": _check_model, "data.path": _check_data, "data.code": _check_code,
                       "evaluation.embedder": _check_embedder}.items():  # fmt: skip
        try:
            check(recipe)
        except CodepruneError as error:
            problems[key] = error
    return problems


def check_reachable(source: str) -> None:
    """Refuses a model that is not on this machine while the hub does not answer; checked before anything slow is imported.

    Args:
        source: Folder or hub name.

    Raises:
        ModelError: The model is neither on this machine nor reachable, or it is no model.
    """
    if is_onnx(source) or local_weights(source) is not None or is_cached(source):
        return
    if why := why_unreachable():
        raise ModelError(
            f"There is no model at {source}. It is not in the Hugging Face cache, and the hub cannot be reached ({why}).",
            f"Check the name; a path is taken from the current folder. Or download it once while online: hf download {source}",
        )


def _check_model(recipe: Recipe) -> None:
    if recipe.model.path != NEW_MODEL:
        local_weights(recipe.model.path)
        local_tokenizer(recipe.model.path)


def _check_data(recipe: Recipe) -> None:
    for split in ("train", recipe.evaluation.split):
        find_split(recipe.data.path, split)


def _check_embedder(recipe: Recipe) -> None:
    if recipe.evaluation.embedder:
        from ..score.semantic import check_embedder  # numpy, which the app does not load without need

        check_embedder(Path(recipe.evaluation.embedder))


def _check_code(recipe: Recipe) -> None:
    code = recipe.data.code
    if recipe.kind == "pretrain" and code and not Path(code).is_dir():
        raise DataError(f"data.code = {code!r} is no folder.", "Name a folder with .rb files, or leave it empty.")
