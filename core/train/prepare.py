"""Prepares the material of a run: model, reader and rows, and the record of what they were.

The same recipe on the same files gives the same material, however often a run is resumed. `meta.json` records what it was at the
first start, and a run whose data has changed since is refused rather than continued on other rows.
"""

import json
import os
import shutil
import socket
import sys
import sysconfig
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from ..atomic import complete_or_absent
from ..compress.masks import Masks, masks_of_zeros, prunable
from ..compress.selection import check_divides
from ..data import Encoded, encode_for, subset
from ..errors import DataError, ModelError, RunError, TrainingError
from ..evaluate.evaluate import as_event, floors_of, load_embedder
from ..families.device import describe, precision_of
from ..families.fitting import batch_that_fits
from ..families.reader import SPLIT_IDENTIFIERS, Reader, prepared
from ..families.roberta import CodeToText, fresh, set_dropout
from ..families.tokenizer import train_tokenizer
from ..families.weightfiles import find_tokenizer, find_weights
from ..model import is_finetuned, load_masks, load_model, load_reader
from ..provenance import versions
from ..recipe import NEW_MODEL, Architecture, Recipe, recipe_hash, with_todays_defaults
from ..regularfile import read_facts, reason
from ..run.events import DataLoaded, FloorsMeasured, Warned
from ..run.holder import cluster_job
from ..spec import given
from ..spec.checkpoint_files import CONFIG, READER, TOKENIZERS, WEIGHTS
from ..spec.maskbits import MASKS
from ..spec.sizes import new_positions
from ..text.rows import Rows, load_rows
from . import leftovers
from .round import Material
from .session import Session

ANOTHER_RUN = (
    "from here on it is another run than one that had stayed there. Dropout draws other numbers, and sums round otherwise."
)
C_COMPILERS = ("gcc", "clang")
"""C compilers that triton looks for, for a GPU, unless CC names another."""
DECODING_BATCH = "decoding_batch"
"""Entry of `meta.json`: sources decoded together."""
TRAINED_BYTES = 12
"""Bytes for each weight that training will take beside it: its gradient and the two moments of AdamW."""
COMPILERS = ("g++", "clang++", "c++")
"""C++ compilers that torch.compile can use on the CPU; one of them is enough."""


def prepare(session: Session) -> Material:
    """Loads model and data, checks that they fit the recipe, and journals what they are.

    Args:
        session: The run.

    Returns:
        The material of the round loop, with the model on its device.

    Raises:
        CodepruneError: Something is missing, broken, or does not fit.
    """
    recipe = session.recipe
    if recipe.training.compile:
        check_compiler(session.accelerator.device)
    embedder = load_embedder(recipe.evaluation)
    needed: dict[str, None] = dict.fromkeys(("train", recipe.evaluation.split))
    splits = {split: _rows(session, split) for split in needed}
    _record(session, splits)
    model, reader = start_model(recipe, splits["train"])
    if recipe.rounds:  # before a round is trained for it
        check_divides(prunable(model, recipe.pruning.prunable, recipe.pruning.unit), recipe.pruning.pattern)
    if recipe.training.dropout >= 0:
        set_dropout(model, recipe.training.dropout)
    _check_lengths(recipe, model.positions)

    def encode(rows: Rows) -> Encoded:
        lengths = {"source_length": recipe.data.source_length, "target_length": recipe.data.target_length}
        return encode_for(model, reader, rows, **lengths, cache=session.paths.cache)

    held_out = encode(splits[recipe.evaluation.split])
    held_out = held_out.take(subset(len(held_out.rows), recipe.evaluation.rows, recipe.evaluation.seed))
    floors = floors_of(held_out.rows, embedder)
    session.emit(
        FloorsMeasured(
            split=recipe.evaluation.split, rows=len(held_out.rows), constant=as_event(floors.constant), name=as_event(floors.name)
        )
    )
    masks = _given_masks(session, model)
    material = Material(model, reader, encode(splits["train"]), held_out, floors, masks, embedder=embedder)
    for warning in given.warnings(recipe, material.counts()) if masks and not session.paths.finished_rounds() else ():
        session.emit(Warned(message=warning))
    model.to(session.accelerator.device)
    material = replace(material, decoding_batch=_decoding_batch(session, material))
    if recipe.training.compile:
        compile_forward(model)
    return material


