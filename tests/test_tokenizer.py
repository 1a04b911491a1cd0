"""The tokenizer: RoBERTa's layout, the same file from the same texts, and texts that come back whole."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from core.errors import DataError, ModelError
from core.families.tokenizer import train_tokenizer
from core.families.tokenizerfile import read_tokenizer
from core.text.rows import load_rows

TEXTS = [f"def method_{n} ( value ) return value + {n} end" for n in range(60)] + ["Returns the value of the given name ."] * 9


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, vocab_size=320)


def test_the_layout_is_robertas(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert tokenizer.mask_token_id == len(tokenizer) - 1 == 319
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2, 3)
    ids = tokenizer("def value")["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    assert 0 not in ids[1:-1]


def test_ids_are_those_of_transformers_own_roberta_class(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.backend_tokenizer.model.save(str(tmp_path))
    reference = RobertaTokenizer(vocab=str(tmp_path / "vocab.json"), merges=str(tmp_path / "merges.txt"))
    for text in [*TEXTS[::7], "an unseen @thing << \u00e9 \U0001f600", " leading", "a  b"]:
        assert tokenizer(text)["input_ids"] == reference(text)["input_ids"], text


def test_few_texts_give_a_smaller_vocabulary_with_the_mask_still_last() -> None:
    small = train_tokenizer(["ab ab"], vocab_size=8000)
    assert small.mask_token_id == len(small) - 1 < 300


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(DataError, match="A vocabulary of 260 entries has no room for 5 special tokens and 256 bytes") as caught:
        train_tokenizer(TEXTS, vocab_size=260)
    assert "Set model.vocab_size to 261 or more" in caught.value.fix
    assert len(train_tokenizer(TEXTS, vocab_size=261)) == 261


def test_the_same_texts_give_the_same_file(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    again = train_tokenizer(iter(reversed(TEXTS)), vocab_size=320)
    for name, each in (("a", tokenizer), ("b", again)):
        each.save_pretrained(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("loader", [AutoTokenizer, PreTrainedTokenizerFast])
def test_saved_and_loaded_it_is_the_same(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, loader: type[PreTrainedTokenizerFast]
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert loaded(TEXTS[3])["input_ids"] == tokenizer(TEXTS[3])["input_ids"]


@given(text=st.text())
def test_every_text_comes_back_whole(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text


def test_decoding_keeps_blanks_and_leaves_special_tokens_out(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "Returns the value , isn 't it ? a 's ."
    ids = tokenizer(text)["input_ids"]
    # Cleaning up would pull the signs to the words before them, and change every score.
    assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text
    assert tokenizer.decode([*ids[1:4], 1, 3, *ids[4:]], skip_special_tokens=True) == text
    assert tokenizer.decode([*ids[:2], 1], skip_special_tokens=False).endswith("<pad>")
    # Half a character is shown as such and never raises.
    half = tokenizer.backend_tokenizer.encode("\u00e9", add_special_tokens=False).ids[:1]
    assert tokenizer.decode(half, skip_special_tokens=True) == "\ufffd"


def test_on_real_rows_it_is_whole_and_much_shorter_than_bytes(ruby_data: Path) -> None:
    rows = load_rows(str(ruby_data), "valid").rows
    real = train_tokenizer([text for row in rows for text in (row.source, row.target)], vocab_size=4000)
    assert len(real) == 4000
    tokens = 0
    for row in rows[:200]:
        ids = real.backend_tokenizer.encode(row.source, add_special_tokens=False).ids
        assert real.decode(ids, skip_special_tokens=True) == row.source
        tokens += len(ids)
    assert tokens < 0.45 * sum(len(row.source.encode()) for row in rows[:200])


def wordpiece(folder: Path, **changes: object) -> Path:
    """A WordPiece tokenizer in RoBERTa's layout, as one that begins sentences with a capital is saved."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "returns", "the", "total", "##s", "."]
    backend = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    capitals = [decoders.Replace(Regex(f"^{letter}"), letter.upper()) for letter in "abcdefghijklmnopqrstuvwxyz"]
    backend.decoder = decoders.Sequence([decoders.WordPiece(prefix="##"), decoders.Fuse(), *capitals])
    folder.mkdir(exist_ok=True)
    facts = json.loads(backend.to_str())
    for key, value in changes.items():
        facts["model" if key in facts["model"] else "decoder"][key] = value
    (folder / "tokenizer.json").write_text(json.dumps(facts))
    return folder


def test_a_wordpiece_tokenizer_is_read(tmp_path: Path) -> None:
    backend = read_tokenizer(wordpiece(tmp_path / "t"))
    ids = backend.encode("returns the Totals.", add_special_tokens=False).ids
    assert ids == [4, 5, 6, 7, 8]
    assert backend.decode(ids) == "Returns the totals."


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"max_input_chars_per_word": 10**9}, "its words may have 1000000000 characters, more than 1000"),
        ({"max_input_chars_per_word": "many"}, "its words may have"),
        ({"decoders": [{"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": "b"}]}, "replaces more than one letter"),
        (
            {"decoders": [{"type": "Replace", "pattern": {"String": "a"}, "content": "bcd"}]},
            "replaces more than one letter",
        ),
        ({"decoders": [{"type": "Replace", "pattern": {"String": "a"}, "content": "b"}] * 41}, "more than 40 steps"),
    ],
    ids=["words of a billion", "words of many", "a slow pattern", "a long replacement", "many steps"],
)
def test_a_hostile_wordpiece_tokenizer_is_refused(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        read_tokenizer(wordpiece(tmp_path / "t", **changes))
