"""A real pseudo-terminal with a program in it, read the way a person reads it: as the text on the screen."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pexpect
import pyte

PATIENCE_S = 240.0
"""Far longer than anything takes; only a test that fails waits for it."""


class Terminal:
    """Runs a program in a pseudo-terminal.

    Args:
        command: Program and arguments.
        size: Columns and lines.
        folder: Working directory.
    """

    def __init__(self, command: Sequence[str], size: tuple[int, int] = (80, 24), folder: Path | None = None) -> None:
        columns, lines = size
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        for name in ("CODEPRUNE_CHECKPOINTS", "COLUMNS", "LINES"):  # the last two would be believed rather than the terminal
            environment.pop(name, None)
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.process = pexpect.spawn(
            command[0],
            list(command[1:]),
            dimensions=(lines, columns),
            cwd=folder and str(folder),
            env=environment,
            timeout=PATIENCE_S,
        )
        self.process.delaybeforesend = None

    @property
    def text(self) -> str:
        """The screen's lines."""
        return "\n".join(self.screen.display)

    def until(self, *texts: str, gone: str = "") -> "Terminal":
        """Waits until all texts are on the screen, and one is no longer."""
        deadline = time.monotonic() + PATIENCE_S
        while not (all(text in self.text for text in texts) and (not gone or gone not in self.text)):
            assert time.monotonic() < deadline, f"never saw {texts} (without {gone!r}); the screen:\n{self.text}"
            assert self._read(), f"the program ended before {texts}; the screen:\n{self.text}"
        return self

    def send(self, keys: str) -> "Terminal":
        """Types."""
        self.process.send(keys)
        return self

    def ended(self) -> int:
        """Waits for the end of the program; its exit status, or minus the signal."""
        while self._read():
            pass
        self.process.wait()
        return self.process.exitstatus if self.process.signalstatus is None else -self.process.signalstatus

    def hang_up(self) -> int:
        """The terminal dies, as a dropped connection's does: the kernel sends SIGHUP and input ends."""
        pid = self.process.pid
        pty = self.process.ptyproc
        pty.fileobj.close()  # not pexpect's own close, which sends signals itself and gives up after half a second
        pty.closed = self.process.closed = True
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            ended, status = (
                os.waitpid(pid, os.WNOHANG) if self.process.exitstatus is None and self.process.signalstatus is None else (pid, 0)
            )
            if ended:
                return os.waitstatus_to_exitcode(status) if status else (self.process.exitstatus or 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        raise AssertionError("the program outlived its terminal")

    def _read(self) -> bool:
        try:
            data = self.process.read_nonblocking(65536, timeout=1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        return True
