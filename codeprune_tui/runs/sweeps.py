"""The folder of a sweep, `checkpoints/.sweeps/NAME`: which runs belong together, and whether they are to go on.

The runs' own folders hold all that is known of them, so nothing here has to agree with them: a sweep without its folder has lost
no run. Knows neither terminals nor Textual.
"""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import RunError
from core.program import program
from core.regularfile import read_text
from core.run.folder import NAME_PATTERN, RunInfo, RunPaths, State, is_held, is_run, run_info
from core.run.results import ResultsReader

from . import client

FOLDER = ".sweeps"
LIST_BYTES = 4_000_000
"""Most of the list of runs: ten thousand of the longest names take a quarter of it."""


@dataclass(frozen=True)
class SweepFolder:
    """The files of a sweep, by name."""

    checkpoints: Path
    """Folder of all runs."""
    name: str

    @property
    def root(self) -> Path:
        """The sweep's folder."""
        return self.checkpoints / FOLDER / self.name

    @property
    def names(self) -> Path:
        """Names of its runs, one a line."""
        return self.root / "runs.txt"

    @property
    def submitted(self) -> Path:
        """The job arrays that were submitted, one a line."""
        return self.root / "submitted.jsonl"

    @property
    def stopped(self) -> Path:
        """Exists from a request to stop the sweep until it is started again: no more of its runs begin."""
        return self.root / "stopped"

    def begin(self, names: Iterable[str]) -> None:
        """Writes down which runs belong to the sweep, and lets them begin.

        Args:
            names: Of its runs; those that belonged to it before still do.

        Raises:
            RunError: The folder cannot be written.
        """
        known = [paths.name for paths in self.runs()]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.names.write_text("".join(f"{name}\n" for name in dict.fromkeys([*known, *names])), encoding="utf-8")
            self.stopped.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(
                f"Cannot write the sweep's folder {self.root}: {error.strerror}.", "Choose another folder with --checkpoints."
            ) from error

    def halt(self) -> None:
        """Lets no more runs begin.

        Raises:
            RunError: The folder cannot be written.
        """
        try:
            self.stopped.touch()
        except OSError as error:
            raise RunError(f"Cannot write {self.stopped}: {error.strerror}.", "Stop its runs one by one.") from error

    def runs(self) -> list[RunPaths]:
        """The runs that belong to the sweep, whether they were begun or not."""
        try:
            names = read_text(self.names, LIST_BYTES).split("\n")
        except OSError:
            return []
        return [RunPaths(self.checkpoints / name) for name in names if NAME_PATTERN.fullmatch(name)]


def sweeps(checkpoints: Path) -> list[SweepFolder]:
    """The sweeps that were started in a folder of runs, by name."""
    try:
        return [SweepFolder(checkpoints, path.parent.name) for path in sorted((checkpoints / FOLDER).glob("*/runs.txt"))]
    except OSError:
        return []


def sweep_by_run(checkpoints: Path) -> dict[str, str]:
    """Name of a run -> the sweep that it belongs to; of several the last by name."""
    return {paths.name: sweep.name for sweep in sweeps(checkpoints) for paths in sweep.runs()}


def find_sweep(checkpoints: Path, name: str) -> SweepFolder:
    """The sweep of that name.

    Raises:
        RunError: None of that name was started.
    """
    known = sweeps(checkpoints)
    for sweep in known:
        if sweep.name == name:
            return sweep
    raise RunError(
        f"No sweep {name!r} was started in {checkpoints}.",
        f"Sweeps here: {', '.join(sweep.name for sweep in known[:10]) or 'none yet'}; start one with: {program()} sweep run FILE",
    )


@dataclass(frozen=True)
class Standing:
    """How a sweep stands."""

    infos: tuple[RunInfo, ...]
    """Its runs that have a folder."""
    missing: int
    """How many have none yet."""
    eta_s: float | None
    """Seconds until all are done if as many workers stay at work, from the rounds that are complete; None where no worker is at
    work, or no round complete."""
    best: tuple[str, float] | None = None
    """The run with the best BLEU of a round, and that BLEU."""

    @property
    def counts(self) -> dict[str, int]:
        """State, as it is shown -> how many runs; the states of most runs first."""
        counts = Counter(info.words.rstrip("…") for info in self.infos)
        if self.missing:
            counts["missing"] = self.missing
        return dict(counts.most_common())


def standing(sweep: SweepFolder, now: float) -> Standing:
    """Reads how a sweep stands.

    Args:
        sweep: The sweep.
        now: Seconds since 1970.
    """
    paths = sweep.runs()
    infos = tuple(run_info(each, now) for each in paths if is_run(each.root))
    at_work = sum(is_held(info.paths) for info in infos)
    results = [result for info in infos for result in ResultsReader(info.paths).poll()]
    left = sum(max(0, info.rounds - info.round) for info in infos if info.state is not State.DONE)
    left += (len(paths) - len(infos)) * (max((info.rounds for info in infos), default=0) + 1)
    seconds = sum(result.seconds for result in results)
    eta_s = left * seconds / len(results) / at_work if results and at_work else None
    scored = [(result.run, result.scores["bleu"]) for result in results if "bleu" in result.scores]
    return Standing(infos, len(paths) - len(infos), eta_s, max(scored, key=lambda pair: pair[1], default=None))


def stop(sweep: SweepFolder, patience_s: float, poll_s: float = 0.1) -> tuple[list[RunPaths], list[RunPaths]]:
    """Asks the workers of a sweep's runs to save a checkpoint and leave.

    Args:
        sweep: The sweep.
        patience_s: Seconds to wait for the workers to leave.
        poll_s: Seconds between two looks.

    Returns:
        The runs whose workers were asked, and those whose workers are still at work.
    """
    at_work = [paths for paths in sweep.runs() if is_held(paths)]
    for paths in at_work:
        with suppress(RunError):  # it ended meanwhile; one that cannot be told is still at work at the end
            client.send(paths, "stop")
    deadline = time.monotonic() + patience_s
    while any(map(is_held, at_work)) and time.monotonic() < deadline:
        time.sleep(poll_s)
    return at_work, [paths for paths in at_work if is_held(paths)]
