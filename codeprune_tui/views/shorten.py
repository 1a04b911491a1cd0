"""Texts cut to a width so that they can still be told apart: both ends of a name, the end of a path. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import takewhile

from rich.cells import cell_len, set_cell_size

LONGEST_PATH = 240
"""Columns of a path within a sentence: three lines of a small terminal."""


def middle_out(text: str, width: int) -> str:
    """A text in at most `width` columns; both ends stay, since names differ there."""
    if cell_len(text) <= width:
        return text
    tail = _end(text, (width - 1) // 2)
    return f"{set_cell_size(text, width - 1 - cell_len(tail))}…{tail}"


def _end(text: str, width: int) -> str:
    return set_cell_size(text[::-1], width)[::-1]


def apart(names: Iterable[str], width: int) -> dict[str, str]:
    """Names in at most `width` columns each, cut so that those which would read the same show where they differ.

    Args:
        names: All that stand in one list, each once.
        width: Columns for each.

    Returns:
        Name -> what to show. Two names look the same only where `width` has no room for the difference.
    """
    shown = {name: middle_out(name, width) for name in names}
    for group in _alike(shown):
        shown.update(_told_apart(group, width))
    for group in _alike(shown, words=False):
        shown.update(_word_by_word(group, width))
    return shown


def _alike(shown: Mapping[str, str], words: bool = True) -> list[list[str]]:
    """Groups of names that read the same; with `words`, as far as whole words go: a letter beside the cut tells nobody apart."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, text in shown.items():
        groups[re.sub(r"[0-9A-Za-z]*…[0-9A-Za-z]*", "…", text) if words and "…" in text else text].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _told_apart(group: list[str], width: int, words: bool = True) -> dict[str, str]:
    """Cuts names that look alike around their difference, and those that still look alike again among themselves."""
    first = _shared(group)
    last = _shared([name[len(first) :][::-1] for name in group])[::-1]
    if words:  # whole ones, so that "layerwise" and "linear" don't lose their common letter
        first = first[: max((mark.end() for mark in re.finditer(r"[^0-9A-Za-z]", first)), default=0)]
        last = last[next((mark.start() for mark in re.finditer(r"[^0-9A-Za-z]", last)), len(last)) :]
    cores = {name: name[len(first) : len(name) - len(last)] for name in group}
    shown = {name: _around(core, first, last, width) for name, core in cores.items()}
    groups = _alike(shown)
    for again in _alike(shown, words=False) if groups == [group] else groups:
        if len(again) < len(group):
            shown.update(_told_apart(again, width))
    if words and len(set(shown.values())) < len(group):
        return _told_apart(group, width, words=False)
    return shown


def _word_by_word(group: list[str], width: int) -> dict[str, str]:
    """Names that differ in several places, with the first letters of each word: "laye-fine-s0"; none where that does not help."""
    for letters in range(width, 0, -1):
        short = {name: re.sub(rf"([0-9A-Za-z]{{{letters}}})[0-9A-Za-z]+", r"\1", name) for name in group}
        if all(cell_len(text) <= width for text in short.values()):
            return short if len(set(short.values())) == len(group) else {}
    return {}


def _shared(texts: list[str]) -> str:
    """The letters that all texts begin with."""
    return "".join(first for first, *_ in takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False)))


def _around(core: str, first: str, last: str, width: int) -> str:
    """The distinct part of a name, with as much of its beginning and end as there is room for."""
    room = max(0, width - cell_len(core))
    tail = last if cell_len(last) <= room // 3 else f"…{_end(last, room // 3 - 1)}" if room >= 6 else ""
    head = room - cell_len(tail)
    head_text = first if cell_len(first) <= head else f"{set_cell_size(first, head - 1)}…" if head else ""
    return head_text + middle_out(core, width - cell_len(head_text) - cell_len(tail)) + tail


def path_end(path: str, width: int) -> str:
    """A path in at most `width` columns; its end is what matters."""
    if cell_len(path) <= width:
        return path
    end = _end(path, width - 1)
    begin = end.find("/", 0, width // 2)  # whole folders, unless that would cost half of it
    return f"…{end[max(0, begin) :]}"


def short_paths(text: str, width: int = LONGEST_PATH) -> str:
    """A sentence whose paths, and other words without a blank, have at most `width` columns; each keeps its end."""
    return re.sub(rf"\S{{{width},}}", lambda word: path_end(word[0], width), text)
