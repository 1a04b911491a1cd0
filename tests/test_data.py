"""Token ids and batches: exact cuts, a cache that is never trusted blindly, and an order that any step can be asked for."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import BatchOrder, Encoded, collate, encode_rows, subset
from core.errors import DataError, ModelError
from core.families import reader as readers
from core.families.reader import SPLIT_IDENTIFIERS, Reader, read_reader
from core.families.tokenizer import train_tokenizer
from core.text.rows import Row, Rows, load_rows

WORDS = [f"def method_{n} ( someValue ) return someValue + {n} end" for n in range(40)]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(train_tokenizer(WORDS, vocab_size=300))


def make_rows(count: int = 5, digest: str = "d") -> Rows:
    rows = [Row(f"m{n}", WORDS[n], f"returns {n} plus " * (n + 1), "", n, "") for n in range(count)]
    return Rows(tuple(rows), (), digest)


def encode(
    rows: Rows,
    reader: Reader,
    cache: Path | None = None,
    source_length: int = 256,
    target_length: int = 128,
    split_identifiers: bool = False,
) -> Encoded:
    return encode_rows(
        rows,
        replace(reader, steps=(SPLIT_IDENTIFIERS,)) if split_identifiers else reader,
        source_length=source_length,
        target_length=target_length,
        cache=cache,
    )


def plain(reader: Reader, text: str) -> list[int]:
    return list(reader.tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("length", [8, 20, 256])
def test_a_text_is_cut_to_its_first_tokens_between_the_ends(reader: Reader, length: int) -> None:
    for text, ids in zip(WORDS, reader.ids(WORDS, length), strict=True):
        assert ids == [0, *plain(reader, text)[: length - 2], 2]
        assert len(ids) <= length


def test_more_texts_than_a_chunk_keep_their_order(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reader.ids(WORDS, 64)
    monkeypatch.setattr(readers, "CHUNK_TEXTS", 7)
    assert reader.ids(WORDS, 64) == whole
    assert reader.ids([], 64) == []


def test_special_tokens_in_a_text_are_text(reader: Reader) -> None:
    text = "puts '<s>' + '</s>' << '<pad>' <mask> <unk>"
    (ids,) = reader.ids([text], 256)
    assert not {0, 1, 2, 3, reader.mask_id} & set(ids[1:-1])
    assert reader.tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_tokenizers_own_truncation_and_padding_have_no_say(reader: Reader) -> None:
    expected = reader.ids(WORDS[:3], 64)
    other = train_tokenizer(WORDS, vocab_size=300)
    other.enable_truncation(4)
    other.enable_padding(length=9)
    assert Reader(other).ids(WORDS[:3], 64) == expected


def test_a_tokenizer_without_ends_is_refused(reader: Reader, tmp_path: Path) -> None:
    reader.save(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text().replace("</s>", "<end>")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match="gives </s> the id None, but RoBERTa models need 2"):
        read_reader(tmp_path)


def test_sources_and_targets_have_their_own_lengths(reader: Reader) -> None:
    rows = make_rows()
    encoded = encode(rows, reader, source_length=10, target_length=6)
    assert encoded.rows == rows.rows
    assert [len(ids) for ids in encoded.sources] == [10] * 5
    assert [len(ids) for ids in encoded.targets] == [6] * 5
    assert encoded.targets[2] == [0, *plain(reader, rows.rows[2].target)[:4], 2]


def test_identifiers_are_split_in_sources_only(reader: Reader) -> None:
    rows = Rows((Row("a", "fooBar baz_qux", "fooBar baz_qux", "", 0, ""),), (), "d")
    encoded = encode(rows, reader, split_identifiers=True)
    assert reader.tokenizer.decode(encoded.sources[0], skip_special_tokens=True) == "foo bar baz qux"
    assert reader.tokenizer.decode(encoded.targets[0], skip_special_tokens=True) == "fooBar baz_qux"


def test_take_gives_rows_in_the_order_asked_for(reader: Reader) -> None:
    encoded = encode(make_rows(), reader)
    taken = encoded.take([3, 1])
    assert [row.name for row in taken.rows] == ["m3", "m1"]
    assert taken.sources == [encoded.sources[3], encoded.sources[1]]
    assert taken.targets == [encoded.targets[3], encoded.targets[1]]


# The cache


def cache_files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def forbid_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[list[int]]:
        raise AssertionError("the texts were tokenized again")

    monkeypatch.setattr(Reader, "ids", refuse)


def test_the_second_time_the_cache_answers(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "deep" / "cache"
    first = encode(make_rows(), reader, cache)
    assert first == encode(make_rows(), reader), "with and without a cache the ids are the same"
    (file,) = cache_files(cache)
    assert file.suffix == ".safetensors"
    forbid_encoding(monkeypatch)
    assert encode(make_rows(), reader, cache) == first


@pytest.mark.parametrize(
    "change", ["rows", "digest", "tokenizer", "source_length", "target_length", "split", "how names are split"]
)
def test_whatever_changes_the_ids_changes_the_file(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    encode(make_rows(), reader, tmp_path, split_identifiers=change == "how names are split")
    rows = make_rows()
    options: dict[str, int] = {}
    if change == "rows":
        rows = make_rows(4)
    elif change == "digest":
        rows = make_rows(digest="e")
    elif change == "tokenizer":
        reader = Reader(train_tokenizer(WORDS, vocab_size=290))
    elif change == "split":
        options = {"split_identifiers": True}
    elif change == "how names are split":
        options = {"split_identifiers": True}
        monkeypatch.setitem(readers.STEPS, SPLIT_IDENTIFIERS, str.upper)
    else:
        options = {change: 9}
    assert encode(rows, reader, tmp_path, **options) == encode(rows, reader, **options)  # type: ignore[arg-type]
    assert len(cache_files(tmp_path)) == 2


def test_a_file_of_another_split_under_this_name_is_not_taken(
    reader: Reader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encode(make_rows(4), reader, tmp_path)
    (other,) = cache_files(tmp_path)
    whole = encode(make_rows(5), reader, tmp_path)
    (mine,) = set(cache_files(tmp_path)) - {other}
    other.replace(mine)
    with caplog.at_level(logging.WARNING):
        assert encode(make_rows(5), reader, tmp_path) == whole
    assert "it holds another number of rows" in caplog.text


@settings(max_examples=80, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans(), in_header=st.booleans())
def test_a_damaged_cache_is_rebuilt(
    reader: Reader,
    tmp_path_factory: pytest.TempPathFactory,
    place: float,
    flip: int,
    cut: bool,
    in_header: bool,
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    whole = encode(make_rows(), reader, cache)
    (file,) = cache_files(cache)
    good = file.read_bytes()
    span = 8 + int.from_bytes(good[:8], "little") if in_header else len(good)
    broken = bytearray(good)
    broken[int(place * span)] ^= flip
    file.write_bytes(good[: int(place * span)] if cut else broken)
    assert encode(make_rows(), reader, cache) == whole
    assert encode(make_rows(), reader, cache) == whole
    assert cache_files(cache) == [file]


def test_a_rebuilt_cache_is_good_again(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = encode(make_rows(), reader, tmp_path)
    (file,) = cache_files(tmp_path)
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with caplog.at_level(logging.WARNING):
        assert encode(make_rows(), reader, tmp_path) == whole
    assert f"{file} is damaged (its checksum does not fit); the rows are tokenized anew." in caplog.text
    assert file.read_bytes() == good, "the same content gives the same bytes"
    forbid_encoding(monkeypatch)
    assert encode(make_rows(), reader, tmp_path) == whole


def test_a_write_that_fails_leaves_nothing(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot be kept in .*There is no room left on the disk of") as caught:
        encode(make_rows(), reader, tmp_path)
    assert caught.value.fix == "Make room there."
    assert cache_files(tmp_path) == []


def test_a_cache_that_is_a_file_is_a_clear_error(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(DataError, match="The tokenized rows cannot be kept in"):
        encode(make_rows(), reader, tmp_path / "cache")


# The order of batches

lengths = st.lists(st.tuples(st.integers(2, 256), st.integers(2, 128)), min_size=1, max_size=300)


@settings(deadline=None)
@given(rows=lengths, batch_size=st.integers(1, 20), seed=st.integers(0, 2**31 - 1))
def test_every_epoch_holds_every_row_once(rows: list[tuple[int, int]], batch_size: int, seed: int) -> None:
    batch_size = min(batch_size, len(rows))
    sources, targets = zip(*rows, strict=True)
    order = BatchOrder(sources, targets, batch_size, seed)
    assert order.steps_per_epoch == -(-len(rows) // batch_size)
    for epoch in range(3):
        batches = [order.batch(epoch * order.steps_per_epoch + place) for place in range(order.steps_per_epoch)]
        assert sorted(row for batch in batches for row in batch) == list(range(len(rows)))
        sizes = sorted(map(len, batches))
        assert sizes[1:] == [batch_size] * (len(batches) - 1), "at most one batch is smaller"
        assert sizes[0] == (len(rows) % batch_size or batch_size)


@settings(deadline=None)
@given(rows=lengths, batch_size=st.integers(1, 9), seed=st.integers(0, 99), steps=st.lists(st.integers(0, 2000), min_size=1))
def test_any_step_can_be_asked_for_first(rows: list[tuple[int, int]], batch_size: int, seed: int, steps: Sequence[int]) -> None:
    batch_size = min(batch_size, len(rows))
    sources, targets = zip(*rows, strict=True)
    one = BatchOrder(sources, targets, batch_size, seed)
    for step in steps:
        assert one.batch(step) == BatchOrder(list(sources), list(targets), batch_size, seed).batch(step)


def order_of(count: int, seed: int, epochs: int = 1) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(0)
    order = BatchOrder(draw.integers(2, 256, count).tolist(), draw.integers(2, 128, count).tolist(), 8, seed)
    return [order.batch(step) for step in range(epochs * order.steps_per_epoch)]


def test_seeds_and_epochs_give_other_batches() -> None:
    two = order_of(2000, 0, epochs=2)
    first, second, other = two[:250], two[250:], order_of(2000, 1)
    for one, another in ((first, second), (first, other)):
        assert one != another
        alike = {frozenset(batch) for batch in one} & {frozenset(batch) for batch in another}
        assert len(alike) < 3, "not the same batches in another order"


def test_batches_come_in_no_order_of_length() -> None:
    draw = np.random.default_rng(0)
    sources = draw.integers(2, 256, 4000)
    order = BatchOrder(sources.tolist(), draw.integers(2, 128, 4000).tolist(), 8, 3)
    means = [float(sources[list(order.batch(step))].mean()) for step in range(order.steps_per_epoch)]
    assert abs(float(np.corrcoef(means[:-1], means[1:])[0, 1])) < 0.2


def test_the_smaller_batch_is_not_always_the_longest_rows() -> None:
    lengths = list(range(2, 105))  # 103 rows: 12 batches of 8 and one of 7
    order = BatchOrder(lengths, lengths, 8, 0)
    small = [
        batch
        for epoch in range(60)
        for batch in (order.batch(epoch * order.steps_per_epoch + place) for place in range(order.steps_per_epoch))
        if len(batch) == 7
    ]
    assert len(small) == 60
    assert 40 < np.mean(small) < 62, "a random draw from 0 to 102 has a mean near 51"


def test_the_order_of_a_seed_stays_what_it_is() -> None:
    # If this fails, a run that is continued after an upgrade trains on other batches: say so in the changelog.
    order = BatchOrder([5, 3, 9, 7, 2, 8, 6], [3, 2, 5, 4, 2, 6, 3], 2, 7)
    assert [order.batch(step) for step in range(8)] == [(4, 1), (6, 3), (0,), (2, 5), (6, 3), (2, 5), (4, 0), (1,)]
    assert subset(1000, 5, 7) == (120, 352, 658, 756, 863)


def test_fewer_rows_than_a_batch_is_a_clear_error() -> None:
    with pytest.raises(DataError, match="There are 3 rows to train on, fewer than one batch of 8") as caught:
        BatchOrder([5, 5, 5], [3, 3, 3], 8, 0)
    assert caught.value.fix == "Set training.batch_size to 3 or less, or give more rows."
    assert BatchOrder([5] * 8, [3] * 8, 8, 0).steps_per_epoch == 1


def padding_shares(encoded: Encoded, batches: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Padded share of all places, in sources and targets."""
    pad = 1
    all_batches = [collate(encoded, batch, pad) for batch in batches]
    sources = [float((batch.sources == pad).sum()) for batch in all_batches], [batch.sources.numel() for batch in all_batches]
    targets = [float((batch.targets == pad).sum()) for batch in all_batches], [batch.targets.numel() for batch in all_batches]
    return sum(sources[0]) / sum(sources[1]), sum(targets[0]) / sum(targets[1])


