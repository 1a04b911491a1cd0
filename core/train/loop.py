"""The training loop for all kinds of run: steps, reports, measurements and resume points.

A pruning round, a fine-tuning and a pre-training differ in what is minimised (an objective) and in how the weights are measured
between steps (an examiner); both are passed in. A training that is interrupted anywhere and resumed ends with the same bits, on a
GPU only with `training.deterministic`, for other algorithms add up in any order. Knows nothing of how masks are made, nor of what
is done with the weights afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..data import BatchOrder
from ..run.events import CheckpointSaved, Step
from ..seeds import derive_seed
from . import leftovers
from .checkpoint import Checkpoint, CheckpointWriter, save_tensors, views_of
from .objectives import Objective
from .session import STEP_EVENT_S, Session
from .trainer import Trainer, check_finite


@dataclass(frozen=True)
class ResumePoint:
    """How far a training has come: the facts of its checkpoint, beside weights, masks, optimizer and generators."""

    step: int = 0
    measurements: tuple[Mapping[str, Any], ...] = ()
    """The measurements of its examiner so far, as JSON."""
    seconds: float = 0.0
    """Seconds of work, all processes so far."""

    @staticmethod
    def of(checkpoint: Checkpoint | None) -> "ResumePoint":
        """The resume point of a checkpoint, or the beginning of a training where there is none.

        Raises:
            KeyError: The checkpoint does not say its step.
            AssertionError: Its facts are impossible.
        """
        if checkpoint is None:
            return ResumePoint()
        facts = checkpoint.facts
        # A pre-training of an older version kept neither its measurements nor its seconds.
        step, seconds, measurements = facts["step"], facts.get("seconds", 0.0), facts.get("measurements", [])
        assert isinstance(step, int)
        assert isinstance(seconds, float)
        assert isinstance(measurements, list)
        return ResumePoint(step, tuple(measurements), seconds)


class Examiner(Protocol):
    """Measures the weights between steps, and says when a training ends before its last step."""

    @property
    def measurements(self) -> Sequence[Mapping[str, Any]]:
        """All measurements of this training so far, as JSON: what a resume point keeps."""
        ...

    @property
    def stops(self) -> bool:
        """Whether the training ends here, whatever number of steps is left."""
        ...

    def due(self, step: int) -> bool:
        """Whether a measurement belongs to this step and has not been made."""
        ...

    def measure(self, step: int, save: Callable[[], None]) -> bool:
        """Measures the weights as they are.

        Args:
            step: The step they are of.
            save: Writes a checkpoint of this point; for measurements that may be interrupted.

        Returns:
            Whether they are to be kept as the best so far.

        Raises:
            StopRequested: On command, a checkpoint is on disk.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """One training inside a run, as far as the loop has to know it."""

    number: int
    """Number of its round."""
    steps: int
    first_batch: int
    """Its first batch in the run's endless order: a round shorter than an epoch continues where the previous one ended."""
    objective: Objective
    examiner: Examiner
    rewind_step: int | None = None
    """The step after which the weights are saved as the rewind point of later rounds; None where they are not."""


