"""The round loop on a tiny model and real Ruby: what is pruned, rewound, picked and written."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core import worker
from core.compress.masks import load_masks
from core.errors import ModelError
from core.evaluate.comment import comment_methods
from core.evaluate.evaluate import as_event, decode_texts, evaluate_model, load_for_evaluation
from core.families.device import make_accelerator
from core.families.roberta import without_encoder
from core.families.weightfiles import read_tensors
from core.model import load_model, load_reader
from core.recipe import Evaluation, Search, build_recipe, load_recipe, to_toml
from core.ruby import methods
from core.run.control import Control, StopRequested
from core.run.events import (
    EncoderOffMeasured,
    Evaluated,
    Evaluating,
    Event,
    Failed,
    Happening,
    MatrixMeasured,
    Paused,
    Picked,
    Pruned,
    Resumed,
    Rewound,
    RoundFinished,
    RunFinished,
    Step,
    Stopped,
    Validated,
    Warned,
)
from core.run.folder import RunPaths
from core.run.journal import JournalWriter, append_command, read_journal
from core.run.results import MEASURES
from core.score import metrics, significance
from core.spec.schedule import sparsities
from core.train import lottery
from core.train.checkpoint import load_checkpoint
from core.train.loop import Loop
from core.train.prepare import prepare
from core.train.session import Session, WorkClock
from core.train.trainer import Trainer

ROOT = Path(__file__).parent.parent
DEMO = str(ROOT / "checkpoints" / "bundled" / "demo-ruby")
BASE: dict[str, dict[str, object]] = {
    "model": {"path": "new"},
    "architecture": {"vocab_size": 400, "hidden": 32, "layers": 2, "heads": 2, "ffn": 48, "decoder_layers": 1},
    "data": {"path": DEMO, "source_length": 48, "target_length": 24, "train_rows": 120},
    "training": {"steps": 12, "batch_size": 8, "learning_rate": 3e-3, "threads": 1, "device": "cpu"},
    "evaluation": {"rows": 8, "beam": 2, "max_length": 12},
    "pruning": {"rounds": 3, "final_sparsity": 0.9},
}
Make = Callable[..., RunPaths]


def new_run(folder: Path, name: str = "run", kind: str = "lottery", **sections: dict[str, object]) -> RunPaths:
    tables = {"kind": kind, **{key: {**BASE.get(key, {}), **sections.get(key, {})} for key in {*BASE, *sections}}}
    paths = RunPaths(folder / name)
    paths.root.mkdir()
    paths.recipe.write_text(to_toml(build_recipe(tables)), encoding="utf-8")
    return paths


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return partial(new_run, tmp_path)


def run(paths: RunPaths) -> list[Event]:
    assert worker.main([str(paths.root)]) == 0
    return read_journal(paths.journal)


def of(kind: type, events: list[Event]) -> list[Happening]:
    return [event.what for event in events if isinstance(event.what, kind)]


def weights(paths: RunPaths, number: int) -> dict[str, torch.Tensor]:
    return read_tensors(paths.round(number) / "model.safetensors")


def test_packed_rounds_are_smaller_and_nothing_else_changes(make: Make) -> None:
    pruning = {"rounds": 2, "final_sparsity": 0.9, "prunable": "all"}
    packed, plain = make("packed", pruning=pruning), make("plain", pruning={**pruning, "pack": False})
    ours, theirs = run(packed), run(plain)
    for number in range(3):
        masks = load_masks(packed.round(number) / "masks.safetensors")
        assert all(torch.equal(mask, load_masks(plain.round(number) / "masks.safetensors")[name]) for name, mask in masks.items())
        exact = load_file(plain.round(number) / "model.safetensors")
        assert all(torch.equal(weight, exact[name]) for name, weight in weights(packed, number).items())
        for each in (load_model(packed.round(number)), load_model(plain.round(number))):
            assert all(torch.equal(each.get_parameter(name), exact[name]) for name in exact)
        gone = 4 * sum(int((~mask).sum()) for mask in masks.values())
        small, whole = ((paths.round(number) / "model.safetensors").stat().st_size for paths in (packed, plain))
        assert whole - small == pytest.approx(gone, abs=4000)  # but for the header
        assert (small < 0.7 * whole) == (number == 2)
    assert of(MatrixMeasured, ours) == of(MatrixMeasured, theirs)
    assert any(figures.change is not None and figures.round == 2 for figures in of(MatrixMeasured, ours))  # type: ignore[attr-defined]


def test_a_whole_run(make: Make) -> None:
    paths = make()
    events = run(paths)
    planned = sparsities(load_recipe(paths.recipe))
    assert paths.finished_rounds() == [0, 1, 2, 3]
    before = None
    for number in range(4):
        masks = load_masks(paths.round(number) / "masks.safetensors")
        assert len(masks) == 13  # six matrices in each of two layers, and the pooler
        kept_weights = weights(paths, number)
        for name, mask in masks.items():
            assert int((~mask).sum()) == round(planned[number] * mask.numel())
            assert not kept_weights[name][~mask].any()
            assert before is None or not (mask & ~before[name]).any()
        before = masks
        facts = json.loads((paths.round(number) / "metrics.json").read_text())
        assert facts["sparsity"] == pytest.approx(planned[number], abs=1e-3)
        assert facts["floors"]["name"]["bleu"] > 0
        assert set(facts["signatures"]) == {"bleu", "corpus_bleu", "chrf", "rouge_l"}
        lines = (paths.round(number) / "predictions.jsonl").read_text().splitlines()
        assert len(lines) == 8
        mean = sum(json.loads(line)["bleu"] for line in lines) / 8
        assert mean == pytest.approx(facts["scores"]["bleu"])
        decoding = facts["decoding"]
        assert (decoding["rows"], decoding["beam"], decoding["device"], decoding["threads"]) == (8, 2, "cpu", 1)
        assert 8 <= decoding["tokens"] <= 8 * 12
        assert 0 < decoding["seconds"] < facts["seconds"]
        assert all(
            facts["intervals"][name]["low"] <= facts["scores"][name] <= facts["intervals"][name]["high"] for name in MEASURES
        )
        assert facts["bootstrap"] == significance.SIGNATURE
        if number == 0:
            assert "against_dense" not in facts
            dense_facts, dense = facts, [json.loads(line) for line in lines]
            continue
        rows = [json.loads(line) for line in lines]
        texts = [[row["prediction"] for row in side] for side in (rows, dense)]
        expected = significance.paired_bootstrap(*texts, [row["reference"] for row in rows])
        assert facts["against_dense"] == {name: asdict(each) for name, each in expected.items()}
        for name in MEASURES:
            assert facts["against_dense"][name]["value"] == pytest.approx(facts["scores"][name] - dense_facts["scores"][name])
        journaled = next(what for what in of(RoundFinished, events) if what.round == number)
        assert journaled.against_dense == expected
    assert [what.round for what in of(Pruned, events)] == [1, 2, 3]
    assert [what.to for what in of(Rewound, events)] == ["pretrained"] * 3
    assert isinstance(events[-1].what, RunFinished)
    scores = [what.scores for what in of(RoundFinished, events)]
    assert scores == [what.scores for what in of(Evaluated, events)]


def test_round_0_is_scored_with_its_encoder_off(make: Make) -> None:
    paths = make(pruning={"rounds": 1}, picker={"rule": "best-no-stop", "every": 4})
    events = run(paths)
    (measured,) = of(EncoderOffMeasured, events)
    model, reader = load_model(paths.round(0)), load_reader(paths.round(0))
    settings = load_recipe(paths.recipe).evaluation
    dense = evaluate_model(str(paths.round(0)), DEMO, settings, source_length=48, target_length=24, device="cpu", threads=1)
    encoded = load_for_evaluation(str(paths.round(0)), DEMO, settings, source_length=48, target_length=24, device="cpu")[2]
    sources = torch.tensor([encoded.sources[0]])
    with without_encoder(model):  # the same rows, decoded here from what the decoder reads
        assert torch.equal(model.eval().encode(sources).states, model.encoder.embeddings(sources))
        off = [text for source in encoded.sources for text in decode_texts(model, reader, [source], Search(2, 12)).texts]
    expected = significance.paired_bootstrap(dense.predictions, off, [row.target for row in encoded.rows])
    for name, difference in expected.items():
        assert asdict(measured.dense_less[name]) == pytest.approx(asdict(difference), abs=1e-9)
    assert measured.scores == as_event(metrics.score(off, [row.target for row in encoded.rows]).scores)
    facts = [json.loads((paths.round(number) / "metrics.json").read_text()) for number in (0, 1)]
    assert facts[0]["encoder_off"]["scores"] == measured.scores.facts()
    assert facts[0]["encoder_off"]["dense_less"] == {name: asdict(each) for name, each in measured.dense_less.items()}
    assert facts[0]["encoder_off"]["signature"] == measured.signatures["encoder_off"]
    assert "encoder_off" not in facts[1]
    assert (measured.round, measured.rows, measured.step) == (0, 8, facts[0]["picked_step"])
    without = [what for what in of(Evaluating, events) if what.encoder_off]
    assert [what.round for what in without] == [0] * len(without)
    assert without[-1].done == 8
    kinds = [type(event.what) for event in events]
    assert kinds.index(EncoderOffMeasured) < kinds.index(RoundFinished)


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_measuring_with_the_encoder_off_obeys(make: Make, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    whole, paths = (make(name, pruning={"rounds": 1}, evaluation={"batch_size": 2}) for name in ("whole", "cut"))
    run(whole)
    original = JournalWriter.append

    def append(self: JournalWriter, what: Happening) -> Event:
        event = original(self, what)
        if isinstance(what, Evaluating) and what.encoder_off and what.done == 4:
            append_command(paths.commands, {"command": command})
        if isinstance(what, Paused):
            append_command(paths.commands, {"command": "resume"})
        return event

    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "append", append)
        events = run(paths)
    at = next(place for place, event in enumerate(events) if isinstance(event.what, Evaluating) and event.what.encoder_off)
    later = [type(event.what) for event in events[at:]]
    assert later.index(Stopped if command == "stop" else Paused) < 5  # within a batch
    if command == "stop":
        assert EncoderOffMeasured not in later
        assert paths.finished_rounds() == []
        events = run(paths)
    figures = [json.loads((each.round(0) / "metrics.json").read_text())["encoder_off"] for each in (whole, paths)]
    assert figures[0] == figures[1]
    for number in (0, 1):
        assert weights(paths, number).keys() == weights(whole, number).keys()
        assert all(torch.equal(weight, weights(whole, number)[name]) for name, weight in weights(paths, number).items())


def test_a_round_leaves_nothing_of_its_optimizer_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[list[object]] = []
    trainers: list[weakref.ref[Trainer]] = []

    class Watched(Trainer):
        def __init__(self, *arguments: Any) -> None:
            before.append([trainer for trainer in trainers if trainer() is not None])
            super().__init__(*arguments)
            trainers.append(weakref.ref(self))

    monkeypatch.setattr(lottery, "Trainer", Watched)
    run(make(pruning={"rounds": 2}, training={"steps": 2}))
    assert before == [[], [], []]


def test_a_worker_on_the_cpu_gives_way_to_the_app(make: Make) -> None:
    paths = make(pruning={"rounds": 1}, training={"steps": 1})
    niceness = "import os, sys; from core import worker; worker.main(sys.argv[1:]); print(os.getpriority(os.PRIO_PROCESS, 0))"
    result = subprocess.run([sys.executable, "-P", "-c", niceness, str(paths.root)], capture_output=True, text=True, check=True)
    assert int(result.stdout.split()[-1]) == max(worker.NICENESS, os.getpriority(os.PRIO_PROCESS, 0))


def test_every_round_measures_every_matrix(make: Make) -> None:
    paths = make(pruning={"rounds": 2, "prunable": "all"})
    events = run(paths)
    for number in range(3):
        masks = load_masks(paths.round(number) / "masks.safetensors")
        measured = {what.parameter: what for what in of(MatrixMeasured, events) if what.round == number}
        assert list(measured) == list(masks)
        for name, mask in masks.items():
            weight, figures = weights(paths, number)[name], measured[name]
            assert (figures.rows, figures.columns, figures.kept) == (*mask.shape, int(mask.sum()))
            assert figures.magnitude == pytest.approx(float(weight[mask].abs().mean()), rel=1e-4)
            if number == 0:
                assert (figures.overlap, figures.change) == (None, None)
            else:
                before, old = load_masks(paths.round(number - 1) / "masks.safetensors")[name], weights(paths, number - 1)[name]
                assert figures.overlap == pytest.approx(int(mask.sum()) / int(before.sum()), rel=1e-5)
                assert figures.change == pytest.approx(float((weight - old)[mask].norm() / old[mask].norm()), rel=1e-4)
        assert measured["encoder.encoder.layer.0.attention.self.query.weight"].heads == 2
        # The figures of a round are in the journal before the round is on disk: a kill in between loses none.
        places = [(type(event.what), getattr(event.what, "round", -1)) for event in events]
        assert max(i for i, place in enumerate(places) if place == (MatrixMeasured, number)) < places.index(
            (RoundFinished, number)
        )
        facts = json.loads((paths.round(number) / "metrics.json").read_text())
        assert facts["size_bytes"] == next(what.size_bytes for what in of(RoundFinished, events) if what.round == number)


def test_a_layer_that_collapses_raises_a_warning(make: Make) -> None:
    paths = make(pruning={"rounds": 1, "final_sparsity": 0.99, "scope": "layerwise", "prunable": "encoder-attention"})
    events = run(paths)
    masks = load_masks(paths.round(1) / "masks.safetensors")
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    rows = int((~masks[name].any(dim=1)).sum())
    assert rows > 0
    (warning,) = [what.message for what in of(Warned, events)]
    assert warning.startswith("Round 1: nothing is left of ")
    assert f"{rows} rows of {name}" in warning
    assert warning.endswith("and of 5 more matrices.")


def test_without_the_round_befores_weights_there_is_only_no_change(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Loop.run

    def train_then_lose(self: Loop) -> None:
        original(self)
        if self.stage.number == 1:
            for name in ("model.safetensors", "masks.safetensors"):
                (paths.round(0) / name).unlink()

    monkeypatch.setattr(Loop, "run", train_then_lose)
    paths = make(pruning={"rounds": 1})
    events = run(paths)
    measured = [what for what in of(MatrixMeasured, events) if what.round == 1]
    assert len(measured) == 13
    assert {(what.change, what.overlap) for what in measured} == {(None, None)}
    assert all(what.magnitude for what in measured)


def test_a_rewound_weight_starts_from_its_first_value(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the weights that the first step of a pruned round sees."""
    seen: list[dict[str, torch.Tensor]] = []
    original = Loop.run

    def look(self: Loop) -> None:
        seen.append({name: weight.detach().clone() for name, weight in self.trainer.model.named_parameters()})
        original(self)

    monkeypatch.setattr(Loop, "run", look)
    paths = make()
    run(paths)
    masks = load_masks(paths.round(2) / "masks.safetensors")
    for name, weight in seen[2].items():
        mask = masks.get(name, torch.ones_like(weight, dtype=torch.bool))
        assert torch.equal(weight, seen[0][name] * mask), name
    assert not torch.equal(weights(paths, 0)["decoder.layers.0.linear1.weight"], seen[2]["decoder.layers.0.linear1.weight"])


