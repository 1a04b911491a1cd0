"""Reads the reference comments, which people wrote, from a file of comments, CodeXGLUE's rows or a data folder. Torch-free."""

from collections.abc import Iterable
from pathlib import Path

from .comments import Comments, first_object, read_comments
from .rows import Row, load_rows, read_rows

ROW_FIELDS = ("code_tokens", "docstring_tokens")
"""Field by which CodeXGLUE's rows differ from other JSON lines."""


def read_gold(path: Path, *, split: str = "", field: str = "reference", id_field: str = "", by_line: bool = False) -> Comments:
    """Reads the reference comments.

    Args:
        path: As for `read_comments`, or a file of CodeXGLUE's rows (`.jsonl`, `.jsonl.gz`), or a folder of data.
        split: Split of the folder; not used for a file.
        field: As for `read_comments`.
        id_field: As for `read_comments`.
        by_line: As for `read_comments`.

    Returns:
        The comments, with the names of the methods where the file has them.

    Raises:
        DataError: As for `read_comments`; or a row is broken.
    """
    if path.is_dir():
        return _of_rows(path / split, load_rows(str(path), split).rows)
    if path.name.endswith(".gz") or (_has_rows(path)):
        return _of_rows(path, read_rows(path))
    return read_comments(path, field=field, id_field=id_field, by_line=by_line)


def _of_rows(path: Path, rows: Iterable[Row]) -> Comments:
    chosen = list(rows)
    texts = {str(row.index): (row.target,) for row in chosen}
    return Comments(path, "CodeXGLUE's rows", texts, {str(row.index): row.name for row in chosen if row.name})


def _has_rows(path: Path) -> bool:
    first = first_object(path)
    return first is not None and all(name in first for name in ROW_FIELDS)
