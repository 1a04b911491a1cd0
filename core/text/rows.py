"""Reads rows (one documented Ruby method each) from a folder or from the Hugging Face hub, and names every broken one.

Knows nothing of torch, tokens or batches: rows are text. Follows CodeXGLUE's code-to-text format: one JSON object
a line with `code_tokens` and `docstring_tokens`, both joined by blanks with every run of white space collapsed to one.

Layouts are found by `splits`, tables read by `tables`. Local `jsonl` is read here line by line and not through `datasets`: a
broken row must be reported with its file and line, and a row's place must stay what it is in the file; `datasets` converts to
Arrow first and has lost both by then.
"""

import gzip
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO, Literal

from ..errors import DataError
from ..hub import cache_only, is_cached, snapshot_of, why_unreachable
from ..regularfile import open_regular, read_regular, reason
from .content import HEAD_BYTES, is_gzip, is_utf16, oddity
from .splits import ALIASES, Split, find_split, in_folder
from .tables import parquet_records, saved_records

ROW_BYTES = 8_000_000
"""Longest row, in bytes: longer than any method that a person wrote."""
READ_BYTES = 1_000_000
UNPACK_LIMIT = 100
"""How many times its size a packed file may unpack to by default."""
UNPACKED_FREE = 100_000_000
"""Number of bytes that every packed file may unpack to."""
COMMENT_WORDS = range(3, 257)
"""Numbers of tokens that the comment of a row from a Ruby file may have: CodeXGLUE's filter, against stubs and licences."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method and its comment."""

    name: str
    """The method's qualified name (`func_name`); empty where the row has none."""
    source: str
    """The code tokens joined by single blanks: what the model reads."""
    target: str
    """The comment's tokens joined by single blanks: what the model should write."""
    code: str
    """The method as it was written; empty where the row has none."""
    index: int
    """0-based place in the split, broken rows counted: it names the same row whether or not others are skipped."""
    path: str
    """The file the method comes from, as the row says, or relative to the split's folder of Ruby files."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that cannot be used, and why."""

    file: str
    """The file (or hub data set and split) that holds it."""
    line: int
    """1-based line in the file, or 1-based row in the hub's split."""
    problem: str
    """What is wrong, in half a sentence."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One split as it was read."""

    rows: tuple[Row, ...]
    """The usable rows, in the order of the split."""
    broken: tuple[BrokenRow, ...]
    """The rows that were skipped."""
    digest: str
    """sha256 (hex) over the content of `rows`: equal digests, equal data, wherever the files lie."""


def load_rows(
    path: str,
    split: str,
    *,
    on_broken: Literal["stop", "skip"] = "stop",
    limit: int = 0,
    shortest: int = 0,
    hub_config: str = "ruby",
    unpack_limit: int = UNPACK_LIMIT,
) -> Rows:
    """Reads one split of a data set.

    Args:
        path: A folder in one of the layouts of `splits`, or else the name of a hub data set, `owner/name`.
        split: `train`, `valid`, `test` or whatever the files are called.
        on_broken: `stop` refuses the split at its first broken row; `skip` leaves broken rows out and lists them.
        limit: Most rows to read, 0 for all; nothing after the last one is read.
        shortest: Rows whose comment has fewer words than this are left out, as if they were not there.
        hub_config: Configuration of the hub data set; not used for a folder.
        unpack_limit: How many times its size a packed file may unpack to, 0 for any; small files are always read.

    Returns:
        The rows, at least one; the broken ones; and a digest of the content.

    Raises:
        DataError: The folder, split or data set is missing, damaged, empty or out of reach, or a row is broken and
            `on_broken` is `stop`.
    """
    rows: list[Row] = []
    broken: list[BrokenRow] = []
    longest = 0
    for row in _rows_of(path, split, hub_config, unpack_limit):
        if isinstance(row, Row):
            words = len(row.target.split())
            longest = max(longest, words)
            if words < shortest:
                continue
            rows.append(row)
            if len(rows) == limit:
                break
        elif on_broken == "skip":
            broken.append(row)
        else:
            raise DataError(
                f"{row.file}, line {row.line}: {row.problem}.",
                'Mend the row, or set data.on_broken_row = "skip" (evaluate: --skip-broken) to leave out and count such rows.',
            )
    if not rows and longest:
        raise DataError(
            f"No comment in the split {split} of {path} has {shortest} words; the longest has {longest}.",
            f"Set data.shortest_comment to {longest} or less.",
        )
    if not rows:
        raise _empty(path, split, broken)
    return Rows(tuple(rows), tuple(broken), _digest(rows))


def read_rows(file: Path, unpack_limit: int = UNPACK_LIMIT) -> Iterator[Row]:
    """Reads the rows of one file in CodeXGLUE's format, plain or gzipped.

    Args:
        file: `.jsonl` or `.jsonl.gz`.
        unpack_limit: As for `load_rows`.

    Yields:
        Each row, in the order of the file.

    Raises:
        DataError: The file cannot be read, or a row is broken.
    """
    for row in _jsonl_rows([file], unpack_limit):
        if isinstance(row, BrokenRow):
            raise DataError(f"{row.file}, line {row.line}: {row.problem}.", "Mend the row, or leave it out.")
        yield row


