"""The verb `prune`: a folder with masks that everything loads, the masks of a run, and what is said of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_criteria import padded_inputs
from test_model import small_model
from test_quantize_ladder import DATA, Result
from test_quantize_ladder import folder as folder
from test_quantize_ladder import run_cli as run_cli
from test_sensitivity import QUERY

from core.compress.basis import measure
from core.compress.output_errors import output_errors
from core.compress.selection import Method, select
from core.evaluate.calibration import load_drawn
from core.model import load_masks, load_model, load_reader
from core.seeds import derive_seed

HERE = ("--data", DATA, "--calibration-rows", "3", "--threads", "1", "--device", "cpu")


def test_a_pruned_folder_is_a_model_with_masks(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    result = run_cli("prune", str(folder), *HERE, "--criterion", "wanda", "--scope", "row", "--sparsity", "0.5", "-o", "half")
    assert result.code == 0, result.err
    assert "pruned to 50 %" in result.out
    dense, pruned, masks = load_model(folder), load_model(tmp_path / "half"), load_masks(tmp_path / "half")
    model, reader = load_model(folder), load_reader(folder)
    rows = load_drawn(model, reader, DATA, 3, 0)
    basis = measure(model, rows, masks, ["inputs"])
    expected = select(
        {name: dense.get_parameter(name) for name in masks},
        {},
        Method("wanda", "row"),
        0.5,
        derive_seed(0, "criterion", 1),
        basis,
    )
    for name, mask in masks.items():
        assert torch.equal(mask, expected[name])
        assert torch.equal(pruned.get_parameter(name), dense.get_parameter(name) * mask)
    for name, weight in dense.named_parameters():
        if name not in masks:
            assert torch.equal(pruned.get_parameter(name), weight)
    assert load_reader(tmp_path / "half").tokenizer.to_str() == reader.tokenizer.to_str()
    facts = json.loads((tmp_path / "half" / "pruning.json").read_text())
    assert (facts["facts"]["criterion"], facts["facts"]["scope"], facts["facts"]["calibration_rows"]) == ("wanda", "row", 3)
    assert str(tmp_path) not in json.dumps(facts)
    # It is a model for every other command, and what is pruned stays pruned.
    deeper = run_cli("prune", "half", "--sparsity", "0.8", "--device", "cpu", "-o", "deeper", "--json")
    assert json.loads(deeper.out)["sparsity"] == pytest.approx(0.8, abs=1e-2)
    assert not any((load_masks(tmp_path / "deeper")[name] & ~mask).any() for name, mask in masks.items())
    scored = run_cli("evaluate", "deeper", "--data", DATA, "--rows", "2", "--beam", "1", "--max-length", "5", "--device", "cpu")
    assert scored.code == 0, scored.err


def test_errors_are_those_of_the_outputs_on_other_rows(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    results = {}
    for criterion in ("magnitude", "sparsegpt"):
        result = run_cli("prune", str(folder), *HERE, "--criterion", criterion, "--errors", "-o", criterion, "--json")
        assert result.code == 0, result.err
        results[criterion] = json.loads(result.out)["matrices"]
    model, pruned = load_model(folder), load_model(tmp_path / "sparsegpt")
    reader = load_reader(folder)
    seen = load_drawn(model, reader, DATA, 3, 0)
    unseen = [row for row in load_drawn(model, reader, DATA, 6, 1) if row not in seen][:3]
    x = padded_inputs(model, QUERY, unseen)
    before, after = (each.get_parameter(QUERY).detach() for each in (model, pruned))
    right, off = x @ before.T, x @ (after - before).T
    assert results["sparsegpt"][QUERY]["output_error"] == pytest.approx(float(off.norm() / right.norm()), rel=1e-3)
    assert "output_error" not in results["magnitude"]["encoder.pooler.dense.weight"]  # nothing reaches it
    table = run_cli("prune", str(folder), "--against", "sparsegpt", "-o", "again", "--device", "cpu")
    assert "overlap" in table.out
    assert "encoder layer 1, query" in table.out


def test_matrices_whose_outputs_do_not_change_have_no_error() -> None:
    model = small_model()
    weight = model.get_parameter(QUERY).detach()
    x = torch.randn(50, weight.shape[1], generator=torch.Generator().manual_seed(0))
    hessian = x.T @ x / len(x)
    assert output_errors({"w": weight}, {"w": weight.clone()}, {"w": hessian}) == {"w": 0.0}
    assert output_errors({"w": weight}, {"w": weight * 0}, {"w": hessian}) == {"w": 1.0}
    assert output_errors({"w": weight}, {"w": weight * 0}, {"w": hessian * 0}) == {}


def test_whole_units_and_patterns(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    assert run_cli("prune", str(folder), "--pattern", "2:4", "--device", "cpu", "-o", "groups").code == 0
    assert (load_masks(tmp_path / "groups")[QUERY].view(-1, 4).sum(1) == 2).all()
    units = run_cli("prune", str(folder), *HERE, "--unit", "neuron", "--criterion", "taylor", "-o", "units")
    assert units.code == 0, units.err
    assert "nothing is left of" in units.out


def test_what_cannot_be_is_said(run_cli: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    def said(*options: str) -> str:
        result = run_cli("prune", str(folder), "--device", "cpu", *options)
        assert result.code not in (0, 1)
        return " ".join(result.err.replace("│", " ").split())

    (tmp_path / "there").mkdir()
    assert "there exists already" in said("-o", "there")
    assert "There is no folder" in said("-o", "no/where")
    assert 'pruning.pattern = "2:4" ends at a sparsity of 0.5' in said("-o", "x", "--pattern", "2:4", "--sparsity", "0.6")
    assert "A budget of latency is measured by a run" in said("-o", "x", "--budget", "latency")
    assert not (tmp_path / "x").exists()
