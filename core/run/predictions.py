"""Reads the comments of a round from `predictions.jsonl`, which has one JSON object a row.

Reads only; `core.evaluate.evaluate` writes them. Torch-free.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..regularfile import read_text

PREDICTION_BYTES = 256_000_000
"""Most bytes of a file of comments: enough for a million rows."""


@dataclass(frozen=True)
class Prediction:
    """One row of an evaluation."""

    index: int
    """Place of the row in its split."""
    name: str
    """The method's name."""
    prediction: str
    """The model's comment."""
    reference: str
    """The row's own comment."""


def read_predictions(path: Path) -> tuple[Prediction, ...] | None:
    """Reads the comments of a round.

    Args:
        path: A `predictions.jsonl`.

    Returns:
        One prediction a row, in the order of the file; None where the file is missing or damaged, because a part of the rows
        would have another score.
    """
    try:
        # not splitlines(): comments may contain U+2028 and similar characters
        lines = read_text(path, PREDICTION_BYTES).split("\n")
        return tuple(_prediction(json.loads(line)) for line in lines if line.strip())
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _prediction(row: dict[str, object]) -> Prediction:
    texts = [row[key] for key in ("name", "prediction", "reference")]
    index = row["index"]
    if not (isinstance(index, int) and all(isinstance(text, str) for text in texts)):
        raise TypeError("no row of predictions")
    name, prediction, reference = map(str, texts)
    return Prediction(index, name, prediction, reference)
