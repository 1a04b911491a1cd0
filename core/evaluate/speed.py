"""Speed of models against each other: the same sources, the same beam, the same number of tokens, in turns.

A damaged decoder runs on and looks slow, so the end of a sentence is forbidden: every model writes as many tokens as every other,
or, where one has a smaller vocabulary, as many as the same comments have in its tokens.
Turns alternate, so that whatever else the machine does affects all models, and medians are compared.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data import Encoded
from ..decode import search_all
from ..families.roberta import CodeToText
from ..recipe import Search

BATCHES = (1, 16)
"""Numbers of sources decoded together."""
TOKENS = 15
"""Tokens of each comment: about as many as comments of Ruby methods have."""
REPEATS = 5
"""Turns of every model that count, after one that warms up."""


@dataclass(frozen=True)
class Entrant:
    """A model that is timed, and what it reads and writes."""

    model: CodeToText
    sources: Sequence[Sequence[int]]
    """The same texts for every model, in the model's own tokens."""
    tokens: int = TOKENS
    """Tokens that it writes for every source."""


@dataclass(frozen=True)
class Speeds:
    """Times of some models at one batch size."""

    batch: int
    ms: Mapping[str, float]
    """Model -> milliseconds a source, the median of all turns."""
    ratios: Mapping[str, float]
    """Model -> how many times as fast as the first one, the median over turns of both."""


def compare(
    entrants: Mapping[str, Entrant],
    beam: int,
    batches: Sequence[int] = BATCHES,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Speeds]:
    """Times decoding.

    Args:
        entrants: Name -> model and its sources, all on one device; the first is what the others are compared with. The first
            `max(batches)` sources are decoded, at batch 1 the first few one by one.
        beam: Beam width.
        batches: Batch sizes.
        repeats: Turns of every model.
        clock: Seconds.

    Returns:
        One entry a batch size.
    """
    return [_compared(entrants, beam, batch, repeats, clock) for batch in batches]


def equal_tokens(rows: Encoded, dense: Encoded) -> int:
    """Tokens to write: `TOKENS` for the dense model, as many as the same comments have where the vocabulary is smaller.

    Args:
        rows: Some rows in a model's own tokens.
        dense: The same rows in the dense model's tokens.
    """
    return round(TOKENS * sum(map(len, rows.targets)) / sum(map(len, dense.targets)))


def timed(entrant: Entrant, beam: int, batch: int, clock: Callable[[], float]) -> float:
    """Milliseconds a source that a model takes for the first sources, at least 4 of them."""
    model, sources = entrant.model, entrant.sources[: max(batch, 4)]
    with endless(model):
        begun = _now(model, clock)
        search_all(model, sources, Search(beam, entrant.tokens, batch_size=batch))
        return 1000 * (_now(model, clock) - begun) / len(sources)


def _compared(entrants: Mapping[str, Entrant], beam: int, batch: int, repeats: int, clock: Callable[[], float]) -> Speeds:
    taken: dict[str, list[float]] = {name: [] for name in entrants}
    for turn in range(repeats + 1):
        for name, entrant in entrants.items():
            ms = timed(entrant, beam, batch, clock)
            if turn:  # the first one warms up
                taken[name].append(ms)
    first = next(iter(taken.values()))
    ratios = {name: statistics.median(a / b for a, b in zip(first, own, strict=True)) for name, own in taken.items()}
    return Speeds(batch, {name: statistics.median(own) for name, own in taken.items()}, ratios)


@contextmanager
def endless(model: CodeToText) -> Iterator[None]:
    """Keeps a model from ending its sentences for a while."""

    def forbid(module: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        logits[..., model.special.end] = -torch.inf

    handle = model.get_output_layer().register_forward_hook(forbid)
    try:
        yield
    finally:
        handle.remove()


def _now(model: CodeToText, clock: Callable[[], float]) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return clock()
