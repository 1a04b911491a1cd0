"""Quantizing as a verb: saves a quantized model as a folder, or measures the ladder of all quantizers on a folder and its data.

The command line calls this, and an app may; knows neither options nor how a table looks. How each quantizer is measured is
`ladder`'s business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..compress.quantize import quantize
from ..data import Encoded, encode_for, subset
from ..families.device import choose_device, describe
from ..families.weightfiles import find_weights
from ..model import load_model, load_reader, save_model
from ..provenance import QUANTIZING, commit, processor, versions
from ..recipe import Device
from ..score import metrics
from ..spec.checkpoint_files import WEIGHTS
from ..spec.sizes import bytes_by_width
from ..study.ladderfile import Ladder
from ..text.rows import load_rows
from . import ladder
from .ladder import LadderSettings, Tell


@dataclass(frozen=True)
class Shown:
    """How a ladder names its model, data and command: a file that is passed on must not contain this machine's paths."""

    model: str
    data: str
    command: str


def save_quantized_copy(model_path: str, method: str, folder: Path) -> str:
    """Saves a quantized copy of a model.

    Args:
        model_path: Folder or hub name of the model.
        method: One of `METHODS` that can be saved.
        folder: Must not exist.

    Returns:
        The size of its weights in words, and where they are larger than those it was made from, why.

    Raises:
        ModelError: The model cannot be loaded, quantized or saved with this quantizer.
    """
    before, after = find_weights(model_path), folder / WEIGHTS[0]
    save_model(quantize(load_model(model_path), method), load_reader(model_path), folder)
    return f"{after.stat().st_size / 1e6:.2f} MB{_why_more(before, after, method)}"


def _why_more(before: Path, after: Path, method: str) -> str:
    """Why a quantized file is larger than the one it was made from; "" where it is not."""
    old_bytes, new_bytes = before.stat().st_size, after.stat().st_size
    if new_bytes <= old_bytes:
        return ""
    text = f", more than the {old_bytes / 1e6:.2f} MB it was made from"
    old, new = bytes_by_width(before), bytes_by_width(after)
    wider = {bits: stored for bits, stored in new.items() if old and bits > max(old)}
    if not wider:
        return text
    mostly, left = max(wider, key=wider.__getitem__), sum(wider.values())
    return f"{text}: there all was in {max(old)} bits, and what {method} leaves alone, {left / 1e6:.2f} MB, is in {mostly}"


def measure_ladder(
    model_path: str,
    data_path: str,
    splits: Sequence[str],
    methods: Sequence[str],
    settings: LadderSettings,
    shown: Shown,
    *,
    device: Device = "auto",
    threads: int = 0,
    explain: bool = False,
    tell: Tell = lambda line: None,
    keep: Callable[[Ladder], None] = lambda ladder: None,
) -> Ladder:
    """Measures quantizers on a model folder.

    Args:
        model_path: Folder or hub name of the model.
        data_path: Folder or hub name of the data.
        splits: Splits to score.
        methods: Names from `METHODS`, fp32 first, with which all others are compared.
        settings: How.
        shown: How the ladder names model, data and command.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.
        explain: Whether to measure what each choice of dynamic INT8 costs.
        tell: Called before each part.
        keep: Called with the ladder before explaining, which takes as long again.

    Returns:
        The ladder, with what its numbers depend on.

    Raises:
        CodepruneError: Model or data cannot be loaded.
    """
    chosen = choose_device(device, threads)
    model, reader = load_model(model_path), load_reader(model_path)
    encoded: dict[str, Encoded] = {}
    for split in splits:
        rows = encode_for(model, reader, load_rows(data_path, split))
        encoded[split] = rows.take(subset(len(rows.rows), settings.evaluation.rows, settings.evaluation.seed))
    model = model.to(chosen)
    texts: ladder.Written = {}
    measured = ladder.measure(model, reader, encoded, methods, settings, texts, tell)
    where = describe(model.device)
    whole = Ladder(
        model=shown.model,
        data=shown.data,
        command=shown.command,
        recipe=recipe_of(settings, explain=explain),
        device=f"{where}, {processor()}" if model.device.type == "cpu" else where,
        versions=quantizing_versions(),
        weights_sha256=ladder.digest(find_weights(model_path)),
        rows={split: len(rows.rows) for split, rows in encoded.items()},
        floors=ladder.floors(encoded),
        signatures=metrics.signatures() | settings.evaluation.search.signature,
        methods=measured.methods,
    )
    if not explain:
        return whole
    keep(whole)
    return replace(whole, explanation=ladder.explain(model, reader, encoded, settings, texts, tell))


def quantizing_versions() -> dict[str, str]:
    """The versions that a quantized model's numbers depend on: package -> version, and the commit of a checkout."""
    known, checkout = versions(QUANTIZING, missing="not installed"), commit()
    return {**known, "commit": checkout} if checkout else known


def recipe_of(settings: LadderSettings, *, explain: bool) -> dict[str, int | float | str | list[str]]:
    """Everything that is set about a measurement, as a file holds it."""
    facts: dict[str, int | float | str | list[str]] = settings.evaluation.model_dump(
        include={"seed", "beam", "max_length", "length_penalty", "batch_size"}
    )
    facts |= {"repeats": settings.repeats, "fixed_tokens": settings.fixed_tokens, "error_rows": settings.error_rows}
    facts |= {"explain_rows": settings.explain_rows} if explain else {}
    return {**facts, "threads": torch.get_num_threads()}
