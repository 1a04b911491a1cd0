"""The comments of a round are read whole, or not at all."""

import json
from pathlib import Path

import pytest

from core.run.predictions import Prediction, read_predictions

ROW = {"index": 3, "name": "a.b", "prediction": "Sets\u2028it .", "reference": "Sets it .", "bleu": 40.0}


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(ROW, ensure_ascii=False) + "\n" + json.dumps({**ROW, "index": 1}) + "\n", encoding="utf-8")
    assert read_predictions(path) == (
        Prediction(3, "a.b", "Sets\u2028it .", "Sets it ."),
        Prediction(1, "a.b", "Sets\u2028it .", "Sets it ."),
    )


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "3", '{"index": "x", "name": "", "prediction": "", "reference": ""}', '{"index": 1, "name": "a"}',
     json.dumps(ROW) + '\n{"index"', '{"index": 1, "name": "a", "prediction": 3, "reference": ""}'],
)  # fmt: skip
def test_damage_and_absence_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "predictions.jsonl"
    assert read_predictions(path) is None
    path.write_text(text)
    assert read_predictions(path) is None
