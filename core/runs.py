"""The run folder: where everything lies, who holds it, and how a run stands.

This is the one module that names the artefacts of a run. It reads them without torch, so that a list of a thousand runs is
quick; it never writes into a run, except to make a new one and to take its lock.
"""

import difflib
import fcntl
import json
import os
import re
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import mkdtemp

from .errors import RunError
from .events import Event, Failed, Paused, Resumed, RunFinished, RunStarted, Stopped, from_line
from .journal import tail_lines
from .recipe import Recipe, to_toml

STALE_AFTER_S = 30.0
"""A live worker writes at least every few seconds; silence longer than this is shown."""
TURNS = (RunStarted, Paused, Resumed, Stopped, Failed, RunFinished)
"""The events after which a run stands differently."""
TURN_WORDS = re.compile(rb'"(?:run_started|paused|resumed|stopped|failed|run_finished)"')
RECIPE_LINES = re.compile(r'kind = "(\w+)"\n(?:.*\n)*?\[pruning\]\n(?:[a-z_]+ = .*\n)*?rounds = (\d{1,9})\n')
"""How `to_toml` writes the two keys that the list of runs shows."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


KILLED = "KILLED"
"""How `State.CRASHED` is shown where the worker was killed on request."""


class State(StrEnum):
    """How a run stands, as the app shows it."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STALE = "STALE"
    STOPPED = "STOPPED"
    CRASHED = "CRASHED"
    FAILED = "FAILED"
    DONE = "DONE"


@dataclass(frozen=True)
class RunPaths:
    """Every artefact of one run folder, by name."""

    root: Path

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.root.name

    @property
    def recipe(self) -> Path:
        """What was asked; never changes."""
        return self.root / "recipe.toml"

    @property
    def journal(self) -> Path:
        """The events; only the worker appends."""
        return self.root / "events.jsonl"

    @property
    def commands(self) -> Path:
        """What others ask the worker to do."""
        return self.root / "commands.jsonl"

    @property
    def lock(self) -> Path:
        """Held while a worker lives."""
        return self.root / "worker.lock"

    @property
    def killed(self) -> Path:
        """There from when somebody asked for the worker to be killed until the next one begins."""
        return self.root / "killed"

    @property
    def log(self) -> Path:
        """The worker's stdout and stderr."""
        return self.root / "worker.log"

    @property
    def meta(self) -> Path:
        """Versions, device, seeds, data digest, recipe hash."""
        return self.root / "meta.json"

    @property
    def rewind(self) -> Path:
        """The weights that a rewind goes back to."""
        return self.root / "rewind.safetensors"

    @property
    def resume(self) -> Path:
        """Folder with all that is needed to go on inside a round."""
        return self.root / "resume"

    @property
    def rounds(self) -> Path:
        """Folder of the complete rounds."""
        return self.root / "rounds"

    @property
    def cache(self) -> Path:
        """Tokenized data, shared by the runs beside this one."""
        return self.root.parent / ".cache"

    def round(self, number: int) -> Path:
        """Folder of one round: complete, or absent."""
        return self.rounds / f"{number:02d}"

    def finished_rounds(self) -> list[int]:
        """Numbers of the rounds that are complete on disk, ascending."""
        if not self.rounds.is_dir():
            return []
        return sorted(int(name) for name in os.listdir(self.rounds) if name.isdecimal())


