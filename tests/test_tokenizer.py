"""The tokenizer: RoBERTa's layout, the same file from the same texts, and texts that come back whole."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from core.errors import DataError, ModelError
from core.families.reader import SPLIT_IDENTIFIERS, Reader, read_reader
from core.families.tokenizer import train_tokenizer
from core.families.tokenizerfile import read_tokenizer
from core.spec.checkpoint_files import READER
from core.text.rows import load_rows

TEXTS = [f"def method_{n} ( value ) return value + {n} end" for n in range(60)] + ["Returns the value of the given name ."] * 9


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(train_tokenizer(TEXTS, vocab_size=320))


def test_the_layout_is_robertas(reader: Reader) -> None:
    assert [reader.tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]
    assert reader.mask_id == len(reader) - 1 == 319
    ids = reader.tokenizer.encode("def value").ids
    assert (ids[0], ids[-1]) == (0, 2)
    assert 0 not in ids[1:-1]


def test_ids_are_those_of_transformers_own_roberta_class(reader: Reader, tmp_path: Path) -> None:
    reader.tokenizer.model.save(str(tmp_path))
    reference = RobertaTokenizer(vocab=str(tmp_path / "vocab.json"), merges=str(tmp_path / "merges.txt"))
    for text in [*TEXTS[::7], "an unseen @thing << \u00e9 \U0001f600", " leading", "a  b"]:
        assert reader.ids([text], 99)[0] == reference(text)["input_ids"], text


def test_few_texts_give_a_smaller_vocabulary_with_the_mask_still_last() -> None:
    small = Reader(train_tokenizer(["ab ab"], vocab_size=8000))
    assert small.mask_id == len(small) - 1 < 300


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(DataError, match="A vocabulary of 260 entries has no room for 5 special tokens and 256 bytes") as caught:
        train_tokenizer(TEXTS, vocab_size=260)
    assert "Set model.vocab_size to 261 or more" in caught.value.fix
    assert len(Reader(train_tokenizer(TEXTS, vocab_size=261))) == 261


def test_the_same_texts_give_the_same_file(reader: Reader, tmp_path: Path) -> None:
    again = Reader(train_tokenizer(iter(reversed(TEXTS)), vocab_size=320))
    for name, each in (("a", reader), ("b", again)):
        (tmp_path / name).mkdir()
        each.save(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("loader", [AutoTokenizer, PreTrainedTokenizerFast])
def test_transformers_reads_what_is_saved(reader: Reader, tmp_path: Path, loader: type[PreTrainedTokenizerFast]) -> None:
    reader.save(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert loaded.backend_tokenizer.to_str() == reader.tokenizer.to_str()
    assert (loaded.bos_token_id, loaded.pad_token_id, loaded.eos_token_id, loaded.unk_token_id) == (0, 1, 2, 3)
    assert (loaded.cls_token_id, loaded.sep_token_id, loaded.mask_token_id) == (0, 2, 319)
    assert loaded(TEXTS[3])["input_ids"] == reader.ids(TEXTS[3:4], 99)[0]
    assert loaded.decode(loaded(TEXTS[3])["input_ids"][1:-1]) == reader.text(reader.ids(TEXTS[3:4], 99)[0][1:])


def test_its_files_are_those_that_transformers_writes(reader: Reader, tmp_path: Path) -> None:
    mask = AddedToken("<mask>", lstrip=True, normalized=False)
    names = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    backend = train_tokenizer(TEXTS, vocab_size=320)
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=backend, **names, unk_token="<unk>", mask_token=mask, clean_up_tokenization_spaces=False
    )
    for name, save in (("ours", reader.save), ("theirs", theirs.save_pretrained)):
        (tmp_path / name).mkdir()
        save(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()


def test_steps_lie_in_the_folder_and_older_folders_have_them_in_their_configuration(tmp_path: Path) -> None:
    reader = Reader(train_tokenizer(TEXTS, vocab_size=320), (SPLIT_IDENTIFIERS,))
    assert reader.sources(["fooBar"], 99) == reader.ids(["foo bar"], 99) != reader.ids(["fooBar"], 99)
    reader.save(tmp_path)
    assert json.loads((tmp_path / READER).read_text()) == {"steps": ["split-identifiers"]}
    assert read_reader(tmp_path).steps == (SPLIT_IDENTIFIERS,)
    (tmp_path / READER).unlink()
    assert read_reader(tmp_path).steps == ()
    for splits, steps in ((True, (SPLIT_IDENTIFIERS,)), (False, ())):
        (tmp_path / "config.json").write_text(json.dumps({"split_identifiers": splits}))
        assert read_reader(tmp_path).steps == steps
    Reader(reader.tokenizer).save(tmp_path)  # beside an older configuration that says yes, the newer file counts
    (tmp_path / "config.json").write_text('{"split_identifiers": true}')
    assert read_reader(tmp_path).steps == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"steps": ["translate"]}', "has a step 'translate', which this version does not know"),
        ('{"steps": [["split-identifiers"]]}', "has a step"),
        ('{"steps": "split-identifiers"}', "has no list of steps"),
        ('{"steps": ["split-identifiers", "split-identifiers"]}', "has no list of steps"),
        ("[]", "holds no JSON object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_steps_that_nobody_knows_are_refused(reader: Reader, tmp_path: Path, content: str, problem: str) -> None:
    reader.save(tmp_path)
    (tmp_path / READER).write_text(content)
    with pytest.raises(ModelError, match=problem) as caught:
        read_reader(tmp_path)
    assert str(tmp_path / READER) in caught.value.problem


def test_a_tokenizer_without_mask_cannot_be_pretrained_with() -> None:
    backend = Tokenizer(models.BPE({"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3}, []))
    with pytest.raises(ModelError, match="has no <mask>"):
        _ = Reader(backend).mask_id


def test_a_comment_ends_at_the_first_token_0_and_keeps_single_blanks(reader: Reader) -> None:
    ids = reader.ids(["Returns  the value ."], 99)[0][1:]
    assert reader.text(ids) == "Returns the value ."
    assert reader.text([*ids[:-1], 0, *ids]) == "Returns the value ."
    assert reader.text([1, *ids[:-1], 2, 1]) == "Returns the value ."
    assert reader.text([]) == ""


@given(text=st.text())
def test_every_text_comes_back_whole(reader: Reader, text: str) -> None:
    ids = reader.tokenizer.encode(text, add_special_tokens=False).ids
    assert reader.tokenizer.decode(ids, skip_special_tokens=False) == text


def test_decoding_keeps_blanks_and_leaves_special_tokens_out(reader: Reader) -> None:
    text = "Returns the value , isn 't it ? a 's ."
    ids = reader.tokenizer.encode(text).ids
    # Cleaning up would pull the signs to the words before them, and change every score.
    assert reader.tokenizer.decode(ids) == text
    assert reader.tokenizer.decode([*ids[1:4], 1, 3, *ids[4:]]) == text
    assert reader.tokenizer.decode([*ids[:2], 1], skip_special_tokens=False).endswith("<pad>")
    # Half a character is shown as such and never raises.
    half = reader.tokenizer.encode("\u00e9", add_special_tokens=False).ids[:1]
    assert reader.tokenizer.decode(half) == "\ufffd"


def test_on_real_rows_it_is_whole_and_much_shorter_than_bytes(ruby_data: Path) -> None:
    rows = load_rows(str(ruby_data), "valid").rows
    real = train_tokenizer([text for row in rows for text in (row.source, row.target)], vocab_size=4000)
    assert real.get_vocab_size() == 4000
    tokens = 0
    for row in rows[:200]:
        ids = real.encode(row.source, add_special_tokens=False).ids
        assert real.decode(ids) == row.source
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
