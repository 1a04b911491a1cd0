"""Pre-training: an encoder learns to fill in masked tokens of Ruby code and comments.

Goes through the same trainer, journal, commands and resume as a pruning run, and ends with one folder, `rounds/00`, that holds
the encoder but no decoder: whoever loads it gets a fresh one. What is masked in a step depends on the seed and the step alone,
so a run can be taken up anywhere. Follows BERT's and RoBERTa's recipe (15 % of the tokens; of these 80 % `<mask>`, 10 % another
token, 10 % unchanged; drawn anew each time).
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .data import Batch, BatchOrder, Encoded, encode_texts
from .device import autocast
from .errors import DataError
from .events import CheckpointSaved, RoundFinished, RoundStarted, RunFinished, Step, Validated
from .files import complete_or_absent
from .loading import save_model
from .model import PAD, CodeToText
from .recipe import Data
from .rows import Row, load_rows
from .ruby import docstring_tokens, parse, source_text, split_identifiers, target_text
from .seeds import derive_seed
from .session import STEP_EVENT_S, Session
from .train import Trainer

MASK_SHARE = 0.15
VALIDATION_BATCH = 32


@dataclass(frozen=True)
class Corpus:
    """Token ids of texts to learn from, and of texts to measure on."""

    train: list[list[int]]
    held_out: list[list[int]]


def build_corpus(session: Session, tokenizer: PreTrainedTokenizerBase, train: Encoded, held: Encoded, *, split: bool) -> Corpus:
    """Puts comment and code of each row into one text, and adds the methods of further Ruby files.

    Args:
        session: The run; its recipe names the folder of further code.
        tokenizer: The model's.
        train: Training rows.
        held: Rows to measure on.
        split: Whether identifiers are split into words.

    Returns:
        Ids: `<s> comment </s> code </s>`, or `<s> code </s>` where there is no comment.
    """
    data = session.recipe.data

    def join(comments: list[list[int]], codes: list[list[int]]) -> list[list[int]]:
        # An empty comment is `<s> </s>`: then the code stands alone.
        return [
            ((comment if len(comment) > 2 else comment[:1]) + code[1:])[: data.source_length]
            for comment, code in zip(comments, codes, strict=True)
        ]

    pairs = further_code(Path(data.code), {row.source for row in (*train.rows, *held_out_rows(data))}) if data.code else {}
    codes = encode_texts(tokenizer, [split_identifiers(code) if split else code for code in pairs], data.source_length)
    comments = encode_texts(tokenizer, list(pairs.values()), data.target_length)
    return Corpus(join(train.targets, train.sources) + join(comments, codes), join(held.targets, held.sources))


def held_out_rows(data: Data) -> list[Row]:
    """All rows that no model may learn from: those of `valid` and of `test`, where the data has them."""
    rows: list[Row] = []
    for split in ("valid", "test"):
        with suppress(DataError):  # a data set may do without a test split
            rows += load_rows(data.path, split, on_broken="skip", hub_config=data.hub_config).rows
    return rows


def further_code(folder: Path, known: set[str]) -> dict[str, str]:
    """The methods in the Ruby files below a folder, documented or not, each code once.

    Args:
        folder: Searched through and through for `*.rb`.
        known: Source texts to leave out, those of rows that are used otherwise or held out.

    Returns:
        Source text -> comment text, in the order of the files' paths.

    Raises:
        DataError: There is no such folder, or no Ruby in it.
    """
    pairs: dict[str, str] = {}
    for file in sorted(folder.rglob("*.rb")):
        for method in parse(file.read_text(encoding="utf-8", errors="replace")).methods:
            code = source_text(method.tokens)
            if code not in known:
                pairs.setdefault(code, target_text(docstring_tokens(method.comment)))
    if not pairs:
        raise DataError(f"data.code = {str(folder)!r} holds no Ruby methods.", "Name a folder with .rb files, or leave it empty.")
    return pairs


def mask_tokens(ids: Tensor, seed: int, mask_id: int, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Hides tokens for the model to find.

    Args:
        ids: (batch, time) int64 on the CPU; 0 to 4 are special tokens and never hidden.
        seed: Decides which; equal arguments, equal result.
        mask_id: Id of `<mask>`.
        vocab_size: Tokens to draw replacements from.

    Returns:
        The ids with hidden tokens replaced, and (batch, time) bool: which positions are to be found.
    """
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(ids.shape, generator=generator)
    other = torch.randint(5, vocab_size, ids.shape, generator=generator)
    hidden = (chance < MASK_SHARE) & (ids > 4) & (ids != mask_id)
    masked = torch.where(hidden & (chance < 0.8 * MASK_SHARE), mask_id, ids)
    replaced = hidden & (chance >= 0.8 * MASK_SHARE) & (chance < 0.9 * MASK_SHARE)
    return torch.where(replaced, other, masked), hidden


def masked_logits(model: CodeToText, masked: Tensor, hidden: Tensor) -> Tensor:
    """The model's guesses at hidden positions, through the output layer that the decoder will use later.

    Args:
        model: The model.
        masked: (batch, time) ids.
        hidden: (batch, time) bool.

    Returns:
        (hidden positions, vocabulary).
    """
    logits: Tensor = model.lm_head(torch.tanh(model.dense(model.encode(masked)[hidden])))
    return logits


