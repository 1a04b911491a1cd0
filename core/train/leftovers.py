"""The files that a resumed run must find as it left them; one that is missing or has changed is refused by name.

The digests were recorded when the files were written: those of a round in its `metrics.json`, that of the rewind point there and
in the resume checkpoint, those of the model that the run starts from in `meta.json`. Runs of older versions have no digests, so
only the presence of their files can be checked. Knows files, not what is in them; torch-free.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import RunError
from ..regularfile import open_regular, reason
from ..run.events import CheckpointSaved, RoundFinished, from_line
from ..run.folder import RunPaths, read_metrics
from ..run.journal import LineReader

REWIND = "rewind.safetensors"
MOVEMENTS = "movement.safetensors"
"""Beside a round's weights, where the criterion is movement: the sums of its training."""
NEW_RUN = "Put it back, or start a new run with the same recipe."
ROUND_FILES = ("model.safetensors", "masks.safetensors", "predictions.jsonl")
"""The files of a round that later rounds read."""


def digest(path: Path) -> str:
    """sha256 (hex) of a file's content."""
    with open_regular(path) as file:  # a pipe in its place would block the reader
        content = hashlib.sha256()
        while block := file.read(1 << 20):
            content.update(block)
        return content.hexdigest()


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """File name -> digest, for the files that exist."""
    return {name: digest(folder / name) for name in names if (folder / name).is_file()}


def check_file(path: Path, recorded: str | None, what: str, fix: str = NEW_RUN) -> None:
    """Refuses to resume where a file is missing or is not the one that was written.

    Args:
        path: The file.
        recorded: Its digest when it was written; None where that is not known.
        what: What the run needs it for, such as "what round 2 is pruned from".
        fix: What to do where it is missing or has changed.

    Raises:
        RunError: It is missing, cannot be read or has changed.
    """
    try:
        now = digest(path)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: {what}.", fix) from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({reason(error)}): {what}.", f"Make it readable, then resume. {fix}") from error
    if recorded is not None and now != recorded:
        raise RunError(f"{path} has changed since the run wrote it: {what}.", fix)


def check_rounds(paths: RunPaths, rounds: int) -> str:
    """Refuses to resume where a file of a complete round is missing that later rounds read.

    The folder of the last round may be missing as a whole: that round is done again, and gives the same bits on the CPU.

    Args:
        paths: The run.
        rounds: Number of its last round.

    Returns:
        A warning that names a complete round whose folder is gone and which is done again; "" where there is none.

    Raises:
        RunError: Names what is missing or has changed.
    """
    done = paths.finished_rounds()
    again = [number for number in sorted(_journalled(paths)[0]) if number >= paths.next_round]
    warning = f"{paths.round(again[0])} is missing, though round {again[0]} was complete: it is done again." if again else ""
    if not done or done[-1] >= rounds:
        return warning
    _check_round(paths, done[-1], ROUND_FILES[:2], f"what round {done[-1] + 1} is pruned from")
    _check_round(paths, 0, ROUND_FILES[2:], "the dense model's comments, which later rounds are compared with")
    return warning


def _check_round(paths: RunPaths, number: int, names: Iterable[str], what: str) -> None:
    recorded = recorded_digests(paths, number)
    for name in names:
        check_file(paths.round(number) / name, recorded.get(name), what, _redo(paths, number))


def _redo(paths: RunPaths, number: int) -> str:
    """How to have a round done again, where that is possible: only the last complete one can be repeated."""
    folder = paths.round(number)
    if number == 0 or number != max(paths.finished_rounds(), default=-1):
        return NEW_RUN
    return f"Put it back, or delete {folder} and resume: round {number} is done again."


def recorded_digests(paths: RunPaths, number: int) -> Mapping[str, str]:
    """File name -> digest, as recorded in a round's `metrics.json`; {} for rounds of older versions.

    Raises:
        RunError: `metrics.json` is missing or damaged.
    """
    metrics = read_metrics(paths.round(number))
    if metrics is None:
        raise RunError(
            f"{paths.round(number) / 'metrics.json'} is missing or damaged: the results of round {number}.",
            "Put it back, or start a new run with the same recipe.",
        )
    recorded = metrics.get("digests")
    return {str(name): str(value) for name, value in recorded.items()} if isinstance(recorded, dict) else {}


def lost_checkpoint(paths: RunPaths, number: int) -> str:
    """A warning where the journal names a checkpoint inside a round that is no longer on disk; "" where all is well.

    Args:
        paths: The run; there is no checkpoint of this round.
        number: The next round.
    """
    _, newest = _journalled(paths)
    if newest is None or newest.round != number:
        return ""
    return f"The checkpoint of round {number}, step {newest.step} is not in {paths.resume} any more: round {number} begins again."


def _journalled(paths: RunPaths) -> tuple[set[int], CheckpointSaved | None]:
    """The complete rounds and the newest checkpoint, as the journal has them."""
    lines, complete, newest = LineReader(paths.journal), set[int](), None
    while batch := lines.poll():
        for line in batch:
            # Only these lines are validated: the rest of a long journal would take seconds.
            if b'"round_finished"' not in line and b'"checkpoint"' not in line:
                continue
            what = from_line(line).what
            if isinstance(what, RoundFinished):
                complete.add(what.round)
            elif isinstance(what, CheckpointSaved):
                newest = what
    return complete, newest
