"""Times cold starts: the app's first paint, a worker's first training step, `comment FILE.rb`.

Each is a process of its own, started as a user would. The page cache is warm after the first start, which is not counted.
"""

import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import RunError
from ..families.memory import resident_bytes
from ..recipe import build_recipe
from ..run.events import Step
from ..run.folder import create_run
from ..run.journal import JournalReader
from .ground import Ground
from .measure import Goal, Result, sample

NAME = "start"
PATIENCE_S = 300.0
RUBY = "# Adds two numbers.\ndef add(first, second)\n  first + second\nend\n"


def starting(ground: Ground, size: str = "") -> list[Result]:
    """Seconds from the start of a process to the event that its user waits for."""
    times = 1 if ground.quick else 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            _result("the app's first paint", lambda: first_paint(folder / "none"), times, 1.0),
            _result("a worker's first training step on ruby-mini", lambda: first_step(ground, folder / "runs"), times, 12.0),
            _result("comment FILE.rb with ruby-mini", lambda: comment(folder, ground.mini_path), times, None),
        ]


def _result(what: str, action: Callable[[], float], times: int, most: float | None) -> Result:
    if times > 1:
        action()
    measured = sample([action() for _ in range(times)])
    goal = None if most is None else Goal(most, at_least=False)
    return Result(NAME, "", what, "", "s", measured, None, measured.median, is_ratio=False, goal=goal)


def command(*arguments: str) -> list[str]:
    """How `codeprune-tui` is started with this Python."""
    return [sys.executable, "-P", "-m", "codeprune_tui.cli.main", *arguments]


def first_paint(checkpoints: Path) -> float:
    """Seconds until the app shows the name of its first screen, in a pseudo-terminal.

    Raises:
        RunError: The app ended before that.
    """
    started = time.perf_counter()
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    child = subprocess.Popen(
        command("--checkpoints", str(checkpoints)), stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    try:
        seen = b""
        while b"Runs" not in seen:
            try:
                seen += os.read(controller, 65536)
            except OSError as error:  # the child has gone
                raise RunError(f"The app ended before it painted: {seen[-300:]!r}.", "Start it by hand to see why.") from error
        return time.perf_counter() - started
    finally:
        child.kill()
        child.wait()
        os.close(controller)


def recipe(ground: Ground, **tables: dict[str, object]) -> dict[str, dict[str, object]]:
    """A short run of ruby-mini on the benchmark's rows."""
    base: dict[str, dict[str, object]] = {
        "model": {"path": str(ground.mini_path.resolve())},
        "data": {"path": str(ground.data.resolve())},
        "training": {"steps": 1, "batch_size": 8, "threads": ground.threads, "device": ground.device.type},
        "pruning": {"rounds": 1},
        "evaluation": {"rows": 4, "beam": 1, "max_length": 4},
    }
    return {name: {**values, **tables.get(name, {})} for name, values in base.items()}


def first_step(ground: Ground, checkpoints: Path) -> float:
    """Seconds from a worker's start to its first step; all training rows are read and tokenized before it.

    Raises:
        RunError: The worker ended, or made no step for `PATIENCE_S`.
    """
    name = f"start-{time.monotonic_ns()}"
    paths = create_run(checkpoints, name, build_recipe(recipe(ground), "bench"))
    started = time.perf_counter()
    worker = subprocess.Popen([sys.executable, "-P", "-m", "core.worker", str(paths.root)], stderr=subprocess.DEVNULL)
    try:
        journal = JournalReader(paths.journal)
        while not any(isinstance(event.what, Step) for event in journal.poll()):
            if worker.poll() is not None or time.perf_counter() - started > PATIENCE_S:
                raise RunError("The worker made no step.", f"See {paths.journal}.")
            time.sleep(0.01)
        return time.perf_counter() - started
    finally:
        worker.kill()
        worker.wait()


def comment(folder: Path, model: Path) -> float:
    """Total seconds of `codeprune-tui comment FILE.rb`.

    Args:
        folder: For the Ruby file.
        model: Folder of the model that writes the comment.

    Raises:
        RunError: The command failed.
    """
    file = folder / "add.rb"
    file.write_text(RUBY, encoding="utf-8")
    started = time.perf_counter()
    done = subprocess.run(command("comment", str(file), "--model", str(model)), capture_output=True, check=False)
    if done.returncode:
        raise RunError(f"comment failed: {done.stderr[-300:]!r}.", "Start it by hand to see why.")
    return time.perf_counter() - started


def resident_after_rounds(ground: Ground, checkpoints: Path, rounds: int) -> list[tuple[int, int]]:
    """Bytes a worker holds at the end of each round: (round, bytes)."""
    from ..run.events import RoundFinished

    tables: dict[str, dict[str, object]] = {"pruning": {"rounds": rounds}, "training": {"steps": 2}}
    paths = create_run(checkpoints, "rounds", build_recipe(recipe(ground, **tables), "bench"))
    worker = subprocess.Popen([sys.executable, "-P", "-m", "core.worker", str(paths.root)], stderr=subprocess.DEVNULL)
    resident: list[tuple[int, int]] = []
    try:
        journal = JournalReader(paths.journal)
        while worker.poll() is None:
            done = [event.what for event in journal.poll() if isinstance(event.what, RoundFinished)]
            if done and (held := resident_bytes(worker.pid)):
                resident.append((done[-1].round, held))
            time.sleep(0.01)
        return resident
    finally:
        worker.kill()
        worker.wait()
