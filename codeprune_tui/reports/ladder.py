"""The quantization ladders beside runs, as `reproduce quantization` leaves them, and the paper's findings about them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from core.regularfile import real
from core.run.results import MEASURES
from core.score.interval import Difference
from core.study.findings import Finding, Outcome, Verdict
from core.study.ladderfile import Ladder, QuantizerResult, read_ladder

ENDING = "-quantization.json"
SPLITS = ("valid", "test")
BASE = "fp32"
NOTHING_LOST = 0.02
"""Share of the fp32 score: a smaller loss counts as none."""
PUBLISHED = {
    "dynamic-int8": {"valid": 9.38, "test": 8.83},
    "fp32": {"valid": 13.23, "test": 12.25},
    "fp16": {"valid": 13.26, "test": 12.24},
}
"""Quantizer -> split -> smoothed BLEU-4 in the paper's Figure 2."""

Ladders = Mapping[str, Ladder]
"""Name of the file -> the ladder in it."""


def find_ladders(places: Iterable[Path]) -> list[Path]:
    """The ladder files that lie in some folders, by name."""
    paths = {real(path) for place in places if place.is_dir() for path in place.glob(f"*{ENDING}")}
    return sorted(paths, key=lambda path: (path.name, str(path)))


def read_ladders(paths: Iterable[Path]) -> Ladders:
    """Reads ladder files.

    Raises:
        DataError: One of them cannot be read.
    """
    return {path.name.removesuffix(".json"): read_ladder(path) for path in sorted(paths, key=lambda path: path.name)}


def ladder_findings(ladders: Ladders) -> list[Finding]:
    """The paper's two findings about quantization, on the test rows where there are any, else on the validation rows."""
    ladder = next((each for each in ladders.values() if each.method(BASE)), None)
    small = f"fp16 minus fp32: a loss of more than {100 * NOTHING_LOST:.0f} % of the fp32 score is excluded"
    return [
        _finding("fp16", "fp16 loses nothing", small, ladder, -1),
        _finding("dynamic-int8", "Dynamic INT8 loses quality", "fp32 minus dynamic INT8: above 0", ladder, 1),
    ]


def _finding(method: str, claim: str, rule: str, ladder: Ladder | None, sign: int) -> Finding:
    base, line = (ladder.method(BASE), ladder.method(method)) if ladder else (None, None)
    return Finding(f"quantization-{method}", claim, rule, {name: _verdict(base, line, name, sign) for name in MEASURES})


def _verdict(base: QuantizerResult | None, line: QuantizerResult | None, measure: str, sign: int) -> Verdict:
    if base is None or line is None:
        return Verdict("not tested", why="There is no quantization ladder with this method.")
    split = next((each for each in SPLITS[::-1] if line.score(each, measure) is not None), SPLITS[-1])
    change, score = line.less_fp32(split, measure), base.score(split, measure)
    if change is None or score is None:
        return Verdict("not tested", why="The ladder has no interval of the difference.")
    turned = change if sign < 0 else Difference(-change.value, -change.high, -change.low)
    limit = -NOTHING_LOST * score if sign < 0 else 0.0
    outcome: Outcome = "held" if turned.low > limit else "did not hold" if turned.high < limit else "undecided"
    return Verdict(outcome, turned, why=f"on {split}")
