"""Reads comments by row from files that anybody may have written: CodeXGLUE's, our own, other JSON lines, plain lines.

The result is row id -> texts, in the order of the file, and the oddities of the file. Knows no scores. Torch-free.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..bleu import WITH_IDS, read_codexglue_file
from ..errors import DataError
from ..regularfile import read_text, reason

COMMENT_BYTES = 1_000_000_000
"""Most bytes of a file of comments: enough for several million rows."""
ID_FIELDS = ("index", "idx", "id")
"""JSON fields that number a row; the first one in a file is taken."""
NUMBERED = (
    "Put the row's id before each text (id, tab, text), the same in both files; or say --by-line where line N of one belongs to "
    "line N of the other."
)


@dataclass(frozen=True)
class Comments:
    """The comments of one file."""

    path: Path
    form: str
    """The form of the file, such as "CodeXGLUE's id<TAB>text"."""
    texts: Mapping[str, tuple[str, ...]]
    """Row id -> its texts, both in the order of the file."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Row id -> name of the method, where the file has it."""

    @property
    def doubled(self) -> tuple[str, ...]:
        """Ids that occur more than once."""
        return tuple(row for row, texts in self.texts.items() if len(texts) > 1)

    @property
    def empty(self) -> tuple[str, ...]:
        """Ids whose last text has no letter in it."""
        return tuple(row for row, texts in self.texts.items() if not texts[-1].strip())


def read_comments(path: Path, *, field: str = "prediction", id_field: str = "", by_line: bool = False) -> Comments:
    """Reads a file of comments.

    Args:
        path: Lines of `id<TAB>text`, or of JSON objects, or with `by_line` plain texts.
        field: Where the text stands in a JSON object.
        id_field: Where its row's id stands; "" takes the first of `ID_FIELDS` that is there.
        by_line: Whether the id is the number of the line, from 0; JSON objects then need none.

    Returns:
        The comments; a text with further tabs is kept whole.

    Raises:
        DataError: The file cannot be read, is of another form, or has no ids while `by_line` is false.
    """
    if first_object(path) is not None:
        return _json_comments(path, field, id_field, by_line)
    if by_line:
        return _plain_lines(path)
    try:
        texts = read_codexglue_file(path)
    except DataError as error:
        raise DataError(error.problem, NUMBERED if error.fix == WITH_IDS else error.fix) from error
    return Comments(path, "CodeXGLUE's id<TAB>text", {row: tuple(each) for row, each in texts.items()})


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines with their numbers from 1; not cut at odd separators (U+2028, form feed), which comments do contain."""
    try:
        text = read_text(path, COMMENT_BYTES).removeprefix("\ufeff")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.", "Give a file with one comment a row.") from error
    lines = text.split("\n")
    return list(enumerate(lines[:-1] if not lines[-1] else lines, 1))


def first_object(path: Path) -> dict[str, object] | None:
    """The JSON object on the first line that is not blank; None where there is none.

    Raises:
        DataError: The file cannot be read.
    """
    first = _parsed(next((line for _, line in _lines(path) if line.strip()), ""))
    return first if isinstance(first, dict) else None


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _plain_lines(path: Path) -> Comments:
    lines = _lines(path)
    if not lines:
        raise DataError(f"{path} holds no lines.", "Give a file with one comment a line.")
    if all(line.partition("\t")[0].isdigit() and "\t" in line for _, line in lines):
        raise DataError(
            f"Every line of {path} begins with a number and a tab: it has ids, which --by-line would score as words.",
            "Leave out --by-line.",
        )
    return Comments(path, "plain lines by order", {str(number - 1): (line.strip(),) for number, line in lines})


def _json_comments(path: Path, field: str, id_field: str, by_line: bool) -> Comments:
    texts: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    place = 0
    for number, line in _lines(path):
        if not line.strip():
            continue
        record = _parsed(line)
        if not isinstance(record, dict):
            raise DataError(f"Line {number} of {path} is no JSON object.", "Mend the line, or leave it out.")
        text = record.get(field)
        if not isinstance(text, str):
            raise DataError(
                f"Line {number} of {path} has no text in the field {field!r}; its fields: {_names(record)}.",
                "Say which field holds the comment: --field for predictions, --gold-field for the gold.",
            )
        row = str(place) if by_line else _id(record, id_field, path, number)
        texts[row] = (*texts.get(row, ()), text)
        if isinstance(name := record.get("name", record.get("func_name")), str):
            names[row] = name
        place += 1
    return Comments(path, f"JSON lines, field {field}" + (", by order" if by_line else ""), texts, names)


def _id(record: Mapping[str, object], id_field: str, path: Path, number: int) -> str:
    chosen = id_field or next((name for name in ID_FIELDS if name in record), "")
    row = record.get(chosen)
    if isinstance(row, bool) or not isinstance(row, int | str):
        fields = repr(id_field) if id_field else ", ".join(ID_FIELDS)
        raise DataError(
            f"Line {number} of {path} has no id ({fields}); its fields: {_names(record)}.",
            "Say where the ids stand with --id-field. " + NUMBERED,
        )
    return str(row)


def _names(record: Mapping[str, object]) -> str:
    return ", ".join(map(repr, record))[:200] or "none"
