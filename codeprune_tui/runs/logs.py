"""A run's logs as text, for reading: the output of its worker, and the events of its journal.

Only the end of a file is read, block by block: a log of gigabytes must not fill the memory. Every line is made harmless here.
Knows neither Textual nor the search.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.regularfile import open_regular
from core.run.events import (
    Evaluated,
    Evaluating,
    FloorsMeasured,
    MatrixMeasured,
    Measuring,
    Scores,
    Step,
    Unknown,
    from_line,
)
from core.run.folder import RunPaths

from ..views.plain import LIMIT, plain
from ..views.shorten import path_end
from ..views.text import sentence

BLOCK_BYTES = 1024 * 1024
LOG_BYTES = 8 * 1024 * 1024
"""Bytes at the end of a worker's log that are read."""
JOURNAL_BYTES = 64 * 1024 * 1024
"""Bytes at the end of a journal that are read: nearly all of them are steps, which are left out."""
MOST_LINES = 50_000
LONGEST_BYTES = 4 * LIMIT
"""Bytes that are kept of a line without an end; more are never shown."""
PERIOD_S = 0.5
MANY = tuple(b'"event": "%b"' % name for name in (b"step", b"evaluating", b"measuring", b"matrix"))
"""Events that move numbers and pictures; a log full of them would hide what matters."""


@dataclass(frozen=True)
class LogText:
    """A log as it is known now."""

    name: str
    """Which log of which run, safe to show."""
    lines: tuple[str, ...] = ()
    """Oldest first, safe to show."""
    gone: int = 0
    """How many lines have left at the beginning since it was opened."""
    before_bytes: int = 0
    """Where in the file the first line begins, if lines before it are left out; otherwise 0."""
    opened: int = 0
    """Counts how often the file was begun anew, as when another one took its place."""


class LogFile:
    """The end of one growing file, line by line.

    Args:
        path: The file; it need not exist yet.
        read: From a line without its end to what is shown of it; None to leave it out.
        most_bytes: How much of its end to read.
        torn: Whether a last line without an end is shown; otherwise it waits for its end.
    """

    def __init__(self, path: Path, read: Callable[[bytes], str | None], most_bytes: int, torn: bool) -> None:
        self._path = path
        self._read = read
        self._most_bytes = most_bytes
        self._show_torn = torn
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._offsets: deque[int] = deque(maxlen=MOST_LINES)
        """Where in the file each line begins."""
        self._torn = b""
        self._long = 0
        """Bytes of it that were not kept."""
        self._file = (-1, 0)
        """(inode, offset read up to)"""
        self._gone = self._opened = 0
        self._began = 0
        """Where the first line begins that was read."""
        self._at = 0
        """Where the line begins that has no end yet."""
        self._first = False
        """Whether that line begins before what is read."""

    def poll(self, leave: Callable[[], bool] = lambda: False) -> bool:
        """Reads what has come; whether that changed anything.

        Args:
            leave: Asked between blocks: whether nobody wants the rest any more.
        """
        try:
            with open_regular(self._path) as file:
                status = os.fstat(file.fileno())
                inode, offset = self._file
                changed = inode != status.st_ino or status.st_size < offset
                if changed or status.st_size - offset > self._most_bytes:
                    offset = self._begin(max(0, status.st_size - self._most_bytes))
                file.seek(offset)
                while offset < status.st_size and not leave() and (block := file.read(BLOCK_BYTES)):
                    self._take(block)
                    offset += len(block)
                    changed = True
                self._file = (status.st_ino, offset)
                return changed
        except OSError:
            return False

    def text(self, name: str) -> LogText:
        """What is known, under a name."""
        torn = (self._read(self._torn) or "",) if self._torn and self._show_torn else ()
        before = self._offsets[0] if self._gone else self._began
        return LogText(name, (*self._lines, *torn), self._gone, before, self._opened)

    def _begin(self, offset: int) -> int:
        self._lines.clear()
        self._offsets.clear()
        self._gone, self._began, self._at, self._torn, self._long = 0, offset, offset, b"", 0
        self._opened += 1
        self._first = offset > 0
        return offset

    def _take(self, block: bytes) -> None:
        *ended, torn = (self._torn + block).split(b"\n")
        for line in ended:
            begin, self._at = self._at, self._at + self._long + len(line) + 1
            self._long = 0
            if self._first:  # it begins in the middle of a line
                self._began, self._first = self._at, False
            else:
                self._append(line, begin)
        self._torn = torn[:LONGEST_BYTES]
        self._long += len(torn) - len(self._torn)

    def _append(self, line: bytes, begin: int) -> None:
        for part in line.rstrip(b"\r").split(b"\r"):  # a progress bar writes over itself: here each of its states is a line
            if (shown := self._read(part[:LONGEST_BYTES])) is not None:
                self._gone += len(self._lines) == MOST_LINES
                self._lines.append(shown)
                self._offsets.append(begin)


