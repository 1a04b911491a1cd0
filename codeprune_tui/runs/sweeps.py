"""The folder of a sweep, `checkpoints/.sweeps/NAME`: which runs belong together, and whether they are to go on.

The runs' own folders hold all that is known of them, so nothing here has to agree with them: a sweep without its folder has lost
no run. Knows neither terminals nor Textual.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import RunError
from core.program import program
from core.regularfile import read_text
from core.run.folder import NAME_PATTERN, RunPaths, is_run, run_info
from core.run.results import ResultsReader

from ..views.sweep_groups import Standing, eta_s
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
        names = sorted(path.parent.name for path in (checkpoints / FOLDER).glob("*/runs.txt"))
    except OSError:
        return []
    return [SweepFolder(checkpoints, name) for name in names if NAME_PATTERN.fullmatch(name)]


def runs_by_sweep(checkpoints: Path) -> dict[str, list[str]]:
    """Sweep -> names of its runs, whether they were begun or not."""
    return {sweep.name: [paths.name for paths in sweep.runs()] for sweep in sweeps(checkpoints)}


def sweep_by_run(checkpoints: Path) -> dict[str, str]:
    """Name of a run -> the sweep that it belongs to; of several the last by name."""
    return {run: sweep for sweep, names in runs_by_sweep(checkpoints).items() for run in names}


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


def standing(sweep: SweepFolder, now: float) -> Standing:
    """Reads how a sweep stands.

    Args:
        sweep: The sweep.
        now: Seconds since 1970.
    """
    paths = sweep.runs()
    infos = tuple(run_info(each, now) for each in paths if is_run(each.root))
    results = [result for info in infos for result in ResultsReader(info.paths).poll()]
    missing, round_s = len(paths) - len(infos), sum(result.seconds for result in results) / len(results) if results else None
    scored = [(result.run, result.scores["bleu"]) for result in results if "bleu" in result.scores]
    best = max(scored, key=lambda pair: pair[1], default=None)
    return Standing(sweep.name, infos, missing, eta_s(infos, missing, round_s), best)


def send_all(runs: Iterable[RunPaths], command: str) -> int:
    """Sends a command to the workers of some runs, without waiting for their answers.

    Args:
        runs: The runs.
        command: pause, resume or stop.

    Returns:
        How many workers were there to hear it.
    """
    sent = 0
    for paths in runs:
        with suppress(RunError):  # it ended meanwhile
            client.send(paths, command)
            sent += 1
    return sent
