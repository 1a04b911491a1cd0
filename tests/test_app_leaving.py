"""The app in a real pseudo-terminal: it opens, and it always leaves: quickly, with the terminal as it was, alone."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from app_runs import beginning, live, make_run, step

from codeprune_tui.words import reopening

ROOT = Path(__file__).resolve().parent.parent
BACK_FROM_THE_ALTERNATE_SCREEN = "\x1b[?1049l"
HEAVY = ("torch", "transformers", "accelerate", "datasets", "safetensors", "tokenizers", "nltk", "sacrebleu", "tree_sitter")
PATIENCE_S = 60
"""For the app to open on a busy machine; not what is tested."""
SLACK_S = 10
"""For a busy machine to end a process; what is promised on an idle one is a second."""


def command(checkpoints: Path) -> list[str]:
    program = f"from pathlib import Path; from codeprune_tui.app import run_app; run_app(Path({str(checkpoints)!r}))"
    return [sys.executable, "-c", program]


def environment() -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}  # type: ignore[dict-item]


def opened(checkpoints: Path) -> "pexpect.spawn[str]":
    words = command(checkpoints)
    child = pexpect.spawn(words[0], words[1:], env=environment(), dimensions=(24, 80), encoding="utf-8", timeout=PATIENCE_S)
    child.expect("STALE")
    return child


@pytest.fixture
def checkpoints(tmp_path: Path) -> Iterator[Path]:
    paths, _ = make_run(tmp_path, "ruby-1", [*beginning("ruby-1"), step(0, 1)])
    with live(paths):
        yield tmp_path


def test_sigterm_restores_the_terminal(checkpoints: Path) -> None:
    child = opened(checkpoints)
    child.kill(signal.SIGTERM)
    child.expect(re.escape(BACK_FROM_THE_ALTERNATE_SCREEN), timeout=SLACK_S)
    child.expect(pexpect.EOF, timeout=SLACK_S)
    child.close()
    assert child.exitstatus == 0


def test_q_detaches_and_says_what_goes_on(checkpoints: Path) -> None:
    child = opened(checkpoints)
    child.send("q")
    child.expect("Detach: the app closes", timeout=PATIENCE_S)
    child.send("y")
    child.expect(re.escape(BACK_FROM_THE_ALTERNATE_SCREEN), timeout=SLACK_S)
    again = re.escape(f"codeprune-tui --checkpoints {checkpoints}")
    child.expect(f"Still at work in {re.escape(str(checkpoints))}: ruby-1\\.\r\n", timeout=SLACK_S)
    child.expect(f"Watch again: {again}\r\nStop: {again} stop ruby-1\r\n", timeout=SLACK_S)
    child.expect(pexpect.EOF, timeout=SLACK_S)
    child.close()
    assert child.exitstatus == 0


def test_hang_up_ends_it(checkpoints: Path) -> None:
    child = opened(checkpoints)
    os.close(child.child_fd)  # the kernel sends SIGHUP, as when a connection drops
    assert_ends(lambda: os.waitpid(child.pid, os.WNOHANG)[0] == child.pid)
    child.closed = True
    child.child_fd = -1
    child.terminated = True


def test_end_of_input_without_a_signal_ends_it(checkpoints: Path) -> None:
    # A terminal that isn't the controlling one sends no SIGHUP when it goes: only the hang-up itself can be seen.
    terminal, end = pty.openpty()
    process = subprocess.Popen(command(checkpoints), env=environment(), stdin=end, stdout=end, stderr=end, start_new_session=True)
    os.close(end)
    drain_until(terminal, b"STALE")
    os.close(terminal)
    assert_ends(lambda: process.poll() is not None)
    assert process.returncode == 0


def test_a_terminal_that_takes_nothing_cannot_hold_it(checkpoints: Path) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(command(checkpoints), env=environment(), stdin=end, stdout=end, stderr=end, start_new_session=True)
    os.close(end)
    drain_until(terminal, b"STALE")
    for _ in range(200):
        os.write(terminal, b"261\x1b")  # much to paint, and nobody who reads it
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert_ends(lambda: process.poll() is not None)
    os.close(terminal)


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    result = subprocess.run(command(tmp_path), env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.strip() == "The app needs a terminal. Without one, use: codeprune-tui status, run, pause, resume, stop."


def test_a_foreign_core_is_named(tmp_path: Path) -> None:
    program = (
        "import core; core.OWNER = None\nfrom pathlib import Path\nfrom codeprune_tui.app import run_app\nrun_app(Path('x'))"
    )
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert result.returncode == 1
    assert "Another package named core is in the way" in result.stderr
    assert "pipx install codeprune-tui" in result.stderr


def test_the_app_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport codeprune_tui.app, codeprune_tui.tui\n"
        "from codeprune_tui.screens import help, live, new_run, runs\n"
        f"codeprune_tui.tui.CodepruneApp(Path({str(tmp_path)!r}))\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_first_screen_loads_no_charts(tmp_path: Path) -> None:
    program = "import sys, codeprune_tui.tui, codeprune_tui.screens.runs\nprint({'textual_plot', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def drain_until(terminal: int, text: bytes) -> None:
    seen, end = b"", time.monotonic() + PATIENCE_S
    while text not in seen:
        assert time.monotonic() < end, seen[-2000:]
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536)


def assert_ends(ended: Callable[[], bool]) -> None:
    end = time.monotonic() + SLACK_S
    while not ended():
        assert time.monotonic() < end, "it did not leave"
        time.sleep(0.02)


def test_the_command_to_come_back_names_the_folder_unless_it_is_found_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reopening(Path("checkpoints")) == ("codeprune-tui", str(tmp_path))
    assert reopening(tmp_path / "checkpoints") == ("codeprune-tui", str(tmp_path))
    assert reopening(Path("my runs")) == (f"codeprune-tui --checkpoints '{tmp_path}/my runs'", str(tmp_path / "my runs"))