def _decoding_batch(session: Session, material: Material) -> int:
    """Sources that every evaluation of the run decodes together; what fits on a GPU is found out once and recorded.

    On a GPU a batch size may change the last bits of a score, so a resumed run keeps it; on the CPU it changes nothing.
    """
    recipe, model = session.recipe.evaluation, material.model
    if recipe.batch_size or session.recipe.kind == "pretrain" or not material.held_out.sources:
        return recipe.batch_size
    meta = _read_meta(session)
    known = meta.get(DECODING_BATCH)
    if isinstance(known, int) and known > 0 and model.device.type != "cpu":
        return known
    trained = TRAINED_BYTES * sum(weight.numel() for weight in model.parameters())
    longest = max(map(len, material.held_out.sources))
    size = batch_that_fits(model.config, model.device, recipe.beam, recipe.max_length, longest, trained)
    if known != size:
        _write_meta(session, {**meta, DECODING_BATCH: size})
    return size


def _given_masks(session: Session, model: CodeToText) -> Masks:
    """The masks that the recipe's model was pruned with; zeros without masks give a warning, or masks where the recipe says so.

    Args:
        session: The run.
        model: That model, on the CPU.
    """
    recipe = session.recipe
    if recipe.model.path == NEW_MODEL or (masks := load_masks(recipe.model.path)):
        return {} if recipe.model.path == NEW_MODEL else masks
    zeros = masks_of_zeros(prunable(model, "all"))
    if recipe.model.keep_zeros:
        return zeros
    if zeros and not session.paths.finished_rounds():
        session.emit(Warned(message=given.zeros_warning({name: _counted(mask) for name, mask in zeros.items()})))
    return {}


def _counted(mask: torch.Tensor) -> tuple[int, int]:
    return mask.numel() - int(mask.count_nonzero()), mask.numel()


