"""Calibration rows: what criteria with a basis look at, drawn by seed from the split for training, never from the one scored."""

from dataclasses import replace

from ..compress.basis import Row
from ..data import Encoded, encode_for, subset
from ..families.reader import PAPER_SOURCE_LENGTH, Reader
from ..families.roberta import CodeToText
from ..seeds import derive_seed
from ..spec.criteria import CALIBRATION_SPLIT
from ..text.rows import load_rows


def drawn(encoded: Encoded, count: int, seed: int) -> list[Row]:
    """Draws calibration rows.

    Args:
        encoded: The split for training.
        count: Number of rows; all where there are fewer.
        seed: Equal seeds, equal rows.
    """
    return [(encoded.sources[row], encoded.targets[row]) for row in _places(len(encoded.rows), count, seed)]


def load_drawn(
    model: CodeToText, reader: Reader, data: str, count: int, seed: int, source_length: int = PAPER_SOURCE_LENGTH
) -> list[Row]:
    """As `drawn`, from a data set on disk of which nothing else is needed.

    Args:
        model: Whose positions no row may exceed.
        reader: The model's.
        data: Folder or hub name of the data.
        count: Number of rows.
        seed: Of the draw.
        source_length: Most tokens of a source.

    Raises:
        DataError: There is no split for training, or it cannot be read.
    """
    rows = load_rows(data, CALIBRATION_SPLIT)
    chosen = tuple(rows.rows[place] for place in _places(len(rows.rows), count, seed))
    encoded = encode_for(model, reader, replace(rows, rows=chosen), source_length=source_length)
    return list(zip(encoded.sources, encoded.targets, strict=True))


def _places(total: int, count: int, seed: int) -> tuple[int, ...]:
    return subset(total, count, derive_seed(seed, "calibration"))
