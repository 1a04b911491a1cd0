"""Pre-training: a model learns from Ruby code and comments before it learns the task.

Goes through the same trainer, journal, commands and resume as a pruning run, and ends with one folder, `rounds/00`. What is
learned is an objective's business (`objectives`): with masked tokens the folder holds the encoder alone, and whoever loads it
gets a fresh decoder; with denoising it holds the whole model.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..atomic import complete_or_absent
from ..data import BatchOrder, Encoded
from ..errors import DataError
from ..families.device import autocast
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..model import save_model
from ..recipe import Data
from ..ruby import docstring_tokens, parse, source_text, split_identifiers, target_text
from ..run.events import CheckpointSaved, RoundFinished, RoundStarted, RunFinished, Step, Validated, Warned
from ..seeds import derive_seed
from ..text.rows import Row, load_rows
from . import leftovers, prepare
from .checkpoint import Checkpoint, CheckpointWriter, load_checkpoint, usable
from .objectives import Corpus, Objective
from .session import STEP_EVENT_S, Session
from .trainer import Trainer

NEAR = 8
"""Words in a row that are compared to find near-copies of held-out methods."""


def build_corpus(session: Session, reader: Reader, train: Encoded, held: Encoded) -> Corpus:
    """Gathers the training rows, and the methods of further Ruby files.

    Args:
        session: The run; its recipe names the folder of further code.
        reader: The model's.
        train: Training rows.
        held: Rows to measure on.

    Returns:
        What to learn from and what to measure on.
    """
    data = session.recipe.data
    pairs = further_code(Path(data.code), {row.source for row in train.rows}, held_out_rows(data)) if data.code else {}
    if data.code:
        prepare.record_code(session, hashlib.sha256(json.dumps(list(pairs.items())).encode()).hexdigest())
    codes = reader.sources(pairs, data.source_length)
    comments = reader.ids(list(pairs.values()), data.target_length)
    return Corpus(train.targets + comments, train.sources + codes, held.targets, held.sources, data.source_length)


def held_out_rows(data: Data) -> list[Row]:
    """All rows that no model may learn from: those of `valid` and of `test`, where the data has them."""
    rows: list[Row] = []
    for split in ("valid", "test"):
        with suppress(DataError):  # a data set may do without a test split
            rows += load_rows(data.path, split, on_broken="skip", hub_config=data.hub_config, unpack_limit=data.unpack_limit).rows
    return rows


def further_code(folder: Path, known: set[str], held: Sequence[Row]) -> dict[str, str]:
    """The methods in the Ruby files below a folder, documented or not, each code once.

    Args:
        folder: Searched through and through for `*.rb`.
        known: Source texts of rows that are used otherwise, to leave out.
        held: Rows that no model may learn from: their methods are left out, and near-copies of them, that is methods of whose
            runs of 8 words, names split, more than half stand in held-out ones.

    Returns:
        Source text -> comment text, in the order of the files' paths.

    Raises:
        DataError: There is no such folder, or no Ruby in it.
    """
    pairs: dict[str, str] = {}
    left_out = known | {row.source for row in held}
    runs = set().union(*(word_runs(row.source) for row in held))
    for file in sorted(path for path in folder.rglob("*.rb") if path.is_file()):
        for method in parse(file.read_text(encoding="utf-8", errors="replace")).methods:
            code = source_text(method.tokens)
            if code in left_out:
                continue
            left_out.add(code)  # each code once
            own = word_runs(code)
            if 2 * len(own & runs) <= len(own):
                pairs[code] = target_text(docstring_tokens(method.comment))
    if not pairs:
        raise DataError(f"data.code = {str(folder)!r} holds no Ruby methods.", "Name a folder with .rb files, or leave it empty.")
    return pairs


def word_runs(source: str) -> set[str]:
    """All runs of `NEAR` words of a source text, names split; of a shorter one, all its words as one run."""
    words = split_identifiers(source).split()
    return {" ".join(words[first : first + NEAR]) for first in range(max(1, len(words) - NEAR + 1))}


@dataclass
class Pretraining:
    """A pre-training run.

    Args:
        session: Journal, commands, recipe, folder.
        model: On its device.
        reader: Its reader.
        objective: What to learn.
    """

    session: Session
    model: CodeToText
    reader: Reader
    objective: Objective
    _reported: float = 0.0
    _measured: dict[int, tuple[float, float]] = field(default_factory=dict)
    _saved: int = -1
    _began: float = 0.0
    """When this process began, less the seconds of those before it."""

    def run(self) -> None:
        """Trains to the end, from the checkpoint where there is one.

        Raises:
            StopRequested: On command, a checkpoint is on disk.
        """
        session, steps = self.session, self.session.recipe.training.steps
        if warning := leftovers.check_rounds(session.paths, 0):
            session.emit(Warned(message=warning))
        if not session.paths.finished_rounds():
            checkpoint = load_checkpoint(session.paths.resume)
            if checkpoint is None and (warning := leftovers.lost_checkpoint(session.paths, 0)):
                session.emit(Warned(message=warning))
            self._writer = CheckpointWriter(session.paths.resume, self._checkpoint_saved)
            self._trainer = Trainer(self.model, self.objective.loss, {}, session.recipe.training, 1, session.accelerator)
            self._start(checkpoint)
            self._train(steps)
            self._writer.settle()
            self._write()
        session.emit(RunFinished(rounds=0))

    def _start(self, checkpoint: Checkpoint | None) -> None:
        self._reported = self._began = self.session.clock()
        if checkpoint is None:
            self.session.emit(RoundStarted(round=0, sparsity=0.0, steps=self.session.recipe.training.steps))
            torch.manual_seed(self.session.recipe.training.seed)
            return
        resume = self.session.paths.resume
        with usable(resume, f"Delete {resume} and resume: the run begins anew."):
            step = checkpoint.facts["step"]
            assert isinstance(step, int)
            self._trainer.load_state(checkpoint.tensors, step)
        self._saved = step
        seconds = checkpoint.facts.get("seconds", 0.0)  # older versions did not count them
        assert isinstance(seconds, float)
        self._began -= seconds

    @property
    def _seconds(self) -> float:
        return self.session.clock() - self._began

    def _train(self, steps: int) -> None:
        recipe, trainer = self.session.recipe, self._trainer
        order = BatchOrder(*self.objective.lengths(), recipe.training.batch_size, recipe.training.seed)
        while trainer.step < steps:
            seed = derive_seed(recipe.training.seed, "mask", trainer.step)
            trainer.train_step(self.objective.batch(order.batch(trainer.step), seed))
            now = self.session.clock()
            if now - self._reported >= STEP_EVENT_S or trainer.step == steps:
                self._report(now, steps)
            if trainer.step == steps or (recipe.picker.every and trainer.step % recipe.picker.every == 0):
                self._validate()
            if trainer.step % recipe.training.checkpoint_every == 0 or trainer.step == steps:
                self._save()
            self._writer.poll()
            self.session.breathe(0, trainer.step, self._save_now)

    def _report(self, now: float, steps: int) -> None:
        rates, elapsed = self._trainer.report(), max(1e-6, now - self._reported)
        self._reported = now
        self.session.emit(
            Step(
                round=0,
                step=self._trainer.step,
                steps=steps,
                loss=rates.loss,
                learning_rate=rates.learning_rate,
                tokens_per_second=round(rates.tokens / elapsed, 1),
                examples_per_second=round(rates.examples / elapsed, 2),
            )
        )

    @torch.inference_mode()
    def _validate(self) -> None:
        """Loss and accuracy on what is held out, the same every time."""
        started, step, device = self.session.clock(), self._trainer.step, self.model.device
        self.model.eval()
        loss, right, count = 0.0, 0, 0
        for batch in self.objective.held_out():
            with autocast(self.session.accelerator):
                found = self.objective.found(batch.to(device))
            loss, right, count = loss + found.loss, right + found.right, count + found.count
        self.model.train()
        mean, accuracy = self._measured[step] = (loss / max(1, count), right / max(1, count))
        seconds = round(self.session.clock() - started, 3)
        self.session.emit(Validated(round=0, step=step, loss=mean, accuracy=accuracy, seconds=seconds))

    def _save_now(self) -> None:
        self._save()
        self._writer.settle()

    def _save(self) -> None:
        if self._trainer.step == self._saved:
            return
        self._trainer.check()
        facts = {"round": 0, "step": self._trainer.step, "seconds": self._seconds}
        self._writer.write(self._trainer.state(), facts)
        self._saved = self._trainer.step

    def _checkpoint_saved(self, facts: Mapping[str, object]) -> None:
        step = facts["step"]
        assert isinstance(step, int)
        self.session.emit(CheckpointSaved(round=0, step=step))

    def _write(self) -> None:
        if self._trainer.step not in self._measured:
            self._validate()  # resumed at the very end
        loss, accuracy = self._measured[self._trainer.step]
        facts = {"round": 0, "sparsity": 0.0, "steps": self._trainer.step, "held_out_loss": loss, "held_out_accuracy": accuracy}
        facts["seconds"] = round(self._seconds, 3)
        self.model.config.pretrained_only = True
        self.session.check()
        with complete_or_absent(self.session.paths.round(0)) as draft:
            save_model(self.model, self.reader, draft, decoder=self.objective.trains_decoder)
            (draft / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        self.session.emit(
            RoundFinished(round=0, sparsity=0.0, scores=None, steps=self._trainer.step, seconds=round(self._seconds, 3))
        )