def test_late_rewinding_goes_back_to_step_k(make: Make) -> None:
    paths = make(rewind={"to": "step:5"}, pruning={"rounds": 1})
    run(paths)
    short = make("short", rewind={"to": "pretrained"}, pruning={"rounds": 0}, training={"steps": 5, "warmup": "constant"})
    run(short)
    kept = load_file(paths.rewind)
    assert not torch.equal(kept["decoder.layers.0.linear1.weight"], load_file(short.rewind)["decoder.layers.0.linear1.weight"])
    same = make("same", rewind={"to": "step:5"}, pruning={"rounds": 1}, training={"warmup": "constant"})
    run(same)
    after = load_file(same.rewind)
    assert all(torch.equal(tensor, after[name]) for name, tensor in weights(short, 0).items())


def test_without_rewind_training_goes_on_from_the_picked_weights(make: Make) -> None:
    paths = make(
        rewind={"to": "none"},
        pruning={"rounds": 1, "order": "train-first"},
        training={"learning_rate": 1e-12, "weight_decay": 0.0},
    )
    events = run(paths)
    assert of(Rewound, events) == []
    masks = load_masks(paths.round(1) / "masks.safetensors")
    dense, pruned = weights(paths, 0), weights(paths, 1)
    assert all(torch.allclose(pruned[name], dense[name] * mask, atol=1e-8) for name, mask in masks.items())


