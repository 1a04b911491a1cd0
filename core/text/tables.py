"""Reads the records of data sets stored as tables: parquet files of the hub, and folders of `datasets.save_to_disk`.

Knows no rows: the result is one dict a record, in the order of the files. Torch-free.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError
from ..regularfile import open_regular
from ..regularfile import reason as reason_of
from .content import HEAD_BYTES, oddity

BATCH = 500
"""Number of records of a parquet file that are made at a time."""
COLUMNS = ("func_name", "code_tokens", "docstring_tokens", "code", "path")
"""The columns that rows are made of; no other is read."""


def parquet_records(files: Sequence[Path]) -> Iterator[dict[str, object]]:
    """The records of parquet files.

    Args:
        files: The files in their order.

    Yields:
        One dict a record, with those of `COLUMNS` that the file has.

    Raises:
        DataError: A file is damaged, or no parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    for file in files:
        try:
            with open_regular(file) as opened:
                _check(opened.read(HEAD_BYTES), file)
                table = parquet.ParquetFile(opened)
                columns = [name for name in table.schema_arrow.names if name in COLUMNS]
                for batch in table.iter_batches(BATCH, columns=columns):
                    yield from batch.to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            why = reason_of(error) if isinstance(error, OSError) else str(error).splitlines()[0][:300].rstrip(".")
            raise DataError(f"{file} cannot be read as parquet: {why}.", "Copy or download it again.") from error


def saved_records(folder: Path) -> Iterator[dict[str, object]]:
    """The records of a data set that `datasets.save_to_disk` wrote.

    Args:
        folder: With `state.json` and `dataset_info.json`.

    Yields:
        One dict a record.

    Raises:
        DataError: It cannot be read.
    """
    import datasets
    import pyarrow

    try:
        stored = datasets.load_from_disk(str(folder))
        yield from stored.select_columns([name for name in stored.column_names if name in COLUMNS])
    except (OSError, ValueError, KeyError, pyarrow.ArrowException, datasets.exceptions.DatasetsError) as error:
        why = " ".join(str(error).split())[:300].rstrip(".")
        raise DataError(f"{folder} cannot be read as a saved data set: {why}.", "Save or copy it again.") from error


def _check(head: bytes, file: Path) -> None:
    if (odd := oddity(head, file.name)) is not None and not head.startswith(b"PAR1"):
        raise DataError(f"{file} {odd[0]}.", f"{odd[1]}.")
