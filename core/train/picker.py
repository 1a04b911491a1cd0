"""Pickers choose the weights of a round from which the next round is pruned.

Follows Experiment 3 of the paper: BLEU every so many steps; *last* and *best* stop once a score is below the two before it,
*best-no-stop* trains all steps. Knows scores and step numbers, not weights.
"""

from dataclasses import dataclass

from ..recipe import Picker as PickerRecipe


@dataclass(frozen=True)
class Measurement:
    """The score after a step."""

    step: int
    bleu: float


@dataclass(frozen=True)
class Picker:
    """A round's measurements so far, and what its picker makes of them."""

    recipe: PickerRecipe
    measurements: tuple[Measurement, ...] = ()

    def due(self, step: int) -> bool:
        """Whether a measurement belongs to this step and has not been made."""
        every = self.recipe.every
        return bool(every) and step > 0 and step % every == 0 and all(known.step != step for known in self.measurements)

    def with_score(self, step: int, bleu: float) -> "Picker":
        """The picker after one more measurement."""
        return Picker(self.recipe, (*self.measurements, Measurement(step, bleu)))

    @property
    def best(self) -> Measurement | None:
        """The best-scoring measurement, the earliest among equals."""
        return max(self.measurements, key=lambda known: (known.bleu, -known.step), default=None)

    @property
    def stops(self) -> bool:
        """Whether the round ends here: the newest score is below both before it, and the rule stops at that."""
        if self.recipe.rule == "best-no-stop" or len(self.measurements) < 3:
            return False
        *_, second, first, newest = (known.bleu for known in self.measurements)
        return newest < first and newest < second

    def pick(self, last_step: int) -> tuple[int, float | None, str]:
        """The step whose weights are picked, their score if measured, and why.

        Args:
            last_step: The step that the round ended with.
        """
        stopped = "stopped early, " if self.stops else ""
        if self.recipe.rule == "last" or self.best is None:
            known = {measured.step: measured.bleu for measured in self.measurements}
            return last_step, known.get(last_step), f"{stopped}last step"
        return self.best.step, self.best.bleu, f"{stopped}best of {len(self.measurements)} measurements"
