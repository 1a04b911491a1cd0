"""The subcommand that writes a model for use elsewhere. torch is imported inside it alone."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..runs import client
from .console import say
from .models import _quiet_libraries, warn_untrained
from .runs import app

Target = Literal["codexglue", "hub"]


@app.command(
    epilog="\b\nExample:\n  codeprune-tui export checkpoints/mine/rounds/05 --to codexglue --masks -o for-codexglue\n"
    "  codeprune-tui export checkpoints/mine/rounds/05 --to hub -o my-model && hf upload me/my-model my-model"
)
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")],
    to: Annotated[Target, typer.Option("--to", help="CodeXGLUE's code, or a folder to upload to the hub.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to make; must not exist.")],
    masks: Annotated[
        bool, typer.Option("--masks", help="codexglue: pruned matrices as _orig and _mask, so that they stay pruned there.")
    ] = False,
) -> None:
    """Write a model for use elsewhere.

    codexglue: what run.py --load_model_path goes on with; says what to change there, if anything. hub: weights, tokenizer
    and a card with task, data, recipe, sparsity, scores above their floors, size and speed; nothing is uploaded.
    """
    if masks and to != "codexglue":
        raise typer.BadParameter("--masks goes with --to codexglue.")
    _quiet_libraries()
    path = client.local_path(model)
    warn_untrained(path, model)
    if to == "codexglue":
        from core.export.codexglue import NOTE, export_codexglue

        changes = export_codexglue(path, output, masks=masks)
        say(f"Wrote {output}; {NOTE} in it says how CodeXGLUE's code goes on with it.")
        for change in changes:
            say(f"To be changed there: {change}")
    else:
        from core.export.hub import export_hub

        missing = export_hub(path, model, output)
        say(f"Wrote {output}. Look at its README.md, then: hf upload OWNER/NAME {output}")
        for gap in missing:
            say(f"Missing in the card: {gap}")
