"""The numbers that can be drawn, the places of an axis's ticks, and their labels. Pure; knows no widgets.

Ticks stand at 1, 2 or 5 times a power of ten, as far apart as there is room; all labels of an axis have the same decimals.
"""

import math
from collections.abc import Callable, Sequence

from .text import NOTHING

LARGEST = 1e15
"""Largest number that is drawn; a larger one is damage, and would flatten all others, or overflow."""
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
MOST_DECIMALS = 17
"""Most decimals of a label: a float has no more."""
SHORTENED = 10_000
"""From here on numbers are written in thousands, millions and so on."""


def usable(value: float | None) -> bool:
    """Whether a number can be drawn; damaged journals hold infinite numbers and NaN."""
    return value is not None and abs(value) < LARGEST  # which no NaN is, either


def span(values: Sequence[float], room: float = 0.08) -> tuple[float, float]:
    """Where an axis begins and ends: around all values, never an empty range.

    Args:
        values: Usable numbers.
        room: Share of the range that is left free at both ends.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    around = room * (high - low) or 0.05 * abs(high) or 1.0
    return (0.0 if 0 <= low < around else low - around), high + around


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers on an axis.

    Args:
        low: Where it begins.
        high: Where it ends.
        most: How many there is room for.

    Returns:
        At most `most` numbers, ascending, all the same way apart; where only one would be left, two, if there is room for two.
    """
    if not low < high or most < 1:
        return []
    finer: list[float] = []
    exponent = math.floor(math.log10((high - low) / most))
    for power in (exponent, exponent + 1, exponent + 2):
        for times in (1, 2, 5):
            step = times * 10.0**power
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            values = [round(place * step, max(0, -power)) for place in range(first, min(last, first + 4 * most) + 1)]
            if len(values) <= most:
                return [finer[0], finer[-1]] if len(values) < 2 <= min(most, len(finer)) else values
            finer = values
    return finer[:most]


def labels(values: Sequence[float]) -> list[str]:
    """The labels of ticks: all with the same unit and decimals, and no more decimals than they need.

    Args:
        values: Ticks, ascending.
    """
    largest = max(map(abs, values), default=0.0)
    step = values[1] - values[0] if len(values) > 1 else largest or 1.0
    if largest >= 1e12 or (largest < 0.01 and step < 0.001):
        digits = max(0, math.floor(math.log10(largest or 1.0)) - math.floor(math.log10(step)))
        return _apart(lambda digits: [_scientific(value, digits) for value in values], digits)
    scale, unit = _unit(largest)
    decimals = max(0, -math.floor(math.log10(step / scale) + 1e-9))
    return _apart(
        lambda digits: ["0" if value == 0 else f"{value / scale:.{digits}f}{unit}".replace("-", "−") for value in values],
        decimals,
    )


def _apart(written: Callable[[int], list[str]], digits: int) -> list[str]:
    """Labels with as many more decimals as it takes to tell them apart: ticks need not be multiples of their distance."""
    while len(set(texts := written(digits))) < len(texts) and digits < MOST_DECIMALS:
        digits += 1
    return texts


def number(value: float | None, digits: int = 3) -> str:
    """One value, to be read beside a chart; a dash where there is none.

    Args:
        value: The value.
        digits: Decimals below ten; with 1, whole numbers have none.
    """
    if not usable(value) or value is None:
        return NOTHING
    size = abs(value)
    if size and (size >= 1e12 or size < 0.001):
        return _scientific(value, 2)
    scale, unit = _unit(size)
    decimals = 1 if size / scale >= 100 else digits if scale == 1 and size < 10 else min(digits, 2)
    text = f"{value / scale:.{decimals}f}"
    return f"{text if digits > 1 else text.removesuffix('.0')}{' ' if unit else ''}{unit}".replace("-", "−")


def _unit(size: float) -> tuple[float, str]:
    return next((unit for unit in UNITS if size >= max(unit[0], SHORTENED)), (1.0, ""))


def _scientific(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")
