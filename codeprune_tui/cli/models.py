"""The subcommands about models and recipes: score a model, comment a file, write or check a recipe.

Only `evaluate` and `comment` import torch, inside; the rest of the command line stays quick without it.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.errors import DataError
from core.program import program
from core.recipe import Data, DecodingPrecision, Device, Evaluation, Model, Recipe, Search, load_recipe, to_toml
from core.regularfile import read_regular, real, reason
from core.spec import given
from core.spec.checkpoint_files import CONFIG, TUNED, is_onnx
from core.spec.precheck import check_reachable
from core.spec.schedule import entries_words, sparsities, speedups
from core.spec.weightheaders import read_json
from core.text.content import HEAD_BYTES, oddity
from core.text.rows import BrokenRow, check_data_reachable

from .. import bundle
from ..runs import client
from ..views.plain import plain
from ..views.text import percent
from . import tables
from .console import counting, say, wants_bar
from .runs import Json, app, device_option

if TYPE_CHECKING:
    from core.ruby import Method

DEFAULTS = Evaluation()
NO_METHOD = 8
"""Exit code for a file that holds no method: nothing failed, and there is nothing to show."""
Split = Literal["train", "valid", "test"]
DATA, MODEL = Data().path, Model().path
Beam = Annotated[int, typer.Option("--beam", min=1, max=100, help="Beam width; 1 is greedy.")]
MaxLength = Annotated[int, typer.Option("--max-length", min=1, max=1024, help="Most tokens of a comment, the end included.")]
LengthPenalty = Annotated[
    float,
    typer.Option("--length-penalty", min=0, max=10, help="Power of the length that scores are divided by; the paper has 0."),
]
OnDevice = Annotated[
    Device,
    typer.Option(
        "--device",
        callback=device_option,
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps; auto takes the GPU with the most free memory where there is one.",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=0, max=1024, help="CPU threads; 0 = as many as cores.")]


@app.command(epilog="\b\nExample:\n  codeprune-tui evaluate checkpoints/mine/rounds/03 --split test --json")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")],
    data: Annotated[str, typer.Option("--data", help="Folder or hub name of the data.")] = DATA,
    split: Annotated[Split, typer.Option("--split", help="Split to score.")] = "valid",
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows drawn from the split; 0 = all.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of that draw.")] = 0,
    beam: Beam = DEFAULTS.beam,
    max_length: MaxLength = DEFAULTS.max_length,
    length_penalty: LengthPenalty = DEFAULTS.length_penalty,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=0, max=1024, help="Rows decoded together; 0 = as many as the device has room for.")
    ] = 0,
    precision: Annotated[
        DecodingPrecision, typer.Option("--precision", help="Decode in the model's precision, or in a bf16 copy of it.")
    ] = "model",
    encoder_off: Annotated[bool, typer.Option("--encoder-off", help="Also score the model without its encoder layers.")] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out and count rows that cannot be used.")] = False,
    embedder: Annotated[
        Path | None,
        typer.Option("--embedder", metavar="FOLDER", help="A sentence-transformers model on disk, to score meanings, too."),
    ] = None,
    device: OnDevice = "auto",
    threads: Threads = 0,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="OUT.jsonl", help="Also write every comment, one JSON object for each row."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model on a data set.

    The model's scores stand above the floors: the scores, on the same rows, of programs that read no code. The JSON has model,
    finetuned, data, split, seed, beam, max_length, length_penalty, precision, rows, scores, intervals, bootstrap, floors,
    signatures, seconds; and with --encoder-off, encoder_off: scores, intervals, dense_less (this model's scores minus those),
    signature.
    """
    if predictions is not None and not real(predictions).parent.is_dir():
        raise DataError(f"There is no folder {real(predictions).parent} for the predictions.", "Make it, or give another path.")
    evaluation = Evaluation(
        split=split,
        rows=rows,
        seed=seed,
        beam=beam,
        max_length=max_length,
        length_penalty=length_penalty,
        batch_size=batch_size,
        precision=precision,
        embedder="" if embedder is None else client.local_path(str(embedder)),
    )
    _quiet_libraries()
    finetuned = warn_untrained(client.local_path(model), model)
    check_data_reachable(client.local_path(data), split)
    from core.atomic import complete_or_absent
    from core.evaluate.evaluate import evaluate_model, write_predictions

    with counting("decoding", "rows", bar=wants_bar()) as progress:
        scored = evaluate_model(
            client.local_path(model),
            client.local_path(data),
            evaluation,
            device=device,
            threads=threads,
            encoder_off=encoder_off,
            progress=progress,
            skipped=_tell_skipped if skip_broken else None,
        )
    if predictions is not None:
        with complete_or_absent(predictions) as draft:
            write_predictions(scored, draft)
        say(f"Wrote {len(scored.rows)} predictions to {predictions}")
    facts = {"model": model, "finetuned": finetuned, "data": data, "split": split} | evaluation.model_dump(
        include={"seed", "beam", "max_length", "length_penalty", "precision"}
    )
    typer.echo(tables.evaluation_json(scored, facts) if as_json else tables.evaluation(scored, model))


