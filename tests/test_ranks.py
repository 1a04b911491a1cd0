"""Several processes share a run: they see the rows that one would see, all obey, and all end where one ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from test_resume import BASE, ROOT, outcome
from workers import run

from core.data import Batch, side_by_side
from core.errors import RecipeError, RunError, TrainingError
from core.families.config import PAD
from core.families.device import count_processes, device_of, threads_of
from core.families.roberta import tiny
from core.recipe import Training, build_recipe, recipe_hash, to_toml
from core.run.control import STOPPED_BY_SIGNAL
from core.run.events import CheckpointSaved, Event, Failed, Paused, Resumed, RunStarted, Step, Warned
from core.run.folder import RunPaths, hold_lock, is_held
from core.run.journal import append_command, read_journal
from core.train.launch import End, Failure, end_of, meeting_place
from core.train.objectives import MaskTokens

LOTTERY = {
    "pruning": {"rounds": 1, "final_sparsity": 0.5, "criterion": "wanda", "calibration_rows": 3},
    "picker": {"rule": "best-no-stop", "every": 6},
}


def prepare(folder: Path, processes: int, dropout: float = 0.0, **training: object) -> RunPaths:
    folder.mkdir(parents=True)
    sections = {
        **BASE,
        **LOTTERY,
        "architecture": {**BASE["architecture"], "dropout": dropout},
        # 61 rows in batches of 6: one of an epoch's batches has a single row, and one rank none of its own.
        "data": {**BASE["data"], "path": str(ROOT / "checkpoints" / "bundled" / "demo-ruby"), "train_rows": 61},
        "training": {**BASE["training"], "steps": 12, "batch_size": 6, "processes": processes, **training},
    }
    (folder / "recipe.toml").write_text(to_toml(build_recipe(sections)), encoding="utf-8")
    return RunPaths(folder)


def losses(paths: RunPaths) -> list[tuple[int, int, float]]:
    steps = (event.what for event in read_journal(paths.journal) if isinstance(event.what, Step))
    return [(each.round, each.step, each.loss) for each in steps]


def comments(paths: RunPaths, number: int) -> list[object]:
    return [json.loads(line)["prediction"] for line in (paths.round(number) / "predictions.jsonl").read_text().splitlines()]


def batch_of_comments() -> Batch:
    sources = [[0, *range(5, 5 + length), 2] for length in (3, 7, 4, 9, 5)]
    targets = [[0, *range(20, 20 + length), 2] for length in (1, 6, 2, 3, 8)]
    return side_by_side(sources, targets, tuple(range(5)), PAD)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_weighted_losses_of_the_parts_are_the_loss_of_the_batch(count: int) -> None:
    torch.manual_seed(1)
    model, batch = tiny(), batch_of_comments()
    parts = [batch.part(number, count) for number in range(count)]
    rows = [part.rows for part in parts if part.weight]
    assert [row for each in rows for row in each] == [0, 1, 2, 3, 4]
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    whole = model(batch.sources, batch.targets, 0.1, batch.places)
    shared = [part.weight * model(part.sources, part.targets, 0.1, part.places) for part in parts]
    torch.testing.assert_close(sum(shared) / count, whole, rtol=1e-6, atol=0)


def test_the_parts_of_hidden_tokens_are_those_of_the_batch() -> None:
    torch.manual_seed(1)
    texts = [[0, *range(5, 5 + length), 2] for length in (16, 3, 12, 3, 9)]
    objective = MaskTokens(tiny(), texts, [], 4, 64)
    batches = (objective.batch(range(5), seed) for seed in range(99))
    batch = next(each for each in batches if any(each.part(number, 4).weight == 0 for number in range(4)))
    shared = [part.weight * objective.loss(part) for part in (batch.part(number, 4) for number in range(4))]
    torch.testing.assert_close(sum(shared) / 4, objective.loss(batch), rtol=1e-6, atol=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run that two ranks share, never interrupted, with dropout."""
    paths = prepare(tmp_path_factory.mktemp("shared") / "run", 2, dropout=0.1)
    assert run([{"run": str(paths.root), "ranks": 2}]) == [0], paths.log.read_text()
    return paths


