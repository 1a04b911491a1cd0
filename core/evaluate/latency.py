"""Measures what heads and neurons cost on a device: models with other numbers of them decode the same sources, in turns.

One kind of unit at a time is left in every layer, in some number, beside a model without any: what is more is what they cost.
Times are shares of the dense model's in the same turn, so that a busy machine changes little; all models write as many tokens.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..compress.latency import Latency
from ..compress.masks import Masks
from ..compress.shrink import plan
from ..decode import search_all
from ..families.device import describe
from ..families.roberta import CodeToText, outline
from ..families.units import Block, blocks
from ..recipe import Search
from .speed import endless

PARTS = (16, 4, 2, 1)
"""Numbers of units that are timed: all of a layer's divided by these."""
REPEATS = 3
"""Turns that count, after one that warms up."""


def measure(
    model: CodeToText,
    sources: Sequence[Sequence[int]],
    beam: int,
    batch: int,
    tokens: int,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Latency:
    """Measures the table of a model.

    Args:
        model: On its device; it is not changed.
        sources: Token ids; as many as a batch are decoded, at least 4.
        beam: Beam width.
        batch: Sources decoded together.
        tokens: Tokens written for each.
        repeats: Turns.
        clock: Seconds.
        tell: Called after each timing with their number so far and in all; may raise to end the measurement.

    Returns:
        The table.
    """
    own = blocks(model.config.sizes)
    numbers = {
        field: _numbers([block.count for block in own if block.field == field]) for field in {block.field: 0 for block in own}
    }
    variants: dict[tuple[str, int], CodeToText] = {("", 1): model, ("", 0): _only(model, own, "", 0)}
    variants |= {(field, count): _only(model, own, field, count) for field, each in numbers.items() for count in each}
    some = list(sources[: max(batch, 4)])
    search = Search(beam, tokens, batch_size=batch)
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in variants}
    for turn in range(repeats + 1):
        for number, (key, variant) in enumerate(variants.items(), 1):
            seconds = _timed(variant, some, search, clock)
            if turn:
                taken[key].append(seconds)
            tell(turn * len(variants) + number, (repeats + 1) * len(variants))
    return _table(model, own, numbers, taken, some, search)


def _table(
    model: CodeToText,
    own: Sequence[Block],
    numbers: dict[str, list[int]],
    taken: dict[tuple[str, int], list[float]],
    sources: Sequence[Sequence[int]],
    search: Search,
) -> Latency:
    dense = taken["", 1]
    shares = {key: statistics.median(a / b for a, b in zip(each, dense, strict=True)) for key, each in taken.items()}
    rest, costs = min(1.0, shares["", 0]), dict[str, dict[int, float]]()
    for field, counts in numbers.items():
        layers, highest = sum(block.field == field for block in own), 0.0
        costs[field] = {}
        for count in counts:
            highest = max(highest, (shares[field, count] - rest) / layers)  # more units never cost less
            costs[field][count] = highest
    table = Latency(
        describe(model.device), torch.get_num_threads(), search.beam, search.batch_size,
        round(statistics.mean(map(len, sources))), search.max_length, 1000 * statistics.median(dense) / len(sources), rest, costs,
    )  # fmt: skip
    # The parts add up to the whole: what blocks cost beside each other is not quite what each costs alone.
    sum_of_parts = table.share([(block.field, block.count) for block in own]) - rest
    scale = (1 - rest) / sum_of_parts if sum_of_parts > 0 else 0.0
    scaled = {field: {count: share * scale for count, share in each.items()} for field, each in costs.items()}
    return replace(table, costs=scaled)


def _numbers(counts: Sequence[int]) -> list[int]:
    most = max(counts, default=0)
    return sorted({max(1, most // part) for part in PARTS}) if most else []


def _only(model: CodeToText, own: Sequence[Block], field: str, count: int) -> CodeToText:
    """The model with so many units of one kind in every layer and none of the others; it shares weights with the whole."""
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    masks: Masks = {}
    for block in own:
        kept = min(count, block.count) * block.width if block.field == field else 0
        masks[block.columns] = torch.ones_like(weights[block.columns], dtype=torch.bool)
        masks[block.columns][:, kept:] = False
    small = plan(model.config, masks)
    smaller = outline(small.config)
    smaller.load_state_dict(small.cut(weights), strict=False, assign=True)
    smaller.tie()
    return smaller.eval()


def _timed(model: CodeToText, sources: Sequence[Sequence[int]], search: Search, clock: Callable[[], float]) -> float:
    with endless(model):
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        begun = clock()
        search_all(model, sources, search)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        return clock() - begun
