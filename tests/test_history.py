"""The playground's history: bounded, private, and unmoved by a damaged file."""

import json
from pathlib import Path

import pytest

from codeprune_tui.playground.history import LONGEST, MOST_BYTES, MOST_ENTRIES, Entry, keep, read_history, with_entry


def entry(number: int, source: str = "") -> Entry:
    return Entry(float(number), "A.b", source or f"def b = {number}", (("ruby-mini", "Does \x1b[2J [red]it"),))


def test_it_comes_back_as_it_was_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "playground.json"
    for number in range(3):
        keep(path, entry(number))
    assert read_history(path) == [entry(2), entry(1), entry(0)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_oldest_go_and_the_same_stands_there_once() -> None:
    entries: list[Entry] = []
    for number in range(MOST_ENTRIES + 5):
        entries = with_entry(entries, entry(number))
    assert [each.time for each in entries] == [float(number) for number in range(MOST_ENTRIES + 4, 4, -1)]
    again = with_entry(entries, entry(7))
    assert len(again) == MOST_ENTRIES
    assert again[0] == entry(7)
    assert with_entry(again, entry(99, "x" * (LONGEST + 1))) == again
    assert with_entry(again, entry(99, " \n")) == again


@pytest.mark.parametrize("damage", ["", "{}", "[" * 100_000, "null", '{"a": 1}', "[1, {}, null]", "\x00"])
def test_a_damaged_file_is_empty_and_is_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "playground.json"
    path.write_text(damage)
    assert read_history(path) == []
    keep(path, entry(1))
    assert read_history(path) == [entry(1)]


def test_damaged_entries_cost_only_themselves(tmp_path: Path) -> None:
    path = tmp_path / "playground.json"
    good = {"time": 1, "method": "A.b", "source": "x", "comments": [["m", "c"], ["half"], 5]}
    path.write_text(json.dumps([{**good, "time": "x"}, good, {**good, "comments": {}}]))
    assert read_history(path) == [Entry(1.0, "A.b", "x", (("m", "c"),))]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "playground.json"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert read_history(path) == []
