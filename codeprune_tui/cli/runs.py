"""The subcommands about runs: each reads its options, calls what the app calls too, and prints.

The commands keep no state: a run's folder holds all that is known of it. Exit codes are in `main`, tables and JSON in `tables`,
narration in `console`, the subcommands about models and recipes in `models`.
"""

import importlib.metadata
import re
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from core.errors import RecipeError, RunError, TrainingError
from core.program import program, run_handle
from core.recipe import DEVICE_PATTERN, Kind, Recipe, build_recipe, parse_recipe
from core.regularfile import TOML_BYTES, parse_toml, reason
from core.run.events import CommandTaken, Event, Paused
from core.run.folder import RunPaths, State, find_run, free_name, is_held, run_folders, run_info
from core.run.results import ResultsReader, to_csv

from .. import bundle
from ..runs import beside, client
from ..runs.sweeps import sweep_by_run
from ..runs.watch import catch_up
from ..views.plain import plain
from ..views.run_columns import json_help
from ..views.state import RunView, eta_s
from ..views.text import table
from . import tables
from .console import follow, say, wants_bar
from .usage import Commands

ANSWER_S = 120.0
"""How long a command waits for a worker's answer: a training step or an evaluation batch takes long on a slow machine."""
POLL_S = 0.1
EXIT_CODES = """\b
Exit codes:
  0 done                      5 a model cannot be used, or its place is taken
  1 another error             6 the run is missing, busy, stopped or crashed
  2 wrong usage               7 the run, a device or a measurement failed
  3 the recipe is wrong     130 interrupted by Ctrl-C
  4 the data is wrong           8 the file holds no Ruby method
"""
EXAMPLES = """\b
Examples:
  codeprune-tui                               open the app
  codeprune-tui demo                          try it on the bundled model and data
  codeprune-tui recipe > mine.toml            write a commented recipe
  codeprune-tui run mine.toml --detach        start a run and return
  codeprune-tui status --json                 print the state of all runs
"""

app = typer.Typer(
    cls=Commands,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # color: a file or pipe gets escapes in a name as they are; on a terminal `streams` makes them harmless.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "color": True},
    epilog=f"{EXAMPLES}\n{EXIT_CODES}",
)


def device_option(given: str) -> str:
    """The device as it was given.

    Raises:
        typer.BadParameter: It is none.
    """
    if not re.fullmatch(DEVICE_PATTERN, given):
        raise typer.BadParameter(f"{plain(given, 40)!r} is none of auto, cpu, cuda, cuda:N (such as cuda:1), mps.")
    return given


def _device_or_none(given: str) -> str:
    return device_option(given) if given else ""


