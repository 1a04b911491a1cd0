"""A budget of time: units are kept so that a wanted speed is reached at the least summed score.

A table says what each number of units of a block costs, as a share of the dense model's time (`evaluate.latency` measures it). A
model's time is taken for the sum of its blocks' and of a rest that no unit costs, so which units go is a knapsack with one choice
for each block, solved by dynamic programming over shares of time.

Sources: Kwon et al. 2022 (masks under a latency constraint); Kurtic et al. 2023, ZipLM (table and dynamic programming).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..families.units import Block

BUCKETS = 4000
"""Steps into which the dense model's time is cut: fine beside what is measured, and fast to go through."""
STEPS = 32
"""Most numbers of units of a block that are weighed, beside none: each of 12 heads, every 48th of 1,536 neurons."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Latency:
    """What units cost on a device."""

    device: str
    threads: int
    beam: int
    batch: int
    source_length: int
    """Tokens of a source, the mean of those timed."""
    tokens: int
    """Tokens written for each source."""
    dense_ms: float
    """Milliseconds a source of the dense model."""
    rest: float
    """Share of the dense model's time that no unit costs: embeddings, norms, output layer, the search itself."""
    costs: dict[str, dict[int, float]]
    """Entry of the configuration, such as heads_by_layer -> number of units in a layer -> share of the dense model's time that
    they cost."""

    def cost(self, field: str, count: int) -> float:
        """The share of the dense model's time that units of one layer cost; a straight line between measured numbers."""
        known = {0: 0.0, **self.costs[field]}
        return float(np.interp(count, sorted(known), [known[number] for number in sorted(known)]))

    def share(self, counts: Sequence[tuple[str, int]]) -> float:
        """The share of the dense model's time that a model takes, from the entry and number of units of each of its blocks."""
        return self.rest + sum(self.cost(field, count) for field, count in counts)

    def facts(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> Self:
        """Reads what `facts` wrote.

        Raises:
            TypeError: It is something else: it has other entries.
            ValueError: Its costs are no table, or hold what is no number.
            AttributeError: A field's costs are no table.
        """
        known = dict(facts)
        given = known.pop("costs")
        if not isinstance(given, dict):
            raise ValueError("no table of costs")
        costs = {str(field): {int(count): float(share) for count, share in each.items()} for field, each in given.items()}
        return cls(**known, costs=costs)  # type: ignore[arg-type]  # whoever reads a table checks it by these errors


@dataclass(frozen=True)
class TimeBudget:
    """A speed to reach, in place of a sparsity."""

    table: Latency
    speedup: float
    """Times as fast as the dense model."""


def counts_within(
    blocks: Sequence[Block], losses: Sequence[Sequence[float]], others: Sequence[Block], time: TimeBudget
) -> list[int]:
    """How many units of each block stay, so that the model reaches a speed and loses the least.

    Args:
        blocks: The blocks whose units may go.
        losses: For each block, by number of units that go (from 0): the summed score of those, the lowest first; one entry more
            than there are units. What is pruned already costs nothing.
        others: All other blocks of the model, which stay as they are.
        time: The speed, and what units cost.

    Returns:
        Units that stay, for each block.

    Raises:
        ModelError: Without any of these units the model would not be as fast.
    """
    table, speedup = time.table, time.speedup
    room = 1 / speedup - table.share([(block.field, block.count) for block in others])
    choices = [_choices(block, lost) for block, lost in zip(blocks, losses, strict=True)]
    prices = [np.array([table.cost(block.field, count) for count in kept]) for block, kept in zip(blocks, choices, strict=True)]
    if room < sum(float(price.min()) for price in prices):
        fastest = 1 / (1 / speedup - room + sum(float(price.min()) for price in prices))
        raise ModelError(
            f"Without any of the units that may go, this model would be {fastest:.2f} × as fast here, not {speedup:g} ×.",
            f'Set pruning.speedup below {fastest:.2f}, or pruning.prunable = "all" and unit = "head+neuron".',
        )
    values = [
        np.array([lost[block.count - count] for count in kept]) for block, kept, lost in zip(blocks, choices, losses, strict=True)
    ]
    picked = _cheapest(prices, values, room)
    return [kept[choice] for kept, choice in zip(choices, picked, strict=True)]


def _choices(block: Block, lost: Sequence[float]) -> list[int]:
    """The numbers of units that are weighed; the largest is that of the units that are there."""
    there = block.count - max(number for number, loss in enumerate(lost) if loss <= 0.0)
    return sorted({round(there * step / STEPS) for step in range(STEPS + 1)})


def _cheapest(prices: Sequence[Floats], values: Sequence[Floats], room: float) -> list[int]:
    """The choice in each group with the least sum of values whose prices fit."""
    least = [float(price.min()) for price in prices]  # paid in any case, and so not rounded up
    step = 1 / BUCKETS
    places = int((room - sum(least)) / step + 1e-9)
    best = np.zeros(places + 1)
    taken: list[npt.NDArray[np.int64]] = []
    for price, value, floor in zip(prices, values, least, strict=True):
        weights = np.ceil((price - floor) / step - 1e-9).astype(np.int64)
        options = np.full((len(price), places + 1), np.inf)
        for option, (weight, loss) in enumerate(zip(weights, value, strict=True)):
            if weight <= places:
                options[option, weight:] = best[: places + 1 - weight] + loss
        taken.append(options.argmin(0))
        best = options.min(0)
    picked, place = [], places
    for price, floor, choice in zip(reversed(prices), reversed(least), reversed(taken), strict=True):
        option = int(choice[place])
        place -= int(np.ceil((price[option] - floor) / step - 1e-9))
        picked.append(option)
    return picked[::-1]
