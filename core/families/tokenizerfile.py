"""Reads the files of a byte-level BPE tokenizer, and refuses those whose work could grow without bound.

A `tokenizer.json` is a little program: it may replace texts by longer ones over and over, or match any regular expression.
Models in RoBERTa's layout need none of that, so the allowed parts are listed here, and all others are refused.

Knows nothing of special tokens and models (`core.model`). Source: the format of Hugging Face's tokenizers, `vocab.json` with
`merges.txt` as GPT-2 has them, and `added_tokens.json` of transformers.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from ..errors import ModelError
from ..regularfile import read_regular, reason
from ..spec.configfields import short

ADDED = "added_tokens.json"
MOST_BYTES = 32_000_000
"""Most bytes of one file; RoBERTa's have 2 MB."""
LONGEST_TOKEN = 4096
"""Most characters of a token; a run of blanks or dashes in code may be one token."""
LONGEST_WORD = 1000
"""Most characters of a word for a WordPiece tokenizer; longer words are unknown, since its time grows with their square."""
MOST_PARTS = 40
"""Most steps of one kind, or pieces of one template."""

PARTS: dict[str, frozenset[str]] = {
    "normalizer": frozenset({"Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "BertNormalizer"}),
    "pre_tokenizer": frozenset(
        {"Sequence", "ByteLevel", "Whitespace", "WhitespaceSplit", "Digits", "Punctuation", "BertPreTokenizer"}
    ),
    "post_processor": frozenset({"Sequence", "RobertaProcessing", "TemplateProcessing", "ByteLevel"}),
    "decoder": frozenset({"Sequence", "ByteLevel", "Fuse", "WordPiece", "Replace"}),
}
"""Key of `tokenizer.json` -> allowed types, none of which makes a text more than a few times longer."""
_LISTS = {"normalizers", "pretokenizers", "processors", "decoders"}


def read_tokenizer(folder: Path) -> Tokenizer:
    """Reads the tokenizer of a folder, without its truncation and padding.

    Args:
        folder: With `tokenizer.json`, or `vocab.json` and `merges.txt`; `added_tokens.json` may lie beside them.

    Raises:
        ModelError: The tokenizer is damaged, or has a part that models in RoBERTa's layout do not need.
    """
    try:
        whole = folder / "tokenizer.json"
        backend = _of_json(_json(whole), whole) if whole.exists() else _of_bpe(folder)
        if (folder / ADDED).exists():
            _add_tokens(backend, _json(folder / ADDED), folder / ADDED)
        return backend
    except (ModelError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the tokenizers library raises bare Exception, and its panics are not even that
        raise ModelError(f"The tokenizer in {folder} cannot be read: {reason_of(error)}.", "Copy its files again.") from error


def reason_of(error: BaseException) -> str:
    """The message of a library's error, in one line."""
    return reason(error) if isinstance(error, Exception) else (str(error).splitlines() or [type(error).__name__])[0][:300]


def _of_json(facts: object, path: Path) -> Tokenizer:
    if not isinstance(facts, dict) or not isinstance(facts.get("model"), dict):
        raise ValueError("tokenizer.json has no model")
    for key, allowed in PARTS.items():
        _check_part(facts.get(key), key, allowed, path)
    _check_model(facts["model"], path)
    _check_length(facts.get("added_tokens"), path)
    facts = {**facts, "truncation": None, "padding": None}  # data and decoding do both; the file might pad to any length
    return Tokenizer.from_str(json.dumps(facts))


def _check_part(part: object, key: str, allowed: frozenset[str], path: Path) -> None:
    for step in _steps(part):
        kind = step.get("type")
        if kind not in allowed:
            raise ModelError(
                f"{path} has a {key} of type {short(kind)}, which tokenizers in RoBERTa's layout do not have.",
                f"Use a tokenizer with none, or with: {', '.join(sorted(allowed))}.",
            )
        if kind == "Replace" and not _keeps_length(step):
            raise ValueError(f"its {key} replaces more than one letter by another")
        for pieces in (step.get("single"), step.get("pair"), *_template_ids(step)):
            if isinstance(pieces, list) and len(pieces) > MOST_PARTS:
                raise ValueError(f"its {key} adds {len(pieces)} tokens to every text")


def _keeps_length(step: dict[str, object]) -> bool:
    """Whether a step replaces one character by one, as a decoder does that begins sentences with a capital."""
    pattern, content = step.get("pattern"), step.get("content")
    regex = pattern.get("Regex", pattern.get("String")) if isinstance(pattern, dict) and len(pattern) == 1 else None
    return (
        isinstance(regex, str) and isinstance(content, str) and len(content) == 1 and re.fullmatch(r"\^?[a-z]", regex) is not None
    )


def _template_ids(step: dict[str, object]) -> list[object]:
    tokens = step.get("special_tokens")
    return [token.get("ids") for token in tokens.values() if isinstance(token, dict)] if isinstance(tokens, dict) else []


def _steps(part: object) -> Iterator[dict[str, object]]:
    """A part and the parts inside it, at most `MOST_PARTS` in all."""
    waiting, seen = [part] * (part is not None), 0
    while waiting:
        step = waiting.pop()
        seen += 1
        if not isinstance(step, dict) or seen > MOST_PARTS:
            raise ValueError(f"a part of it is no table, or it has more than {MOST_PARTS} steps of one kind")
        yield step
        for name in _LISTS & step.keys():
            inner = step[name]
            waiting += inner if isinstance(inner, list) else [inner]


def _check_model(model: dict[str, object], path: Path) -> None:
    kind = model.get("type", "BPE")
    if kind not in ("BPE", "WordPiece"):
        raise ModelError(
            f"{path} holds a tokenizer of type {short(kind)}, but only BPE and WordPiece are read.",
            "Use the tokenizer that the model was trained with, in RoBERTa's layout.",
        )
    if model.get("dropout"):
        raise ValueError("it drops merges at random")
    longest = model.get("max_input_chars_per_word", LONGEST_WORD)
    if kind == "WordPiece" and not (type(longest) is int and 0 < longest <= LONGEST_WORD):
        raise ValueError(f"its words may have {short(longest)} characters, more than {LONGEST_WORD}")
    if any(len(str(model.get(name) or "")) > MOST_PARTS for name in ("continuing_subword_prefix", "end_of_word_suffix")):
        raise ValueError("a prefix or suffix of its words is too long")
    _check_length(model.get("vocab"), path)


def _check_length(tokens: object, path: Path) -> None:
    entries = list(tokens) if isinstance(tokens, list | dict) and _many(tokens) else []
    texts = [token.get("content") if isinstance(token, dict) else token for token in entries]
    longest = max((len(text) for text in texts if isinstance(text, str)), default=0)
    if longest > LONGEST_TOKEN:
        raise ModelError(
            f"{path} holds a token of {longest:,} characters, but one may have {LONGEST_TOKEN:,} at most.",
            "Use the tokenizer that the model was trained with.",
        )


def _many(value: object) -> bool:
    return isinstance(value, list | dict)


def _of_bpe(folder: Path) -> Tokenizer:
    """A tokenizer from the two files that GPT-2 and RoBERTa came with."""
    vocabulary = _json(folder / "vocab.json")
    lines = read_regular(folder / "merges.txt", MOST_BYTES).decode("utf-8").split("\n")
    merges = [tuple(line.split(" ")) for line in lines if line.strip() and not line.startswith("#version")]
    if not isinstance(vocabulary, dict) or not all(type(number) is int for number in vocabulary.values()):
        raise ValueError("vocab.json is no table of tokens and their ids")
    if any(len(pair) != 2 for pair in merges):
        raise ValueError("a line of merges.txt has not two parts")
    _check_length(vocabulary, folder / "vocab.json")
    bpe = models.BPE(vocabulary, merges)  # type: ignore[arg-type]  # pairs, as was just checked
    backend = Tokenizer(bpe)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    backend.add_special_tokens([token for token in ("<s>", "<pad>", "</s>", "<unk>") if bpe.token_to_id(token) is not None])
    return backend


def _add_tokens(backend: Tokenizer, tokens: object, path: Path) -> None:
    """Adds the tokens of `added_tokens.json` under the ids that it gives."""
    if not isinstance(tokens, dict) or not all(type(number) is int for number in tokens.values()):
        raise ValueError(f"{ADDED} is no table of tokens and their ids")
    _check_length(tokens, path)
    for token, number in sorted(tokens.items(), key=lambda item: item[1]):
        if backend.token_to_id(token) is None:
            backend.add_tokens([AddedToken(token, normalized=False)])
        if backend.token_to_id(token) != number:
            raise ModelError(
                f"{path} gives {short(token)} the id {number}, but its tokenizer has {backend.token_to_id(token)} for it.",
                "Copy all files of the tokenizer from the same model.",
            )


def _json(path: Path) -> object:
    return json.loads(read_regular(path, MOST_BYTES).decode("utf-8"))
