"""A teacher: its loss against the formula by hand, layers matched, and runs that end with the same bits however often killed."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_lottery import new_run, weights
from test_model import SOURCES, TARGETS, small_model
from test_resume import figures, outcome
from test_shrink import every, masked, without
from workers import run as work

from codeprune_tui.runs.client import anchored
from core.data import Batch
from core.errors import RecipeError
from core.families.config import PAD
from core.families.roberta import CodeToText
from core.recipe import Recipe, build_recipe
from core.run.events import Failed
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.train.teacher import Teacher

NONE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "decoder_dropout": 0.0}
BATCH = Batch(SOURCES, TARGETS, (0, 1, 2), None, 0)
MINI = str(Path(__file__).parent.parent / "checkpoints" / "bundled" / "ruby-mini")
TAUGHT: dict[str, dict[str, object]] = {"pruning": {"rounds": 2, "final_sparsity": 0.6}, "training": {"teacher": "dense"}}


def layer_states(model: CodeToText) -> dict[str, list[torch.Tensor]]:
    """States after every layer, computed layer by layer."""
    mask, states = (SOURCES != PAD)[:, None, None], [model.encoder.embeddings(SOURCES)]
    for layer in model.encoder.encoder.layer:
        states += [layer(states[-1], mask)]
    written = [model.encoder.embeddings(TARGETS[:, :-1])]
    for block in model.decoder.layers:
        written += [block(written[-1], states[-1], mask)]
    return {"encoder": states[1:], "decoder": written[1:]}


def distance(ours: torch.Tensor, theirs: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return (ours - theirs)[real].square().mean()


REAL = {"encoder": SOURCES != PAD, "decoder": TARGETS[:, :-1] != PAD}


@torch.no_grad()
def test_the_loss_is_the_formulas() -> None:
    student, teacher = small_model(0, **NONE), small_model(1, **NONE)
    loss = Teacher(teacher, weight=0.3, temperature=2.5, states=0.7).loss(student, BATCH, 0.1)
    (logits, following), (taught, _) = (model.target_logits(SOURCES, TARGETS) for model in (student, teacher))
    own = F.cross_entropy(logits, following, label_smoothing=0.1)
    p, q = (torch.softmax(each / 2.5, -1) for each in (taught, logits))
    divergence = (p * (p.log() - q.log())).sum(-1).mean()
    ours, theirs = layer_states(student), layer_states(teacher)
    pairs = [distance(a, b, REAL[part]) for part in ours for a, b in zip(ours[part], theirs[part], strict=True)]
    expected = 0.7 * own + 0.3 * 2.5**2 * divergence + 0.7 * torch.stack(pairs).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_a_model_is_its_own_best_student() -> None:
    model = small_model(0, **NONE)
    plain = float(model(SOURCES, TARGETS))
    assert float(Teacher(model, 0.5, 2.0, 1.0).loss(model, BATCH, 0.0)) == pytest.approx(0.5 * plain, rel=1e-5)


def test_only_the_student_gets_gradients() -> None:
    student, teacher = small_model(0, **NONE), small_model(1, **NONE).requires_grad_(False)
    Teacher(teacher, 1.0, 2.0, 1.0).loss(student, BATCH, 0.0).backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert student.encoder.encoder.layer[0].output.dense.weight.grad is not None
    assert not any(module._forward_hooks for model in (student, teacher) for module in model.modules())


@torch.no_grad()
def test_a_removed_layers_teacher_teaches_the_nearest_one() -> None:
    student, teacher = small_model(0, **NONE), small_model(1, **NONE)
    masked(student, without(student, every(student, "encoder 0")))
    difference = Teacher(teacher, 0.0, 1.0, 1.0, frozenset({"encoder 0"})).loss(student, BATCH, 0.0) - student(SOURCES, TARGETS)
    ours, theirs = layer_states(student), layer_states(teacher)
    pairs = [distance(ours["encoder"][1], theirs["encoder"][number], REAL["encoder"]) for number in (1, 0)]
    pairs += [distance(a, b, REAL["decoder"]) for a, b in zip(ours["decoder"], theirs["decoder"], strict=True)]
    assert float(difference) == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-4)


@torch.no_grad()
def test_layers_of_a_deeper_teacher_are_matched_by_depth() -> None:
    student, teacher = small_model(0, **NONE), small_model(1, num_hidden_layers=4, **NONE)
    difference = Teacher(teacher, 0.0, 1.0, 1.0).loss(student, BATCH, 0.0) - student(SOURCES, TARGETS)
    ours, theirs = layer_states(student), layer_states(teacher)
    pairs = [distance(ours["encoder"][number], theirs["encoder"][other], REAL["encoder"]) for number, other in ((0, 1), (1, 3))]
    pairs += [distance(a, b, REAL["decoder"]) for a, b in zip(ours["decoder"], theirs["decoder"], strict=True)]
    assert float(difference) == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-4)


def problem_of(paths: RunPaths) -> str:
    """Why a run failed."""
    failed = [event.what for event in read_journal(paths.journal) if isinstance(event.what, Failed)]
    return failed[-1].problem


def test_killed_and_resumed_equals_uninterrupted_and_the_teacher_counts(tmp_path: Path) -> None:
    whole, killed = (new_run(tmp_path, name, **TAUGHT) for name in ("whole", "killed"))
    alone = new_run(tmp_path, "alone", pruning=TAUGHT["pruning"])
    die = {"call": "core.train.trainer:apply_masks", "nth": 20, "when": "before"}
    assert work([{"run": str(whole.root)}, {"run": str(alone.root)}]) == [0, 0]
    assert work([{"run": str(killed.root), "die": die}, {"run": str(killed.root)}]) == [-9, 0]
    assert {**outcome(killed.root), "figures": figures(killed.root)} == {**outcome(whole.root), "figures": figures(whole.root)}
    taught, untaught = ([weights(paths, number) for number in (0, 1)] for paths in (whole, alone))
    assert all(torch.equal(weight, untaught[0][name]) for name, weight in taught[0].items()), "round 0 is taught by none"
    assert any(not torch.equal(weight, untaught[1][name]) for name, weight in taught[1].items())
    recorded = json.loads(whole.meta.read_text())["teacher"]
    assert recorded["model.safetensors"] == hashlib.sha256((whole.round(0) / "model.safetensors").read_bytes()).hexdigest()


def test_a_teacher_that_changes_or_reads_otherwise_is_refused(tmp_path: Path) -> None:
    teacher = new_run(tmp_path, "teacher", pruning={"rounds": 1})
    assert work([{"run": str(teacher.root)}]) == [0]
    taught = new_run(tmp_path, "taught", training={"teacher": str(teacher.round(1))})
    assert work([{"run": str(taught.root), "die": {"event": "round_finished", "nth": 1, "when": "after"}}]) == [-9]
    (teacher.round(1) / "model.safetensors").write_bytes((teacher.round(0) / "model.safetensors").read_bytes())
    assert work([{"run": str(taught.root)}]) == [5]
    assert "has changed since taught began" in problem_of(taught)
    other = new_run(tmp_path, "other", training={"teacher": MINI})
    assert work([{"run": str(other.root)}]) == [5]
    assert "reads text in other tokens" in problem_of(other)


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"kind": "pretrain", "training": {"teacher": "dense"}}, "teaches comments, which a pre-training does not write"),
        ({"kind": "finetune", "training": {"teacher": "dense"}}, "teaches rounds after round 0"),
        ({"training": {"teacher": "dense", "compile": True}}, "cannot compile a step with a teacher"),
        ({"training": {"teacher": "dense", "teacher_weight": 0, "teacher_states": 0}}, "leave the teacher nothing to teach"),
    ],
)
def test_recipes_that_cannot_be(sections: dict[str, object], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe(sections)
    assert problem in caught.value.problem


def test_a_folder_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert anchored(build_recipe({"training": {"teacher": "mine"}})).training.teacher == str(tmp_path / "mine")
    assert anchored(build_recipe({"training": {"teacher": "dense"}})).training.teacher == "dense"
    assert anchored(Recipe()).training.teacher == ""
