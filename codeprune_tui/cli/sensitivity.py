"""The subcommand that prunes a model at once, without training, and measures what that costs.

Only the command itself imports torch.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.errors import DataError
from core.recipe import Budget, Evaluation, PrunablePreset, Scope, build_recipe
from core.spec.criteria import CALIBRATION_SPLIT, needs_of
from core.spec.criteria import CRITERIA as KNOWN
from core.study.sensitivityfile import (
    NAME,
    Sensitivity,
    Settings,
    Wish,
    check_fits,
    digest_of_weights,
    read_sensitivity,
    to_json,
    write_sensitivity,
)

from .. import bundle
from ..reports import sensitivity as sensitivity_report
from ..runs import client
from ..views.text import percent
from .console import counting, say, wants_bar
from .models import DATA, DEFAULTS, MODEL, Beam, MaxLength, OnDevice, Split, Threads, _quiet_libraries
from .quantize import shown
from .runs import Json, app

if TYPE_CHECKING:
    from core.evaluate.sensitivity import Ground

By = Literal["sparsity", "matrix"]
CalibrationRows = Annotated[
    int,
    typer.Option("--calibration-rows", min=1, max=100_000, help="Rows of the training split that criteria of data look at."),
]
CRITERIA = {"sparsity": "magnitude,random", "matrix": "magnitude"}
"""Criteria that are measured by default."""
SPARSITIES = "20,40,60,80,90"
Save = Callable[[Sensitivity], None]


@app.command(
    epilog="\b\nExample:\n  codeprune-tui sensitivity checkpoints/mine/rounds/00 --data data/ruby --rows 200\n"
    "  codeprune-tui sensitivity checkpoints/mine/rounds/00 --by matrix --data data/ruby --rows 200"
)
def sensitivity(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")] = MODEL,
    by: Annotated[By, typer.Option("--by", help="Prune all weights at once, or each matrix alone.")] = "sparsity",
    data: Annotated[str, typer.Option("--data", help="Folder or hub name of the data.")] = DATA,
    split: Annotated[Split, typer.Option("--split", help="Split to score.")] = "valid",
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows drawn from the split; 0 = all.")] = 0,
    criteria: Annotated[
        str | None,
        typer.Option(
            "--criteria", help="Criteria, separated by commas; if not given, magnitude,random, with --by matrix only magnitude."
        ),
    ] = None,
    sparsities: Annotated[str, typer.Option("--sparsities", help="Sparsities in percent, separated by commas.")] = SPARSITIES,
    sparsity: Annotated[
        float, typer.Option("--sparsity", min=0, max=100, help="With --by matrix: sparsity of each matrix, in percent.")
    ] = 50.0,
    scope: Annotated[
        Scope, typer.Option("--scope", help="global: all weights compete; layerwise: those of a matrix; row: those of its rows.")
    ] = "global",
    budget: Annotated[Budget, typer.Option("--budget", help="How sparsity is shared out over the matrices.")] = "uniform",
    pattern: Annotated[str, typer.Option("--pattern", help="n:m such as 2:4, or blocks of rows x columns such as 4x4.")] = "",
    preset: Annotated[PrunablePreset, typer.Option("--prunable", help="Which matrices are pruned.")] = "encoder",
    calibration_rows: CalibrationRows = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw of rows and of random pruning.")] = 0,
    beam: Beam = DEFAULTS.beam,
    max_length: MaxLength = DEFAULTS.max_length,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=0, max=1024, help="Rows decoded together; 0 = as many as the device has room for.")
    ] = 0,
    device: OnDevice = "auto",
    threads: Threads = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.json", help=f"File that keeps the results; {NAME} beside MODEL if not given."
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what pruning costs a model without training.

    Prints scores, each loss with its interval, the length of comments, and how many of them the model ends itself; above
    them the model as it is, with its encoder off, and the floors. Measurements are kept, also after Ctrl-C: the same
    command goes on from there, and Layers (3) shows what each matrix costs.
    """
    if budget == "latency":
        raise typer.BadParameter(
            "A budget of latency is measured by a run: give a recipe with pruning.speedup to `codeprune-tui run`."
        )
    names = _criteria(criteria or CRITERIA[by])
    shares = [sparsity / 100] if by == "matrix" else _shares(sparsities)
    path = client.local_path(model)
    file = output or default_file(path)
    if not file.resolve().parent.is_dir():
        raise DataError(f"There is no folder {file.resolve().parent} for {file.name}.", "Make it, or give another path.")
    evaluation = Evaluation(split=split, rows=rows, seed=seed, beam=beam, max_length=max_length, batch_size=batch_size)
    for share in shares if budget != "uniform" or pattern else ():  # what does not go together is said by the recipe
        build_recipe({"pruning": {"scope": scope, "budget": budget, "pattern": pattern, "final_sparsity": share}}, "sensitivity")
    looks = any(needs_of(name, budget) for name in names)
    if looks and split == CALIBRATION_SPLIT:
        raise DataError(
            "Criteria that look at data take their rows from the training split, which is scored here.", "Give another --split."
        )
    _quiet_libraries()
    from core.evaluate import sensitivity as engine
    from core.evaluate.calibration import load_drawn

    ground = _ground(path, model, client.local_path(data), evaluation, device, threads)
    if looks:
        calibration = load_drawn(ground.model, ground.reader, client.local_path(data), calibration_rows, seed)
        ground = replace(ground, calibration=calibration)
    wishes = (
        engine.by_matrix(ground.model, names, scope, preset, shares[0], calibration_rows)
        if by == "matrix"
        else engine.by_sparsity(names, scope, preset, shares, calibration_rows)
    )
    if budget != "uniform" or pattern:
        wishes = [
            replace(
                wish, budget=budget, pattern=pattern, calibration_rows=calibration_rows if needs_of(wish.criterion, budget) else 0
            )
            for wish in wishes
        ]
    try:
        measured = _measure(ground, path, wishes, file, _first(ground, model, data), seed)
    except KeyboardInterrupt as error:
        say(f"Interrupted. {file} keeps what was measured; the same command goes on from there.")
        raise typer.Exit(130) from error
    before = {wish: engine.share_before(ground, wish) for wish in wishes}
    _say_what_takes_nothing(measured, before)
    if as_json:
        typer.echo(to_json(measured), nl=False)
    elif as_csv:
        typer.echo(sensitivity_report.to_csv(measured, wishes), nl=False)
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        typer.echo(sensitivity_report.table(measured, wishes, before, _command(), width))
    say(f"Results are kept in {file}")


