"""Sweeps on Ray: what a task does with its run, and where Ray is installed, a cluster of two nodes with deaths in it."""

import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray_cluster import NOT_UP, TEMPORARY, TRIES, in_a_process
from test_cli import Cli, run_cli  # noqa: F401 - a fixture
from test_client import happened, stand_in, until
from test_resume import outcome, prepare
from workers import run

from codeprune_tui.runs import client, on_ray
from core.errors import RunError, TrainingError
from core.recipe import Recipe
from core.run.events import RoundFinished, RunFinished, RunStarted, Stopped
from core.run.folder import RunPaths, State, create_run, is_held, run_info
from core.run.journal import read_journal

SCRIPT = Path(__file__).parent / "ray_sweep.py"
NEEDS_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='needs the extra "ray"')
RECIPE_OF = {"process": "train-first", "node": "late-rewind"}
"""Run of `ray_deaths` -> its recipe."""


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[RunPaths]:
    before = signal.getsignal(signal.SIGCHLD)
    yield create_run(tmp_path / "checkpoints", "mine", Recipe())
    signal.signal(signal.SIGCHLD, before)


def work(paths: RunPaths, mode: str) -> str:
    return on_ray.work(str(paths.root), str(paths.root.parent / "stopped"), stand_in(mode))


def count(paths: RunPaths, kind: type) -> int:
    return sum(isinstance(event.what, kind) for event in read_journal(paths.journal))


def test_a_task_makes_its_run_and_of_a_complete_one_nothing(paths: RunPaths) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as Ray's subreaper mode has it
    assert work(paths, "steps") == "DONE"
    assert work(paths, "fail") == "DONE"
    assert count(paths, RunStarted) == 1


def test_a_failed_run_is_not_tried_again(paths: RunPaths) -> None:
    paths.queued.touch()
    assert work(paths, "fail") == "FAILED"
    assert not paths.queued.exists()


def test_a_worker_that_dies_is_tried_again_but_not_for_ever(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "MOST_IN_VAIN", 2)
    with pytest.raises(on_ray.CutOffError, match="The worker of mine was killed by SIGKILL"):
        work(paths, "die")
    assert run_info(paths, 0.0).words == "QUEUED"
    assert work(paths, "die") == "CRASHED"
    assert run_info(paths, 0.0).words == "CRASHED"


def test_a_worker_that_cannot_begin_is_not_tried_again(paths: RunPaths) -> None:
    assert on_ray.work(str(paths.root), "nowhere", [sys.executable, "-c", f"raise SystemExit({RunError.exit_code})"]) == "NEW"


def test_nothing_begins_in_a_stopped_sweep(paths: RunPaths) -> None:
    paths.queued.touch()
    (paths.root.parent / "stopped").touch()
    assert work(paths, "steps") == "NEW"
    assert run_info(paths, 0.0).words == "NEW"


def test_a_run_that_another_worker_has_is_waited_for(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "POLL_S", 0.01)
    client.launch(paths, stand_in("waiting"))
    until(lambda: happened(paths, RunStarted))
    thread = threading.Timer(0.3, (paths.root.parent / "go").touch)
    thread.start()
    assert work(paths, "fail") == "DONE"
    thread.join()
    assert count(paths, RunStarted) == 1


def test_a_worker_saves_its_run_when_its_task_is_killed(paths: RunPaths) -> None:
    program = "import sys\nfrom codeprune_tui.runs import on_ray\non_ray.work(sys.argv[1], 'nowhere', sys.argv[2:])"
    task = subprocess.Popen([sys.executable, "-c", program, str(paths.root), *stand_in("endless")])
    until(lambda: paths.journal.exists() and happened(paths, RunStarted), 60)
    task.kill()
    task.wait()
    until(lambda: not is_held(paths))
    stopped = [event.what for event in read_journal(paths.journal) if isinstance(event.what, Stopped)]
    assert [each.reason for each in stopped] == ["SIGTERM"]
    assert run_info(paths, 0.0).state is State.STOPPED


class StandInRay:
    """The calls of `ray` that a sweep needs, one task after the other in this process; tries a task again as Ray does."""

    class exceptions:  # noqa: N801 - its name in ray
        class RayError(Exception):
            pass

    def __init__(self) -> None:
        self.options: dict[str, object] = {}

    def is_initialized(self) -> bool:
        return True

    def remote(self, **options: object) -> Callable[[Callable[..., str]], "StandInTask"]:
        self.options = options
        return lambda function: StandInTask(function, options["retry_exceptions"])  # type: ignore[arg-type]  # a list

    def wait(self, waiting: list[Callable[[], str]], num_returns: int, timeout: float) -> tuple[list[object], list[object]]:
        return list(waiting[:num_returns]), list(waiting[num_returns:])

    def get(self, task: Callable[[], str]) -> str:
        return task()


class StandInTask:
    def __init__(self, function: Callable[..., str], tried_again: list[type[Exception]]) -> None:
        self.function, self.tried_again = function, tuple(tried_again)

    def options(self, name: str) -> "StandInTask":
        return self

    def remote(self, *arguments: object) -> Callable[[], str]:
        def run() -> str:
            try:
                return self.function(*arguments)
            except self.tried_again:
                return self.function(*arguments)

        return run