def test_prune_first_takes_the_finetuned_model_as_round_0(make: Make) -> None:
    first = make("first", pruning={"rounds": 0})
    run(first)
    paths = make("second", model={"path": str(first.round(0))}, rewind={"to": "finetuned"}, pruning={"rounds": 2})
    events = run(paths)
    start = weights(first, 0)
    assert all(torch.equal(tensor, start[name]) for name, tensor in weights(paths, 0).items())
    assert of(RoundFinished, events)[0].steps == 0
    assert of(RoundFinished, events)[0].scores == of(RoundFinished, read_journal(first.journal))[0].scores
    masks = load_masks(paths.round(1) / "masks.safetensors")
    for name, mask in masks.items():  # pruned by the fine-tuned magnitudes
        assert start[name][~mask].abs().max() <= start[name][mask].abs().min()


def test_what_was_pruned_before_the_run_stays_pruned(make: Make) -> None:
    first = make("first", pruning={"rounds": 1, "final_sparsity": 0.4, "prunable": "decoder"})
    run(first)
    paths = make(
        "second", model={"path": str(first.round(1))}, pruning={"rounds": 1, "final_sparsity": 0.5, "prunable": "encoder"}
    )
    events = run(paths)
    old = load_masks(first.round(1) / "masks.safetensors")
    assert len(old) == 4
    assert [what.round for what in of(Pruned, events)] == [0, 1]
    for number in (0, 1):
        masks = load_masks(paths.round(number) / "masks.safetensors")
        kept_weights = weights(paths, number)
        for name, mask in old.items():
            assert torch.equal(masks[name], mask)
            assert not kept_weights[name][~mask].any()
    assert sum(not bool(mask.all()) for mask in masks.values()) == 4 + 13


