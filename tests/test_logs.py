"""Logs as text: only the end of a long one is read, it grows and is replaced, and nothing in it acts on anything."""

from pathlib import Path

import pytest
from app_runs import a_round, beginning, make_run, with_figures

from codeprune_tui.runs import logs
from codeprune_tui.runs.logs import LogFile, LogText, first_words, journal_log, matching, spans, worker_line, worker_log

EVIL = "\x1b[31mred\x1b]0;title\x07 [red]x[/red] [@click=app.quit]q[/] \u202eright\x00"


def opened(path: Path, most_bytes: int = 1000, torn: bool = True) -> LogFile:
    return LogFile(path, worker_line, most_bytes, torn)


def lines_of(log: LogFile) -> tuple[str, ...]:
    log.poll()
    return log.text("log").lines


def test_a_log_grows_and_a_torn_line_is_shown_as_far_as_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    log = opened(path)
    assert not log.poll()
    assert log.text("log") == LogText("log")
    path.write_bytes(b"one\ntw")
    assert lines_of(log) == ("one", "tw")
    assert not log.poll()
    with path.open("ab") as file:
        file.write(b"o\r\n\nthree\n")
    assert lines_of(log) == ("one", "two", "", "three")
    waits = opened(path, torn=False)
    with path.open("ab") as file:
        file.write(b"fo")
    assert lines_of(waits)[-1] == "three"
    with path.open("ab") as file:
        file.write(b"ur\n")
    assert lines_of(waits)[-1] == "four"


def test_only_the_end_of_a_long_log_is_read_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BLOCK_BYTES", 64)
    path = tmp_path / "worker.log"
    path.write_text("".join(f"line {number:05}\n" for number in range(10_000)))  # 11 bytes each
    log = opened(path, most_bytes=1105)
    assert lines_of(log) == tuple(f"line {number:05}" for number in range(9_900, 10_000))
    text = log.text("log")
    assert text.before_bytes == 9_900 * 11
    assert first_words(text, path) == f"… 108.9 kB above are left out; the whole log is {path}"
    with path.open("a") as file:
        file.write("more\n")
    assert lines_of(log)[-2:] == ("line 09999", "more")
    assert log.text("log").opened == text.opened
    with path.open("a") as file:
        file.write("x" * 50 + "\n" + "".join(f"late {number:05}\n" for number in range(200)))
    assert lines_of(log)[-1] == "late 00199"
    assert len(lines_of(log)) < 110
    assert log.text("log").opened == text.opened + 1, "what came was too much to be read whole: it began anew"


def test_a_huge_log_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    with path.open("wb") as file:  # 400 MB, nearly all of them a hole
        file.seek(400_000_000)
        file.write(b"\nthe end\n")
    log = worker_log(make_run(tmp_path, "a", [])[0])
    log._path = path
    read = 0
    take = log._take

    def count(block: bytes) -> None:
        nonlocal read
        read += len(block)
        take(block)

    log._take = count  # type: ignore[method-assign]
    assert lines_of(log)[-1] == "the end"
    assert read == logs.LOG_BYTES
    assert log.text("log").before_bytes > 391_000_000


def test_where_a_line_begins_is_right_behind_a_very_long_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_LINES", 2)
    monkeypatch.setattr(logs, "BLOCK_BYTES", 1000)
    path = tmp_path / "worker.log"
    path.write_text("short\n" + "x" * 50_000 + "\nlast but one\r\nlast\n")
    log = opened(path, most_bytes=1_000_000)
    assert lines_of(log) == ("last but one", "last")
    assert log.text("log").before_bytes == path.read_bytes().index(b"last but one")


def test_old_lines_leave_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_LINES", 10)
    path = tmp_path / "worker.log"
    path.write_text("".join(f"{number}\n" for number in range(8)))
    log = opened(path)
    assert len(lines_of(log)) == 8
    assert first_words(log.text("log"), path) == ""
    with path.open("a") as file:
        file.write("".join(f"{number}\n" for number in range(8, 25)))
    assert lines_of(log) == tuple(str(number) for number in range(15, 25))
    assert log.text("log").gone == 15
    assert log.text("log").before_bytes == path.read_bytes().index(b"15\n")
    assert first_words(log.text("log"), path).startswith("… 0.0 kB above are left out")


def test_another_file_or_a_shorter_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("one\ntwo\n")
    log = opened(path)
    assert lines_of(log) == ("one", "two")
    path.write_text("1\n")
    assert lines_of(log) == ("1",)
    fresh = tmp_path / "fresh"
    fresh.write_text("other\nfile\n")
    fresh.replace(path)
    assert lines_of(log) == ("other", "file")
    assert log.text("log").opened == 3
    path.unlink()
    assert lines_of(log) == ("other", "file"), "what was read stays readable"
    path.mkdir()
    assert not log.poll()


def test_what_a_worker_printed_is_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(EVIL.encode() + b"\n\xff\xfe\n\tindented\n" + b"x" * 3_000_000 + b"\nafter\n 10%|#\r 20%|##\r\n")
    lines = lines_of(opened(path, most_bytes=10_000_000))
    assert lines[0] == "<1B>[31mred<1B>]0;title<07> [red]x[/red] [@click=app.quit]q[/] <202E>right<00>"
    assert all(line.isprintable() for line in lines)
    assert lines[1] == "\ufffd\ufffd"
    assert lines[2] == "    indented"
    assert lines[3] == "x" * 1000 + "…"
    assert lines[4:] == ("after", " 10%|#", " 20%|##")


def test_a_journal_in_sentences(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "a", with_figures([*beginning("a"), *a_round(0, 15.0), *a_round(1, 14.0)]))
    with paths.journal.open("ab") as file:
        file.write(b'{"seq": 1, "event": "step"\n[1]\n' + EVIL.encode() + b'\n{"seq": 9')
    lines = lines_of(journal_log(paths))
    assert lines[0].endswith(" Started on cpu (2 threads), process 4711 on here")
    assert lines[0][:2] == "20"
    said = "Round 1 complete at 30 %, chrF 22.4 (name 16.7), BLEU 14.00 (name 13.16), in 25 s"
    assert any(line.endswith(said) for line in lines)
    assert not any("Step" in line or "Evaluating" in line or "Measured" in line for line in lines)
    assert "A line that cannot be read: [1]" in lines[-2]
    assert "<1B>[31mred" in lines[-1]
    assert all(line.isprintable() for line in lines)


def test_capitals_count_where_there_are_some() -> None:
    lines = ("Round 1", "round 2", "a ROUND, a round", "none")
    assert matching(lines, "round") == [0, 1, 2]
    assert matching(lines, "Round") == [0]
    assert matching(lines, "") == []
    assert spans(lines[2], "round") == [(2, 7), (11, 16)]
    assert spans(lines[2], "ROUND") == [(2, 7)]
    assert spans("aaa", "aa") == [(0, 2)]
    assert spans("x", "") == []
    assert spans("İstanbul x", "x") == [(9, 10)], "lower case can be longer: places must still be those of the line"
