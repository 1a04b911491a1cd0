"""Runs on a file system that several hosts share: who is at work, judged by the lock that a worker touches, not by processes."""

import errno
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from test_cli import Cli, run_cli  # noqa: F401 - a fixture
from test_client import stand_in, until

from codeprune_tui.runs import client
from codeprune_tui.views.run_columns import cells_of
from core import worker
from core.errors import RunError
from core.recipe import Recipe
from core.run import holder, manage
from core.run.events import RunStarted, Step, Stopped
from core.run.folder import SKEW_S, STALE_AFTER_S, Holder, RunPaths, State, create_run, hold_lock, holder_of, is_held, run_info
from core.run.journal import JournalWriter

STARTED = RunStarted(
    run="mine",
    kind="lottery",
    rounds=2,
    steps=4,
    resumed=False,
    round=0,
    step=0,
    device="cuda:0",
    threads=1,
    pid=1,
    host="node7",
    versions={},
)
STEP = Step(round=0, step=1, steps=4, loss=3.0, learning_rate=1e-4, tokens_per_second=1.0, examples_per_second=1.0)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """A run that a worker on another host has taken, whose lock does not reach this one."""
    new = create_run(tmp_path / "checkpoints", "mine", Recipe())
    journal = JournalWriter(new.journal)
    for what in (STARTED, STEP):
        journal.append(what)
    journal.close()
    new.lock.write_text(str(Holder(time.time() - 5, "node7")))
    return new


def touched(paths: RunPaths, ago_s: float) -> None:
    os.utime(paths.lock, (time.time() - ago_s,) * 2)


@pytest.fixture
def beating(paths: RunPaths) -> Iterator[None]:
    """The worker on the other host lives, by a clock that is five minutes slow."""
    leave = threading.Event()

    def beat() -> None:
        number = 0
        while not leave.wait(0.02):
            number += 1
            touched(paths, 300 - number / 50)

    touched(paths, 300)
    thread = threading.Thread(target=beat)
    thread.start()
    yield
    leave.set()
    thread.join()


def test_a_worker_of_another_host_lives_while_it_touches_its_lock(paths: RunPaths) -> None:
    assert is_held(paths)
    info = run_info(paths, time.time())
    assert (info.state, info.host, info.elsewhere) == (State.RUNNING, "node7", "node7")
    client.send(paths, "stop")
    assert '"stop"' in paths.commands.read_text()
    with pytest.raises(RunError, match=r"The worker of mine runs on node7, not here"):
        client.kill(paths)
    with pytest.raises(RunError, match="A worker is already at work on mine"):
        client.launch(paths, stand_in("steps"))


def test_one_that_is_silent_has_crashed_and_one_that_left_has_stopped(paths: RunPaths) -> None:
    touched(paths, STALE_AFTER_S + 5)
    assert run_info(paths, time.time()).state is State.CRASHED
    paths.lock.write_text(str(Holder(time.time() - 5, "node7", has_left=True)))
    assert not is_held(paths)
    journal = JournalWriter(paths.journal)
    journal.append(Stopped(round=0, step=1, reason="SIGUSR1"))
    journal.close()
    assert run_info(paths, time.time()).state is State.STOPPED


@pytest.mark.parametrize(("ago_s", "held"), [(-600, True), (-SKEW_S - 60, False), (STALE_AFTER_S - 5, True)])
def test_a_clock_that_is_fast_by_minutes_does_no_harm(paths: RunPaths, ago_s: float, held: bool) -> None:
    touched(paths, ago_s)
    assert is_held(paths) is held


def test_who_starts_a_worker_looks_whether_the_lock_moves_whatever_the_clocks_say(paths: RunPaths, beating: None) -> None:
    assert not is_held(paths)  # so it looks from here
    with pytest.raises(RunError, match=r"^A worker on node7 is at work on mine, though its lock doesn't show here") as caught:
        holder.refuse_second(paths, 10)
    assert "silent for 30 s is taken to be dead" in caught.value.fix


def test_a_run_is_not_deleted_or_renamed_while_its_lock_moves_whatever_the_clocks_say(paths: RunPaths, beating: None) -> None:
    for change in (manage.delete_run, partial(manage.rename_run, name="other")):
        with pytest.raises(RunError, match=r"^A worker on node7 is at work on mine, though its lock doesn't show here"):
            change(paths.root.parent, paths)
    assert paths.recipe.exists()


def test_a_run_whose_worker_on_another_host_is_dead_is_deleted(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(paths, 60)
    monkeypatch.setattr(manage, "STALE_AFTER_S", 0.2)
    manage.delete_run(paths.root.parent, paths)
    assert not paths.root.exists()


def test_a_dead_one_is_waited_for_and_then_its_run_goes_on(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touched(paths, 60)
    monkeypatch.setattr(worker, "STALE_AFTER_S", 0.2)
    monkeypatch.setattr(worker, "_work", lambda *_: None)
    assert worker.main([str(paths.root)]) == 0
    assert "whether the worker of mine on node7 still lives" in capsys.readouterr().err
    assert holder_of(paths).host == socket.gethostname()
    assert holder_of(paths).has_left


def test_one_that_is_silent_for_long_is_not_waited_for(paths: RunPaths) -> None:
    touched(paths, SKEW_S + 60)
    began = time.monotonic()
    holder.refuse_second(paths, 1000)
    assert time.monotonic() - began < 500


def test_a_worker_touches_its_lock_and_says_when_it_leaves(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "BEAT_S", 0.01)
    with hold_lock(paths) as lock:
        with holder.signed(lock):
            assert holder_of(paths).host == socket.gethostname()
            assert not holder_of(paths).elsewhere
            touched(paths, 1000)
            until(lambda: time.time() - paths.lock.stat().st_mtime < 100)
        assert holder_of(paths).has_left
    assert not is_held(paths)


def test_looking_at_a_lock_leaves_nothing_open(paths: RunPaths) -> None:
    before = psutil.Process().num_fds()
    with hold_lock(paths):
        assert all(is_held(paths) for _ in range(20))
    paths.lock.write_text("")
    assert not any(is_held(paths) for _ in range(20))
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("text", ["", "1035.5", "no number", "1 node7 right", "1 " + "x" * 1000])
def test_what_else_is_in_a_lock_is_no_reason_to_fail(paths: RunPaths, text: str) -> None:
    paths.lock.write_text(text)
    assert is_held(paths) is (len(text.split()) > 1 and text[0] == "1")
    assert run_info(paths, time.time()).host == (text.split()[1][:398] if len(text.split()) > 1 and text[0] == "1" else "")


def test_a_file_system_without_locks_is_told(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.lock.write_text("")

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not is_held(paths)
    with pytest.raises(RunError, match=r"has no locks \(flock: Function not implemented\)") as caught, hold_lock(paths):
        pass
    assert "--checkpoints" in caught.value.fix


def test_the_list_shows_the_host_where_it_is_another(run_cli: Cli, paths: RunPaths) -> None:  # noqa: F811
    listed = run_cli("status", "--checkpoints", str(paths.root.parent)).out.splitlines()
    assert listed[0].split()[-1] == "host"
    assert listed[1].split()[-1] == "node7"
    cells = cells_of(run_info(paths, time.time()), time.time(), "mine")
    assert cells["device"].plain == "  @node7"
    paths.lock.write_text(str(Holder(time.time(), socket.gethostname())))
    assert "host" not in run_cli("status", "--checkpoints", str(paths.root.parent)).out
