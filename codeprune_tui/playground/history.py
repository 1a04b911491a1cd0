"""The playground's history: the newest texts with their comments, in the platform's folder for an app's state.

Bounded in number and size. The file is complete or absent, and private; one that is damaged counts as empty.
Knows no screens.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from core.atomic import complete_or_absent
from core.regularfile import read_json
from core.run.folder import number_of

MOST_ENTRIES = 50
LONGEST = 60_000
"""Most characters of a text; a longer one is not kept."""
MOST_BYTES = 20_000_000
"""Most bytes of the file; a larger one is not ours."""


@dataclass(frozen=True)
class Entry:
    """One text of the history."""

    time: float
    """Seconds since 1970."""
    method: str
    """Qualified name of the method that was shown."""
    source: str
    comments: tuple[tuple[str, str], ...]
    """(model, comment)."""


def history_file() -> Path:
    """Path of the history's file."""
    return platformdirs.user_state_path("codeprune-tui") / "playground.json"


def read_history(path: Path) -> list[Entry]:
    """The entries, newest first; entries that cannot be read are left out."""
    try:
        content = read_json(path, MOST_BYTES)
    except OSError:
        return []
    return (
        [entry for facts in content[:MOST_ENTRIES] if (entry := _entry(facts)) is not None] if isinstance(content, list) else []
    )


def _entry(facts: object) -> Entry | None:
    match facts:
        case {"time": int() | float() as time, "method": str(method), "source": str(source), "comments": list(comments)}:
            pairs = tuple((pair[0], pair[1]) for pair in comments if _is_pair(pair))
            return Entry(number_of(time) or 0.0, method, source, pairs)
    return None


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def with_entry(entries: Sequence[Entry], new: Entry) -> list[Entry]:
    """The history with one more entry; the same method of the same text is kept once, and the oldest entries are dropped."""
    if not new.source.strip() or len(new.source) > LONGEST:
        return list(entries)
    others = [entry for entry in entries if (entry.source, entry.method) != (new.source, new.method)]
    return [new, *others][:MOST_ENTRIES]


def keep(path: Path, new: Entry) -> None:
    """Puts an entry in front of what the file has.

    Raises:
        OSError: The file cannot be written.
    """
    entries = with_entry(read_history(path), new)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with complete_or_absent(path, private=True) as draft:
        draft.touch(mode=0o600)  # the code may be private
        draft.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="ascii")