def _command() -> str:
    return shlex.join(["codeprune-tui", *(shown(word) for word in sys.argv[1:])])


def _say_what_takes_nothing(measured: Sensitivity, before: Mapping[Wish, float]) -> None:
    idle = [share for wish, share in before.items() if measured.cell(wish) is None]
    if idle:
        what = "everything asked for" if len(idle) == len(before) else f"{len(idle)} of {len(before)}"
        say(
            f"Nothing to prune in {what}: the model is pruned there as far or further, to {percent(min(idle))} at least. "
            "Ask for a higher sparsity, or give the dense model."
        )


def default_file(model: str) -> Path:
    """The file that keeps results: beside the weights, or in the current folder if nothing may be written there.

    Args:
        model: Path of the model, from `client.local_path`.
    """
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    ours = folder.resolve().is_relative_to(bundle.folder().resolve())
    return folder / NAME if path.exists() and not ours and os.access(folder, os.W_OK) else Path(NAME)


def _criteria(given: str) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in KNOWN:
            raise typer.BadParameter(f"there is no criterion {name!r}; there are: {', '.join(KNOWN)}", param_hint="--criteria")
    if not names:
        raise typer.BadParameter(f"name at least one of: {', '.join(KNOWN)}", param_hint="--criteria")
    return names


