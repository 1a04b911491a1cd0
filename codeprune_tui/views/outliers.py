"""Numbers that no chart can take: infinite ones, NaN, and absurdly large ones. A journal may hold any of them.

A count must be countable, or its event is damage; any other impossible figure becomes NaN, which every screen leaves out. Pure;
the reducer calls it, so that nothing behind the reducer needs to know.
"""

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from core.run.folder import LARGEST

Value = TypeVar("Value")
MOST = 10**9
"""A round, a step, a count of weights or rows beyond this is damage, not a number."""
COUNTED = (
    "rounds",
    "steps",
    "done",
    "kept",
    "columns",
    "dead_rows",
    "dead_columns",
    "heads",
    "dead_heads",
    "rows",
    "round",
    "step",
)


def countable(what: object) -> bool:
    """Whether everything that an event counts can be counted, and all its whole numbers are small enough for a float."""
    counts = [getattr(what, name, 0) for name in COUNTED]
    singles = [each for count in counts for each in (count if isinstance(count, tuple) else (count,))]
    return all(0 <= each <= MOST for each in singles) and _whole(what)


def _whole(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) < LARGEST
    if isinstance(value, list | tuple):
        return all(map(_whole, value))
    if isinstance(value, dict):
        return all(map(_whole, value.values()))
    return all(_whole(getattr(value, field.name)) for field in fields(value)) if is_dataclass(value) else True


def mended(value: Value) -> Value:
    """The same event with NaN for every impossible figure; impossible shares of matrices are left out."""
    finite: Any = _mended(value)
    return finite  # type: ignore[no-any-return]


def _mended(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < LARGEST else math.nan
    if isinstance(value, dict):
        parts = {key: _mended(part) for key, part in value.items()}
        return parts if any(parts[key] is not part for key, part in value.items()) else value
    if isinstance(value, list):
        items = [_mended(part) for part in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for field in fields(value):
        old = getattr(value, field.name)
        new = _mended(old) if isinstance(old, float | dict | list) or is_dataclass(old) else old
        if field.name == "sparsity" and isinstance(new, float) and not 0 <= new <= 1:
            new = math.nan
        if field.name == "matrices" and not all(0 <= share <= 1 for share in new.values()):
            new = {name: share for name, share in new.items() if 0 <= share <= 1}
        if new is not old:
            changes[field.name] = new
    return replace(value, **changes) if changes else value


def drawable(value: float | None) -> bool:
    """Whether a figure can be a point of a chart."""
    return value is not None and abs(value) < LARGEST  # no NaN is, either