def _rows_of(path: str, split: str, hub_config: str, unpack_limit: int) -> Iterator[Row | BrokenRow]:
    """The rows at `path`; the folder is looked up at once, its rows are read as they are consumed."""
    place = find_split(path, split) or _downloaded(path, hub_config, split)
    if place is None:
        return _hub_rows(path, hub_config, split)
    if place.kind == "jsonl":
        return _jsonl_rows(place.paths, unpack_limit)
    if place.kind == "ruby":
        return _ruby_rows(place.paths[0])
    records = parquet_records(place.paths) if place.kind == "parquet" else saved_records(place.paths[0])
    return _record_rows(records, str(place.paths[0] if len(place.paths) == 1 else place.paths[0].parent))


def _digest(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        fields = [row.name, row.source, row.target, row.code, row.index, row.path]
        digest.update(json.dumps(fields).encode() + b"\n")
    return digest.hexdigest()


def _jsonl_rows(files: Sequence[Path], unpack_limit: int) -> Iterator[Row | BrokenRow]:
    """The rows of some files, plain or gzipped; blank lines are skipped."""
    places = count()
    for file in files:
        yield from _file_rows(file, unpack_limit, places)


def _file_rows(file: Path, unpack_limit: int, places: Iterator[int]) -> Iterator[Row | BrokenRow]:
    number = 0
    try:
        with open_regular(file) as packed:
            most = sys.maxsize
            lines: BinaryIO | gzip.GzipFile = packed
            head = packed.read(HEAD_BYTES)
            packed.seek(0)
            if (odd := oddity(head, file.name)) is not None and not is_gzip(head):
                raise DataError(f"{file} {odd[0]}.", f"{odd[1]}.")
            if is_gzip(head) or (file.suffix == ".gz" and not head.lstrip().startswith(b"{")):
                lines = gzip.GzipFile(fileobj=packed)
                most = max(UNPACKED_FREE, unpack_limit * os.fstat(packed.fileno()).st_size) if unpack_limit else most
            for number, line, length in _lines(lines, most):
                if length > ROW_BYTES:
                    yield BrokenRow(str(file), number, f"longer than {ROW_BYTES / 1e6:g} MB")
                    next(places)
                elif line.strip():
                    index = next(places)
                    try:
                        yield _row(_parse(line), index)
                    except ValueError as error:
                        yield BrokenRow(str(file), number, str(error))
    except _TooMuchError as error:
        raise DataError(
            f"{file} unpacks to more than {unpack_limit} times its size; it was read up to line {number}. Real rows unpack to 5 "
            "to 20 times.",
            f"If it is meant so, set data.unpack_limit = 0 in the recipe, or unpack it first: gunzip -k {file.name}",
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{file} cannot be read beyond line {number}: {reason(error) if isinstance(error, OSError) else error}.",
            "The file is incomplete, damaged or not readable: copy or download it again and check its permissions.",
        ) from error


def _lines(file: BinaryIO | gzip.GzipFile, most: int) -> Iterator[tuple[int, bytes, int]]:
    """Lines, numbered from 1, with their length in bytes; of one that is too long for a row, only the length is valid.

    Raises:
        _TooMuchError: The file holds more than `most` bytes.
    """
    number = 0
    while line := file.readline(READ_BYTES):
        number, parts, length = number + 1, [line], len(line)
        while not parts[-1].endswith(b"\n") and (more := file.readline(READ_BYTES)):
            length += len(more)
            if length > ROW_BYTES:
                parts.clear()
            parts.append(more)
            _check_amount(file, most)
        _check_amount(file, most)
        yield number, b"".join(parts), length


def _check_amount(file: BinaryIO | gzip.GzipFile, most: int) -> None:
    if file.tell() > most:
        raise _TooMuchError


class _TooMuchError(Exception):
    """A packed file unpacks to more than it may."""


def _parse(line: bytes) -> object:
    """The JSON value of the line; raises a ValueError with a plain text where it is not JSON."""
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start + 1} of the line)") from error
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("not JSON of a row (nested too deeply)") from error


def _row(record: object, index: int) -> Row:
    """The row in `record`; raises a ValueError that says what is wrong where there is none."""
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but {_kind(record)}")
    row = Row(
        name=_text(record, "func_name"),
        source=_joined(record, "code_tokens"),
        target=_joined(record, "docstring_tokens"),
        code=_text(record, "code"),
        index=index,
        path=_text(record, "path"),
    )
    try:
        "".join((row.name, row.source, row.target, row.code, row.path)).encode()
    except UnicodeEncodeError as error:
        # JSON may escape half of a surrogate pair; no tokenizer and no file takes such a text.
        raise ValueError("a text holds half of a surrogate pair, which is no character") from error
    return row


