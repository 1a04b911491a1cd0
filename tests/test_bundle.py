"""What comes with the package: found from anywhere, right by itself, and never written to."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from app_runs import whole_run
from test_client import stand_in

from codeprune_tui import bundle
from codeprune_tui.runs import client
from core.errors import RecipeError, RunError
from core.recipe import NEW_MODEL, load_recipe
from core.run.events import Evaluated, RunStarted, Unknown
from core.run.folder import RunPaths, State, read_metrics, run_info
from core.run.journal import read_journal
from core.run.predictions import read_predictions
from core.spec.schedule import sparsities
from core.text.rows import load_rows

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


def test_the_example_is_small_and_holds_neither_weights_nor_foreign_text() -> None:
    example = bundle.example()
    assert example is not None
    files = [file for file in example.root.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    journal = {"recipe.toml", "events.jsonl", "meta.json"}
    assert {file.name for file in files} == journal | {"metrics.json", "predictions.jsonl", "masks.safetensors"}
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
        assert file.name == "masks.safetensors" or not re.search(r'"/\w+/', file.read_text()), file
