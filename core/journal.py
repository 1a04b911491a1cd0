"""Append-only JSON lines: the journal that the worker writes, and the commands that it reads.

Knows lines and byte offsets, not what they mean. A writer repairs a torn last line (a crash in the middle of a write)
before it appends; a reader leaves an unfinished last line for the next poll, so that it never sees half an event.
"""

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from .events import Event, Happening, from_line, to_line

CHUNK_BYTES = 256 * 1024
"""Most that one poll reads: a journal of gigabytes must not freeze its reader, and events that leave the caches are slower."""
LINE_BYTES = 16 * 1024 * 1024
"""A line longer than this is damage; its reader skips it rather than filling the memory."""


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
        self._file = path.open("ab", buffering=0)

    def append(self, what: Happening) -> Event:
        """Writes one event; it is with the kernel, and so survives a killed process, when this returns."""
        event = Event(self._next, self._clock(), what)
        # Half a surrogate pair (from a file name, or a damaged row) is no text: it must not stop a run.
        line = to_line(event.seq, event.time, what).encode("utf-8", "replace")
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, "the journal could not be written to its end", self._file.name)
        self._next += 1
        return event

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

    def poll(self, limit_bytes: int = CHUNK_BYTES) -> list[bytes]:
        """The complete lines that have come since the last poll, at most about `limit_bytes` of them."""
        try:
            if self.path.stat().st_size <= self.offset:
                return []
            with self.path.open("rb") as file:
                file.seek(self.offset)
                chunk = file.read(limit_bytes)
                while b"\n" not in chunk and len(chunk) < LINE_BYTES and (more := file.read(limit_bytes)):
                    chunk += more
        except OSError:
            return []
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            if len(chunk) >= LINE_BYTES:
                self._skipping = True
                self.offset += len(chunk)
            return []
        self.offset += end
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


def read_tail(path: Path, limit_bytes: int = 65536) -> list[Event]:
    """The last events of a journal, as many as fit into `limit_bytes`."""
    return [from_line(line) for line in tail_lines(path, limit_bytes)]


def tail_lines(path: Path, limit_bytes: int = 65536) -> list[bytes]:
    """The last complete lines of a file, as many as fit into `limit_bytes`, unread; for lists of many runs."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit_bytes))
            chunk = file.read()
    except OSError:
        return []
    if size > limit_bytes:
        chunk = chunk[chunk.find(b"\n") + 1 :]
    return [line for line in chunk[: chunk.rfind(b"\n") + 1].splitlines() if line.strip()]


def append_command(path: Path, command: dict[str, object]) -> None:
    """Appends one command in one write, so that several writers cannot mix their lines."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, (json.dumps(command) + "\n").encode())
    finally:
        os.close(descriptor)


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        keep = size
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            found = file.read(keep - start).rfind(b"\n")
            if found >= 0:
                keep = start + found + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)


def _last_seq(path: Path) -> int:
    for limit in (65536, LINE_BYTES):
        seqs = [event.seq for event in read_tail(path, limit) if event.seq >= 0]
        if seqs:
            return seqs[-1]
    # Nothing readable near the end: read it all rather than number anew.
    return max((event.seq for event in read_journal(path)), default=-1)
