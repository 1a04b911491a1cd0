"""The subcommand that shrinks a model. Only the command itself imports torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.program import program

from ..runs import client
from .console import say
from .models import _quiet_libraries, warn_untrained
from .runs import Json, app

if TYPE_CHECKING:
    from core.evaluate.shrunk import Shrunk

Values = Literal["fp16", "int8"]


@app.command(epilog="\b\nExample:\n  codeprune-tui shrink checkpoints/mine/rounds/05 -o mine-small")
def shrink(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write; it must not exist yet.")],
    vocabulary: Annotated[
        str,
        typer.Option(
            "--vocabulary",
            metavar="DATA",
            help="Also drop the entries of the vocabulary that the training rows of DATA do not use.",
        ),
    ] = "",
    entries: Annotated[
        int, typer.Option("--entries", min=0, help="Let so many entries stay, the most used; 0 = all that are used.")
    ] = 0,
    pack: Annotated[
        bool, typer.Option("--pack", help="Store, of pruned matrices that stay, the kept weights and one bit for each place.")
    ] = False,
    values: Annotated[
        Values | None,
        typer.Option("--values", help="With --pack, round the values: all to fp16; or kept ones to int8, and the rest to fp16."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove pruned units, and entries of the vocabulary.

    The shrunk model computes what the masked one does, with smaller matrices. With --vocabulary, entries that the training rows
    of a data folder do not use are dropped from embeddings, output layer and tokenizer; with --entries, those that they use
    least, too. Every text can still be written, in other tokens where it had dropped ones. Weights that are pruned inside units
    that stay keep their masks; with --pack only what is kept of them is stored, which makes any pruned model smaller on disk.
    Every value is then as it was, unless --values rounds it: int8 has one scale for each row of a matrix, and the text says how
    far the weights are off. The JSON has model, output, parameters, size_bytes (before and afterwards), kept (of each block, of
    how many), pruned, rounded (norm of the change over that of the weights).
    """
    if values is not None and not pack:
        raise typer.BadParameter("--values rounds what --pack stores; give both.")
    _quiet_libraries()
    path = client.local_path(model)
    warn_untrained(path, model)
    from core.evaluate.shrunk import Entries, shrink_copy

    if entries and not vocabulary:
        raise typer.BadParameter("--entries needs --vocabulary DATA, whose training rows say which entries are used most.")
    dropped = Entries(vocabulary, entries) if vocabulary else None
    shrunk = shrink_copy(path, output, pack=pack, values=values, vocabulary=dropped)
    if as_json:
        typer.echo(json.dumps({"model": model, "output": str(output)} | shrunk.facts()))
        return
    say(f"Wrote {output}: {sentence(shrunk)}")
    if shrunk.rounded:
        say(
            f"Rounding to {values} changed the weights by {100 * shrunk.rounded:.3g} % (norm). See what that costs: {program()} "
            f"evaluate {output}"
        )
    say("Use it as any model: comment, evaluate, quantize, the playground.")


def sentence(shrunk: "Shrunk") -> str:
    """What is left of a model, in words."""
    before, after = shrunk.parameters
    (old, new), units = shrunk.size_bytes, (shrunk.units("heads"), shrunk.units("neurons"))
    heads, neurons = (f"{left:,} of {all_:,}" for left, all_ in units)
    inside = f" {shrunk.pruned:,} of the weights that stay are pruned." if shrunk.pruned else ""
    left, all_ = shrunk.kept.get("vocabulary", (0, 0))
    entries = f"{left:,} of {all_:,} entries of the vocabulary, " if all_ else ""
    return (
        f"{entries}{heads} heads and {neurons} neurons stay, {after / 1e6:.2f} of {before / 1e6:.2f} million weights, "
        f"{new / 1e6:.1f} of {old / 1e6:.1f} MB.{inside}"
    )
