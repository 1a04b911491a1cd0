"""Reads the quantization ladder of a model, as `reproduce quantization` leaves it beside the runs.

Loosely: what a row lacks is missing from the tables, for a ladder says itself what a machine could not do.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import DataError
from core.findings import Finding, Verdict
from core.interval import Difference
from core.results import MEASURES

ENDING = "-quantization.json"
SPLITS = ("valid", "test")
BASE = "fp32"
NOTHING_LOST = 0.02
"""Share of the fp32 score: what loses less than this loses nothing."""
PUBLISHED = {"dynamic-int8": {"valid": 9.38, "test": 8.83}, "fp32": {"valid": 13.23, "test": 12.25}, "fp16": {"valid": 13.26, "test": 12.24}}  # fmt: skip
"""Method -> split -> smoothed BLEU-4 as the paper's Figure 2 has it."""


@dataclass(frozen=True)
class Rung:
    """One method on one model."""

    method: str
    numbers: Mapping[str, float]
    """Everything that was measured, by dotted name."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What else it says, such as why it could not be done."""

    def score(self, split: str, measure: str) -> float | None:
        """A score, or None where it was not measured."""
        return _first(self.numbers, _places(split, measure))

    def change(self, split: str, measure: str) -> Difference | None:
        """The score less that of fp32 with its interval, where the ladder has one."""
        for name in ("against_fp32", "against", "against_dense", "difference"):
            for place in (f"{name}.{split}.{measure}", f"{split}.{name}.{measure}", f"{name}.{measure}"):
                ends = [self.numbers.get(f"{place}.{end}") for end in ("value", "low", "high")]
                value, low, high = ends
                if value is not None and low is not None and high is not None:
                    return Difference(value, low, high)
        return None


@dataclass(frozen=True)
class Ladder:
    """The methods that were tried on one model."""

    name: str
    rungs: tuple[Rung, ...]

    def rung(self, method: str) -> Rung | None:
        """The row of a method."""
        return next((rung for rung in self.rungs if rung.method == method), None)


def find_ladders(places: Iterable[Path]) -> list[Path]:
    """The ladder files that lie in some folders, by name."""
    found = {path.resolve() for place in places if place.is_dir() for path in place.glob(f"*{ENDING}")}
    return sorted(found, key=lambda path: (path.name, str(path)))


def read_ladder(path: Path) -> Ladder:
    """Reads a ladder file.

    Raises:
        DataError: It cannot be read, or holds no method.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as a quantization ladder.", "Make it anew with: reproduce quantization"
        ) from error
    rungs = tuple(_rung(row) for row in _rows(content))
    if not rungs:
        raise DataError(f"{path} names no quantization method.", "Make it anew with: reproduce quantization")
    return Ladder(path.name.removesuffix(".json"), rungs)


def ladder_findings(ladders: Sequence[Ladder]) -> list[Finding]:
    """The paper's two findings about quantization, on the test rows where there are any, else on the validation rows."""
    ladder = next((each for each in ladders if each.rung(BASE)), None)
    small = f"fp16 less fp32: a loss of more than {NOTHING_LOST:.0%} of the fp32 score is excluded"
    return [
        _finding("fp16", "fp16 loses nothing", small, ladder, -1),
        _finding("dynamic-int8", "Dynamic INT8 loses quality", "fp32 less dynamic INT8: above 0", ladder, 1),
    ]


def _finding(method: str, claim: str, rule: str, ladder: Ladder | None, sign: int) -> Finding:
    base, rung = (ladder.rung(BASE), ladder.rung(method)) if ladder else (None, None)
    return Finding(f"quantization-{method}", claim, rule, {name: _verdict(base, rung, name, sign) for name in MEASURES})


def _verdict(base: Rung | None, rung: Rung | None, measure: str, sign: int) -> Verdict:
    if base is None or rung is None:
        return Verdict("not tested", why="There is no quantization ladder with this method.")
    split = next((each for each in SPLITS[::-1] if rung.score(each, measure) is not None), SPLITS[-1])
    change, score = rung.change(split, measure), base.score(split, measure)
    if change is None or score is None:
        return Verdict("not tested", why="The ladder has no interval of the difference.")
    if sign < 0:
        limit = -NOTHING_LOST * score
        outcome = "held" if change.low >= limit else "did not hold" if change.high < limit else "undecided"
        return Verdict(outcome, change, why=f"on {split}")
    turned = Difference(-change.value, -change.high, -change.low)
    outcome = "held" if turned.low > 0 else "did not hold" if turned.high < 0 else "undecided"
    return Verdict(outcome, turned, why=f"on {split}")


def _rows(content: object) -> list[Mapping[str, object]]:
    """The rows, whether they are a list or a table by method, at the top or under one key."""
    tried = [content, *(content.values() if isinstance(content, dict) else ())]
    for each in tried:
        if isinstance(each, list) and (found := [row for row in each if isinstance(row, dict) and _method(row)]):
            return found
        if isinstance(each, dict) and BASE in each:
            return [{**row, "method": name} for name, row in each.items() if isinstance(row, dict)]
    return []


def _method(row: Mapping[str, object]) -> str:
    name = row.get("method", row.get("name"))
    return name if isinstance(name, str) else ""


def _rung(row: Mapping[str, object]) -> Rung:
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            numbers[name] = float(value)
        elif isinstance(value, str):
            words[name] = value

    walk({key: value for key, value in row.items() if key not in ("method", "name")}, "")
    return Rung(_method(row), numbers, words)


def _places(split: str, measure: str) -> list[str]:
    pairs = [f"{split}.{measure}", f"{measure}.{split}"]
    return [
        *pairs,
        f"{split}.scores.{measure}",
        *(f"scores.{pair}" for pair in pairs),
        f"{split}_{measure}",
        f"{measure}_{split}",
    ]


def _first(numbers: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((numbers[name] for name in names if name in numbers), None)
