"""Run folders are read whole or with notes, grouped by recipe, and the same wherever they lie."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from app_runs import make_run, whole_run

from core.errors import RunError
from core.recipe import build_recipe
from core.study.experiments import recipe_of
from core.study.runs import Run, find_runs, group, read_run, read_study, shown_recipe


def a_run(name: str, curve: str = "l1-b8-finetuned", seed: int = 0, **training: object) -> Run:
    recipe = recipe_of(curve, "small", seed)
    return Run(name, recipe.model_copy(update={"training": recipe.training.model_copy(update=training)}), (), {})


def test_seeds_are_one_curve_and_other_steps_are_another() -> None:
    study = group([a_run("a"), a_run("b", seed=1, threads=7), a_run("c", steps=7), a_run("d", "l1-b8-pretrained")])
    assert [(each.key, [run.name for run in each.runs]) for each in study.groups] == [
        ("l1-b8-pretrained", ["d"]), ("a", ["a", "b"]), ("c", ["c"]),
    ]  # fmt: skip
    assert study.groups[1].title == "L1, batch 8, rewind to fine-tuned (a)"


def test_runs_of_no_curve_and_without_a_recipe_stand_alone() -> None:
    odd = replace(a_run("odd"), recipe=build_recipe({"pruning": {"schedule": "one-shot"}, "training": {"batch_size": 5}}))
    study = group([odd, replace(a_run("lost"), recipe=None), replace(a_run("lost-too"), recipe=None)])
    assert [(each.key, each.title, each.curve) for each in study.groups] == [
        (name, name, None) for name in ("lost", "lost-too", "odd")
    ]


def test_a_folder_is_read_and_what_is_missing_is_said(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    row = {"index": 0, "name": "a", "prediction": "Sets it .", "reference": "Sets it ."}
    (paths.round(2) / "predictions.jsonl").write_text(json.dumps(row) + "\n")
    run = read_run(paths)
    assert run.notes == ("The comments of these rounds are missing or damaged: 0, 1, 3.",)
    assert list(run.tallies) == [60]
    assert run.matrices[3]["encoder.pooler.dense.weight"] == pytest.approx(0.9)
    paths.recipe.write_text("[")
    paths.meta.write_text("[")
    assert read_run(paths).notes[0] == "Its recipe cannot be read."
    shutil.rmtree(paths.rounds)
    paths.journal.unlink()
    assert read_run(paths).notes == ("Its recipe cannot be read.", "No round is complete.")


def test_places_are_runs_or_folders_of_runs(tmp_path: Path) -> None:
    for name in ("b", "a"):
        make_run(tmp_path, name, whole_run(name))
    runs = find_runs([tmp_path, tmp_path / "a"])
    assert sorted(paths.name for paths in runs) == ["a", "b"]
    assert read_study(runs) == read_study(reversed(runs))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="is no run, and no folder of runs"):
        find_runs([tmp_path / "empty"])


def test_a_shown_recipe_tells_no_place() -> None:
    recipe = build_recipe({"data": {"path": "/home/someone/data/ruby"}, "model": {"path": "checkpoints/bundled/ruby-mini"}})
    shown = shown_recipe(recipe)
    assert 'path = "data/ruby"' in shown
    assert 'path = "checkpoints/bundled/ruby-mini"' in shown
    assert "someone" not in shown
