"""Compares training with the reference's fixed padding, and masked with dense steps; measures the journal's cost."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from ..compress.criteria import CRITERIA
from ..compress.masks import keep, prunable
from ..data import Batch
from ..run.events import Step
from ..run.journal import JournalWriter
from .ground import Ground
from .measure import Goal, Result, faster, in_turn, sample, timed
from .reference import SOURCE_LENGTH, TARGET_LENGTH, PaddedTrainer

NAME, MASKED, JOURNAL = "training", "masked-step", "journal"
GOALS = {("cpu", "mini", 8): 4.5, ("cpu", "base", 8): 3.5, ("cuda", "base", 8): 4.0, ("cuda", "base", 64): 6.0}
"""(device, size, batch) -> how many times faster than fixed padding."""


def training(ground: Ground, size: str) -> list[Result]:
    """Examples trained, ours against fixed padding."""
    if ground.device.type == "cuda":
        return [_training(ground, size, batch_size) for batch_size in (8, 64)]
    results = [_training(ground, size, 8)]
    if not ground.quick:
        with ground.training_in("bf16"):
            results.append(_training(ground, size, 8))
    return results


def _training(ground: Ground, size: str, batch_size: int) -> Result:
    """Both sides in the ground's precision."""
    ours_steps, times = (2, 1) if ground.quick else (24, 3) if size == "mini" else (3, 3)
    theirs_steps = 1 if ground.quick or size == "base" else 3  # at fixed lengths all steps cost the same
    batches = ground.batches(ours_steps * times, batch_size)
    model = ground.model(size)
    trainer, reference = ground.trainer(model, {}), PaddedTrainer(model, precision=ground.precision)

    def each(step: Callable[[Batch], object], mine: list[Batch]) -> float:
        def train() -> None:
            for batch in mine:
                step(batch)

        return ground.timed(train) / sum(len(batch.rows) for batch in mine)

    def ours(turn: int) -> float:
        return each(trainer.train_step, batches[turn * ours_steps : (turn + 1) * ours_steps])

    def theirs(turn: int) -> float:
        return each(reference.train_step, batches[turn * theirs_steps : (turn + 1) * theirs_steps])

    each(trainer.train_step, batches[-1:])  # makes the optimizers' states, which are not part of a step
    each(reference.train_step, batches[-1:])
    sides = in_turn(ours, theirs, times, warm=False)
    ground.forget()
    what, against = f"training, batch {batch_size}", "fixed padding to 256 and 128 tokens"
    if ground.precision != "fp32":
        what, against = f"{what}, {ground.precision}", f"{against}, {ground.precision}"
    if ground.precision != "fp32" and ground.device.type == "cpu":
        return faster(NAME, size, what, against, sides, None, note=ground.clock_note)
    least = GOALS.get((ground.device.type, size, batch_size))
    return faster(NAME, size, what, against, sides, least, note="; ".join(filter(None, (_tokens(batches), ground.clock_note))))


def _tokens(batches: list[Batch]) -> str:
    """Number of tokens that each side reads; their ratio is the speed-up where every token costs the same."""
    source, target = (sum(getattr(batch, side).shape[1] for batch in batches) / len(batches) for side in ("sources", "targets"))
    return f"{source:.0f} and {target:.0f} tokens wide in the mean, padding included, against {SOURCE_LENGTH} and {TARGET_LENGTH}"


def masked_step(ground: Ground, size: str) -> list[Result]:
    """A step with half of the encoder pruned against a dense one."""
    times = 3 if ground.quick else 12 if size == "mini" else 2
    batches = ground.batches(times, 8)
    model = ground.model(size)
    weights = prunable(model, "encoder")
    masks = keep({name: weight.detach() for name, weight in weights.items()}, {}, CRITERIA["magnitude"](0), "global", 0.5)
    dense, masked = ground.trainer(model, {}), ground.trainer(model, masks)
    sides = in_turn(
        lambda turn: timed(lambda: masked.train_step(batches[turn]), ground.synchronise),
        lambda turn: timed(lambda: dense.train_step(batches[turn]), ground.synchronise),
        times,
    )
    ours, theirs = sides
    ground.forget()
    goal = Goal(1.03, at_least=False)
    what = "a step with masks, batch 8"
    return [Result(MASKED, size, what, "a dense step", "s/step", ours, theirs, ours.median / theirs.median, goal=goal)]


def journal(ground: Ground, size: str) -> list[Result]:
    """The cost of step events if one were written after every step (in reality one a second)."""
    times = 2 if ground.quick else 8
    batches = ground.batches(times, 8)
    trainer = ground.trainer(ground.model(size), {})
    steps, appends = [], []
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(Path(folder) / "events.jsonl")
        trainer.train_step(batches[0])

        def tell(number: int) -> None:
            rates = trainer.report()
            writer.append(
                Step(
                    round=0,
                    step=number,
                    steps=times,
                    loss=rates.loss,
                    learning_rate=rates.learning_rate,
                    tokens_per_second=0.0,
                    examples_per_second=0.0,
                )
            )

        for number, batch in enumerate(batches):
            steps.append(timed(lambda batch=batch: trainer.train_step(batch), ground.synchronise))  # type: ignore[misc]
            appends.append(timed(lambda number=number: tell(number)))  # type: ignore[misc]
        writer.close()
    ground.forget()
    step, append = sample(steps), sample(appends)
    both = sample([one + other for one, other in zip(steps, appends, strict=True)])
    value = 1 + append.median / step.median
    goal = Goal(1.01, at_least=False)
    return [Result(JOURNAL, size, "a step and its event, batch 8", "a step without", "s/step", both, step, value, goal=goal)]
