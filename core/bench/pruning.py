"""Compares global magnitude pruning with `torch.nn.utils.prune.global_unstructured`: time, and memory beyond the weights.

Each side runs in a process of its own, this module as a program, because a peak of memory belongs to a process.
"""

import json
import subprocess
import sys

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from ..compress.criteria import CRITERIA
from ..compress.masks import Masks, keep
from ..errors import TrainingError
from ..families.memory import peak_bytes, reset_peak, resident_bytes
from .ground import Ground
from .measure import Result, faster, sample, timed

NAME = "pruning"
MATRICES = 36
"""Matrices of 768 × 3072 weights, 85 M together: base's encoder."""
SPARSITY = 0.5


def pruning(ground: Ground, size: str = "") -> list[Result]:
    """Time and extra memory of global magnitude pruning."""
    matrices, times = (2, 1) if ground.quick else (MATRICES, 2)
    pairs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for _ in range(times):
        for side in pairs:
            pairs[side].append(_in_a_process(side, matrices, ground.threads))
    seconds, extra = ([sample([pair[part] for pair in pairs[side]]) for side in pairs] for part in (0, 1))
    what = f"global magnitude over {matrices * 768 * 3072 / 1e6:.0f} M weights"
    against = "torch.nn.utils.prune.global_unstructured"
    return [
        faster(NAME, "", f"{what}: time", against, (seconds[0], seconds[1]), 25.0, unit="s"),
        faster(NAME, "", f"{what}: memory beyond weights and masks", against, (extra[0], extra[1]), 20.0, unit="MB"),
    ]


def ours(weights: dict[str, nn.Parameter]) -> Masks:
    """Makes the engine's masks."""
    return keep(weights, {}, CRITERIA["magnitude"](0), "global", SPARSITY)


def theirs(modules: list[nn.Module]) -> list[Tensor]:
    """Makes torch's masks, which stay on the modules."""
    prune.global_unstructured([(module, "weight") for module in modules], pruning_method=prune.L1Unstructured, amount=SPARSITY)
    return [module.weight_mask for module in modules]  # type: ignore[misc]  # a buffer that torch adds


def modules(count: int) -> list[nn.Module]:
    """Linear layers of base's size with random weights."""
    torch.manual_seed(0)
    return [nn.Linear(3072, 768, bias=False) for _ in range(count)]


def _in_a_process(side: str, matrices: int, threads: int) -> tuple[float, float]:
    """Seconds, and MB beyond the weights."""
    command = [sys.executable, "-P", "-m", "core.bench.pruning", side, str(matrices), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrainingError(f"The side {side!r} of the pruning benchmark failed: {done.stderr[-500:]}", "")
    seconds, extra = json.loads(done.stdout)
    return float(seconds), float(extra)


def _main(side: str, matrices: int, threads: int) -> None:
    torch.set_num_threads(threads)
    layers = modules(matrices)
    weights = {f"{number}.weight": layer.weight for number, layer in enumerate(layers)}
    kept: list[object] = []
    before = resident_bytes()
    reset_peak()
    action = (lambda: kept.append(ours(weights))) if side == "ours" else (lambda: kept.append(theirs(layers)))  # type: ignore[arg-type]
    seconds = timed(action)
    print(json.dumps([seconds, max(1.0, (peak_bytes() - before) / 1e6)]))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