def _joined(record: dict[str, object], field: str) -> str:
    tokens = record.get(field)
    if tokens is None:
        fields = ", ".join(repr(name) for name in record) or "none"
        raise ValueError(f"{field} is missing (the row's fields: {fields[:200]})")
    if not isinstance(tokens, list):
        raise ValueError(f"{field} must be a list of strings, but is {_kind(tokens)}")
    for place, token in enumerate(tokens):
        if not isinstance(token, str):
            raise ValueError(f"{field} must be a list of strings, but item {place} is {_kind(token)}")
    text = " ".join(" ".join(tokens).split())
    if not text:
        raise ValueError(f"{field} holds no text")
    return text


def _text(record: dict[str, object], field: str) -> str:
    text = record.get(field)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValueError(f"{field} must be a string, but is {_kind(text)}")
    return text


def _kind(value: object) -> str:
    """JSON's name for the kind of a value, for the text of an error."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _ruby_rows(folder: Path) -> Iterator[Row | BrokenRow]:
    """One row for each method with a comment of 3 to 256 tokens; other methods are skipped."""
    # Imported here: only this kind of data needs tree-sitter.
    from ..ruby import SOURCE_BYTES, docstring_tokens, methods, source_text, target_text

    index = 0
    for file in sorted(folder.rglob("*.rb")):
        if not file.is_file():
            continue
        try:
            content = read_regular(file, SOURCE_BYTES)
        except OSError as error:
            raise DataError(f"{file} cannot be read: {reason(error)}.", "Check its permissions, or move it away.") from error
        if is_utf16(content[:HEAD_BYTES]):
            yield BrokenRow(str(file), 1, "UTF-16, not UTF-8 (iconv -f UTF-16 -t UTF-8 converts it)")
            continue
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            yield BrokenRow(str(file), content.count(b"\n", 0, error.start) + 1, "not UTF-8")
            continue
        name = file.relative_to(folder).as_posix().encode(errors="replace").decode()
        for method in methods(text):
            words = docstring_tokens(method.comment or "")
            if len(words) in COMMENT_WORDS:
                yield Row(method.qualified, source_text(method.tokens), target_text(words), method.code, index, name)
                index += 1


def check_data_reachable(path: str, split: str, hub_config: str = "ruby") -> None:
    """Refuses data that is not on this machine while the hub does not answer; checked before anything slow is imported.

    Args:
        path: Folder or hub name.
        split: The split to read.
        hub_config: The part of a data set on the hub.

    Raises:
        DataError: The data is neither on this machine nor reachable, or is no data.
    """
    if find_split(path, split) is None and not is_cached(path, "dataset") and (why := why_unreachable()):
        raise _unreadable(path, f"{path} ({hub_config}, {ALIASES.get(split, split)})", split, why)


def _downloaded(name: str, config: str, split: str) -> Split | None:
    """Tables that `hf download` left in the hub's cache, which `datasets` does not look for while the hub is out of reach."""
    snapshot = snapshot_of(name) if why_unreachable() else None
    places = [] if snapshot is None else [snapshot / config, snapshot]
    return next((place for folder in places if folder.is_dir() and (place := in_folder(folder, split))), None)


def _unreadable(name: str, place: str, split: str, why: str) -> DataError:
    return DataError(
        f"There is no folder {name}, and {place} cannot be read from the Hugging Face hub: {why}.",
        f"Check the name, the split and the network, or download the rows and give data.path as the folder with {split}.jsonl.",
    )


def _hub_rows(name: str, config: str, split: str) -> Iterator[Row | BrokenRow]:
    check_data_reachable(name, split, config)
    # Imported here: slow to import, and not needed to read from a folder.
    import datasets
    from huggingface_hub import constants

    hub_split = ALIASES.get(split, split)
    place = f"{name} ({config}, {hub_split})"
    why = why_unreachable()  # or the hub's library would retry for half a minute
    try:
        with cache_only(constants, datasets.config) if why else nullcontext():
            records = datasets.load_dataset(name, config, split=hub_split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise _unreadable(name, place, split, why or " ".join(str(error).split())[:300].rstrip(".")) from error
    yield from _record_rows(records, place)


def _record_rows(records: Iterable[object], place: str) -> Iterator[Row | BrokenRow]:
    """Rows of a table's records."""
    for index, record in enumerate(records):
        try:
            yield _row(record, index)
        except ValueError as error:
            yield BrokenRow(place, index + 1, str(error))


def _empty(path: str, split: str, broken: Sequence[BrokenRow]) -> DataError:
    """The error for a split without one usable row."""
    if broken:
        first = broken[0]
        return DataError(
            f"The split {split} of {path} holds no usable row: all {len(broken)} are broken, the first at "
            f"{first.file}, line {first.line}: {first.problem}.",
            "Check that the file is in CodeXGLUE's format: one JSON object a line, with code_tokens and docstring_tokens.",
        )
    return DataError(
        f"The split {split} of {path} holds no row.",
        "Fill it with jsonl rows, or with Ruby files whose methods have comments of 3 to 256 words, or name another split.",
    )