def test_prune_first_needs_a_finetuned_model(make: Make) -> None:
    first = make("first", pruning={"rounds": 0}, training={"steps": 1})
    run(first)
    from core.model import load_model, save_model

    save_model(load_model(first.round(0)), None, first.root / "encoder", decoder=False)
    encoder = {"path": str(first.root / "encoder"), "decoder_layers": 1}
    for order, wish in (("auto", "prunes first"), ("train-first", 'rewinds to "finetuned"')):
        paths = make(order, model=encoder, rewind={"to": "finetuned"}, pruning={"order": order})
        assert worker.main([str(paths.root)]) == ModelError.exit_code
        failed = read_journal(paths.journal)[-1].what
        assert isinstance(failed, Failed)
        assert f"has no trained decoder, but this recipe {wish}, which needs a fine-tuned model." in failed.problem
        assert 'Fine-tune it first, or set rewind.to = "pretrained"' in failed.fix


@pytest.mark.parametrize(("rule", "expected"), [("best", "best of"), ("best-no-stop", "best of"), ("last", "last step")])
def test_the_picked_weights_are_those_of_the_picked_step(make: Make, rule: str, expected: str) -> None:
    paths = make(picker={"rule": rule, "every": 3}, pruning={"rounds": 1})
    events = run(paths)
    for number, picked in enumerate(of(Picked, events)):
        assert expected in picked.reason
        measured = {what.step: what.scores.bleu for what in of(Evaluated, events) if what.round == number}
        facts = json.loads((paths.round(number) / "metrics.json").read_text())
        assert facts["picked_step"] == picked.step
        assert facts["scores"]["bleu"] == measured[picked.step]
        if rule != "last":
            assert facts["scores"]["bleu"] == max(measured.values())


