"""The subcommands about run folders: rename one, delete some. What they do is `core.run.manage`', as in the app."""

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
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    checkpoints: Checkpoints = None,
) -> None:
    """Give a run another name.

    Refused while a worker is at work on it, and for a name that is taken.
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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed without a terminal.")] = False,
) -> None:
    """Delete runs with all their rounds.

    Asks for the run's name first, for several for their number. Nothing is deleted where one of them has a worker.
    """
    folder = _folder(context, checkpoints)
    chosen = list({paths.root: paths for paths in (_own(folder, name) for name in names)}.values())
    for paths in chosen:
        manage.check_own(folder, paths)
        if is_held(paths):
            raise RunError(
                f"{paths.name} has a worker, and cannot be deleted while it has. Nothing was deleted.",
                f"Stop it with: {program()} stop {run_handle(paths.root)}",
            )
    if not yes:
        _confirm(chosen)
    for paths in chosen:
        manage.delete_run(folder, paths)
        say(f"Deleted {paths.name}")


def _own(folder: Path, name: str) -> RunPaths:
    """The run of that name, its path unresolved: a link must be seen as one.

    Raises:
        RunError: There is none, or it came with the package.
    """
    paths = next((RunPaths(root) for root in (folder / name, Path(name)) if is_run(root)), None)
    paths = paths or find_run(folder, name)  # which says what is near
    bundle.check_writable(paths)
    return paths


def _confirm(chosen: list[RunPaths]) -> None:
    wanted = chosen[0].name if len(chosen) == 1 else f"delete {len(chosen)}"
    if not sys.stdin.isatty():
        raise CodepruneError("Deleting asks first, and there is no terminal to ask on.", "Repeat the command with --yes.")
    say(f"This deletes {', '.join(paths.name for paths in chosen)} with all rounds.")
    say(f"Type {wanted} to go on:")
    if sys.stdin.readline().strip() != wanted:
        raise CodepruneError("Nothing was deleted: that was not what had to be typed.")
