"""Compares training with what users run otherwise: transformers' `Trainer`, with dynamic padding and rows grouped by length.

Both sides train the same model in fp32 with AdamW, and count the mean loss of the real target tokens. The other side puts all
positions through the output layer, for that is what a model's `forward` returns; its padding is that of each batch.
"""

import tempfile
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import Encoded, pad_lists
from ..families.memory import give_back
from ..families.roberta import CodeToText
from .ground import Ground
from .measure import Result, Sample, faster, sample

NAME = "peers"
BATCH = 8
MEGABATCH = 50
"""Batches inside which the Trainer sorts rows by length: so many steps cost what an epoch's steps cost in the mean."""


def peers(ground: Ground, size: str) -> list[Result]:
    """Examples trained, ours against the Trainer's."""
    steps = 2 if ground.quick else MEGABATCH if size == "mini" else MEGABATCH // 2
    turns = 1 if ground.quick or size == "base" else 3
    times: tuple[list[float], list[float]] = ([], [])
    with ground.training_in("fp32"):
        for turn in range(turns):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                times[side].append((_ours, _theirs)[side](ground, size, steps))
                ground.forget()
                give_back()
    sides: tuple[Sample, Sample] = sample(times[0]), sample(times[1])
    what, against = f"training, batch {BATCH}, fp32", "transformers' Trainer, dynamic padding, grouped by length"
    note = ", ".join(filter(None, (f"{steps} steps of each side", f"{turns} times" if turns > 1 else "once", ground.clock_note)))
    return [faster(NAME, size, what, against, sides, None, note=note)]


def _ours(ground: Ground, size: str, steps: int) -> float:
    """Seconds an example of the engine's trainer."""
    batches = ground.batches(steps, BATCH)
    trainer = ground.trainer(ground.model(size), {})
    trainer.train_step(batches[0])  # makes the optimizer's state

    def train() -> None:
        for batch in batches:
            trainer.train_step(batch)

    return ground.timed(train) / (steps * BATCH)


def _theirs(ground: Ground, size: str, steps: int) -> float:
    """Seconds an example of transformers' Trainer, from its second step on: the first one makes the optimizer's state."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not followed: its import takes long
        began = ended = 0.0

        def on_step_end(self, *_: object, **__: object) -> None:
            ground.synchronise()
            self.ended = ground.clock()
            self.began = self.began or self.ended

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=Peer(ground.model(size)),
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                max_steps=steps + 1,
                train_sampling_strategy="group_by_length",
                learning_rate=5e-5,
                max_grad_norm=1.0,
                use_cpu=ground.device.type == "cpu",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                logging_strategy="no",
                remove_unused_columns=False,
                seed=0,
            ),
            train_dataset=Rows(ground.train),
            data_collator=Padding(ground.reader.special.pad),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)  # stdout is for results
        trainer.train()
    return (clock.ended - clock.began) / (steps * BATCH)


class Peer(nn.Module):
    """The model as the Trainer wants it: `forward` gives the loss and all logits.

    Args:
        model: On its device.
    """

    def __init__(self, model: CodeToText) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The mean loss over real target tokens.

        Args:
            input_ids: (batch, source time) int64, padded.
            labels: (batch, target time) int64, padded.
        """
        states = self.model.decode(self.model.encode(input_ids), labels)
        logits = self.model.token_logits(states)[:, :-1].float()  # (batch, target time - 1, vocab)
        loss = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=self.model.special.pad)
        return {"loss": loss, "logits": logits}


class Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """Rows as the Trainer reads them.

    Args:
        encoded: The rows.
    """

    def __init__(self, encoded: Encoded) -> None:
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded.rows)

    def __getitem__(self, place: int) -> dict[str, list[int]]:
        return {"input_ids": list(self._encoded.sources[place]), "labels": list(self._encoded.targets[place])}


class Padding:
    """Pads each batch to its longest source and target.

    Args:
        pad: The id that fills up.
    """

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
        """One batch, (batch, time) int64 each."""
        return {name: pad_lists([row[name] for row in rows], self._pad) for name in ("input_ids", "labels")}
