"""Pruning as a verb: prunes a model once, without training, and writes it as a folder with its masks.

The result is what round 1 of a run with the same settings begins with: equal seed and rows, equal masks (on a GPU, where a
criterion measures gradients, nearly equal ones). How much the output of each matrix changes is measured on training rows that the
criterion has not seen.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import complete_or_absent
from ..compress import figures
from ..compress.basis import NOTHING, Basis, Row, measure
from ..compress.masks import Masks, prunable, save_masks, sparsity_of
from ..compress.output_errors import output_errors
from ..compress.selection import Method, prune_model, scored
from ..errors import ModelError
from ..families.device import choose_device, describe
from ..families.roberta import CodeToText
from ..model import MASKS, load_masks, load_model, load_reader, save_model
from ..provenance import versions
from ..recipe import Device, Pruning
from ..seeds import derive_seed
from .calibration import load_drawn
from .sensitivity import refuse_quantized

FACTS = "pruning.json"
"""Beside the weights: how they were pruned."""


@dataclass(frozen=True)
class Pruned:
    """A model that was pruned once."""

    sparsity: float
    """Of the matrices that were to be pruned."""
    kept: int
    total: int
    seconds: float
    """Measuring and pruning, loading and saving left out."""
    matrices: Mapping[str, Mapping[str, Any]]
    """Parameter -> sparsity, dead rows and heads; where asked for, the error of its output and the overlap with other masks."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """All that the masks depend on."""


@dataclass(frozen=True)
class PruneRequest:
    """What is to be pruned, and what is to be measured of it."""

    pruning: Pruning
    data: str = ""
    """Folder or hub name of the data; needed where the criterion looks at it, or for errors."""
    seed: int = 0
    errors: bool = False
    """Whether to measure the error of each matrix's output."""
    against: str = ""
    """Another pruned model, whose masks are compared with these; "" for none."""


def prune_folder(
    source: str,
    folder: Path,
    request: PruneRequest,
    *,
    device: Device = "auto",
    threads: int = 0,
    clock: Callable[[], float],
    progress: Callable[[str, int, int], None] = lambda what, done, rows: None,
) -> Pruned:
    """Prunes a model and writes it to a new folder, complete or absent.

    Args:
        source: Folder or hub name of the model; what is pruned in it stays pruned.
        folder: To be written.
        request: What to prune.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.
        clock: Seconds.
        progress: Called with what is measured, and how many of its rows are done.

    Returns:
        What came of it.

    Raises:
        ModelError: The model cannot be loaded or pruned in this way, or the folder exists.
        DataError: The data cannot be read.
    """
    if folder.exists():
        raise ModelError(f"{folder} exists already.", "Give another folder with -o, or remove this one.")
    where = choose_device(device, threads)
    model, reader = load_model(source).to(where), load_reader(source)
    refuse_quantized(model, source)
    old = {name: mask.to(where) for name, mask in load_masks(source).items()}
    other = load_masks(request.against) if request.against else {}
    pruning, needs = request.pruning, Method.of(request.pruning).needs
    rows = load_drawn(model, reader, request.data, pruning.calibration_rows, request.seed) if needs else []
    unseen: list[Row] = []
    if request.errors:
        more = load_drawn(model, reader, request.data, 2 * pruning.calibration_rows, request.seed + 1)
        unseen = _unseen(more, rows)[: pruning.calibration_rows]
    started = clock()
    names = scored(model, pruning)
    basis = measure(model, rows, names, needs, lambda done: progress(pruning.criterion, done, len(rows))) if needs else NOTHING
    hessians = _hessians(model, unseen, pruning, progress)
    masks, errors = _prune(model, old, request, basis, hessians)
    seconds = clock() - started
    facts = _facts(source, request, model, len(rows))
    result = Pruned(
        sparsity=sparsity_of(masks),
        kept=sum(int(mask.sum()) for mask in masks.values()),
        total=sum(mask.numel() for mask in masks.values()),
        seconds=round(seconds, 3),
        matrices={name: _matrix(model, name, mask, errors.get(name), other.get(name)) for name, mask in masks.items()},
        facts=facts,
    )
    with complete_or_absent(folder) as draft:
        save_model(model, reader, draft)
        save_masks(old | masks, draft / MASKS)
        (draft / FACTS).write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


def _prune(
    model: CodeToText, old: Masks, request: PruneRequest, basis: Basis, hessians: Mapping[str, Tensor]
) -> tuple[Masks, dict[str, float]]:
    before = {name: model.get_parameter(name).detach().clone() for name in hessians}
    seed = derive_seed(request.seed, "criterion", 1)
    masks = prune_model(model, old, request.pruning, request.pruning.final_sparsity, seed, basis)
    after = {name: model.get_parameter(name).detach() for name in hessians}
    return masks, output_errors(before, after, hessians)


def _hessians(
    model: CodeToText, rows: Sequence[Row], pruning: Pruning, progress: Callable[[str, int, int], None]
) -> Mapping[str, Tensor]:
    if not rows:
        return {}
    names = prunable(model, pruning.prunable, pruning.unit)
    return measure(model, rows, names, {"hessians"}, lambda done: progress("errors", done, len(rows))).hessians


def _unseen(rows: Sequence[Row], seen: Sequence[Row]) -> list[Row]:
    known = {tuple(source) for source, _ in seen}
    return [row for row in rows if tuple(row[0]) not in known]


def _matrix(model: CodeToText, name: str, mask: Tensor, error: float | None, other: Tensor | None) -> dict[str, Any]:
    sizes = model.config.sizes
    heads = figures.Heads(sizes.encoder_heads, sizes.decoder_heads, sizes.cross_heads)
    measured = figures.measure(1, name, model.get_parameter(name), mask, figures.Before(other), heads.of(name))
    facts: dict[str, Any] = {
        "sparsity": round(1 - measured.kept / mask.numel(), 6),
        "dead_rows": measured.dead_rows,
        "dead_columns": measured.dead_columns,
        "heads": measured.heads,
        "dead_heads": measured.dead_heads,
    }
    return facts | ({} if error is None else {"output_error": error}) | ({} if other is None else {"overlap": measured.overlap})


def _facts(source: str, request: PruneRequest, model: CodeToText, rows: int) -> dict[str, Any]:
    table = request.pruning.model_dump(include={"criterion", "scope", "budget", "pattern", "prunable", "unit", "final_sparsity"})
    return {
        "model": Path(source).name,
        "data": Path(request.data).name,
        **table,
        "calibration_rows": rows,
        "seed": request.seed,
        "device": describe(model.device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