@dataclass(frozen=True)
class RunInfo:
    """One line of the list of runs."""

    paths: RunPaths
    state: State
    kind: str
    round: int
    """Last complete round, −1 before the first."""
    rounds: int
    sparsity: float
    """Of the last complete round, share in [0, 1]."""
    bleu: float | None
    """Of the last complete round."""
    best_bleu: float | None
    dense_bleu: float | None
    device: str
    changed: float
    """Time of the last event, seconds since 1970; 0 before the first."""
    killed: bool = False
    """Whether the worker that crashed was killed on request."""
    floors: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Floor -> its BLEU on the rows that the last complete round was scored on; empty where that is not known."""

    @property
    def words(self) -> str:
        """The state as it is shown: a worker that somebody killed did not crash."""
        return KILLED if self.killed else str(self.state)


def create_run(checkpoints: Path, name: str, recipe: Recipe) -> RunPaths:
    """Makes the folder of a new run, with its recipe in it.

    Args:
        checkpoints: Folder of all runs; made if missing.
        name: Name of the run: letters, digits, dot, dash, underscore.
        recipe: What to do.

    Returns:
        Its paths.

    Raises:
        RunError: The name is taken or cannot be a folder's.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise RunError(
            f"{name!r} cannot be the name of a run.",
            "Use letters, digits, '.', '-' and '_', beginning with a letter or digit, 100 at most.",
        )
    paths = RunPaths(checkpoints / name)
    if paths.root.exists():
        raise RunError(
            f"There is already something at {paths.root}.", f"Choose another name, or go on with: codeprune-tui resume {name}"
        )
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{name}-", dir=checkpoints))
        (draft / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(paths.root)  # complete or absent
    except OSError as error:
        raise RunError(
            f"Cannot make the run folder {paths.root}: {error.strerror}.", "Choose another with --checkpoints."
        ) from error
    return paths


def free_name(checkpoints: Path, stem: str) -> str:
    """The first of stem-1, stem-2 … that no run has yet."""
    number = 1
    while (checkpoints / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def find_run(checkpoints: Path, name: str) -> RunPaths:
    """The run of that name, or at that path.

    Raises:
        RunError: There is none; the text names the nearest.
    """
    for root in (checkpoints / name, Path(name)):
        if (root / "recipe.toml").is_file():
            return RunPaths(root.resolve())
    known = [paths.name for paths in run_folders(checkpoints)]
    near = difflib.get_close_matches(Path(name).name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Runs here: {', '.join(known[:10]) or 'none yet'}."
    raise RunError(f"There is no run {name!r} in {checkpoints}.", hint)


def run_folders(checkpoints: Path) -> list[RunPaths]:
    """Every run folder directly below `checkpoints`, by name."""
    if not checkpoints.is_dir():
        return []
    entries = sorted(entry.path for entry in os.scandir(checkpoints) if not entry.name.startswith(".") and entry.is_dir())
    return [RunPaths(Path(entry)) for entry in entries if (Path(entry) / "recipe.toml").is_file()]


@contextmanager
def hold_lock(paths: RunPaths, patience_s: float = 1.0) -> Iterator[None]:
    """Holds the run for one worker; the kernel lets go of it however the process ends.

    Args:
        paths: The run.
        patience_s: Seconds to wait for readers that are just probing the lock.

    Raises:
        RunError: Another worker holds it.
    """
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RunError(
                        f"Another worker is already at work on {paths.name}.",
                        f"Watch it with: codeprune-tui status {paths.name}",
                    ) from error
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def is_held(paths: RunPaths) -> bool:
    """Whether a worker lives that holds the run."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def run_state(last_events: list[Event], held: bool, now: float) -> State:
    """How a run stands, from the end of its journal and whether a worker holds it.

    Args:
        last_events: The last events, oldest first.
        held: Whether a worker lives.
        now: Seconds since 1970.

    Returns:
        The state.
    """
    if not last_events:
        return State.RUNNING if held else State.NEW
    turns = [event.what for event in last_events if isinstance(event.what, TURNS)]
    last = turns[-1] if turns else None
    if held:
        if isinstance(last, Paused):
            return State.PAUSED
        silent = now - _last_time(last_events)
        return State.STALE if silent > STALE_AFTER_S else State.RUNNING
    match last:
        case RunFinished():
            return State.DONE
        case Stopped():
            return State.STOPPED
        case Failed():
            return State.FAILED
        case _:
            return State.CRASHED


def run_info(paths: RunPaths, now: float) -> RunInfo:
    """Reads how a run stands, without reading its whole journal.

    Args:
        paths: The run.
        now: Seconds since 1970.

    Returns:
        What the list of runs shows of it; a damaged recipe shows as kind "?".
    """
    held = is_held(paths)  # before the journal: a worker that ends in between has then written its last event
    end = _end(paths)
    finished = paths.finished_rounds()
    results = {number: result for number in finished if (result := read_metrics(paths.round(number))) is not None}
    scores = [bleu for result in results.values() if (bleu := _bleu(result)) is not None]
    kind, rounds = _asked(paths)
    last = results[max(results)] if results else {}
    state = run_state(end, held, now)
    return RunInfo(
        paths=paths,
        state=state,
        kind=kind,
        round=finished[-1] if finished else -1,
        rounds=rounds,
        sparsity=_number(last.get("sparsity")) or 0.0,
        bleu=_bleu(last),
        best_bleu=max(scores, default=None),
        dense_bleu=_bleu(results.get(0, {})),
        device=_device(paths),
        changed=_last_time(end),
        killed=state is State.CRASHED and paths.killed.exists(),
        floors=floors_in(last),
    )


def _end(paths: RunPaths) -> list[Event]:
    """The last turn and the last readable event, oldest first: all that a run's state needs.

    Lines between them are not validated: 64 KB of them, a thousand times, take ten seconds.
    """
    lines = tail_lines(paths.journal)
    found: list[Event] = []
    for line in reversed(lines):
        if found and not TURN_WORDS.search(line):
            continue
        event = from_line(line)
        if event.seq >= 0 and (not found or isinstance(event.what, TURNS)):
            found.insert(0, event)
        if found and isinstance(found[0].what, TURNS):
            return found
    return found or [from_line(line) for line in lines[-1:]]


def read_metrics(folder: Path) -> dict[str, object] | None:
    """The `metrics.json` of a round, or None where it cannot be read."""
    try:
        with open(f"{folder}/metrics.json", "rb") as file:  # noqa: PTH123 - a list of runs reads thousands: half the time
            found = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def floors_in(metrics: Mapping[str, object]) -> dict[str, float]:
    """The BLEU of each floor in what a `metrics.json` says; what is damaged is left out."""
    floors = metrics.get("floors")
    scores = (
        {name: each.get("bleu") for name, each in floors.items() if isinstance(each, dict)} if isinstance(floors, dict) else {}
    )
    return {name: float(bleu) for name, bleu in scores.items() if isinstance(bleu, int | float)}


def _asked(paths: RunPaths) -> tuple[str, int]:
    """Kind and rounds from the recipe; read loosely, since parsing a thousand recipes takes a second."""
    with suppress(OSError, ValueError, RecursionError):
        text = paths.recipe.read_text(encoding="utf-8")
        # In a text of several lines these could be anything.
        if (lines := RECIPE_LINES.match(text)) and '"""' not in text and "'''" not in text:
            return lines[1], int(lines[2]) if lines[1] == "lottery" else 0
        asked = tomllib.loads(text)
        pruning = asked.get("pruning")
        kind = str(asked.get("kind", "lottery"))
        rounds = pruning.get("rounds", 9) if isinstance(pruning, dict) else 9
        return kind, int(rounds) if kind == "lottery" and isinstance(rounds, int) else 0
    return "?", 0


def _last_time(events: list[Event]) -> float:
    """Time of the last event that could be read (an unreadable one has none); 0 where there is none."""
    return next((event.time for event in reversed(events) if event.seq >= 0), 0.0)


def _device(paths: RunPaths) -> str:
    with suppress(OSError, ValueError, RecursionError):
        meta = json.loads(paths.meta.read_text(encoding="utf-8"))
        if isinstance(meta, dict):
            return str(meta.get("device", ""))
    return ""


def _bleu(metrics: dict[str, object]) -> float | None:
    scores = metrics.get("scores")
    return _number(scores.get("bleu")) if isinstance(scores, dict) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
