"""Runs whose masks follow from data, from training or from a schedule inside it: what they do, and that no kill changes them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_lottery import Make, of, run
from test_lottery import make as make
from test_lottery import weights as weights_of_round
from test_resume import BASE, ROOT, figures, outcome
from workers import run as run_scenarios

from core import worker
from core.compress.basis import measure
from core.compress.masks import load_masks, sparsity_of
from core.compress.selection import Method, prune
from core.errors import ModelError, RecipeError
from core.evaluate.calibration import drawn
from core.families.roberta import drawn_anew
from core.model import load_model
from core.recipe import build_recipe, parse_recipe, to_toml
from core.run.events import CheckpointSaved, Event, Failed, Happening, Measuring, Paused, Pruned, Rewound, RunFinished, Stopped
from core.run.folder import RunPaths
from core.run.journal import JournalWriter, append_command, read_journal
from core.seeds import derive_seed
from core.spec.schedule import cubic, grown, growth
from core.train import masking
from core.train.loop import Loop

QUERY = "encoder.encoder.layer.0.attention.self.query.weight"
RECIPES: dict[str, dict[str, dict[str, object]]] = {
    "sparsegpt": {
        "pruning": {"rounds": 2, "final_sparsity": 0.5, "criterion": "sparsegpt", "scope": "row", "calibration_rows": 6},
        "rewind": {"to": "none"},
    },
    "taylor": {
        "pruning": {"rounds": 2, "final_sparsity": 0.8, "criterion": "taylor", "budget": "owl", "calibration_rows": 4},
        "rewind": {"to": "random"},
    },
    "movement": {"pruning": {"rounds": 2, "final_sparsity": 0.8, "criterion": "movement", "prunable": "all"}},
    "gradual": {
        "pruning": {
            "rounds": 1,
            "final_sparsity": 0.8,
            "criterion": "wanda",
            "calibration_rows": 3,
            "gradual_every": 4,
            "gradual_from": 2,
            "gradual_to": 20,
        },
        "rewind": {"to": "none"},
    },
}
MEASURING = {"event": "measuring", "nth": 2, "when": "before"}
DEATHS: dict[str, list[dict[str, object]]] = {
    "sparsegpt": [
        MEASURING,
        {"event": "measuring", "nth": 2, "when": "after"},
        {"call": "core.compress.basis:_pass", "nth": 4, "when": "before"},  # between two reports
        {"call": "core.compress.basis:_pass", "nth": 9, "when": "before"},  # in round 2, whose masks begin with those of round 1
        {"event": "pruned", "nth": 1, "when": "after"},
        {"event": "checkpoint", "nth": 5, "when": "before"},  # masks and updated weights, before the first step of round 1
        {"event": "checkpoint", "nth": 5, "when": "after"},
        {"call": "core.train.trainer:apply_masks", "nth": 30, "when": "before"},
    ],
    "taylor": [MEASURING, {"event": "rewound", "nth": 1, "when": "after"}],
    "movement": [
        {"call": "core.train.trainer:apply_masks", "nth": 12, "when": "before"},
        {"call": "core.train.round_end:write_predictions", "nth": 1, "when": "before"},
        {"event": "round_finished", "nth": 1, "when": "after"},
        {"call": "core.train.masking:prune_model", "nth": 2, "when": "before"},
    ],
    "gradual": [
        {"event": "measuring", "nth": 3, "when": "after"},
        {"event": "pruned", "nth": 3, "when": "after"},
        {"call": "core.train.trainer:apply_masks", "nth": 40, "when": "before"},
    ],
}


def prepare(root: Path, recipe: str, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    sections: dict[str, Any] = {**BASE, **RECIPES[recipe]}
    sections["data"] = {**BASE["data"], "path": str(ROOT / "checkpoints" / "bundled" / "demo-ruby")}
    (folder / "recipe.toml").write_text(to_toml(build_recipe(sections)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_anywhere_and_resumed_the_bits_are_the_same(recipe: str, tmp_path: Path) -> None:
    whole = prepare(tmp_path, recipe, "whole")
    folders = [prepare(tmp_path, recipe, str(number)) for number in range(len(DEATHS[recipe]))]
    scenarios: list[dict[str, object]] = [{"run": str(whole)}]
    for folder, death in zip(folders, DEATHS[recipe], strict=True):
        scenarios += [{"run": str(folder), "die": death}, {"run": str(folder)}]
    assert run_scenarios(scenarios) == [0] + [-9, 0] * len(folders)
    reference, matrices = outcome(whole), figures(whole)
    final = float(str(RECIPES[recipe]["pruning"]["final_sparsity"]))
    last = max(RunPaths(whole).finished_rounds())
    masks = load_masks(RunPaths(whole).round(last) / "masks.safetensors")
    assert sparsity_of(masks) == pytest.approx(final, abs=0.02)
    for folder, death in zip(folders, DEATHS[recipe], strict=True):
        assert outcome(folder) == reference, death
        assert figures(folder) == matrices, death
        assert isinstance(read_journal(folder / "events.jsonl")[-1].what, RunFinished), death


# --- measured criteria


SMALL = {"rounds": 1, "final_sparsity": 0.5, "calibration_rows": 4}
NO_REWIND: dict[str, object] = {"to": "none"}


def test_a_round_is_pruned_by_what_its_calibration_rows_say(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make(pruning={**SMALL, "criterion": "sparsegpt"}, rewind=NO_REWIND)
    seen: list[dict[str, torch.Tensor]] = []
    real = masking.prune_model

    def watch(model: Any, *rest: Any) -> Any:
        masks = real(model, *rest)
        seen.append({name: model.get_parameter(name).detach().clone() for name in masks})
        return masks

    monkeypatch.setattr(masking, "prune_model", watch)
    rows: list[Any] = []
    monkeypatch.setattr(masking, "drawn", lambda *arguments: rows.append(drawn(*arguments)) or rows[-1])
    events = run(paths)
    assert [(what.done, what.rows, what.criterion) for what in of(Measuring, events)][-1] == (4, 4, "sparsegpt")
    assert len(rows[0]) == 4
    (pruned,) = of(Pruned, events)
    assert 0 < pruned.output_errors[QUERY] < 1
    assert "encoder.pooler.dense.weight" not in pruned.output_errors
    model = load_model(paths.round(0))
    parameters = {name: model.get_parameter(name) for name in seen[0]}
    basis = measure(model, rows[0], parameters, ["hessians"])
    seed = derive_seed(0, "criterion", 1)
    masks = prune(parameters, {}, Method("sparsegpt"), 0.5, seed, basis)
    written = load_masks(paths.round(1) / "masks.safetensors")
    for name, mask in masks.items():
        assert torch.equal(written[name], mask)
        assert torch.equal(parameters[name].detach(), seen[0][name])  # what the round's training began with
    points = [what for what in of(CheckpointSaved, events) if what.round == 1]
    assert points[0].step == 0  # masks that were measured are saved before the first step


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_measuring_obeys(make: Make, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    whole, cut = (make(name, pruning={**SMALL, "criterion": "fisher"}, rewind=NO_REWIND) for name in ("whole", "cut"))
    run(whole)
    original = JournalWriter.append

    def append(self: JournalWriter, what: Happening) -> Event:
        event = original(self, what)
        if isinstance(what, Measuring) and what.done == 1:
            append_command(cut.commands, {"command": command})
        if isinstance(what, Paused):
            append_command(cut.commands, {"command": "resume"})
        return event

    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "append", append)
        events = run(cut)
    kinds = [type(event.what) for event in events]
    later = kinds[kinds.index(Measuring) :]
    assert later.index(Stopped if command == "stop" else Paused) < 3  # after the same row
    if command == "stop":
        assert [(what.round, what.step) for what in of(Stopped, events)] == [(1, 0)]
        assert Pruned not in later
        run(cut)
    for name, weight in weights_of_round(whole, 1).items():
        assert torch.equal(weight, weights_of_round(cut, 1)[name])


def test_movement_is_summed_while_a_round_trains(make: Make) -> None:
    paths = make(pruning={"rounds": 2, "final_sparsity": 0.6, "criterion": "movement"}, rewind=NO_REWIND)
    events = run(paths)
    assert not of(Measuring, events)
    sums = load_file(paths.round(0) / "movement.safetensors")
    assert sums[QUERY].any()
    assert not (paths.round(2) / "movement.safetensors").exists()  # nothing is pruned after it
    order = sums[QUERY].flatten().argsort(stable=True)
    gone = (~load_masks(paths.round(1) / "masks.safetensors")[QUERY]).flatten().nonzero()[:, 0]
    assert set(gone.tolist()) == set(order[: round(0.3 * len(order))].tolist())


# --- gradual pruning


def test_masks_grow_by_the_cubic_schedule(make: Make) -> None:
    paths = make(
        pruning={"rounds": 1, "final_sparsity": 0.8, "gradual_every": 3, "gradual_from": 1, "gradual_to": 11, "scope": "global"},
        rewind=NO_REWIND,
    )
    events = run(paths)
    steps = (4, 7, 10, 11)
    expected = [0.8 * (1 - (1 - (step - 1) / 10) ** 3) for step in steps]
    assert [what.sparsity for what in of(Pruned, events)] == pytest.approx(expected, abs=1e-4)
    masks = load_masks(paths.round(1) / "masks.safetensors")
    assert sparsity_of(masks) == pytest.approx(0.8, abs=1e-4)
    assert not any(weights_of_round(paths, 1)[name][~mask].any() for name, mask in masks.items())
    assert of(RunFinished, events)


def test_the_schedule_is_zhu_and_guptas() -> None:
    assert [cubic(0.0, 0.9, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.0, 0.7875, 0.9])
    assert cubic(0.5, 0.9, 0.5) == pytest.approx(0.85)
    recipe = parse_recipe(
        "[pruning]\nrounds = 2\nfinal_sparsity = 0.8\ngradual_every = 30\ngradual_from = 20\n[training]\nsteps = 100\n"
    )
    assert growth(recipe) == (50, 75)  # three quarters of the steps at the end
    assert grown(recipe, 2, 75) == pytest.approx(0.8)
    assert grown(recipe, 1, 50) == pytest.approx(cubic(0.0, 0.4, 30 / 55))
    assert growth(parse_recipe("")) == ()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("gradual_to = 600", "pruning.gradual_to = 600 lies behind the end of a round; allowed: 1 to training.steps = 500"),
        ("gradual_from = 400", "pruning.gradual_from = 400 leaves no step before 375, where growing ends"),
        ('[picker]\nrule = "best"\nevery = 10', 'picker.rule = "best" could pick weights from before the masks were grown'),
    ],
)
def test_growing_that_cannot_be_is_refused(lines: str, problem: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(f"[pruning]\ngradual_every = 10\n{lines}\n")
    assert problem in str(error.value)


# --- rewinding to weights drawn anew


def test_a_random_rewind_keeps_of_a_ticket_only_its_masks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pruning = {"rounds": 1, "final_sparsity": 0.5}
    ticket, control = (make(to, pruning=pruning, rewind={"to": to}) for to in ("pretrained", "random"))
    run(ticket)
    began: dict[str, torch.Tensor] = {}
    train = Loop.run

    def watched(self: Loop) -> None:
        if self.stage.number:
            began.update({name: weight.detach().clone() for name, weight in self.trainer.model.named_parameters()})
        train(self)

    monkeypatch.setattr(Loop, "run", watched)
    assert [what.to for what in of(Rewound, run(control))] == ["random"]
    masks, same = (load_masks(paths.round(1) / "masks.safetensors") for paths in (ticket, control))
    assert all(torch.equal(same[name], mask) for name, mask in masks.items())
    fresh = drawn_anew(load_model(control.round(0)), derive_seed(0, "random rewind"))
    for name, weight in fresh.items():
        assert torch.equal(began[name], weight * masks[name] if name in masks else weight), name
    for name, weight in weights_of_round(control, 0).items():  # round 0 is that of the ticket
        assert torch.equal(weight, weights_of_round(ticket, 0)[name])
    assert not torch.equal(weights_of_round(control, 1)[QUERY], weights_of_round(ticket, 1)[QUERY])


# --- units scored by what the model does with data


@pytest.mark.parametrize("criterion", ["taylor", "wanda", "sparsegpt", "movement"])
def test_units_are_scored_by_criteria_that_look(make: Make, criterion: str) -> None:
    pruning = {**SMALL, "criterion": criterion, "unit": "head+neuron", "scope": "global"}
    paths = make(pruning=pruning, rewind=NO_REWIND)
    events = run(paths)
    assert bool(of(Measuring, events)) == (criterion != "movement")
    masks = load_masks(paths.round(1) / "masks.safetensors")
    assert sparsity_of(masks) == pytest.approx(0.5, abs=0.1)  # as near as whole units come
    inner = masks["encoder.encoder.layer.0.intermediate.dense.weight"]
    assert (inner.all(1) | ~inner.any(1)).all()  # a neuron's row as a whole


def test_units_take_no_scopes_of_single_weights() -> None:
    with pytest.raises(RecipeError, match=r"pruning.scope = 'row' is for single weights"):
        parse_recipe('[pruning]\nunit = "head"\nscope = "row"\n')


def test_a_pattern_that_does_not_divide_is_refused_before_anything_is_trained(make: Make) -> None:
    paths = make(pruning={"rounds": 1, "pattern": "1x7", "final_sparsity": 0.5})
    assert worker.main([str(paths.root)]) == ModelError.exit_code
    (failed,) = of(Failed, read_journal(paths.journal))
    assert "pruning.pattern = '1x7' does not divide encoder" in failed.problem
    assert paths.finished_rounds() == []
