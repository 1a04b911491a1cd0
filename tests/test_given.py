"""What a model came pruned with and what a recipe prunes are two figures, told before the run and wherever the run is read."""

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_lottery import BASE, make, of, run  # noqa: F401 - a fixture

from codeprune_tui.cli import main, tables
from codeprune_tui.runs.cost_text import START, line, parts
from codeprune_tui.runs.costing import work_out
from codeprune_tui.runs.models import choices
from codeprune_tui.views.run_columns import cells_of
from codeprune_tui.views.state import RunView, reduce_all
from codeprune_tui.views.text import sentence
from codeprune_tui.widgets import comparetable
from core.compress.masks import load_masks, save_masks
from core.families.weightfiles import read_tensors
from core.recipe import PrunablePreset, Recipe, build_recipe, load_recipe
from core.run.events import Pruned, RoundFinished, RoundStarted, Warned
from core.run.folder import RunPaths, run_info
from core.run.results import ResultsReader, to_csv
from core.spec import given
from core.spec.layout import is_prunable
from core.spec.maskbits import MASKS, read_bits
from core.study.timings import Timings

Make = Callable[..., RunPaths]
FAST = {"steps": 2}


def share(paths: RunPaths, number: int, preset: PrunablePreset) -> float:
    """The pruned share of what a preset names, counted in the masks on disk."""
    masks = [mask for name, mask in load_masks(paths.round(number) / "masks.safetensors").items() if is_prunable(name, preset)]
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


@pytest.fixture
def pruned(make: Make) -> Callable[..., RunPaths]:  # noqa: F811
    def first(preset: str, sparsity: float, **other: object) -> RunPaths:
        pruning = {"rounds": 1, "final_sparsity": sparsity, "prunable": preset, **other}
        paths = make(f"first-{preset}", training=FAST, pruning=pruning)
        run(paths)
        return paths

    return first


def second(make: Make, start: RunPaths, name: str = "second", **pruning: object) -> RunPaths:  # noqa: F811
    return make(name, model={"path": str(start.round(1))}, training=FAST, pruning=pruning)


def test_the_encoder_of_a_model_whose_decoder_came_pruned(make: Make, pruned: Callable[..., RunPaths]) -> None:  # noqa: F811
    paths = second(make, pruned("decoder", 0.5), rounds=1, final_sparsity=0.9, prunable="encoder", schedule="one-shot")
    events = run(paths)
    expected = [0.0, pytest.approx(0.9, abs=1e-3)]
    assert [share(paths, number, "encoder") for number in (0, 1)] == expected
    for kind in (RoundStarted, Pruned, RoundFinished):
        assert [what.sparsity for what in of(kind, events)] == expected, kind
    for kind in (Pruned, RoundFinished):
        assert [what.before for what in of(kind, events)] == [0.5, 0.5], kind
    for number in (0, 1):
        facts = json.loads((paths.round(number) / "metrics.json").read_text())
        assert (facts["sparsity"], facts["sparsity_before"]) == (expected[number], 0.5)
        assert 1 - facts["kept"] / facts["total"] == facts["sparsity"]
    results = ResultsReader(paths).poll()
    assert [(each.sparsity, each.before) for each in results] == [(expected[0], 0.5), (expected[1], 0.5)]
    assert [row["sparsity_before"] for row in csv.DictReader(io.StringIO(to_csv(results)))] == ["0.5", "0.5"]
    info, view = run_info(paths, 0.0), reduce_all(RunView(), events)
    assert (info.sparsity, info.before, view.sparsity, view.before) == (expected[1], 0.5, expected[1], 0.5)
    sentences = [sentence(event) for event in events]
    assert any(text.startswith("The model comes pruned to 50 %") for text in sentences)
    assert any(text.startswith("Round 0 complete at 0 %, before the run 50 %") for text in sentences)
    assert any(text.startswith("Round 1 complete at 90 %, before the run 50 %") for text in sentences)
    assert "The model comes pruned: decoder 50 %. What is pruned stays pruned." in view.warnings
    assert " 90 %    50 %" in tables.run_list([info], 0.0)
    table = tables.comparison(results)
    assert " 90 %    50 %" in table
    assert "minus dense" in table
    of_an_older_run = [replace(each, intervals={}) for each in results]
    assert "minus dense" in tables.comparison(of_an_older_run)
    assert "95 % interval" not in tables.comparison(of_an_older_run)
    assert "minus dense" not in tables.comparison([replace(each, against_dense={}) for each in results])
    assert "The model came pruned to 50 %" in tables.results(view)
    assert cells_of(info, 0.0, "run")["sparsity"].plain == "90 (50) %"
    assert comparetable._cells(results[1], 0, None, starred=False)["before"].plain == "50 %"
    assert "before" in comparetable._widths(80, comparetable.WIDTHS, before=True)
    assert sum(comparetable._widths(80, comparetable.WIDTHS, before=True).values()) <= 78
    assert "before" not in comparetable._widths(80, comparetable.WIDTHS, before=False)
    detail = json.loads(tables.run_detail_json(info, view, None))["run"]
    assert [(each["sparsity"], each["sparsity_before"]) for each in detail["results"]] == [(0.0, 0.5), (expected[1], 0.5)]
    assert [choice.label for choice in choices(paths.root.parent) if choice.run == "second"] == [
        "second · round 1 · 90 %, before the run 50 %",
        "second · round 0 · 0 %, before the run 50 %",
    ]


