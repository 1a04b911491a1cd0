"""The journal's lines: what is written is read back, and nothing that is read can raise."""

import json
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.run.events import (
    Evaluated,
    Event,
    Failed,
    FloorsMeasured,
    Happening,
    MatrixMeasured,
    Picked,
    Pruned,
    RoundFinished,
    RunStarted,
    Sample,
    Scores,
    Step,
    Unknown,
    Warned,
    from_line,
    read_line,
    to_line,
)

SCORES = Scores(12.5, 1.25, 20.0)
EXAMPLES: list[Happening] = [
    RunStarted("run_started", "r", "lottery", 3, 10, True, 1, 5, "cpu", 2, 99, "host", {"torch": "2.13"}),
    FloorsMeasured("floors", "valid", 20, SCORES, SCORES),
    Pruned("pruned", 1, 0.25, 75, 100, {"encoder.encoder.layer.0.output.dense.weight": 0.25}, 0.1),
    Step("step", 1, 2, 10, 3.5, 1e-4, 1000.0, 8.0),
    Evaluated(
        "evaluated", 1, 10, "valid", 20, SCORES, {"name": SCORES}, {"bleu": "x"}, 1.5, [Sample(3, "A.b", "ref", "pred", 9.0)]
    ),
    Picked("picked", 1, 10, None, "last"),
    MatrixMeasured("matrix", 1, "encoder.pooler.dense.weight", 4, 4, 8, 0.5, None, 0.75, 1, 0, 0, 0, [[0, 100], [3, 97]]),
    RoundFinished("round_finished", 0, 0.0, None, 10, 1.0),
    RoundFinished("round_finished", 0, 0.0, SCORES, 10, 1.0, 123_456),
    Failed("failed", 'a "quoted"\nproblem \x1b[31m   é', "fix"),
]


@pytest.mark.parametrize("what", EXAMPLES, ids=lambda what: str(what.event))
def test_every_event_is_read_back_as_it_was_written(what: Happening) -> None:
    line = to_line(7, 1234.5678, what)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert from_line(line) == Event(7, 1234.568, what)
    assert from_line(line.encode()) == from_line(line)
    assert list(json.loads(line))[:3] == ["seq", "time", "event"]  # what a person looks for comes first


def test_every_kind_of_event_has_its_own_name() -> None:
    names = [get_args(kind.__dataclass_fields__["event"].type)[0] for kind in get_args(Happening)]
    assert len(names) == len(set(names)) == 22


def test_keys_of_a_newer_version_are_ignored() -> None:
    line = json.dumps({"seq": 1, "time": 2, "event": "warning", "message": "m", "colour": "red"})
    assert from_line(line) == Event(1, 2.0, Warned("warning", "m"))


def test_a_loss_that_is_no_number_can_be_written_and_read() -> None:
    event = from_line(to_line(0, 0.0, Step("step", 0, 1, 1, math.nan, 1e-4, 1.0, 1.0)))
    assert isinstance(event.what, Step)
    assert math.isnan(event.what.loss)


@pytest.mark.parametrize(
    "line",
    [
        "", "not json", "[]", "3", "null", "{}", '{"seq": 1}', '{"seq": 1, "time": 2, "event": "of a newer version"}',
        '{"seq": 1, "time": 2, "event": "warning"}', '{"seq": "x", "time": 2, "event": "warning", "message": "m"}',
        '{"seq": Infinity, "time": 2, "event": "warning", "message": "m"}', '{"seq": null, "time": [], "event": "warning"}',
        '{"seq": 1, "time": 2, "event": ["warning"]}', '{"seq": 1, "time": 2, "event": "step", "round": "many"}',
        '{"seq": ' + "9" * 5000 + "}", "[" * 100_000, b"\xff\xfe\x00", b'{"seq": 1, "time": 2, "event": "\x80"}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_kept_as_unknown(line: str | bytes) -> None:
    event = from_line(line)
    assert (event.seq, event.time) == (-1, 0.0)
    assert isinstance(event.what, Unknown)
    assert len(event.what.text) <= 200


def test_an_unknown_line_keeps_its_beginning() -> None:
    assert from_line(b"  {torn \xff" + b"x" * 500 + b"\n").what == Unknown("{torn �" + "x" * 193)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_line_raises(line: bytes | str) -> None:
    from_line(line)


@given(st.text(st.characters(codec="utf-8")), st.floats(allow_nan=False), st.integers(0, 2**53))
def test_any_text_and_number_survives(text: str, number: float, seq: int) -> None:
    what = Picked("picked", 0, 1, number, text)
    line = to_line(seq, 0.0, what)
    assert line.count("\n") == 1
    assert from_line(line.encode()) == Event(seq, 0.0, what)


STEP = Step("step", 1, 20, 300, 3.25, 1e-05, 12_340.5, 181.0)
STEP_LINE = to_line(7, 1_750_000_000.125, STEP).encode()
PIECES = [
    b"-",
    b"0",
    b"1",
    b"9" * 20,
    b".",
    b"e",
    b"E+5",
    b"e999",
    b"_",
    b" ",
    b"\n",
    b",",
    b"}",
    b'"',
    b"NaN",
    b"Infinity",
    b"\xd9\xa1",
    b"\xff",
    b'"a": 1, ',
    b'"a\xff": 1, ',
    b"true",
    b"null",
    b"-0",
    b"1.0",
]


@given(st.integers(0, len(STEP_LINE)), st.integers(0, 3), st.lists(st.sampled_from(PIECES), max_size=2))
def test_the_short_way_reads_what_the_long_way_reads(at: int, cut: int, pieces: list[bytes]) -> None:
    line = STEP_LINE[:at] + b"".join(pieces) + STEP_LINE[at + cut :]
    assert repr(from_line(line)) == repr(read_line(line))


@given(st.lists(st.floats(), min_size=4, max_size=4), st.lists(st.integers(-(2**70), 2**70), min_size=3, max_size=3))
def test_any_step_is_read_the_same_both_ways(numbers: list[float], counts: list[int]) -> None:
    line = to_line(3, 1.5, Step("step", *counts, *numbers)).encode()
    assert repr(from_line(line)) == repr(read_line(line))


def test_a_step_as_it_is_written_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("core.run.events.read_line")
    assert from_line(STEP_LINE) == from_line(STEP_LINE.rstrip()) == Event(7, 1_750_000_000.125, STEP)
