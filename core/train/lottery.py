"""The round loop: train, pick, prune, rewind.

    masks = keep(scores, masks, scope, sparsity)
    round = train(rewind(model), masks, picker)

Round 0 is dense. A later round is pruned from the weights that the round before it picked, then all weights go back to the
rewind point. Which round is next is read off the disk: rounds are complete there or absent, and `resume/` holds a point inside
the next one. So a run that is killed anywhere and started again ends with the same bits. A run without pruning rounds is a
fine-tuning. Follows the paper (see `docs/`); knows nothing of processes or screens.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..atomic import complete_or_absent
from ..compress import figures
from ..compress.criteria import CRITERIA
from ..compress.masks import Masks, apply_masks, collapsed, keep, load_masks, prunable, save_masks, sparsity_of
from ..data import BatchOrder, Encoded, collate
from ..errors import RunError
from ..evaluate.evaluate import Evaluation, Uncertainty, as_event, evaluate, measure_encoder_off, uncertainty, write_predictions
from ..families.config import PAD
from ..families.device import describe
from ..families.memory import give_back
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..model import save_model
from ..regularfile import check_regular
from ..run.encoder_off import SIGNATURE, EncoderOff
from ..run.events import (
    CheckpointSaved,
    EncoderOffMeasured,
    Evaluated,
    Evaluating,
    Picked,
    Pruned,
    Rewound,
    RoundFinished,
    RoundStarted,
    RunFinished,
    Scores,
    Step,
    Warned,
)
from ..score import metrics
from ..seeds import derive_seed
from ..spec import given
from ..spec.layout import is_prunable
from ..spec.schedule import sparsities
from . import leftovers
from .checkpoint import (
    BEST_FILE,
    Checkpoint,
    CheckpointWriter,
    load_checkpoint,
    load_tensors,
    one_tensor,
    save_tensors,
    set_weights,
    usable,
    weights_of,
)
from .picker import Measurement, Picker
from .session import STEP_EVENT_S, Session
from .trainer import Trainer

SAMPLES = 6
"""Validation methods whose comments every evaluation event carries."""


@dataclass(frozen=True)
class Material:
    """What the loop works on."""

    model: CodeToText
    """On its device; at the start of the run's weights."""
    reader: Reader
    train: Encoded
    held_out: Encoded
    """The rows that every evaluation scores."""
    floors: metrics.Floors
    """Of `held_out`."""
    masks: Masks = field(default_factory=dict)
    """What the model was pruned with before this run began; that stays pruned."""

    def counts(self) -> given.Counts:
        """How many weights of each matrix were pruned before this run began."""
        weights = {name: weight.numel() for name, weight in self.model.named_parameters()}
        pruned = {name: int((~mask).sum()) for name, mask in self.masks.items()}
        return {name: (pruned.get(name, 0), size) for name, size in weights.items() if name in pruned or is_prunable(name, "all")}


def run_lottery(session: Session, material: Material) -> None:
    """Does all rounds that are not done yet.

    Args:
        session: Journal, commands, recipe, folder.
        material: Model and data, the model with the weights that the run starts from.

    Raises:
        StopRequested: On command, a checkpoint is on disk.
        TrainingError: The loss is no finite number.
        RunError: The run was begun before, and what it left is missing or has changed.
    """
    if warning := leftovers.check_rounds(session.paths, session.recipe.rounds):
        session.emit(Warned(message=warning))
    first = session.paths.next_round
    checkpoint = load_checkpoint(session.paths.resume)
    if checkpoint is not None and checkpoint.facts.get("round") != first:
        checkpoint = None
    if checkpoint is None and (warning := leftovers.lost_checkpoint(session.paths, first)):
        session.emit(Warned(message=warning))
    rewind = _rewind_point(session, material, first, checkpoint)
    for number in range(first, session.recipe.rounds + 1):
        rewind = Round(session, material, number, rewind).run(checkpoint)
        checkpoint = None
        give_back()  # the optimizer's state is twice the model, and the next round makes its own
        session.control.round_ended()
        if number < session.recipe.rounds:
            session.breathe(number, session.recipe.training.steps, lambda: None)  # the round on disk is the checkpoint
    session.emit(RunFinished(rounds=session.recipe.rounds))