@pytest.mark.parametrize(
    ("rule", "last_step", "picked", "reason"),
    [
        ("best", 12, 6, "stopped early, best of 4 measurements"),
        ("last", 12, 12, "stopped early, last step"),
        ("best-no-stop", 18, 15, "best of 6 measurements"),
    ],
)
def test_fine_tuning_stops_early_and_keeps_the_best_weights(
    make: Make, monkeypatch: pytest.MonkeyPatch, rule: str, last_step: int, picked: int, reason: str
) -> None:
    """BLEU on the validation rows goes as told; what is on disk afterwards are the weights of the picked step."""
    from core.evaluate import evaluate as evaluation
    from core.train import scoring
    from core.train.checkpoint import views_of

    bleus = iter([5.0, 8.0, 6.0, 4.0, 9.0, 7.0])
    seen: dict[int, dict[str, torch.Tensor]] = {}
    measure, measured = scoring.CommentScores.measure, evaluation.evaluate

    def evaluate(*arguments: Any) -> evaluation.Evaluation:
        measurement = measured(*arguments)
        scores = replace(measurement.result.scores, bleu=next(bleus, 0.0))  # the picked weights are measured once more
        return replace(measurement, result=replace(measurement.result, scores=scores))

    def look(self: scoring.CommentScores, step: int, save: Callable[[], None]) -> bool:
        best = measure(self, step, save)
        seen[step] = {name: weight.clone() for name, weight in views_of(self._material.model).items()}
        return best

    monkeypatch.setattr(scoring, "evaluate", evaluate)
    monkeypatch.setattr(scoring.CommentScores, "measure", look)
    paths = make(picker={"rule": rule, "every": 3}, training={"steps": 18}, kind="finetune")
    events = run(paths)
    facts = json.loads((paths.round(0) / "metrics.json").read_text())
    assert (facts["steps"], facts["picked_step"], facts["picked_because"]) == (last_step, picked, reason)
    assert list(seen) == list(range(3, last_step + 1, 3))
    assert [what.bleu for what in of(Picked, events)] == [{6: 8.0, 12: 4.0, 15: 9.0}[picked]]
    kept = weights(paths, 0)
    assert all(torch.equal(kept[name], weight) for name, weight in seen[picked].items())
    assert not torch.equal(kept["decoder.layers.0.linear1.weight"], seen[3]["decoder.layers.0.linear1.weight"])
    assert paths.finished_rounds() == [0]  # the recipe's three pruning rounds are no part of a fine-tuning
    assert of(Pruned, events) == []
    assert isinstance(events[-1].what, RunFinished)


