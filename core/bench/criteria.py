"""Times each criterion: measuring its basis on calibration rows, and choosing the masks of half of the encoder's weights.

Memory is the peak beyond what the process held before, masks included; the copy of the weights that lets the next criterion begin
with the same model does not count.
"""

from collections.abc import Sequence

import torch
from torch import nn

from ..compress.basis import NOTHING, Row, measure
from ..compress.masks import prunable
from ..compress.selection import Method, prune
from ..families.memory import give_back, peak_bytes, reset_peak, resident_bytes
from ..families.roberta import CodeToText
from ..recipe import Pruning
from ..spec.criteria import CRITERIA
from .ground import Ground
from .measure import Table, timed

NAME = "criteria"
ROWS = Pruning().calibration_rows
SPARSITY = 0.5


def criteria(ground: Ground, size: str) -> list[Table]:
    """The table of all criteria on one model."""
    model = ground.fresh(size)
    weights = prunable(model, "encoder")
    saved = {name: weight.detach().clone() for name, weight in weights.items()}
    count = 4 if ground.quick else ROWS
    rows = list(zip(ground.train.sources[:count], ground.train.targets[:count], strict=True))
    lines = []
    for name in CRITERIA:
        lines.append((name, *_measured(ground, model, weights, rows, Method(name))))
        with torch.no_grad():
            for parameter, weight in weights.items():
                weight.copy_(saved[parameter])
    total = sum(weight.numel() for weight in weights.values()) / 1e6
    title = f"Criteria on {total:.0f} M weights, {count} calibration rows, half pruned, layerwise"
    return [Table(NAME, title, ("criterion", "measuring s", "choosing s", "MB more"), tuple(lines))]


def _measured(
    ground: Ground, model: CodeToText, weights: dict[str, nn.Parameter], rows: Sequence[Row], method: Method
) -> tuple[str, str, str]:
    """Seconds of both parts, and MB."""
    give_back()
    cuda, known = ground.device.type == "cuda", [NOTHING]
    before = torch.cuda.memory_allocated(ground.device) if cuda else resident_bytes()
    torch.cuda.reset_peak_memory_stats(ground.device) if cuda else reset_peak()
    measuring = timed(lambda: known.append(measure(model, rows, weights, method.needs)), ground.synchronise)
    choosing = timed(lambda: prune(weights, {}, method, SPARSITY, 0, known[-1]), ground.synchronise)
    peak = torch.cuda.max_memory_allocated(ground.device) if cuda else peak_bytes()
    return f"{measuring:.2f}", f"{choosing:.2f}", f"{max(0, peak - before) / 1e6:.0f}"