Checkpoints = Annotated[Path | None, typer.Option("--checkpoints", metavar="DIR", help="Folder of the runs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or path of its folder.")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file, or the name of a bundled recipe, such as demo.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run; made from the recipe if not given.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the recipe; may be repeated.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Return once the worker has started.")]
Lines = Annotated[bool, typer.Option("--plain", help="Print lines instead of a progress bar, as without a terminal.")]
LowBandwidth = Annotated[bool, typer.Option("--low-bandwidth", help="Send less to the terminal, for slow lines.")]
PlaygroundDevice = Annotated[
    str,
    typer.Option(
        "--playground-device",
        callback=_device_or_none,
        metavar="DEVICE",
        envvar="CODEPRUNE_PLAYGROUND_DEVICE",
        show_envvar=True,
        show_default=False,
        help="Where the Playground computes: auto, cpu, cuda, cuda:N or mps; as the settings say if not given.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"codeprune-tui {importlib.metadata.version('codeprune-tui')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def open_app(
    context: typer.Context,
    checkpoints: Annotated[
        Path,
        typer.Option(
            "--checkpoints", metavar="DIR", envvar="CODEPRUNE_CHECKPOINTS", show_envvar=True, help="Folder of the runs."
        ),
    ] = Path("checkpoints"),
    low_bandwidth: LowBandwidth = False,
    playground_device: PlaygroundDevice = "",
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Prune, evaluate and try code-to-text models. Without a command, an app opens in this terminal."""
    context.obj = checkpoints
    if context.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        say(
            "The app needs a terminal on stdin and stdout. Without one, use the subcommands, for instance: "
            f"{program()} run RECIPE, {program()} status --json. All of them: {program()} --help"
        )
        raise typer.Exit(2)
    from ..app import run_app

    run_app(checkpoints, low_bandwidth=low_bandwidth, playground_device=playground_device)


@app.command(epilog="\b\nExample:\n  codeprune-tui run mine.toml --set pruning.scope=global --set training.steps=1000")
def run(
    context: typer.Context,
    recipe: RecipeFile,
    name: Name = None,
    settings: Settings = None,
    checkpoints: Checkpoints = None,
    detach: Detach = False,
    lines: Lines = False,
) -> None:
    """Start a run and follow it.

    Progress goes to stderr, the table of rounds to stdout. Paths in the recipe count from the working directory.
    Ctrl-C detaches: the run goes on.
    """
    _start(_folder(context, checkpoints), _recipe_with(recipe, settings or []), name, detach, lines)


@app.command(epilog="\b\nExample:\n  codeprune-tui pretrain demo-pretrain --set training.steps=100")
def pretrain(
    context: typer.Context,
    recipe: RecipeFile,
    name: Name = None,
    settings: Settings = None,
    checkpoints: Checkpoints = None,
    detach: Detach = False,
    lines: Lines = False,
) -> None:
    """Start a pre-training run and follow it.

    The command works as `run`, but refuses a recipe whose kind is not "pretrain".
    """
    chosen = _of_kind("pretrain", _recipe_with(recipe, settings or []), recipe)
    _start(_folder(context, checkpoints), chosen, name, detach, lines)


@app.command(epilog="\b\nExample:\n  codeprune-tui finetune demo-finetune --set picker.rule=best-no-stop")
def finetune(
    context: typer.Context,
    recipe: RecipeFile,
    name: Name = None,
    settings: Settings = None,
    checkpoints: Checkpoints = None,
    detach: Detach = False,
    lines: Lines = False,
) -> None:
    """Start a fine-tuning run and follow it.

    The command works as `run`, but refuses a recipe whose kind is not "finetune". With picker.rule = "best" the run stops
    early, once BLEU on the validation rows is below both measurements before it; the best weights are kept.
    """
    chosen = _of_kind("finetune", _recipe_with(recipe, settings or []), recipe)
    _start(_folder(context, checkpoints), chosen, name, detach, lines)


@app.command()
def demo(
    context: typer.Context,
    checkpoints: Checkpoints = None,
    name: Name = None,
    lines: Lines = False,
    low_bandwidth: LowBandwidth = False,
    playground_device: PlaygroundDevice = "",
) -> None:
    """Try the program on the bundled model and data.

    On a terminal, the app opens with a finished example; d starts a run that prunes the bundled model up to 95 %. With
    --plain, or without a terminal, the command starts that run, follows it and prints its table, as `run demo` does.
    """
    folder = _folder(context, checkpoints)
    if not lines and sys.stdin.isatty() and sys.stdout.isatty():
        from ..app import run_app

        options = context.parent.params if context.parent is not None else {}
        run_app(
            folder,
            demo=True,
            low_bandwidth=low_bandwidth or bool(options.get("low_bandwidth")),
            playground_device=playground_device or str(options.get("playground_device") or ""),
        )
    else:
        _start(folder, bundle.demo_recipe(), name or free_name(folder, bundle.DEMO), detach=False, lines=lines)


@app.command()
def resume(
    context: typer.Context, name: Run, checkpoints: Checkpoints = None, detach: Detach = False, lines: Lines = False
) -> None:
    """Let a run go on and follow it.

    A paused worker goes on; a stopped, failed or crashed run gets a new worker.
    """
    paths = _find(_folder(context, checkpoints), name)
    follower, view = catch_up(paths)
    client.resume(paths)
    say(f"{paths.name} goes on")
    if not detach:
        _follow_to_end(paths, follower, view, lines)


@app.command()
def pause(
    context: typer.Context,
    name: Run,
    after: Annotated[
        int | None, typer.Option("--after", min=1, metavar="N", help="Pause once N more rounds are complete.")
    ] = None,
    checkpoints: Checkpoints = None,
) -> None:
    """Pause a run.

    The command returns once the run has paused; with --after, once the worker has taken the command.
    """
    paths = _find(_folder(context, checkpoints), name)
    if after is not None:
        _ask(paths, lambda: client.pause_after(paths, after), lambda event: isinstance(event.what, CommandTaken))
        say(f"{paths.name} will pause after {after} more {'round' if after == 1 else 'rounds'}")
        return
    if run_info(paths, time.time()).state is State.PAUSED:
        say(f"{paths.name} is paused already")
        return
    _ask(paths, lambda: client.pause(paths), lambda event: isinstance(event.what, Paused))
    say(f"{paths.name} is paused; go on with: {program()} resume {run_handle(paths.root)}")


@app.command()
def stop(context: typer.Context, name: Run, checkpoints: Checkpoints = None) -> None:
    """End a run's worker at a checkpoint.

    The command returns once the worker is gone; `resume` goes on from the checkpoint.
    """
    paths = _find(_folder(context, checkpoints), name)
    _ask(paths, lambda: client.stop(paths), None)
    state = run_info(paths, time.time()).state
    again = "" if state is State.DONE else f"; go on with: {program()} resume {run_handle(paths.root)}"
    say(f"{paths.name} is {state}{again}")


STATUS_HELP = f"""Print the state of all runs, or of one in detail.

The JSON has "schema": 1; under it keys may be added, but none changes. All runs: "runs", a list; one: "run". Each has
{json_help()}; one alone also progress, results, evaluated, floors, encoder_off, signatures, failure, warnings.
"""


@app.command(help=STATUS_HELP)
def status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="RUN", help="Name of a run, or path of its folder.")] = None,
    checkpoints: Checkpoints = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--follow", help="Follow the run until its worker is gone, as `run` does.")] = False,
    lines: Lines = False,
) -> None:
    """Print the state of all runs, or of one in detail."""
    folder, now = _folder(context, checkpoints), time.time()
    if name is None:
        if watch:
            raise typer.BadParameter("--follow needs the name of a run.")
        sweeps = sweep_by_run(folder)
        infos = [replace(run_info(paths, now), sweep=sweeps.get(paths.name, "")) for paths in run_folders(folder)]
        if not infos:
            say(f"No runs in {folder}.")
        if infos or as_json:
            typer.echo(tables.run_list_json(infos, str(folder)) if as_json else tables.run_list(infos, now))
        return
    paths = _find(folder, name)
    follower, view = catch_up(paths)
    if watch:
        _follow_to_end(paths, follower, view, lines)
        return
    info = replace(run_info(paths, now), sweep=sweep_by_run(paths.root.parent).get(paths.name, ""))
    eta = eta_s(view, now) if info.state is State.RUNNING else None
    typer.echo(tables.run_detail_json(info, view, eta) if as_json else tables.run_detail(info, view, eta, now))


@app.command(epilog="\b\nExample:\n  codeprune-tui compare first-run second-run --csv > both.csv")
def compare(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs, or paths of their folders.")],
    checkpoints: Checkpoints = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print everything that is known of each round, as comma-separated values.")
    ] = False,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Of two runs, print what is left of each matrix, and how far their masks overlap."),
    ] = False,
) -> None:
    """Print the complete rounds of some runs beside each other.

    The command needs no weights: journal and metrics.json are enough. With --masks it compares the sparsest round of the
    first run with that of the second that is as sparse, matrix by matrix.
    """
    runs = [_find(_folder(context, checkpoints), name) for name in names]
    if masks:
        if len(runs) != 2:
            raise typer.BadParameter(f"these are {len(runs)} runs; it compares two", param_hint="--masks")
        number, shown, other = beside.sparsest(runs[0], runs[1])
        first, second = plain(runs[0].name), plain(other.run)
        say(f"{first}, round {number} | {second}, round {other.number}. {beside.summary(shown, other)}")
        typer.echo(table(beside.lines(shown, other)))
        return
    rounds = [result for paths in runs for result in ResultsReader(paths).poll()]
    if not rounds:
        say(f"No complete round yet: {', '.join(names)}")
    if rounds or as_csv:
        typer.echo(to_csv(rounds) if as_csv else tables.comparison(rounds), nl=not as_csv)


def _folder(context: typer.Context, given: Path | None) -> Path:
    folder = given if given is not None else context.obj
    assert isinstance(folder, Path)
    return folder


def _find(folder: Path, name: str) -> RunPaths:
    """The run of that name; any folder also has the example that came with the package."""
    example = bundle.example() if name == bundle.EXAMPLE and not (folder / name).exists() else None
    return example or find_run(folder, name)


def _start(folder: Path, recipe: Recipe, name: str | None, detach: bool, lines: bool) -> None:
    """Starts a run and, unless detached, follows it to its end."""
    paths = client.start(folder, recipe, name)
    say(f"Started {paths.name} in {paths.root}")
    if detach:
        typer.echo(paths.name)
    else:
        _follow_to_end(paths, client.Follower(paths), RunView(), lines)


def _of_kind(kind: Kind, recipe: Recipe, path: Path) -> Recipe:
    """The recipe, if it is of that kind.

    Raises:
        RecipeError: The recipe is of another kind.
    """
    if recipe.kind != kind:
        command = recipe.kind if recipe.kind != "lottery" else "run"
        raise RecipeError(
            f'{path} asks for kind = "{recipe.kind}", but this command only takes "{kind}".',
            f"Start it with: {program()} {command} {shlex.quote(str(path))}, or set the kind: --set kind={kind}",
        )
    return recipe


def _recipe_with(path: Path, settings: list[str]) -> Recipe:
    """The recipe of a file with some keys replaced; their values are read as in the form: 500, true or a word."""
    text = _given_text(bundle.recipe_file(path))
    recipe = parse_recipe(text, str(path))  # the file must be valid by itself
    if not settings:
        return recipe
    given = parse_toml(text)
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not key or not equals:
            raise typer.BadParameter(f"--set {plain(setting)!r} is no KEY=VALUE, such as --set training.steps=1000")
        section, _, name = key.rpartition(".")
        table = given.setdefault(section, {}) if section else given
        if isinstance(table, dict):
            table[name] = value
        else:
            given[section] = {name: value}
    return build_recipe(given, f"{path} with --set")


def _given_text(path: Path) -> str:
    """The text of a recipe that the user named: it may come through a pipe, as from <(…).

    Raises:
        RecipeError: The recipe cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(TOML_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecipeError(
            f"Cannot read the recipe {path}: {why}.", f"Write one with: {program()} recipe --template > recipe.toml"
        ) from error


def _follow_to_end(paths: RunPaths, follower: client.Follower, view: RunView, lines: bool) -> None:
    """Follows a run, prints its table, and raises an error unless the run is done."""
    try:
        say(f"Following {paths.name}; Ctrl-C detaches, the run goes on")
        view = follow(paths, follower, view, bar=not lines and wants_bar())
    except KeyboardInterrupt as error:
        run = run_handle(paths.root)
        say(f"Detached: the run goes on. Follow it with: {program()} status {run} --follow; end it with: {program()} stop {run}")
        raise typer.Exit(130) from error
    if text := tables.results(view):
        typer.echo(text)
    if not paths.root.is_dir():
        raise RunError(f"The folder of {paths.name} was deleted or moved: {paths.root}.", "Its worker stops by itself.")
    info = run_info(paths, time.time())
    state = info.state
    if state is State.FAILED and view.failure is not None:
        raise TrainingError(f"{paths.name} failed: {view.failure.problem}", view.failure.fix)
    if state is not State.DONE:
        raise RunError(
            f"{paths.name} is {info.words}; its log is {paths.log}.", f"Go on with: {program()} resume {run_handle(paths.root)}"
        )


def _ask(paths: RunPaths, command: Callable[[], None], answers: Callable[[Event], bool] | None) -> None:
    """Sends a command and waits for the event that answers it; with None, for the end of the worker.

    Raises:
        RunError: There is no worker, it ended instead, or no answer came for `ANSWER_S`.
    """
    follower = client.Follower(paths, from_now=True)
    try:
        command()
    except client.NoAnswerError as error:  # a step may be long
        say(f"{error.problem} The command keeps waiting.")
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        held = is_held(paths)
        if answers is not None and any(answers(event) for event in follower.poll()):
            return
        if not held:
            if answers is None:
                return
            raise RunError(f"The worker of {paths.name} ended instead.", f"See: {program()} status {run_handle(paths.root)}")
        time.sleep(POLL_S)
    raise RunError(
        f"The worker of {paths.name} has not answered in {ANSWER_S:.0f} s; it may still carry out the command.",
        f"See: {program()} status {run_handle(paths.root)}, and {paths.log}",
    )