def test_fine_tuning_trains_whatever_the_pruning_would_begin_with(make: Make) -> None:
    paths = make(rewind={"to": "finetuned"}, data={"train_rows": 40}, training={"steps": 2}, kind="finetune")
    recipe = paths.recipe.read_text()
    first = make("first", data={"train_rows": 40}, training={"steps": 1}, kind="finetune")
    run(first)
    paths.recipe.write_text(recipe.replace('path = "new"', f'path = "{first.round(0)}"'))
    run(paths)
    assert json.loads((paths.round(0) / "metrics.json").read_text())["steps"] == 2


def test_evaluate_model_gives_a_rounds_own_score(make: Make) -> None:
    paths = make(pruning={"rounds": 1})
    run(paths)
    facts = json.loads((paths.round(1) / "metrics.json").read_text())
    recipe = Evaluation(rows=8, beam=2, max_length=12)
    evaluation = evaluate_model(str(paths.round(1)), DEMO, recipe, source_length=48, target_length=24, device="cpu", threads=1)
    assert evaluation.result.scores.bleu == facts["scores"]["bleu"]
    assert evaluation.result.scores.chrf == facts["scores"]["chrf"]
    comments = comment_methods(str(paths.round(1)), methods("def a\n 1\nend\ndef b(x)\n x\nend\n"), Search(2, 6), device="cpu")
    assert len(comments) == 2


