"""Sweeps on Slurm: the script of the job array, and what becomes of its elements, with stand-ins for Slurm's commands."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import fake_slurm
import pytest
from fake_slurm import Cluster
from test_cli import Cli, run_cli  # noqa: F401 - a fixture
from test_client import happened, stand_in, until

from codeprune_tui.cli import plans
from codeprune_tui.runs import client, slurm
from codeprune_tui.runs.sweeps import SweepFolder
from core import worker
from core.errors import RecipeError, RunError
from core.recipe import Recipe
from core.run.control import STOPPED_BY_SIGNAL, Control, StopRequested
from core.run.events import RoundFinished, RunFinished, RunStarted, Stopped
from core.run.folder import RunPaths, State, create_run, is_held, run_info
from core.run.journal import read_journal
from core.study.sweep import Slurm

SWEEP = 'name = "two"\nrecipe = "demo"\n[grid]\npruning.scope = ["layerwise", "global"]\n[slurm]\ntime = "90"\n'


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster whose commands are first in PATH; runs are made by the stand-in for a worker."""
    fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{tmp_path / 'slurm'}{os.pathsep}{os.environ['PATH']}")
    queue = Cluster(tmp_path / "slurm")
    yield queue
    queue.close()


@pytest.fixture
def worker_is(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    submit = slurm.submit
    return lambda mode: monkeypatch.setattr(slurm, "submit", partial(submit, worker=stand_in(mode)))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    return str(path)


def runs() -> list[RunPaths]:
    return SweepFolder(Path("checkpoints"), "two").runs()


def of_kind(paths: RunPaths, kind: type) -> list[object]:
    return [event.what for event in read_journal(paths.journal) if isinstance(event.what, kind)]


# --- the script


def test_the_script_says_what_the_file_asks_for_and_is_a_script(tmp_path: Path) -> None:
    settings = Slurm(
        time="2-00:00:00", partition="gpu", account="a b", gres="gpu:1", cpus=4, memory="8G", throttle=3, lines=("--qos=low",)
    )
    sweep = SweepFolder(tmp_path / "my runs", "two")
    (text,) = slurm.scripts(sweep, settings, ["one", "other"], ["python", "-m", "it's"])
    head, _, body = text.partition("\n\n")
    assert head.splitlines()[0] == "#!/bin/bash"
    assert [line.removeprefix("#SBATCH ") for line in head.splitlines() if line.startswith("#SBATCH ")] == [
        "--job-name=two",
        "--array=0-1%3",
        f"--output='{tmp_path}/my runs/.sweeps/two/slurm-%A_%a.log'",
        "--open-mode=append",
        "--time=2-00:00:00",
        "--cpus-per-task=4",
        "--mem=8G",
        "--partition=gpu",
        "--account='a b'",
        "--gres=gpu:1",
        "--requeue",
        "--signal=B:USR1@120",
        "--qos=low",
    ]
    assert "runs=(\n  one\n  other\n)" in body
    assert shlex.join(["python", "-m", "it's"]) in body
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_what_is_not_asked_for_is_left_to_the_cluster_and_large_sweeps_are_several_arrays(tmp_path: Path) -> None:
    first, second = slurm.scripts(SweepFolder(tmp_path, "big"), Slurm(), [f"run-{number}" for number in range(1500)])
    assert "--array=0-999\n" in first
    assert "--array=0-499\n" in second
    assert "  run-1000\n" in second
    for option in ("--mem", "--partition", "--account", "--gres", "%0"):
        assert option not in first


def test_the_dry_run_prints_the_script_and_makes_nothing(run_cli: Cli, file: str) -> None:  # noqa: F811
    result = run_cli("sweep", "run", file, "--on", "slurm", "--dry-run")
    assert result.code == 0
    assert result.out.startswith("#!/bin/bash\n# Sweep two: 2 runs,")
    assert "#SBATCH --time=90\n" in result.out
    assert not Path("checkpoints").exists()
    paper = run_cli("reproduce", "decoder", "--seeds", "1", "--on", "slurm", "--cluster", file, "--dry-run")
    assert "#SBATCH --job-name=paper-small\n" in paper.out
    assert "#SBATCH --time=90\n" in paper.out
    assert "  small-decoder-l1-b8-finetuned-s0\n" in paper.out
    Path(file).write_text("[slurm]\ntime = 'soon'\n")
    wrong = run_cli("reproduce", "decoder", "--on", "slurm", "--cluster", file)
    assert wrong.code == RecipeError.exit_code
    assert "slurm.time = 'soon' is not allowed" in wrong.err


def test_without_slurm_there_is_one_error_and_no_folder(
    run_cli: Cli,  # noqa: F811
    file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for command in (["sweep", "run", file], ["reproduce", "decoder"]):
        result = run_cli(*command, "--on", "slurm")
        assert result.code == RunError.exit_code
        assert "Slurm's sbatch is not on this machine. Submit from a machine that has Slurm's commands" in result.err
    assert not Path("checkpoints").exists()


# --- the queue


def test_a_submitted_sweep_waits_runs_and_is_not_submitted_twice(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("steps")
    submitted = run_cli("sweep", "run", file, "--on", "slurm")
    assert submitted.code == 0, submitted.err
    assert "Submitted 2 runs as job array 100. The script is in " in submitted.err
    assert [run_info(paths, 0.0).words for paths in runs()] == ["QUEUED", "QUEUED"]
    assert run_cli("sweep", "status", "two").err == "two: 2 QUEUED\n"
    again = run_cli("sweep", "run", file, "--on", "slurm")
    assert "Nothing to submit: 0 runs are done; 2 others are at work or in the queue already" in again.err
    cluster.start("100", "0")
    assert cluster.wait("100", "0") == 0
    first, second = runs()
    assert run_info(first, 0.0).state is State.DONE
    assert "left with exit code 0" in (SweepFolder(Path("checkpoints"), "two").root / "slurm-100_0.log").read_text()
    cluster.start("100", "1")
    cluster.wait("100", "1")
    assert run_info(second, 0.0).words == "DONE"
    assert "Nothing to submit: 2 runs are done" in run_cli("sweep", "run", file, "--on", "slurm").err
    assert len(cluster.calls("sbatch")) == 1


def test_two_commands_that_submit_the_same_sweep_at_once_make_each_folder_once(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker_is("steps")

    def create_late(checkpoints: Path, name: str, recipe: Recipe) -> RunPaths:
        create_run(checkpoints, name, recipe)  # as the other command has done between our look and this
        return create_run(checkpoints, name, recipe)

    monkeypatch.setattr(plans, "create_run", create_late)
    assert "Submitted 2 runs as job array 100" in run_cli("sweep", "run", file, "--on", "slurm").err
    assert [run_info(paths, 0.0).words for paths in runs()] == ["QUEUED", "QUEUED"]


def test_the_papers_runs_are_submitted_once_and_made(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("steps")
    command = ("reproduce", "decoder", "--seeds", "1", "--on", "slurm", "--cluster", file)
    submitted = run_cli(*command)
    assert submitted.code == 0, submitted.err
    assert "Submitted 2 runs as job array 100. The script is in checkpoints/.sweeps/paper-small" in submitted.err
    assert run_cli("sweep", "status", "paper-small").err == "paper-small: 2 QUEUED\n"
    assert "Nothing to submit" in run_cli(*command).err
    for element in ("0", "1"):
        cluster.start("100", element)
        assert cluster.wait("100", element) == 0
    assert run_cli("sweep", "status", "paper-small").err.startswith("paper-small: 2 DONE\n")


def test_before_its_time_limit_a_run_is_saved_and_queued_again_and_then_goes_on(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("endless")
    run_cli("sweep", "run", file, "--on", "slurm")
    paths = runs()[0]
    cluster.start("100", "0")
    until(lambda: happened(paths, RunStarted))
    assert run_info(paths, 0.0).words != "QUEUED"
    cluster.warn("100", "0")
    assert cluster.wait("100", "0") == STOPPED_BY_SIGNAL
    (stopped,) = of_kind(paths, Stopped)
    assert isinstance(stopped, Stopped)
    assert stopped.reason == "SIGUSR1"
    assert cluster.calls("scontrol") == [["requeue", "100_0"]]
    assert cluster.states("100") == {"0": "PENDING", "1": "PENDING"}
    assert run_info(paths, 0.0).words == "QUEUED"
    cluster.start("100", "0")
    until(lambda: len(of_kind(paths, RunStarted)) == 2)
    assert [started.resumed for started in of_kind(paths, RunStarted) if isinstance(started, RunStarted)] == [False, True]


@pytest.mark.parametrize("how", ["preempt", "fail_node"])
def test_an_element_that_slurm_queues_again_is_not_queued_twice(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
    how: str,
) -> None:
    worker_is("endless")
    run_cli("sweep", "run", file, "--on", "slurm")
    paths = runs()[0]
    cluster.start("100", "0")
    until(lambda: happened(paths, RunStarted))
    getattr(cluster, how)("100", "0")
    cluster.wait("100", "0")
    until(lambda: not is_held(paths))
    assert len(of_kind(paths, Stopped)) == (how == "preempt")
    assert not (cluster.folder / "calls.jsonl").read_text().count('"scontrol"')
    cluster.start("100", "0")
    until(lambda: len(of_kind(paths, RunStarted)) == 2)


def test_a_cancelled_run_stays_stopped_and_submitting_again_makes_what_is_left(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("endless")
    run_cli("sweep", "run", file, "--on", "slurm")
    cluster.start("100", "0")
    until(lambda: happened(runs()[0], RunStarted))
    subprocess.run(["scancel", "100"], check=True)
    # Slurm signals the worker, and the script passes the signal on: the second may come while the worker is leaving.
    assert cluster.wait("100", "0") in (STOPPED_BY_SIGNAL, 128 + signal.SIGTERM)
    assert len(of_kind(runs()[0], Stopped)) == 1
    assert cluster.states("100") == {"0": "CANCELLED", "1": "CANCELLED"}
    worker_is("steps")
    again = run_cli("sweep", "run", file, "--on", "slurm")
    assert "Submitted 2 runs as job array 101" in again.err
    for element in ("0", "1"):
        cluster.start("101", element)
        assert cluster.wait("101", element) == 0
    assert all(run_info(paths, 0.0).state is State.DONE for paths in runs())


def test_two_elements_of_one_run_make_it_once(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("steps")
    run_cli("sweep", "run", file, "--on", "slurm")
    script = SweepFolder(Path("checkpoints"), "two").root / "job.sbatch"
    subprocess.run(["sbatch", "--parsable", str(script)], check=True, capture_output=True)  # by hand
    for job in ("100", "101"):
        cluster.start(job, "0")
    codes = {cluster.wait(job, "0") for job in ("100", "101")}
    assert codes <= {0, 1, RunError.exit_code}
    assert [result.round for result in of_kind(runs()[0], RoundFinished) if isinstance(result, RoundFinished)] == [0, 1, 2]
    assert len(of_kind(runs()[0], RunFinished)) == 1


def test_stop_empties_the_queue_and_stops_what_is_at_work(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("endless")
    run_cli("sweep", "run", file, "--on", "slurm")
    first, second = runs()
    cluster.start("100", "0")
    until(lambda: happened(first, RunStarted))
    stopped = run_cli("sweep", "stop", "two")
    assert stopped.code == 0, stopped.err
    assert "two is stopped: 1 run was taken out of the queue, 1 of 1 workers have left; no more runs begin" in stopped.err
    assert cluster.wait("100", "0") == 0
    assert cluster.states("100") == {"0": "COMPLETED", "1": "CANCELLED"}
    assert [run_info(paths, 0.0).words for paths in (first, second)] == ["STOPPED", "NEW"]


def test_where_slurm_does_not_answer_the_workers_are_stopped_all_the_same(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("endless")
    run_cli("sweep", "run", file, "--on", "slurm")
    cluster.start("100", "0")
    until(lambda: happened(runs()[0], RunStarted))
    (cluster.folder / "squeue.fails").write_text("slurm_load_jobs error: Unable to contact slurm controller")
    stopped = run_cli("sweep", "stop", "two")
    assert stopped.code == RunError.exit_code
    assert "1 of 1 workers have left; no more runs begin" in stopped.err
    assert "Slurm's squeue failed: slurm_load_jobs error: Unable to contact slurm controller" in stopped.err
    assert cluster.wait("100", "0") == 0


def test_an_element_that_comes_late_does_not_begin_a_stopped_run(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    worker_is: Callable[[str], None],
    file: str,
) -> None:
    worker_is("steps")
    run_cli("sweep", "run", file, "--on", "slurm")
    SweepFolder(Path("checkpoints"), "two").halt()
    cluster.start("100", "0")
    assert cluster.wait("100", "0") == 0
    assert run_info(runs()[0], 0.0).words == "NEW"


def test_what_slurm_says_is_told(
    run_cli: Cli,  # noqa: F811
    cluster: Cluster,
    file: str,
) -> None:
    (cluster.folder / "sbatch.fails").write_text("sbatch: error: invalid partition specified: gpu\nBatch job submission failed")
    refused = run_cli("sweep", "run", file, "--on", "slurm")
    assert refused.code == RunError.exit_code
    wish = "Slurm's sbatch failed: sbatch: error: invalid partition specified: gpu Batch job submission failed. Change the table"
    assert wish in refused.err
    assert [run_info(paths, 0.0).words for paths in runs()] == ["NEW", "NEW"]


def test_an_element_that_begins_and_ends_at_once_is_not_left_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, sweep = create_run(tmp_path, "one", Recipe()), SweepFolder(tmp_path, "two")
    sweep.begin(["one"])

    def sbatch(*command: str) -> str:
        paths.queued.unlink()  # as its worker does, which may be quicker than sbatch is with its answer
        return "100\n"

    monkeypatch.setattr(slurm, "_slurm", sbatch)
    assert slurm.submit(sweep, Slurm(), ["one"]) == ["100"]
    assert run_info(paths, 0.0).words == "NEW"


def test_records_that_somebody_damaged_are_left_out(tmp_path: Path, cluster: Cluster) -> None:
    sweep = SweepFolder(tmp_path / "checkpoints", "two")
    sweep.begin(["one"])
    lines = [
        "no JSON",
        "7",
        '{"job": "x", "runs": []}',
        '{"job": "1", "runs": ["../up"]}',
        json.dumps({"job": "9", "runs": ["one"]}),
    ]
    sweep.submitted.write_text("\n".join(lines))
    assert slurm.in_queue(sweep) == {}
    assert cluster.calls("squeue") == [["--noheader", "--array", "--format=%F %K %T", "--jobs=9"]]


# --- the worker's part


def test_a_worker_leaves_with_a_code_of_its_own_where_a_signal_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(signalled: bool, paths: RunPaths, journal: worker.Journal, control: Control, rank: object) -> None:
        control.signalled = signalled
        raise StopRequested("SIGUSR1" if signalled else "stop")

    for signalled, code in ((True, STOPPED_BY_SIGNAL), (False, 0)):
        paths = create_run(tmp_path, f"run-{code}", Recipe())
        paths.queued.touch()
        monkeypatch.setattr(worker, "_work", partial(work, signalled))
        assert worker.main([str(paths.root)]) == code
        assert not paths.queued.exists()


def test_a_complete_run_is_never_queued(tmp_path: Path) -> None:
    paths = create_run(tmp_path, "mine", Recipe())
    paths.queued.touch()
    info = run_info(paths, 0.0)
    assert (info.queued, info.words) == (True, "QUEUED")
    assert replace(info, damage="events.jsonl is a folder").words == "DAMAGED"
    client.launch(paths, stand_in("steps"))
    until(lambda: happened(paths, RunFinished) and not is_held(paths))
    paths.queued.touch()
    assert run_info(paths, 0.0).words == "DONE"
