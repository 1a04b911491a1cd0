"""Scores a round's weights by their comments, between steps for its picker and at its end; says which are the best so far.

Journals the scores, and obeys commands between two batches. Knows nothing of masks, nor of what a round leaves on disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..evaluate.evaluate import Evaluation, as_event, evaluate, measure_encoder_off
from ..recipe import Evaluation as EvaluationRecipe
from ..run.encoder_off import SIGNATURE, EncoderOff
from ..run.events import EncoderOffMeasured, Evaluated, Evaluating, Scores, Warned
from ..score import significance
from ..score.interval import Difference
from .checkpoint import BEST_FILE, Checkpoint, load_tensors, save_best
from .picker import Measurement, Picker
from .round import Round

SAMPLES = 6
"""Number of validation methods whose comments every evaluation event carries."""


class CommentScores:
    """The examiner of a round: scores held-out comments, and lets a picker decide.

    Args:
        round_: The round.
        measurements: Those of its resume point, as JSON.
    """

    def __init__(self, round_: Round, measurements: Sequence[Mapping[str, Any]] = ()) -> None:
        self._round, self._session, self._material = round_, round_.session, round_.material
        known = tuple(Measurement(**measured) for measured in measurements)
        self.picker = Picker(round_.session.recipe.picker, known)
        self.newest: tuple[int, Evaluation] | None = None
        """The newest evaluation of this process, after its step; not needed to resume."""

    @property
    def measurements(self) -> list[dict[str, Any]]:
        """As `Examiner.measurements`."""
        return [asdict(measured) for measured in self.picker.measurements]

    @property
    def stops(self) -> bool:
        """As `Examiner.stops`."""
        return self.picker.stops

    @property
    def _recipe(self) -> EvaluationRecipe:
        """How the run evaluates, with its batch size."""
        recipe, size = self._session.recipe.evaluation, self._material.decoding_batch
        return recipe.model_copy(update={"batch_size": size}) if size else recipe

    @property
    def best_file(self) -> Path:
        """File of the best weights of the round, by its picker."""
        return self._session.paths.resume / BEST_FILE

    def due(self, step: int) -> bool:
        """As `Examiner.due`."""
        return self.picker.due(step)

    def measure(self, step: int, save: Callable[[], None]) -> bool:
        """Scores the weights as they are, for the picker; they are kept if they are the best so far, and it may pick them."""
        evaluation = self.evaluate(step, step, save)
        self.picker = self.picker.with_score(step, evaluation.result.scores.bleu)
        return self.picker.best == self.picker.measurements[-1] and self._session.recipe.picker.rule != "last"

    def check_best(self, checkpoint: Checkpoint) -> None:
        """Refuses to resume without the best weights of the round, by its picker.

        Args:
            checkpoint: The one from which the round goes on. Where the best weights are its own, they are written once more: they
                were on their way to the disk when it had arrived.

        Raises:
            RunError: The weights are missing, or of an earlier step.
        """
        best, number = self.picker.best, self._round.number
        if best is None or self._session.recipe.picker.rule == "last":
            return
        if checkpoint.facts.get("step") == best.step:
            if self._session.ranks.leads:
                save_best(self._session.paths.resume, checkpoint.tensors, checkpoint.facts)
            return
        start_anew = f"Put it back, or delete {self._session.paths.resume}: round {number} begins again."
        if not self.best_file.exists():
            raise RunError(f"{self.best_file} is missing: the weights that the picker has as the best.", start_anew)
        facts, _ = load_tensors(self.best_file)
        step = facts.get("step")
        # Of a later step: an older version, which wrote them before the checkpoint, was killed in between. It is measured again.
        if facts.get("round") != number or not isinstance(step, int) or step < best.step:
            raise RunError(f"{self.best_file} is not of round {number}, step {best.step}.", start_anew)

    def evaluate(self, step: int, at: int, save: Callable[[], None]) -> Evaluation:
        """Scores the weights as they are, and journals the scores.

        Args:
            step: The step they are of.
            at: The step where the round stands.
            save: Writes a checkpoint of where the round stands.
        """
        session, material, number = self._session, self._material, self._round.number
        rows = len(material.held_out.rows)

        def after_batch(done: int) -> None:
            session.emit(Evaluating(round=number, step=step, done=done, rows=rows))
            session.breathe(number, at, save)

        recipe = self._recipe
        evaluation = evaluate(
            material.model, material.reader, material.held_out, recipe, after_batch, material.floors, session.clock,
            material.embedder, session.ranks.search,
        )  # fmt: skip
        session.emit(
            Evaluated(
                round=number,
                step=step,
                split=recipe.split,
                rows=rows,
                scores=evaluation.scores,
                floors=floors(evaluation),
                signatures=evaluation.signatures,
                seconds=round(evaluation.seconds, 3),
                samples=evaluation.samples(SAMPLES),
            )
        )
        self.newest = (step, evaluation)
        return evaluation

    def evaluate_encoder_off(self, step: int, at: int, evaluation: Evaluation, save: Callable[[], None]) -> EncoderOff:
        """Scores the weights without the encoder's layers: the floor that the whole study is compared with.

        Args:
            step: The step they are of.
            at: The step where the round stands.
            evaluation: Of the model as it is.
            save: Makes sure that there is a checkpoint of where the round stands.
        """
        session, material, number = self._session, self._material, self._round.number
        rows = len(material.held_out.rows)

        def after_batch(done: int) -> None:
            session.emit(Evaluating(round=number, step=step, done=done, rows=rows, encoder_off=True))
            session.breathe(number, at, save)

        recipe = self._recipe
        off = measure_encoder_off(
            material.model, material.reader, material.held_out, recipe, evaluation, after_batch, material.embedder,
            session.ranks.search,
        )  # fmt: skip
        session.emit(
            EncoderOffMeasured(
                round=number,
                step=step,
                split=recipe.split,
                rows=rows,
                scores=off.scores,
                intervals=dict(off.intervals),
                dense_less=dict(off.dense_less),
                signatures={**evaluation.signatures, "encoder_off": SIGNATURE},
                seconds=round(off.seconds, 3),
            )
        )
        return off

    def measure_precision(self, step: int, at: int, evaluation: Evaluation, save: Callable[[], None]) -> dict[str, Difference]:
        """Measures what decoding in another precision than the model's changes, and journals it.

        Args:
            step: The step that the weights are of.
            at: The step where the round stands.
            evaluation: In the recipe's precision.
            save: Makes sure that there is a checkpoint of where the round stands.

        Returns:
            Measure -> the score in the recipe's precision minus that in the model's own, on the same rows.
        """
        session, material, rows = self._session, self._material, len(self._material.held_out.rows)

        def after_batch(done: int) -> None:
            session.emit(Evaluating(round=self._round.number, step=step, done=done, rows=rows))
            session.breathe(self._round.number, at, save)

        recipe = self._recipe.model_copy(update={"precision": "model"})
        own = evaluate(
            material.model, material.reader, material.held_out, recipe, after_batch, material.floors, session.clock,
            search=session.ranks.search,
        )  # fmt: skip
        less = significance.differences([evaluation.tally], [own.tally], significance.draw(rows))
        same = sum(one == other for one, other in zip(evaluation.predictions, own.predictions, strict=True))
        scores = ", ".join(f"{name} {each.value:+.2f} ({each.low:+.2f} to {each.high:+.2f})" for name, each in less.items())
        what = f"Decoding in {session.recipe.evaluation.precision} instead of the model's precision, measured once"
        session.emit(Warned(message=f"{what}: {scores}; {same} of {rows} comments are the same."))
        return less


def floors(evaluation: Evaluation) -> dict[str, Scores]:
    """The scores of a constant sentence and of the method's name on the same rows, as events carry them."""
    return {"constant": as_event(evaluation.floors.constant), "name": as_event(evaluation.floors.name)}
