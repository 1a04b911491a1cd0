"""Reads the quantization ladder of a model, as `reproduce quantization` leaves it beside the runs.

Loosely: what a row lacks is missing from the tables, for a ladder says itself what a machine could not do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import DataError
from core.regularfile import read_json, real, reason
from core.run.folder import LARGEST, floors_in
from core.run.results import MEASURES
from core.score.interval import Difference
from core.study.findings import Finding, Outcome, Verdict

ENDING = "-quantization.json"
SPLITS = ("valid", "test")
BASE = "fp32"
NOTHING_LOST = 0.02
"""Share of the fp32 score: what loses less than this loses nothing."""
PUBLISHED = {
    "dynamic-int8": {"valid": 9.38, "test": 8.83},
    "fp32": {"valid": 13.23, "test": 12.25},
    "fp16": {"valid": 13.26, "test": 12.24},
}
"""Method -> split -> smoothed BLEU-4 as the paper's Figure 2 has it."""


@dataclass(frozen=True)
class Rung:
    """One method on one model."""

    method: str
    numbers: Mapping[str, float]
    """Everything that was measured, by dotted name."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What else it says, such as why it is unavailable."""

    def score(self, split: str, measure: str) -> float | None:
        """A score, or None where it was not measured."""
        return self.numbers.get(f"splits.{split}.scores.{measure}")

    def change(self, split: str, measure: str) -> Difference | None:
        """The score less that of fp32 with its interval, where the ladder has one."""
        value, low, high = (self.numbers.get(f"splits.{split}.less_fp32.{measure}.{end}") for end in ("value", "low", "high"))
        return None if value is None or low is None or high is None else Difference(value, low, high)


@dataclass(frozen=True)
class Ladder:
    """The methods that were tried on one model."""

    name: str
    rungs: tuple[Rung, ...]
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Split -> floor -> smoothed BLEU-4 on its rows."""

    def rung(self, method: str) -> Rung | None:
        """The row of a method."""
        return next((rung for rung in self.rungs if rung.method == method), None)


def find_ladders(places: Iterable[Path]) -> list[Path]:
    """The ladder files that lie in some folders, by name."""
    found = {real(path) for place in places if place.is_dir() for path in place.glob(f"*{ENDING}")}
    return sorted(found, key=lambda path: (path.name, str(path)))


def read_ladder(path: Path) -> Ladder:
    """Reads a ladder file.

    Raises:
        DataError: It cannot be read, or holds no method.
    """
    fix = "Make it anew with: codeprune-tui reproduce quantization"
    try:
        content = read_json(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read as a quantization ladder: {reason(error)}.", fix) from error
    rungs = tuple(_rung(row) for row in _rows(content))
    if not rungs:
        raise DataError(f"{path} names no quantization method.", fix)
    return Ladder(path.name.removesuffix(".json"), rungs, _floors(content))


def ladder_findings(ladders: Sequence[Ladder]) -> list[Finding]:
    """The paper's two findings about quantization, on the test rows where there are any, else on the validation rows."""
    ladder = next((each for each in ladders if each.rung(BASE)), None)
    small = f"fp16 less fp32: a loss of more than {100 * NOTHING_LOST:.0f} % of the fp32 score is excluded"
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
    turned = change if sign < 0 else Difference(-change.value, -change.high, -change.low)
    limit = -NOTHING_LOST * score if sign < 0 else 0.0
    outcome: Outcome = "held" if turned.low > limit else "did not hold" if turned.high < limit else "undecided"
    return Verdict(outcome, turned, why=f"on {split}")


def _rows(content: object) -> list[Mapping[str, object]]:
    """The rows under "methods"."""
    rows = content.get("methods") if isinstance(content, dict) else None
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("method"), str)] if isinstance(rows, list) else []


def _floors(content: object) -> dict[str, dict[str, float]]:
    """What stands under "floors", by split; what is damaged is left out."""
    splits = content.get("floors") if isinstance(content, dict) else None
    by_split = {split: each for split, each in splits.items() if isinstance(each, dict)} if isinstance(splits, dict) else {}
    return {split: floors_in({"floors": each}) for split, each in by_split.items()}


def _rung(row: Mapping[str, object]) -> Rung:
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                batch = inner.get("batch") if isinstance(inner, dict) else None
                walk(inner, f"{name}.{place if batch is None else f'batch {batch}'}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
            numbers[name] = float(value)
        elif isinstance(value, str):
            words[name] = value

    walk({key: value for key, value in row.items() if key != "method"}, "")
    return Rung(str(row["method"]), numbers, words)
