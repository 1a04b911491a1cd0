"""The command that starts the same run as the form: a recipe, and how to hand it to `codeprune-tui run`.

Pure functions; knows neither Textual nor workers.
"""

import shlex
from pathlib import Path

from core.program import program
from core.recipe import Recipe
from core.regularfile import real

from .. import bundle
from ..views.form import toml
from . import client

END = "TOML"
"""Ends the recipe in the command. No line of TOML reads so: each has a bracket or an equals sign."""


def portable(recipe: Recipe) -> Recipe:
    """The recipe with paths that mean the same from any working directory.

    What came with the package keeps its short name, which is found everywhere it is installed.
    """
    anchored = client.anchored(recipe)
    model = recipe.model if _came_along(recipe.model.path) else anchored.model
    kept = {key: given for key in ("path", "code") if _came_along(given := getattr(recipe.data, key))}
    return anchored.model_copy(update={"model": model, "data": anchored.data.model_copy(update=kept)})


def _came_along(path: str) -> bool:
    bundled = bundle.find(path)
    return bundled is not None and client.local_path(path) == str(bundled)


def command(recipe: Recipe, checkpoints: Path, name: str) -> str:
    """A shell command, recipe included, that starts the same run from any folder of this machine.

    Args:
        recipe: What to do.
        checkpoints: Folder of all runs.
        name: Name of the run.

    Returns:
        Several lines for sh, bash or zsh.
    """
    where = shlex.quote(str(real(checkpoints)))
    start = f"{program(anywhere=True)} --checkpoints {where} run /dev/stdin --name {shlex.quote(name)} --detach"
    return f"{start} <<'{END}'\n{toml_text(recipe)}{END}\n"


def toml_text(recipe: Recipe) -> str:
    """The recipe as TOML for a file, with only the keys that say something; paths mean the same from any folder."""
    return toml(portable(recipe)) or "# every key has its default\n"