@pytest.mark.parametrize(("mode", "code"), [("steps", 0), ("fail", TrainingError.exit_code)])
def test_the_command_waits_for_its_tasks_and_tells_how_they_ended(
    run_cli: Cli,  # noqa: F811
    paths: RunPaths,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    code: int,
) -> None:
    there = StandInRay()
    monkeypatch.setattr(on_ray, "require_ray", lambda: there)
    monkeypatch.setattr(client, "WORKER", stand_in(mode))
    Path("sweep.toml").write_text(
        'name = "two"\nrecipe = "demo"\n[grid]\npruning.scope = ["layerwise", "global"]\n[ray]\ncpus = 2\ngpus = 0.5\n'
    )
    result = run_cli("sweep", "run", "sweep.toml", "--on", "ray", "--checkpoints", "there")
    assert result.code == code, result.err
    facts = {key: there.options[key] for key in ("num_cpus", "num_gpus", "max_retries", "max_calls")}
    assert facts == {"num_cpus": 2, "num_gpus": 0.5, "max_retries": -1, "max_calls": 1}
    state = "DONE" if code == 0 else "FAILED"
    assert f"two-layerwise: {state}\ntwo-global: {state}\n" in result.err
    assert result.out.count(state) == 2


def test_the_papers_runs_are_tasks(run_cli: Cli, paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    there = StandInRay()
    monkeypatch.setattr(on_ray, "require_ray", lambda: there)
    monkeypatch.setattr(client, "WORKER", stand_in("steps"))
    Path("cluster.toml").write_text("[ray]\ncpus = 3\n")
    result = run_cli("reproduce", "decoder", "--seeds", "1", "--on", "ray", "--cluster", "cluster.toml")
    assert result.code == 0, result.err
    assert there.options["num_cpus"] == 3
    assert result.out.count("DONE") == 2
    again = run_cli("reproduce", "decoder", "--seeds", "1", "--on", "ray")
    assert (again.code, again.out.count("DONE")) == (0, 2)
    assert "0 runs in checkpoints as tasks of Ray" in again.err


def test_a_cluster_that_cannot_be_reached_is_one_error_and_leaves_no_folder(
    run_cli: Cli,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    there = StandInRay()
    monkeypatch.setattr(there, "is_initialized", lambda: False)
    monkeypatch.setattr(there, "init", init, raising=False)
    monkeypatch.setattr(on_ray, "require_ray", lambda: there)
    (tmp_path / "sweep.toml").write_text('name = "one"\nrecipe = "demo"\n')
    result = run_cli("sweep", "run", "sweep.toml", "--on", "ray")
    assert result.code == RunError.exit_code
    assert "Ray cannot be reached: Could not find any running Ray instance. See: ray status, and the variable" in result.err
    assert not Path("checkpoints").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_there_is_one_error_and_no_folder(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "sweep.toml").write_text('name = "one"\nrecipe = "demo"\n')
    for command in (["sweep", "run", "sweep.toml"], ["reproduce", "decoder"]):
        result = run_cli(*command, "--on", "ray")
        assert result.code == RunError.exit_code
        assert 'Ray is not installed. Install it on all nodes with: pip install "codeprune-tui[ray]"' in result.err
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize(("starts_in_vain", "ends_well"), [(TRIES - 1, True), (TRIES, False)])
def test_a_cluster_that_does_not_come_up_is_started_again_a_few_times(
    tmp_path: Path, starts_in_vain: int, ends_well: bool
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, pathlib, os\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "starts = len(list(folder.iterdir()))\n"
        f"(folder / os.path.basename(os.environ[{TEMPORARY!r}])).touch()\n"
        f"sys.exit({NOT_UP} if starts < {starts_in_vain} else print('up'))\n"
    )
    (folder := tmp_path / "starts").mkdir()
    if ends_well:
        assert in_a_process(script, folder) == "up\n"
    else:
        with pytest.raises(AssertionError):
            in_a_process(script, folder)
    temporary = [Path(tempfile.gettempdir(), start.name) for start in folder.iterdir()]
    assert len(temporary) == TRIES
    assert not any(each.exists() for each in temporary)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a hanging cluster ends there; on an idle machine it takes half a minute
@NEEDS_RAY
def test_runs_that_lose_worker_ray_process_and_node_end_with_the_bits_of_uninterrupted_ones(tmp_path: Path) -> None:
    whole = {name: prepare(tmp_path / "whole", recipe, name) for name, recipe in RECIPE_OF.items()}
    assert run([{"run": str(folder)} for folder in whole.values()]) == [0, 0]
    cut_off = {name: prepare(tmp_path / "checkpoints", recipe, name) for name, recipe in RECIPE_OF.items()}
    assert "process: DONE" in in_a_process(SCRIPT.with_name("ray_deaths.py"), tmp_path)
    for name, folder in cut_off.items():
        paths = RunPaths(folder)
        started = [event.what for event in read_journal(paths.journal) if isinstance(event.what, RunStarted)]
        assert [each.resumed for each in started] == [False, True, True], name
        if name == "process":  # the worker saved a checkpoint when its Ray process died; with its node it may be killed at once
            assert count(paths, Stopped) == 1
        assert len(outcome(folder)) == 12
        assert outcome(folder) == outcome(whole[name]), name
        assert str(json.loads(paths.meta.read_text())["job"]).startswith("Ray ")


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a hanging cluster ends there; on an idle machine it takes half a minute
@NEEDS_RAY
def test_a_cluster_that_loses_workers_and_a_node_makes_every_run_once(tmp_path: Path) -> None:
    killed = json.loads(in_a_process(SCRIPT, tmp_path).splitlines()[-1])
    assert len(killed["workers"]) == 2
    assert killed["of_the_node"]
    for number in range(6):
        paths = RunPaths(tmp_path / "checkpoints" / f"run-{number}")
        rounds = [event.what.round for event in read_journal(paths.journal) if isinstance(event.what, RoundFinished)]
        assert rounds == [0, 1, 2]
        assert count(paths, RunFinished) == 1
        assert count(paths, RunStarted) == 1 + (paths.name in killed["workers"]) + (paths.name in killed["of_the_node"])
        assert not paths.queued.exists()
