"""The subcommand that writes a model for use elsewhere. Only the command itself imports torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..runs import client
from .console import say
from .models import _quiet_libraries, warn_untrained
from .runs import app

Target = Literal["codexglue", "hub", "onnx"]


@app.command(
    epilog="\b\nExample:\n  codeprune-tui export checkpoints/mine/rounds/05 --to codexglue --masks -o for-codexglue\n"
    "  codeprune-tui export checkpoints/mine/rounds/05 --to hub -o my-model && hf upload me/my-model my-model"
)
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")],
    to: Annotated[Target, typer.Option("--to", help="CodeXGLUE's code, a folder to upload to the hub, or ONNX Runtime.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write; it must not exist yet.")],
    masks: Annotated[
        bool, typer.Option("--masks", help="codexglue: pruned matrices as _orig and _mask, so that they stay pruned there.")
    ] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="onnx: weights in 16 bits.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="onnx: matrices in 8 bits, with a scale for each row.")] = False,
) -> None:
    """Write a model for use elsewhere.

    codexglue: a checkpoint that run.py --load_model_path loads; the command says what has to be changed there. hub: weights,
    tokenizer and a card with task, data, recipe, sparsity, scores above their floors, size and speed; nothing is uploaded.
    onnx: a folder that comment, evaluate and the playground run in ONNX Runtime.
    """
    if masks and to != "codexglue":
        raise typer.BadParameter("--masks goes with --to codexglue.")
    if (fp16 or int8) and (to != "onnx" or (fp16 and int8)):
        raise typer.BadParameter("Only one of --fp16 and --int8 can be given, and only with --to onnx.")
    _quiet_libraries()
    path = client.local_path(model)
    warn_untrained(path, model)
    if to == "codexglue":
        from core.export.codexglue import NOTE, export_codexglue

        changes = export_codexglue(path, output, masks=masks)
        say(f"Wrote {output}; {NOTE} in it says how CodeXGLUE's code loads it.")
        for change in changes:
            say(f"Change there: {change}")
    elif to == "onnx":
        from core.export.onnx import export_onnx

        export_onnx(path, output, "fp16" if fp16 else "int8" if int8 else "fp32")
        size_bytes = sum(file.stat().st_size for file in output.iterdir())
        say(f"Wrote {output}, {size_bytes / 1e6:.1f} MB. Use it as any model: comment, evaluate, the playground.")
    else:
        from core.export.hub import export_hub

        missing = export_hub(path, model, output)
        say(f"Wrote {output}. Look at its README.md, then: hf upload OWNER/NAME {output}")
        for gap in missing:
            say(f"The card lacks: {gap}")
