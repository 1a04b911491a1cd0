"""The subcommands about run folders: rename one, delete some. `core.run.manage` does the work, as in the app."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import CodepruneError, RunError
from core.program import program, run_handle
from core.run import manage
from core.run.folder import RunPaths, find_run, is_held, is_run

from .. import bundle
from .console import say
from .runs import Checkpoints, Run, _folder, app


@app.command(epilog="\b\nExample:\n  codeprune-tui rename demo-1 first-try")
def rename(
    context: typer.Context,
    name: Run,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The run's new name.")],
    checkpoints: Checkpoints = None,
) -> None:
    """Give a run another name.

    A run that has a worker is not renamed, and a name that is taken is refused.
    """
    folder = _folder(context, checkpoints)
    paths = _own(folder, name)
    renamed = manage.rename_run(folder, paths, new)
    say(f"{paths.name} is now {renamed.name}")


@app.command(epilog="\b\nExample:\n  codeprune-tui delete demo-1 demo-2 --yes")
def delete(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs.")],
    checkpoints: Checkpoints = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking; needed without a terminal.")] = False,
) -> None:
    """Delete runs with all their rounds.

    The command first asks you to type the run's name, or, for several runs, their number. If one of them has a worker,
    nothing is deleted.
    """
    folder = _folder(context, checkpoints)
    chosen = list({paths.root: paths for paths in (_own(folder, name) for name in names)}.values())
    for paths in chosen:
        manage.check_own(folder, paths)
        if is_held(paths):
            raise RunError(
                f"{paths.name} cannot be deleted while its worker is alive. Nothing was deleted.",
                f"Stop it with: {program()} stop {run_handle(paths.root)}",
            )
    if not yes:
        _confirm(chosen)
    for paths in chosen:
        manage.delete_run(folder, paths)
        say(f"Deleted {paths.name}")


def _own(folder: Path, name: str) -> RunPaths:
    """The run of that name, with its path unresolved: a link must stay visible as one.

    Raises:
        RunError: No run has that name, or the run came with the package.
    """
    paths = next((RunPaths(root) for root in (folder / name, Path(name)) if is_run(root)), None)
    paths = paths or find_run(folder, name)  # its error names similar runs
    bundle.check_writable(paths)
    return paths


def _confirm(chosen: list[RunPaths]) -> None:
    phrase = chosen[0].name if len(chosen) == 1 else f"delete {len(chosen)}"
    if not sys.stdin.isatty():
        raise CodepruneError("Deleting asks first, and there is no terminal to ask on.", "Repeat the command with --yes.")
    say(f"This deletes {', '.join(paths.name for paths in chosen)} with all rounds.")
    say(f"Type {phrase} to go on:")
    if sys.stdin.readline().strip() != phrase:
        raise CodepruneError("Nothing was deleted: the text that was typed is another one.")
