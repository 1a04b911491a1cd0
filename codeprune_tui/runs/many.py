"""Makes many runs, some at a time, each with its own worker: starts missing runs, resumes interrupted ones, skips finished ones.

The run folders hold all state, so the work can be ended and started again at any time; two processes at once only cost time.
Knows neither Textual nor terminals; torch stays in the workers.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.errors import CodepruneError, RunError
from core.gpus import Gpu
from core.recipe import Recipe, load_recipe, with_todays_defaults
from core.run.folder import RunPaths, State, is_held, run_info
from core.run.results import ResultsReader
from core.study.experiments import Planned

from ..views.state import RunView, eta_s, reduce_all
from ..views.text import two_scores
from . import client, placement
from .client import Follower
from .watch import catch_up

WORKER_BYTES = 1.5e9
"""Memory that a worker on the bundled model needs, torch included, with room to spare."""
POLL_S = 0.5


class _NoRoomError(Exception):
    """No GPU has room for one more worker."""


@dataclass
class Job:
    """One run of the plan."""

    planned: Planned
    paths: RunPaths
    state: State | None
    """State at the last look; None before the folder exists."""
    seconds: float = 0.0
    """Seconds that its complete rounds took."""
    rounds_done: int = 0
    follower: Follower | None = None
    """Set while this process watches the run's worker."""
    view: RunView | None = None
    failed: str = ""
    """Why the run is not tried again now."""
    gpu: str = ""
    """Id of the GPU that its worker was sent to; "" where it was sent to none."""

    @property
    def rounds(self) -> int:
        """Rounds of the run, the dense one included."""
        return self.planned.recipe.rounds + 1


@dataclass(frozen=True)
class Progress:
    """The progress of all runs."""

    runs_done: int
    runs: int
    rounds_done: int
    rounds: int
    eta_s: float | None
    """Seconds until all are done, from what was measured here; None before the first round."""


