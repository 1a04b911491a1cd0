"""The journal's lines: what is written is read back, and nothing that is read can raise."""

import ast
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
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
    Shrunk,
    Step,
    Unknown,
    Warned,
    from_line,
    read_line,
    to_line,
)
from core.run.exchange import Reply, Request
from core.score.interval import Difference

ROOT = Path(__file__).resolve().parent.parent
SCORES = Scores(12.5, 1.25, 20.0)
EXAMPLES: list[Happening] = [
    RunStarted(
        run="r",
        kind="lottery",
        rounds=3,
        steps=10,
        resumed=True,
        round=1,
        step=5,
        device="cpu",
        threads=2,
        pid=99,
        host="host",
        versions={"torch": "2.13"},
    ),
    FloorsMeasured(split="valid", rows=20, constant=SCORES, name=SCORES),
    Pruned(
        round=1, sparsity=0.25, kept=75, total=100, matrices={"encoder.encoder.layer.0.output.dense.weight": 0.25}, seconds=0.1
    ),
    Step(round=1, step=2, steps=10, loss=3.5, learning_rate=1e-4, tokens_per_second=1000.0, examples_per_second=8.0),
    Evaluated(
        round=1,
        step=10,
        split="valid",
        rows=20,
        scores=SCORES,
        floors={"name": SCORES},
        signatures={"bleu": "x"},
        seconds=1.5,
        samples=[Sample(3, "A.b", "ref", "pred", 9.0)],
    ),
    Picked(round=1, step=10, bleu=None, reason="last"),
    MatrixMeasured(
        round=1,
        parameter="encoder.pooler.dense.weight",
        rows=4,
        columns=4,
        kept=8,
        magnitude=0.5,
        change=None,
        overlap=0.75,
        dead_rows=1,
        dead_columns=0,
        heads=0,
        dead_heads=0,
        density=[[0, 100], [3, 97]],
    ),
    RoundFinished(round=0, sparsity=0.0, scores=None, steps=10, seconds=1.0),
    RoundFinished(round=0, sparsity=0.0, scores=SCORES, steps=10, seconds=1.0, size_bytes=123_456),
    Shrunk(
        parameters=(1000, 400),
        size_bytes=(4000, 1600),
        heads=(3, 8),
        neurons=(0, 64),
        speedup={"1": 2.04, "16": 2.5},
        beam=10,
        against_dense={"chrf": Difference(-0.3, -0.8, 0.2)},
    ),
    Failed(problem='a "quoted"\nproblem \x1b[31m   é', fix="fix"),
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
    assert len(names) == len(set(names)) == 24


def test_keys_of_a_newer_version_are_ignored() -> None:
    line = json.dumps({"seq": 1, "time": 2, "event": "warning", "message": "m", "colour": "red"})
    assert from_line(line) == Event(1, 2.0, Warned(message="m"))


def test_a_loss_that_is_no_number_can_be_written_and_read() -> None:
    event = from_line(
        to_line(
            0,
            0.0,
            Step(round=0, step=1, steps=1, loss=math.nan, learning_rate=1e-4, tokens_per_second=1.0, examples_per_second=1.0),
        )
    )
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
    what = Picked(round=0, step=1, bleu=number, reason=text)
    line = to_line(seq, 0.0, what)
    assert line.count("\n") == 1
    assert from_line(line.encode()) == Event(seq, 0.0, what)


STEP = Step(round=1, step=20, steps=300, loss=3.25, learning_rate=1e-05, tokens_per_second=12_340.5, examples_per_second=181.0)
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


COUNTS, NUMBERS = st.integers(-(2**70), 2**70), st.floats()
STEPS = st.builds(
    Step,
    round=COUNTS,
    step=COUNTS,
    steps=COUNTS,
    loss=NUMBERS,
    learning_rate=NUMBERS,
    tokens_per_second=NUMBERS,
    examples_per_second=NUMBERS,
)


@given(STEPS)
def test_any_step_is_read_the_same_both_ways(step: Step) -> None:
    line = to_line(3, 1.5, step).encode()
    assert repr(from_line(line)) == repr(read_line(line))


def test_a_step_as_it_is_written_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("core.run.events.read_line")
    assert from_line(STEP_LINE) == from_line(STEP_LINE.rstrip()) == Event(7, 1_750_000_000.125, STEP)


TAGGED = {
    "events": ("event", get_args(Happening)),
    "requests": ("request", get_args(Request)),
    "replies": ("reply", get_args(Reply)),
}
"""What is written as lines of JSON that name themselves -> the key of the name, and the classes."""
KINDS = {kind.__name__: tag for tag, kinds in TAGGED.values() for kind in kinds}


def messages_built(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call that builds an event, request or reply, under whatever name its class was imported; with its tag."""
    names = {
        alias.asname or alias.name: KINDS[alias.name]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in ("events", "exchange")
        for alias in node.names
        if alias.name in KINDS
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in names:
                yield names[name], node
            case ast.Call(func=ast.Attribute(value=ast.Name(id="events" | "exchange"), attr=name)) if name in KINDS:
                yield KINDS[name], node


def test_events_are_built_by_keyword_and_never_told_their_own_tag() -> None:
    built = dict.fromkeys(("event", "request", "reply"), 0)
    for root in ("core", "codeprune_tui", "tests", "tools", "benchmarks"):
        for path in sorted((ROOT / root).rglob("*.py")):
            for tag, call in messages_built(ast.parse(path.read_text(encoding="utf-8"))):
                built[tag] += 1
                place = f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}"
                assert not call.args, place
                assert tag not in [keyword.arg for keyword in call.keywords], place
    assert built["event"] > 150  # or the walk finds nothing
    assert min(built["request"], built["reply"]) > 10


@pytest.mark.parametrize(("tag", "kinds"), TAGGED.values(), ids=TAGGED)
def test_an_event_takes_no_positions(tag: str, kinds: tuple[type, ...]) -> None:
    for kind in kinds:
        fields = dataclasses.fields(kind)
        assert all(field.kw_only for field in fields), kind
        assert (fields[0].name, fields[0].default) == (tag, get_args(fields[0].type)[0]), kind
        with pytest.raises(TypeError, match="positional"):
            kind("one")


@pytest.mark.parametrize("what", EXAMPLES, ids=lambda what: str(what.event))
def test_a_line_without_its_tag_is_no_event(what: Happening) -> None:
    line = json.loads(to_line(1, 2.0, what))
    del line["event"]
    assert isinstance(from_line(json.dumps(line)).what, Unknown)