def check_compiler(device: torch.device) -> None:
    """Makes sure that torch.compile finds what it needs, which it would look for only in the first step.

    Args:
        device: Where the model is to compute.

    Raises:
        TrainingError: There is no compiler for this device, or Python's headers, which the code for a GPU includes, are missing.
    """
    fix = "Install one, or set training.compile = false."
    if device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
        raise TrainingError(
            f"training.compile needs a C++ compiler on the CPU, and none of {', '.join(COMPILERS)} is there.", fix
        )
    if device.type != "cuda":
        return
    own = os.environ.get("CC", "")
    if not any(map(shutil.which, (own,) if own else C_COMPILERS)):
        raise TrainingError(
            f"training.compile needs a C compiler for a GPU, and none of {own or ', '.join(C_COMPILERS)} is there.", fix
        )
    scheme = sysconfig.get_default_scheme()
    # Debian's own Python installs elsewhere by default than where its headers are; triton looks there, too.
    header = Path(sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"]) / "Python.h"
    if not header.exists():
        raise TrainingError(
            f"training.compile needs Python's headers for a GPU, and {header} is not there.",
            "Install them (python3-dev, python3-devel), or set training.compile = false.",
        )


def compile_forward(model: CodeToText, backend: str = "inductor") -> None:
    """Lets torch.compile compile the model's training pass; decoding stays as it is.

    One graph serves all batch sizes and lengths: without that, every new pair of lengths would be compiled anew.

    Args:
        model: On its device; compiled when it is first called.
        backend: A backend of torch.compile.

    Raises:
        TrainingError: As for `check_compiler`.
    """
    if backend == "inductor":
        check_compiler(model.device)
    model.compile(dynamic=True, backend=backend)


def start_model(recipe: Recipe, train: Rows) -> tuple[CodeToText, Reader]:
    """The model and reader that the recipe starts from.

    Args:
        recipe: The run's recipe.
        train: Training rows; the tokenizer of a new model is trained on them.

    Returns:
        The model on the CPU in fp32, and its reader.

    Raises:
        ModelError: It cannot be loaded, or the recipe needs a fine-tuned model and this is none.
    """
    path, seed = recipe.model.path, recipe.training.seed
    if path == NEW_MODEL:
        return new_model(recipe.architecture, recipe.data.source_length, train, seed)
    prunes_first = recipe.order == "prune-first"
    if recipe.kind == "lottery" and (prunes_first or recipe.rewind.to == "finetuned") and not is_finetuned(path):
        wish = "prunes first" if prunes_first else 'rewinds to "finetuned"'
        raise ModelError(
            f"{path} has no trained decoder, but this recipe {wish}, which needs a fine-tuned model.",
            'Fine-tune it first, or set rewind.to = "pretrained" and pruning.order = "train-first".',
        )
    model = load_model(path, decoder_layers=recipe.model.decoder_layers, seed=seed)
    if model.config.quantization is not None:
        raise ModelError(
            f"{path} is quantized ({model.config.quantization}) and cannot be trained.", "Give the model it came from."
        )
    return model, load_reader(path)


def new_model(shape: Architecture, source_length: int, train: Rows, seed: int) -> tuple[CodeToText, Reader]:
    """An untrained model, with a tokenizer trained on the rows; equal arguments give equal weights.

    Args:
        shape: Sizes.
        source_length: Longest source in tokens.
        train: Rows whose sources and targets the tokenizer learns from.
        seed: Of the weights.

    Returns:
        Model and reader.
    """
    steps = (SPLIT_IDENTIFIERS,) if shape.split_identifiers else ()
    texts = [*(prepared(row.source, steps) for row in train.rows), *(row.target for row in train.rows)]
    reader = Reader(train_tokenizer(texts, vocab_size=shape.vocab_size), steps)
    return fresh(shape, len(reader), new_positions(source_length), seed), reader


def _rows(session: Session, split: str) -> Rows:
    data = session.recipe.data
    limit, shortest = (data.train_rows, data.shortest_comment) if split == "train" else (0, 0)
    rows = load_rows(
        data.path,
        split,
        on_broken=data.on_broken_row,
        limit=limit,
        shortest=shortest,
        hub_config=data.hub_config,
        unpack_limit=data.unpack_limit,
    )
    session.emit(DataLoaded(split=split, rows=len(rows.rows), skipped=len(rows.broken)))
    for broken in rows.broken[:5]:
        session.emit(Warned(message=f"Row left out: {broken.file} line {broken.line}: {broken.problem}"))
    return rows


def _check_lengths(recipe: Recipe, longest: int) -> None:
    for key, length in {
        "data.source_length": recipe.data.source_length,
        "data.target_length": recipe.data.target_length,
        "evaluation.max_length": recipe.evaluation.max_length,
    }.items():
        if length > longest:
            raise ModelError(
                f"{key} = {length}, but this model has positions for {longest} tokens.", f"Set {key} to {longest} or less."
            )


def _record(session: Session, splits: dict[str, Rows]) -> None:
    """Writes `meta.json` at the first start, and compares with it at every later one."""
    path, digests = session.paths.meta, {split: rows.digest for split, rows in splits.items()}
    if not path.exists() and (session.paths.finished_rounds() or session.paths.resume.exists()):
        raise RunError(
            f"{path} is missing, so it is unknown whether model and data are those that the run began with.",
            "Put it back, or start a new run with the same recipe.",
        )
    now: dict[str, object] = {
        "recipe": recipe_hash(session.recipe),
        "data": digests,
        "model": model_digests(session.recipe),
        "versions": versions(),
        "device": describe(session.accelerator.device),
        "precision": precision_of(session.accelerator),
        "threads": torch.get_num_threads(),
        "processes": session.ranks.count,
        "seed": session.recipe.training.seed,
        **_here(session),
        "platform": sys.platform,
        "started": round(time.time(), 3),
    }
    if not os.path.lexists(path):
        _write_meta(session, now)
        return
    then = _read_meta(session)
    _compare(then, now, session)
    _write_meta(session, {**then, **_here(session)})


def _here(session: Session) -> dict[str, object]:
    """Where the worker at work is: unlike what else `meta.json` says, these facts are those of the last start, not the first."""
    return {"host": socket.gethostname(), "pid": session.ranks.worker, "job": cluster_job()}


def model_digests(recipe: Recipe) -> dict[str, str]:
    """File name -> digest of the files that the recipe's model is loaded from; {} for a new model.

    Raises:
        ModelError: There are no weights, or the hub cannot be reached.
    """
    return {} if recipe.model.path == NEW_MODEL else model_digests_at(recipe.model.path)


def model_digests_at(path: str) -> dict[str, str]:
    """As `model_digests`, of any folder or hub name."""
    weights = tokenizer = find_weights(path)
    with suppress(ModelError):  # a model without one cannot be loaded, and the error of loading says more
        tokenizer = find_tokenizer(path) / CONFIG
    names = {name for names in TOKENIZERS for name in names} | {READER, "tokenizer_config.json", "special_tokens_map.json"}
    beside = leftovers.digests(weights.parent, [weights.name, CONFIG, MASKS])
    return beside | leftovers.digests(tokenizer.parent, sorted(names))


def record_teacher(session: Session, digests: dict[str, str]) -> None:
    """Records the teacher of a run in `meta.json`, and compares with it at every later start.

    Args:
        session: The run, prepared.
        digests: File name -> digest of the teacher's files.

    Raises:
        ModelError: They have changed since the run began.
    """
    meta, weights = _read_meta(session), digests.get(WEIGHTS[0]) or digests.get(WEIGHTS[1])
    if "teacher" not in meta:
        _write_meta(session, {**meta, "teacher": digests})
        return
    then = meta["teacher"]
    if not isinstance(then, dict) or weights != (then.get(WEIGHTS[0]) or then.get(WEIGHTS[1])):
        raise ModelError(
            f"The teacher {session.recipe.training.teacher} has changed since {session.paths.name} began.",
            "Restore it, or start a new run.",
        )


def record_code(session: Session, digest: str) -> None:
    """Records the further Ruby code of a pre-training in `meta.json`, and compares with it at every later start.

    Args:
        session: The run, prepared.
        digest: Of the methods in that code.

    Raises:
        DataError: They have changed since the run began.
    """
    meta = _read_meta(session)
    if "code" not in meta:
        _write_meta(session, {**meta, "code": digest})
    elif meta["code"] != digest:
        raise DataError(
            f"The Ruby code in {session.recipe.data.code} has changed since {session.paths.name} began.",
            "Restore it, or start a new run.",
        )


def _kind(device: object) -> str:
    """cpu, cuda or mps, of a device in words."""
    return str(device).partition(" ")[0]


def _write_meta(session: Session, facts: dict[str, object]) -> None:
    if not session.ranks.leads:
        return
    with complete_or_absent(session.paths.meta) as draft:
        draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _read_meta(session: Session) -> dict[str, object]:
    path = session.paths.meta
    try:
        return read_facts(path)
    except OSError as error:
        raise RunError(
            f"{path} cannot be read: {reason(error)}.", "Put it back, or start a new run with the same recipe."
        ) from error


def _compare(then: dict[str, object], now: dict[str, object], session: Session) -> None:
    name = session.paths.name
    if then.get("recipe") not in (now["recipe"], recipe_hash(with_todays_defaults(session.recipe))):
        raise RunError(
            f"The recipe of {name} has changed since the run began.", "Restore recipe.toml, or start a new run with it."
        )
    if then.get("data") != now["data"]:
        raise DataError(f"The data of {name} has changed since the run began.", "Restore it, or start a new run.")
    if isinstance(was := then.get("model"), dict) and was != (model := now["model"]):  # older versions did not record it
        assert isinstance(model, dict)
        names = sorted(file for file in was | model if was.get(file) != model.get(file))
        where = f"{', '.join(names)} in {session.recipe.model.path}"
        raise ModelError(
            f"The model that {name} starts from has changed since the run began: {where}.",
            "Restore it, or start a new run.",
        )
    if (processes := then.get("processes", 1)) != now["processes"]:
        session.emit(
            Warned(message=f"{name} began with {processes} processes and goes on with {now['processes']}: {ANOTHER_RUN}")
        )
    for key in ("versions", "device", "threads", "precision"):
        if key == "precision" and key not in then:  # older versions did not record it
            continue
        if then.get(key) != now[key]:
            old, new = then.get(key), now[key]
            if key == "device" and _kind(old) != _kind(new):
                session.emit(Warned(message=f"{name} began on {old} and goes on on {new}: {ANOTHER_RUN}"))
                continue
            message = f"{key} were {old} when the run began and are {new} now: results may differ in the last bits."
            session.emit(Warned(message=message))
