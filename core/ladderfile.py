"""Reads a quantization ladder: a JSON file with a row a method, as `codeprune-tui quantize -o` writes it.

Takes what is there: every number of a row becomes a column, so that a ladder of another version still shows. Knows neither torch
nor pages.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import DataError
from .findings import Finding, Outcome, Verdict
from .interval import Difference
from .results import LARGEST, MEASURES

ROWS = ("rows", "ladder", "methods")
"""Keys under which the rows may stand."""
NAMES = ("method", "name")


@dataclass(frozen=True)
class Rung:
    """One method."""

    method: str
    why: str
    """Why it could not be done; "" where it was."""
    numbers: Mapping[str, float]
    """Dotted key -> number, such as "scores.valid.bleu"."""


@dataclass(frozen=True)
class Ladder:
    """The methods, in the file's order."""

    rungs: tuple[Rung, ...]

    def scores(self, measure: str) -> dict[str, dict[str, float]]:
        """Split -> method -> score."""
        found: dict[str, dict[str, float]] = {}
        for rung in self.rungs:
            for split in ("valid", "test"):
                number = next((n for key, n in rung.numbers.items() if _is_score(key, split, measure)), None)
                if number is not None:
                    found.setdefault(split, {})[rung.method] = number
        return found

    def difference(self, method: str, measure: str) -> Difference | None:
        """A method less fp32 with its interval, on the larger split that tells it: test, else valid."""
        rung = next((rung for rung in self.rungs if rung.method == method), None)
        for split in ("test", "valid"):
            ends = {}
            for key, number in (rung.numbers if rung else {}).items():
                parts = key.split(".")
                if split in parts and measure in parts and any(part.startswith("against") for part in parts):
                    ends[parts[-1]] = number
            if {"value", "low", "high"} <= ends.keys():
                return Difference(ends["value"], ends["low"], ends["high"])
        return None


def read_ladder(path: Path) -> Ladder:
    """Reads a ladder.

    Args:
        path: A JSON file.

    Returns:
        Its methods.

    Raises:
        DataError: It cannot be read, or holds no rows.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON: {error}.", "Make one with: codeprune-tui quantize MODEL -o FILE"
        ) from error
    rows = next((content[key] for key in ROWS if key in content), None) if isinstance(content, dict) else content
    rungs = [_rung(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not rungs:
        raise DataError(f"{path} holds no quantization ladder.", "Make one with: codeprune-tui quantize MODEL -o FILE")
    return Ladder(tuple(rungs))


def ladder_findings(ladder: Ladder | None) -> list[Finding]:
    """The paper's two findings about quantization."""
    return [
        _finding(ladder, "fp16", "fp16 loses nothing", "fp16 less fp32: a loss of more than 0.1 points is excluded", _no_loss),
        _finding(ladder, "dynamic-int8", "Dynamic INT8 loses", "dynamic INT8 less fp32: clearly below 0", _loss),
    ]


def _no_loss(found: Difference) -> Outcome:
    # The paper's own table has 0.01 to 0.03 points between the two: a tenth is well beyond that.
    return "held" if found.low > -0.1 else "did not hold" if found.high < 0 else "undecided"


def _loss(found: Difference) -> Outcome:
    return "held" if found.high < 0 else "did not hold" if found.low > 0 else "undecided"


def _finding(ladder: Ladder | None, method: str, claim: str, rule: str, judge: Callable[[Difference], Outcome]) -> Finding:
    verdicts = {}
    for measure in MEASURES:
        found = ladder.difference(method, measure) if ladder else None
        why = "No ladder was given." if ladder is None else "The ladder has no interval of this difference."
        verdicts[measure] = Verdict(judge(found), found) if found else Verdict("not tested", why=why)
    return Finding(method, claim, rule, verdicts)


def _is_score(key: str, split: str, measure: str) -> bool:
    parts = key.split(".")
    return parts[-1] == measure and split in parts and not any(part in ("floors",) or "against" in part for part in parts)


def _rung(row: Mapping[str, object]) -> Rung:
    name = next((str(row[key]) for key in NAMES if key in row), "?")
    why = next((str(row[key]) for key in ("why", "reason", "problem", "refused") if row.get(key)), "")
    return Rung(name, why, dict(_leaves(row, "")))


def _leaves(value: object, key: str) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [leaf for name, inner in value.items() for leaf in _leaves(inner, f"{key}.{name}" if key else str(name))]
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
        return [(key, float(value))]
    return []