def test_a_results_reader_has_both_figures_from_the_journal_alone(
    make: Make,  # noqa: F811
    pruned: Callable[..., RunPaths],
) -> None:
    paths = second(make, pruned("decoder", 0.5), rounds=1, final_sparsity=0.9)
    run(paths)
    for number in (0, 1):
        (paths.round(number) / "metrics.json").unlink()
    assert [(round(each.sparsity, 2), each.before) for each in ResultsReader(paths).poll()] == [(0.0, 0.5), (0.9, 0.5)]


@pytest.mark.parametrize("scope", ["global", "layerwise"])
@pytest.mark.parametrize(
    ("start", "preset", "final"),
    [("encoder", "encoder", 0.9), ("encoder", "all", 0.9), ("all", "encoder", 0.9), ("encoder-attention", "encoder", 0.3)],
)
def test_what_is_foretold_is_what_comes(
    make: Make,  # noqa: F811
    pruned: Callable[..., RunPaths],
    start: str,
    preset: PrunablePreset,
    final: float,
    scope: str,
) -> None:
    paths = second(make, pruned(start, 0.4), rounds=2, final_sparsity=final, prunable=preset, scope=scope)
    recipe = load_recipe(paths.recipe)
    counts = given.counts_of(recipe)
    assert counts is not None
    events = run(paths)
    foretold = given.reached(recipe, counts)
    assert list(foretold) == [pytest.approx(share(paths, number, preset), abs=1e-9) for number in range(3)]
    assert [what.sparsity for what in of(RoundStarted, events)] == [pytest.approx(each, abs=1e-9) for each in foretold]
    assert [what.before for what in of(RoundFinished, events)] == [pytest.approx(0.4, abs=1e-3)] * 3
    assert foretold[0] > 0


def test_a_start_sparser_than_the_target_is_told(make: Make, pruned: Callable[..., RunPaths]) -> None:  # noqa: F811
    start = pruned("encoder", 0.5)
    late = second(make, start, "late", rounds=4, final_sparsity=0.8)
    never = second(make, start, "never", rounds=1, final_sparsity=0.3)
    for paths, wish in (
        (late, "The recipe prunes nothing until round 3: its weights come at 50 % already."),
        (never, "The recipe prunes nothing in any round: its weights come at 50 % already."),
    ):
        recipe = load_recipe(paths.recipe)
        costs = work_out(recipe, paths.root.parent, Timings(paths.root.parent))
        assert wish in dict(parts(recipe, costs))[START]
        assert line(costs).startswith(f"{wish.split(':')[0]} · disk")
        assert [what.message for what in of(Warned, run(paths))][:2] == [
            "The model comes pruned: encoder 50 %. What is pruned stays pruned.",
            wish,
        ]
    assert [round(each.sparsity, 2) for each in ResultsReader(never).poll()] == [0.5, 0.5]


def test_a_finetuning_says_how_sparse_its_model_came(make: Make, pruned: Callable[..., RunPaths]) -> None:  # noqa: F811
    start = pruned("decoder", 0.5)
    paths = make("fine", "finetune", model={"path": str(start.round(1))}, training=FAST)
    run(paths)
    (result,) = ResultsReader(paths).poll()
    assert (result.sparsity, result.before) == (0.5, 0.5)


