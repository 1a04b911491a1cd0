"""Killed anywhere and started again, a run ends with the same bits as one that was never interrupted."""

import json
import shutil
from pathlib import Path

import pytest
from workers import run

from core.recipe import build_recipe, to_toml
from core.run.events import Failed, MatrixMeasured, RunFinished, RunStarted, Warned
from core.run.folder import RunPaths
from core.run.journal import read_journal

ROOT = Path(__file__).parent.parent
BASE = {
    "model": {"path": "new"},
    "architecture": {"vocab_size": 400, "hidden": 32, "layers": 2, "heads": 2, "ffn": 48, "decoder_layers": 1},
    "data": {"source_length": 48, "target_length": 24, "train_rows": 120},
    "training": {"steps": 24, "batch_size": 8, "learning_rate": 3e-3, "threads": 1, "checkpoint_every": 7, "device": "cpu"},
    "evaluation": {"rows": 10, "beam": 2, "max_length": 12, "batch_size": 4},
}
RECIPES = {
    "train-first": {
        "pruning": {"rounds": 2, "final_sparsity": 0.8, "scope": "layerwise"},
        "rewind": {"to": "pretrained"},
        "picker": {"rule": "best-no-stop", "every": 10},
    },
    "late-rewind": {
        "pruning": {"rounds": 2, "final_sparsity": 0.8, "scope": "global", "prunable": "all"},
        "rewind": {"to": "step:10"},
        "picker": {"rule": "last", "every": 6},
    },
    "random-no-rewind": {
        "pruning": {"rounds": 2, "final_sparsity": 0.6, "criterion": "random", "schedule": "geometric"},
        "rewind": {"to": "none"},
        "picker": {"rule": "best", "every": 8},
    },
}
DEATHS = {
    "before anything": {"event": "run_started", "nth": 1, "when": "before"},
    "loading": {"event": "floors", "nth": 1, "when": "after"},
    "training, before a checkpoint": {"call": "core.train.trainer:apply_masks", "nth": 4, "when": "before"},
    "training, past a checkpoint": {"call": "core.train.trainer:apply_masks", "nth": 12, "when": "before"},
    "training, in round 1": {"call": "core.train.trainer:apply_masks", "nth": 36, "when": "before"},
    "measuring": {"event": "evaluating", "nth": 2, "when": "after"},
    "measuring, in round 1": {"event": "evaluating", "nth": 17, "when": "before"},
    "after a measurement": {"event": "evaluated", "nth": 2, "when": "before"},
    "measuring with the encoder off": {"event": "evaluating", "nth": 11, "when": "after"},
    "encoder off, not journalled": {"event": "encoder_off", "nth": 1, "when": "before"},
    "encoder off, journalled": {"event": "encoder_off", "nth": 1, "when": "after"},
    "a checkpoint half written": {"call": "core.train.checkpoint:save_file", "nth": 3, "when": "half"},
    "the best weights half written": {"call": "core.train.checkpoint:save_file", "nth": 4, "when": "half"},
    "a checkpoint without its best weights": {"call": "core.train.checkpoint:save_best", "nth": 1, "when": "before"},
    "better weights without their file": {"call": "core.train.checkpoint:save_best", "nth": 2, "when": "before"},
    "a checkpoint not yet renamed": {"call": "core.atomic:_fsync", "nth": 3, "when": "before"},
    "a checkpoint not yet journalled": {"event": "checkpoint", "nth": 2, "when": "before"},
    "the journal half written": {"event": "checkpoint", "nth": 2, "when": "torn"},
    "pruning": {"call": "core.train.masking:prune_model", "nth": 1, "when": "before"},
    "pruned, not rewound": {"event": "pruned", "nth": 1, "when": "after"},
    "rewinding": {"event": "rewound", "nth": 1, "when": "before"},
    "rewound": {"event": "rewound", "nth": 1, "when": "after"},
    "masks half written": {"call": "core.compress.masks:save_file", "nth": 1, "when": "half"},
    "measuring matrices": {"event": "matrix", "nth": 5, "when": "before"},
    "a round not yet renamed": {"call": "core.train.round_end:write_predictions", "nth": 2, "when": "before"},
    "a round done, not journalled": {"event": "round_finished", "nth": 1, "when": "before"},
    "between rounds": {"event": "round_finished", "nth": 2, "when": "after"},
}