def test_two_ranks_train_prune_and_score_as_one(tmp_path: Path) -> None:
    one, two = prepare(tmp_path / "one", 1), prepare(tmp_path / "two", 2)
    assert run([{"run": str(one.root), "ranks": 1}, {"run": str(two.root), "ranks": 2}]) == [0, 0]
    alone, together = losses(one), losses(two)
    assert [step[:2] for step in together] == [step[:2] for step in alone]
    assert len(alone) == 24
    for step, (round_number, number, loss) in enumerate(together):
        first = number == 1 and round_number == 0  # before the first update
        assert loss == pytest.approx(alone[step][2], rel=1e-6 if first else 2e-4)
    assert [comments(two, number) for number in (0, 1)] == [comments(one, number) for number in (0, 1)]
    started = next(event.what for event in read_journal(two.journal) if isinstance(event.what, RunStarted))
    assert len({rank.pid for rank in started.ranks} | {started.pid}) == 3
    assert [rank.device for rank in started.ranks] == ["cpu", "cpu"]
    assert all(len(event.what.rank_bytes) == 2 for event in read_journal(two.journal) if isinstance(event.what, Step))


@pytest.mark.parametrize("dies", [0, 1])
def test_ranks_killed_and_resumed_equal_uninterrupted_ones(shared: RunPaths, tmp_path: Path, dies: int) -> None:
    paths = prepare(tmp_path / "run", 2, dropout=0.1)
    die = {"call": "core.train.trainer:apply_masks", "nth": 22, "when": "before"}
    endings = run([{"run": str(paths.root), "ranks": 2, "die": die, "dies": dies}, {"run": str(paths.root), "ranks": 2}])
    assert endings == [128 + 9, 0]  # one was killed, and the other did not wait for it
    assert outcome(paths.root) == outcome(shared.root)


def test_each_rank_draws_its_own_dropout(shared: RunPaths) -> None:
    from core.train.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(shared.resume)
    assert checkpoint is not None
    assert not torch.equal(checkpoint.tensors["rng/cpu"], checkpoint.tensors["rng/cpu/1"])


def test_a_run_goes_on_with_another_number_of_ranks_and_says_so(tmp_path: Path) -> None:
    paths = prepare(tmp_path / "run", 2, dropout=0.1)
    die = {"call": "core.train.trainer:apply_masks", "nth": 9, "when": "before"}
    assert run([{"run": str(paths.root), "ranks": 2, "die": die, "dies": 1}]) == [128 + 9]
    text = paths.recipe.read_text()
    paths.recipe.write_text(text.replace("processes = 2", "processes = 1"))
    assert run([{"run": str(paths.root)}]) == [0]
    warnings = [event.what.message for event in read_journal(paths.journal) if isinstance(event.what, Warned)]
    assert any("began with 2 processes and goes on with 1: from here on it is another run" in warning for warning in warnings)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def of_kind(paths: RunPaths, kind: type) -> list[Event]:
    return [event for event in read_journal(paths.journal) if isinstance(event.what, kind)] if paths.journal.exists() else []


def ranks_of(paths: RunPaths) -> list[int]:
    started = of_kind(paths, RunStarted)[-1].what
    assert isinstance(started, RunStarted)
    return [rank.pid for rank in started.ranks]


def lives(pid: int) -> bool:
    """Whether a process is at work; one that nobody has buried yet is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture
def start() -> Iterator[Callable[[RunPaths], "subprocess.Popen[bytes]"]]:
    """Starts real workers, which torch's launcher helps to start their ranks."""
    workers: list[subprocess.Popen[bytes]] = []

    def start(paths: RunPaths) -> "subprocess.Popen[bytes]":
        with paths.log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "core.worker", str(paths.root)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            workers.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment))
        return workers[-1]

    yield start
    for each in workers:
        each.kill()
        each.wait()


