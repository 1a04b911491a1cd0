"""The journal: gapless numbers, torn lines, late readers, lines that are too long."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.run import journal
from core.run.events import Event, Failed, Unknown, Warned
from core.run.journal import JournalReader, JournalWriter, LineReader, append_command, read_journal, read_tail


def write(path: Path, *messages: str) -> None:
    writer = JournalWriter(path, clock=lambda: 5.0)
    for message in messages:
        writer.append(Warned(message=message))
    writer.close()


def read(path: Path) -> list[tuple[int, str]]:
    return [(event.seq, event.what.message if isinstance(event.what, Warned) else "?") for event in read_journal(path)]


def test_numbers_go_on_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b")
    write(path, "c")
    assert read(path) == [(0, "a"), (1, "b"), (2, "c")]


def test_append_returns_the_event_that_is_written(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "events.jsonl", clock=lambda: 5.0)
    event = writer.append(Warned(message="a"))
    assert event == Event(0, 5.0, Warned(message="a"))
    assert read_journal(tmp_path / "events.jsonl") == [event]  # before it is closed
    writer.close()


def test_a_torn_last_line_is_cut_before_writing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b")
    whole = path.read_bytes()
    for torn in (b'{"seq": 2, "ti', b"\x00" * 200_000, b"\xff"):
        path.write_bytes(whole + torn)
        write(path, "c")
        assert read(path) == [(0, "a"), (1, "b"), (2, "c")]


def test_a_journal_that_is_one_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq": 0, "ti')
    write(path, "a")
    assert read(path) == [(0, "a")]


def test_numbers_go_on_after_damaged_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b", "c")
    with path.open("ab") as file:
        file.write(b"damage\n" * 20_000)  # more than is looked at first
    write(path, "d")
    assert read(path)[-1] == (3, "d")


def test_a_text_with_half_a_surrogate_pair_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "file \udcff", "next")
    assert read(path) == [(0, "file ?"), (1, "next")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_is_an_error_and_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a")
    writer = JournalWriter(path)
    with Path("/dev/full").open("wb", buffering=0) as full:
        os.dup2(full.fileno(), writer._file.fileno())
    with pytest.raises(OSError, match="No space left"):
        writer.append(Warned(message="b"))
    writer._file.close()


def test_a_write_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from core.run.journal import JournalWriter; from core.run.events import Warned\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "writer = JournalWriter(Path(sys.argv[1]))\n"
        "try:\n    writer.append(Warned(message='x' * 200))\nexcept OSError as error:\n    print(error.strerror)"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout == "File too large\n"
    assert path.stat().st_size == 0  # half a line would spoil the next
    write(path, "a")
    assert read(path) == [(0, "a")]


def test_a_reader_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = JournalReader(path)
    assert reader.poll() == []  # not there yet
    line = b'{"seq": 0, "time": 1, "event": "warning", "message": "\xc3\xa9"}\n'
    for end in (1, 55, len(line) - 1):  # 55 lies inside the é
        path.write_bytes(line[:end])
        assert reader.poll() == []
    path.write_bytes(line)
    assert reader.poll() == [Event(0, 1.0, Warned(message="é"))]
    assert reader.poll() == []


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 200))
def test_a_reader_sees_each_line_once_however_the_file_grows(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], limit: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "lines"
    content = b"".join(b"line %d %s\n" % (number, b"x" * (number % 7)) for number in range(20))
    reader, seen, at = LineReader(path), [], 0
    path.touch()
    for piece in [*pieces, len(content)]:
        with path.open("ab") as file:
            file.write(content[at : at + piece])
        at = min(len(content), at + piece)
        while lines := reader.poll(limit):
            seen += lines
    assert seen == content.splitlines()


def test_a_late_reader_sees_what_an_early_one_saw(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    early, seen = JournalReader(path), []
    for message in ("a", "b", "c"):
        write(path, message)
        seen += early.poll()
    assert JournalReader(path).poll() == seen
    assert [event.seq for event in seen] == [0, 1, 2]


def test_a_reader_may_begin_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a")
    reader = JournalReader(path, path.stat().st_size)
    write(path, "b")
    assert [event.seq for event in reader.poll()] == [1]


def test_one_poll_reads_a_bounded_piece(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, *["x" * 100] * 100)
    reader, batches = JournalReader(path), []
    while batch := reader.poll(1000):
        batches.append(len(batch))
    assert sum(batches) == 100
    assert max(batches) <= 1000 // 100


def test_a_line_without_end_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LINE_BYTES", 1000)
    path = tmp_path / "events.jsonl"
    write(path, "a")
    with path.open("ab") as file:
        file.write(b"x" * 5000)
    reader, events = JournalReader(path), []
    for _ in range(50):
        events += reader.poll(100)
    with path.open("ab") as file:
        file.write(b"y" * 300 + b"\n")
    write(path, "b")
    for _ in range(50):
        events += reader.poll(100)
    assert [event.seq for event in events] == [0, -1, 1]
    assert events[1].what == Unknown("(a line of more than 16 MB was left out)")


def test_blank_lines_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(b"\n  \n{}\n\n")
    assert LineReader(path).poll() == [b"{}"]


def test_the_tail_holds_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_tail(path) == []
    write(path, *[f"message {number}" for number in range(100)])
    assert [event.seq for event in read_tail(path)] == list(range(100))
    tail = read_tail(path, 500)
    assert 3 <= len(tail) <= 7
    assert [event.seq for event in tail] == list(range(100 - len(tail), 100))
    with path.open("ab") as file:
        file.write(b"torn")
    assert read_tail(path)[-1].seq == 99


def test_the_journal_is_on_disk_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write(tmp_path / "events.jsonl", "a")
    assert len(synced) == 1


def test_commands_of_many_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"

    def ask(number: int) -> None:
        for _ in range(50):
            append_command(path, {"command": "pause-after", "rounds": number})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rounds = [json.loads(line)["rounds"] for line in path.read_text().splitlines()]
    assert sorted(rounds) == sorted([0, 1, 2, 3] * 50)
    assert path.stat().st_mode & 0o022 == 0  # who may write here may command the worker; by the usual umask nobody else


def test_errors_keep_their_text(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = JournalWriter(path)
    writer.append(Failed(problem="problem", fix="fix"))
    writer.close()
    assert read_journal(path)[0].what == Failed(problem="problem", fix="fix")


def test_a_file_that_was_emptied_or_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(b'{"command": "pause"}\n' * 3)
    reader = LineReader(path)
    assert len(reader.poll()) == 3
    path.write_bytes(b"")
    append_command(path, {"command": "resume"})
    assert reader.poll() == [b'{"command": "resume"}']
    path.with_name("new").write_bytes(b"".join(b"%d\n" % number for number in range(100)))
    path.with_name("new").replace(path)
    assert len(reader.poll()) == 100
    path.unlink()
    assert reader.poll() == []
    os.mkfifo(path)
    assert reader.poll() == []
