"""The material of the checks: models, rows and trainers on one device; with `quick`, tiny ones of the same make."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from codeprune_tui import bundle
from core.bench.ground import Ground
from core.data import Batch, Encoded
from core.families.config import CodeToTextConfig
from core.families.device import describe, make_accelerator
from core.families.roberta import CodeToText
from core.recipe import Precision, Training
from core.shortage import make_room
from core.train.trainer import Trainer

SIZES = ("mini", "base")
FEW = 24
"""Rows of a split where it is quick."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    check: str
    what: str
    value: float | None = None
    unit: str = ""
    holds: bool | None = None
    """Whether a promise holds; None where nothing is promised."""
    note: str = ""


class Tiny(Ground):
    """The ground with models of one or two narrow layers, and with few rows."""

    def fresh(self, size: str, deeper: int = 1) -> CodeToText:
        """A tiny model in the place of mini or base."""
        torch.manual_seed(0)
        layers, hidden = (1, 32) if size == "mini" else (2, 48)
        config = CodeToTextConfig(
            vocab_size=len(self.reader),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=64,
            decoder_layers=layers,
            decoder_ffn=64,
        )
        return CodeToText(config).to(self.device).eval()

    def _encoded(self, split: str) -> Encoded:
        whole = super()._encoded(split)
        return whole.take(range(FEW))


@dataclass
class Box:
    """A device and what is checked on it."""

    device_name: str
    """The device as the command line gave it, then with its number."""
    ground: Ground
    quick: bool
    ends: float
    """Moment by `time.monotonic` after which no check begins."""

    @property
    def device(self) -> torch.device:
        """The device."""
        return self.ground.device

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU of NVIDIA's."""
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        """The device in words."""
        return describe(self.device)

    @property
    def seconds_left(self) -> float:
        """Seconds in which checks may still begin."""
        return self.ends - time.monotonic()

    def set_up(self, precision: Precision = "auto", *, tf32: bool = False, deterministic: bool = False) -> None:
        """Chooses precision and algorithms for what is trained from now on."""
        self.ground.accelerator = make_accelerator(
            self.device_name, precision, self.ground.threads, tf32=tf32, deterministic=deterministic
        )

    def trainer(self, model: CodeToText, batch_size: int, *, deterministic: bool = False) -> Trainer:
        """A trainer with the engine's usual settings."""
        training = Training(steps=1000, batch_size=batch_size, deterministic=deterministic)

        def loss(batch: Batch) -> torch.Tensor:
            value: torch.Tensor = model(batch.sources, batch.targets, places=batch.places)
            return value

        return Trainer(model, loss, {}, training, 1, self.ground.accelerator)

    def batches(self, batch_size: int, *, repeated: bool = False) -> Iterator[Batch]:
        """Endless batches from all over an epoch, nearly each of a shape of its own; or one of them again and again."""
        size = min(batch_size, FEW // 2) if self.quick else batch_size
        several = self.ground.batches(2 if self.quick else 24, size)
        return itertools.repeat(several[0]) if repeated else itertools.cycle(several)

    def sources(self, most: int) -> list[list[int]]:
        """Sources from all over the rows to decode, so many at most."""
        sources = self.ground.valid.sources
        return sources[:: max(1, len(sources) // most)][:most]

    def timed(self, action: Callable[[], object]) -> float:
        """Seconds of an action, the device's own work included."""
        self.ground.synchronise()
        begun = time.perf_counter()
        action()
        self.ground.synchronise()
        return time.perf_counter() - begun

    def peak_mb(self, action: Callable[[], object]) -> float | None:
        """Runs an action, and says how many MB of the GPU were in use at most; None elsewhere."""
        if not self.cuda:
            action()
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        action()
        return torch.cuda.max_memory_allocated(self.device) / 1e6

    def forget(self) -> None:
        """Drops models and goes back to the usual settings."""
        self.ground.forget()
        self.set_up()
        make_room()


def make_box(device: str, *, quick: bool, ends: float) -> Box:
    """The material on a device, with the usual precision there."""
    accelerator = make_accelerator(device, "auto", 0)
    ground = (Tiny if quick else Ground)(bundle.folder(), accelerator, torch.get_num_threads(), quick)
    return Box(str(accelerator.device), ground, quick, ends)