class Reproduction:
    """The runs of a plan and their states.

    Args:
        folder: Where the run folders are.
        plan: The runs to make.
        jobs: How many workers at a time, where memory allows it.
        tell: Takes lines of news.
        see: The GPUs as they are now.
        stopped: Whether no more runs are to be begun.

    Raises:
        RunError: A folder of the plan holds a run of another recipe.
    """

    def __init__(
        self,
        folder: Path,
        plan: Sequence[Planned],
        jobs: int,
        tell: Callable[[str], None],
        see: placement.See = placement.visible_gpus,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder, self.jobs, self.tell, self._see, self._stopped = folder, jobs, tell, see, stopped
        self.all = [_job(folder, planned) for planned in plan]

    def tick(self) -> bool:
        """Looks at all workers once and starts what there is room for.

        Returns:
            Whether something is still to be done.
        """
        for job in self._at_work():
            self._watch(job)
        if self._stopped():
            return bool(self._at_work())
        for job in self._waiting()[: max(0, self.jobs - len(self._at_work()))]:
            if not self._start(job):
                break  # no GPU has room now: the next look may find one
        return bool(self._at_work() or self._waiting())

    def progress(self, now: float) -> Progress:
        """The progress of all runs.

        Args:
            now: Seconds since 1970.
        """
        per_round = self._seconds_per_round()
        left = None
        if per_round is not None:
            seconds_left = [_left_s(job, per_round, now) for job in self.all if not job.failed]
            left = max([sum(seconds_left) / self.jobs, *seconds_left])  # the last run does not get quicker by an idle place
        return Progress(
            sum(job.state is State.DONE for job in self.all),
            len(self.all),
            sum(job.rounds_done for job in self.all),
            sum(job.rounds for job in self.all),
            left,
        )

    @property
    def failures(self) -> list[Job]:
        """Runs that did not finish."""
        return [job for job in self.all if job.failed]

    @property
    def running(self) -> list[str]:
        """Names of the runs whose workers live."""
        return [job.paths.name for job in self._at_work()]

    def _at_work(self) -> list[Job]:
        return [job for job in self.all if job.follower is not None]

    def _waiting(self) -> list[Job]:
        return [job for job in self.all if job.follower is None and job.state is not State.DONE and not job.failed]

    def _seconds_per_round(self) -> float | None:
        rounds = sum(job.rounds_done for job in self.all)
        return sum(job.seconds for job in self.all) / rounds if rounds else None

    def _start(self, job: Job) -> bool:
        """Starts or resumes a run; False where it has to wait for a GPU."""
        try:
            gpu = self._gpu(job)
        except _NoRoomError:
            return False
        # A worker whose recipe names its GPU finds it by the number that it has here.
        environment = placement.environment(gpu if placement.on_any_gpu(job.planned.recipe) else None)
        job.gpu = gpu.uuid if gpu is not None else ""
        self._begin(job, environment, f" on cuda:{gpu.number} ({gpu.name})" if gpu is not None else "")
        return True

    def _gpu(self, job: Job) -> Gpu | None:
        """The GPU for a run's worker; None where the machine has none, or the worker takes none.

        Raises:
            _NoRoomError: No GPU has room for it while our other workers are at work.
        """
        recipe = job.planned.recipe
        gpus = () if recipe.training.device == "cpu" else placement.candidates(recipe, self._see())
        if not gpus:
            return None
        sent = Counter(other.gpu for other in self._at_work())
        chosen = placement.choose(gpus, sent, placement.needed_bytes(recipe))
        if chosen is None and self._at_work():
            raise _NoRoomError
        return chosen or placement.choose(gpus, sent, 0)  # it may fit all the same, and says so where it does not

    def _begin(self, job: Job, environment: dict[str, str], where: str) -> None:
        if job.state is None and job.paths.root.exists():  # somebody else began it in the meantime
            job.state = run_info(job.paths, time.time()).state
        if job.state is State.DONE:
            _count(job)
            return
        # Read before the worker begins, or what a quick one does would pass as old.
        follower, view = catch_up(job.paths)
        try:
            if job.state is None:
                client.start(self.folder, job.planned.recipe, job.planned.name, environment=environment)
                self.tell(f"{job.planned.name} begins{where}")
            elif not is_held(job.paths) or job.state is State.PAUSED:
                client.resume(job.paths, environment=environment)
                self.tell(f"{job.planned.name} goes on{where}")
        except CodepruneError as error:
            was_there = job.state is not None
            job.state = run_info(job.paths, time.time()).state if job.paths.root.exists() else None
            _count(job)
            if job.state is State.DONE or (job.state is State.NEW and not was_there):
                return  # it came to its end between the looks, or somebody else has just made its folder: the next look will tell
            if not is_held(job.paths):
                job.failed = str(error)
                self.tell(f"{job.planned.name}: {error}")
                return
        job.follower, job.view, job.state = follower, view, State.RUNNING

    def _watch(self, job: Job) -> None:
        assert job.follower is not None
        assert job.view is not None
        held = is_held(job.paths)  # before the journal: a worker that has ended wrote why first
        before = len(job.view.finished)
        if events := job.follower.poll():
            job.view = reduce_all(job.view, events)
        if len(job.view.finished) > before:
            _count(job)
            self.tell(_news(job))
        if not held and not events:
            self._ended(job)

    def _ended(self, job: Job) -> None:
        job.state, job.follower = run_info(job.paths, time.time()).state, None
        _count(job)
        if job.state is not State.DONE:
            why = job.view.failure.problem if job.view is not None and job.view.failure is not None else ""
            job.failed = f"{job.state}{': ' + why if why else ''}; see {job.paths.log}"
            self.tell(f"{job.planned.name}: {job.failed}")


def default_jobs(recipe: Recipe, gpus: int = 0) -> int:
    """How many workers this machine has room for: one a GPU; without GPUs one for all cores where a run takes all of them.

    Where recipes name a GPU, all workers would be on it: then it is one. A run of several processes has the machine for itself:
    each of them would take the same GPUs, or cores.

    Args:
        recipe: Of one of the runs.
        gpus: How many GPUs a worker could take.
    """
    if recipe.training.processes != 1:
        return 1
    threads = recipe.training.threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    places = cores // threads if threads else 1
    if gpus and placement.on_any_gpu(recipe):
        places = gpus
    elif recipe.training.device.startswith("cuda"):
        places = 1
    return max(1, min(places, int(psutil.virtual_memory().available / WORKER_BYTES)))


def follow(reproduction: Reproduction, show: Callable[[Progress], None]) -> None:
    """Goes on until nothing is left to do.

    Args:
        reproduction: What to do.
        show: Told how far it is, at each look.
    """
    while reproduction.tick():
        show(reproduction.progress(time.time()))
        time.sleep(POLL_S)
    show(reproduction.progress(time.time()))


def _job(folder: Path, planned: Planned) -> Job:
    paths = RunPaths(folder / planned.name)
    if not paths.root.exists():
        return Job(planned, paths, None)
    recorded, planned_recipe = _anywhere(load_recipe(paths.recipe)), _anywhere(client.anchored(planned.recipe))
    if recorded != planned_recipe:
        have, want = recorded.model_dump(), planned_recipe.model_dump()
        keys = [
            f"{table}.{key}" for table, values in want.items() if isinstance(values, dict)
            for key, value in values.items() if have[table][key] != value
        ]  # fmt: skip
        raise RunError(
            f"{paths.root} was made from another recipe: {', '.join(keys) or 'its kind'} differs.",
            "Move that run away, choose another folder with --checkpoints, or ask for the same as then.",
        )
    job = Job(planned, paths, run_info(paths, time.time()).state)
    _count(job)
    return job


def _anywhere(recipe: Recipe) -> Recipe:
    """The recipe as it compares: a bundled model by its name alone, for the package may have moved, and today's defaults."""
    recipe, path = with_todays_defaults(recipe), Path(recipe.model.path)
    if path.parent.name != "bundled":
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"path": path.name})})


def _count(job: Job) -> None:
    results = ResultsReader(job.paths).poll()
    job.rounds_done, job.seconds = len(results), sum(result.seconds for result in results)


def _left_s(job: Job, per_round: float, now: float) -> float:
    if job.state is State.DONE:
        return 0.0
    known = eta_s(job.view, now) if job.view is not None and job.follower is not None else None
    return known if known is not None else (job.rounds - job.rounds_done) * per_round


def _news(job: Job) -> str:
    assert job.view is not None
    last = job.view.finished[-1]
    if last.scores is None:
        return ""
    return f"{job.planned.name}: round {last.number}/{job.rounds - 1} done, {two_scores(last.scores, job.view.floors)}"
