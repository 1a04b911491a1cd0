"""The training loop takes any objective, and a resume point holds all that the rest of a training depends on, masks included.

Distillation and masks that grow inside a training are not part of the engine; here each is added as one objective, no more.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_lottery import Make, make, new_run, run, weights  # noqa: F401 - a fixture
from torch import Tensor

from core import worker
from core.compress.criteria import CRITERIA
from core.compress.masks import Masks, from_bits, keep, load_masks, prunable, sparsity_of, to_bits
from core.data import Batch
from core.errors import RunError
from core.families.roberta import CodeToText
from core.model import load_model
from core.run.events import CheckpointSaved, Failed
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.train import lottery, masking
from core.train.checkpoint import load_checkpoint
from core.train.loop import Loop
from core.train.objectives import WriteComments
from core.train.session import Session
from core.train.trainer import Trainer, stored_masks

SHORT = {"pruning": {"rounds": 1, "scope": "global"}, "training": {"steps": 8, "checkpoint_every": 3}}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPaths, RunPaths]:
    """The same run twice: in one go, and stopped after step 5 of round 1; neither may be changed."""
    whole, parts = (new_run(tmp_path_factory.mktemp(name), name, **SHORT) for name in ("whole", "parts"))
    run(whole)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(parts, patch, 1, 5)
    return whole, parts


@pytest.fixture
def whole(plain: tuple[RunPaths, RunPaths]) -> RunPaths:
    return plain[0]


@pytest.fixture
def parts(plain: tuple[RunPaths, RunPaths], tmp_path: Path) -> RunPaths:
    """A copy of the stopped run, to be changed and taken up again."""
    return RunPaths(Path(shutil.copytree(plain[1].root, tmp_path / "parts")))


def stop_at(paths: RunPaths, monkeypatch: pytest.MonkeyPatch, number: int, step: int) -> None:
    """Stops a run after a step of a round."""
    original = Session.breathe

    def breathe(self: Session, at: int, done: int, save: Callable[[], None]) -> None:
        if (at, done) == (number, step):
            self.control.stopping = "test"
        original(self, at, done, save)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "breathe", breathe)
        assert worker.main([str(paths.root)]) == 0
    assert paths.next_round == number


def same_rounds(one: RunPaths, other: RunPaths) -> None:
    assert one.finished_rounds() == other.finished_rounds() != []
    for number in one.finished_rounds():
        for name in ("model.safetensors", "masks.safetensors", "predictions.jsonl"):
            assert (one.round(number) / name).read_bytes() == (other.round(number) / name).read_bytes(), (number, name)


def use(monkeypatch: pytest.MonkeyPatch, objective: Callable[..., WriteComments]) -> None:
    monkeypatch.setattr(lottery, "WriteComments", objective)


@dataclass(frozen=True)
class Distil(WriteComments):
    """Half of the loss is how far the model's guesses are from a teacher's."""

    master: CodeToText | None = None

    def loss(self, batch: Batch) -> Tensor:
        assert self.master is not None
        guesses, _ = self.model.target_logits(batch.sources, batch.targets, batch.places)
        with torch.no_grad():
            taught, _ = self.master.target_logits(batch.sources, batch.targets, batch.places)
        far = F.kl_div(guesses.log_softmax(-1), taught.log_softmax(-1), log_target=True, reduction="batchmean")
        return 0.5 * super().loss(batch) + 0.5 * far


@dataclass(frozen=True)
class Gradual(WriteComments):
    """Prunes a little more after every other step, by what the weights are then."""

    def masks(self, step: int, masks: Masks) -> Masks:
        if step % 2:
            return masks
        weights = {name: weight.detach() for name, weight in prunable(self.model, "encoder").items()}
        old = {name: masks[name] for name in weights if name in masks}
        return masks | keep(weights, old, CRITERIA["magnitude"](0), "global", max(sparsity_of(old), step / 20))


def test_distillation_is_one_more_objective(make: Make, whole: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    teacher = load_model(whole.round(0)).eval()
    use(monkeypatch, lambda model, rows, smoothing, **other: Distil(model, rows, smoothing, teacher))
    taught, cut = make("taught", **SHORT), make("cut", **SHORT)
    run(taught)
    stop_at(cut, monkeypatch, 1, 5)
    run(cut)
    same_rounds(taught, cut)
    name = "decoder.layers.0.linear1.weight"
    assert not torch.equal(weights(taught, 1)[name], weights(whole, 1)[name])  # or the teacher taught nothing


def test_masks_that_grow_inside_a_training_are_one_more_objective(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    use(monkeypatch, Gradual)
    whole, parts = (make(name, **SHORT, rewind={"to": "none"}) for name in ("whole", "parts"))
    run(whole)
    dense, pruned = (load_masks(whole.round(number) / "masks.safetensors") for number in (0, 1))
    assert sparsity_of(dense) == pytest.approx(8 / 20, abs=1e-3)  # grown in round 0, which begins dense
    assert sparsity_of(pruned) == pytest.approx(0.9, abs=1e-3)
    for number, masks in enumerate((dense, pruned)):
        assert all(not weights(whole, number)[name][~mask].any() for name, mask in masks.items())
        assert json.loads((whole.round(number) / "metrics.json").read_text())["sparsity"] == sparsity_of(masks)
    stop_at(parts, monkeypatch, 0, 5)
    stop_at(parts, monkeypatch, 1, 4)
    run(parts)
    same_rounds(whole, parts)


def test_the_masks_of_a_resume_point_are_used_and_not_made_again(
    whole: RunPaths, parts: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint(parts.resume)
    assert checkpoint is not None
    stored = stored_masks(load_model(whole.round(1)), checkpoint.tensors)
    known = load_masks(whole.round(1) / "masks.safetensors")
    assert stored.keys() == known.keys()
    assert all(torch.equal(stored[name], mask) for name, mask in known.items())

    def never(*arguments: object) -> Masks:
        raise AssertionError("scores were measured again")

    monkeypatch.setattr(masking, "prune_model", never)
    run(parts)
    same_rounds(whole, parts)


def edit_checkpoint(paths: RunPaths, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
    file = paths.resume / "state.safetensors"
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        facts = json.loads(opened.metadata()["facts"])
    change(tensors, facts)
    save_file(tensors, file, metadata={"facts": json.dumps(facts)})


def without_masks(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith("mask/")]:
        del tensors[name]


def test_a_resume_point_of_an_older_version_has_no_masks_and_goes_on(whole: RunPaths, parts: RunPaths) -> None:
    edit_checkpoint(parts, without_masks)
    run(parts)
    same_rounds(whole, parts)


def test_a_pretraining_of_an_older_version_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    sections = {"training": {"steps": 8, "checkpoint_every": 3}, "picker": {"every": 4}}
    whole, parts = make("whole", "pretrain", **sections), make("parts", "pretrain", **sections)
    run(whole)
    stop_at(parts, monkeypatch, 0, 5)

    def only_what_it_knew(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        kept = {key: facts[key] for key in ("round", "step")}
        facts.clear()
        facts.update(kept)

    edit_checkpoint(parts, only_what_it_knew)
    run(parts)
    assert (parts.round(0) / "model.safetensors").read_bytes() == (whole.round(0) / "model.safetensors").read_bytes()


BROKEN: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], None]] = {
    "a mask that is cut off": lambda tensors, facts: tensors.update(
        {name: bits[:-1].clone() for name, bits in tensors.items() if name.startswith("mask/")}
    ),
    "a mask of nothing": lambda tensors, facts: tensors.update({"mask/nothing": torch.zeros(3, dtype=torch.uint8)}),
    "no step": lambda tensors, facts: facts.pop("step") and None,
    "measurements that are none": lambda tensors, facts: facts.update(measurements=[{"step": 1, "worth": 2}]),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_resume_point_that_cannot_be_is_refused(parts: RunPaths, broken: str) -> None:
    edit_checkpoint(parts, BROKEN[broken])
    assert worker.main([str(parts.root)]) == RunError.exit_code
    failed = read_journal(parts.journal)[-1].what
    assert isinstance(failed, Failed)
    assert failed.problem.startswith(f"{parts.resume} is missing or damaged: ")
    assert failed.fix == f"Delete {parts.resume} and resume: round 1 begins anew."


def test_all_of_a_loop_is_there_from_the_start(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    seen: list[tuple[set[str], set[str]]] = []
    original = Loop.run

    def look(self: Loop) -> None:
        before = set(vars(self)), set(vars(self.stage.examiner)), set(vars(self.trainer))
        original(self)
        after = set(vars(self)), set(vars(self.stage.examiner)), set(vars(self.trainer))
        assert before == after
        seen.append((before[0], after[0]))

    monkeypatch.setattr(Loop, "run", look)
    run(make("pruned", **SHORT, picker={"rule": "best-no-stop", "every": 4}))
    run(make("learned", "pretrain", training={"steps": 2}))
    assert len(seen) == 3


def test_every_measurement_is_followed_by_its_resume_point(make: Make) -> None:  # noqa: F811
    """A measurement takes long; killed right after it, a run must not make it again."""
    for kind in ("finetune", "pretrain"):
        events = [event.what for event in run(make(kind, kind, picker={"rule": "best-no-stop", "every": 5}))]
        saved = {what.step for what in events if isinstance(what, CheckpointSaved)}
        assert saved == {5, 10, 12}, kind


def test_rates_count_the_steps_before_a_measurement_and_not_its_time() -> None:
    """Where a measurement came more often than once a second, no step was ever journalled."""
    now, measured, since = [0.0], list[int](), list[float]()
    loop = Loop.__new__(Loop)
    loop._session, loop._reported = SimpleNamespace(clock=lambda: now[0]), 0.0  # type: ignore[assignment]

    def measure(step: int, save: Callable[[], None]) -> bool:
        measured.append(step)
        now[0] += 100
        return False

    def step() -> None:
        loop.trainer.step += 1
        now[0] += 0.75

    examiner = SimpleNamespace(due=lambda step: step not in (0, *measured), stops=False, measure=measure)
    loop.stage = SimpleNamespace(examiner=examiner, steps=3)  # type: ignore[assignment]
    loop.trainer = SimpleNamespace(step=0, check=lambda: None)  # type: ignore[assignment]
    loop.save = lambda **best: None  # type: ignore[method-assign]
    loop._step, loop._after_step = step, lambda: since.append(now[0] - loop._reported)  # type: ignore[method-assign]
    loop.run()
    assert measured == [1, 2, 3]
    assert since == [0.75, 1.5, 2.25]


def test_bits_are_the_masks_they_were_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 5), (8,), (1, 1), (2, 3, 7)):
        mask = torch.rand(shape, generator=generator) < 0.5
        bits = to_bits(mask)
        assert bits.shape == ((mask.numel() + 7) // 8,)
        assert torch.equal(from_bits(bits, shape), mask)
        with pytest.raises(ValueError, match="weights has"):
            from_bits(bits, (*shape, 9))


def test_a_trainer_holds_new_masks_at_once_and_in_its_state() -> None:
    from core.recipe import Training

    model = torch.nn.Linear(4, 4)
    ones = {"weight": torch.ones(4, 4, dtype=torch.bool)}
    fewer = {"weight": torch.eye(4, dtype=torch.bool)}
    accelerator: Any = SimpleNamespace(device=torch.device("cpu"))
    trainer = Trainer(model, lambda batch: torch.zeros(()), ones, Training(), 1, accelerator)
    assert stored_masks(model, trainer.state())["weight"].all()
    trainer.hold(fewer)
    assert trainer.masks["weight"] is fewer["weight"]
    assert not model.weight[~fewer["weight"]].any()
    assert torch.equal(stored_masks(model, trainer.state())["weight"], fewer["weight"])
