"""A worker that lost its lock, its journal or its folder stops and says so; where one lives, no second one starts."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_runs import journal_start, step
from test_lottery import BASE, make, of  # noqa: F401 - a fixture

from codeprune_tui.runs import client
from core import worker
from core.errors import RunError
from core.program import program
from core.recipe import Recipe
from core.run import holder
from core.run.events import Evaluating, Event, Failed, Happening, Paused, RunFinished, Stopped
from core.run.folder import RunPaths, State, create_run, hold_lock, is_held, run_info
from core.run.journal import JournalWriter, append_command, read_journal

Make = Callable[..., RunPaths]


def at_event(monkeypatch: pytest.MonkeyPatch, kind: type, act: Callable[[], object]) -> None:
    """Does something once the second event of a kind is in the journal."""
    original, seen = JournalWriter.append, [0]

    def append(self: JournalWriter, what: Happening) -> Event:
        event = original(self, what)
        if isinstance(what, kind):
            seen[0] += 1
            if seen[0] == 2 or kind is Paused:
                act()
        return event

    monkeypatch.setattr(JournalWriter, "append", append)


def small(make: Make) -> RunPaths:  # noqa: F811
    return make(pruning={"rounds": 1}, evaluation={"batch_size": 2})


def files(paths: RunPaths) -> set[str]:
    return {str(path.relative_to(paths.root)) for path in paths.root.rglob("*")}


@pytest.mark.parametrize("lost", ["lock", "journal"])
def test_a_worker_whose_lock_or_journal_is_deleted_stops_and_says_so(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    paths = small(make)
    path = getattr(paths, lost)
    at_event(monkeypatch, Evaluating, path.unlink)
    assert worker.main([str(paths.root)]) == RunError.exit_code
    events = read_journal(paths.journal)
    failed = events[-1].what
    assert isinstance(failed, Failed)
    assert failed.problem == f"{path} was deleted while the worker of run was at work, so the worker stopped."
    assert failed.fix == f"Go on from the last checkpoint with: {program()} resume {paths.root}"
    assert run_info(paths, time.time()).state is State.FAILED
    monkeypatch.undo()
    assert worker.main([str(paths.root)]) == 0
    assert paths.finished_rounds() == [0, 1]


def test_a_paused_worker_whose_lock_is_deleted_stops(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    paths = small(make)
    at_event(monkeypatch, Evaluating, lambda: append_command(paths.commands, {"command": "pause"}))
    at_event(monkeypatch, Paused, paths.lock.unlink)
    assert worker.main([str(paths.root)]) == RunError.exit_code
    assert isinstance(read_journal(paths.journal)[-1].what, Failed)


def test_what_another_worker_holds_by_now_is_left_alone(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths, descriptors = small(make), []

    def take_over() -> None:
        paths.lock.unlink()
        descriptors.append(os.open(paths.lock, os.O_RDWR | os.O_CREAT))
        fcntl.flock(descriptors[0], fcntl.LOCK_EX)

    at_event(monkeypatch, Evaluating, take_over)
    assert worker.main([str(paths.root)]) == RunError.exit_code
    events = read_journal(paths.journal)
    assert isinstance(events[-1].what, Evaluating)  # nothing was written any more
    assert f"{paths.lock} was replaced while the worker of run was at work" in capsys.readouterr().err
    os.close(descriptors[0])


def test_of_a_folder_that_was_deleted_nothing_is_made_anew(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = small(make)
    at_event(monkeypatch, Evaluating, lambda: shutil.rmtree(paths.root))
    assert worker.main([str(paths.root)]) == RunError.exit_code
    assert not paths.root.exists()
    assert f"The folder of run was deleted or moved while its worker was at work: {paths.root}." in capsys.readouterr().err


def test_a_folder_that_was_moved_says_so_where_it_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    paths = small(make)
    moved = RunPaths(paths.root.with_name("moved"))
    at_event(monkeypatch, Evaluating, lambda: paths.root.rename(moved.root))
    assert worker.main([str(paths.root)]) == RunError.exit_code
    assert not paths.root.exists()
    failed = read_journal(moved.journal)[-1].what
    assert isinstance(failed, Failed)
    assert failed.problem.startswith("The folder of run was deleted or moved")


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path / "checkpoints", "mine", Recipe())


@pytest.fixture
def alive(paths: RunPaths) -> Iterator[int]:
    """A process that looks like a worker of the run, and holds nothing."""
    waiting = [sys.executable, "-c", "input()", "core.worker", str(paths.root)]
    process = subprocess.Popen(waiting, stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


def test_where_a_worker_lives_that_lost_its_lock_no_other_starts(
    paths: RunPaths, alive: int, capsys: pytest.CaptureFixture[str]
) -> None:
    journal_start(paths, alive, socket.gethostname(), step(0, 1))
    wish = f"Process {alive} still works on mine, though worker.lock does not show it"
    with pytest.raises(RunError, match=wish):
        client.resume(paths)
    assert worker.main([str(paths.root)]) == RunError.exit_code
    assert wish in capsys.readouterr().err
    assert not paths.lock.exists()


def test_a_worker_that_has_ended_or_is_another_program_hinders_nobody(paths: RunPaths, alive: int) -> None:
    journal_start(paths, alive, socket.gethostname(), step(0, 1), Stopped(round=0, step=1, reason="stop"))
    holder.refuse_second(paths)
    paths.journal.unlink()
    journal_start(paths, 1, socket.gethostname(), step(0, 1))  # a process that is no worker
    holder.refuse_second(paths)


def test_a_worker_of_a_complete_run_leaves_at_once_and_writes_nothing(paths: RunPaths) -> None:
    paths.recipe.write_text("[pruning]\nrounds = 1\n")
    journal_start(paths, 1, socket.gethostname(), step(0, 1), RunFinished(rounds=1))
    for number in range(2):
        paths.round(number).mkdir(parents=True)
    before = paths.journal.read_bytes()
    assert worker.main([str(paths.root)]) == 0
    assert paths.journal.read_bytes() == before
    assert not is_held(paths)


def test_a_worker_elsewhere_counts_as_long_as_it_writes(paths: RunPaths) -> None:
    journal_start(paths, 1, "elsewhere", step(0, 1), age_s=2.0)
    with pytest.raises(RunError, match=r"^A worker on elsewhere wrote into mine [23] s ago, though its lock doesn't show here"):
        holder.refuse_second(paths)
    paths.journal.unlink()
    journal_start(paths, 1, "elsewhere", step(0, 1), age_s=100.0)
    holder.refuse_second(paths)


def test_a_command_that_nobody_takes_is_told(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TAKEN_S", 0.1)
    for ask, word in ((client.pause, "pause"), (client.resume, "resume"), (client.stop, "stop")):
        with hold_lock(paths), pytest.raises(client.NoAnswerError, match=f"does not answer: '{word}' was not taken within 0.1 s"):
            ask(paths)
    assert not is_held(paths)


def test_a_pipe_in_the_place_of_the_commands_holds_nobody_up(paths: RunPaths) -> None:
    os.mkfifo(paths.commands)
    with hold_lock(paths), pytest.raises(RunError, match=r"Cannot write .*commands\.jsonl: it is a FIFO, not a regular file"):
        client.pause(paths)
