"""The client of runs, for the app and the command line: starts workers, commands them, reads what they write.

A worker is a process in a session of its own, and only its log is open in ours: it outlives the process that started it.
Everything else goes through the run folder (commands.jsonl, events.jsonl, worker.lock), so that it makes no difference who
started the worker, or when. Imports no torch; knows neither Textual nor terminals.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from core.errors import RecipeError, RunError
from core.program import program, run_handle
from core.recipe import DENSE, NEW_MODEL, Recipe, load_recipe
from core.regularfile import append_regular, open_regular, real, reason
from core.run.events import (
    CheckpointSaved,
    CommandTaken,
    Evaluating,
    Event,
    RoundFinished,
    RoundStarted,
    RunStarted,
    Step,
    from_line,
)
from core.run.folder import STALE_AFTER_S, RunPaths, State, create_run, free_name, is_held, run_folders, run_info
from core.run.holder import may_live_elsewhere, newest_start, refuse_second
from core.run.journal import JournalReader, LineReader, append_command, tail_lines
from core.spec.criteria import method_words
from core.spec.precheck import source_problems

from .. import bundle
from ..views.plain import plain_lines

WORKER = (sys.executable, "-P", "-m", "core.worker")
"""The command of a worker, less the run folder. -P: a folder `core` in the working directory must not shadow ours."""
LAUNCH_TIMEOUT_S = 60.0
"""Seconds for a worker to take the lock: it does so before it imports torch, in a fraction of a second; but a file system that
hosts share may be slow, and where 17 programs shared a core it took more than 20 s."""
TAKEN_S = 10.0
"""Seconds for a worker to take a command, which it looks for between two steps; after that, an error says so."""
POLL_S = 0.02
UNDONE_BYTES = 4 * 1024 * 1024
"""End of a journal that surely holds the last checkpoint: some 20,000 steps."""
SINCE_CHECKPOINT = re.compile(rb'"event": ?"(?:step|evaluating|checkpoint|round_started|round_finished|run_started)"')
LOG_TAIL_BYTES = 64 * 1024
LOG_TAIL_LINES = 15


class NoAnswerError(RunError):
    """A worker that lives has not taken a command."""


def launch(
    paths: RunPaths,
    command: Sequence[str] = WORKER,
    timeout_s: float = LAUNCH_TIMEOUT_S,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Starts a worker that outlives this process, and waits until it holds the run.

    Args:
        paths: The run.
        command: The worker's command line, less the run folder.
        timeout_s: Seconds until a worker that holds nothing is given up and killed.
        environment: Variables that the worker has besides this process's own.

    Returns:
        The worker's process id.

    Raises:
        RunError: The run came with the package, another worker holds it, or this one did not start; the text then ends with
            the end of the worker's log.
    """
    bundle.check_writable(paths)
    if is_held(paths):
        raise RunError(
            f"A worker is already at work on {paths.name}.",
            f"Watch it with: {program()} status {run_handle(paths.root)} --follow",
        )
    refuse_second(paths)
    if may_live_elsewhere(paths):
        timeout_s += STALE_AFTER_S  # the worker looks for so long whether another is alive on another host
    before = _size(paths.log)
    process = _spawn(paths, command, environment or {})
    # Reaped by a thread of its own, or it would stay a zombie for as long as the app runs. A daemon: we may leave first.
    threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while not is_held(paths):
        code = process.poll()
        if code == 0:
            break  # there was nothing (more) to do, and it is done
        if code is not None:
            raise RunError(f"The worker of {paths.name} {how_it_ended(code)} at its start.", _log_tail(paths, before))
        if time.monotonic() > deadline:
            process.kill()
            raise RunError(
                f"The worker of {paths.name} did not take the run in {timeout_s:g} s and was killed.", _log_tail(paths, before)
            )
        time.sleep(POLL_S)
    return process.pid


def start(
    checkpoints: Path,
    recipe: Recipe,
    name: str | None = None,
    command: Sequence[str] = WORKER,
    environment: Mapping[str, str] | None = None,
) -> RunPaths:
    """Makes a new run and starts its worker.

    Args:
        checkpoints: Folder of all runs; made if missing.
        recipe: The run's recipe. Its local paths are written into the run as absolute ones (`anchored`).
        name: Name of the run; None for one made from model and method, such as "ruby-mini-magnitude-layerwise-1".
        command: As for `launch`.
        environment: As for `launch`.

    Returns:
        The run's paths.

    Raises:
        ModelError: The model is not where the recipe says.
        DataError: The data is not where the recipe says.
        RunError: The name is taken or cannot be one, or the worker did not start; the run folder then stays, with its log.
    """
    chosen, absolute = name or free_name(checkpoints, default_stem(recipe)), anchored(recipe)
    for error in source_problems(absolute).values():
        raise error  # before there is a folder: a run that can only fail would stay in the list
    paths = create_run(checkpoints, chosen, absolute)
    launch(paths, command, environment=environment)
    return paths


