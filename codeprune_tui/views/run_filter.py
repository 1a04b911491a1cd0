"""The filter of the list of runs: words and expressions such as `ruby bleu>10 state=paused sparsity>=50% age<2h`.

All of them have to hold. A word without an operator is looked for in what is shown of a run as text. A number is compared as it
is shown, so that `bleu=12.00` finds the run that reads 12.00; a run without the number never matches. Pure; knows no widgets.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import CodepruneError
from core.run.folder import DAMAGED, KILLED, RunInfo, State

TEXTS: dict[str, Callable[[RunInfo], str]] = {
    "run": lambda info: info.paths.name,
    "state": lambda info: info.words.rstrip("…"),
    "kind": lambda info: info.kind,
    "device": lambda info: info.device,
}
"""Key -> text of a run."""
STATES = (*(str(state) for state in State), KILLED, DAMAGED)
KINDS = ("lottery", "finetune", "pretrain")
ALLOWED = {"state": STATES, "kind": KINDS}
"""Key -> the only values that any run can have."""
SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
EXPRESSION = re.compile(r"([A-Za-z_]+)(>=|<=|!=|>|<|=)(.*)", re.DOTALL)
EXAMPLES = "bleu>10 state=paused sparsity>=50% age<2h"

Test = Callable[[RunInfo, float], bool]
"""Whether a run matches, at a time in seconds since 1970."""


class FilterError(CodepruneError):
    """A filter that cannot be read."""


@dataclass(frozen=True)
class Filter:
    """What runs have to be like; an empty one lets all through."""

    text: str = ""
    """As it was typed."""
    tests: tuple[Test, ...] = ()

    def matches(self, info: RunInfo, now: float) -> bool:
        """Whether a run is let through.

        Args:
            info: The run.
            now: Seconds since 1970.
        """
        return all(test(info, now) for test in self.tests)


def dense_difference(info: RunInfo) -> float | None:
    """BLEU of the last complete round less that of the dense model; None before the first pruned round."""
    return None if info.bleu is None or info.dense_bleu is None or info.round < 1 else info.bleu - info.dense_bleu


def highest_floor(info: RunInfo) -> float | None:
    """BLEU of the highest floor on the rows that a run is scored on; None where no floor is known."""
    return max(info.floors.values(), default=None)


NUMBERS: dict[str, tuple[Callable[[RunInfo], float | None], int]] = {
    "bleu": (lambda info: info.bleu, 2),
    "floor": (highest_floor, 2),
    "best": (lambda info: info.best_bleu, 2),
    "diff": (dense_difference, 2),
    "sparsity": (lambda info: info.sparsity if info.round >= 0 else None, 3),
    "round": (lambda info: info.round if info.round >= 0 else None, 0),
    "rounds": (lambda info: info.rounds, 0),
}
"""Key -> (number of a run, digits behind the point as it is shown)."""
KEYS = (*TEXTS, *NUMBERS, "age")


def parse(text: str) -> Filter:
    """Reads a filter.

    Args:
        text: Words and expressions with spaces between them.

    Returns:
        The filter.

    Raises:
        FilterError: An unknown key, or a value that the key cannot have; the text names the fix.
    """
    return Filter(text.strip(), tuple(_test(word) for word in text.split()))


def _test(word: str) -> Test:
    found = EXPRESSION.fullmatch(word)
    if found is None:
        return lambda info, _: any(word.casefold() in of(info).casefold() for of in TEXTS.values())
    key, sign, value = found[1].casefold(), found[2], found[3]
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise FilterError(f"There is no {found[1]!r} to filter by.", f"{hint}There are: {', '.join(KEYS)}.")
    if not value:
        raise FilterError(f"{word!r} lacks its value.", f"Write it without spaces, such as: {EXAMPLES}")
    if key in TEXTS:
        return _text_test(key, sign, value)
    return _age_test(sign, value) if key == "age" else _number_test(key, sign, value)


def _text_test(key: str, sign: str, value: str) -> Test:
    of, wanted = TEXTS[key], value.casefold()
    if sign not in ("=", "!="):
        raise FilterError(f"{key} is a text and cannot be {sign} anything.", f"Write {key}={value} or {key}!={value}")
    if key in ALLOWED and wanted not in (name.casefold() for name in ALLOWED[key]):
        names = [name.casefold() for name in ALLOWED[key]]
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise FilterError(f"No run can have the {key} {value!r}.", f"{hint}There are: {', '.join(names)}.")
    return lambda info, _: (of(info).casefold() == wanted) is (sign == "=")


def _number_test(key: str, sign: str, value: str) -> Test:
    of, digits = NUMBERS[key]
    number = _number(value.replace("−", "-").removesuffix("%"))
    if value.endswith("%"):
        number = number / 100 if key == "sparsity" else math.nan
    if not math.isfinite(number):
        raise FilterError(
            f"{value!r} is not a number that {key} can have.", f"Write a number, such as: {key}{sign}{_example(key)}"
        )
    if key == "sparsity" and not 0 <= number <= 1:
        raise FilterError("Sparsity is a share from 0 to 1.", f"Write sparsity{sign}0.5 or sparsity{sign}50%")
    compare, wanted = OPERATORS[sign], round(number, digits + 2)

    def test(info: RunInfo, now: float) -> bool:
        found = of(info)
        return found is not None and math.isfinite(found) and compare(round(found, digits), wanted)

    return test


def _age_test(sign: str, value: str) -> Test:
    found = re.fullmatch(r"([0-9.]+)(s|min|m|h|d|w)", value)
    number = _number(found[1]) if found else math.nan
    if found is None or not math.isfinite(number):
        raise FilterError(f"{value!r} is not an age.", f"Write a number with s, min, h, d or w, such as: age{sign}2h")
    if sign in ("=", "!="):
        raise FilterError("An age changes all the time.", f"Write age<{value} or age>{value}")
    compare, wanted = OPERATORS[sign], number * SECONDS[found[2]]
    return lambda info, now: info.changed > 0 and compare(now - info.changed, wanted)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _example(key: str) -> str:
    return {"sparsity": "0.5", "round": "3", "rounds": "9", "diff": "-1"}.get(key, "10")