def test_a_pretraining_says_that_it_keeps_no_masks(make: Make, pruned: Callable[..., RunPaths]) -> None:  # noqa: F811
    paths = make("pre", "pretrain", model={"path": str(pruned("encoder", 0.5).round(1))}, training=FAST)
    messages = [what.message for what in of(Warned, run(paths))]
    assert messages == [
        "The model comes pruned (encoder 50 %), and pre-training keeps no masks: its pruned weights are trained again."
    ]


def test_masks_inside_a_checkpoint_are_counted(make: Make, pruned: Callable[..., RunPaths]) -> None:  # noqa: F811
    folder = pruned("encoder", 0.5, pack=False).round(1)
    masks = load_masks(folder / "masks.safetensors")
    tensors = load_file(folder / "model.safetensors")
    recipe = Recipe.model_validate({"model": {"path": str(folder)}})
    counts = given.counts_of(recipe)
    (folder / "masks.safetensors").unlink()
    for name, mask in masks.items():
        tensors[f"{name}_orig"], tensors[f"{name}_mask"] = tensors.pop(name), mask.float()
    save_file(tensors, folder / "model.safetensors")
    assert given.counts_of(recipe) == counts
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert given.counts_of(recipe) is None
    assert given.warnings(recipe, None) == [given.UNSEEN]


def test_where_a_model_is_pruned_in_words(tmp_path: Path) -> None:
    query, value = (f"encoder.encoder.layer.0.attention.self.{name}.weight" for name in ("query", "value"))
    counts = {
        query: (50, 100),
        value: (0, 100),
        "decoder.layers.0.linear1.weight": (9, 10),
        "encoder.pooler.dense.weight": (0, 4),
    }
    assert given.description(counts) == "encoder 50 % (1 of 3 matrices), decoder 90 %"
    assert given.before(counts) == 59 / 110
    dense = {name: (0, size) for name, (_, size) in counts.items()}
    assert (given.description(dense), given.before(dense), given.warnings(build_recipe(BASE), dense)) == ("", 0.0, [])
    save_masks({query: torch.tensor([[True, False, True], [False, False, True]])}, tmp_path / "masks.safetensors")
    assert {name: (mask.kept, mask.count) for name, mask in read_bits(tmp_path / MASKS).items()} == {query: (3, 6)}
    assert replace(Pruned(round=1, sparsity=0.5, kept=1, total=2, matrices={}, seconds=0.0)).before == 0.0


@pytest.mark.parametrize("keep", [True, False])
def test_zeros_without_masks_are_told_or_kept(make: Make, pruned: Callable[..., RunPaths], keep: bool) -> None:  # noqa: F811
    start = pruned("encoder", 0.5, pack=False).round(1)
    zeros = {name: weight == 0 for name, weight in load_file(start / "model.safetensors").items() if is_prunable(name, "encoder")}
    (start / "masks.safetensors").unlink()
    paths = make("second", kind="finetune", model={"path": str(start), "keep_zeros": keep}, training=FAST)
    assert given.warnings(load_recipe(paths.recipe), given.counts_of(load_recipe(paths.recipe))) == [given.KEPT_ZEROS] * keep
    warnings = [what.message for what in of(Warned, run(paths)) if isinstance(what, Warned)]
    after = read_tensors(paths.round(0) / "model.safetensors")
    if keep:
        assert "The model comes pruned: encoder 50 %. What is pruned stays pruned." in warnings
        assert all(torch.equal(after[name] == 0, zero) for name, zero in zeros.items())
        assert {name: ~mask for name, mask in load_masks(paths.round(0) / "masks.safetensors").items()}.keys() == zeros.keys()
    else:
        assert any("exact zeros and no masks, as after prune.remove: encoder 50 %" in text for text in warnings)
        assert any("model.keep_zeros = true keeps them pruned" in text for text in warnings)
        assert not all(torch.equal(after[name] == 0, zero) for name, zero in zeros.items())


def test_a_recipe_is_checked_against_the_model_that_it_starts_from(
    make: Make,  # noqa: F811
    pruned: Callable[..., RunPaths],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = second(make, pruned("encoder", 0.5), rounds=2, final_sparsity=0.8)
    monkeypatch.setattr(sys, "argv", ["codeprune-tui", "recipe", "--check", str(paths.recipe)])
    with pytest.raises(SystemExit):
        main.main()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("is valid: lottery, sparsity by round 50 %, 50 %, 80 %")
    assert lines[1:] == [
        "The model comes pruned: encoder 50 %. What is pruned stays pruned.",
        "The recipe prunes nothing until round 2: its weights come at 50 % already.",
    ]