def prepare(root: Path, recipe: str, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    sections = {**BASE, **RECIPES[recipe], "data": {**BASE["data"], "path": str(ROOT / "checkpoints" / "bundled" / "demo-ruby")}}
    (folder / "recipe.toml").write_text(to_toml(build_recipe(sections)), encoding="utf-8")
    return folder


def outcome(folder: Path) -> dict[str, bytes | object]:
    """Everything that must not depend on interruptions."""
    result: dict[str, bytes | object] = {}
    for number in RunPaths(folder).finished_rounds():
        place = RunPaths(folder).round(number)
        for name in ("model.safetensors", "masks.safetensors", "predictions.jsonl"):
            result[f"{number}/{name}"] = (place / name).read_bytes()
        facts = json.loads((place / "metrics.json").read_text())
        facts.pop("seconds")
        facts["decoding"].pop("seconds")
        result[f"{number}/metrics"] = facts
    return result


def figures(folder: Path) -> dict[tuple[int, str], MatrixMeasured]:
    """The last word of a journal on each matrix in each round: what the screens show."""
    events = (event.what for event in read_journal(folder / "events.jsonl"))
    return {(what.round, what.parameter): what for what in events if isinstance(what, MatrixMeasured)}


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes | object]]:
    root = tmp_path_factory.mktemp("uninterrupted")
    folders = {recipe: prepare(root, recipe, recipe) for recipe in RECIPES}
    assert run([{"run": str(folder)} for folder in folders.values()]) == [0, 0, 0]
    return {recipe: {**outcome(folder), "figures": figures(folder)} for recipe, folder in folders.items()}


def test_the_references_are_whole_and_differ(references: dict[str, dict[str, bytes | object]]) -> None:
    for reference in references.values():
        assert len(reference) == 13
    models = [reference["2/model.safetensors"] for reference in references.values()]
    assert len(set(models)) == 3


