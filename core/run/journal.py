"""Append-only JSON lines: the journal that the worker writes, and the commands that it reads.

Knows lines and byte offsets, not what they mean. A writer repairs a torn last line (a crash in the middle of a write)
before it appends; a reader leaves an unfinished last line for the next poll, so that it never sees half an event.
"""

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from ..regularfile import append_regular, check_regular, open_regular
from .events import Event, Happening, from_line, to_line

CHUNK_BYTES = 256 * 1024
"""Most bytes that one poll reads: a journal of gigabytes must not freeze its reader, and events outside the caches are slower."""
TAIL_BYTES = 64 * 1024
"""Bytes that are read at the end of a journal."""
LINE_BYTES = 16 * 1024 * 1024
"""Most bytes of a line; the reader skips a longer one as damaged, rather than filling the memory."""


class JournalWriter:
    """Appends events with a gapless `seq`; only the worker that holds the lock may have one.

    Args:
        path: `events.jsonl`, made if missing.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        _cut_torn_line(path)
        self._next = _last_seq(path) + 1
        self.resumed = self._next > 0
        """Whether the journal had events before."""
        self._path = path
        self._file = os.fdopen(append_regular(path), "ab", buffering=0)

    def append(self, what: Happening) -> Event:
        """Writes one event; it is with the kernel, and so survives a killed process, when this returns.

        Raises:
            OSError: The system takes no more, such as on a full disk; nothing of the event is left in the file.
        """
        event = Event(self._next, self._clock(), what)
        # Half a surrogate pair (from a file name, or a damaged row) is no text: it must not stop a run.
        line = to_line(event.seq, event.time, what).encode("utf-8", "replace")
        size = os.fstat(self._file.fileno()).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if len(rest) < len(line):  # half a line would spoil the next one, for which there may be room again
                self._file.truncate(size)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._next += 1
        return event

    def fileno(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()

    def close(self) -> None:
        """Makes the journal survive a power cut, too."""
        os.fsync(self._file.fileno())
        self._file.close()


class LineReader:
    """Reads a growing file line by line, from any point, tolerating what is not there yet.

    Args:
        path: The file; it need not exist yet.
        offset: Byte to start from, the beginning of a line.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self._skipping = False
        self._file: tuple[int, int] | None = None
        self._after_line = False
        """Whether the offset is known to stand behind a line's end."""

    def poll(self, limit_bytes: int = CHUNK_BYTES) -> list[bytes]:
        """The complete lines that have come since the last poll, at most about `limit_bytes` of them.

        A file that was emptied or replaced meanwhile is read from its beginning.
        """
        try:
            there = self.path.stat()
            if not stat.S_ISREG(there.st_mode):
                return []
            if there.st_size < self.offset or self._file not in (None, (there.st_dev, there.st_ino)):
                self.offset, self._skipping, self._after_line = 0, False, False
            self._file = there.st_dev, there.st_ino
            if there.st_size <= self.offset:
                return []
            with open_regular(self.path) as file:
                if self._after_line:
                    file.seek(self.offset - 1)
                    self.offset = self.offset if file.read(1) == b"\n" else 0  # emptied, and more than that written since
                file.seek(self.offset)
                chunk = file.read(limit_bytes)
                while b"\n" not in chunk and len(chunk) < LINE_BYTES and (more := file.read(limit_bytes)):
                    chunk += more
        except OSError:
            return []
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            if len(chunk) >= LINE_BYTES:
                self._skipping, self._after_line = True, False
                self.offset += len(chunk)
            return []
        self.offset += end
        self._after_line = True
        lines = chunk[:end].split(b"\n")[:-1]
        if self._skipping:
            lines[0] = b"(a line of more than 16 MB was left out)"
            self._skipping = False
        return [line for line in lines if line.strip()]


class JournalReader:
    """Reads the events of a journal as they come.

    Args:
        path: `events.jsonl`; it need not exist yet.
        offset: Byte to start from, the beginning of a line.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._lines = LineReader(path, offset)

    def poll(self, limit_bytes: int = CHUNK_BYTES) -> list[Event]:
        """The events since the last poll; an empty list means: nothing new."""
        return [from_line(line) for line in self._lines.poll(limit_bytes)]


def read_journal(path: Path) -> list[Event]:
    """All events of a journal so far."""
    reader, events = JournalReader(path), []
    while batch := reader.poll():
        events += batch
    return events


def read_tail(path: Path, limit_bytes: int = TAIL_BYTES) -> list[Event]:
    """The last events of a journal, as many as fit into `limit_bytes`."""
    return [from_line(line) for line in tail_lines(path, limit_bytes)]


def tail_lines(path: Path, limit_bytes: int = TAIL_BYTES) -> list[bytes]:
    """The last complete lines of a file, as many as fit into `limit_bytes`, unread; for lists of many runs."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit_bytes))
            chunk = file.read()
    except OSError:
        return []
    if size > limit_bytes:
        chunk = chunk[chunk.find(b"\n") + 1 :]
    return [line for line in chunk[: chunk.rfind(b"\n") + 1].splitlines() if line.strip()]


def append_command(path: Path, command: dict[str, object]) -> None:
    """Appends one command in one write, so that several writers cannot mix their lines.

    Raises:
        OSError: It cannot be written, or is no regular file: a pipe would block this process.
    """
    descriptor = append_regular(path)
    try:
        os.write(descriptor, (json.dumps(command) + "\n").encode())
    finally:
        os.close(descriptor)


def _cut_torn_line(path: Path) -> None:
    if not os.path.lexists(path):
        return
    check_regular(path)
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        keep = size
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)


def _last_seq(path: Path) -> int:
    for limit in (TAIL_BYTES, LINE_BYTES):
        seqs = [event.seq for event in read_tail(path, limit) if event.seq >= 0]
        if seqs:
            return seqs[-1]
    # Nothing readable near the end: read it all rather than number anew.
    return max((event.seq for event in read_journal(path)), default=-1)
