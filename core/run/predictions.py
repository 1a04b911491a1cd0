"""Reads the comments of a round from `predictions.jsonl`, which has one JSON object a row.

Reads only; `core.evaluate.evaluate` writes them. Torch-free.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..regularfile import read_text
from ..score.tally import Tally, tally
from .folder import number_of

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
    semantic: float | None = None
    """Cosine of the sentence embeddings of both, times 100; None without an embedder."""


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
    semantic = number_of(row.get("semantic"))
    return Prediction(index, name, prediction, reference, semantic)


def tally_of(rows: Sequence[Prediction]) -> Tally:
    """The share of each row in each score.

    Args:
        rows: At least one.
    """
    counted = tally([row.prediction for row in rows], [row.reference for row in rows])
    cosines = [row.semantic for row in rows if row.semantic is not None]
    return replace(counted, semantic=np.asarray(cosines)) if len(cosines) == len(rows) else counted
