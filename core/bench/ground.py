"""The ground of all comparisons: models by size, rows, device, and thoroughness.

Rows are the real Ruby ones where there are some, else the bundled corpus. The base model is CodeBERT's size with random weights;
it reads the same token ids as the bundled one.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from accelerate import Accelerator

from ..data import Batch, BatchOrder, Encoded, collate, encode_for
from ..errors import ModelError
from ..families.config import CODEBERT
from ..families.device import make_accelerator, precision_of, width_multiple
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..model import load_model, load_reader
from ..recipe import Precision, Training
from ..text.rows import load_rows
from ..train.trainer import Trainer
from .measure import timed

DATA_VARIABLE = "CODEPRUNE_RUBY_DATA"
SIZES = ("mini", "base")


@dataclass
class Ground:
    """Loads models, readers and rows once, and keeps them."""

    bundle: Path
    """Folder that holds `ruby-mini` and `demo-ruby`."""
    accelerator: Accelerator
    threads: int
    quick: bool
    _models: dict[str, CodeToText] = field(default_factory=dict)

    @cached_property
    def data(self) -> Path:
        """Folder of the rows."""
        given = Path(os.environ.get(DATA_VARIABLE, "data/ruby"))
        return given if any(given.glob("valid*")) else self.bundle / "demo-ruby"

    @property
    def rows(self) -> str:
        """The rows in words."""
        return "the bundled demo corpus" if self.data.name == "demo-ruby" else "CodeXGLUE's Ruby rows"

    @property
    def device(self) -> torch.device:
        """The device of the models."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def mini_path(self) -> Path:
        """Folder of the bundled model."""
        return self.bundle / "ruby-mini"

    @cached_property
    def reader(self) -> Reader:
        """The bundled model's reader."""
        return load_reader(self.mini_path)

    def model(self, size: str) -> CodeToText:
        """A model on the device, in evaluation mode; only one is kept, because base takes gigabytes to train."""
        if size not in self._models:
            self._models.clear()
            self._models[size] = self.fresh(size)
        self._models[size].eval()
        return self._models[size]

    def forget(self) -> None:
        """Drops the models, after one has been trained."""
        self._models.clear()

    def fresh(self, size: str, deeper: int = 1) -> CodeToText:
        """Makes a model that is not shared.

        Args:
            size: mini or base.
            deeper: How many times base's layers.

        Raises:
            ModelError: There is no such size.
        """
        if size == "mini":
            return load_model(self.mini_path).to(self.device)
        if size != "base":
            raise ModelError(f"There is no size {size!r}.", f"Sizes: {', '.join(SIZES)}.")
        torch.manual_seed(0)
        deep = replace(
            CODEBERT, num_hidden_layers=deeper * CODEBERT.num_hidden_layers, decoder_layers=deeper * CODEBERT.decoder_layers
        )
        return CodeToText(deep).to(self.device).eval()

    @cached_property
    def train(self) -> Encoded:
        """Training rows."""
        return self._encoded("train")

    @cached_property
    def valid(self) -> Encoded:
        """Validation rows, for decoding."""
        return self._encoded("valid")

    def _encoded(self, split: str) -> Encoded:
        return encode_for(load_model(self.mini_path), self.reader, load_rows(str(self.data), split, on_broken="skip"))

    def batches(self, count: int, batch_size: int) -> list[Batch]:
        """Batches from all over an epoch, as the engine makes them, in a fixed random order; the same ids for base and mini.

        Neighbours in an epoch may all be short or all be long: a few that follow one another say little about the epoch.
        """
        train = self.train
        order = BatchOrder([len(ids) for ids in train.sources], [len(ids) for ids in train.targets], batch_size, 0)
        steps = [(2 * place + 1) * order.steps_per_epoch // (2 * count) for place in range(count)]
        random.Random(0).shuffle(steps)
        pad, multiple = self.reader.special.pad, width_multiple(self.device)
        return [collate(train, order.batch(step), pad, multiple) for step in steps]

    def sources(self, count: int, batch: int = 1) -> list[list[int]]:
        """Sources spread over the validation rows, in the order of their length.

        Args:
            count: How many, a multiple of `batch`.
            batch: So many neighbours stand together, as in an evaluation, where rows of like length are decoded together.
        """
        by_length, groups = sorted(self.valid.sources, key=len), count // batch
        middles = [(2 * group + 1) * len(by_length) // (2 * groups) for group in range(groups)]
        starts = [min(max(0, middle - batch // 2), len(by_length) - batch) for middle in middles]
        return [source for start in starts for source in by_length[start : start + batch]]

    @property
    def usual_length(self) -> int:
        """Mean number of tokens of a comment, its end included; the random base model, which never ends one, writes as many."""
        return round(sum(len(ids) - 1 for ids in self.valid.targets) / len(self.valid.targets))

    @property
    def precision(self) -> Precision:
        """The precision in which trainers train."""
        return precision_of(self.accelerator)

    @contextmanager
    def training_in(self, precision: Precision) -> Iterator[None]:
        """Lets trainers train in another precision for a while."""
        before = self.precision
        self.accelerator = make_accelerator(str(self.device), precision, self.threads)
        try:
            yield
        finally:  # accelerate has one state for all of a process
            self.accelerator = make_accelerator(str(self.device), before, self.threads)

    def trainer(self, model: CodeToText, masks: dict[str, torch.Tensor]) -> Trainer:
        """The engine's trainer, in the ground's precision."""
        training = Training(steps=1000, batch_size=8)
        return Trainer(
            model, lambda batch: model(batch.sources, batch.targets, places=batch.places), masks, training, 1, self.accelerator
        )

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds: on one thread of a CPU those in which this process had it, for other programs take their share of it."""
        alone = self.threads == 1 and self.device.type == "cpu"
        return time.process_time if alone else time.perf_counter

    @property
    def clock_note(self) -> str:
        """What stands beside numbers that are not seconds on the wall."""
        return "processor time" if self.clock is time.process_time else ""

    def timed(self, action: Callable[[], object]) -> float:
        """Seconds that an action takes by the ground's clock."""
        return timed(action, self.synchronise, self.clock)

    def synchronise(self) -> None:
        """Waits until a GPU has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
