"""The installed command in a pseudo-terminal, with a real worker: start, pause, detach, hang up, attach, stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import PATIENCE_S, Terminal

from core.run.events import Paused, Resumed, RunFinished, RunStarted, Step, Stopped
from core.run.folder import RunPaths, is_held
from core.run.journal import read_journal

COMMAND = str(Path(sys.executable).with_name("codeprune-tui"))
TINY = """
[model]
path = "new"
[architecture]
vocab_size = 400
hidden = 32
layers = 2
heads = 2
ffn = 48
decoder_layers = 1
[data]
path = "{data}"
source_length = 48
target_length = 24
train_rows = 120
[pruning]
rounds = {rounds}
final_sparsity = 0.8
[training]
steps = {steps}
batch_size = 8
threads = 1
device = "cpu"
checkpoint_every = 100000
[evaluation]
rows = 6
beam = 2
max_length = 10
"""
DEMO = Path(__file__).parent.parent / "checkpoints" / "bundled" / "demo-ruby"


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for lock in tmp_path.glob("checkpoints/*/worker.lock"):
        paths = RunPaths(lock.parent)
        if is_held(paths):  # a failed test must leave no worker behind
            starts = [event.what for event in read_journal(paths.journal) if isinstance(event.what, RunStarted)]
            os.kill(starts[-1].pid, signal.SIGKILL)


def write(folder: Path, name: str, *, rounds: int, steps: int) -> str:
    (folder / name).write_text(TINY.format(data=DEMO, rounds=rounds, steps=steps))
    return name


def wait_for(paths: RunPaths, kind: type, count: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while sum(isinstance(event.what, kind) for event in read_journal(paths.journal)) < count:
        assert time.monotonic() < deadline, f"no {kind.__name__}; the log: {paths.log.read_text()[-2000:]}"
        time.sleep(0.05)


def gapless(paths: RunPaths) -> bool:
    seqs = [event.seq for event in read_journal(paths.journal)]
    return seqs == list(range(len(seqs)))


def test_run_status_evaluate_and_comment_without_a_terminal(folder: Path) -> None:
    done = call("run", write(folder, "quick.toml", rounds=2, steps=6), "--name", "quick", folder=folder)
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in table if line and line[0].isdecimal()] == ["0", "1", "2"]
    assert "\x1b" not in done.stdout + done.stderr
    status = json.loads(call("status", "quick", "--json", folder=folder).stdout)
    assert "DONE" in json.dumps(status)
    model = "checkpoints/quick/rounds/02"
    scored = call("evaluate", model, "--data", str(DEMO), "--rows", "5", "--beam", "2", "--json", folder=folder)
    assert scored.returncode == 0, scored.stderr
    facts = json.dumps(json.loads(scored.stdout))
    assert all(word in facts for word in ("bleu", "corpus_bleu", "chrf", "constant", "name"))
    (folder / "two.rb").write_text("class A\n  def self.first(list)\n    list[0]\n  end\n\n  def last = @list[-1]\nend\n")
    said = call("comment", "two.rb", "--model", model, folder=folder)
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.splitlines()) == 2
    assert "first" in said.stdout
    assert "last" in said.stdout


def test_the_app_from_new_run_to_a_dropped_connection_and_back(folder: Path) -> None:
    seed = call("run", write(folder, "long.toml", rounds=1, steps=100_000), "--name", "seed", "--detach", folder=folder)
    assert seed.returncode == 0, seed.stderr
    assert call("stop", "seed", folder=folder).returncode == 0

    # A new run from the old one's recipe, in the app
    app = Terminal([COMMAND], size=(160, 48), folder=folder).until("seed", "STOPPED")
    app.send("c").until("New run", "up to 80 %", "100000")
    app.until("name  Name of the run")  # the field that the form begins at, explained at the bottom
    app.send("mine").until("mine")
    app.send("\x13")  # ctrl+s
    app.until("RUNNING", "sparsity")
    paths = RunPaths(folder / "checkpoints" / "mine")
    wait_for(paths, Step, 2)
    app.send("p").until("PAUSED")
    wait_for(paths, Paused)
    before = len(read_journal(paths.journal))
    app.send("p").until("RUNNING")
    wait_for(paths, Resumed)
    wait_for(paths, Step, 4)
    assert len(read_journal(paths.journal)) > before

    # Detach: the app ends, the run goes on
    app.send("q").until("mine is still at work")
    app.send("y")
    assert app.ended() == 0
    assert b"\x1b[?1049l" in app.raw  # the alternate screen is left
    assert is_held(paths)
    count = sum(isinstance(event.what, Step) for event in read_journal(paths.journal))
    wait_for(paths, Step, count + 2)

    # Attach again; then the connection drops
    second = Terminal([COMMAND], folder=folder).until("mine", "RUNNING")
    second.send("\r").until("BLEU", "loss", "log")
    second.hang_up()
    count = sum(isinstance(event.what, Step) for event in read_journal(paths.journal))
    wait_for(paths, Step, count + 2)
    assert is_held(paths)
    assert gapless(paths)

    # A third one attaches and stops it
    third = Terminal([COMMAND], folder=folder).until("mine", "RUNNING")
    third.send("\r").until("loss")
    third.send("s").until("Stop")
    third.send("y").until("STOPPED")
    wait_for(paths, Stopped)
    third.send("q")
    assert third.ended() == 0
    assert not is_held(paths)
    assert gapless(paths)


def test_the_whole_way_through_the_app(folder: Path) -> None:
    """New run, live, pause, detach, attach, layers, compare, playground with pasted Ruby, quit."""
    done = call("run", write(folder, "short.toml", rounds=2, steps=3), "--name", "short", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (
        call("run", write(folder, "long.toml", rounds=1, steps=100_000), "--name", "long", "--detach", folder=folder).returncode
        == 0
    )
    assert call("stop", "long", folder=folder).returncode == 0

    app = Terminal([COMMAND], size=(160, 48), folder=folder).until("short", "DONE", "long", "STOPPED")
    app.send("c").until("New run", "100000")
    app.until("name  Name of the run")
    app.send("mine").until("mine")
    app.send("\x13").until("[2 Live]", "RUNNING", "loss")
    mine = RunPaths(folder / "checkpoints" / "mine")
    wait_for(mine, Step, 2)
    app.send("p").until("PAUSED")
    wait_for(mine, Paused)
    app.send("q").until("mine is still at work")
    app.send("y")
    assert app.ended() == 0
    assert is_held(mine), "the worker stays without the app"

    app = Terminal([COMMAND], folder=folder).until("mine", "PAUSED", "short")
    app.send("3").until("[3 Layers]")
    app.send("4").until("[4 Compare]", "3 rounds of 1 run", "chrF by sparsity %")
    app.send("xxxx").until("chrF by ms per token")
    app.send("+").until("zoom ×2")
    app.send("e").until("Write into the current folder as:")
    app.send("\r").until("compare-1.csv")
    app.send("5").until("[5 Playground]", "method 4 of 18")
    app.send("\x1b[200~# Adds numbers.\ndef add(a, b)\n  a + b\nend\x1b[201~")
    app.until("method 1 of 1", "own comment: Adds numbers.", "tok/s")
    app.send("q").until("mine is still at work")
    app.send("y")
    assert app.ended() == 0
    assert b"\x1b[?1049l" in app.raw
    assert len((folder / "compare-1.csv").read_text().splitlines()) == 4
    assert call("stop", "mine", folder=folder).returncode == 0
    assert gapless(mine)


def test_the_demo_prunes_the_bundled_model_at_one_key(folder: Path) -> None:
    app = Terminal([COMMAND, "demo"], folder=folder).until("example-run", "read-only", "ruby-mini", "d prunes")
    app.send("\r").until("example-run", "DONE", "sparsity")
    app.send("p").until("example-run is an example")
    app.send("1").until("d prunes")
    app.send("d").until("demo-1", "RUNNING", "loss")
    paths = RunPaths(folder / "checkpoints" / "demo-1")
    wait_for(paths, Step)
    app.send("s").until("Stop demo-1?")
    app.send("y").until("STOPPED")
    app.send("q")
    assert app.ended() == 0
    assert not is_held(paths)
    assert [run.name for run in (folder / "checkpoints").glob("[!.]*")] == ["demo-1"]


def test_sigterm_to_the_worker_saves_a_checkpoint_and_a_kill_loses_nothing(folder: Path) -> None:
    recipe = write(folder, "long.toml", rounds=0, steps=1000)
    assert call("run", recipe, "--name", "long", "--detach", folder=folder).returncode == 0
    paths = RunPaths(folder / "checkpoints" / "long")
    wait_for(paths, Step, 2)
    pid = next(event.what.pid for event in read_journal(paths.journal) if isinstance(event.what, RunStarted))
    os.kill(pid, signal.SIGTERM)
    wait_for(paths, Stopped)
    stopped = next(event.what for event in read_journal(paths.journal) if isinstance(event.what, Stopped))
    assert stopped.step > 0
    assert stopped.reason == "SIGTERM"
    assert call("resume", "long", "--detach", folder=folder).returncode == 0
    wait_for(paths, RunStarted, 2)
    again = [event.what for event in read_journal(paths.journal) if isinstance(event.what, RunStarted)][-1]
    assert (again.resumed, again.step) == (True, stopped.step)
    wait_for(paths, Step, 4)
    os.kill(again.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while is_held(paths):
        assert time.monotonic() < deadline
    assert "CRASHED" in call("status", "long", folder=folder).stdout
    assert call("resume", "long", folder=folder).returncode == 0
    events = read_journal(paths.journal)
    assert isinstance(events[-1].what, RunFinished)
    assert gapless(paths)


def test_sigterm_to_the_app_restores_the_terminal_and_leaves_the_worker(folder: Path) -> None:
    recipe = write(folder, "long.toml", rounds=1, steps=100_000)
    assert call("run", recipe, "--name", "long", "--detach", folder=folder).returncode == 0
    paths = RunPaths(folder / "checkpoints" / "long")
    app = Terminal([COMMAND], folder=folder).until("long", "RUNNING")
    os.kill(app.process.pid, signal.SIGTERM)
    assert app.ended() == 0
    assert b"\x1b[?1049l" in app.raw
    assert is_held(paths)
    assert call("stop", "long", folder=folder).returncode == 0
