"""Turns rows into token ids, and token ids into batches, in an order that gives the batch of any step directly.

Knows nothing of models, devices or where rows come from. The shapes of source and target follow CodeXGLUE's code-to-text
(`<s> … </s>`, 254 + 2 and 126 + 2 tokens at most); grouping rows of like length into batches is the usual bucketing, done
on both sides, for the decoder pays for padding as the encoder does.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .atomic import complete_or_absent
from .disk import in_words
from .errors import DataError
from .families.reader import PAPER_SOURCE_LENGTH as PAPER_SOURCE_LENGTH
from .families.reader import Reader
from .families.roberta import CodeToText
from .onnx.session import OnnxModel
from .regularfile import check_regular
from .text.rows import Row, Rows

logger = logging.getLogger(__name__)

POOL_BATCHES = 100
"""Number of batches whose rows are sorted together: more means less padding and less randomness in an epoch's batches."""

GROUP_BATCHES = 8
"""Number of batches in a group of like source length, inside which targets are sorted.

Measured on 15,120 Ruby rows at batch 8, share of padding in sources and targets: 0.06 and 0.20, against 0.52 and 0.57 in
random batches. Sources are four times as long as targets, hence somewhat less than the square root of the pool.
"""

PAPER_TARGET_LENGTH = 128
"""Most tokens of a comment in CodeXGLUE's code, `<s>` and `</s>` included."""

CACHE_FORMAT = 1
"""Version of the cache: goes up when the same texts and tokenizer give other ids, or the file's format changes."""

BATCH_STREAM, SUBSET_STREAM = 1, 2
"""First word of every generator's seed, so that batches and subsets of the same seed are independent."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A split as token ids; item i of each part belongs to the same row."""

    sources: list[list[int]]
    """Ids of `<s> … </s>`, at most `source_length` each."""
    targets: list[list[int]]
    """Ids of `<s> … </s>`, at most `target_length` each."""
    rows: tuple[Row, ...]
    """The rows themselves."""

    def take(self, rows: Sequence[int]) -> "Encoded":
        """Only the rows with these numbers, in this order."""
        return Encoded(
            [self.sources[row] for row in rows], [self.targets[row] for row in rows], tuple(self.rows[row] for row in rows)
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows side by side, padded on the right to the longest among them."""

    sources: torch.Tensor
    """(batch, source_time) int64"""
    targets: torch.Tensor
    """(batch, target_time) int64"""
    rows: tuple[int, ...]
    """Places of the rows in their split (`Row.index`), in the order of the tensors, so that an error can name them."""
    places: torch.Tensor | None = None
    """(real target tokens,) int64: where in the flattened targets the real tokens stand; None = read off the targets, which has
    to wait for a GPU."""
    tokens: int = 0
    """Number of tokens of sources and targets, padding not counted."""
    columns: int = 0
    """Columns of the table that `places` counts through: those of the targets, or one fewer."""
    weight: float = 1.0
    """Factor on the mean loss, where the batch is a part of a larger one."""

    def part(self, number: int, count: int) -> "Batch":
        """The rows of one of several processes that share the batch.

        Args:
            number: Number of the process.
            count: Number of processes.

        Returns:
            Every process gets the next rows, as equally many as can be, as wide as they were, and the weight with which the mean
            over all processes of the weighted losses is the mean loss of the whole batch. A process for which there are no
            targets gets the whole batch, with weight 0: it has to compute something to take part in the exchange of gradients.
        """
        assert self.places is not None, "whoever made the batch knows where its targets are"
        first, end = (each * len(self.rows) // count for each in (number, number + 1))
        inside = (self.places >= first * self.columns) & (self.places < end * self.columns)
        places = self.places[inside] - first * self.columns
        if len(places) == 0 and len(self.places):
            return replace(self, weight=0.0)
        own, weight = slice(first, end), count * len(places) / max(1, len(self.places))
        return replace(
            self, sources=self.sources[own], targets=self.targets[own], rows=self.rows[own], places=places, weight=weight
        )

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device; the copy to a GPU does not wait for its earlier work."""

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)

        places = None if self.places is None else moved(self.places)
        return replace(self, sources=moved(self.sources), targets=moved(self.targets), places=places)