def _shares(given: str) -> list[float]:
    """Percentages, separated by commas, as shares in (0, 1]."""
    try:
        shares = [float(part) / 100 for part in given.split(",") if part.strip()]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise typer.BadParameter(f"{given!r} are no percentages such as {SPARSITIES}", param_hint="--sparsities")
    return shares


def _ground(path: str, model: str, data: str, evaluation: Evaluation, device: str, threads: int) -> "Ground":
    from core.evaluate.evaluate import floors_of, load_for_evaluation
    from core.evaluate.sensitivity import Ground, refuse_quantized
    from core.model import load_masks

    loaded, reader, encoded = load_for_evaluation(path, data, evaluation, device=device, threads=threads)
    refuse_quantized(loaded, model)
    masks = {name: mask.to(loaded.device) for name, mask in load_masks(path).items()}
    return Ground(loaded, reader, encoded, evaluation, floors_of(encoded.rows), masks)


def _settings(ground: "Ground") -> Settings:
    from core.evaluate.sensitivity import rows_digest
    from core.families.device import describe

    settings = ground.recipe.model_dump(include={"split", "rows", "seed", "beam", "max_length", "batch_size"})
    return {**settings, "data": rows_digest(ground.encoded), "device": describe(ground.model.device)}


def _first(ground: "Ground", model: str, data: str) -> Callable[[str, Callable[[int], None]], Sensitivity]:
    """Returns what makes the file's beginning: it measures the model as it is."""

    def begin(weights: str, after_batch: Callable[[int], None]) -> Sensitivity:
        import torch

        from core.evaluate.quantized import quantizing_versions
        from core.evaluate.sensitivity import measure_before
        from core.score import metrics

        floors = {name: _measures(asdict(each)) for name, each in vars(ground.floors).items() if not isinstance(each, str)}
        return Sensitivity(
            model=shown(model),
            data=shown(data),
            command=_command(),
            settings=_settings(ground),
            weights_sha256=weights,
            sparsity=ground.sparsity,
            rows=len(ground.encoded.rows),
            threads=torch.get_num_threads(),
            versions=quantizing_versions(),
            floors=floors,
            signatures=metrics.signatures(),
            before=measure_before(ground, after_batch),
        )

    return begin


def _measures(scores: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if name != "rows" and value is not None}


def _measure(
    ground: "Ground",
    path: str,
    wishes: list[Wish],
    file: Path,
    begin: Callable[[str, Callable[[int], None]], Sensitivity],
    seed: int,
) -> Sensitivity:
    """Measures what the file lacks, and writes each cell there once it is measured."""
    from core.evaluate.sensitivity import measure_cells, measure_off
    from core.families.weightfiles import find_weights

    weights = digest_of_weights(find_weights(path)) or ""
    known = read_sensitivity(file) if file.exists() else None
    if known is not None:
        check_fits(known, weights, _settings(ground), file)
    rows = len(ground.encoded.rows)
    missing = [wish for wish in dict.fromkeys(wishes) if known is None or known.cell(wish) is None]
    first = 0 if known is not None else 1
    second = 0 if known is not None and known.encoder_off is not None else 1
    total = rows * (len(missing) + first + second)
    with counting("decoding", "rows", bar=wants_bar()) as progress:
        if known is None:
            known = begin(weights, lambda done: progress(done, total))
            write_sensitivity(known, file)
        if known.encoder_off is None:
            known = replace(known, encoder_off=measure_off(ground, known, lambda done: progress(rows * first + done, total)))
            write_sensitivity(known, file)
        before = rows * (first + second)
        return measure_cells(
            ground,
            known,
            wishes,
            seed,
            lambda so_far: write_sensitivity(so_far, file),
            lambda cell, done: progress(before + rows * cell + done, total),
        )
