"""Trains a byte-level BPE tokenizer in RoBERTa's layout on given texts.

Knows nothing of rows or models. The layout is RoBERTa's (Liu et al. 2019, after GPT-2's byte-level BPE): no text is ever
unknown, the first word of a text has no blank before it, and `tokenizer.json` in the model's folder holds all of it.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from ..errors import DataError

FIRST_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
"""The special tokens with the ids 0 to 3, as in RoBERTa."""

MASK_TOKEN = "<mask>"
"""The special token with the last id, as in RoBERTa."""

SMALLEST_VOCABULARY = len(FIRST_TOKENS) + 256 + 1
"""The special tokens and every byte."""


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 8000) -> Tokenizer:
    """Trains a tokenizer on `texts`; the same texts give the same `tokenizer.json`, byte for byte.

    Args:
        texts: The texts that the tokenizer will be used on: sources and targets of the training split, each text once.
        vocab_size: Most entries, special tokens included; texts with too few different words give fewer.

    Returns:
        A tokenizer with `<s>` = 0, `<pad>` = 1, `</s>` = 2, `<unk>` = 3 and `<mask>` = the last id.

    Raises:
        DataError: `vocab_size` has no room for the special tokens and all bytes.

    Source:
        Sennrich et al. 2016 (BPE); Radford et al. 2019 (on bytes); Liu et al. 2019 (the ids).
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise DataError(
            f"A vocabulary of {vocab_size} entries has no room for {len(FIRST_TOKENS) + 1} special tokens and 256 bytes.",
            f"Set model.vocab_size to {SMALLEST_VOCABULARY} or more; some thousands are usual.",
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=FIRST_TOKENS,
        # All bytes, also those that the texts lack, or a new character would become <unk>.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens([AddedToken(MASK_TOKEN, lstrip=True, normalized=False)])
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return backend
