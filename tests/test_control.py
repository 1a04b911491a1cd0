"""Commands to a worker: what is obeyed, what is refused, and what was meant for an earlier worker."""

import os
import signal
from pathlib import Path

import pytest

from core.run.control import Control
from core.run.journal import append_command


@pytest.fixture
def heard() -> list[str]:
    return []


def control(path: Path, heard: list[str]) -> Control:
    return Control(path, path.stat().st_size if path.exists() else 0, heard.append, heard.append)


def test_pause_resume_and_stop(tmp_path: Path, heard: list[str]) -> None:
    worker = control(tmp_path / "commands.jsonl", heard)
    worker.poll()
    assert not worker.pausing
    append_command(tmp_path / "commands.jsonl", {"command": "pause"})
    worker.poll()
    assert worker.pausing
    append_command(tmp_path / "commands.jsonl", {"command": "resume"})
    append_command(tmp_path / "commands.jsonl", {"command": "stop"})
    worker.poll()
    assert not worker.pausing
    assert worker.stopping == "stop"
    assert heard == ["pause", "resume", "stop"]


def test_pause_after_counts_rounds(tmp_path: Path, heard: list[str]) -> None:
    worker = control(tmp_path / "commands.jsonl", heard)
    append_command(tmp_path / "commands.jsonl", {"command": "pause-after", "rounds": 2})
    worker.poll()
    worker.round_ended()
    assert not worker.pausing
    worker.round_ended()
    assert worker.pausing
    assert heard == ["pause-after 2"]


def test_commands_to_an_earlier_worker_are_left_alone(tmp_path: Path, heard: list[str]) -> None:
    append_command(tmp_path / "commands.jsonl", {"command": "stop"})
    worker = control(tmp_path / "commands.jsonl", heard)
    worker.poll()
    assert (worker.stopping, heard) == ("", [])


@pytest.mark.parametrize(
    "line",
    [
        '{"command":"format disk"}',
        "pause",
        "[" * 100_000,
        "{}",
        '{"command":"pause-after","rounds":true}',
        '{"command":"pause-after","rounds":0}',
    ],
)
def test_what_is_no_command_is_refused_and_harmless(tmp_path: Path, heard: list[str], line: str) -> None:
    worker = control(tmp_path / "commands.jsonl", heard)
    (tmp_path / "commands.jsonl").write_text(line + "\n")
    worker.poll()
    assert len(heard) == 1
    assert heard[0].startswith("commands.jsonl: ")
    assert (worker.pausing, worker.stopping, worker.rounds_left) == (False, "", None)


def test_half_a_line_waits_for_its_end(tmp_path: Path, heard: list[str]) -> None:
    worker = control(tmp_path / "commands.jsonl", heard)
    with (tmp_path / "commands.jsonl").open("a") as file:
        file.write('{"command":')
        file.flush()
        worker.poll()
        assert heard == []
        file.write('"pause"}\n')
    worker.poll()
    assert heard == ["pause"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_is_a_wish_to_stop(tmp_path: Path, heard: list[str], name: str) -> None:
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in signals]
    try:
        worker = control(tmp_path / "commands.jsonl", heard)
        worker.stop_on_signals()
        assert not worker.signalled
        os.kill(os.getpid(), signal.Signals[name])
        assert (worker.stopping, worker.signalled) == (name, True)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def test_a_paused_worker_hears_what_comes_after_its_commands_were_emptied(tmp_path: Path, heard: list[str]) -> None:
    path = tmp_path / "commands.jsonl"
    worker = control(path, heard)
    append_command(path, {"command": "pause"})
    worker.poll()
    path.write_bytes(b"")
    append_command(path, {"command": "resume"})
    worker.poll()
    assert not worker.pausing