def encode_rows(
    rows: Rows,
    reader: Reader,
    *,
    source_length: int,
    target_length: int,
    cache: Path | None,
) -> Encoded:
    """Tokenizes a split, or reads the result of an earlier call.

    Args:
        rows: The split.
        reader: The model's.
        source_length: Most tokens of a source, `<s>` and `</s>` included.
        target_length: Most tokens of a target, `<s>` and `</s>` included.
        cache: Folder for the result, made where it is missing; None keeps nothing. Only a file with the right checksum is read;
            any other is rewritten.

    Returns:
        The ids, with the rows they belong to.

    Raises:
        DataError: The cache cannot be written.
    """
    sources, targets = [reader.prepared(row.source) for row in rows.rows], [row.target for row in rows.rows]
    if cache is None:
        return Encoded(reader.ids(sources, source_length), reader.ids(targets, target_length), rows.rows)
    key = _digest(
        json.dumps(
            [CACHE_FORMAT, rows.digest, (reader.special.begin, reader.special.end), source_length, target_length]
        ).encode(),
        reader.tokenizer.to_str().encode(),
        # The texts as the tokenizer gets them, so that a change in how names are split does not find an old file.
        json.dumps([sources, targets]).encode(),
    )
    file = cache / f"encoded-{key[:32]}.safetensors"
    known = _read_cache(file, len(rows.rows))
    if known is None:
        known = reader.ids(sources, source_length), reader.ids(targets, target_length)
        _write_cache(file, *known)
    return Encoded(*known, rows.rows)


def encode_for(
    model: CodeToText | OnnxModel,
    reader: Reader,
    rows: Rows,
    *,
    source_length: int = PAPER_SOURCE_LENGTH,
    target_length: int = PAPER_TARGET_LENGTH,
    cache: Path | None = None,
) -> Encoded:
    """Tokenizes a split as a model reads it.

    Args:
        model: The model, whose positions no source and no target may exceed.
        reader: Its reader.
        rows: The split.
        source_length: Most tokens of a source; a model with fewer positions reads as many as it has.
        target_length: Most tokens of a target; the same.
        cache: As for `encode_rows`.

    Returns:
        The ids, with the rows they belong to.

    Raises:
        DataError: As for `encode_rows`.
    """
    return encode_rows(
        rows,
        reader,
        source_length=min(source_length, model.positions),
        target_length=min(target_length, model.positions),
        cache=cache,
    )


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _flat(lists: list[list[int]]) -> tuple[npt.NDArray[np.int32], Ints]:
    """All ids in one array, and the places where each list begins and the last one ends."""
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=int(offsets[-1])), offsets


def _write_cache(file: Path, sources: list[list[int]], targets: list[list[int]]) -> None:
    parts: dict[str, npt.NDArray[np.integer]] = {}
    parts["sources"], parts["source_offsets"] = _flat(sources)
    parts["targets"], parts["target_offsets"] = _flat(targets)
    try:
        with complete_or_absent(file) as draft:
            draft.write_bytes(save(parts, metadata={"sha256": _checksum(parts)}))
    except OSError as error:
        problem, fix = in_words(error, file)
        raise DataError(f"The tokenized rows cannot be kept in {file.parent}: {problem}", fix) from error


def _read_cache(file: Path, count: int) -> tuple[list[list[int]], list[list[int]]] | None:
    """Sources and targets of `count` rows; None where there is no file or a damaged one."""
    if not file.exists():
        return None
    try:
        check_regular(file)
        with safe_open(file, framework="numpy") as content:
            parts = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118  (it is no mapping)
            checksum = (content.metadata() or {}).get("sha256")
        if checksum != _checksum(parts):
            raise ValueError("its checksum does not fit")
        sources = _lists(parts["sources"], parts["source_offsets"])
        targets = _lists(parts["targets"], parts["target_offsets"])
        if len(sources) != count or len(targets) != count:
            raise ValueError("it holds another number of rows")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        logger.warning("%s is damaged (%s); the rows are tokenized anew.", file, error)
        return None
    return sources, targets


def _checksum(parts: Mapping[str, npt.NDArray[np.integer]]) -> str:
    return _digest(*(parts[name].tobytes() for name in sorted(parts)))


def _lists(ids: npt.NDArray[np.integer], offsets: npt.NDArray[np.integer]) -> list[list[int]]:
    return [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]


