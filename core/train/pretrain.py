"""Pre-training: a model learns from Ruby code and comments before it learns the task.

A pre-training uses the same loop, journal, commands and resume points as a pruning run, and ends with one folder, `rounds/00`.
What is learned is an objective's business (`objectives`): after masked tokens the folder holds the encoder alone, and a model
loaded from it gets a fresh decoder; after denoising it holds the whole model.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..atomic import complete_or_absent
from ..data import Encoded
from ..errors import DataError
from ..families.device import autocast
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..model import save_model
from ..recipe import Data
from ..ruby import docstring_tokens, parse, source_text, split_identifiers, target_text
from ..run.events import RoundFinished, RoundStarted, RunFinished, Validated, Warned
from ..text.rows import Row, load_rows
from . import leftovers, prepare
from .checkpoint import load_checkpoint, usable
from .loop import Loop, ResumePoint, Stage
from .objectives import Corpus, HeldOutObjective, make_objective
from .round import Material
from .session import Session
from .trainer import Trainer

NEAR = 8
"""Length of the runs of words that are compared to find near-copies of held-out methods."""


def build_corpus(session: Session, reader: Reader, train: Encoded, held: Encoded) -> Corpus:
    """Gathers the training rows and the methods of further Ruby files.

    Args:
        session: The run; its recipe names the folder of further code.
        reader: The model's.
        train: Training rows.
        held: Rows to measure on.

    Returns:
        The training methods and the held-out ones.
    """
    data = session.recipe.data
    pairs = further_code(Path(data.code), {row.source for row in train.rows}, held_out_rows(data)) if data.code else {}
    if data.code:
        prepare.record_code(session, hashlib.sha256(json.dumps(list(pairs.items())).encode()).hexdigest())
    codes = reader.sources(pairs, data.source_length)
    comments = reader.ids(list(pairs.values()), data.target_length)
    return Corpus(train.targets + comments, train.sources + codes, held.targets, held.sources, data.source_length)


def held_out_rows(data: Data) -> list[Row]:
    """The rows that no model may learn from: those of `valid` and `test`, where the data has these splits."""
    rows: list[Row] = []
    for split in ("valid", "test"):
        with suppress(DataError):  # a data set need not have a test split
            rows += load_rows(data.path, split, on_broken="skip", hub_config=data.hub_config, unpack_limit=data.unpack_limit).rows
    return rows


def further_code(folder: Path, known: set[str], held: Sequence[Row]) -> dict[str, str]:
    """The methods in the Ruby files below a folder, documented or not; equal code counts once.

    Args:
        folder: Searched for `*.rb`, subfolders included.
        known: Source texts of rows that are used elsewhere and left out.
        held: Rows that no model may learn from. Their methods are left out, and so are near-copies: methods of whose runs of 8
            words, names split, more than half stand in held-out ones.

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


@dataclass(frozen=True)
class Validation:
    """Loss and accuracy on the held-out tokens after a step."""

    step: int
    loss: float
    """Nats a token."""
    accuracy: float
    """Share of the tokens that the model predicted right, in [0, 1]."""


