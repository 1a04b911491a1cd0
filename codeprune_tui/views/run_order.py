"""The orders of the list of runs: by any of its columns, or newest first. Pure; knows no widgets.

A run that lacks the figure stands last, whichever way round; equal ones stay newest first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.run.folder import RunInfo

from .run_columns import COLUMNS, Column

NEWEST = "newest"
"""The list's first order."""


@dataclass(frozen=True)
class Order:
    """One way to sort."""

    title: str
    key: Callable[[RunInfo], str | float | None]
    down: bool
    """Whether the largest stands first until the user reverses the order."""


def _key(column: Column) -> Callable[[RunInfo], str | float | None]:
    if column.type != "text":
        return column.value
    # Numbers in names count as numbers: run-2 stands before run-10.
    return lambda info: re.sub(r"[0-9]+", lambda digits: digits[0].zfill(12), str(column.value(info)).casefold())


ORDERS: dict[str, Order] = {
    NEWEST: Order("newest first", lambda _: 0.0, False),
    **{key: Order(column.order, _key(column), column.down) for key, column in COLUMNS.items() if column.order},
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
    known = [(value, info) for info in infos if (value := key(info)) is not None]
    ordered = [info for _, info in sorted(known, key=lambda entry: entry[0], reverse=down)]
    return ordered + [info for info in infos if key(info) is None]
