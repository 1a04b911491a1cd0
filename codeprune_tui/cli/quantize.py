"""The subcommand that quantizes: measures quantizers on a model, on several or on a run's rounds, or saves one.

Only the command itself imports torch.
"""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from core.errors import DataError, RunError
from core.program import program
from core.recipe import Device, Evaluation
from core.regularfile import real
from core.run.folder import RunPaths, is_run
from core.spec.quantizers import METHODS
from core.study import gridfile
from core.study.ladderfile import to_json, write_ladder

from .. import bundle
from ..reports import grid as grid_tables
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
    from core.evaluate.grid import Candidate
    from core.evaluate.ladder import LadderSettings


@app.command(
    epilog="\b\nExample:\n  codeprune-tui quantize checkpoints/bundled/ruby-mini --explain -o ladder.json\n"
    "  codeprune-tui quantize checkpoints/mine --every 2 --split test\n"
    "  codeprune-tui quantize checkpoints/bundled/ruby-mini --method int8-weight --save mini-int8"
)
def quantize(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL|RUN]...", help="Folders or hub names of models, the dense one first; or run folders."),
    ] = None,
    data: Annotated[str, typer.Option("--data", help="Folder or hub name of the data.")] = DATA,
    every: Annotated[int, typer.Option("--every", min=1, help="Of a run: every k-th round, and its last.")] = 1,
    shrunk: Annotated[bool, typer.Option("--shrunk", help="Of several: really remove first what masks prune whole.")] = False,
    methods: Annotated[
        str, typer.Option("--methods", help=f"Quantizers to measure, separated by commas: {', '.join(METHODS)}.")
    ] = ",".join(METHODS),
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Split to score, may be repeated; valid and test if not given.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows drawn from each split; 0 = all.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of that draw.")] = 0,
    beam: Beam = DEFAULTS.beam,
    max_length: MaxLength = DEFAULTS.max_length,
    length_penalty: LengthPenalty = DEFAULTS.length_penalty,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=1024, help="Rows decoded together.")] = 16,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="How often each time is measured.")] = 5,
    explain: Annotated[bool, typer.Option("--explain", help="Also measure what each choice of dynamic INT8 costs.")] = False,
    device: OnDevice = "auto",
    threads: Threads = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.json", help="Also write the JSON.")] = None,
    as_json: Json = False,
    method: Annotated[str | None, typer.Option("--method", help="With --save: the quantizer.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Save the quantized model and measure nothing.")
    ] = None,
) -> None:
    """Measure quantizers, or save a model quantized.

    Prints for each quantizer its scores on each split with the difference to fp32, sizes, times, and the error of each
    layer. For a quantizer that this machine cannot run, a line says why. Several models, or the rounds of a run, make one table
    of sparsity by quantizer, with differences to the first one in fp32; that of one run lies in its folder afterwards
    (quantization.json), where Compare finds it.
    """
    if (method is None) != (save is None):
        raise typer.BadParameter("--method and --save go together.")
    chosen = _chosen(methods)
    given = models or [MODEL]
    several = len(given) > 1 or is_run(Path(client.local_path(given[0])))
    if several and (explain or save is not None):
        raise typer.BadParameter("--explain and --save take one model, not several and no run.")
    if not several and (every != 1 or shrunk):
        raise typer.BadParameter("--every and --shrunk are for several models, or a run.")
    if output is not None and not real(output).parent.is_dir():
        raise DataError(f"There is no folder {real(output).parent} for {output.name}.", "Make it, or give another path.")
    _quiet_libraries()
    from core.evaluate.ladder import LadderSettings
    from core.evaluate.quantized import Shown, measure_ladder, save_quantized_copy

    model = given[0]
    path = client.local_path(model)
    if method is not None and save is not None:
        _check_method(method, "--method")
        size = save_quantized_copy(path, method, save)
        say(f"Saved {save}: {method}, weights of {size}.")
        say("Use it as any model: comment, evaluate, the playground.")
        return
    evaluation = Evaluation(
        rows=rows, seed=seed, beam=beam, max_length=max_length, length_penalty=length_penalty, batch_size=batch_size
    )
    splits, settings = _splits(split), LadderSettings(evaluation, repeats=repeats, error_rows=0 if several else 64)
    if several:
        _several(given, data, splits, chosen, settings, every, output, device, threads, shrunk=shrunk, as_json=as_json)
        return
    warn_untrained(path, model)
    ladder = measure_ladder(
        path,
        client.local_path(data),
        splits,
        chosen,
        settings,
        Shown(shown(model), shown(data), _command([model], data, splits, chosen, settings, explain=explain)),
        device=device,
        threads=threads,
        explain=explain,
        tell=say,
        keep=lambda known: write_ladder(known, output) if output is not None else None,
    )
    if output is not None:
        write_ladder(ladder, output)
        say(f"Wrote {output}")
    typer.echo(to_json(ladder) if as_json else quantization.tables(ladder), nl=not as_json)


