"""The subcommands about the paper's experiments: list them, print one of their recipes, make their runs.

The commands keep no state: the run folders say what is done.
"""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import RecipeError, RunError
from core.program import program
from core.recipe import FINETUNED, PRETRAINED, load_recipe, to_toml
from core.study.experiments import CURVES, EXPERIMENTS, Material, Scale, plan, recipe_of
from core.study.sweep import Clusters, load_clusters

from .. import bundle
from ..runs.sweeps import SweepFolder
from ..views.text import table
from .console import say
from .plans import (
    DryRun,
    Jobs,
    On,
    check_executor,
    check_finished,
    make,
    make_on_ray,
    on_this_machine,
    scripts,
    standing,
    submit,
    unfinished,
)
from .preconditions import Quantized, check
from .runs import Checkpoints, Lines, app
from .runs import _folder as folder_of

QUANTIZATION = "quantization"
OTHER_MATERIAL = "--data, --pretrained and --finetuned name other data and models."
AtScale = Annotated[
    Scale,
    typer.Option(
        "--scale",
        help="small: a run takes a quarter of an hour to more than an hour of a CPU core; paper: 3,000 steps a round, all rows.",
    ),
]
DataPath = Annotated[str, typer.Option("--data", help="Folder or hub name of the rows.")]
Pretrained = Annotated[str, typer.Option("--pretrained", help="Model that runs rewound to pre-trained weights start from.")]
Finetuned = Annotated[str, typer.Option("--finetuned", help="Model that the other runs start from, and that is quantized.")]


@app.command(epilog="\b\nExample:\n  codeprune-tui recipes l1-b8-finetuned --scale paper > mine.toml")
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="RECIPE", help="Recipe to print; without it, all are listed.")] = None,
    scale: AtScale = "small",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the printed recipe.")] = 0,
    data: DataPath = Material.data,
    pretrained: Pretrained = PRETRAINED,
    finetuned: Finetuned = FINETUNED,
) -> None:
    """List the recipes, or print one.

    The list says what each recipe shows.

    Each of the paper's experiments compares some curves; a curve is a recipe, and `reproduce` makes an experiment's runs.
    """
    shipped = bundle.recipes()
    if name is None:
        typer.echo(_experiments())
        typer.echo("\nOther recipes, each for `codeprune-tui run`:")
        typer.echo(table([[stem, _first_comment(path)] for stem, path in shipped.items()], left=2))
    elif name in CURVES:
        typer.echo(to_toml(recipe_of(name, scale, seed, Material(data, pretrained, finetuned)), commented=True), nl=False)
    elif name in shipped:
        typer.echo(to_toml(load_recipe(shipped[name]), commented=True), nl=False)
    elif name in EXPERIMENTS:
        raise RecipeError(
            f"{name} is an experiment of several recipes: {', '.join(EXPERIMENTS[name].curves) or 'it trains nothing'}.",
            f"Print one of them, or make their runs: {program()} reproduce {name}",
        )
    else:
        raise RecipeError(f"There is no recipe {name!r}.", f"There are: {', '.join([*CURVES, *shipped])}.")


@app.command(epilog="\b\nExample:\n  codeprune-tui reproduce experiment-1 --data google/code_x_glue_ct_code_to_text --seeds 3")
def reproduce(
    context: typer.Context,
    experiments: Annotated[
        list[str] | None, typer.Argument(metavar="EXPERIMENT...", help="Experiments to run; all if none is named.")
    ] = None,
    scale: AtScale = "small",
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=100, help="Runs of every curve; each experiment has its own default.")
    ] = None,
    on: On = "local",
    cluster: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            metavar="FILE",
            help="TOML file, such as a sweep file, with tables [slurm] or [ray]: what a run asks for.",
        ),
    ] = None,
    jobs: Jobs = None,
    data: DataPath = Material.data,
    pretrained: Pretrained = PRETRAINED,
    finetuned: Finetuned = FINETUNED,
    checkpoints: Checkpoints = None,
    lines: Lines = False,
    dry_run: DryRun = False,
) -> None:
    """Make the runs of the paper's experiments.

    Missing runs are started, interrupted ones resumed, finished ones left as they are: the command can be interrupted and
    started again at any time. Disk, data and models are checked before the first run starts. Ctrl-C leaves the workers at
    work. On a machine with GPUs every worker gets one of its own, and a second worker only where its memory allows it.
    `report` makes the runs' table and figures. With --on slurm the runs are submitted as a job array, and the command returns;
    the quantization, which takes minutes, is made here. With --on ray they are tasks, and the command waits for them.
    """
    folder, material = folder_of(context, checkpoints), Material(data, pretrained, finetuned)
    chosen = tuple(experiments or ())
    planned = plan(chosen, scale, seeds, material)
    sweep = SweepFolder(folder, f"paper-{scale}")
    doing = on_this_machine(folder, planned, jobs, sweep)
    clusters = load_clusters(cluster) if cluster is not None else Clusters()
    if dry_run:
        typer.echo(scripts(doing, sweep, clusters.slurm) if on == "slurm" else standing(doing), nl=on != "slurm")
        return
    check_executor(on)
    ladder = folder / f"{scale}-{QUANTIZATION}.json" if not chosen or QUANTIZATION in chosen else None
    quantized = Quantized(finetuned, data, ("valid", "test")) if ladder is not None and not ladder.exists() else None
    recipes = [job.planned.recipe for job in unfinished(doing)]
    check(folder, recipes, say, OTHER_MATERIAL, quantized, elsewhere=on != "local")
    if planned:
        sweep.begin(each.name for each in planned)
        if on == "slurm":
            submit(doing, sweep, clusters.slurm)
        elif on == "ray":
            doing = make_on_ray(doing, sweep, clusters.ray)
        else:
            make(doing, lines)
    if ladder is not None:
        _quantize(ladder, material)
    typer.echo(standing(doing))
    if on == "slurm":
        return
    say(f"Figures and findings: {program()} report {shlex.quote(str(folder))} -o report.html")
    check_finished(doing)


def _quantize_arguments(material: Material, file: Path) -> list[str]:
    where = ["--data", material.data, "--split", "valid", "--split", "test", "--explain", "-o", str(file)]
    return ["quantize", material.finetuned, *where]


def _quantize(file: Path, material: Material) -> None:
    """Quantizes the fine-tuned model in a process of its own, unless the file exists.

    Raises:
        RunError: The process failed; its own error was printed before.
    """
    if file.exists():
        say(f"{file} exists already")
        return
    say(f"Quantizing {material.finetuned}")
    file.parent.mkdir(parents=True, exist_ok=True)  # there may be no run yet
    command = [sys.executable, "-P", "-m", "codeprune_tui.cli.main", *_quantize_arguments(material, file)]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise RunError(
            f"The quantization of {material.finetuned} failed.",
            f"See why: {program()} {shlex.join(_quantize_arguments(material, file))}",
        )


def _experiments() -> str:
    lines = []
    for experiment in EXPERIMENTS.values():
        where = f" ({experiment.figure})" if experiment.figure else ""
        lines.append(f"{experiment.name}{where}: {experiment.shows}")
        lines += [f"    {name:<32}{CURVES[name].title}" for name in experiment.curves]
    return "\n".join(["The paper's experiments, each for `codeprune-tui reproduce`, with their recipes:", *lines])


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
