"""The filter of the list of runs: words and expressions such as `ruby bleu>10 state=paused sparsity>=50% age<2h`.

A run has to match all of them. A word without an operator is searched in the text that is shown of a run. A number is compared
as it is shown, so that `bleu=12.00` finds the run that reads 12.00; a run without the number never matches. Pure.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import CodepruneError
from core.run.folder import RunInfo

from .run_columns import COLUMNS

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
    """The conditions that runs have to meet; an empty filter lets all through."""

    text: str = ""
    """The text that was typed."""
    tests: tuple[Test, ...] = ()

    def matches(self, info: RunInfo, now: float) -> bool:
        """Whether a run is let through.

        Args:
            info: The run.
            now: Seconds since 1970.
        """
        return all(test(info, now) for test in self.tests)


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
    expression = EXPRESSION.fullmatch(word)
    if expression is None:
        return lambda info, _: any(word.casefold() in _text(key, info) for key in COLUMNS if COLUMNS[key].type == "text")
    key, sign, value = expression[1].casefold(), expression[2], expression[3]
    if key not in COLUMNS:
        raise FilterError(f"There is no {expression[1]!r} to filter by.", _nearest(key, list(COLUMNS)))
    if not value:
        raise FilterError(f"{word!r} lacks its value.", f"Write it without spaces, such as: {EXAMPLES}")
    if COLUMNS[key].type == "text":
        return _text_test(key, sign, value)
    return _age_test(sign, value) if COLUMNS[key].type == "age" else _number_test(key, sign, value)


def _text(key: str, info: RunInfo) -> str:
    return str(COLUMNS[key].value(info)).casefold()


def _nearest(given: str, names: list[str]) -> str:
    """The fix for an unknown name."""
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"{hint}There are: {', '.join(names)}."


def _text_test(key: str, sign: str, value: str) -> Test:
    text, choices = value.casefold(), [name.casefold() for name in COLUMNS[key].choices]
    if sign not in ("=", "!="):
        raise FilterError(f"{key} is a text and cannot be {sign} anything.", f"Write {key}={value} or {key}!={value}")
    if choices and text not in choices:
        raise FilterError(f"No run can have the {key} {value!r}.", _nearest(text, choices))
    return lambda info, _: (_text(key, info) == text) is (sign == "=")


def _number_test(key: str, sign: str, value: str) -> Test:
    column = COLUMNS[key]
    number = _number(value.replace("−", "-").removesuffix("%"))
    if value.endswith("%"):
        number = number / 100 if column.type == "share" else math.nan
    if not math.isfinite(number):
        raise FilterError(
            f"{value!r} is not a number that {key} can have.", f"Write a number, such as: {key}{sign}{column.example}"
        )
    if column.type == "share" and not 0 <= number <= 1:
        raise FilterError(f"{key.capitalize()} is a share from 0 to 1.", f"Write {key}{sign}0.5 or {key}{sign}50%")
    compare, limit = OPERATORS[sign], round(number, column.digits + 2)

    def test(info: RunInfo, now: float) -> bool:
        figure = column.value(info)
        return isinstance(figure, float | int) and math.isfinite(figure) and compare(round(figure, column.digits), limit)

    return test


def _age_test(sign: str, value: str) -> Test:
    parts = re.fullmatch(r"([0-9.]+)(s|min|m|h|d|w)", value)
    number = _number(parts[1]) if parts else math.nan
    if parts is None or not math.isfinite(number):
        raise FilterError(f"{value!r} is not an age.", f"Write a number with s, min, h, d or w, such as: age{sign}2h")
    if sign in ("=", "!="):
        raise FilterError("An age changes all the time.", f"Write age<{value} or age>{value}")
    compare, limit = OPERATORS[sign], number * SECONDS[parts[2]]
    return lambda info, now: info.changed > 0 and compare(now - info.changed, limit)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