def worker_line(line: bytes) -> str:
    """A line of a worker's log, safe to show."""
    text = line.decode("utf-8", "replace").expandtabs(4)
    return text if len(text) <= LIMIT and text.isprintable() else plain(text)


class JournalLines:
    """Lines of one journal as sentences; remembers the floors, which not every event with a score repeats."""

    def __init__(self) -> None:
        self._floors: Mapping[str, Scores] = {}

    def __call__(self, line: bytes) -> str | None:
        """A line as a sentence, safe to show; None for the events of which there are too many."""
        if not line.strip() or any(name in line[:100] for name in MANY):
            return None
        event = from_line(line)
        what = event.what
        if isinstance(what, Step | Evaluating | Measuring | MatrixMeasured):
            return None
        if isinstance(what, FloorsMeasured):
            self._floors = {"name": what.name, "constant": what.constant}
        elif isinstance(what, Evaluated):
            self._floors = what.floors or self._floors
        time = "" if isinstance(what, Unknown) else _time(event.time)
        return plain(f"{time:<19} {sentence(event, self._floors)}")


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


def worker_log(paths: RunPaths) -> LogFile:
    """The worker's output."""
    return LogFile(paths.log, worker_line, LOG_BYTES, torn=True)


def journal_log(paths: RunPaths) -> LogFile:
    """The journal's events, in sentences."""
    return LogFile(paths.journal, JournalLines(), JOURNAL_BYTES, torn=False)


class LogWatch(threading.Thread):
    """Reads one log again and again while it is looked at.

    Args:
        log: The log.
        name: What it is called.
        publish: Takes its text when it changed, and once at the beginning; called in this thread.
        period_s: Seconds between two looks.
    """

    def __init__(self, log: LogFile, name: str, publish: Callable[[LogText], None], period_s: float = PERIOD_S) -> None:
        super().__init__(name="read a log", daemon=True)
        self._log = log
        self.text_name = name
        self._publish = publish
        self._period_s = period_s
        self._leave = threading.Event()

    def stop(self) -> None:
        """Ends the thread soon; nothing is published any more."""
        self._leave.set()

    def run(self) -> None:
        """Looks once in `period_s`."""
        first = True
        while not self._leave.is_set():
            if (self._log.poll(self._leave.is_set) or first) and not self._leave.is_set():
                self._publish(self._log.text(self.text_name))
            first = False
            self._leave.wait(self._period_s)


def matching(lines: tuple[str, ...], text: str) -> list[int]:
    """Numbers of the lines that hold a text; case counts only if the text has capitals."""
    if not text:
        return []
    if text == text.lower():
        return [number for number, line in enumerate(lines) if text in line.lower()]
    return [number for number, line in enumerate(lines) if text in line]


def spans(line: str, text: str) -> list[tuple[int, int]]:
    """(begin, end) of every place where a line holds a text; as `matching` compares."""
    if text == text.lower() and len(line.lower()) == len(line):
        line = line.lower()
    places, at = [], line.find(text) if text else -1
    while at >= 0:
        places.append((at, at + len(text)))
        at = line.find(text, at + len(text))
    return places


def first_words(text: LogText, path: Path) -> str:
    """The text above the first line if part of the file is left out; "" if all of it is there."""
    if not text.before_bytes:
        return ""
    size = f"{text.before_bytes / 1e6:,.1f} MB" if text.before_bytes >= 1e6 else f"{text.before_bytes / 1e3:,.1f} kB"
    return f"… {size} above are left out; the whole log is {path_end(plain(str(path)), 200)}"