class BatchOrder:
    """The rows of each optimizer step's batch, in an endless order that follows from a seed.

    Every epoch holds every row exactly once. Rows are drawn into pools of about 50 batches; a pool is sorted by source length,
    cut into groups, each group sorted by target length and cut into batches; then the epoch's batches are shuffled. Where the
    rows do not divide into batches, one batch of the epoch is smaller (CodeXGLUE keeps it, too); its rows are drawn at random,
    so that it is not always the longest that weigh more. The order depends on nothing but the arguments, so the batch of step
    5,000 can be computed first.

    Args:
        source_lengths: Tokens of each row's source.
        target_lengths: Tokens of each row's target.
        batch_size: Rows in a batch.
        seed: 0 or more.

    Raises:
        DataError: There are fewer rows than one batch holds.
    """

    def __init__(self, source_lengths: Sequence[int], target_lengths: Sequence[int], batch_size: int, seed: int) -> None:
        count = len(source_lengths)
        if count < batch_size:
            raise DataError(
                f"There are {count} rows to train on, fewer than one batch of {batch_size}.",
                f"Set training.batch_size to {count} or less, or give more rows.",
            )
        self._source_lengths = np.asarray(source_lengths, dtype=np.int64)
        self._target_lengths = np.asarray(target_lengths, dtype=np.int64)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._batches: list[tuple[int, ...]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps in which every row is seen once."""
        return -(-len(self._source_lengths) // self._batch_size)

    def batch(self, step: int) -> tuple[int, ...]:
        """The row numbers of a batch.

        Args:
            step: Optimizer step, 0-based, counted over all epochs.

        Returns:
            `batch_size` different row numbers; fewer in the one smaller batch of an epoch.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._batches = self._draw(epoch)
            self._epoch = epoch
        return self._batches[place]

    def _draw(self, epoch: int) -> list[tuple[int, ...]]:
        generator = np.random.default_rng((BATCH_STREAM, self._seed, epoch))
        drawn = generator.permutation(len(self._source_lengths))
        full = len(drawn) // self._batch_size * self._batch_size
        batches: list[Ints] = [drawn[full:]] if full < len(drawn) else []
        for pool in self._split(drawn[:full], POOL_BATCHES):
            by_source = pool[np.argsort(self._source_lengths[pool], kind="stable")]
            for group in self._split(by_source, GROUP_BATCHES):
                by_target = group[np.argsort(self._target_lengths[group], kind="stable")]
                batches.extend(by_target.reshape(-1, self._batch_size))
        return [tuple(batches[place].tolist()) for place in generator.permutation(len(batches))]

    def _split(self, rows: Ints, batches: int) -> list[Ints]:
        """Cuts `rows`, a whole number of batches, into parts of `batches` batches or somewhat more, all of nearly equal size."""
        whole = len(rows) // self._batch_size
        parts = max(1, whole // batches)
        return np.split(rows, [whole * part // parts * self._batch_size for part in range(1, parts)])


def collate(encoded: Encoded, rows: Sequence[int], pad_id: int, multiple: int = 1) -> Batch:
    """Puts rows side by side.

    Args:
        encoded: The split.
        rows: Numbers of the rows, at least one.
        pad_id: What fills up the shorter ones.
        multiple: As for `side_by_side`.

    Returns:
        Sources and targets, each padded to the longest among these rows and no further than `multiple` asks.
    """
    return side_by_side(
        [encoded.sources[row] for row in rows],
        [encoded.targets[row] for row in rows],
        tuple(encoded.rows[row].index for row in rows),
        pad_id,
        multiple,
    )


def side_by_side(
    sources: list[list[int]], targets: list[list[int]], rows: tuple[int, ...], pad_id: int, multiple: int = 1
) -> Batch:
    """A batch of sources and targets, each padded to its longest.

    Args:
        sources: Ids of each row's source.
        targets: Ids of each row's target.
        rows: Places of the rows in their split.
        pad_id: What fills up the shorter ones.
        multiple: Sources, and targets without their first or last token, as the model computes them, get a width that is a
            multiple of it.
    """
    padded = pad_lists(targets, pad_id, multiple, 1)
    tokens = sum(map(len, sources)) + sum(map(len, targets))
    places = target_places(padded, pad_id)
    return Batch(pad_lists(sources, pad_id, multiple), padded, rows, places, tokens, padded.shape[1] - 1)


def target_places(targets: torch.Tensor, pad_id: int) -> torch.Tensor:
    """The places of real tokens in the flattened targets without their first token.

    Args:
        targets: (batch, time) int64, `<s>` ... `</s>`, padded on the right.
        pad_id: What fills up the shorter ones.

    Returns:
        (real tokens,) int64, ascending.
    """
    return (targets[:, 1:] != pad_id).flatten().nonzero()[:, 0]


def pad_lists(lists: list[list[int]], pad_id: int, multiple: int = 1, beyond: int = 0) -> torch.Tensor:
    """Ids side by side, filled up on the right.

    Args:
        lists: At least one.
        pad_id: What fills up the shorter ones.
        multiple: The width less `beyond` is a multiple of it.
        beyond: See there.

    Returns:
        (lists, longest or a little more) int64.
    """
    width = beyond - (beyond - max(map(len, lists))) // multiple * multiple
    table = np.full((len(lists), width), pad_id, dtype=np.int64)
    for line, ids in zip(table, lists, strict=True):
        line[: len(ids)] = ids
    return torch.from_numpy(table)


def subset(n_rows: int, size: int, seed: int) -> tuple[int, ...]:
    """Draws the rows that are evaluated during training; equal arguments give equal rows.

    Args:
        n_rows: Number of rows of the split.
        size: Number of rows to draw; 0, or more than there are, means all.
        seed: 0 or more.

    Returns:
        Row numbers, ascending, each at most once.
    """
    if size == 0 or size >= n_rows:
        return tuple(range(n_rows))
    drawn = np.random.default_rng((SUBSET_STREAM, seed)).choice(n_rows, size=size, replace=False)
    return tuple(sorted(drawn.tolist()))
