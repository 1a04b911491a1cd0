"""Starting, commanding and killing workers, with real processes (a stand-in without torch)."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from app_runs import journal_start

from codeprune_tui import bundle
from codeprune_tui.runs import client
from core.errors import CodepruneError, DataError, ModelError, RunError
from core.recipe import Recipe, build_recipe, load_recipe
from core.run.events import (
    CheckpointSaved,
    CommandTaken,
    Evaluating,
    Happening,
    Paused,
    Resumed,
    RoundStarted,
    RunFinished,
    RunStarted,
    Step,
    Stopped,
    Warned,
)
from core.run.folder import RunPaths, State, create_run, hold_lock, is_held, run_info
from core.run.journal import JournalWriter

STAND_IN = Path(__file__).parent / "stand_in_worker.py"


def stand_in(mode: str) -> list[str]:
    return [sys.executable, "-P", str(STAND_IN), mode]


def until(true: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def happened(paths: RunPaths, kind: type) -> bool:
    return any(isinstance(event.what, kind) for event in client.Follower(paths).poll())


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[RunPaths]:
    new = create_run(tmp_path / "checkpoints", "mine", Recipe())
    yield new
    if is_held(new) and (started := client.newest_start(new)):
        os.kill(started.pid, signal.SIGKILL)


def test_launch_returns_the_worker_once_it_holds_the_run(paths: RunPaths) -> None:
    pid = client.launch(paths, stand_in("endless"))
    assert is_held(paths)
    until(lambda: happened(paths, RunStarted))
    started = client.newest_start(paths)
    assert started is not None
    assert started.pid == pid
    # Own session, no terminal, same working directory, output in the log.
    assert f"cwd={Path.cwd()} sid={pid} stdin=''" in paths.log.read_text()


def test_a_worker_is_reaped_when_it_ends(paths: RunPaths) -> None:
    pid = client.launch(paths, stand_in("endless"))
    until(lambda: happened(paths, RunStarted))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid))  # a zombie would still have its id
    assert not is_held(paths)


def test_a_worker_outlives_who_started_it(paths: RunPaths) -> None:
    program = (
        "import sys; from pathlib import Path; from codeprune_tui.runs import client; from core.run.folder import RunPaths;"
        "print(client.launch(RunPaths(Path(sys.argv[1])), sys.argv[2:]))"
    )
    command = [sys.executable, "-c", program, str(paths.root), *stand_in("endless")]
    starter = subprocess.run(command, capture_output=True, text=True, check=True)
    assert starter.stderr == ""
    until(lambda: happened(paths, RunStarted))
    assert is_held(paths)
    assert psutil.pid_exists(int(starter.stdout))


def test_launch_refuses_a_run_that_has_a_worker(paths: RunPaths) -> None:
    with (
        hold_lock(paths),
        pytest.raises(RunError, match=r"^A worker is already at work on mine\. Watch it with: codeprune-tui status \S+/mine"),
    ):
        client.launch(paths, stand_in("endless"))


def test_launch_tells_why_a_worker_did_not_start(paths: RunPaths) -> None:
    paths.log.write_text("an older failure\n")
    with pytest.raises(RunError) as caught:
        client.launch(paths, stand_in("refuse"))
    assert str(caught.value) == (
        f"The worker of mine left with exit code 5 at its start. Its log, {paths.log}, ends with:\nstarting\n<1B>[2Jno such model"
    )
    assert paths.log.read_text().startswith("an older failure\n")  # appended, not replaced


def test_launch_tells_when_there_is_nothing_in_the_log(paths: RunPaths) -> None:
    with pytest.raises(RunError, match=r"was killed by SIGKILL at its start\. Its log, .*worker\.log, is empty\.$"):
        client.launch(paths, ["sh", "-c", "kill -KILL $$"])


def test_launch_never_hangs(paths: RunPaths) -> None:
    with pytest.raises(RunError, match=r"^The worker of mine did not take the run in 0\.5 s and was killed\."):
        client.launch(paths, stand_in("silent"), timeout_s=0.5)
    for thread in threading.enumerate():
        if thread.name.startswith("reap"):
            thread.join(20)
            assert not thread.is_alive()


def test_launch_takes_a_worker_with_nothing_to_do_for_a_good_one(paths: RunPaths) -> None:
    assert client.launch(paths, stand_in("instant")) > 0


def test_launch_tells_of_a_command_that_is_not_there(paths: RunPaths) -> None:
    with pytest.raises(RunError, match=r"^Cannot start a worker for mine: .*no-such-program"):
        client.launch(paths, ["/no-such-program"])


def test_pause_resume_and_stop_are_obeyed(paths: RunPaths) -> None:
    client.launch(paths, stand_in("endless"))
    until(lambda: happened(paths, RunStarted))
    client.pause(paths)
    until(lambda: happened(paths, Paused))
    assert run_info(paths, time.time()).state is State.PAUSED
    client.resume(paths)
    until(lambda: happened(paths, Resumed))
    client.pause_after(paths, 3)
    until(lambda: any(event.what == CommandTaken(command="pause-after 3") for event in client.Follower(paths).poll()))
    client.stop(paths)
    until(lambda: happened(paths, Stopped))
    until(lambda: not is_held(paths))
    assert [json.loads(line)["command"] for line in paths.commands.read_text().splitlines()] == [
        "pause",
        "resume",
        "pause-after",
        "stop",
    ]


def test_resume_gives_a_stopped_run_a_new_worker(paths: RunPaths) -> None:
    client.launch(paths, stand_in("endless"))
    until(lambda: happened(paths, RunStarted))
    client.stop(paths)
    until(lambda: not is_held(paths))
    client.resume(paths, stand_in("steps"))
    until(lambda: happened(paths, RunFinished) and not is_held(paths))
    events = client.Follower(paths).poll()
    assert [event.seq for event in events] == list(range(len(events)))
    with pytest.raises(
        RunError, match=r"^mine is complete, there is nothing to resume\. Read it with: codeprune-tui status \S+/mine$"
    ):
        client.resume(paths, stand_in("steps"))


@pytest.mark.parametrize("ask", [client.pause, client.stop, lambda paths: client.pause_after(paths, 2)])
def test_commands_need_a_worker(paths: RunPaths, ask: Callable[[RunPaths], None]) -> None:
    with pytest.raises(RunError, match=r"^No worker is at work on mine\. Start one with: codeprune-tui resume \S+/mine$"):
        ask(paths)
    assert not paths.commands.exists()


def test_a_command_that_cannot_be_written_is_told(paths: RunPaths) -> None:
    paths.commands.mkdir()
    with hold_lock(paths), pytest.raises(RunError, match=r"^Cannot write .*commands\.jsonl: Is a directory\. Commands need"):
        client.pause(paths)


def test_kill_ends_the_worker_at_once(paths: RunPaths) -> None:
    client.launch(paths, stand_in("endless"))
    until(lambda: happened(paths, RunStarted))
    client.kill(paths)
    until(lambda: not is_held(paths))
    info = run_info(paths, time.time())
    assert (info.state, info.killed, info.words) == (State.CRASHED, True, "KILLED")
    client.resume(paths, stand_in("die"))  # what becomes of the next worker is another matter
    until(lambda: not is_held(paths))
    info = run_info(paths, time.time())
    assert (info.state, info.killed, info.words) == (State.CRASHED, False, "CRASHED")


@pytest.mark.parametrize(
    ("happenings", "words"),
    [
        ([], ""),
        (["started"], "nothing"),
        (["started", "round 0", 51], "51 steps of round 0"),
        (["started", "round 0", 200, "saved 200", 251], "51 steps of round 0"),
        (["started", "round 0", 200, "saved 200"], "nothing"),
        (["started", "round 0", 80, "evaluating"], "80 steps of round 0 and an evaluation"),
        (["started", "round 0", 80, "saved 80", "round 1", 1], "1 step of round 1"),
        (["started", "round 1", 30, "resumed 20", 25], "5 steps of round 1"),
    ],
)
def test_what_a_kill_costs_is_counted(paths: RunPaths, happenings: list[str | int], words: str) -> None:
    round_number = 0
    writer = JournalWriter(paths.journal)
    for each in happenings:
        word, _, number = str(each).partition(" ")
        round_number = int(number) if word == "round" else round_number
        at = each if isinstance(each, int) else int(number or 0)
        started = RunStarted(
            run="mine",
            kind="lottery",
            rounds=1,
            steps=1,
            resumed=False,
            round=round_number,
            step=at,
            device="cpu",
            threads=1,
            pid=1,
            host="host",
            versions={},
        )
        known: dict[str, Happening] = {
            "started": started,
            "resumed": started,
            "round": RoundStarted(round=round_number, sparsity=0.0, steps=300),
            "saved": CheckpointSaved(round=round_number, step=at),
            "evaluating": Evaluating(round=round_number, step=80, done=1, rows=9),
        }
        writer.append(
            known.get(word)
            or Step(
                round=round_number,
                step=at,
                steps=300,
                loss=1.0,
                learning_rate=1e-4,
                tokens_per_second=1.0,
                examples_per_second=1.0,
            )
        )
        writer.append(Warned(message="no matter"))
    writer.close()
    assert client.undone(paths) == words


def test_kill_spares_a_process_that_is_not_the_worker(paths: RunPaths) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        journal_start(paths, bystander.pid, socket.gethostname())  # of an earlier worker; its id was given away again
        with hold_lock(paths), pytest.raises(RunError, match=r"^The worker of mine has not journalled its process id yet\."):
            client.kill(paths)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_kill_tells_where_the_worker_is(paths: RunPaths) -> None:
    journal_start(paths, 4242, "elsewhere")
    with (
        hold_lock(paths),
        pytest.raises(RunError, match=r"^The worker of mine runs on elsewhere, not here\. Kill process 4242 there\.$"),
    ):
        client.kill(paths)
    with pytest.raises(RunError, match=r"^No worker is at work on mine\. There is nothing to kill\.$"):
        client.kill(paths)


def test_start_makes_names_and_anchors_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle.folder() / "ruby-mini", tmp_path / "models" / "tiny code")
    shutil.copytree(bundle.folder() / "demo-ruby", tmp_path / "rows")
    recipe = build_recipe({"model": {"path": "models/tiny code"}, "data": {"path": "rows"}, "pruning": {"scope": "global"}})
    checkpoints = tmp_path / "runs"
    first = client.start(checkpoints, recipe, command=stand_in("instant"))
    second = client.start(checkpoints, recipe, command=stand_in("instant"))
    named = client.start(checkpoints, recipe, "chosen", command=stand_in("instant"))
    assert [paths.name for paths in (first, second, named)] == [
        "tiny-code-magnitude-global-1",
        "tiny-code-magnitude-global-2",
        "chosen",
    ]
    written = load_recipe(first.recipe)
    assert written.model.path == str(tmp_path / "models" / "tiny code")
    assert written.data.path == str(tmp_path / "rows")
    assert written.pruning == recipe.pruning
    with pytest.raises(RunError, match="There is already something at"):
        client.start(checkpoints, recipe, "chosen", command=stand_in("instant"))


@pytest.mark.parametrize(
    ("sections", "kind", "problem"),
    [
        (
            {"data": {"path": "/no/such/data"}},
            DataError,
            "There is no folder /no/such/data; the nearest folder that exists is /.",
        ),
        ({"data": {"path": "./empty"}}, DataError, "empty holds no train.jsonl, train.jsonl.gz or folder train of Ruby files."),
        ({"data": {"path": "~/none-of-this"}}, DataError, "There is no folder"),
        ({"model": {"path": "../no-such-model"}}, ModelError, "There is no model at ../no-such-model."),
        ({"model": {"path": "empty"}}, ModelError, "empty has no config.json"),
        ({"model": {"path": "bare"}}, ModelError, "bare has neither model.safetensors nor pytorch_model.bin."),
        ({"kind": "pretrain", "data": {"code": "/no/code"}}, DataError, "data.code = '/no/code' is no folder."),
    ],
)
def test_a_recipe_whose_sources_are_not_there_makes_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, object], kind: type[CodepruneError], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    with pytest.raises(kind, match=re.escape(problem)) as caught:
        client.start(tmp_path / "runs", build_recipe(sections), command=stand_in("instant"))
    assert caught.value.fix
    assert not (tmp_path / "runs").exists()


def test_the_name_of_a_hub_passes_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = build_recipe({"model": {"path": "microsoft/codebert-base"}, "data": {"path": "google/code_x_glue_ct_code_to_text"}})
    assert client.start(tmp_path / "runs", recipe, command=stand_in("instant")).recipe.is_file()


@pytest.mark.parametrize(
    ("sections", "stem"),
    [
        ({}, "ruby-mini-magnitude-layerwise"),
        ({"kind": "finetune", "model": {"path": "new"}}, "new-finetune"),
        ({"kind": "pretrain", "model": {"path": "microsoft/codebert-base"}}, "codebert-base-pretrain"),
        (
            {
                "pruning": {"criterion": "wanda", "scope": "row", "budget": "owl", "gradual_every": 5},
                "rewind": {"to": "random"},
            },
            "ruby-mini-wanda-row-owl-gradual-drawn-anew",
        ),
        ({"pruning": {"pattern": "2:4", "final_sparsity": 0.5}}, "ruby-mini-magnitude-layerwise-2of4"),
        ({"pruning": {"unit": "head+neuron"}}, "ruby-mini-magnitude-layerwise-head-neuron"),
        ({"model": {"path": "/"}}, "model-magnitude-layerwise"),
        ({"model": {"path": "a/.ünï\x1bcode" + "x" * 100}}, "n-code" + "x" * 54 + "-magnitude-layerwise"),
    ],
)
def test_default_stems_are_good_names(sections: dict[str, object], stem: str) -> None:
    assert client.default_stem(build_recipe(sections)) == stem


def test_paths_that_are_nowhere_stay_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert client.local_path("microsoft/codebert-base") == "microsoft/codebert-base"
    assert client.local_path("~nobody-of-that-name/x") == "~nobody-of-that-name/x"
    (tmp_path / "new").mkdir()
    assert client.anchored(build_recipe({"model": {"path": "new"}})).model.path == "new"


def test_bundled_paths_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(client.local_path("checkpoints/bundled/demo-ruby"))
    assert path.is_absolute()
    assert path.is_dir()
    (tmp_path / "checkpoints" / "bundled" / "demo-ruby").mkdir(parents=True)
    assert client.local_path("checkpoints/bundled/demo-ruby") == str(tmp_path / "checkpoints" / "bundled" / "demo-ruby")


def test_a_follower_may_begin_now(paths: RunPaths) -> None:
    journal_start(paths, 1, "here")
    everything, news = client.Follower(paths), client.Follower(paths, from_now=True)
    journal_start(paths, 2, "here")
    assert [event.what.pid for event in everything.poll() if isinstance(event.what, RunStarted)] == [1, 2]
    assert [event.what.pid for event in news.poll() if isinstance(event.what, RunStarted)] == [2]
    assert news.poll() == []
