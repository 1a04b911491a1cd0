"""What comes with the package: found from anywhere, right by itself, and never written to."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from app_runs import whole_run
from test_client import stand_in
from test_lottery import Make, make, run
from test_model_tools import tool
from test_quantize_ladder import DATA, run_cli
from test_quantize_ladder import Result as CliResult

from codeprune_tui import bundle
from codeprune_tui.runs import client
from codeprune_tui.runs.choices import local_models
from codeprune_tui.runs.models import choices, default_pair
from codeprune_tui.runs.watch import catch_up
from codeprune_tui.views.loss_verdict import loss_sentence
from core.errors import RecipeError, RunError
from core.model import OWN_FILES, load_masks, load_model
from core.recipe import NEW_MODEL, load_recipe
from core.run.encoder_off import carries
from core.run.events import Evaluated, RunStarted, Unknown
from core.run.folder import RunPaths, State, read_metrics, run_info
from core.run.journal import read_journal
from core.run.predictions import read_predictions
from core.run.results import MEASURES, ResultsReader, of_metrics
from core.spec.schedule import sparsities
from core.text.rows import load_rows

__all__ = ["make", "run_cli"]  # fixtures
ROOT = Path(__file__).parent.parent
BUNDLE = ROOT / "checkpoints" / "bundled"


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in folder.rglob("*")}


def test_paths_into_the_bundle_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert client.local_path("checkpoints/bundled/ruby-mini") == str(BUNDLE / "ruby-mini")
    assert client.local_path("checkpoints/bundled/nowhere") == "checkpoints/bundled/nowhere"
    mine = tmp_path / "checkpoints" / "bundled" / "ruby-mini"
    mine.mkdir(parents=True)
    assert client.local_path("checkpoints/bundled/ruby-mini") == str(mine)  # what lies here comes first


@pytest.mark.parametrize("name", sorted(bundle.recipes()))
def test_shipped_recipes_work_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = client.anchored(load_recipe(bundle.recipe_file(Path(name))))
    for path in (recipe.model.path, recipe.data.path, recipe.data.code):
        assert path in ("", NEW_MODEL) or Path(path).is_relative_to(BUNDLE)
        assert path in ("", NEW_MODEL) or Path(path).is_dir()


def test_there_is_one_shipped_recipe_of_each_kind() -> None:
    assert {load_recipe(file).kind for file in bundle.recipes().values()} == {"lottery", "finetune", "pretrain"}
    assert sparsities(bundle.demo_recipe())[-1] >= 0.9


def test_a_recipe_is_a_file_before_it_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle.recipe_file(Path("demo")) == BUNDLE / "recipes" / "demo.toml"
    (tmp_path / "demo").mkdir()
    assert bundle.recipe_file(Path("demo")) == BUNDLE / "recipes" / "demo.toml"
    (tmp_path / "demo").rmdir()
    (tmp_path / "demo").write_text("")
    assert bundle.recipe_file(Path("demo")) == Path("demo")
    for name, reason in (("demmo", "there is no such file"), (".", "it is a folder")):
        with pytest.raises(
            RecipeError, match=f"Cannot read the recipe {name}: {reason}.*demo, demo-finetune, demo-pretrain, fast-2x, fast-3x"
        ):
            bundle.recipe_file(Path(name))


def test_the_models_are_described_without_torch() -> None:
    program = "from codeprune_tui import bundle; import sys; print(bundle.models()); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    from core.model import load_model

    models = {model.name: model for model in bundle.models()}
    mini = models["ruby-mini"]
    assert mini.parameters == sum(weight.numel() for weight in load_model(BUNDLE / "ruby-mini").parameters())
    assert mini.size_bytes == (BUNDLE / "ruby-mini" / "model.safetensors").stat().st_size
    facts = read_metrics(BUNDLE / "ruby-mini") or {}
    assert isinstance(facts["scores"], dict)
    assert mini.bleu == facts["scores"]["bleu"]
    assert mini.scored_on == "1,400 valid rows"
    again = "after a change of the model: codeprune-tui evaluate … --json > checkpoints/bundled/ruby-mini/metrics.json"
    assert f"{mini.bleu:.2f}" in (BUNDLE / "ruby-mini" / "README.md").read_text(), again


def test_a_model_without_scores_or_with_others_is_described_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "folder", lambda: tmp_path)
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": {"dtype": "F16", "shape": [3, 4], "data_offsets": [0, 24]}})
    for name in ("bare", "pretrained"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 24)
    (tmp_path / "pretrained" / "metrics.json").write_text('{"held_out_accuracy": 0.5}')
    bare, pretrained = bundle.models()
    assert (bare.name, bare.parameters, bare.bleu, bare.held_out_accuracy, bare.scored_on) == ("bare", 12, None, None, "")
    assert (pretrained.name, pretrained.bleu, pretrained.held_out_accuracy) == ("pretrained", None, 0.5)


COMMANDS: list[Callable[[RunPaths], object]] = [
    client.resume, client.pause, client.stop, client.kill, partial(client.pause_after, rounds=2),
    partial(client.launch, command=stand_in("steps")),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bundled_run_is_never_written_to(command: Callable[[RunPaths], object]) -> None:
    example = bundle.example()
    assert example is not None
    before = snapshot(example.root)
    with pytest.raises(
        RunError, match="example-run came with codeprune-tui as an example: it can be read, not changed"
    ) as caught:
        command(example)
    assert caught.value.fix.endswith("press d under 1 Runs, or: codeprune-tui run demo")
    assert snapshot(example.root) == before


def test_ones_own_runs_may_be_called_as_the_example(tmp_path: Path) -> None:
    bundle.check_writable(RunPaths(tmp_path / bundle.EXAMPLE))


def test_the_example_is_a_whole_run_of_the_demo() -> None:
    example = bundle.example()
    assert example is not None
    recipe = load_recipe(example.recipe)
    assert recipe == bundle.demo_recipe()
    info = run_info(example, 0)
    assert (info.state, info.round, info.sparsity) == (State.DONE, recipe.rounds, pytest.approx(sparsities(recipe)[-1], abs=1e-3))
    events = read_journal(example.journal)
    assert [event.seq for event in events] == list(range(len(events)))
    assert not any(isinstance(event.what, Unknown) for event in events)
    assert [event.what.run for event in events if isinstance(event.what, RunStarted)] == [bundle.EXAMPLE]
    assert {type(what) for what in whole_run()} <= {type(event.what) for event in events}


@pytest.mark.parametrize("measure", ["chrf", "bleu", "corpus_bleu"])
def test_the_examples_curve_falls_before_its_last_round(measure: str) -> None:
    example = bundle.example()
    assert example is not None
    _, view = catch_up(example)
    assert view.sparsity == pytest.approx(0.95, abs=1e-3)
    loss = re.search(rf"{MEASURES[measure]} from ([\d.]+) % on", loss_sentence(view))
    assert loss is not None, loss_sentence(view)
    assert float(loss[1]) < 95


def test_the_encoder_of_the_example_carries_something() -> None:
    example = bundle.example()
    assert example is not None
    assert all(carries(result.dense_less) for result in ResultsReader(example).poll())
    assert carries(of_metrics(read_metrics(example.round(0)) or {}).dense_less)


def test_the_example_is_small_and_holds_no_foreign_text() -> None:
    example = bundle.example()
    assert example is not None
    files = [file for file in example.root.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 22_000_000
    with_weights = [number for number in example.finished_rounds() if (example.round(number) / "model.safetensors").is_file()]
    assert with_weights == [3]
    texts = {"recipe.toml", "events.jsonl", "meta.json", "metrics.json", "predictions.jsonl"}
    assert {file.name for file in files} - OWN_FILES == texts | {"masks.safetensors"}
    ours = {row.target for row in load_rows(str(BUNDLE / "demo-ruby"), "valid").rows}
    samples = [
        sample for event in read_journal(example.journal) if isinstance(event.what, Evaluated) for sample in event.what.samples
    ]
    assert samples
    assert {sample.reference for sample in samples} <= ours
    for number in example.finished_rounds():
        comments = read_predictions(example.round(number) / "predictions.jsonl") or []
        assert {comment.reference for comment in comments} == ours, number
    for file in files:  # no folder of the machine that made it
        assert file.name not in texts or not re.search(r'"/\w+/', file.read_text()), file


@pytest.fixture
def recorded(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunPaths, RunPaths]:
    """A small run, and what is kept of it as the example of a bundle."""
    pruning = {"rounds": 2, "final_sparsity": 0.9, "prunable": "all"}
    paths = make(bundle.EXAMPLE, training={"steps": 2}, evaluation={"rows": 2}, pruning=pruning)
    run(paths)
    kept = RunPaths(tmp_path / "shipped" / bundle.EXAMPLE)
    kept.root.parent.mkdir()
    tool("record_example_run").keep(paths, kept.root, 2)
    monkeypatch.setattr(bundle, "folder", lambda: kept.root.parent)
    return paths, kept


def test_what_is_kept_of_a_recorded_run_has_one_pruned_model_in_half_precision(recorded: tuple[RunPaths, RunPaths]) -> None:
    paths, kept = recorded
    assert kept.finished_rounds() == [0, 1, 2]
    assert [number for number in range(3) if (kept.round(number) / "model.safetensors").exists()] == [2]
    whole, half = load_model(paths.round(2)), load_model(kept.round(2))
    for name, weight in whole.state_dict().items():
        assert torch.equal(half.state_dict()[name], weight.half().float()), name
    masks = load_masks(kept.round(2))
    assert masks
    assert all(torch.equal(mask, load_masks(paths.round(2))[name]) for name, mask in masks.items())
    large, small = ((each.round(2) / "model.safetensors").stat().st_size for each in (paths, kept))
    assert small < 0.6 * large
    facts = read_metrics(kept.round(2)) or {}
    digest = hashlib.sha256((kept.round(2) / "model.safetensors").read_bytes()).hexdigest()
    assert isinstance(facts["digests"], dict)
    assert facts["digests"]["model.safetensors"] == digest
    assert {**facts, "digests": None} == {**(read_metrics(paths.round(2)) or {}), "digests": None}


def test_the_pruned_model_of_the_example_can_be_used_and_not_changed(
    recorded: tuple[RunPaths, RunPaths],
    tmp_path: Path,
    run_cli: Callable[..., CliResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, kept = recorded
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before, there = snapshot(kept.root), str(kept.round(2))
    for checkpoints, times in ((tmp_path / "none", 1), (kept.root.parent, 1)):
        assert [choice.path for choice in choices(checkpoints)].count(there) == times
    dense, pruned = default_pair(choices(tmp_path / "none"))
    assert (dense, pruned and pruned.label) == (None, f"{bundle.EXAMPLE} · round 2 · 90 %")
    model = f"checkpoints/bundled/{bundle.EXAMPLE}/rounds/02"
    assert model in [candidate.value for candidate in local_models(tmp_path / "none")]
    Path("a.rb").write_text("def size\n  @rows.size\nend\n")
    done = run_cli("comment", "a.rb", "--model", model, "--beam", "2", "--max-length", "5")
    assert done.code == 0, done.err
    assert run_cli("export", model, "--to", "hub", "-o", "hub").code == 0
    assert load_masks("hub").keys() == load_masks(kept.round(2)).keys()
    refused = run_cli("quantize", f"checkpoints/bundled/{bundle.EXAMPLE}", "--data", DATA)
    assert refused.code != 0
    assert "Round 0 of checkpoints/bundled/example-run, the dense model" in refused.err
    for command in COMMANDS:
        with pytest.raises(RunError, match="can be read, not changed"):
            command(kept)
    assert snapshot(kept.root) == before


def test_the_newest_run_of_ones_own_comes_before_the_example(recorded: tuple[RunPaths, RunPaths], tmp_path: Path) -> None:
    paths, _ = recorded
    paths.root.rename(paths.root.with_name("mine"))
    known = choices(tmp_path)
    assert [choice.run for choice in known] == ["mine"] * 3 + [bundle.EXAMPLE]
    assert default_pair(known)[1] == known[0]


def test_asking_how_to_record_records_nothing() -> None:
    command = [sys.executable, ROOT / "tools" / "record_example_run.py", "--help"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60)
    assert "make example-run" in done.stdout
