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
from ..families.device import describe
from ..families.roberta import CodeToText, outline
from ..families.units import Block, blocks
from ..provenance import processor
from .speed import Entrant, timed

PARTS = (16, 4, 2, 1)
"""Numbers of units that are timed: all of a layer's divided by these."""
REPEATS = 3
"""Turns that count, after one that warms up."""
DENSE, WHOLE, REST = ("dense", 0), ("whole", 0), ("rest", 0)
"""The models that are timed beside those with one kind of unit: what times are shares of, all heads and neurons, none of them."""


def measure(
    whole: Entrant,
    beam: int,
    batch: int,
    dense: Entrant | None = None,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Latency:
    """Measures the table of a model.

    Args:
        whole: The model with all heads and neurons, on its device; it is not changed. As many sources as a batch are decoded, at
            least 4.
        beam: Beam width.
        batch: Sources decoded together.
        dense: What times are shares of, where that is another model: the one before entries of the vocabulary were dropped.
        repeats: Turns.
        clock: Seconds.
        tell: Called after each timing with their number so far and in all; may raise to end the measurement.

    Returns:
        The table.
    """
    model = whole.model
    own = blocks(model.config.sizes)
    numbers = {
        field: _numbers([block.count for block in own if block.field == field]) for field in {block.field: 0 for block in own}
    }
    variants = {DENSE: dense or whole, WHOLE: whole, REST: replace(whole, model=_only(model, own, "", 0))}
    if dense is None:
        del variants[WHOLE]
    variants |= {
        (field, count): replace(whole, model=_only(model, own, field, count)) for field, each in numbers.items() for count in each
    }
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in variants}
    for turn in range(repeats + 1):
        for number, (key, variant) in enumerate(variants.items(), 1):
            ms = timed(variant, beam, batch, clock)
            if turn:
                taken[key].append(ms)
            tell(turn * len(variants) + number, (repeats + 1) * len(variants))
    return _table(whole, own, numbers, taken, beam, batch)


def _table(
    entrant: Entrant,
    own: Sequence[Block],
    numbers: dict[str, list[int]],
    taken: dict[tuple[str, int], list[float]],
    beam: int,
    batch: int,
) -> Latency:
    dense, sources = taken[DENSE], entrant.sources[: max(batch, 4)]
    shares = {key: statistics.median(a / b for a, b in zip(each, dense, strict=True)) for key, each in taken.items()}
    whole = shares.get(WHOLE, 1.0)
    rest, costs = min(whole, shares[REST]), dict[str, dict[int, float]]()
    for field, counts in numbers.items():
        layers, highest = sum(block.field == field for block in own), 0.0
        costs[field] = {}
        for count in counts:
            highest = max(highest, (shares[field, count] - rest) / layers)  # more units never cost less
            costs[field][count] = highest
    table = Latency(
        _device(entrant.model.device), torch.get_num_threads(), beam, batch,
        round(statistics.mean(map(len, sources))), entrant.tokens, statistics.median(dense), rest, costs,
    )  # fmt: skip
    # The parts add up to the whole: what blocks cost beside each other is not quite what each costs alone.
    sum_of_parts = table.share([(block.field, block.count) for block in own]) - rest
    scale = (whole - rest) / sum_of_parts if sum_of_parts > 0 else 0.0
    scaled = {field: {count: share * scale for count, share in each.items()} for field, each in costs.items()}
    return replace(table, costs=scaled)


def _device(device: torch.device) -> str:
    return f"{describe(device)}, {processor()}" if device.type == "cpu" else describe(device)


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
