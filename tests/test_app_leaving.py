"""The app in a real pseudo-terminal: it opens, and it always leaves: quickly, with the terminal as it was, alone."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from app_runs import beginning, live, make_run, step

from codeprune_tui.views.text import reopening

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


RESTORED = ("\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l", "\x1b[?1000l", "\x1b[?1003l", "\x1b[?1006l", "\x1b[?1004l")
"""Back from the alternate screen, cursor on, bracketed paste, mouse and focus reports off."""
BUSY = {
    "computing": "while True: pass",
    "waiting": "import time; time.sleep(600)",
    "locked": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
}


def broken_command(checkpoints: Path, body: str, thread: bool = False) -> list[str]:
    """The app, but the first key `z` does something that the app never should."""
    start = "threading.Thread(target=body).start()" if thread else "body()"
    program = (
        "import sys, threading\nfrom pathlib import Path\nfrom codeprune_tui import tui\nfrom codeprune_tui.app import run_app\n"
        f"def body():\n    {body}\n"
        "whole = tui.CodepruneApp.on_event\n"
        "async def on_event(self, event):\n"
        f"    if getattr(event, 'key', '') == 'z': {start}\n"
        "    await whole(self, event)\n"
        "tui.CodepruneApp.on_event = on_event\n"
        f"run_app(Path({str(checkpoints)!r}))"
    )
    return [sys.executable, "-c", program]


def environment() -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}  # type: ignore[dict-item]


def opened(checkpoints: Path, words: list[str] | None = None) -> "pexpect.spawn[str]":
    words = words or command(checkpoints)
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


def rest_of(child: "pexpect.spawn[str]") -> str:
    """All that is written until the end."""
    child.expect(pexpect.EOF, timeout=SLACK_S)
    child.close()
    return child.before or ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("busy", BUSY)
def test_a_signal_restores_the_terminal_whatever_the_app_is_at(checkpoints: Path, busy: str, number: signal.Signals) -> None:
    child = opened(checkpoints, broken_command(checkpoints, BUSY[busy]))
    child.send("z")
    time.sleep(0.3)
    assert not termios.tcgetattr(child.child_fd)[3] & termios.ECHO
    child.kill(number)
    child.expect(pexpect.EOF, timeout=SLACK_S)
    assert termios.tcgetattr(child.child_fd)[3] & termios.ECHO
    assert all(mark in (child.before or "") for mark in RESTORED)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_signals_restore_the_terminal(checkpoints: Path, number: signal.Signals) -> None:
    child = opened(checkpoints)
    child.kill(number)
    text = rest_of(child)
    assert all(mark in text for mark in RESTORED)
    assert child.exitstatus == 0


@pytest.mark.parametrize("error", ["ValueError('odd \\x1b[31m')", "RecursionError()", "OSError(5, 'x')", "MemoryError()"])
def test_a_defect_ends_it_with_a_report(checkpoints: Path, error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state/codeprune-tui").mkdir(parents=True)
    (tmp_path / "state/codeprune-tui/tips-shown").touch()
    child = opened(checkpoints, broken_command(checkpoints, f"raise {error}"))
    child.send("z")
    text = rest_of(child)
    assert child.exitstatus == 1
    assert all(mark in text for mark in RESTORED)
    last_words = text.rpartition("\x1b[?25h")[2]
    assert "The app has ended. This is a defect: " in last_words
    assert "\x1b" not in last_words
    assert "Traceback" not in last_words
    [report] = (tmp_path / "state/codeprune-tui").glob("defect-*.txt")
    assert str(report) in last_words.replace("\r\n", "")
    assert error.partition("(")[0] in report.read_text()
    assert "in on_event" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


def test_a_defect_of_a_thread_is_told(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = opened(checkpoints, broken_command(checkpoints, "raise ValueError('odd')", thread=True))
    child.send("z")
    child.expect("This is a defect: ", timeout=SLACK_S)
    child.kill(signal.SIGTERM)
    rest_of(child)
    assert child.exitstatus == 0


@pytest.mark.parametrize(
    "odd", ["\x1b[:A", "\x1b[97;1:3u", "\x1b[99999999999u", "\x1b[48;99999999;99999999;1;1t", "\x1b[<0;99999999999999999999;5M"]
)
def test_sequences_that_no_parser_knows_end_nothing(checkpoints: Path, odd: str) -> None:
    child = opened(checkpoints)
    child.send(odd)
    time.sleep(0.3)
    child.send("q")
    child.expect("Detach: the app closes", timeout=PATIENCE_S)
    child.send("y")
    rest_of(child)
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
