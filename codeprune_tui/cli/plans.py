"""A plan of many runs on the command line, shared by `reproduce` and `sweep`: making it here, its progress, its table."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from core.errors import RunError, TrainingError
from core.program import program
from core.run.folder import State, create_run, is_held, is_run
from core.study.experiments import Planned
from core.study.sweep import Ray, Slurm
from core.study.timings import Timings

from ..runs import client, on_ray, slurm
from ..runs.cost_text import size
from ..runs.costing import free_bytes, need_of
from ..runs.many import Job, Progress, Reproduction, default_jobs, follow
from ..runs.placement import visible_gpus
from ..runs.sweeps import SweepFolder
from ..views.text import duration, runs_text, table
from .console import Drawing, say, wants_bar

Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, max=64, help="Workers at a time; if not given, one a GPU, else as many as fit.")
]
On = Annotated[
    Literal["local", "slurm", "ray"],
    typer.Option(
        "--on",
        help="Where the workers run: on this machine, or on its Slurm or Ray cluster.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list the runs and their states.")]


def on_this_machine(folder: Path, planned: Sequence[Planned], jobs: int | None, sweep: SweepFolder) -> Reproduction:
    """The runs of a plan as they are now, to be made here.

    Args:
        folder: Where the run folders are.
        planned: The runs.
        jobs: How many workers at a time; None for as many as the machine has room for.
        sweep: Says when no more runs are to be begun.

    Raises:
        RunError: A folder of the plan holds a run of another recipe.
    """
    most = jobs or (default_jobs(planned[0].recipe, len(visible_gpus())) if planned else 1)
    return Reproduction(folder, planned, most, say, stopped=sweep.stopped.exists)


def make(doing: Reproduction, lines: bool) -> None:
    """Makes the runs and shows the progress.

    Raises:
        typer.Exit: Ctrl-C was pressed; what runs is left at work.
    """
    say(f"{runs_text(len(doing.all))} in {doing.folder}, {doing.jobs} at a time; Ctrl-C leaves them at work")
    try:
        with _shown(doing, bar=not lines and wants_bar()) as show:
            follow(doing, show)
    except KeyboardInterrupt as error:
        running = ", ".join(doing.running) or "none"
        say(f"Interrupted. Still at work: {running}. The same command makes the rest; end one with: {program()} stop RUN")
        raise typer.Exit(130) from error


def submit(doing: Reproduction, sweep: SweepFolder, settings: Slurm) -> None:
    """Submits the runs that are not done, have no worker and are not in Slurm's queue, and tells which.

    Args:
        doing: The plan.
        sweep: Its folder, which exists.
        settings: What each run asks of Slurm.

    Raises:
        RunError: Slurm is not here or refuses, or a run folder cannot be made.
    """
    names = _to_submit(doing, sweep)
    _make_folders(doing, names)
    others = len(unfinished(doing)) - len(names)
    at_work = f"; {others} others are at work or in the queue already" if others else ""
    if not names:
        say(f"Nothing to submit: {len(doing.all) - others} runs are done{at_work}")
        return
    arrays = slurm.submit(sweep, settings, names)
    say(f"Submitted {runs_text(len(names))} as job array {', '.join(arrays)}{at_work}. The script is in {sweep.root}")
    follow_up = f"{program()} sweep status {sweep.name}"
    say(f"Watch them in the app, or with: {follow_up}; stop them with: {program()} sweep stop {sweep.name}")


def check_executor(on: str) -> None:
    """Refuses to go on where the programs of a cluster are missing, or Ray's cannot be reached.

    Raises:
        RunError: They are, or it cannot.
    """
    if on == "slurm":
        slurm.check_present()
    elif on == "ray":
        on_ray.connect()


def make_on_ray(doing: Reproduction, sweep: SweepFolder, settings: Ray) -> Reproduction:
    """Makes the runs that are not done as tasks of Ray, and waits for them.

    Args:
        doing: The plan.
        sweep: Its folder, which exists.
        settings: What each run asks of Ray.

    Returns:
        The plan as it stands then.

    Raises:
        RunError: Ray's cluster cannot be reached, or a run folder cannot be made.
        typer.Exit: Ctrl-C.
    """
    names = [job.planned.name for job in unfinished(doing)]
    _make_folders(doing, names)
    say(f"{runs_text(len(names))} in {doing.folder} as tasks of Ray; Ctrl-C makes them save a checkpoint and leave")
    try:
        on_ray.make(sweep, settings, names, say)
    except KeyboardInterrupt as error:
        say("Interrupted. The workers save a checkpoint and leave; the same command makes the rest.")
        raise typer.Exit(130) from error
    after = Reproduction(doing.folder, [job.planned for job in doing.all], doing.jobs, say)
    for job in unfinished(after):
        job.failed = "" if job.state in (None, State.NEW) and sweep.stopped.exists() else str(job.state)
    return after


def _make_folders(doing: Reproduction, names: Collection[str]) -> None:
    for job in doing.all:
        if job.planned.name in names and not job.paths.root.exists():
            try:
                create_run(doing.folder, job.planned.name, client.anchored(job.planned.recipe))
            except RunError:
                if not is_run(job.paths.root):  # else the same command, started twice, has just made it
                    raise


def scripts(doing: Reproduction, sweep: SweepFolder, settings: Slurm) -> str:
    """The scripts that `submit` would submit, one after the other."""
    return "\n".join(slurm.scripts(sweep, settings, _to_submit(doing, sweep)))


def _to_submit(doing: Reproduction, sweep: SweepFolder) -> list[str]:
    queued = slurm.in_queue(sweep)
    return [job.planned.name for job in unfinished(doing) if job.planned.name not in queued and not is_held(job.paths)]


def check_finished(doing: Reproduction) -> None:
    """Tells which runs are not done, once nothing is left to do here.

    Raises:
        TrainingError: Some runs did not finish.
        RunError: The sweep was stopped before some of them began.
    """
    if doing.failures:
        names = ", ".join(job.planned.name for job in doing.failures)
        raise TrainingError(f"These runs did not finish: {names}.", "Start the same command again to resume them.")
    if left := unfinished(doing):
        raise RunError(f"The sweep was stopped with {len(left)} runs still to be made.", "The same command goes on with it.")


def standing(doing: Reproduction) -> str:
    """The runs with their states, as a table."""
    rows = [["run", "state", "rounds"]]
    rows += [[job.planned.name, job.state or "missing", f"{job.rounds_done}/{job.rounds}"] for job in doing.all]
    return table(rows, left=2)


def costs(folder: Path, missing: Sequence[Job]) -> str:
    """Count, disk and time of the runs that are still to be made, in one line.

    Args:
        folder: Where the run folders are.
        missing: The runs that are not done.
    """
    recipes = [client.anchored(job.planned.recipe) for job in missing]
    needs = [need.peak for need, _ in map(need_of, recipes) if need is not None]
    free = free_bytes(folder)
    disk = f"about {size(sum(needs))} on disk" if needs else "disk not known"
    if 0 < len(needs) < len(missing):
        disk += f" (without {len(missing) - len(needs)} whose models are not here)"
    timings = Timings(folder)
    totals = [estimate.total_s if (estimate := timings.estimate(recipe)) else None for recipe in recipes]
    known = [total for total in totals if total is not None]
    hours = f"about {duration(sum(known))} of one worker" if known else "time not known: no such run was made on this machine yet"
    if 0 < len(known) < len(totals):
        hours += f" (without {len(totals) - len(known)} that no earlier run is like)"
    return f"{len(missing)} to be made: {disk}{'' if free is None else f', {size(free)} free'}; {hours}"


def unfinished(doing: Reproduction) -> list[Job]:
    """The runs that are not done."""
    return [job for job in doing.all if job.state is not State.DONE]


@contextmanager
def _shown(doing: Reproduction, *, bar: bool) -> Iterator[Callable[[Progress], None]]:
    """Yields what shows the progress: a bar, or a line whenever another round is done."""
    if bar:
        with Drawing() as drawing:
            doing.tell = drawing.above
            yield lambda at: drawing.draw(f"{at.runs_done}/{at.runs} runs", at.rounds_done, at.rounds, _words(at))
        return
    last = -1

    def line(at: Progress) -> None:
        nonlocal last
        if at.rounds_done != last:
            last = at.rounds_done
            say(f"{at.runs_done}/{at.runs} runs, {at.rounds_done}/{at.rounds} rounds, {_words(at)}")

    yield line


def _words(at: Progress) -> str:
    return "time left not known yet" if at.eta_s is None else f"{duration(at.eta_s)} left"