class Loop:
    """Trains a stage to its end.

    Args:
        session: Journal, commands, recipe, folder.
        stage: What is trained.
        trainer: At the stage's first step, or restored to the resume point.
        point: How far the training has come; None where it has no checkpoint yet.
        began: The session's clock when this process began the round, in seconds.
        rewind: Digest of the weights that rounds rewind to; "" where they are not needed, or not made yet.
    """

    def __init__(
        self, session: Session, stage: Stage, trainer: Trainer, point: ResumePoint | None, began: float, rewind: str = ""
    ) -> None:
        self.stage, self.trainer, self.rewind = stage, trainer, rewind
        self._session, self._training = session, session.recipe.training
        self._began = began - (point.seconds if point else 0.0)
        self._reported = self._last_save = session.clock()
        self._saved = (point.step, len(point.measurements)) if point else None
        """Step and number of measurements of the newest checkpoint, which is on disk or being written."""
        self._writer = CheckpointWriter(session.paths.resume, self._checkpoint_saved)
        self._order = BatchOrder(*stage.objective.lengths(), self._training.batch_size, self._training.seed)

    @property
    def seconds(self) -> float:
        """Seconds of work on this stage, all processes so far."""
        return self._session.clock() - self._began

    def run(self) -> None:
        """Trains until all steps are done or the examiner stops; the last resume point is then being written.

        Raises:
            StopRequested: On command, a checkpoint is on disk.
            TrainingError: The loss is no finite number.
        """
        examiner, trainer = self.stage.examiner, self.trainer
        while True:
            if examiner.due(trainer.step):
                trainer.check()
                begun = self._session.clock()
                best = examiner.measure(trainer.step, self.save_now)
                self._reported += self._session.clock() - begun  # so that the next rates count training alone
                self.save(best=best)
            if trainer.step >= self.stage.steps or examiner.stops:
                self.save()
                return
            self._step()
            self._after_step()

    def settle(self) -> None:
        """Waits until everything is on disk."""
        self._writer.settle()

    def save_now(self) -> None:
        """Saves as `save` does, and waits until the checkpoint is on disk."""
        self.save()
        self.settle()

    def save(self, *, best: bool = False) -> None:
        """Begins to write a checkpoint of exactly this point, unless there is one already.

        Args:
            best: Whether its weights are to be kept as the best so far.

        Raises:
            TrainingError: The loss is no finite number.
        """
        step, measurements = self.trainer.step, tuple(self.stage.examiner.measurements)
        if (step, len(measurements)) == self._saved:
            return
        self.trainer.check()
        point = ResumePoint(step, measurements, self.seconds)
        state = self.trainer.state()
        if self._session.ranks.leads:
            facts = {"round": self.stage.number, **asdict(point), "rewind": self.rewind}
            self._writer.write(state, facts, best=best)
        self._saved, self._last_save = (step, len(measurements)), self._session.clock()

    @property
    def _saved_lately(self) -> bool:
        """Whether the last checkpoint on a GPU is too recent for another; what a run computes does not depend on it."""
        if self._session.accelerator.device.type != "cuda":
            return False
        return self._session.clock() - self._last_save < self._training.checkpoint_seconds

    def _step(self) -> None:
        objective, trainer = self.stage.objective, self.trainer
        place = self.stage.first_batch + trainer.step
        seed = derive_seed(self._training.seed, "mask", place)
        trainer.train_step(objective.batch(self._order.batch(place), seed))
        masks = objective.masks(trainer.step, trainer.masks)
        if masks is not trainer.masks:
            trainer.hold(masks)

    def _after_step(self) -> None:
        step, steps, ranks = self.trainer.step, self.stage.steps, self._session.ranks
        if step == self.stage.rewind_step:
            self._save_rewind(step)
        if ranks.agreed(self._session.clock() - self._reported >= STEP_EVENT_S) or step == steps:
            self._report()
        if step % self._training.checkpoint_every == 0 and step < steps and not ranks.agreed(self._saved_lately):
            self.save()
        self._writer.poll()
        self._session.breathe(self.stage.number, step, self.save_now)

    def _save_rewind(self, step: int) -> None:
        self.trainer.check()
        check_finite(self.trainer.model, f"after step {step}, to which later rounds rewind,")
        if self._session.ranks.leads:
            save_tensors(self._session.paths.rewind, views_of(self.trainer.model))
            self.rewind = leftovers.digest(self._session.paths.rewind)

    def _report(self) -> None:
        now = self._session.clock()
        rates, elapsed = self.trainer.report(), max(1e-6, now - self._reported)
        self._reported = now
        self._session.emit(
            Step(
                round=self.stage.number,
                step=self.trainer.step,
                steps=self.stage.steps,
                loss=rates.loss,
                learning_rate=rates.learning_rate,
                tokens_per_second=round(rates.tokens / elapsed, 1),
                examples_per_second=round(rates.examples / elapsed, 2),
                rank_bytes=self._session.ranks.memory(self._session.accelerator.device),
            )
        )

    def _checkpoint_saved(self, facts: Mapping[str, object]) -> None:
        step = facts["step"]
        assert isinstance(step, int)
        self._session.emit(CheckpointSaved(round=self.stage.number, step=step))
