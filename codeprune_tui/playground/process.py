"""Starts the playground process when it is first needed, speaks with it, and makes sure that it ends with the app.

The process ends with its stdin, so a killed app leaves nothing behind; an app that leaves in good order ends it at once. Imports
no torch; knows neither Textual nor the screen.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.run.exchange import Reply, Request, read_reply, to_line

from ..runs.client import how_it_ended
from ..views.plain import plain

PLAYGROUND = (sys.executable, "-P", "-m", "core.playground")
"""The command of the playground. -P: a folder `core` in the working directory must not shadow ours."""
THREADS_VARIABLE = "CODEPRUNE_PLAYGROUND_THREADS"
THREADS = "2"
"""CPU threads, few: a run may be training beside it."""
LONGEST_REPLY = 64 * 1024 * 1024
"""Bytes; far more than the longest list of methods."""
TAIL_LINES = 6
"""Lines of the process's stderr that are kept for the report of its end."""


@dataclass(frozen=True)
class Gone:
    """The process has ended without a request."""

    how: str
    """In words, with the end of what it wrote to stderr."""


class Playground:
    """The process, or none yet.

    Args:
        hear: Takes every reply, and the news that the process is gone; called in the event loop.
        command: The process's command line, less its options; None for the real one.
    """

    def __init__(self, hear: Callable[[Reply | Gone], object], command: Sequence[str] | None = None) -> None:
        self._hear = hear
        self.device = "auto"
        """Where the process computes, as a recipe says it; set before the first request."""
        self._command = command or PLAYGROUND
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The process's id, while it lives."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def ask(self, request: Request) -> None:
        """Sends a request; starts the process if there is none."""
        async with self._starting:
            if self._closing:
                return
            if self._process is None:
                try:
                    await self._start()
                except OSError as error:
                    self._hear(Gone(f"could not be started: {error}"))
                    return
            process = self._process
        if process is not None and process.stdin is not None:
            # A process that is gone is reported by whoever reads its replies.
            with contextlib.suppress(ConnectionError, RuntimeError):
                process.stdin.write(to_line(request))
                await process.stdin.drain()

    async def _start(self) -> None:
        threads = os.environ.get(THREADS_VARIABLE, "")
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            "--threads",
            threads if threads.isdecimal() else THREADS,
            "--device",
            self.device,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_REPLY,
        )
        self._reader = asyncio.create_task(self._listen(self._process))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        watching = asyncio.create_task(_keep_tail(process.stderr, tail))
        with contextlib.suppress(ValueError):  # a line beyond all limits: not ours, so the process is given up
            while line := await process.stdout.readline():
                # The screen that closed the process is gone by now, so nobody needs its last output.
                if (reply := read_reply(line)) is not None and not self._closing:
                    self._hear(reply)
        _kill(process)
        code = await process.wait()
        await watching
        if not self._closing:
            self._process = None
            self._hear(Gone("\n".join([how_it_ended(code), *tail])))

    async def close(self) -> None:
        """Ends the process for good."""
        self._closing = True
        async with self._starting:
            process, self._process = self._process, None
        if process is not None:
            _kill(process)  # it has nothing to save
            if process.stdin is not None:
                process.stdin.close()
        if self._reader is not None:
            await self._reader


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kills a process, and leaves its exit code to whoever waits for it.

    The process's own `kill` asks first whether it has ended, and so takes the exit code of one that just did away from the thread
    of asyncio that waits for it: asyncio then reports 255, with a warning on stderr.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


async def _keep_tail(stream: asyncio.StreamReader, tail: "deque[str]") -> None:
    """Reads stderr, so that it never fills up, and keeps the end of it."""
    rest = b""
    while chunk := await stream.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        tail.extend(plain(line.decode("utf-8", "replace"), 300) for line in lines if line.strip())
        rest = rest[-65536:]
    if rest.strip():
        tail.append(plain(rest.decode("utf-8", "replace"), 300))