@dataclass
class Pretraining:
    """A pre-training run.

    Args:
        session: Journal, commands, recipe, folder.
        model: On its device.
        tokenizer: Its tokenizer, with a mask token.
        corpus: What to learn from.
    """

    session: Session
    model: CodeToText
    tokenizer: PreTrainedTokenizerBase
    corpus: Corpus
    _reported: float = 0.0
    _measured: dict[int, tuple[float, float]] = field(default_factory=dict)
    _saved: int = -1

    def run(self) -> None:
        """Trains to the end, from the checkpoint where there is one.

        Raises:
            StopRequested: On command, a checkpoint is on disk.
        """
        session, steps = self.session, self.session.recipe.training.steps
        if not session.paths.finished_rounds():
            checkpoint = load_checkpoint(session.paths.resume)
            self._trainer = Trainer(self.model, self._loss, {}, session.recipe.training, 1, session.accelerator)
            self._start(checkpoint)
            self._train(steps)
            self._write()
        session.emit(RunFinished("run_finished", 0))

    def _start(self, checkpoint: Checkpoint | None) -> None:
        self._reported = self.session.clock()
        if checkpoint is None:
            self.session.emit(RoundStarted("round_started", 0, 0.0, self.session.recipe.training.steps))
            torch.manual_seed(self.session.recipe.training.seed)
            return
        step = checkpoint.facts["step"]
        assert isinstance(step, int)
        self._trainer.load_state(checkpoint.tensors, step)
        self._saved = step

    def _loss(self, batch: Batch) -> Tensor:
        # Positions to find travel in `targets`: −1 where nothing is hidden, the true token where something is.
        hidden = batch.targets >= 0
        return F.cross_entropy(masked_logits(self.model, batch.sources, hidden).float(), batch.targets[hidden])

    def _batch(self, ids: list[list[int]], rows: tuple[int, ...], seed: int) -> Batch:
        width = max(len(ids[row]) for row in rows)
        plain = torch.tensor([ids[row] + [PAD] * (width - len(ids[row])) for row in rows])  # (batch, time)
        masked, hidden = mask_tokens(plain, seed, int(self.tokenizer.mask_token_id), len(self.tokenizer))
        return Batch(masked, torch.where(hidden, plain, -1), rows)

    def _train(self, steps: int) -> None:
        recipe, trainer, texts = self.session.recipe, self._trainer, self.corpus.train
        lengths = [len(ids) for ids in texts]
        order = BatchOrder(lengths, lengths, recipe.training.batch_size, recipe.training.seed)
        while trainer.step < steps:
            trainer.train_step(
                self._batch(texts, order.batch(trainer.step), derive_seed(recipe.training.seed, "mask", trainer.step))
            )
            now = self.session.clock()
            if now - self._reported >= STEP_EVENT_S or trainer.step == steps:
                self._report(now, steps)
            if trainer.step == steps or (recipe.picker.every and trainer.step % recipe.picker.every == 0):
                self._validate()
            if trainer.step % recipe.training.checkpoint_every == 0 or trainer.step == steps:
                self._save()
            self.session.breathe(0, trainer.step, self._save)

    def _report(self, now: float, steps: int) -> None:
        rates, elapsed = self._trainer.report(), max(1e-6, now - self._reported)
        self._reported = now
        speeds = round(rates.tokens / elapsed, 1), round(rates.examples / elapsed, 2)
        self.session.emit(Step("step", 0, self._trainer.step, steps, rates.loss, rates.learning_rate, *speeds))

    @torch.inference_mode()
    def _validate(self) -> None:
        """Loss and accuracy on masked tokens of the held-out texts, the same masks every time."""
        started, step = self.session.clock(), self._trainer.step
        self.model.eval()
        loss, right, count = 0.0, 0, 0
        texts = self.corpus.held_out
        for first in range(0, len(texts), VALIDATION_BATCH):
            rows = tuple(range(first, min(first + VALIDATION_BATCH, len(texts))))
            batch = self._batch(texts, rows, derive_seed("held out", first))
            targets = batch.targets.to(self.model.device)
            with autocast(self.session.accelerator):
                logits = masked_logits(self.model, batch.sources.to(self.model.device), targets >= 0).float()
            truth = targets[targets >= 0]
            loss += float(F.cross_entropy(logits, truth, reduction="sum"))
            right, count = right + int((logits.argmax(-1) == truth).sum()), count + len(truth)
        self.model.train()
        self._measured[step] = (loss / max(1, count), right / max(1, count))
        seconds = round(self.session.clock() - started, 3)
        self.session.emit(Validated("validated", 0, step, *self._measured[step], seconds))

    def _save(self) -> None:
        if self._trainer.step == self._saved:
            return
        self._trainer.check()
        save_checkpoint(self.session.paths.resume, self._trainer.state(), {"round": 0, "step": self._trainer.step})
        self._saved = self._trainer.step
        self.session.emit(CheckpointSaved("checkpoint", 0, self._trainer.step))

    def _write(self) -> None:
        if self._trainer.step not in self._measured:
            self._validate()  # resumed at the very end
        loss, accuracy = self._measured[self._trainer.step]
        facts = {"round": 0, "sparsity": 0.0, "steps": self._trainer.step, "masked_loss": loss, "masked_accuracy": accuracy}
        with complete_or_absent(self.session.paths.round(0)) as draft:
            save_model(self.model, self.tokenizer, draft, decoder=False)
            (draft / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        self.session.emit(RoundFinished("round_finished", 0, 0.0, None, self._trainer.step, 0.0))
