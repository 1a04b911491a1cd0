"""The orders of the list of runs: by any of its columns, or newest first. Pure; knows no widgets.

A run that lacks the figure stands last, whichever way round; equal ones stay newest first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.run.folder import RunInfo

from .run_filter import NUMBERS, TEXTS

NEWEST = "newest"
"""The order that the list comes in."""


@dataclass(frozen=True)
class Order:
    """One way to sort."""

    title: str
    key: Callable[[RunInfo], str | float | None]
    down: bool
    """Whether the largest stands first until one turns it around."""


def _number(key: str) -> Callable[[RunInfo], float | None]:
    return NUMBERS[key][0]


def _text(key: str) -> Callable[[RunInfo], str]:
    # Numbers in names count as numbers: run-2 stands before run-10.
    return lambda info: re.sub(r"[0-9]+", lambda digits: digits[0].zfill(12), TEXTS[key](info).casefold())


ORDERS: dict[str, Order] = {
    NEWEST: Order("newest first", lambda _: 0.0, False),
    "run": Order("by run", _text("run"), False),
    "state": Order("by state", _text("state"), False),
    "round": Order("by round", _number("round"), True),
    "sparsity": Order("by sparsity", _number("sparsity"), True),
    "bleu": Order("by BLEU", _number("bleu"), True),
    "floor": Order("by floor", _number("floor"), True),
    "best": Order("by best BLEU", _number("best"), True),
    "diff": Order("by difference to dense", _number("diff"), True),
    "age": Order("by age", lambda info: -info.changed if info.changed > 0 else None, False),
    "kind": Order("by kind", _text("kind"), False),
    "device": Order("by device", _text("device"), False),
}
"""Column -> order, in the order of the columns."""


def in_order(infos: list[RunInfo], name: str, down: bool) -> list[RunInfo]:
    """The runs in one of the orders.

    Args:
        infos: Newest first.
        name: Key of `ORDERS`.
        down: Largest first.
    """
    if name == NEWEST:
        return infos[::-1] if down else infos
    key = ORDERS[name].key
    known = [(found, info) for info in infos if (found := key(info)) is not None]
    ordered = [info for _, info in sorted(known, key=lambda entry: entry[0], reverse=down)]
    return ordered + [info for info in infos if key(info) is None]