def test_bucketing_leaves_clearly_less_padding_on_real_rows(ruby_data: Path) -> None:
    rows = load_rows(str(ruby_data), "train", limit=6000)
    real = Reader(train_tokenizer([row.source for row in rows.rows[:2000]], vocab_size=2000))
    encoded = encode(rows, real)
    count = len(encoded.rows)
    order = BatchOrder([len(ids) for ids in encoded.sources], [len(ids) for ids in encoded.targets], 8, 0)
    bucketed = padding_shares(encoded, [order.batch(step) for step in range(order.steps_per_epoch)])
    shuffled = np.random.default_rng(0).permutation(count).tolist()
    random = padding_shares(encoded, [shuffled[start : start + 8] for start in range(0, count, 8)])
    assert random[0] > 0.4
    assert random[1] > 0.4
    assert bucketed[0] < 0.12
    assert bucketed[1] < 0.3


# Tensors


def test_a_batch_is_padded_to_its_longest_row_and_no_further() -> None:
    rows = tuple(Row("", "", "", "", n, "") for n in (0, 4, 5))  # 1 to 3 were broken and are left out
    encoded = Encoded([[0, 5, 2], [0, 5, 6, 7, 2], [0, 2]], [[0, 9, 2], [0, 2], [0, 8, 9, 2]], rows)
    batch = collate(encoded, (2, 0), pad_id=1)
    assert batch.rows == (5, 0)  # as they stand in the file: an error that names them must not mislead
    assert batch.tokens == int((batch.sources != 1).sum() + (batch.targets != 1).sum()) == batch.to(torch.device("cpu")).tokens
    assert batch.sources.dtype == batch.targets.dtype == torch.long
    assert batch.sources.tolist() == [[0, 2, 1], [0, 5, 2]]
    assert batch.targets.tolist() == [[0, 8, 9, 2], [0, 9, 2, 1]]
    assert collate(encoded, [1], 1).sources.tolist() == [[0, 5, 6, 7, 2]]


# The rows that are evaluated during training


@given(n_rows=st.integers(1, 500), size=st.integers(0, 600), seed=st.integers(0, 2**31 - 1))
def test_a_subset_is_fixed_sorted_and_of_the_right_size(n_rows: int, size: int, seed: int) -> None:
    drawn = subset(n_rows, size, seed)
    assert drawn == subset(n_rows, size, seed) == tuple(sorted(set(drawn)))
    assert set(drawn) <= set(range(n_rows))
    assert len(drawn) == (n_rows if size == 0 else min(size, n_rows))


def test_a_subset_is_drawn_by_chance_and_by_its_seed() -> None:
    assert subset(1000, 100, 0) != subset(1000, 100, 1)
    assert 350 < np.mean([subset(1000, 100, seed) for seed in range(20)]) < 650