def test_a_round_is_pruned_deeper_with_global_scope_where_weights_are_small(make: Make) -> None:
    paths = make(pruning={"rounds": 1, "scope": "global", "final_sparsity": 0.5})
    run(paths)
    masks = load_masks(paths.round(1) / "masks.safetensors")
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.5 * total)
    shares = {round(1 - float(mask.float().mean()), 3) for mask in masks.values()}
    assert len(shares) > 1


class Scripted:
    """A control file that somebody writes to at given events."""

    def __init__(self, paths: RunPaths, script: dict[tuple[str, int], str]) -> None:
        self.paths, self.script, self.events = paths, dict(script), []
        self.seen: dict[str, int] = {}

    def emit(self, what: Happening) -> Event:
        self.events.append(what)
        self.seen[what.event] = self.seen.get(what.event, 0) + 1
        command = self.script.pop((what.event, self.seen[what.event]), None)
        if command:
            append_command(self.paths.commands, json.loads(command))
        return Event(len(self.events), 0.0, what)


def scripted(paths: RunPaths, script: dict[tuple[str, int], str]) -> tuple[Scripted, Session]:
    writer = Scripted(paths, script)
    control = Control(paths.commands, 0, lambda words: None, lambda problem: None)
    ticks = iter(range(10**6))  # every step is a second later than the last, so that each is reported
    clock = WorkClock(lambda: float(next(ticks)))
    return writer, Session(paths, load_recipe(paths.recipe), writer.emit, control, make_accelerator("cpu", "fp32", 1), clock)


def test_a_pause_lands_within_one_step_and_resumes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.train import session as session_module
    from core.train.lottery import run_lottery

    paths = make(pruning={"rounds": 1})
    writer, session = scripted(paths, {("step", 4): '{"command":"pause"}', ("paused", 1): '{"command":"resume"}'})
    monkeypatch.setattr(session_module, "PAUSE_POLL_S", 0.0)
    run_lottery(session, prepare(session))
    kinds = [type(what) for what in writer.events]
    paused = next(what for what in writer.events if isinstance(what, Paused))
    assert (paused.round, paused.step) == (0, 4)
    assert kinds[kinds.index(Paused) + 1] is Resumed
    reference = make("reference", pruning={"rounds": 1})
    run(reference)
    assert (paths.round(1) / "model.safetensors").read_bytes() == (reference.round(1) / "model.safetensors").read_bytes()


def test_a_stop_inside_an_evaluation_lands_within_one_batch(make: Make) -> None:
    from core.train.lottery import run_lottery

    paths = make(evaluation={"batch_size": 2}, pruning={"rounds": 1})
    writer, session = scripted(paths, {("evaluating", 2): '{"command":"stop"}'})
    with pytest.raises(StopRequested, match="stop"):
        run_lottery(session, prepare(session))
    assert type(writer.events[-1]).__name__ == "Evaluating"
    assert writer.events[-1].done == 4
    assert paths.finished_rounds() == []
    run(paths)
    assert paths.finished_rounds() == [0, 1]


