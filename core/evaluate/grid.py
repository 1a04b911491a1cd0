"""Measures quantizers on several models, such as the rounds of a run: sparsity by quantizer, on the same rows.

The first model in fp32 is what all others are compared with, row by row, and it is timed in turns with each of them. How a
quantizer is measured is `ladder`'s business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..compress.masks import Masks, sparsity_of
from ..compress.shrink import shrink
from ..data import Encoded, encode_for, subset
from ..errors import ModelError, RunError
from ..families.device import choose_device, describe
from ..families.memory import give_back
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..families.weightfiles import find_weights
from ..model import load_masks, load_model, load_reader
from ..program import program, run_handle
from ..provenance import processor
from ..recipe import Device
from ..run.folder import RunPaths, number_of, read_metrics
from ..score import metrics
from ..spec.checkpoint_files import WEIGHTS
from ..study.gridfile import Grid, GridModel
from ..study.ladderfile import QuantizerResult
from ..text.rows import Rows, load_rows
from . import ladder
from .ladder import Dense, LadderSettings, Tell
from .quantized import Shown, quantizing_versions, recipe_of

VALUE_BYTES = {"fp32": 4, "fp16": 2}
"""Quantizer -> bytes of a value, for those that leave pruned weights 0, so that only kept ones are stored."""


@dataclass(frozen=True)
class Candidate:
    """A model to measure."""

    path: str
    """Folder or hub name."""
    shown: str
    """The same as a file may carry it to another machine."""
    label: str
    """Its name in tables."""
    round: int | None = None
    """Of its run."""
    sparsity: float | None = None
    """Of the weights that its recipe prunes; None where masks alone tell."""


def rounds_of(paths: RunPaths, shown: str, every: int) -> list[Candidate]:
    """Every k-th round of a run, and its last one.

    Args:
        paths: The run.
        shown: Its folder as a file may carry it to another machine.
        every: Rounds from one to the next, at least 1.

    Raises:
        RunError: No round has weights on this disk.
    """
    there = [number for number in paths.finished_rounds() if (paths.round(number) / WEIGHTS[0]).is_file()]
    if not there:
        raise RunError(
            f"{paths.name} has no complete round with weights.", f"Let it run on: {program()} resume {run_handle(paths.root)}"
        )
    candidates = []
    for number in there:
        if number % every == 0 or number == there[-1]:
            facts = read_metrics(paths.round(number)) or {}
            name = f"{shown}/rounds/{number:02d}"
            sparsity = number_of(facts.get("sparsity"))
            candidates.append(Candidate(str(paths.round(number)), name, f"round {number}", number, sparsity))
    return candidates


def measure_grid(
    candidates: Sequence[Candidate],
    data_path: str,
    splits: Sequence[str],
    methods: Sequence[str],
    settings: LadderSettings,
    shown: Shown,
    *,
    shrunk: bool = False,
    device: Device = "auto",
    threads: int = 0,
    tell: Tell = lambda line: None,
    keep: Callable[[Grid], None] = lambda grid: None,
) -> Grid:
    """Measures quantizers on several models.

    Args:
        candidates: The models, the dense one first.
        data_path: Folder or hub name of the data.
        splits: Splits to score.
        methods: Names from `METHODS`, fp32 first.
        settings: How.
        shown: How the file names data and command.
        shrunk: Whether the units that masks remove whole are really removed first.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.
        tell: Called before each part.
        keep: Called with what there is after each model.

    Raises:
        CodepruneError: A model or the data cannot be loaded.
    """
    place = choose_device(device, threads)
    rows = {split: load_rows(data_path, split) for split in splits}
    dense: Dense | None = None
    grid: Grid | None = None
    for candidate in candidates:
        subject = _loaded(candidate, rows, settings, place, shrunk=shrunk)
        texts: ladder.Written = {}
        model, encoded = subject.model, subject.encoded
        measured = ladder.measure(model, subject.reader, encoded, methods, settings, texts, _named(candidate, tell), dense)
        dense = dense or Dense(model, next(iter(encoded.values())), texts["fp32"])
        grid = grid or _without_models(subject, settings, shown)
        grid = replace(grid, models=(*grid.models, _entry(candidate, subject, measured, shrunk=shrunk)))
        keep(grid)
        give_back()
    assert grid is not None, "there is at least one candidate"
    return grid


@dataclass(frozen=True)
class _Subject:
    """A model as it is measured."""

    model: CodeToText
    reader: Reader
    masks: Masks
    """Of matrices of which something is pruned."""
    encoded: Mapping[str, Encoded]


def _loaded(
    candidate: Candidate, rows: Mapping[str, Rows], settings: LadderSettings, place: torch.device, *, shrunk: bool
) -> _Subject:
    model, reader, masks = load_model(candidate.path), load_reader(candidate.path), load_masks(candidate.path)
    if model.config.quantization is not None:
        raise ModelError(
            f"{candidate.path} is quantized already ({model.config.quantization}).", "Give the model that it was quantized from."
        )
    if shrunk:
        model, masks = shrink(model, masks)
    encoded = {}
    for split, of_split in rows.items():
        every = encode_for(model, reader, of_split)
        encoded[split] = every.take(subset(len(every.rows), settings.evaluation.rows, settings.evaluation.seed))
    return _Subject(model.to(place), reader, masks, encoded)


def _without_models(subject: _Subject, settings: LadderSettings, shown: Shown) -> Grid:
    device = subject.model.device
    return Grid(
        data=shown.data,
        command=shown.command,
        recipe=recipe_of(settings, explain=False),
        device=f"{describe(device)}, {processor()}" if device.type == "cpu" else describe(device),
        versions=quantizing_versions(),
        rows={split: len(encoded.rows) for split, encoded in subject.encoded.items()},
        floors=ladder.floors(subject.encoded),
        signatures=metrics.signatures() | settings.evaluation.search.signature,
        models=(),
    )


def _entry(candidate: Candidate, subject: _Subject, measured: ladder.Measured, *, shrunk: bool) -> GridModel:
    known = candidate.sparsity
    return GridModel(
        model=candidate.shown,
        label=candidate.label,
        round=candidate.round,
        sparsity=round(sparsity_of(subject.masks) if known is None else known, 6),
        shrunk=shrunk,
        parameters=sum(weight.numel() for weight in subject.model.parameters()),
        weights_sha256=ladder.digest(find_weights(candidate.path)),
        methods=tuple(_packed(line, subject.masks) for line in measured.methods),
        dense=measured.dense,
    )


def _packed(line: QuantizerResult, masks: Masks) -> QuantizerResult:
    """The line with the size that the model has when its kept values alone are stored, where its quantizer leaves zeros zero."""
    if line.method not in VALUE_BYTES or not line.disk_bytes or not masks:
        return line
    pruned = sum(mask.numel() - int(mask.count_nonzero()) for mask in masks.values())
    bits = sum(-(-mask.numel() // 8) for mask in masks.values())
    return replace(line, disk_bytes=line.disk_bytes - VALUE_BYTES[line.method] * pruned + bits, saved_as="kept values and bits")


def _named(candidate: Candidate, tell: Tell) -> Tell:
    return lambda line: tell(f"{candidate.label}: {line}")