@pytest.mark.slow
def test_ranks_obey_and_die_together(
    start: Callable[[RunPaths], "subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)  # what it remembers of the variable
    places = lambda: [*temporary.glob("codeprune-ranks-*")]  # noqa: E731
    paths = prepare(tmp_path / "run", 2, steps=10**6, checkpoint_every=10**6)
    leader = start(paths)
    append = lambda name: append_command(paths.commands, {"command": name})  # noqa: E731
    wait_for(lambda: of_kind(paths, Step), "the first step")
    append("pause")
    wait_for(lambda: of_kind(paths, Paused), "the pause")
    assert of_kind(paths, CheckpointSaved)
    append("resume")
    wait_for(lambda: of_kind(paths, Resumed), "the end of the pause")
    ranks = ranks_of(paths)
    os.kill(ranks[1], signal.SIGKILL)
    assert leader.wait(timeout=300) == RunError.exit_code
    last = read_journal(paths.journal)[-1].what
    assert isinstance(last, Failed)
    assert last.problem.startswith(f"Rank 1 of the run (process {ranks[1]}) was killed by SIGKILL.")
    assert len(of_kind(paths, Failed)) == 1
    assert not any(map(lives, ranks))
    assert not is_held(paths)
    assert not places()

    leader = start(paths)
    ranks.clear()
    wait_for(lambda: len(ranks_at_work(leader.pid, ranks)) == 2, "ranks at work")
    os.kill(leader.pid, signal.SIGKILL)
    leader.wait()
    wait_for(lambda: not any(map(lives, ranks)), "the end of the ranks", 60)
    assert len(places()) == 1  # of which the next worker of the run finds
    with hold_lock(paths), meeting_place(paths.root) as folder:
        assert places() == [folder]
    assert not places()


def ranks_at_work(leader: int, ranks: list[int]) -> list[int]:
    """The processes that a worker has started and that no longer die of SIGTERM; all it has started are put into `ranks`."""
    ranks[:] = [child.pid for child in psutil.Process(leader).children()]
    return [pid for pid in ranks if takes_sigterm(pid)]


def takes_sigterm(pid: int) -> bool:
    """Whether a process ignores SIGTERM, or deals with it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigIgn:", "SigCgt:"))]
    return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)


DIES_WITH = """
import os, subprocess, sys, time
from core.train.launch import die_with
if len(sys.argv) > 1:
    die_with(int(sys.argv[1]))
    print("at work", flush=True)
    time.sleep(20)
    print("survived")
else:
    subprocess.Popen([sys.executable, "-P", "-c", os.environ["SCRIPT"], str(os.getpid())]).wait()
"""


def test_the_kernel_ends_a_rank_whose_worker_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCRIPT": DIES_WITH}
    leader = subprocess.Popen([sys.executable, "-P", "-c", DIES_WITH], stdout=subprocess.PIPE, env=environment)
    assert leader.stdout is not None
    with leader.stdout:
        assert leader.stdout.readline() == b"at work\n"
        leader.kill()
        assert leader.stdout.read() == b""  # to its end: nobody is left who could write there
    leader.wait()


def failure(code: int, report: Failure | None = None) -> SimpleNamespace:
    message = "" if report is None else json.dumps([report.problem, report.fix, report.code, report.lost, report.journalled])
    return SimpleNamespace(exitcode=code, pid=42, message=message)


OWN = Failure("No room.", "Lower it.", 7)
LOST = Failure("Another has ended.", "", 6, lost=True)
TOLD = Failure("The lock is gone.", "", 6, journalled=True)


@pytest.mark.parametrize(
    ("failures", "signals", "end"),
    [
        ({0: failure(6, LOST), 1: failure(7, OWN)}, [], End(7, OWN)),
        ({0: failure(-9), 1: failure(7, OWN)}, [], End(7, OWN)),  # the others hung, and were ended
        ({0: failure(6, TOLD), 1: failure(6, LOST)}, [], End(6)),
        ({0: failure(STOPPED_BY_SIGNAL), 1: failure(6, LOST)}, [signal.SIGTERM], End(STOPPED_BY_SIGNAL)),
        ({0: failure(-15), 1: failure(-15)}, [signal.SIGTERM], End(STOPPED_BY_SIGNAL, stopped="SIGTERM")),
        ({0: failure(6, LOST)}, [], End(6, LOST)),
    ],
)
def test_why_ranks_ended(failures: dict[int, object], signals: list[int], end: End) -> None:
    assert end_of(failures, signals) == end


def test_a_killed_rank_is_named() -> None:
    end = end_of({0: failure(-15), 1: failure(-11), 2: failure(-9, LOST)}, [])
    assert end.failure is not None
    assert end.failure.problem == "Rank 1 of the run (process 42) was killed by SIGSEGV."
    end = end_of({2: failure(1)}, [])
    assert end.failure is not None
    assert end.failure.problem == "Rank 2 of the run left with exit code 1."


SIGNALS = """
import os, signal, subprocess, sys
from core.run.control import StopRequested
from core.train.launch import handing_on_signals
with handing_on_signals() as signals:
    os.kill(os.getpid(), signal.SIGINT)
    signals.starting = True
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
    except StopRequested as request:
        print(request)
    child = subprocess.Popen(["sleep", "60"])
    os.kill(os.getpid(), signal.SIGTERM)
    print(child.wait(), signals.came == [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
"""


def test_signals_reach_the_ranks() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", SIGNALS], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.stdout.decode().split() == ["SIGUSR1", "-15", "True"], done.stderr.decode()


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        ({"processes": 8, "batch_size": 4}, "training.processes = 8 is more than training.batch_size = 4"),
        ({"processes": 2, "device": "cuda:1"}, 'training.device = "cuda:1" is one device'),
        ({"processes": 0, "device": "cpu"}, "training.processes = 0 counts GPUs"),
        ({"processes": 2, "compile": True}, "training.compile compiles the step of a run with one process"),
        ({"processes": 2, "teacher": "dense"}, "set teacher_states = 0 or processes = 1"),
    ],
)
def test_what_processes_cannot_share_is_refused(training: dict[str, object], problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        build_recipe({"training": training})
    build_recipe({"training": {"processes": 2, "teacher": "dense", "teacher_states": 0.0}})


def test_the_number_of_processes_is_no_other_recipe() -> None:
    one, two = (build_recipe({"training": {"processes": processes, "steps": 7}}) for processes in (1, 2))
    assert recipe_hash(one) == recipe_hash(two)
    assert recipe_hash(one) != recipe_hash(build_recipe({"training": {"steps": 8}}))


def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    assert (threads_of(0, 2), threads_of(0, 8), threads_of(3, 4), threads_of(0, 1)) == (3, 1, 3, 0)


def test_the_number_of_processes_follows_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_processes(Training(processes=2, device="cpu")) == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [device_of(device, 3, 4) for device in ("auto", "cuda", "cpu")] == ["cuda:3", "cuda:3", "cpu"]
    assert device_of("auto", 0, 1) == "auto"
    assert count_processes(Training(processes=0)) == 4
    assert count_processes(Training(processes=3)) == 3
    with pytest.raises(TrainingError, match=r"training\.processes = 5, but there are 4 GPUs here\. Set training\.processes = 4"):
        count_processes(Training(processes=5))
    with pytest.raises(TrainingError, match=r"There are 4 GPUs here, more than training\.batch_size = 3"):
        count_processes(Training(processes=0, batch_size=3))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match='The device "cuda" is not available on this machine'):
        count_processes(Training(processes=2, device="cuda"))
    assert count_processes(Training(processes=2)) == 2
