"""The run folder: its files, its holder, and the state of its run.

This is the one module that names the artefacts of a run. It reads them without torch, so that a list of a thousand runs is
quick; it never writes into a run, except to make a new one and to take its lock.
"""

import difflib
import errno
import fcntl
import math
import os
import re
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from tempfile import mkdtemp

from ..atomic import open_to_umask
from ..errors import RunError
from ..program import program, run_handle
from ..recipe import Recipe, to_toml
from ..regularfile import NO_WAITING, TOML_BYTES, check_regular, open_regular, parse_toml, read_facts, read_text, real, reason
from .events import DataLoaded, Event, Failed, Paused, Resumed, RoundStarted, RunFinished, RunStarted, Stopped, from_line
from .journal import TAIL_BYTES, tail_lines

STALE_AFTER_S = 30.0
"""A live worker writes at least every few seconds; silence longer than this is shown."""
BEAT_S = 5.0
"""Seconds between two touches of a worker's lock, by which other hosts see that it lives."""
SKEW_S = 900.0
"""Clocks of two hosts may differ by this much."""
STARTING_MOST_S = 600.0
"""A worker is silent while it imports torch, fetches and tokenizes, or compiles its first step; no longer than this."""
PREPARING = (RunStarted, DataLoaded)
"""Events after which a worker still prepares its first round."""
TURNS = (RunStarted, Paused, Resumed, Stopped, Failed, RunFinished)
"""Events that change the state of a run."""
TURN_WORDS = re.compile(rb'"(?:run_started|paused|resumed|stopped|failed|run_finished)"')
RECIPE_LINES = re.compile(r'kind = "(\w+)"\n(?:.*\n)*?\[pruning\]\n(?:[a-z_]+ = .*\n)*?rounds = (\d{1,9})\n')
"""How `to_toml` writes the two keys that the list of runs shows."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


ROUND_NAME = re.compile(r"[0-9]{2}|[1-9][0-9]{2,5}")
HELD = (errno.EWOULDBLOCK, errno.EACCES)
"""What flock says of a lock that another process has; anything else says that there are no locks."""
HOLDER_BYTES = 400
LARGEST = 1e15
"""A number beyond this is damage."""
KILLED = "KILLED"
"""How `State.CRASHED` is shown where the worker was killed on request."""
QUEUED = "QUEUED"
"""How a run without a worker is shown that waits in a cluster's queue."""
DAMAGED = "DAMAGED"
"""How a run without a worker is shown where a file of it cannot be read."""


class State(StrEnum):
    """The state of a run, as the app shows it."""

    NEW = "NEW"
    STARTING = "STARTING"
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
        """The recipe; never changes."""
        return self.root / "recipe.toml"

    @property
    def journal(self) -> Path:
        """The events; only the worker appends."""
        return self.root / "events.jsonl"

    @property
    def commands(self) -> Path:
        """Commands of other processes to the worker."""
        return self.root / "commands.jsonl"

    @property
    def lock(self) -> Path:
        """Held while a worker lives, which writes into it when it took the run."""
        return self.root / "worker.lock"

    @property
    def killed(self) -> Path:
        """Exists from a request to kill the worker until the next worker begins."""
        return self.root / "killed"

    @property
    def queued(self) -> Path:
        """Exists while the run waits in a cluster's queue, until a worker begins."""
        return self.root / "queued"

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
        """The weights that rounds rewind to."""
        return self.root / "rewind.safetensors"

    @property
    def resume(self) -> Path:
        """Folder with everything needed to resume inside a round."""
        return self.root / "resume"

    @property
    def rounds(self) -> Path:
        """Folder of the complete rounds."""
        return self.root / "rounds"

    @property
    def latency(self) -> Path:
        """What heads and neurons cost on the run's device, where the recipe's budget is latency."""
        return self.root / "latency.json"

    @property
    def shrunk(self) -> Path:
        """Folder of the last round without the units that are pruned whole, where the recipe asks for it."""
        return self.root / "shrunk"

    @property
    def cache(self) -> Path:
        """Tokenized data, shared by the runs beside this one."""
        return self.root.parent / ".cache"

    def round(self, number: int) -> Path:
        """Folder of one round: complete, or absent."""
        return self.rounds / f"{number:02d}"

    def finished_rounds(self) -> list[int]:
        """Numbers of the rounds that are complete on disk, ascending."""
        try:
            names = os.listdir(self.rounds)
        except OSError:  # none yet, or nothing that can be looked into
            return []
        return sorted(int(name) for name in names if ROUND_NAME.fullmatch(name))

    @property
    def next_round(self) -> int:
        """The round after the last complete one; earlier ones may have been deleted to make room."""
        return max(self.finished_rounds(), default=-1) + 1


