"""The ladder on a tiny model, from the command to the page; the ablation against torch's own layers; saved folders in use."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_model import SOURCES, TARGETS, small_model

from codeprune_tui.cli import main
from codeprune_tui.cli.quantize import shown
from codeprune_tui.reports import quantization
from core.compress.quantize import quantize
from core.errors import DataError
from core.evaluate.comment import Writer, write_comments
from core.evaluate.layer_errors import ABLATIONS, TORCH, Rounding, ablated, layer_errors, rounded_activations, spreads, states
from core.families.reader import Reader
from core.families.tokenizer import train_tokenizer
from core.model import load_model, load_reader, save_model
from core.recipe import Search
from core.ruby import methods
from core.run.results import MEASURES
from core.spec.sizes import bytes_by_width
from core.study.ladderfile import read_ladder

ROOT = Path(__file__).resolve().parent.parent
DATA = str(ROOT / "checkpoints" / "bundled" / "demo-ruby")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["codeprune-tui", *arguments])
        with pytest.raises(SystemExit) as left:
            main.main()
        out, err = capsys.readouterr()
        return Result(left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reader = Reader(train_tokenizer(["def size; @items.length; end", "Returns the size of it ."], vocab_size=280))
    save_model(small_model(vocab_size=len(reader)), reader, tmp_path / "tiny")
    return tmp_path / "tiny"


# --- the explanation


def test_the_ablation_starts_from_what_torch_does() -> None:
    model = small_model()
    by_torch, simulated = quantize(model, "dynamic-int8"), ablated(model, TORCH)
    x = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(2))
    layer = "encoder.encoder.layer.1.intermediate.dense"
    assert torch.allclose(by_torch.get_submodule(layer)(x), simulated.get_submodule(layer)(x), atol=1e-5)
    assert next(iter(ABLATIONS.values())) == TORCH
    # Further on a last bit can become a step of the rounding, so whole models are near, not equal.
    errors = layer_errors(by_torch, simulated, [(SOURCES, TARGETS)])
    from_fp32 = layer_errors(model, by_torch, [(SOURCES, TARGETS)])
    assert errors["encoder 0"] < 0.5 * from_fp32["encoder 0"]


def test_coarser_choices_are_further_off() -> None:
    model = small_model()

    def off(rounding: Rounding) -> float:
        return layer_errors(model, ablated(model, rounding), [(SOURCES, TARGETS)])["encoder 1"]

    assert off(replace(TORCH, activation_bits=None, weight_bits=None)) < 1e-6
    assert (
        off(replace(TORCH, activation_bits=8, per_token=True, per_row=True)) < off(TORCH) < off(replace(TORCH, activation_bits=4))
    )
    assert off(replace(TORCH, layers="lm_head")) == 0
    assert off(replace(TORCH, layers="!encoder.")) == 0


def test_an_outlier_costs_one_range_for_all_but_not_a_range_for_each_token() -> None:
    x = torch.randn(10, 32, generator=torch.Generator().manual_seed(3))
    x[0, 0] = 200.0
    others = x[1:]
    assert (rounded_activations(x, 8, per_token=False)[1:] - others).norm() / others.norm() > 0.1
    assert (rounded_activations(x, 8, per_token=True)[1:] - others).norm() / others.norm() < 0.01


def test_layer_errors_are_norms_over_real_tokens() -> None:
    model, other = small_model(), quantize(small_model(), "int8-weight")
    errors = layer_errors(model, other, [(SOURCES, TARGETS)])
    assert list(errors) == ["embeddings", "encoder 0", "encoder 1", "decoder 0", "decoder 1", "logits"]
    right, wrong = states(model, (SOURCES, TARGETS)), states(other, (SOURCES, TARGETS))
    assert right["encoder 0"].shape[0] == int((SOURCES != 1).sum())
    assert errors["decoder 1"] == pytest.approx(
        float((wrong["decoder 1"] - right["decoder 1"]).norm() / right["decoder 1"].norm())
    )
    assert errors["embeddings"] == 0


def test_spreads_count_what_a_layer_is_given() -> None:
    model = small_model()
    first = next(spread for spread in spreads(model, (SOURCES, TARGETS)) if spread.layer.endswith("layer.0.attention.self.query"))
    inputs = states(model, (SOURCES, TARGETS))["embeddings"]
    assert first.largest == pytest.approx(float(inputs.abs().max()))
    assert first.median == pytest.approx(float(inputs.abs().median()))
    assert first.token_error < first.activation_error


# --- the command


@pytest.mark.slow
def test_the_ladder_from_command_to_page(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    arguments = ["quantize", str(folder), "--data", DATA, "--rows", "3", "--beam", "2", "--max-length", "6", "--threads", "1"]
    methods = "fp16,dynamic-int8,int8-weight,int8-w8a8,llm-int8"
    options = ["--repeats", "1", "--explain", "--split", "valid", "--split", "test", "-o", "ladder.json", "--methods", methods]
    result = run_cli(*arguments, *options, "--device", "cpu")
    assert result.code == 0, result.err
    text = (tmp_path / "ladder.json").read_text()
    assert str(tmp_path) not in text
    assert str(ROOT) not in text
    ladder = read_ladder(tmp_path / "ladder.json")
    assert [method.method for method in ladder.methods] == ["fp32", *methods.split(",")]
    assert ladder.rows == {"valid": 3, "test": 3}
    for method in ladder.methods:
        if method.unavailable:
            assert method.method == "llm-int8"
            continue
        assert method.splits.keys() == {"valid", "test"}
        for scores in method.splits.values():
            assert scores.tokens is not None
            assert scores.ended is not None
            assert 0 < scores.tokens <= 6
            assert 0 <= scores.ended <= 1
        assert {timing.batch for timing in method.timings} == {1, 3}
        assert all(timing.token_ms > 0 and timing.comment_ms > 0 for timing in method.timings)
        assert method.splits["valid"].less_fp32.keys() == (set() if method.method == "fp32" else set(MEASURES))
        for name, own in method.splits["valid"].intervals.items():
            assert own.low <= own.value <= own.high
            assert own.value == pytest.approx(method.splits["valid"].scores[name], abs=1e-4)
        for gap in method.splits["test"].less_fp32.values():
            assert gap.low <= gap.value <= gap.high
    if importlib.util.find_spec("bitsandbytes") is None:
        assert "llm-int8: not installed: pip install 'codeprune-tui[bitsandbytes]'" in result.out
    assert [line.split()[-2:] for line in result.out.splitlines() if line.startswith("time ")] == [["tokens", "ended"]]
    assert ladder.explanation is not None
    assert [ablation.name for ablation in ladder.explanation.ablations] == list(ABLATIONS)
    assert result.out.strip() == quantization.tables(ladder).strip()
    page = docs_script().page(ladder, "ladder.json")
    assert "## Why dynamic INT8 loses what it loses" in page
    assert "| int8-weight |" in page
    assert ladder.command in page


def docs_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quantization_doc", ROOT / "tools" / "quantization_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_saved_folder_is_a_model_as_any_other(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    result = run_cli("quantize", str(folder), "--method", "int8-weight", "--save", "small")
    assert result.code == 0, result.err
    assert "Saved small: int8-weight" in result.err
    assert ", more than" not in result.err  # from 32 bits everything gets smaller
    assert load_model(tmp_path / "small").config.quantization == "int8-weight"
    (tmp_path / "a.rb").write_text("def size\n  @items.length\nend\n")
    common = ["--beam", "2", "--max-length", "6", "--threads", "1", "--device", "cpu"]
    written = run_cli("comment", "a.rb", "--model", "small", *common)
    assert written.code == 0, written.err
    assert written.out.startswith("1 size:")
    scored = run_cli("evaluate", "small", "--data", DATA, "--rows", "2", "--json", *common)
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["rows"] == 2
    again = run_cli("quantize", str(folder), "--method", "int8-weight", "--save", "small")
    assert (again.code, again.err.splitlines()[-1]) == (5, "Error: small exists already. Choose another name, or remove it.")


def test_a_model_that_grew_says_why_beside_its_size(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "half")  # stored in 16 bits, as the bundled model is
    halves = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(halves, tmp_path / "half" / "model.safetensors", metadata={"format": "pt"})
    grown = run_cli("quantize", "half", "--method", "int8-weight", "--save", "grown")
    assert grown.code == 0, grown.err
    before, after = (tmp_path / name / "model.safetensors" for name in ("half", "grown"))
    assert before.stat().st_size < after.stat().st_size
    assert bytes_by_width(before).keys() == {16}
    wide = bytes_by_width(after)[32]
    assert (
        f"weights of {after.stat().st_size / 1e6:.2f} MB, more than the {before.stat().st_size / 1e6:.2f} MB it was made from: "
        f"there all was in 16 bits, and what int8-weight leaves alone, {wide / 1e6:.2f} MB, is in 32."
    ) in grown.err


def test_evaluate_stops_at_a_broken_row_or_counts_it(folder: Path, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    row = {"code_tokens": ["def", "a", "end"], "docstring_tokens": ["Does", "nothing", "."], "func_name": "a"}
    (broken / "valid.jsonl").write_text(json.dumps(row) + "\n{}\n")
    arguments = ("evaluate", str(folder), "--data", str(broken), "--beam", "2", "--max-length", "8", "--device", "cpu")
    stopped = run_cli(*arguments)
    assert (stopped.code, stopped.out) == (4, "")
    assert f"{broken}/valid.jsonl, line 2: code_tokens is missing" in stopped.err
    assert "--skip-broken" in stopped.err
    skipped = run_cli(*arguments, "--skip-broken")
    assert (skipped.code, "1 rows in" in skipped.out) == (0, True)
    assert "Rows left out as broken: 1\n" in skipped.err


def test_comment_divides_scores_by_length_where_that_is_asked_for(
    run_cli: Callable[..., Result], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.rb").write_text("def size\n  @items.length\nend\n", encoding="utf-8")
    model, (method,) = load_model(folder), methods("def size\n  @items.length\nend\n")
    lengths = {}
    for penalty in (0.0, 5.0):
        options = ("--model", str(folder), "--beam", "4", "--max-length", "12", "--length-penalty", str(penalty), "--json")
        facts = json.loads(run_cli("comment", "a.rb", *options, "--device", "cpu", "--threads", "1").out)
        (best, *_), *_ = write_comments(Writer(model, load_reader(folder)), [method], Search(4, 12, length_penalty=penalty))
        assert (facts["length_penalty"], facts["methods"][0]["comment"]) == (penalty, best.text)
        lengths[penalty] = best.tokens
    assert lengths[5.0] >= lengths[0.0]


def test_refusals(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    assert "there is no quantizer 'int3'; there are: fp32, fp16" in " ".join(
        run_cli("quantize", str(folder), "--methods", "int3").err.split()
    )
    assert "there is no split 'dev'" in run_cli("quantize", str(folder), "--split", "dev").err
    assert "go together" in run_cli("quantize", str(folder), "--method", "fp16").err
    assert run_cli("quantize", str(folder), "-o", "nowhere/x.json").code == 4
    refused = run_cli("quantize", str(folder), "--method", "llm-int9", "--save", "x")
    assert refused.code == 2
    assert "Invalid value for --method: there is no quantizer 'llm-int9'; there are: fp32" in refused.err
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(DataError, match="codeprune-tui quantize MODEL"):
        read_ladder(tmp_path / "bad.json")


def test_no_path_of_this_machine_is_told() -> None:
    assert [shown(path) for path in ("/home/me/mini", "~/mini", "../data/ruby", "data/ruby")] == [
        "mini",
        "mini",
        "ruby",
        "data/ruby",
    ]
