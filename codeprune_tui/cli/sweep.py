"""The subcommands about sweeps: many recipes out of one file, made, looked at and stopped as one.

The commands keep no state: the run folders say what is done, the sweep's folder which runs belong together.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.errors import RunError
from core.program import program
from core.recipe import parse_recipe
from core.regularfile import parse_toml, real
from core.run.folder import RunInfo
from core.study.experiments import Planned
from core.study.sweep import Sweep, load_sweep, plan_sweep, template

from .. import bundle
from ..runs.sweep_stop import stop_sweep
from ..runs.sweeps import SweepFolder, find_sweep, send_all, standing, sweeps
from ..views.plain import plain
from ..views.text import duration, runs_text, score, table
from . import plans, tables
from .console import say
from .preconditions import check
from .runs import ANSWER_S, Checkpoints, Json, Lines, app
from .runs import _folder as folder_of
from .runs import _given_text as given_text

OTHER_MATERIAL = "model.path and data.path, in the recipe or the sweep file, name other models and data."

group = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExamples:\n  codeprune-tui sweep --template > sweep.toml\n  codeprune-tui sweep run sweep.toml --dry-run",
)
app.add_typer(group, name="sweep")
File = Annotated[Path, typer.Argument(metavar="FILE", help="Sweep file; write one with sweep --template.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a sweep, or its file.")]


@group.callback(invoke_without_command=True)
def sweep(
    context: typer.Context,
    show_template: Annotated[bool, typer.Option("--template", help="Print a commented sweep file.")] = False,
) -> None:
    """Make many runs out of one file.

    A sweep file names a recipe and what varies: lists of values for any of its keys, whose combinations are all made, tables of
    keys that change together, and seeds.
    """
    if context.invoked_subcommand is None:
        typer.echo(template() if show_template else context.get_help(), nl=not show_template)


@group.command("run", epilog="\b\nExample:\n  codeprune-tui sweep run sweep.toml --dry-run")
def run_sweep(
    context: typer.Context,
    file: File,
    on: plans.On = "local",
    jobs: plans.Jobs = None,
    checkpoints: Checkpoints = None,
    lines: Lines = False,
    dry_run: plans.DryRun = False,
) -> None:
    """Make the runs of a sweep.

    Missing runs are started, interrupted ones resumed, finished ones left as they are: the command can be interrupted and
    started again at any time, and twice at once. File, disk, data and models are checked before the first run starts. Ctrl-C
    leaves the workers at work. On a machine with GPUs every worker gets one of its own. With --on slurm the runs are submitted
    as a job array, as the file's table [slurm] says, and the command returns; --dry-run then prints the job's script. With --on
    ray each run is a task of the Ray cluster that this machine belongs to, and the command waits for them.
    """
    folder = folder_of(context, checkpoints)
    loaded, planned = _planned(file)
    sweep_folder = SweepFolder(folder, loaded.name)
    doing = plans.on_this_machine(folder, planned, jobs, sweep_folder)
    missing = plans.unfinished(doing)
    say(f"{runs_text(len(planned))}; {plans.costs(folder, missing) if missing else 'all of them are done'}")
    if dry_run:
        typer.echo(plans.scripts(doing, sweep_folder, loaded.slurm) if on == "slurm" else plans.standing(doing), nl=on != "slurm")
        return
    plans.check_executor(on)
    check(folder, [job.planned.recipe for job in missing], say, OTHER_MATERIAL, elsewhere=on != "local")
    sweep_folder.begin(each.name for each in planned)
    if on == "slurm":
        plans.submit(doing, sweep_folder, loaded.slurm)
        return
    if on == "ray":
        doing = plans.make_on_ray(doing, sweep_folder, loaded.ray)
    else:
        plans.make(doing, lines)
    typer.echo(plans.standing(doing))
    plans.check_finished(doing)


@group.command("status")
def sweep_status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of a sweep, or its file; all if not given.")] = None,
    checkpoints: Checkpoints = None,
    as_json: Json = False,
) -> None:
    """Print how all sweeps stand, or the runs of one.

    The JSON of one sweep has "sweep", "states" (state: number of runs), "missing", "eta_s", and "runs" as `status --json` has
    them; that of all has "sweeps", a list of the same without "runs".
    """
    folder, now = folder_of(context, checkpoints), time.time()
    if name is not None:
        sweep_folder = find_sweep(folder, _name(name))
        at = standing(sweep_folder, now)
        if as_json:
            typer.echo(tables.sweep_json(at, str(folder)))
            return
        say(f"{at.name}: {_words(at.counts)}")
        if at.best is not None:
            say(f"Best BLEU: {score(at.best[1])}, {plain(at.best[0])}")
        if at.eta_s is not None:
            say(f"About {duration(at.eta_s)} left if as many workers stay at work")
        if at.infos:
            typer.echo(tables.run_list(at.infos, now))
        return
    all_of_them = [standing(each, now) for each in sweeps(folder)]
    if as_json:
        typer.echo(tables.sweeps_json(all_of_them, str(folder)))
    elif all_of_them:
        typer.echo(table([["sweep", "runs"], *([plain(at.name), _words(at.counts)] for at in all_of_them)], left=2))
    else:
        say(f"No sweeps in {folder}.")


@group.command("pause")
def sweep_pause(context: typer.Context, name: Name, checkpoints: Checkpoints = None) -> None:
    """Pause the runs of a sweep that are at work, each at its next step.

    `sweep resume` lets them go on. Runs that have not begun yet still begin; `sweep stop` keeps them from it.
    """
    sweep_folder = find_sweep(folder_of(context, checkpoints), _name(name))
    _send(sweep_folder, "pause", standing(sweep_folder, time.time()).at_work, "at work", "will pause at the next step")


@group.command("resume")
def sweep_resume(context: typer.Context, name: Name, checkpoints: Checkpoints = None) -> None:
    """Let the paused runs of a sweep go on.

    Runs that were stopped or cut off are made by `sweep run`, which knows where their workers belong.
    """
    sweep_folder = find_sweep(folder_of(context, checkpoints), _name(name))
    _send(sweep_folder, "resume", standing(sweep_folder, time.time()).paused, "paused", "will go on")


def _send(sweep_folder: SweepFolder, command: str, infos: Sequence[RunInfo], state: str, done: str) -> None:
    if not infos:
        raise RunError(
            f"No run of {sweep_folder.name} is {state}.", f"See how they stand: {program()} sweep status {sweep_folder.name}"
        )
    say(f"{runs_text(send_all([info.paths for info in infos], command))} of {sweep_folder.name} {done}")


@group.command("stop")
def sweep_stop(context: typer.Context, name: Name, checkpoints: Checkpoints = None) -> None:
    """Stop a sweep.

    Its workers save a checkpoint and leave, and no more of its runs begin. The command returns once the workers are gone;
    `sweep run` goes on with the sweep.
    """
    sweep_folder = find_sweep(folder_of(context, checkpoints), _name(name))
    stopped = stop_sweep(sweep_folder, ANSWER_S)
    say(f"{sweep_folder.name} is stopped: {stopped.words}")
    if stopped.at_work:
        raise RunError(
            f"These workers have not left in {ANSWER_S:.0f} s: {', '.join(paths.name for paths in stopped.at_work)}.",
            "Each leaves at its next step.",
        )
    if stopped.problem is not None:
        raise stopped.problem


def _planned(file: Path) -> tuple[Sweep, list[Planned]]:
    """A sweep and its runs; its recipe is looked for where the sweep file lies, then here, then among the bundled ones."""
    loaded = load_sweep(file)
    beside = real(file).parent / loaded.recipe
    recipe = beside if beside.is_file() else bundle.recipe_file(Path(loaded.recipe))
    text = given_text(recipe)
    parse_recipe(text, str(recipe))  # it must be valid by itself
    return loaded, plan_sweep(loaded, parse_toml(text), str(file))


def _name(given: str) -> str:
    """The name of a sweep that was given by its name or its file."""
    path = Path(given)
    return load_sweep(path).name if path.suffix == ".toml" and path.is_file() else given


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no runs"
