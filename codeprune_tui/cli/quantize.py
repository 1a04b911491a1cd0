"""The subcommand that quantizes: measures the ladder of methods on a model, or saves the model quantized by one of them.

torch is imported inside the command alone.
"""

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from core.errors import DataError
from core.recipe import Evaluation
from core.regularfile import real
from core.spec.quantizers import METHODS
from core.spec.sizes import bytes_by_width
from core.study.ladderfile import Ladder, to_json, write_ladder

from ..reports import quantization
from ..runs import client
from .console import say
from .models import (
    DATA,
    DEFAULTS,
    MODEL,
    Beam,
    LengthPenalty,
    MaxLength,
    OnDevice,
    Split,
    Threads,
    _quiet_libraries,
    warn_untrained,
)
from .runs import Json, app

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

    from core.data import Encoded
    from core.evaluate.ladder import Asked
    from core.families.roberta import CodeToText


@app.command(
    epilog="\b\nExample:\n  codeprune-tui quantize checkpoints/bundled/ruby-mini --explain -o ladder.json\n"
    "  codeprune-tui quantize checkpoints/bundled/ruby-mini --method int8-weight --save mini-int8"
)
def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")] = MODEL,
    data: Annotated[str, typer.Option("--data", help="Folder or hub name of the data.")] = DATA,
    methods: Annotated[str, typer.Option("--methods", help=f"Which, by commas: {', '.join(METHODS)}.")] = ",".join(METHODS),
    split: Annotated[list[str] | None, typer.Option("--split", help="Split to score, may be repeated; valid and test.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows drawn from each split; 0 = all.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of that draw.")] = 0,
    beam: Beam = DEFAULTS.beam,
    max_length: MaxLength = DEFAULTS.max_length,
    length_penalty: LengthPenalty = DEFAULTS.length_penalty,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=1024, help="Rows decoded together.")] = 16,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="Times each time is taken.")] = 5,
    explain: Annotated[bool, typer.Option("--explain", help="Also measure which choice of dynamic INT8 costs what.")] = False,
    device: OnDevice = "auto",
    threads: Threads = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.json", help="Also write the JSON.")] = None,
    as_json: Json = False,
    method: Annotated[str | None, typer.Option("--method", help="With --save: the method.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Save the quantized model and measure nothing.")
    ] = None,
) -> None:
    """Measure quantization methods, or save a model quantized.

    For each method: scores on each split with the difference to fp32, sizes, times, and how far each layer is off. A
    method that this machine cannot do is a line that says why.
    """
    if (method is None) != (save is None):
        raise typer.BadParameter("--method and --save go together.")
    chosen = _chosen(methods)
    if output is not None and not real(output).parent.is_dir():
        raise DataError(f"There is no folder {real(output).parent} for {output.name}.", "Make it, or give another path.")
    _quiet_libraries()
    if method is not None and save is not None:
        _check_method(method, "--method")
        _save(model, method, save)
        return
    evaluation = Evaluation(
        rows=rows, seed=seed, beam=beam, max_length=max_length, length_penalty=length_penalty, batch_size=batch_size
    )
    from core.evaluate.ladder import Asked
    from core.families.device import describe, make_accelerator

    accelerator = make_accelerator(device, "fp32", threads)
    splits = _splits(split)
    asked = Asked(evaluation, repeats=repeats)
    found = _measure(
        model, data, splits, chosen, asked, accelerator.device, describe(accelerator.device), output, explain=explain
    )
    if output is not None:
        write_ladder(found, output)
        say(f"Wrote {output}")
    typer.echo(to_json(found) if as_json else quantization.tables(found), nl=not as_json)


def _chosen(methods: str) -> list[str]:
    """The methods asked for, fp32 first: all others are compared with it."""
    names = [name.strip() for name in methods.split(",") if name.strip()]
    for name in names:
        _check_method(name, "--methods")
    return [name for name in METHODS if name == "fp32" or name in names]


def _check_method(name: str, option: str) -> None:
    if name not in METHODS:
        raise typer.BadParameter(f"there is no method {name!r}; there are: {', '.join(METHODS)}", param_hint=option)


def _splits(asked: list[str] | None) -> list[Split]:
    names = list(dict.fromkeys(asked or ["valid", "test"]))
    for name in names:
        if name not in get_args(Split):
            raise typer.BadParameter(f"there is no split {name!r}; there are: {', '.join(get_args(Split))}", param_hint="--split")
    return cast("list[Split]", names)


def _save(model: str, method: str, folder: Path) -> None:
    from core.compress.quantize import quantize as quantized
    from core.families.weightfiles import find_weights
    from core.model import load_model, load_tokenizer, save_model

    path = client.local_path(model)
    before = find_weights(path)
    save_model(quantized(load_model(path), method), load_tokenizer(path), folder)
    after = folder / "model.safetensors"
    say(f"Saved {folder}: {method}, weights of {after.stat().st_size / 1e6:.2f} MB{_why_more(before, after, method)}.")
    say("Use it as any model: comment, evaluate, the playground.")