def _several(
    given: list[str],
    data: str,
    splits: list[Split],
    methods: list[str],
    settings: "LadderSettings",
    every: int,
    output: Path | None,
    device: Device,
    threads: int,
    *,
    shrunk: bool,
    as_json: bool,
) -> None:
    """Measures several models, writes what there is after each of them, and prints the table."""
    from core.evaluate.grid import measure_grid
    from core.evaluate.quantized import Shown

    candidates = [each for model in given for each in _candidates(model, every, several=len(given) > 1)]
    if candidates[0].round:
        raise RunError(
            f"Round 0 of {given[0]}, the dense model that all others are compared with, has no weights.",
            f"Quantize one of its rounds: {program()} quantize {candidates[-1].shown}",
        )
    files = [output] if output is not None else []
    if len(given) == 1 and not bundle.is_read_only(own := RunPaths(Path(client.local_path(given[0])))):
        files.append(own.root / gridfile.NAME)
    command = _command(given, data, splits, methods, settings, explain=False)
    command += (f" --every {every}" if every > 1 else "") + (" --shrunk" if shrunk else "")

    def keep(known: gridfile.Grid) -> None:
        for file in files:
            gridfile.write_grid(known, file)

    grid = measure_grid(
        candidates,
        client.local_path(data),
        splits,
        methods,
        settings,
        Shown("", shown(data), command),
        shrunk=shrunk,
        device=device,
        threads=threads,
        tell=say,
        keep=keep,
    )
    for file in files:
        say(f"Wrote {file}")
    typer.echo(gridfile.to_json(grid) if as_json else grid_tables.tables(grid), nl=not as_json)


def _candidates(given: str, every: int, *, several: bool) -> "list[Candidate]":
    """The models that an argument names: itself, or rounds of a run, which are called by its name where there are others."""
    from core.evaluate.grid import Candidate, rounds_of

    path = client.local_path(given)
    if not is_run(Path(path)):
        warn_untrained(path, given)
        return [Candidate(path, shown(given), shown(given).rstrip("/").removeprefix("checkpoints/"))]
    rounds = rounds_of(RunPaths(Path(path)), shown(given).rstrip("/"), every)
    return [replace(each, label=f"{Path(path).name} {each.label}") for each in rounds] if several else rounds


def _chosen(methods: str) -> list[str]:
    """The quantizers of the option, fp32 first: all others are compared with it."""
    names = [name.strip() for name in methods.split(",") if name.strip()]
    for name in names:
        _check_method(name, "--methods")
    return [name for name in METHODS if name == "fp32" or name in names]


def _check_method(name: str, option: str) -> None:
    if name not in METHODS:
        raise typer.BadParameter(f"there is no quantizer {name!r}; there are: {', '.join(METHODS)}", param_hint=option)


def _splits(given: list[str] | None) -> list[Split]:
    names = list(dict.fromkeys(given or ["valid", "test"]))
    for name in names:
        if name not in get_args(Split):
            raise typer.BadParameter(f"there is no split {name!r}; there are: {', '.join(get_args(Split))}", param_hint="--split")
    return cast("list[Split]", names)


def shown(given: str) -> str:
    """A path as a file may carry it to another machine: only the last part of an absolute path, or of one outside."""
    path = Path(given)
    return path.name if path.is_absolute() or given.startswith(("~", "..")) else given


def _command(
    models: list[str], data: str, splits: list[Split], methods: list[str], settings: "LadderSettings", *, explain: bool
) -> str:
    words = ["codeprune-tui", "quantize", *map(shown, models), "--data", shown(data)]
    words += [word for split in splits for word in ("--split", split)]
    if methods != list(METHODS):
        words += ["--methods", ",".join(methods)]
    for option, value, usual in (
        ("--rows", settings.evaluation.rows, 0),
        ("--seed", settings.evaluation.seed, 0),
        ("--beam", settings.evaluation.beam, DEFAULTS.beam),
        ("--max-length", settings.evaluation.max_length, DEFAULTS.max_length),
        ("--length-penalty", settings.evaluation.length_penalty, DEFAULTS.length_penalty),
        ("--batch-size", settings.evaluation.batch_size, 16),
        ("--repeats", settings.repeats, 5),
    ):
        if value != usual:
            words += [option, str(value)]
    return shlex.join([*words, *(["--explain"] if explain else [])])
