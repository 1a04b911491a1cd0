"""Readers turn Ruby source into the ids that a model reads, comments into ids, and ids back into comments.

A reader lies in the model's folder: a tokenizer, and `reader.json` with the steps that the text of a source goes through before
it is tokenized. Everything that encodes or decodes asks the reader; no flag elsewhere says how a model is read. Uses the
`tokenizers` library alone: transformers would take seconds to import.

Knows nothing of rows, batches or models. Source: RoBERTa's layout of special tokens; CodeXGLUE's handling of texts.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from ..errors import ModelError
from ..ruby import split_identifiers
from ..spec.checkpoint_files import CONFIG, READER
from ..spec.configfields import check_fields, short
from ..spec.weightheaders import read_json
from .config import BOS, EOS, PAD, SPECIAL
from .family import Special
from .tokenizerfile import read_tokenizer, reason_of

SPLIT_IDENTIFIERS = "split-identifiers"
STEPS: dict[str, Callable[[str], str]] = {SPLIT_IDENTIFIERS: split_identifiers}
"""Name in `reader.json` -> the step that changes the text of a source."""

PAPER_SOURCE_LENGTH = 256
"""Most tokens of a source in CodeXGLUE's code, `<s>` and `</s>` included."""
CHUNK_TEXTS = 1024
"""Most texts tokenized in one call: the tokenizer's own records of 15,000 texts at once would take gigabytes."""

SPECIAL_TOKENS = {"<s>": BOS, "<pad>": PAD, "</s>": EOS}
"""RoBERTa's special tokens, with the ids that model, data and beam search rely on."""
MASK_TOKEN = "<mask>"

_ROLES = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "mask": MASK_TOKEN, "pad": "<pad>", "sep": "</s>", "unk": "<unk>"}
_NO_LIMIT = 1000000000000000019884624838656  # what transformers writes for "any length"


@dataclass(frozen=True)
class Reader:
    """The reader of one model."""

    tokenizer: Tokenizer
    """A tokenizer with RoBERTa's special tokens; not shared, because its settings are changed here."""
    steps: tuple[str, ...] = ()
    """The steps of a source before it is tokenized, names from `STEPS`."""

    def __post_init__(self) -> None:
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True

    def __len__(self) -> int:
        """Number of entries of the vocabulary, special tokens included."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def special(self) -> Special:
        """The tokens that are not text."""
        return SPECIAL

    @property
    def mask_id(self) -> int:
        """Id of `<mask>`.

        Raises:
            ModelError: The tokenizer has none.
        """
        number = self.tokenizer.token_to_id(MASK_TOKEN)
        if number is None:
            raise ModelError(f"The model's tokenizer has no {MASK_TOKEN}.", "Pre-train a model whose tokenizer has one.")
        return number

    def prepared(self, source: str) -> str:
        """The text of a source as it is tokenized."""
        return prepared(source, self.steps)

    def sources(self, texts: Iterable[str], length: int) -> list[list[int]]:
        """The ids of sources; arguments and result as for `ids`."""
        return self.ids([self.prepared(text) for text in texts], length)

    def ids(self, texts: Sequence[str], length: int) -> list[list[int]]:
        """Tokenizes comments, or prepared sources, to `<s> … </s>`.

        A text is data: where it contains `<s>` or `<pad>`, that becomes ordinary tokens and not a special token (CodeXGLUE would
        take it for one; this concerns one of its 15,000 rows).

        Args:
            texts: Texts to encode.
            length: Most tokens, the two special ones included.

        Returns:
            One list of ids for each text: `<s>`, the text's first `length - 2` tokens, `</s>`.
        """
        ids: list[list[int]] = []
        for start in range(0, len(texts), CHUNK_TEXTS):
            chunk = list(texts[start : start + CHUNK_TEXTS])
            encodings = self.tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            ids.extend([BOS, *encoding.ids[: length - 2], EOS] for encoding in encodings)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Ids as a comment, as CodeXGLUE writes it: cut at the first token 0, decoded without cleaning, blanks trimmed."""
        written = list(ids)
        if BOS in written:
            written = written[: written.index(BOS)]
        text = self.tokenizer.decode([token for token in written if token not in (PAD, EOS)], skip_special_tokens=False)
        return " ".join(text.split())

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, `reader.json`, and the files with which transformers can read the tokenizer too.

        Args:
            folder: An existing folder.
        """
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / READER).write_text(json.dumps({"steps": list(self.steps)}, indent=1) + "\n", encoding="utf-8")
        names = {f"{role}_token": token for role, token in _ROLES.items() if self.tokenizer.token_to_id(token) is not None}
        facts = {"backend": "tokenizers", "clean_up_tokenization_spaces": False, "model_max_length": _NO_LIMIT, **names}
        text = json.dumps({**facts, "tokenizer_class": "TokenizersBackend"}, indent=2, sort_keys=True)
        (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def prepared(source: str, steps: Iterable[str]) -> str:
    """The text of a source after some steps, which are names from `STEPS`."""
    for step in steps:
        source = STEPS[step](source)
    return source


def read_reader(folder: Path) -> Reader:
    """Reads the reader of a model folder.

    Args:
        folder: With `tokenizer.json`, or with RoBERTa's `vocab.json` and `merges.txt`. Without `reader.json`, its `config.json`
            says whether identifiers are split, as folders of older versions have it.

    Raises:
        ModelError: A file is damaged, a step unknown, or the special tokens are others than RoBERTa's.
    """
    tokenizer = read_tokenizer(folder)
    for token, number in SPECIAL_TOKENS.items():
        if tokenizer.token_to_id(token) != number:
            raise ModelError(
                f"The tokenizer in {folder} gives {token} the id {tokenizer.token_to_id(token)}, but RoBERTa models "
                f"need {number}.",
                "Use a tokenizer in RoBERTa's layout: <s> = 0, <pad> = 1, </s> = 2.",
            )
    special: list[str | AddedToken] = [token for token in (*SPECIAL_TOKENS, "<unk>") if tokenizer.token_to_id(token) is not None]
    if tokenizer.token_to_id(MASK_TOKEN) is not None:
        special.append(AddedToken(MASK_TOKEN, lstrip=True, normalized=False))
    try:
        tokenizer.add_special_tokens(special)
        return Reader(tokenizer, _steps(folder))
    except ModelError:
        raise
    except Exception as error:  # whatever the library raises for a tokenizer to which they cannot be added
        raise ModelError(f"The tokenizer in {folder} cannot be used: {reason_of(error)}.", "Copy its files again.") from error


def _steps(folder: Path) -> tuple[str, ...]:
    if not (folder / READER).exists():
        facts = read_json(folder / CONFIG) if (folder / CONFIG).exists() else {}
        splits = {name: facts[name] for name in ("split_identifiers",) if name in facts}
        check_fields(splits, folder / CONFIG)
        return (SPLIT_IDENTIFIERS,) if splits.get("split_identifiers") else ()
    steps = read_json(folder / READER).get("steps")
    if not isinstance(steps, list) or len(steps) > len(STEPS):
        raise ModelError(f"{folder / READER} has no list of steps.", "Copy the file again.")
    for step in steps:
        if not isinstance(step, str) or step not in STEPS:
            raise ModelError(
                f"{folder / READER} has a step {short(step)}, which this version does not know.",
                f"Update it; known are: {', '.join(STEPS)}.",
            )
    return tuple(steps)