@dataclass(frozen=True)
class Holder:
    """The worker that took a run last, as it wrote it into the lock."""

    taken: float = 0.0
    """When, seconds since 1970; 0 where that is not known."""
    host: str = ""
    """Where it runs; "" where that is not known, as before the first worker."""
    has_left: bool = False
    """Whether it let go of the run itself; one that was killed did not."""

    @property
    def elsewhere(self) -> bool:
        """Whether it may be alive on another host, where its process cannot be looked for."""
        return self.host not in ("", socket.gethostname()) and not self.has_left

    def __str__(self) -> str:
        return f"{self.taken} {self.host}{' left' if self.has_left else ''}"


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
    """Of the weights that the recipe prunes, after the last complete round; share in [0, 1]."""
    bleu: float | None
    """Of the last complete round."""
    best_bleu: float | None
    dense_bleu: float | None
    device: str
    changed: float
    """Time of the last event, seconds since 1970; 0 before the first."""
    killed: bool = False
    """Whether the worker that crashed was killed on request."""
    queued: bool = False
    """Whether it has no worker and waits in a cluster's queue."""
    host: str = ""
    """Where its last worker runs, or ran; "" where that is not known."""
    sweep: str = ""
    """The sweep that it was made by; "" where it was made alone."""
    before: float = 0.0
    """How sparse the model was before the run, share in [0, 1]."""
    damage: str = ""
    """Names the files that cannot be read and says why, in one sentence; empty where there are none."""
    stale_from: float = math.inf
    """From when on silence counts, seconds since 1970, if nothing more is written."""
    floors: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Floor -> its BLEU on the rows that the last complete round was scored on; empty where that is not known."""
    chrf: float | None = None
    """Of the last complete round."""
    job: str = ""
    """The cluster's job that its worker runs in, as `holder.cluster_job` writes it; "" for none, or where no worker is alive."""
    round_s: float | None = None
    """Seconds that its complete rounds took on average; None before the first."""

    @property
    def elsewhere(self) -> str:
        """Its host, where that is another than this one; else ""."""
        return self.host if self.host != socket.gethostname() else ""

    @property
    def words(self) -> str:
        """The state as it is shown: a worker that somebody killed did not crash, and one that is alive comes before damage."""
        if self.damage and self.state not in (State.STARTING, State.RUNNING, State.PAUSED, State.STALE):
            return DAMAGED
        if self.queued:
            return QUEUED
        if self.killed:
            return KILLED
        return f"{self.state}…" if self.state is State.STARTING else str(self.state)


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
            f"There is already something at {paths.root}.",
            f"Choose another name, or go on with: {program()} resume {run_handle(paths.root)}",
        )
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{name}-", dir=checkpoints))
        (draft / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
        open_to_umask(draft)
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
        if is_run(root):
            return RunPaths(real(root))
    known = [paths.name for paths in run_folders(checkpoints)]
    near = difflib.get_close_matches(Path(name).name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Runs here: {', '.join(known[:10]) or 'none yet'}."
    raise RunError(f"There is no run {name!r} in {checkpoints}.", hint)


def is_run(root: Path) -> bool:
    """Whether a folder counts as a run, damaged ones included.

    It is where it has a recipe, whatever that is (a folder called so is none, unless there is a journal, too), and where nobody
    can look into it: what cannot be read must be said, not left out.
    """
    try:
        status = os.lstat(f"{root}/recipe.toml")
    except (FileNotFoundError, NotADirectoryError):
        return os.path.lexists(f"{root}/events.jsonl")
    except (OSError, ValueError):  # a NUL in a name, or one too long, is nobody's run
        return os.path.lexists(root)
    return not stat.S_ISDIR(status.st_mode) or os.path.lexists(f"{root}/events.jsonl")


def run_folders(checkpoints: Path) -> list[RunPaths]:
    """Every run folder directly below `checkpoints`, by name.

    Raises:
        OSError: The folder is there, but cannot be listed.
    """
    try:
        with os.scandir(checkpoints) as entries:
            names = sorted(
                entry.path for entry in entries if not entry.name.startswith(".") and not entry.is_file(follow_symlinks=False)
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [RunPaths(Path(name)) for name in names if is_run(Path(name))]


@contextmanager
def hold_lock(paths: RunPaths, patience_s: float = 1.0) -> Iterator[int]:
    """Holds the run for one worker; the kernel lets go of it however the process ends.

    Args:
        paths: The run.
        patience_s: Seconds to wait for readers that are just probing the lock.

    Yields:
        The descriptor of the lock file.

    Raises:
        RunError: Another worker holds it, or the file system has no locks.
        OSError: The lock is no file that can be opened.
    """
    if os.path.lexists(paths.lock):
        check_regular(paths.lock)
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | NO_WAITING, 0o666)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in HELD:
                    raise RunError(
                        f"The file system of {paths.root} has no locks (flock: {error.strerror}), so two workers could write "
                        "into one run.",
                        "Choose a folder on another with --checkpoints, or have it mounted with locks (Lustre: -o flock).",
                    ) from error
                if time.monotonic() > deadline:
                    raise RunError(
                        f"Another worker is already at work on {paths.name}.",
                        f"Watch it with: {program()} status {run_handle(paths.root)}",
                    ) from error
                time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(paths: RunPaths) -> bool:
    """Whether a worker lives that holds the run.

    A lock may not reach other hosts, and a process there cannot be looked for: a worker of another host lives, too, while it
    touches its lock.
    """
    try:
        check_regular(paths.lock)
        descriptor = os.open(paths.lock, os.O_RDONLY | NO_WAITING)
    except OSError:
        return False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                return True
        # Opened just now: a network file system then tells when it was really touched last.
        silent_s = time.time() - os.fstat(descriptor).st_mtime
        return -SKEW_S < silent_s < STALE_AFTER_S and _holder(os.read(descriptor, HOLDER_BYTES)).elsewhere
    finally:
        os.close(descriptor)


def holder_of(paths: RunPaths) -> Holder:
    """The worker that took the run last, whether it lives or not."""
    try:
        with open_regular(paths.lock) as file:
            return _holder(file.read(HOLDER_BYTES))
    except OSError:
        return Holder()


def _holder(written: bytes) -> Holder:
    words = written.decode("ascii", "replace").split()
    try:
        return Holder(float(words[0]), words[1] if words[1:] else "", words[2:] == ["left"])
    except (IndexError, ValueError):
        return Holder()


def taken_at(paths: RunPaths) -> float:
    """When the worker that holds the run took it, seconds since 1970; 0 where that is not known."""
    return holder_of(paths).taken


def run_state(last_events: list[Event], held: bool, now: float, taken: float = 0.0) -> State:
    """How a run stands, from the end of its journal and whether a worker holds it.

    Args:
        last_events: The last events, oldest first.
        held: Whether a worker lives.
        now: Seconds since 1970.
        taken: As `taken_at` gives it.

    Returns:
        The state.
    """
    if held:
        state, stale_from = _alive(last_events, taken)
        return State.STALE if now > stale_from else state
    if not last_events:
        return State.NEW
    turns = [event.what for event in last_events if isinstance(event.what, TURNS)]
    match turns[-1] if turns else None:
        case RunFinished():
            return State.DONE
        case Stopped():
            return State.STOPPED
        case Failed():
            return State.FAILED
        case _:
            return State.CRASHED


def is_done(paths: RunPaths) -> bool:
    """Whether the last worker of a run came to its end; whoever asks holds its lock, or knows that nobody does."""
    return run_state(_end(paths), held=False, now=0.0) is State.DONE


def _alive(last_events: list[Event], taken: float) -> tuple[State, float]:
    """How a run stands whose worker lives, and from when on its silence counts."""
    written = [event for event in last_events if event.seq >= 0]
    turn = next((event for event in reversed(written) if isinstance(event.what, TURNS)), None)
    newest = turn or (written[-1] if written else None)
    if not last_events or (newest is not None and taken > newest.time):
        return State.STARTING, taken + STARTING_MOST_S if taken else math.inf  # not a word of this worker yet
    if turn is not None and isinstance(turn.what, Paused):
        return State.PAUSED, math.inf
    at = _last_time(last_events)
    last = written[-1].what if written else None
    if isinstance(last, PREPARING):
        return State.STARTING, at + STARTING_MOST_S
    # The first step of a round may be compiled first.
    return State.RUNNING, at + (STARTING_MOST_S if isinstance(last, RoundStarted) else STALE_AFTER_S)


def run_info(paths: RunPaths, now: float) -> RunInfo:
    """Reads how a run stands, without reading its whole journal.

    Args:
        paths: The run.
        now: Seconds since 1970.

    Returns:
        What the list of runs shows of it, whatever lies in its folder: what cannot be read is said in `damage`, and a damaged
        recipe shows as kind "?".
    """
    try:
        return _read_info(paths, now)
    except Exception as error:  # whatever it is, one run must not keep the others from being listed
        unknown = RunInfo(paths, State.CRASHED, "?", -1, 0, 0.0, None, None, None, "", 0.0)
        return replace(unknown, damage=f"It cannot be read ({type(error).__name__}: {str(error)[:200]}).")


def _read_info(paths: RunPaths, now: float) -> RunInfo:
    held = is_held(paths)  # before the journal: a worker that ends in between has then written its last event
    damage: list[str] = []
    end = _end(paths)
    damage += _journal_damage(paths.journal, end)
    finished = paths.finished_rounds()
    results = {number: result for number in finished if (result := _metrics(paths, number, damage)) is not None}
    scores = [bleu for result in results.values() if (bleu := _bleu(result)) is not None]
    kind, rounds = _kind_and_rounds(paths, damage)
    last = results[max(results)] if results else {}
    holder = holder_of(paths)
    taken = holder.taken if held else 0.0
    meta = _meta(paths, damage)
    seconds = [spent for result in results.values() if (spent := number_of(result.get("seconds"))) is not None]
    state = run_state(end, held, now, taken)
    return RunInfo(
        paths=paths,
        state=state,
        kind=kind,
        round=finished[-1] if finished else -1,
        rounds=rounds,
        sparsity=number_of(last.get("sparsity")) or 0.0,
        bleu=_bleu(last),
        best_bleu=max(scores, default=None),
        dense_bleu=_bleu(results.get(0, {})),
        device=str(meta.get("device", ""))[:200],
        changed=_last_time(end),
        killed=state is State.CRASHED and os.path.lexists(paths.killed),
        host=holder.host,
        queued=not held and state is not State.DONE and os.path.lexists(paths.queued),
        damage=f"{'; '.join(damage[:3])}{f'; and {len(damage) - 3} more' if damage[3:] else ''}." if damage else "",
        before=number_of(last.get("sparsity_before")) or 0.0,
        stale_from=_alive(end, taken)[1] if held else math.inf,
        floors=floors_in(last),
        chrf=_score(last, "chrf"),
        # Until the worker has written its own facts there, those of the one before it stand there.
        job=str(meta.get("job", ""))[:60] if held and meta.get("host") == holder.host else "",
        round_s=sum(seconds) / len(seconds) if seconds else None,
    )


def _end(paths: RunPaths) -> list[Event]:
    """The last turn and the last readable event, oldest first: all that a run's state needs.

    Lines between them are not validated: 64 KB of them, a thousand times, take ten seconds.
    """
    lines = tail_lines(paths.journal)
    events: list[Event] = []
    for line in reversed(lines):
        if events and not TURN_WORDS.search(line):
            continue
        event = from_line(line)
        if event.seq >= 0 and (not events or isinstance(event.what, TURNS)):
            events.insert(0, event)
        if events and isinstance(events[0].what, TURNS):
            return events
    return events or [from_line(line) for line in lines[-1:]]


def read_metrics(folder: Path) -> dict[str, object] | None:
    """The `metrics.json` of a round, or None where it cannot be read."""
    try:
        return read_facts(f"{folder}/metrics.json")
    except OSError:
        return None


def floors_in(metrics: Mapping[str, object]) -> dict[str, float]:
    """The BLEU of each floor in what a `metrics.json` says; what is damaged is left out."""
    floors = metrics.get("floors")
    scores = (
        {name: each.get("bleu") for name, each in floors.items() if isinstance(each, dict)} if isinstance(floors, dict) else {}
    )
    return {name: bleu for name, value in scores.items() if (bleu := number_of(value)) is not None}


def number_of(value: object) -> float | None:
    """A number that something can be made of, as a float; None for anything else, such as NaN or one of 400 digits."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:  # no NaN is, either
        return float(value)
    return None


def _metrics(paths: RunPaths, number: int, damage: list[str]) -> dict[str, object] | None:
    """The metrics of a round; adds what is wrong with them to `damage`, where they are there."""
    name = f"rounds/{number:02d}/metrics.json"
    try:
        metrics = read_facts(f"{paths.root}/{name}")
    except FileNotFoundError:
        damage.append(f"{name} is missing")
        return None
    except OSError as error:
        damage.append(f"{name}: {reason(error)}")
        return None
    scores = metrics.get("scores")
    if scores is not None and not isinstance(scores, dict):
        damage.append(f"{name}: its scores are none")
    figures = {"sparsity": metrics.get("sparsity"), "BLEU": scores.get("bleu") if isinstance(scores, dict) else None}
    damage += [
        f"{name}: its {what} is no number that can be"
        for what, value in figures.items()
        if value is not None and number_of(value) is None
    ]
    return metrics


def _journal_damage(path: Path, end: list[Event]) -> list[str]:
    """What is wrong with a journal, of whose end these events were read."""
    try:
        with open_regular(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{path.name}: {reason(error)}"]
    unreadable = all(event.seq < 0 for event in end) if end else size_bytes > TAIL_BYTES
    return [f"{path.name}: no line at its end can be read"] if unreadable else []


def _kind_and_rounds(paths: RunPaths, damage: list[str]) -> tuple[str, int]:
    """Kind and rounds from the recipe; read loosely, since parsing a thousand recipes takes a second."""
    try:
        text = read_text(paths.recipe, TOML_BYTES)
        # In a text of several lines these could be anything.
        if (lines := RECIPE_LINES.match(text)) and '"""' not in text and "'''" not in text:
            return lines[1], int(lines[2]) if lines[1] == "lottery" else 0
        recipe = parse_toml(text)
    except OSError as error:
        damage.append(f"recipe.toml: {reason(error)}")
        return "?", 0
    except ValueError as error:
        damage.append(f"recipe.toml: it is not valid TOML ({str(error)[:100]})")
        return "?", 0
    pruning = recipe.get("pruning")
    kind = str(recipe.get("kind", "lottery"))[:100]
    rounds = pruning.get("rounds", 9) if isinstance(pruning, dict) else 9
    return kind, int(rounds) if kind == "lottery" and isinstance(rounds, int) and 0 <= rounds < LARGEST else 0


def _last_time(events: list[Event]) -> float:
    """Time of the last event that could be read (an unreadable one has none); 0 where there is none."""
    return next((number_of(event.time) or 0.0 for event in reversed(events) if event.seq >= 0), 0.0)


def _meta(paths: RunPaths, damage: list[str]) -> dict[str, object]:
    """The facts of `meta.json`; none before the first start."""
    try:
        return read_facts(paths.meta)
    except FileNotFoundError:
        return {}
    except OSError as error:
        damage.append(f"meta.json: {reason(error)}")
        return {}


def _bleu(metrics: dict[str, object]) -> float | None:
    return _score(metrics, "bleu")


def _score(metrics: dict[str, object], measure: str) -> float | None:
    scores = metrics.get("scores")
    return number_of(scores.get(measure)) if isinstance(scores, dict) else None