class HeldOutTokens:
    """The examiner of a pre-training: loss and accuracy on the same held-out tokens each time. It never stops a training.

    Args:
        session: Journal, recipe, precision.
        model: On its device.
        objective: What is learned.
        steps: The training's last step, which is always measured.
        validations: The measurements of its resume point, as JSON.
    """

    def __init__(
        self,
        session: Session,
        model: CodeToText,
        objective: HeldOutObjective,
        steps: int,
        validations: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._session, self._model, self._objective, self._steps = session, model, objective, steps
        self.validations = [Validation(**validation) for validation in validations]

    @property
    def measurements(self) -> list[dict[str, Any]]:
        """As `Examiner.measurements`."""
        return [asdict(validation) for validation in self.validations]

    @property
    def stops(self) -> bool:
        """As `Examiner.stops`."""
        return False

    def due(self, step: int) -> bool:
        """As `Examiner.due`."""
        every = self._session.recipe.picker.every
        is_due = step == self._steps or (bool(every) and step > 0 and step % every == 0)
        return is_due and all(validation.step != step for validation in self.validations)

    @torch.inference_mode()
    def measure(self, step: int, save: Callable[[], None]) -> bool:
        """As `Examiner.measure`; too short to be interrupted. A pre-training ends with its last weights."""
        started, device, ranks = self._session.clock(), self._model.device, self._session.ranks
        self._model.eval()
        own: list[tuple[float, int, int]] = []
        batches = self._objective.held_out()
        for batch in batches[ranks.number :: ranks.count]:
            with autocast(self._session.accelerator):
                sums = self._objective.sums(batch.to(device))
            own.append((sums.loss, sums.right, sums.count))
        parts = ranks.gathered(own)
        loss, right, count = 0.0, 0, 0
        for place in range(len(batches)):  # added up in their order, so that the sum is that of one rank
            more = parts[place % ranks.count][place // ranks.count]
            loss, right, count = loss + more[0], right + more[1], count + more[2]
        self._model.train()
        validation = Validation(step, loss / max(1, count), right / max(1, count))
        self.validations.append(validation)
        seconds = round(self._session.clock() - started, 3)
        self._session.emit(Validated(round=0, step=step, loss=validation.loss, accuracy=validation.accuracy, seconds=seconds))
        return False


def run_pretraining(session: Session, material: Material) -> None:
    """Runs the pre-training of a recipe, from the checkpoint where there is one.

    Args:
        session: Journal, commands, recipe, folder.
        material: Model and data.

    Raises:
        StopRequested: On command, a checkpoint is on disk.
        TrainingError: The loss is no finite number.
        RunError: A file that an earlier process of the run left is missing or has changed.
        DataError: The folder that the recipe names for further code holds none.
    """
    model, reader, recipe = material.model, material.reader, session.recipe
    corpus = build_corpus(session, reader, material.train, material.held_out)
    smoothing = recipe.training.label_smoothing
    objective = make_objective(recipe.pretraining.objective, model, corpus, reader.mask_id, len(reader), smoothing)
    if warning := leftovers.check_rounds(session.paths, 0):
        session.emit(Warned(message=warning))
    if not session.paths.finished_rounds():
        _pretrain(session, material, objective)
    session.emit(RunFinished(rounds=0))


def _pretrain(session: Session, material: Material, objective: HeldOutObjective) -> None:
    model, training, began = material.model, session.recipe.training, session.clock()
    checkpoint = load_checkpoint(session.paths.resume)
    if checkpoint is None and (warning := leftovers.lost_checkpoint(session.paths, 0)):
        session.emit(Warned(message=warning))
    trainer = Trainer(model, objective.loss, {}, training, 1, session.accelerator, ranks=session.ranks)
    with usable(session.paths.resume, f"Delete {session.paths.resume} and resume: the run begins anew."):
        point = ResumePoint.of(checkpoint)
        examiner = HeldOutTokens(session, model, objective, training.steps, point.measurements)
        if checkpoint is not None:
            trainer.load_state(checkpoint.tensors, point.step)
    if checkpoint is None:
        session.emit(RoundStarted(round=0, sparsity=0.0, steps=training.steps))
        torch.manual_seed(session.ranks.seed(training.seed))
    stage = Stage(0, training.steps, 0, objective, examiner)
    loop = Loop(session, stage, trainer, point if checkpoint else None, began)
    loop.run()
    loop.settle()
    if session.ranks.leads:
        _write(session, material, objective, examiner.validations[-1], loop)


def _write(session: Session, material: Material, objective: HeldOutObjective, last: Validation, loop: Loop) -> None:
    """Writes the model to disk as round 0."""
    facts = {"round": 0, "sparsity": 0.0, "steps": last.step, "held_out_loss": last.loss, "held_out_accuracy": last.accuracy}
    facts["seconds"] = round(loop.seconds, 3)
    material.model.config.pretrained_only = True
    session.check()
    with complete_or_absent(session.paths.round(0)) as draft:
        save_model(material.model, material.reader, draft, decoder=objective.trains_decoder)
        (draft / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    session.emit(RoundFinished(round=0, sparsity=0.0, scores=None, steps=last.step, seconds=round(loop.seconds, 3)))
