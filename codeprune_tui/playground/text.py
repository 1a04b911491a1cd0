"""Methods, their own comments and warnings about a text as the playground shows them: pure functions to text.

Text from outside is made harmless here.
"""

from collections.abc import Sequence

from textual.content import Content

from core.run.exchange import ListedMethod, MethodsFound

from ..views.plain import plain
from ..views.text import age, count
from .history import Entry


def complaints(source_methods: MethodsFound) -> list[str]:
    """The problems of a text, the most important first."""
    lines = []
    if source_methods.unread:
        lines.append(f"the last {count(source_methods.unread)} characters were not read")
    if source_methods.total > len(source_methods.methods):
        lines.append(f"only {count(len(source_methods.methods))} of {count(source_methods.total)} methods are listed")
    return [*lines, *source_methods.warnings]


def listed(method: ListedMethod, wide: bool) -> Content:
    """A method in the list."""
    return Content.assemble((f"{method.line:>4} ", "$text-muted"), short(method.qualified, 38 if wide else 20))


def short(qualified: str, most: int) -> str:
    """The end of a qualified name: its own name and as many of the scopes as fit."""
    parts = plain(qualified, 200).split(".")
    while len(parts) > 1 and len(".".join(parts)) > most:
        parts = parts[1:]
    name = ".".join(parts)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def tried(entry: Entry, now: float) -> str:
    """One line of the history.

    Args:
        entry: The entry.
        now: Seconds since 1970.
    """
    comment = plain(entry.comments[0][1], 60) if entry.comments else ""
    return f"{age(entry.time, now):>6}  {short(entry.method, 24)}: {comment}"


def own_comment(method: ListedMethod | None, empty: bool, read: bool, warnings: Sequence[str]) -> Content:
    """The line between the text and the models.

    Args:
        method: The method that is shown, if there is one.
        empty: Whether there is no text.
        read: Whether the text has been read, so that warnings are about it.
        warnings: The problems of the text.
    """
    if method is None:
        hint = "Paste or type Ruby: def … end." if empty else "No method found. e edits, or paste Ruby: def … end."
        parts: list[str | tuple[str, str]] = [("No method found." if read and warnings else hint, "$text-muted")]
    elif method.own:
        parts = [
            ("own comment: ", "$text-muted"),
            plain(" ".join(method.own.split()), 120 if warnings else 250),
        ]  # a warning needs its lines
    else:
        parts = [("It has no comment of its own, so there is no BLEU.", "$text-muted")]
    if warnings:
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        parts += [("\n! ", "$text-warning"), (f"{plain(warnings[0], 200)}{more}", "$text-warning")]
    return Content.assemble(*parts)
