"""The subcommand that prunes a model once, without training, and writes it as a folder. Only the command itself imports torch."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import DataError
from core.recipe import VOCABULARY, Budget, Criterion, Kind, PrunablePreset, Pruning, Recipe, Scope, Unit, build_recipe
from core.spec.criteria import needs_of

from ..reports.sensitivity import place
from ..runs import client
from ..views.text import count, duration, percent
from .console import counting, say, wants_bar
from .models import MODEL, OnDevice, Threads, _quiet_libraries
from .runs import Json, app
from .sensitivity import CalibrationRows

if TYPE_CHECKING:
    from core.evaluate.oneshot import Pruned

DEFAULTS = Pruning()
LOTTERY: Kind = "lottery"


@app.command(
    epilog="\b\nExample:\n  codeprune-tui prune --criterion wanda --scope row --sparsity 0.5 --data data/ruby -o half\n"
    "  codeprune-tui prune --criterion sparsegpt --pattern 2:4 --sparsity 0.5 --errors -o two-of-four"
)
def prune(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write; it must not exist yet.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or hub name of a model.")] = MODEL,
    criterion: Annotated[Criterion, typer.Option("--criterion", help="Which weights go first.")] = DEFAULTS.criterion,
    sparsity: Annotated[float, typer.Option("--sparsity", min=0.001, max=1, help="Pruned share of the prunable weights.")] = 0.5,
    scope: Annotated[Scope, typer.Option("--scope", help="Which weights compete: all, those of a matrix, or of a row.")] = (
        DEFAULTS.scope
    ),
    budget: Annotated[Budget, typer.Option("--budget", help="How sparsity is shared out over the matrices.")] = DEFAULTS.budget,
    pattern: Annotated[str, typer.Option("--pattern", help="n:m such as 2:4, or blocks of rows x columns such as 4x4.")] = "",
    unit: Annotated[Unit, typer.Option("--unit", help="What goes as one.")] = DEFAULTS.unit,
    preset: Annotated[PrunablePreset, typer.Option("--prunable", help="Which matrices are pruned.")] = DEFAULTS.prunable,
    data: Annotated[str, typer.Option("--data", help="Folder or hub name of the data, for criteria that look at it.")] = (
        Recipe().data.path
    ),
    calibration_rows: CalibrationRows = DEFAULTS.calibration_rows,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw of rows and of random scores.")] = 0,
    errors: Annotated[
        bool, typer.Option("--errors", help="Also measure how much each matrix's output changes, on other training rows.")
    ] = False,
    against: Annotated[
        str, typer.Option("--against", metavar="MODEL", help="Another pruned model: how far its masks overlap with these.")
    ] = "",
    device: OnDevice = "auto",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Prune a model once, without training.

    The model is written as a folder, which holds weights, masks and reader, and pruning.json says how they were made; every
    command loads it. sparsegpt updates the kept weights, too. With --json: sparsity, kept, total, seconds, matrices (sparsity,
    dead rows, columns and heads; output_error with --errors; overlap with --against), facts.
    """
    if budget == "latency":
        raise typer.BadParameter(
            "A budget of latency is measured by a run: give a recipe with pruning.speedup to `codeprune-tui run`."
        )
    if unit.endswith(VOCABULARY):
        raise typer.BadParameter(
            "prune writes masks, and the vocabulary has none: drop entries with `codeprune-tui shrink MODEL --vocabulary DATA`."
        )
    table = {"criterion": criterion, "final_sparsity": sparsity, "scope": scope, "budget": budget, "pattern": pattern}
    more = {"prunable": preset, "unit": unit, "calibration_rows": calibration_rows}
    recipe = build_recipe({"kind": LOTTERY, "pruning": {**table, **more}}, "prune")
    if not output.resolve().parent.is_dir():
        raise DataError(f"There is no folder {output.resolve().parent} for {output.name}.", "Make it, or give another path.")
    _quiet_libraries()
    from core.evaluate.oneshot import PruneRequest, prune_folder

    looks = errors or bool(needs_of(criterion, budget))
    request = PruneRequest(
        recipe.pruning,
        client.local_path(data) if looks else "",
        seed,
        errors,
        client.local_path(against) if against else "",
    )
    with counting("measuring", "rows", bar=wants_bar()) as progress:
        pruned = prune_folder(
            client.local_path(model),
            output,
            request,
            device=device,
            threads=threads,
            clock=time.monotonic,
            progress=lambda what, done, rows: progress(done, rows),
        )
    typer.echo(json.dumps(asdict(pruned), indent=1) if as_json else _text(pruned, details=errors or bool(against)))
    say(f"Wrote {output}. Use it as any model: evaluate, comment, run, the playground.")


def _text(pruned: "Pruned", *, details: bool) -> str:
    lines = [
        f"pruned to {percent(pruned.sparsity)}: {count(pruned.kept)} of {count(pruned.total)} weights kept, "
        f"in {duration(pruned.seconds)}"
    ]
    dead = {name: each for name, each in pruned.matrices.items() if each["dead_heads"] or each["dead_rows"]}
    heads, rows = (sum(each[key] for each in dead.values()) for key in ("dead_heads", "dead_rows"))
    if dead:
        lines.append(f"nothing is left of {count(rows)} rows and {count(heads)} heads, in {len(dead)} matrices")
    if details:
        width = max(len(place(name)) for name in pruned.matrices)
        lines.append(f"{'matrix':<{width}}  sparsity  output error  overlap")
        lines += [
            f"{place(name):<{width}}  {percent(each['sparsity']):>8}  {_share(each.get('output_error')):>12}  "
            f"{_share(each.get('overlap')):>7}"
            for name, each in pruned.matrices.items()
        ]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)
