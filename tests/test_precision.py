"""Precision of training and decoding by device; what a run records, so that a resumed one does the same."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_gpus import FakeGpu, machine, torch_sees
from test_lottery import Make, make, of, run, weights  # noqa: F401 - a fixture
from torch import nn

from core.errors import ModelError
from core.evaluate.evaluate import in_precision
from core.families.config import CodeToTextConfig
from core.families.device import make_accelerator, precision_of, resolved
from core.families.roberta import tiny
from core.recipe import Evaluation, build_recipe, parse_recipe, recipe_hash, to_toml, with_todays_defaults
from core.run.events import RunStarted, Warned
from core.run.folder import RunPaths
from core.train import prepare
from core.train.ranks import ALONE

# Training


@pytest.mark.parametrize(
    ("precision", "has_bf16", "expected"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_auto_is_bf16_where_a_gpu_has_it(monkeypatch: pytest.MonkeyPatch, precision: str, has_bf16: bool, expected: str) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: seen.append(including_emulation) or has_bf16
    )
    assert resolved(precision, torch.device("cuda", 0)) == expected  # type: ignore[arg-type]
    assert resolved("auto", torch.device("cpu")) == "fp32"
    assert not any(seen), "emulated bf16 is slower than fp32"


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_set_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch, tf32: bool) -> None:
    matmul = SimpleNamespace(fp32_precision="none")
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    assert precision_of(make_accelerator("cpu", "auto", 1, tf32=tf32)) == "fp32"
    assert matmul.fp32_precision == "none"
    machine(monkeypatch, [FakeGpu("GPU-a")])
    torch_sees(monkeypatch, ["NVIDIA H200"])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr("accelerate.state.check_cuda_p2p_ib_support", lambda: True, raising=False)
    monkeypatch.setattr("accelerate.accelerator.is_bf16_available", lambda *arguments: True)
    assert precision_of(make_accelerator("cuda", "auto", 1, tf32=tf32)) == "bf16"
    assert matmul.fp32_precision == ("tf32" if tf32 else "ieee")
    monkeypatch.undo()
    make_accelerator("cpu", "fp32", 1)


def test_the_paper_trains_in_fp32_without_tf32() -> None:
    for preset, precision in (("paper", "fp32"), ("sane", "auto")):
        training = build_recipe({"training": {"preset": preset}}).training
        assert (training.precision, training.tf32) == (precision, False)


def test_on_the_cpu_auto_trains_as_fp32_did(make: Make) -> None:  # noqa: F811
    auto = make("auto", pruning={"rounds": 1}, training={"steps": 4})
    fp32 = make("fp32", pruning={"rounds": 1}, training={"steps": 4, "precision": "fp32"}, evaluation={"batch_size": 16})
    (started,) = of(RunStarted, run(auto))
    run(fp32)
    assert isinstance(started, RunStarted)
    assert (started.precision, started.gpu) == ("fp32", "")
    for number in (0, 1):
        ours, theirs = weights(auto, number), weights(fp32, number)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert (auto.round(number) / "predictions.jsonl").read_text() == (fp32.round(number) / "predictions.jsonl").read_text()
    assert json.loads(auto.meta.read_text())["decoding_batch"] == 16


# Recipes of older versions


def older(recipe: str = "") -> str:
    """A recipe as an older version wrote it: with its defaults, without keys that came later."""
    lines = to_toml(build_recipe({"training": {"precision": "fp32"}, "evaluation": {"batch_size": 16}})).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("tf32", 'precision = "model"'))) + recipe


def test_recipes_of_older_versions_mean_the_same() -> None:
    recipe = parse_recipe(older())
    assert (recipe.training.precision, recipe.evaluation.batch_size, recipe.evaluation.precision) == ("fp32", 16, "model")
    assert recipe_hash(with_todays_defaults(recipe)) == recipe_hash(build_recipe({}))
    bf16 = build_recipe({"training": {"precision": "bf16"}, "evaluation": {"batch_size": 8}})
    assert with_todays_defaults(bf16) == bf16


def test_a_run_of_an_older_version_can_be_resumed(make: Make) -> None:  # noqa: F811
    paths = make(pruning={"rounds": 1}, training={"steps": 4, "precision": "fp32"}, evaluation={"batch_size": 16})
    run(paths)
    meta = json.loads(paths.meta.read_text())
    recipe = parse_recipe(paths.recipe.read_text())
    # An older version left its defaults out of the digest.
    paths.meta.write_text(json.dumps({**meta, "recipe": recipe_hash(with_todays_defaults(recipe))}))
    (paths.round(1) / "metrics.json").unlink()
    for file in paths.round(1).iterdir():
        file.unlink()
    paths.round(1).rmdir()
    run(paths)
    assert paths.finished_rounds() == [0, 1]


# Decoding


def test_a_bf16_copy_leaves_the_model_as_it_is() -> None:
    model = tiny()
    copied = in_precision(model, "bf16")
    assert isinstance(copied, nn.Module)
    assert {weight.dtype for weight in copied.parameters()} == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert in_precision(model, "model") is model
    model.config.quantization = "int8-weight"
    with pytest.raises(ModelError, match=r"cannot be decoded in bf16.*evaluation\.precision"):
        in_precision(model, "bf16")


def test_scores_say_the_precision_of_decoding() -> None:
    assert Evaluation().signature == {}
    assert Evaluation(precision="bf16").signature == {"decoding": "beam:10|max_length:64|precision:bf16"}
    both = Evaluation(precision="bf16", length_penalty=0.5).signature
    assert both == {"decoding": "beam:10|max_length:64|length_penalty:0.5|precision:bf16"}


def test_a_run_measures_once_what_decoding_in_bf16_changes(make: Make) -> None:  # noqa: F811
    paths = make(pruning={"rounds": 1}, training={"steps": 4}, evaluation={"precision": "bf16"})
    events = run(paths)
    warnings = [what.message for what in of(Warned, events) if isinstance(what, Warned) and "Decoding in bf16" in what.message]
    assert len(warnings) == 1
    assert "of 8 comments are the same" in warnings[0]
    dense, pruned = (json.loads((paths.round(number) / "metrics.json").read_text()) for number in (0, 1))
    assert set(dense["decoding_precision"]) == {"bleu", "corpus_bleu", "chrf", "rouge_l"}
    assert "decoding_precision" not in pruned
    assert dense["signatures"]["decoding"] == "beam:2|max_length:12|precision:bf16"


def test_what_fits_on_a_gpu_is_found_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[tuple[int, int]] = []

    def batch_that_fits(config: object, device: torch.device, beam: int, most: int, longest: int, reserved: int) -> int:
        fits.append((longest, reserved))
        return 100 - len(fits)

    monkeypatch.setattr(prepare, "batch_that_fits", batch_that_fits)
    paths = RunPaths(tmp_path)
    paths.meta.write_text("{}")
    model = SimpleNamespace(device=torch.device("cuda", 1), config=CodeToTextConfig(), parameters=lambda: [torch.zeros(10)])
    material = SimpleNamespace(model=model, held_out=SimpleNamespace(sources=[[1, 2], [1, 2, 3]]))
    session = SimpleNamespace(recipe=build_recipe({}), paths=paths, ranks=ALONE)
    for _ in range(2):
        assert prepare._decoding_batch(session, material) == 99  # type: ignore[arg-type]
    assert fits == [(3, 120)], "gradients and moments of training keep their room"
    session.recipe = build_recipe({"evaluation": {"batch_size": 7}})
    assert prepare._decoding_batch(session, material) == 7  # type: ignore[arg-type]