def start_demo(checkpoints: Path) -> RunPaths:
    """Starts a run of the demo's recipe, or finds the one that is at work: two would take turns on the same cores.

    Args:
        checkpoints: Folder of all runs; made if missing.

    Returns:
        The run's paths.

    Raises:
        RunError: As for `start`.
    """
    demos = (paths for paths in run_folders(checkpoints) if paths.name.startswith(f"{bundle.DEMO}-"))
    at_work = next((paths for paths in demos if is_held(paths)), None)
    return at_work or start(checkpoints, bundle.demo_recipe(), free_name(checkpoints, bundle.DEMO))


def default_stem(recipe: Recipe) -> str:
    """The name of a run without its number, from what the recipe asks for."""
    model = "new" if recipe.model.path == NEW_MODEL else Path(recipe.model.path).name
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-._")[:60] or "model"
    words = [word.replace(":", "of").replace(" ", "-").replace("+", "-") for word in method_words(recipe)]
    return "-".join([stem, *(words or [recipe.kind])])


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with every path that exists on this machine made absolute.

    A recipe's relative paths count from where the run is started; the run itself may be resumed from anywhere.
    """
    model, data, training = recipe.model, recipe.data, recipe.training
    if model.path != NEW_MODEL:
        model = model.model_copy(update={"path": local_path(model.path)})
    data = data.model_copy(update={"path": local_path(data.path), "code": data.code and local_path(data.code)})
    if training.teacher not in ("", DENSE):
        training = training.model_copy(update={"teacher": local_path(training.teacher)})
    embedder = recipe.evaluation.embedder
    evaluation = recipe.evaluation.model_copy(update={"embedder": embedder and local_path(embedder)})
    return recipe.model_copy(update={"model": model, "data": data, "training": training, "evaluation": evaluation})


def local_path(given: str) -> str:
    """The absolute path of a file or folder on this machine; anything else (a hub name, a mistake) is returned unchanged.

    Args:
        given: A path, absolute or from the working directory or home; `checkpoints/bundled/…` also finds what was installed
            with the package.
    """
    path = Path(os.path.expanduser(given))  # noqa: PTH111 - Path.expanduser raises where there is no such user
    try:
        existing = real(path) if path.exists() else bundle.find(given)
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        existing = None
    return given if existing is None else str(existing)


def send(paths: RunPaths, command: str, rounds: int | None = None) -> None:
    """Sends a command to the worker of a run, which answers in the journal.

    Args:
        paths: The run.
        command: pause, resume, stop or pause-after.
        rounds: For pause-after: how many more rounds, 1 or more.

    Raises:
        RunError: The run came with the package, no worker lives that could hear it, or the run folder cannot be written.
    """
    bundle.check_writable(paths)
    if not is_held(paths):
        raise RunError(f"No worker is at work on {paths.name}.", f"Start one with: {program()} resume {run_handle(paths.root)}")
    try:
        append_command(paths.commands, {"command": command} if rounds is None else {"command": command, "rounds": rounds})
    except OSError as error:
        raise RunError(
            f"Cannot write {paths.commands}: {reason(error)}.", "Commands need write access to the folder of the run."
        ) from error


def ask(paths: RunPaths, command: str, rounds: int | None = None) -> None:
    """Sends a command and waits until the worker has taken it; the worker may yet take a while to carry it out.

    Raises:
        NoAnswerError: The worker did not take the command within `TAKEN_S`.
        RunError: As for `send`.
    """
    lines = LineReader(paths.journal, _size(paths.journal))
    send(paths, command, rounds)
    deadline = time.monotonic() + TAKEN_S
    while time.monotonic() < deadline:
        held = is_held(paths)
        for line in lines.poll():
            if (
                b'"command"' in line
                and isinstance(what := from_line(line).what, CommandTaken)
                and what.command.startswith(command)
            ):
                return
        if not held:
            return  # whoever asked finds out why
        time.sleep(POLL_S)
    raise NoAnswerError(
        f"The worker of {paths.name} does not answer: {command!r} was not taken within {TAKEN_S:g} s. It may be stopped (as by "
        "Ctrl-Z), in the middle of a long step, or on another host.",
        "It obeys as soon as it goes on.",
    )


def resume(paths: RunPaths, command: Sequence[str] = WORKER, environment: Mapping[str, str] | None = None) -> None:
    """Lets a run go on: a paused worker gets the command, a run without a worker gets a new one.

    Args:
        paths: The run.
        command: As for `launch`.
        environment: As for `launch`; a paused worker keeps its own.

    Raises:
        RunError: The run came with the package or is complete, its recipe cannot be read, or no worker could be started.
    """
    bundle.check_writable(paths)
    if is_held(paths):
        ask(paths, "resume")
    elif run_info(paths, time.time()).state is State.DONE:
        raise RunError(
            f"{paths.name} is complete, there is nothing to resume.", f"Read it with: {program()} status {run_handle(paths.root)}"
        )
    else:
        try:
            load_recipe(paths.recipe)  # a worker would hold the run for a moment before it finds out
        except RecipeError as error:
            raise RunError(error.problem, f"Put {paths.recipe.name} back as it was, or start a new run.") from error
        launch(paths, command, environment=environment)


def pause(paths: RunPaths) -> None:
    """Asks the worker to pause; raises as `ask`."""
    ask(paths, "pause")


def pause_after(paths: RunPaths, rounds: int) -> None:
    """Asks the worker to pause once so many more rounds are complete; raises as `ask`."""
    ask(paths, "pause-after", rounds)


def stop(paths: RunPaths) -> None:
    """Asks the worker to save a checkpoint and leave; raises as `ask`."""
    ask(paths, "stop")


def kill(paths: RunPaths) -> None:
    """Kills the worker of a run at once; a resumed run repeats the steps since its last checkpoint.

    Args:
        paths: The run.

    Raises:
        RunError: The run came with the package, it has no worker, the worker runs on another host, or it is not certain which
            process it is.
    """
    bundle.check_writable(paths)
    if not is_held(paths):
        raise RunError(f"No worker is at work on {paths.name}.", "There is nothing to kill.")
    started = newest_start(paths)
    if started is not None and started.host != socket.gethostname():
        raise RunError(f"The worker of {paths.name} runs on {started.host}, not here.", f"Kill process {started.pid} there.")
    # The id may be that of the worker before, and by now another program's: only who has the lock file open is killed.
    if started is None or not _has_open(started.pid, paths.lock):
        raise RunError(
            f"The worker of {paths.name} has not journalled its process id yet.",
            f"Try again in some seconds, or: {program()} stop {run_handle(paths.root)}",
        )
    try:
        paths.killed.touch()  # first: whoever finds the worker gone is to find the reason, too
        os.kill(started.pid, signal.SIGKILL)
    except OSError as error:
        with suppress(OSError):
            paths.killed.unlink(missing_ok=True)
        raise RunError(f"Cannot kill process {started.pid}: {error.strerror}.", "Only its owner can kill it.") from error


def undone(paths: RunPaths) -> str:
    """The work that a resumed run would repeat after a kill, such as "51 steps of round 2"; "" if that is not known.

    Args:
        paths: The run; only the end of its journal is read.
    """
    step: Step | None = None
    evaluating = False
    for line in reversed(tail_lines(paths.journal, UNDONE_BYTES)):
        if not SINCE_CHECKPOINT.search(line):
            continue
        what = from_line(line).what
        if isinstance(what, Evaluating):
            evaluating = evaluating or step is None
        elif isinstance(what, Step):
            step = step or what
        elif isinstance(what, CheckpointSaved | RoundStarted | RoundFinished | RunStarted):
            saved = what.step if isinstance(what, CheckpointSaved | RunStarted) else 0
            steps = max(0, step.step - saved) if step is not None else 0
            words = f"{steps:,} step{'' if steps == 1 else 's'} of round {step.round}" if step is not None and steps else ""
            return " and ".join(filter(None, [words, "an evaluation" if evaluating else ""])) or "nothing"
    return ""


class Follower:
    """Reads a run's events as they come, from the first one or from now on.

    Args:
        paths: The run; its journal need not exist yet.
        from_now: Leave out what is in the journal already.
    """

    def __init__(self, paths: RunPaths, *, from_now: bool = False) -> None:
        self._reader = JournalReader(paths.journal, _size(paths.journal) if from_now else 0)

    def poll(self) -> list[Event]:
        """The events since the last poll, at most some megabytes of them; empty: nothing new."""
        return self._reader.poll()


def _spawn(paths: RunPaths, command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        with os.fdopen(append_regular(paths.log), "ab") as log:
            return subprocess.Popen(
                [*command, str(real(paths.root))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **environment},
            )
    except OSError as error:
        raise RunError(f"Cannot start a worker for {paths.name}: {error}.", f"Check that {paths.root} can be written.") from error


def how_it_ended(code: int) -> str:
    """A process's exit code in words: "left with exit code 1", "was killed by SIGKILL"."""
    if code >= 0:
        return f"left with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was killed by {name}"


def _log_tail(paths: RunPaths, offset: int) -> str:
    try:
        with open_regular(paths.log) as file:
            file.seek(max(offset, _size(paths.log) - LOG_TAIL_BYTES))
            text = file.read(LOG_TAIL_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        text = ""
    return (
        f"Its log, {paths.log}, ends with:\n{plain_lines(text, most=LOG_TAIL_LINES)}"
        if text
        else f"Its log, {paths.log}, is empty."
    )


def _has_open(pid: int, file: Path) -> bool:
    try:
        return str(real(file)) in {opened.path for opened in psutil.Process(pid).open_files()}
    except psutil.Error:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