def test_pause_after_rounds_pauses_between_rounds(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.train import session as session_module
    from core.train.lottery import run_lottery

    paths = make(pruning={"rounds": 2})
    script = {("round_started", 1): '{"command":"pause-after","rounds":2}', ("paused", 1): '{"command":"stop"}'}
    writer, session = scripted(paths, script)
    monkeypatch.setattr(session_module, "PAUSE_POLL_S", 0.0)
    with pytest.raises(StopRequested):
        run_lottery(session, prepare(session))
    assert paths.finished_rounds() == [0, 1]
    assert isinstance(writer.events[-1], Paused)


RESUME = '{"command":"resume"}'


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("lottery", {("step", 4): '{"command":"pause"}', ("paused", 1): RESUME}),
        ("lottery", {("evaluating", 2): '{"command":"pause"}', ("paused", 1): RESUME}),
        ("lottery", {("round_started", 1): '{"command":"pause-after","rounds":1}', ("paused", 1): RESUME}),
        ("finetune", {("step", 4): '{"command":"pause"}', ("paused", 1): RESUME}),
        ("pretrain", {("step", 4): '{"command":"pause"}', ("paused", 1): RESUME}),
    ],
)
def test_no_seconds_hold_a_pause(
    make: Make, monkeypatch: pytest.MonkeyPatch, kind: str, script: dict[tuple[str, int], str]
) -> None:
    """A pause of a million seconds, in training, in an evaluation and between rounds."""
    from core.train import session as session_module

    paths = make(kind=kind, pruning={"rounds": 1}, evaluation={"batch_size": 2})
    writer, session = scripted(paths, script)
    asleep = [0.0]
    source = session.clock.source
    session.clock.source = lambda: source() + asleep[0]
    original = session_module.time.sleep

    def sleep(seconds: float) -> None:
        if seconds == session_module.PAUSE_POLL_S:
            asleep[0] += 1e6
        else:
            original(seconds)

    monkeypatch.setattr(session_module.time, "sleep", sleep)
    monkeypatch.setattr(session_module, "PAUSE_POLL_S", 0.125)
    work(session)
    assert asleep[0] >= 1e6
    assert [type(what) for what in writer.events].count(Resumed) == 1
    seconds = [what.seconds for what in writer.events if isinstance(what, RoundFinished | Evaluated | Validated)]
    assert len(seconds) >= 2
    assert all(0 < each < 10_000 for each in seconds)
    assert all(what.examples_per_second > 0.01 for what in writer.events if isinstance(what, Step))
    for number in paths.finished_rounds():
        assert 0 < json.loads((paths.round(number) / "metrics.json").read_text())["seconds"] < 10_000


@pytest.mark.parametrize("kind", ["lottery", "pretrain"])
def test_seconds_go_on_after_a_stop_and_leave_out_what_was_lost_between(make: Make, kind: str) -> None:
    paths = make(kind=kind, pruning={"rounds": 0}, training={"checkpoint_every": 2})
    _, session = scripted(paths, {("step", 8): '{"command":"stop"}'})
    with pytest.raises(StopRequested):
        work(session)
    before = load_checkpoint(paths.resume)
    assert before is not None
    assert before.facts["seconds"] >= 8.0
    paths.commands.unlink()
    writer, session = scripted(paths, {})
    work(session)
    (finished,) = (what for what in writer.events if isinstance(what, RoundFinished))
    assert before.facts["seconds"] + 4.0 <= finished.seconds < 3 * before.facts["seconds"]


def work(session: Session) -> None:
    """As the worker does it."""
    from core.train.lottery import run_lottery
    from core.train.pretrain import run_pretraining

    material = prepare(session)
    if session.recipe.kind == "pretrain":
        run_pretraining(session, material)
    else:
        run_lottery(session, material)


def test_errors_before_the_first_round_are_told_in_the_journal(make: Make) -> None:
    cases = {
        "no-model": ({"model": {"path": "/nowhere/model"}}, 5, "/nowhere/model"),
        "no-data": ({"data": {"path": "/nowhere/data"}}, 4, "/nowhere/data"),
        "too-long": ({"evaluation": {"max_length": 500}}, 5, "evaluation.max_length = 500, but this model has positions for 256"),
        "batch": ({"data": {"train_rows": 4}}, 4, "batch"),
    }
    for name, (sections, code, text) in cases.items():
        paths = make(name, **sections)
        assert worker.main([str(paths.root)]) == code, name
        failed = read_journal(paths.journal)[-1].what
        assert isinstance(failed, Failed)
        assert text in failed.problem
        assert failed.fix


def test_a_length_penalty_stands_in_what_a_round_says_of_its_scores(make: Make) -> None:
    paths = make(kind="finetune", evaluation={"length_penalty": 1.0})
    run(paths)
    facts = json.loads((paths.round(0) / "metrics.json").read_text())
    assert facts["signatures"]["decoding"] == "beam:2|max_length:12|length_penalty:1"
    assert facts["decoding"]["length_penalty"] == 1.0
    settings = Evaluation(rows=8, beam=2, max_length=12, length_penalty=1.0)
    again = evaluate_model(str(paths.round(0)), DEMO, settings, source_length=48, target_length=24, device="cpu", threads=1)
    assert again.signatures == facts["signatures"]
    assert again.result.scores.bleu == facts["scores"]["bleu"]
