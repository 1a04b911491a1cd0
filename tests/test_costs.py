"""What a run costs: weights counted without torch against the models themselves, disk against finished run folders."""

import struct
from pathlib import Path
from typing import get_args

import pytest
from test_lottery import BASE

from core import worker
from core.compress.basis import NOTHING
from core.compress.masks import prunable
from core.compress.selection import prune_model
from core.compress.shrink import cut_vocabulary, shrink, vocabulary_plan
from core.families.config import CodeToTextConfig
from core.families.roberta import CodeToText
from core.model import load_model, save_model
from core.recipe import Architecture, PrunablePreset, Recipe, Unit, build_recipe, to_toml
from core.run.events import RunFinished, RunStarted
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.spec import sizes
from core.spec.costs import disk_need
from core.study.pace import measure
from core.study.timings import Timings, predict
from core.train import lottery

BUNDLE = Path(__file__).parent.parent / "checkpoints" / "bundled"
SHAPE = Architecture(vocab_size=300, hidden=32, layers=3, heads=4, ffn=40, decoder_layers=2)


def model_of(shape: Architecture) -> CodeToText:
    return CodeToText(
        CodeToTextConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.ffn,
            max_position_embeddings=258,
            type_vocab_size=1,
            decoder_layers=shape.decoder_layers,
            decoder_ffn=shape.ffn,
        )
    )


def counted(model: CodeToText) -> dict[str, int]:
    return {name: weight.numel() for name, weight in model.named_parameters()}


def test_an_untrained_model_has_the_weights_that_its_sizes_say() -> None:
    assert sizes.of_new(SHAPE, 100) == counted(model_of(SHAPE))


@pytest.mark.parametrize("preset", get_args(PrunablePreset))
def test_what_is_prunable_is_counted_as_masks_do(preset: PrunablePreset) -> None:
    model = model_of(SHAPE)
    expected = sum(weight.numel() for weight in prunable(model, preset).values())
    assert sizes.prunable(counted(model), preset) == expected > 0


def test_a_saved_model_and_a_bare_encoder(tmp_path: Path) -> None:
    model = model_of(SHAPE)
    save_model(model, None, tmp_path / "whole")
    save_model(model, None, tmp_path / "encoder", decoder=False)
    assert sizes.of_folder(tmp_path / "whole", 6) == counted(model)
    for layers in (1, 4):  # the encoder is given a decoder of that depth
        loaded = load_model(tmp_path / "encoder", decoder_layers=layers)
        assert sizes.of_folder(tmp_path / "encoder", layers) == counted(loaded)


def test_the_bundled_models() -> None:
    for name in ("ruby-mini", "ruby-mini-pretrained"):
        assert sizes.of_folder(BUNDLE / name, 6) == counted(load_model(BUNDLE / name))


@pytest.mark.parametrize("preset", ["encoder", "decoder", "all"])
@pytest.mark.parametrize("unit", ["head", "neuron", "head+neuron", "head+neuron+vocabulary"])
def test_the_size_of_a_shrunk_model_is_foreseen(preset: PrunablePreset, unit: Unit) -> None:
    model = model_of(SHAPE)
    pruning = {"unit": unit, "prunable": preset, "final_sparsity": 0.5, "rounds": 1, "shrink": True}
    if "vocabulary" in unit:
        pruning["entries"] = 200
    recipe = build_recipe({"pruning": pruning})
    need = disk_need(recipe, {name: weight.numel() for name, weight in model.named_parameters()})
    masks = prune_model(model, {}, recipe.pruning, 0.5, 0, NOTHING)
    if "vocabulary" in unit:
        cut_vocabulary(model, vocabulary_plan(model.config, range(200)))
    smaller, _ = shrink(model, masks)
    size = sum(weight.numel() for weight in smaller.parameters())
    assert need.shrunk == pytest.approx(size, rel=0.02)
    assert size < 0.97 * need.parameters
    speedy = {"shrink": True, "unit": "head+neuron", "scope": "global", "budget": "latency"}
    assert disk_need(build_recipe({"pruning": speedy}), {"x": 5}).shrunk is None
    assert disk_need(Recipe(), {"x": 5}).shrunk is None


def test_what_cannot_be_told_is_none(tmp_path: Path) -> None:
    assert sizes.of_folder(tmp_path, 6) is None
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert sizes.of_folder(tmp_path, 6) is None
    (tmp_path / "config.json").write_text('{"quantization": "int8-weight"}')
    assert sizes.of_folder(tmp_path, 6) is None
    for damage in (b"", b"\xff" * 40, struct.pack("<Q", 3) + b"[1]", struct.pack("<Q", 9) + b'{"a": {}}'):
        (tmp_path / "model.safetensors").write_bytes(damage)
        assert sizes.read_header(tmp_path / "model.safetensors") is None


def tensor_bytes(root: Path) -> int:
    """Bytes of everything in safetensors files but their headers."""
    size = 0
    for path in root.rglob("*.safetensors"):
        with path.open("rb") as file:
            (header,) = struct.unpack("<Q", file.read(8))
        size += path.stat().st_size - 8 - header
    return size


KINDS: dict[str, dict[str, object]] = {
    "lottery": {"kind": "lottery", "pruning": {"rounds": 2, "prunable": "all"}},
    "picked": {"kind": "lottery", "pruning": {"rounds": 1}, "picker": {"rule": "best-no-stop", "every": 6}},
    "masked": {"kind": "pretrain"},
    "denoise": {"kind": "pretrain", "pretraining": {"objective": "denoise"}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_run_takes_up_what_was_told_and_as_long_as_its_own_pace_says(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between two rounds memory is tidied up: a moment in a worker, seconds in a process as full as this one.
    monkeypatch.setattr(lottery, "give_back", lambda: None)
    recipe: Recipe = build_recipe({**BASE, **KINDS[kind]})
    paths = RunPaths(tmp_path / "run")
    paths.root.mkdir()
    paths.recipe.write_text(to_toml(recipe), encoding="utf-8")
    assert worker.main([str(paths.root)]) == 0

    tensors = sizes.of_recipe(recipe)
    assert tensors is not None
    need = disk_need(recipe, tensors)
    # What is not counted: the random generator's 5,056 bytes, and AdamW's step of each parameter.
    extra = tensor_bytes(paths.root) - need.total
    assert 0 <= extra <= 5056 + 4 * len(tensors)

    events = read_journal(paths.journal)
    first, last = events[0], events[-1]
    assert isinstance(first.what, RunStarted)
    assert isinstance(last.what, RunFinished)
    pace = measure(paths, first.what.host)
    assert pace is not None
    estimate = predict(recipe, ("run",), pace)
    took = last.time - first.time
    assert estimate.total_s is not None
    assert estimate.at_most == (kind == "picked")
    if estimate.at_most:  # a best measurement that was the last one need not be made again
        assert took * 0.95 - 0.05 <= estimate.total_s <= took + recipe.rounds * 8 / pace.rows_per_s + 8 / pace.rows_per_s + 0.05
    else:
        assert estimate.total_s == pytest.approx(took, rel=0.05, abs=0.05)
    assert Timings(tmp_path, first.what.host).estimate(recipe) == estimate
    assert Timings(tmp_path, "elsewhere").estimate(recipe) is None
