"""The scripts that made the bundled models do what the cards say of them."""

import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from test_model import small_model

from core.decode import beam_search
from core.families.reader import Reader
from core.families.tokenizer import train_tokenizer
from core.model import load_model, save_model

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> ModuleType:
    """A script of `tools` as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


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


def write_rows(file: Path, count: int = 20) -> Path:
    with gzip.open(file, "wt") as rows:
        for number in range(count):
            code = ["def", "size", "(", f"a{number}", ")", "a", "+", str(number), "end"]
            rows.write(json.dumps({"code_tokens": code, "docstring_tokens": f"Adds {number} to the size".split()}) + "\n")
    return file


def test_an_ensemble_of_one_model_writes_what_the_model_writes(tmp_path: Path) -> None:
    reader = Reader(train_tokenizer(["def size adds to the end"], vocab_size=300))
    model = small_model(0, vocab_size=len(reader), max_position_embeddings=140)
    save_model(model, reader, tmp_path / "model")
    rows = write_rows(tmp_path / "rows.jsonl.gz")
    for beam in (1, 4):
        same = [tmp_path / "model"] * 3
        run_tool("ensemble_comments", rows, tmp_path / "comments.jsonl.gz", *same, "--beam", str(beam), "--most", "16")
        with gzip.open(tmp_path / "comments.jsonl.gz", "rt") as lines:
            written = [json.loads(line)["docstring"] for line in lines]
        with gzip.open(rows, "rt") as lines:
            sources = reader.sources([" ".join(json.loads(line)["code_tokens"]) for line in lines][:16], 128)
        best = beam_search(model, sources, beam=beam, max_length=48)
        assert written == [reader.text(list(hypotheses[0].tokens)) for hypotheses in best]
        assert len(set(written)) > 1


def test_a_comment_without_a_loop_is_taken_where_the_beam_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    first = tool("ensemble_comments").first_without_loop
    assert first(["Drop drop drop", "Drop it", "Drop"]) == "Drop it"
    assert first(["Drop drop drop", "It it it"]) == "Drop drop drop"
    assert first(["Drop", "Drop it"]) == "Drop"


def test_an_ensembles_loss_is_below_the_mean_of_its_models(tmp_path: Path) -> None:
    """The logarithm of a mean is above the mean of logarithms wherever models differ."""
    reader = Reader(train_tokenizer(["def size adds to the end"], vocab_size=300))
    for seed in (0, 1):
        model = small_model(seed, vocab_size=len(reader), max_position_embeddings=140)
        with torch.no_grad():
            model.lm_head.weight.mul_(20)  # or all words would be as likely
        save_model(model, reader, tmp_path / str(seed))
    rows = write_rows(tmp_path / "rows.jsonl.gz")
    first, second, both, turned = (
        float(
            run_tool("ensemble_comments", rows, tmp_path / "comments.jsonl.gz", *(tmp_path / seed for seed in seeds))
            .split("loss ")[1]
            .split()[0]
        )
        for seeds in ("0", "1", "01", "10")
    )
    assert both == turned
    assert min(first, second) - 0.7 < both < (first + second) / 2 - 0.01


@pytest.mark.parametrize(
    ("comment", "is_loop"),
    [
        ("Returns the returns returns returns .", True),
        ("Drops the drop drop drop.", True),
        ("A very, very, Very nice one", True),
        ("Adds it to the list to the list", False),
        ("Gets a list, a list, a list.", True),
        ("Reads and writes and writes and writes", True),
        ("Item 1 item 1 item 1", True),
        ("Returns an array of all invoooooooooo for more", True),
        ("Says that that is that", False),
        ("A matrix of 1 1 1 and 0, 0, 0.", False),
        ("Prints ... ( ( ( - - -", False),
        ("Adds one to the number of rows, of columns, of cells", False),
    ],
)
def test_what_counts_as_a_loop(comment: str, is_loop: bool) -> None:
    assert tool("model_card").loops(comment) is is_loop


def test_a_wider_encoder_computes_the_same(tmp_path: Path) -> None:
    reader = Reader(train_tokenizer(["def size"], vocab_size=300))
    model = small_model(0, vocab_size=len(reader)).eval()
    save_model(model, reader, tmp_path / "narrow")
    wide = model.config.intermediate_size * 2 + 3
    run_tool("reshape_model", tmp_path / "narrow", tmp_path / "wide", "--encoder-ffn", str(wide))
    wider = load_model(tmp_path / "wide").eval()
    sources = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    assert wider.encoder.encoder.layer[0].intermediate.dense.out_features == wide
    assert torch.allclose(wider.encode(sources).states, model.encode(sources).states, atol=1e-5)
    assert not wider.config.pretrained_only


def test_the_first_decoder_layers_stay(tmp_path: Path) -> None:
    reader = Reader(train_tokenizer(["def size"], vocab_size=300))
    model = small_model(0, vocab_size=len(reader))
    save_model(model, reader, tmp_path / "two")
    run_tool("reshape_model", tmp_path / "two", tmp_path / "one", "--decoder-layers", "1")
    one = load_model(tmp_path / "one")
    assert len(model.decoder.layers) > 1
    assert len(one.decoder.layers) == 1
    assert torch.equal(one.decoder.layers[0].linear1.weight, model.decoder.layers[0].linear1.weight)


def test_weights_drawn_anew_have_the_shape_and_nothing_else(tmp_path: Path) -> None:
    reader = Reader(train_tokenizer(["def size"], vocab_size=300))
    model = small_model(1, vocab_size=len(reader))
    save_model(model, reader, tmp_path / "model")
    for name in ("anew", "again"):
        run_tool("reshape_model", tmp_path / "model", tmp_path / name, "--anew")
    anew, again = (load_model(tmp_path / name) for name in ("anew", "again"))
    assert anew.config == model.config
    for name, weight in anew.named_parameters():
        assert torch.equal(weight, again.get_parameter(name))
        assert weight.dim() == 1 or not torch.equal(weight, model.get_parameter(name)), name
