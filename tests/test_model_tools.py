"""The scripts that made the bundled models do what the cards say of them."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_model import small_model

from core.families.reader import Reader
from core.families.tokenizer import train_tokenizer
from core.model import load_model, save_model

ROOT = Path(__file__).resolve().parent.parent


def run_tool(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, ROOT / "tools" / f"{name}.py", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment).stdout


def test_the_average_is_that_of_every_weight_the_tied_ones_too(tmp_path: Path) -> None:
    reader = Reader(train_tokenizer(["def size"], vocab_size=300))
    for seed in (0, 1, 2):
        save_model(small_model(seed, vocab_size=len(reader)), reader, tmp_path / str(seed))
    run_tool("average_models", tmp_path / "mean", *(tmp_path / str(seed) for seed in (0, 1, 2)))
    states = [load_model(tmp_path / str(seed)).state_dict() for seed in (0, 1, 2)]
    for name, weight in load_model(tmp_path / "mean").state_dict().items():
        assert torch.allclose(weight, torch.stack([state[name] for state in states]).mean(0), atol=1e-7), name


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ((), ["Add", "Adds one", "Adds one to the size", "Adds ( one ) to it", "Adds one to the size and gives it back"]),
        (("--plain",), ["Adds one to the size", "Adds one to the size and gives it back"]),
        (("--plain", "--words", "5", "5"), ["Adds one to the size"]),
    ],
)
def test_training_rows_are_of_both_files_and_plain_where_it_is_wanted(
    tmp_path: Path, options: tuple[str, ...], kept: list[str]
) -> None:
    source = tmp_path / "ruby"
    source.mkdir()
    comments = {
        "train": ["Add", "Adds one", "Adds one to the size"],
        "more": ["Adds ( one ) to it", "Adds one to the size and gives it back"],
    }
    for split, texts in comments.items():
        with gzip.open(source / f"{split}.jsonl.gz", "wt") as rows:
            rows.writelines(json.dumps({"docstring_tokens": text.split()}) + "\n" for text in texts)
    for split in ("valid", "test"):
        (source / f"{split}.jsonl.gz").write_bytes(gzip.compress(b""))
    assert f"{len(kept)} rows" in run_tool("training_rows", source, tmp_path / "rows", *options)
    with gzip.open(tmp_path / "rows" / "train.jsonl.gz", "rt") as rows:
        assert [" ".join(json.loads(line)["docstring_tokens"]) for line in rows] == kept
    assert (tmp_path / "rows" / "valid.jsonl.gz").resolve() == (source / "valid.jsonl.gz").resolve()