@app.command(epilog="\b\nExample:\n  codeprune-tui comment lib/user.rb\n  git show HEAD:lib/user.rb | codeprune-tui comment -")
def comment(
    file: Annotated[str, typer.Argument(metavar="FILE.rb", help="Ruby source; - reads stdin.")],
    model: Annotated[str, typer.Option("--model", help="Folder or hub name of a model.")] = MODEL,
    beam: Beam = DEFAULTS.beam,
    max_length: MaxLength = DEFAULTS.max_length,
    length_penalty: LengthPenalty = DEFAULTS.length_penalty,
    device: OnDevice = "auto",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Comment every method of a Ruby file.

    Prints a line `LINE NAME: COMMENT` for each. Warnings on stderr name lines that are not valid Ruby; methods that can
    be read are commented all the same. The JSON has file, model, finetuned, beam, length_penalty, and methods: line,
    name, comment, own_comment.
    """
    from core.ruby import parse

    parsed, where = parse(_source(file)), "stdin" if file == "-" else file
    for warning in parsed.warnings:
        say(f"{where}, {warning}")
    comments: list[str] = []
    finetuned = True
    if parsed.methods:
        _quiet_libraries()
        path = client.local_path(model)
        finetuned = warn_untrained(path, model)
        search = Search(beam, max_length, length_penalty=length_penalty)
        comments = _comments(path, parsed.methods, search, device, threads)
    else:
        say(f"There is no method in {where}.")
    if as_json:
        commented = [
            {"line": method.line, "name": method.qualified, "comment": text, "own_comment": method.comment}
            for method, text in zip(parsed.methods, comments, strict=True)
        ]
        facts = {"file": file, "model": model, "finetuned": finetuned, "beam": beam, "length_penalty": length_penalty}
        typer.echo(tables.comments_json(facts, commented))
    else:
        for method, text in zip(parsed.methods, comments, strict=True):
            typer.echo(plain(f"{method.line} {method.qualified}: {text}"))
    if not parsed.methods:
        raise typer.Exit(NO_METHOD)


@app.command(epilog="\b\nExample:\n  codeprune-tui recipe > mine.toml\n  codeprune-tui recipe --check mine.toml")
def recipe(
    template: Annotated[
        bool, typer.Option("--template", help="Print a commented recipe of defaults (also without any option).")
    ] = False,
    check: Annotated[Path | None, typer.Option("--check", metavar="FILE", help="Only say whether a recipe is valid.")] = None,
    show: Annotated[
        Path | None, typer.Option("--show", metavar="FILE", help="Print a recipe with every default filled in.")
    ] = None,
) -> None:
    """Print a commented recipe, or check or show one."""
    if sum((template, check is not None, show is not None)) > 1:
        raise typer.BadParameter("Give only one of --template, --check, --show.")
    if check is not None:
        loaded = load_recipe(bundle.recipe_file(check))
        anchored = client.anchored(loaded)
        counts = given.counts_of(anchored)
        shares = given.reached(loaded, counts) if counts else sparsities(loaded)
        planned = f"sparsity by round {', '.join(map(percent, shares))}"
        if loaded.rounds and loaded.pruning.budget == "latency":
            planned = f"speed by round {', '.join(f'{each:.2f} ×' for each in speedups(loaded))}"
        if entries := entries_words(loaded):
            planned = f"{planned}; vocabulary: {entries}" if loaded.pruning.masked else f"vocabulary: {entries}"
        say(f"{check} is valid: {loaded.kind}, {planned}")
        for warning in given.warnings(anchored, counts):
            say(warning)
    else:
        typer.echo(to_toml(Recipe() if show is None else load_recipe(bundle.recipe_file(show)), commented=show is None), nl=False)


def _comments(path: str, methods: "Sequence[Method]", search: Search, device: Device, threads: int) -> list[str]:
    """Comments by a model; torch is imported only for a model that needs it."""
    if is_onnx(path) and device in ("auto", "cpu"):
        from core.onnx.comment import comment_methods as comment_in_onnx
        from core.onnx.session import load

        return comment_in_onnx(load(path, threads), methods, search)
    from core.evaluate.comment import comment_methods

    return comment_methods(path, methods, search, device=device, threads=threads)


def warn_untrained(path: str, name: str) -> bool:
    """Whether a model has learned to write comments; warns if it has not.

    Args:
        path: Folder or hub name of the model.
        name: The user's name for it.

    Raises:
        ModelError: The model cannot be read.
    """
    check_reachable(path)
    if is_onnx(path):
        finetuned = read_json(Path(path) / CONFIG).get(TUNED) is True
    else:
        from core.model import is_finetuned

        finetuned = is_finetuned(path)
    if not finetuned:
        say(
            f"Warning: {name} never learned to write comments (it is an encoder, to which a random decoder is given, or only "
            f"pre-trained): its comments and scores say nothing. Fine-tune it first: {program()} finetune RECIPE"
        )
    return finetuned


def _tell_skipped(rows: Sequence[BrokenRow]) -> None:
    """Says how many rows were left out, and names the first of them."""
    for row in rows[:5]:
        say(f"Row left out: {row.file}, line {row.line}: {row.problem}")
    if rows:
        say(f"Rows left out as broken: {len(rows):,}")


def _quiet_libraries() -> None:
    """Keeps the libraries' messages for developers out of the narration; call it before they are imported."""
    for name, value in (
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        os.environ.setdefault(name, value)


def _source(file: str) -> str:
    from core.ruby import SOURCE_BYTES

    try:
        content = sys.stdin.buffer.read(SOURCE_BYTES + 1) if file == "-" else read_regular(file, SOURCE_BYTES)
    except OSError as error:
        raise DataError(f"Cannot read {file}: {reason(error)}.", "Give a Ruby file, or - for stdin.") from error
    if len(content) > SOURCE_BYTES:
        raise DataError(f"What stdin holds is longer than {SOURCE_BYTES / 1e6:g} MB.", "Give one Ruby file at a time.")
    if (odd := oddity(content[:HEAD_BYTES], file)) is not None:
        raise DataError(f"{'What stdin holds' if file == '-' else file} {odd[0]}.", f"{odd[1]}.")
    return content.decode("utf-8", "surrogateescape")  # the parser shows the lines that are no text