def _rewind_point(session: Session, material: Material, number: int, checkpoint: Checkpoint | None) -> str:
    """Makes sure of the weights that later rounds rewind to; returns the digest of their file.

    Args:
        session: The run.
        material: With the weights that the run starts from.
        number: The round that is next.
        checkpoint: The point inside it, if there is one.
    """
    paths, recipe = session.paths, session.recipe
    if number == 0 and checkpoint is None:
        save_tensors(paths.rewind, weights_of(material.model))
    if recipe.rounds == 0 or recipe.rewind.to == "none" or number > recipe.rounds:
        return ""
    step = checkpoint.facts.get("step") if checkpoint is not None else 0
    if number == 0 and isinstance(step, int) and step < (recipe.rewind_step or 0):
        return ""  # that step is yet to come
    recorded = checkpoint.facts.get("rewind") if checkpoint is not None else None
    recorded = recorded or (leftovers.recorded_digests(paths, number - 1).get(leftovers.REWIND) if number else None)
    leftovers.check_file(
        paths.rewind, str(recorded) if recorded else None, f'the weights that rounds rewind to ("{recipe.rewind.to}")'
    )
    return leftovers.digest(paths.rewind)


@dataclass
class Round:
    """One round of a run."""

    session: Session
    material: Material
    number: int
    rewind: str = ""
    """Digest of the weights that rounds rewind to; "" where nobody needs them, or they are not made yet."""
    masks: Masks = field(default_factory=dict)
    picker: Picker = field(init=False)
    trainer: Trainer = field(init=False)
    measured: tuple[int, Evaluation] | None = None
    """The newest measurement of this process and its step; not needed to resume."""
    _reported: float = 0.0
    _started: float = 0.0
    _seconds_before: float = 0.0
    _saved: tuple[int, int] | None = None
    """Step and number of measurements of the newest checkpoint, on disk or on its way there."""
    _writer: CheckpointWriter = field(init=False)

    def run(self, checkpoint: Checkpoint | None) -> str:
        """Does the round, or the rest of it, and puts it on disk; returns `rewind` as it is then."""
        recipe, session = self.session.recipe, self.session
        self._started = self._reported = session.clock()
        self.picker = Picker(recipe.picker)
        self._writer = CheckpointWriter(session.paths.resume, self._checkpoint_saved)
        if checkpoint is None:
            planned = given.reached(recipe, self.material.counts()) if self.material.masks else sparsities(recipe)
            session.emit(RoundStarted(round=self.number, sparsity=planned[self.number], steps=self._steps))
        self._prune(announce=checkpoint is None)
        self.trainer = self._make_trainer()
        if checkpoint is None:
            self._rewind()
            torch.manual_seed(derive_seed(recipe.training.seed, "dropout", self.number))
        else:
            with usable(session.paths.resume, f"Delete {session.paths.resume} and resume: round {self.number} begins anew."):
                self._load(checkpoint)
        self._train()
        self._finish()
        return self.rewind

    @property
    def _steps(self) -> int:
        recipe = self.session.recipe
        dense_is_given = recipe.kind == "lottery" and recipe.order == "prune-first" and self.number == 0
        return 0 if dense_is_given else recipe.training.steps

    def _prune(self, *, announce: bool) -> None:
        """Makes this round's masks from the weights that the last round picked; the same whenever it is asked."""
        if self.number == 0:
            self.masks = {name: mask.to(self.material.model.device) for name, mask in self.material.masks.items()}
            if self.masks and announce:
                self._announce_masks(0.0)
            return
        recipe, started = self.session.recipe, self.session.clock()
        model, before = self.material.model, self.session.paths.round(self.number - 1)
        with usable(before / "model.safetensors", f"Restore it; or delete {before} and resume, and that round is done again."):
            check_regular(before / "model.safetensors")
            set_weights(model, load_file(before / "model.safetensors"))
        weights = prunable(model, recipe.pruning.prunable)
        old = {name: mask.to(model.device) for name, mask in load_masks(before / "masks.safetensors").items()}
        criterion = CRITERIA[recipe.pruning.criterion](derive_seed(recipe.training.seed, "criterion", self.number))
        # Masks of matrices that this preset leaves alone, as a model pruned elsewhere may have, are kept as they are.
        self.masks = old | keep(weights, old, criterion, recipe.pruning.scope, sparsities(recipe)[self.number])
        if announce:
            self._announce_masks(self.session.clock() - started)
            if gone := figures.collapse(self.masks, old, self._heads.of):
                self.session.emit(Warned(message=f"Round {self.number}: nothing is left of {gone}."))

    @property
    def _heads(self) -> figures.Heads:
        config = self.material.model.config
        return figures.Heads(config.num_attention_heads, config.decoder_heads or config.num_attention_heads)

    def _announce_masks(self, seconds: float) -> None:
        matrices = {name: round(sparsity_of({name: mask}), 6) for name, mask in self._all_masks().items()}
        own = self._own_masks()
        kept, total, before = _kept(own), _size(own), sparsity_of(self.material.masks)
        pruned = Pruned(
            round=self.number,
            sparsity=sparsity_of(own),
            kept=kept,
            total=total,
            matrices=matrices,
            seconds=round(seconds, 3),
            before=before,
        )
        self.session.emit(pruned)
        if gone := collapsed(self.masks):
            self.session.emit(Warned(message=f"Round {self.number}: nothing is left of {', '.join(gone)}."))

    def _all_masks(self) -> Masks:
        """This round's masks, with ones for what the recipe prunes in later rounds."""
        weights = prunable(self.material.model, self.session.recipe.pruning.prunable)
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()} | self.masks

    def _own_masks(self) -> Masks:
        """Those of the weights that the recipe prunes; where it prunes none, those that the model came with."""
        recipe = self.session.recipe
        if recipe.rounds == 0:
            return self.masks
        return {name: mask for name, mask in self._all_masks().items() if is_prunable(name, recipe.pruning.prunable)}

    def _rewind(self) -> None:
        to = self.session.recipe.rewind.to
        if self.number > 0 and to != "none":
            with usable(self.session.paths.rewind, "Restore it, or start a new run with the same recipe."):
                _, weights = load_tensors(self.session.paths.rewind)
                set_weights(self.material.model, weights)
            self.session.emit(Rewound(round=self.number, to=to))
        apply_masks(dict(self.material.model.named_parameters()), self.masks)

    def _make_trainer(self) -> Trainer:
        model, training = self.material.model, self.session.recipe.training
        trained_rounds = self.session.recipe.rounds + (1 if self.session.recipe.order == "train-first" else 0)
        return Trainer(
            model,
            lambda batch: model(batch.sources, batch.targets, training.label_smoothing, batch.places),
            self.masks,
            training,
            max(1, trained_rounds),
            self.session.accelerator,
        )

    def _train(self) -> None:
        recipe, trainer = self.session.recipe, self.trainer
        order = BatchOrder(
            [len(ids) for ids in self.material.train.sources],
            [len(ids) for ids in self.material.train.targets],
            recipe.training.batch_size,
            recipe.training.seed,
        )
        while True:
            if self.picker.due(trainer.step):
                self._measure()
            if trainer.step >= self._steps or self.picker.stops:
                return
            # Rounds go on through the data: a round shorter than an epoch still sees new rows.
            rows = order.batch(self.number * recipe.training.steps + trainer.step)
            trainer.train_step(collate(self.material.train, rows, PAD))
            self._after_step()

    def _after_step(self) -> None:
        step, recipe = self.trainer.step, self.session.recipe
        if self.number == 0 and step == recipe.rewind_step:
            save_tensors(self.session.paths.rewind, weights_of(self.material.model))
            self.rewind = leftovers.digest(self.session.paths.rewind)
        if self.session.clock() - self._reported >= STEP_EVENT_S or step == self._steps:
            self._report()
        if step % recipe.training.checkpoint_every == 0 and step < self._steps:
            self._save()
        self._writer.poll()
        self.session.breathe(self.number, step, self._save_now)

    def _report(self) -> None:
        now = self.session.clock()
        rates, elapsed = self.trainer.report(), max(1e-6, now - self._reported)
        self._reported = now
        self.session.emit(
            Step(
                round=self.number,
                step=self.trainer.step,
                steps=self._steps,
                loss=rates.loss,
                learning_rate=rates.learning_rate,
                tokens_per_second=round(rates.tokens / elapsed, 1),
                examples_per_second=round(rates.examples / elapsed, 2),
            )
        )

    def _measure(self) -> None:
        """Scores the weights as they are, for the picker; keeps them if they are the best so far."""
        self.trainer.check()
        evaluation = self._evaluate(self.trainer.step, self._save_now)
        self.picker = self.picker.with_score(self.trainer.step, evaluation.result.scores.bleu)
        if self.picker.best == self.picker.measurements[-1] and self.session.recipe.picker.rule != "last":
            save_tensors(self._best_file, weights_of(self.material.model), {"round": self.number, "step": self.trainer.step})
        self._reported = self.session.clock()
        self._save()

    @property
    def _best_file(self) -> Path:
        return self.session.paths.resume / BEST_FILE

    def _evaluate(self, step: int, save: Callable[[], None]) -> Evaluation:
        session, held_out = self.session, self.material.held_out

        def after_batch(done: int) -> None:
            session.emit(Evaluating(round=self.number, step=step, done=done, rows=len(held_out.rows)))
            session.breathe(self.number, self.trainer.step, save)

        evaluation = evaluate(
            self.material.model,
            self.material.reader,
            held_out,
            session.recipe.evaluation,
            after_batch,
            self.material.floors,
            session.clock,
        )
        session.emit(
            Evaluated(
                round=self.number,
                step=step,
                split=session.recipe.evaluation.split,
                rows=len(held_out.rows),
                scores=evaluation.scores,
                floors=_floors(evaluation),
                signatures=evaluation.signatures,
                seconds=round(evaluation.seconds, 3),
                samples=evaluation.samples(SAMPLES),
            )
        )
        self.measured = (step, evaluation)
        return evaluation

    def _finish(self) -> None:
        """Picks, scores the picked weights and puts the round on disk."""
        self._save()  # from here on the model may hold other weights than the trainer's last ones
        step, bleu, reason = self.picker.pick(self.trainer.step)
        if step != self.trainer.step:
            again = f"Delete {self.session.paths.resume} and resume: round {self.number} begins anew."
            with usable(self._best_file, again):
                facts, best = load_tensors(self._best_file)
                assert (facts["round"], facts["step"]) == (self.number, step), "it is of another step"
                set_weights(self.material.model, best)
        self.session.emit(Picked(round=self.number, step=step, bleu=bleu, reason=reason))
        known = self.measured is not None and self.measured[0] == step
        evaluation = self.measured[1] if known and self.measured else self._evaluate(step, lambda: None)
        encoder_off = self._measure_encoder_off(step, evaluation) if self.number == 0 else None
        # Round 0 has masks too, of ones: whoever reads a round need not know that it was the dense one.
        masks = self._all_masks()
        # Before the round is on disk: killed in between, the round's end is done again, and no figure is missing.
        self._measure_matrices(masks)
        self._writer.settle()
        compared = uncertainty(evaluation, self.session.paths.round(0) / "predictions.jsonl" if self.number else None)
        size_bytes = self._write(step, reason, evaluation, compared, masks, encoder_off)
        self.session.emit(
            RoundFinished(
                round=self.number,
                sparsity=sparsity_of(self._own_masks()),
                scores=evaluation.scores,
                steps=self.trainer.step,
                seconds=round(self._seconds, 3),
                size_bytes=size_bytes,
                before=sparsity_of(self.material.masks),
                against_dense=dict(compared.against_dense),
            )
        )

    def _measure_matrices(self, masks: Masks) -> None:
        """Journals what a screen shows of each matrix."""
        weights, before = dict(self.material.model.named_parameters()), self.session.paths.round(self.number - 1)
        # Somebody may have made room by now and deleted them: that costs figures, not the run.
        kept = self.number > 0 and (before / "masks.safetensors").exists()
        old = load_masks(before / "masks.safetensors") if kept else {}
        for name, mask in masks.items():
            weight_before = one_tensor(before / "model.safetensors", name) if self.number > 0 else None
            known = figures.Before(old.get(name), weight_before)
            self.session.emit(figures.measure(self.number, name, weights[name], mask, known, self._heads.of(name)))

    def _measure_encoder_off(self, step: int, evaluation: Evaluation) -> EncoderOff:
        """Scores the picked weights without the encoder's layers: the floor that the whole study is held against."""
        session, held_out, material = self.session, self.material.held_out, self.material

        def after_batch(done: int) -> None:
            session.emit(Evaluating(round=self.number, step=step, done=done, rows=len(held_out.rows), encoder_off=True))
            session.breathe(self.number, self.trainer.step, self._writer.settle)  # the round's end is done again from there

        off = measure_encoder_off(material.model, material.reader, held_out, session.recipe.evaluation, evaluation, after_batch)
        session.emit(
            EncoderOffMeasured(
                round=self.number,
                step=step,
                split=session.recipe.evaluation.split,
                rows=len(held_out.rows),
                scores=off.scores,
                intervals=dict(off.intervals),
                dense_less=dict(off.dense_less),
                signatures={**evaluation.signatures, "encoder_off": SIGNATURE},
                seconds=round(off.seconds, 3),
            )
        )
        return off

    def _write(
        self,
        step: int,
        reason: str,
        evaluation: Evaluation,
        compared: Uncertainty,
        masks: Masks,
        encoder_off: EncoderOff | None,
    ) -> int:
        """Puts the round on disk; returns the bytes of its model as bitmask and values."""
        recipe, folder = self.session.recipe, self.session.paths.round(self.number)
        own, parameters = self._own_masks(), sum(weight.numel() for weight in self.material.model.parameters())
        size_bytes = figures.sparse_bytes(parameters, _size(masks), _kept(masks))
        facts = {
            "round": self.number,
            "sparsity": sparsity_of(own),
            "sparsity_before": sparsity_of(self.material.masks),
            "kept": _kept(own),
            "total": _size(own),
            "size_bytes": size_bytes,
            "steps": self.trainer.step,
            "picked_step": step,
            "picked_because": reason,
            "measurements": [asdict(measured) for measured in self.picker.measurements],
            "split": recipe.evaluation.split,
            "rows": len(evaluation.rows),
            "scores": asdict(evaluation.scores),
            "floors": {name: asdict(floor) for name, floor in _floors(evaluation).items()},
            "signatures": evaluation.signatures,
            **compared.facts(),
            **({"encoder_off": encoder_off.facts()} if encoder_off is not None else {}),
            "seconds": round(self._seconds, 3),
            "decoding": self._decoding(evaluation),
        }
        self.material.model.config.pretrained_only = False
        self.session.check()
        with complete_or_absent(folder) as draft:
            save_model(self.material.model, self.material.reader, draft)
            save_masks(masks, draft / "masks.safetensors")
            write_predictions(evaluation, draft / "predictions.jsonl")
            facts["digests"] = leftovers.digests(draft, leftovers.ROUND_FILES) | {leftovers.REWIND: self.rewind}
            (draft / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return size_bytes

    def _decoding(self, evaluation: Evaluation) -> dict[str, object]:
        """How long the search for comments took, and on what: times from elsewhere say nothing beside it."""
        asked, decoded = self.session.recipe.evaluation, evaluation.decoded
        return {
            "seconds": round(decoded.seconds, 4),
            "rows": len(decoded.texts),
            "tokens": decoded.tokens,
            "beam": asked.beam,
            **({"length_penalty": asked.length_penalty} if asked.length_penalty else {}),
            "batch_size": decoded.batch_size,
            "device": describe(self.material.model.device),
            "threads": torch.get_num_threads(),
        }

    @property
    def _seconds(self) -> float:
        return self._seconds_before + self.session.clock() - self._started

    def _save_now(self) -> None:
        """As `_save`, and waits until it is on disk."""
        self._save()
        self._writer.settle()

    def _save(self) -> None:
        """Begins to write a checkpoint of exactly this point, unless there is one."""
        point = (self.trainer.step, len(self.picker.measurements))
        if point == self._saved:
            return
        self.trainer.check()
        facts: dict[str, object] = {
            "round": self.number,
            "step": self.trainer.step,
            "measurements": [asdict(measured) for measured in self.picker.measurements],
            "seconds": self._seconds,
            "rewind": self.rewind,
        }
        self._writer.write(self.trainer.state(), facts)
        self._saved = point

    def _checkpoint_saved(self, facts: Mapping[str, object]) -> None:
        step = facts["step"]
        assert isinstance(step, int)
        self.session.emit(CheckpointSaved(round=self.number, step=step))

    def _load(self, checkpoint: Checkpoint) -> None:
        facts = checkpoint.facts
        step, seconds, measurements = facts["step"], facts["seconds"], facts["measurements"]
        assert isinstance(step, int)
        assert isinstance(seconds, float)
        assert isinstance(measurements, list)
        self.trainer.load_state(checkpoint.tensors, step)
        self.picker = Picker(self.session.recipe.picker, tuple(Measurement(**measured) for measured in measurements))
        self._seconds_before = seconds
        self._saved = (step, len(measurements))
        self._check_best()

    def _check_best(self) -> None:
        """Refuses to go on without the weights that the picker has as the best.

        Raises:
            RunError: They are missing, or of an earlier step.
        """
        best, start_anew = (
            self.picker.best,
            f"Put it back, or delete {self.session.paths.resume}: round {self.number} begins again.",
        )
        if best is None or self.session.recipe.picker.rule == "last":
            return
        if not self._best_file.exists():
            raise RunError(f"{self._best_file} is missing: the weights that the picker has as the best.", start_anew)
        facts, _ = load_tensors(self._best_file)
        step = facts.get("step")
        # Of a later step: killed after it was written and before the checkpoint was; that measurement will be made again.
        if facts.get("round") != self.number or not isinstance(step, int) or step < best.step:
            raise RunError(f"{self._best_file} is not of round {self.number}, step {best.step}.", start_anew)


def _kept(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def _size(masks: Masks) -> int:
    return sum(mask.numel() for mask in masks.values())


def _floors(evaluation: Evaluation) -> dict[str, Scores]:
    return {"constant": as_event(evaluation.floors.constant), "name": as_event(evaluation.floors.name)}