SOME = (
    "training, in round 1",
    "measuring, in round 1",
    "after a measurement",
    "a checkpoint half written",
    "pruned, not rewound",
    "between rounds",
)
"""Enough for the recipes that share most of their path with the first."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_and_resumed_equals_uninterrupted(
    recipe: str, references: dict[str, dict[str, bytes | object]], tmp_path: Path
) -> None:
    deaths = DEATHS if recipe == "train-first" else SOME
    folders = {death: prepare(tmp_path, recipe, str(number)) for number, death in enumerate(deaths)}
    scenarios: list[dict[str, object]] = []
    for death, folder in folders.items():
        scenarios += [{"run": str(folder), "die": DEATHS[death]}, {"run": str(folder)}]
    endings = run(scenarios)
    assert endings == [-9, 0] * len(folders)  # every death happened, or the test tests nothing
    for death, folder in folders.items():
        assert {**outcome(folder), "figures": figures(folder)} == references[recipe], death
        events = read_journal(folder / "events.jsonl")
        assert [event.seq for event in events] == list(range(len(events))), death
        assert isinstance(events[-1].what, RunFinished), death
        assert not list(folder.rglob(".tmp-*")), death


def test_killed_again_and_again(references: dict[str, dict[str, bytes | object]], tmp_path: Path) -> None:
    folder = prepare(tmp_path, "train-first", "often")
    deaths = [{"call": "core.train.trainer:apply_masks", "nth": nth, "when": "before"} for nth in (9, 10, 9, 12, 9, 12, 11, 14)]
    endings = run([*({"run": str(folder), "die": death} for death in deaths), {"run": str(folder)}])
    assert endings == [-9] * len(deaths) + [0]
    assert {**outcome(folder), "figures": figures(folder)} == references["train-first"]
    starts = [event.what for event in read_journal(folder / "events.jsonl") if isinstance(event.what, RunStarted)]
    assert len(starts) == len(deaths) + 1
    assert [start.resumed for start in starts] == [False, *[True] * len(deaths)]
    points = [(start.round, start.step) for start in starts]
    assert points == sorted(points)
    assert points[-1][0] == 2


def test_a_finished_run_started_again_changes_nothing(references: dict[str, dict[str, bytes | object]], tmp_path: Path) -> None:
    folder = prepare(tmp_path, "train-first", "twice")
    assert run([{"run": str(folder)}, {"run": str(folder)}]) == [0, 0]
    assert {**outcome(folder), "figures": figures(folder)} == references["train-first"]
    kinds = [type(event.what) for event in read_journal(folder / "events.jsonl")]
    assert kinds.count(RunFinished) == 1
    assert kinds[-1] is RunFinished


def test_changed_data_is_refused_rather_than_continued(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "train-first", "moved")
    data = tmp_path / "data"
    shutil.copytree(ROOT / "checkpoints" / "bundled" / "demo-ruby", data)
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(recipe.replace(str(ROOT / "checkpoints" / "bundled" / "demo-ruby"), str(data)))
    death = {"event": "round_finished", "nth": 1, "when": "after"}
    assert run([{"run": str(folder), "die": death}]) == [-9]
    first = sorted((data / "train").glob("*.rb"))[0]
    first.write_text(first.read_text() + "\n# Returns nothing at all, ever.\ndef nothing = nil\n")
    assert run([{"run": str(folder)}]) == [4]
    assert "The data of moved has changed since the run began." in read_journal(folder / "events.jsonl")[-1].what.problem


MID_ROUND_1 = {"call": "core.train.trainer:apply_masks", "nth": 36, "when": "before"}
PAST_THE_BEST = {"event": "checkpoint", "nth": 9, "when": "after"}
"""The third checkpoint of round 1; the second holds the best weights itself."""
AFTER_ROUND_0 = {"event": "round_finished", "nth": 1, "when": "after"}
AFTER_ROUND_1 = {"event": "round_finished", "nth": 2, "when": "after"}
LOST = {
    "the rewind point": ("late-rewind", AFTER_ROUND_0, "rewind.safetensors"),
    "the rewind point, in round 1": ("late-rewind", MID_ROUND_1, "rewind.safetensors"),
    "the rewind point of the start": ("train-first", AFTER_ROUND_0, "rewind.safetensors"),
    "weights": ("train-first", AFTER_ROUND_1, "rounds/01/model.safetensors"),
    "masks": ("train-first", AFTER_ROUND_1, "rounds/01/masks.safetensors"),
    "metrics": ("train-first", AFTER_ROUND_1, "rounds/01/metrics.json"),
    "the dense comments": ("train-first", AFTER_ROUND_1, "rounds/00/predictions.jsonl"),
    "the best weights": ("train-first", PAST_THE_BEST, "resume/best.safetensors"),
    "meta.json": ("train-first", AFTER_ROUND_0, "meta.json"),
}
"""What was lost -> the recipe, where its run was killed, and the file or folder."""


def refusal(folder: Path) -> Failed:
    (code,) = run([{"run": str(folder)}])
    failed = read_journal(folder / "events.jsonl")[-1].what
    assert isinstance(failed, Failed)
    assert code > 0
    assert failed.fix
    return failed


def lose(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_what_a_resumed_run_needs_and_does_not_find_is_refused_by_name(
    references: dict[str, dict[str, bytes | object]], tmp_path: Path
) -> None:
    folders = {lost: prepare(tmp_path, recipe, str(number)) for number, (lost, (recipe, _, _)) in enumerate(LOST.items())}
    run([{"run": str(folder), "die": LOST[lost][1]} for lost, folder in folders.items()])
    for lost, folder in folders.items():
        kept = tmp_path / "kept"
        (folder / LOST[lost][2]).rename(kept)
        failed = refusal(folder)
        assert str(folder / LOST[lost][2]) in failed.problem, lost
        assert "is missing" in failed.problem, lost
        assert not (folder / LOST[lost][2]).exists(), lost  # nothing was made anew
        kept.rename(folder / LOST[lost][2])
    assert run([{"run": str(folder)} for folder in folders.values()]) == [0] * len(folders)  # put back, they go on
    for lost, folder in folders.items():
        assert outcome(folder).items() <= references[LOST[lost][0]].items(), lost


def test_what_has_changed_is_refused_by_name(tmp_path: Path) -> None:
    other = prepare(tmp_path, "late-rewind", "other")
    (other / "recipe.toml").write_text((other / "recipe.toml").read_text().replace("seed = 0", "seed = 1"))
    folder = prepare(tmp_path, "late-rewind", "run")
    run([{"run": str(each), "die": AFTER_ROUND_1} for each in (folder, other)])
    for name in ("rewind.safetensors", "rounds/01/model.safetensors", "rounds/01/masks.safetensors"):
        own = (folder / name).read_bytes()
        (folder / name).write_bytes((other / name).read_bytes())
        assert f"{folder / name} has changed since the run wrote it" in refusal(folder).problem
        (folder / name).write_bytes(own)
    assert run([{"run": str(folder)}]) == [0]


def test_the_model_that_a_run_starts_from_must_stay_as_it_was(tmp_path: Path) -> None:
    first = prepare(tmp_path, "train-first", "first")
    assert run([{"run": str(first)}]) == [0]
    model = tmp_path / "model"
    shutil.copytree(first / "rounds" / "00", model)
    folder = prepare(tmp_path, "train-first", "second")
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(recipe.replace('path = "new"', f'path = "{model}"'))
    assert run([{"run": str(folder), "die": AFTER_ROUND_0}]) == [-9]
    for name, change in (("model.safetensors", first / "rounds" / "01"), ("tokenizer.json", None), ("masks.safetensors", None)):
        own = (model / name).read_bytes()
        (model / name).write_bytes((change / name).read_bytes() if change else own + b" ")
        failed = refusal(folder)
        assert failed.problem == f"The model that second starts from has changed since the run began: {name} in {model}."
        (model / name).write_bytes(own)
    lose(model / "masks.safetensors")
    assert "masks.safetensors in" in refusal(folder).problem
    lose(model)
    assert f"There is no model at {model}" in refusal(folder).problem
    shutil.copytree(first / "rounds" / "00", model)
    assert run([{"run": str(folder)}]) == [0]


def test_a_lost_checkpoint_is_told_and_its_round_done_again(
    references: dict[str, dict[str, bytes | object]], tmp_path: Path
) -> None:
    folder = prepare(tmp_path, "train-first", "run")
    assert run([{"run": str(folder), "die": MID_ROUND_1}]) == [-9]
    lose(folder / "resume")
    assert run([{"run": str(folder)}]) == [0]
    warnings = [event.what.message for event in read_journal(folder / "events.jsonl") if isinstance(event.what, Warned)]
    assert any(
        message.startswith("The checkpoint of round 1, step ") and message.endswith(": round 1 begins again.")
        for message in warnings
    )
    assert {**outcome(folder), "figures": figures(folder)} == references["train-first"]


@pytest.mark.parametrize(("death", "number"), [(AFTER_ROUND_1, 1), (MID_ROUND_1, 0)], ids=["the last one", "in the next one"])
def test_a_lost_last_round_is_told_and_done_again(
    death: dict[str, object], number: int, references: dict[str, dict[str, bytes | object]], tmp_path: Path
) -> None:
    folder = prepare(tmp_path, "train-first", "run")
    run([{"run": str(folder), "die": death}])
    lose(folder / f"rounds/{number:02d}")
    assert run([{"run": str(folder)}]) == [0]
    warnings = [event.what.message for event in read_journal(folder / "events.jsonl") if isinstance(event.what, Warned)]
    assert f"{folder / f'rounds/{number:02d}'} is missing, though round {number} was complete: it is done again." in warnings
    assert {**outcome(folder), "figures": figures(folder)} == references["train-first"]


def test_without_its_checkpoint_and_its_rewind_point_round_0_begins_again(
    references: dict[str, dict[str, bytes | object]], tmp_path: Path
) -> None:
    folder = prepare(tmp_path, "late-rewind", "run")
    assert run([{"run": str(folder), "die": {"call": "core.train.trainer:apply_masks", "nth": 16, "when": "before"}}]) == [-9]
    (folder / "rewind.safetensors").unlink()
    assert str(folder / "rewind.safetensors") in refusal(folder).problem
    lose(folder / "resume")
    assert run([{"run": str(folder)}]) == [0]
    assert {**outcome(folder), "figures": figures(folder)} == references["late-rewind"]
