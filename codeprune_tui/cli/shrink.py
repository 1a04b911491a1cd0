"""The subcommand that shrinks a model. Only the command itself imports torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..runs import client
from .console import say
from .models import _quiet_libraries, warn_untrained
from .runs import Json, app

if TYPE_CHECKING:
    from core.evaluate.shrunk import Shrunk


@app.command(epilog="\b\nExample:\n  codeprune-tui shrink checkpoints/mine/rounds/05 -o mine-small")
def shrink(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write; it must not exist yet.")],
    pack: Annotated[
        bool, typer.Option("--pack", help="Store, of pruned matrices that stay, the kept weights and one bit for each place.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove the heads and neurons that masks prune whole.

    The shrunk model computes what the masked one does, with smaller matrices. Weights that are pruned inside units that stay keep
    their masks; with --pack only what is kept of them is stored, which makes any pruned model smaller on disk. The JSON has
    model, output, parameters, size_bytes (before and afterwards), kept (of each block, of how many), pruned.
    """
    _quiet_libraries()
    path = client.local_path(model)
    warn_untrained(path, model)
    from core.evaluate.shrunk import shrink_copy

    shrunk = shrink_copy(path, output, pack=pack)
    if as_json:
        typer.echo(json.dumps({"model": model, "output": str(output)} | shrunk.facts()))
        return
    say(f"Wrote {output}: {sentence(shrunk)}")
    say("Use it as any model: comment, evaluate, quantize, the playground.")


def sentence(shrunk: "Shrunk") -> str:
    """What is left of a model, in words."""
    before, after = shrunk.parameters
    (old, new), units = shrunk.size_bytes, (shrunk.units("heads"), shrunk.units("neurons"))
    heads, neurons = (f"{left:,} of {all_:,}" for left, all_ in units)
    inside = f" {shrunk.pruned:,} of the weights that stay are pruned." if shrunk.pruned else ""
    return (
        f"{heads} heads and {neurons} neurons stay, {after / 1e6:.2f} of {before / 1e6:.2f} million weights, "
        f"{new / 1e6:.1f} of {old / 1e6:.1f} MB.{inside}"
    )