def _why_more(before: Path, after: Path, method: str) -> str:
    """Why a quantized file is larger than the one it was made from; "" where it is not."""
    old_bytes, new_bytes = before.stat().st_size, after.stat().st_size
    if new_bytes <= old_bytes:
        return ""
    text = f", more than the {old_bytes / 1e6:.2f} MB it was made from"
    old, new = bytes_by_width(before), bytes_by_width(after)
    wider = {bits: stored for bits, stored in new.items() if old and bits > max(old)}
    if not wider:
        return text
    mostly, left = max(wider, key=wider.__getitem__), sum(wider.values())
    return f"{text}: there all was in {max(old)} bits, and what {method} leaves alone, {left / 1e6:.2f} MB, is in {mostly}"


def _measure(
    model: str,
    data: str,
    splits: list[Split],
    methods: list[str],
    asked: "Asked",
    device: "torch.device",
    words: str,
    output: Path | None,
    *,
    explain: bool,
) -> Ladder:
    """Loads, measures, and puts beside it what the numbers depend on."""
    import torch

    from core.evaluate import ladder
    from core.families.weightfiles import find_weights
    from core.model import load_model, load_tokenizer
    from core.score import metrics

    path = client.local_path(model)
    warn_untrained(path, model)
    loaded, tokenizer = load_model(path), load_tokenizer(path)
    encoded: dict[str, Encoded] = {split: _rows(data, split, loaded, tokenizer, asked.evaluation) for split in splits}
    moved = loaded.to(device)
    texts: ladder.Written = {}
    found = ladder.measure(moved, tokenizer, encoded, methods, asked, texts, say)
    facts = asked.evaluation.model_dump(include={"seed", "beam", "max_length", "length_penalty", "batch_size"})
    facts |= {"repeats": asked.repeats, "fixed_tokens": asked.fixed_tokens, "error_rows": asked.error_rows}
    facts |= {"explain_rows": asked.explain_rows} if explain else {}
    whole = Ladder(
        model=shown(model),
        data=shown(data),
        command=_command(model, data, splits, methods, asked, explain=explain),
        recipe={**facts, "threads": torch.get_num_threads()},
        device=f"{words}, {_processor()}" if device.type == "cpu" else words,
        versions=_versions(),
        weights_sha256=ladder.digest(find_weights(path)),
        rows={split: len(rows.rows) for split, rows in encoded.items()},
        floors=ladder.floors(encoded),
        signatures=metrics.signatures(),
        methods=tuple(found),
    )
    if not explain:
        return whole
    if output is not None:
        write_ladder(whole, output)  # explaining takes as long again: what is known stays if it is cut off
    return replace(whole, explanation=ladder.explain(moved, tokenizer, encoded, asked, texts, say))


def _rows(data: str, split: Split, model: "CodeToText", tokenizer: "PreTrainedTokenizerFast", asked: Evaluation) -> "Encoded":
    from core.data import encode_rows, subset
    from core.evaluate.evaluate import PAPER_SOURCE_LENGTH, positions
    from core.text.rows import load_rows

    encoded = encode_rows(
        load_rows(client.local_path(data), split),
        tokenizer,
        source_length=min(PAPER_SOURCE_LENGTH, positions(model)),
        target_length=min(128, positions(model)),
        split_identifiers=model.config.split_identifiers,
        cache=None,
    )
    return encoded.take(subset(len(encoded.rows), asked.rows, asked.seed))


def shown(given: str) -> str:
    """A path as a file may carry it to another machine: absolute ones and those outside lose all but their last part."""
    path = Path(given)
    return path.name if path.is_absolute() or given.startswith(("~", "..")) else given


def _command(model: str, data: str, splits: list[Split], methods: list[str], asked: "Asked", *, explain: bool) -> str:
    words = ["codeprune-tui", "quantize", shown(model), "--data", shown(data)]
    words += [word for split in splits for word in ("--split", split)]
    if methods != list(METHODS):
        words += ["--methods", ",".join(methods)]
    for option, value, usual in (
        ("--rows", asked.evaluation.rows, 0),
        ("--seed", asked.evaluation.seed, 0),
        ("--beam", asked.evaluation.beam, DEFAULTS.beam),
        ("--max-length", asked.evaluation.max_length, DEFAULTS.max_length),
        ("--length-penalty", asked.evaluation.length_penalty, DEFAULTS.length_penalty),
        ("--batch-size", asked.evaluation.batch_size, 16),
        ("--repeats", asked.repeats, 5),
    ):
        if value != usual:
            words += [option, str(value)]
    return shlex.join([*words, *(["--explain"] if explain else [])])


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    from core.train.prepare import versions

    found = {name: text for name, text in versions().items() if name in ("python", "codeprune-tui", "torch", "transformers")}
    for package in ("torchao", "bitsandbytes"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / ".git").exists():
        asked = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found["commit"] = done.stdout.strip()
    return found


def _processor() -> str:
    """The CPU's name and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0))
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{name}, {cores} core{'s' if cores != 1 else ''}"
