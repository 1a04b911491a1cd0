"""The family without weights: its special tokens and positions, and the names and sizes of its parameters.

The torch-free half of `core.families.roberta`, for layouts, counts and costs of a model that is not loaded. Names are
those of CodeXGLUE's checkpoints; they stand here and in `core.families`, and nowhere else.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from ..recipe import Architecture

PAD, BOS, EOS = 1, 0, 2
"""Token ids of RoBERTa's `<pad>`, `<s>` and `</s>`; every model and tokenizer here must agree with them."""

Part = Literal["encoder", "pooler", "decoder"]

_ENCODER = re.compile(
    r"encoder\.encoder\.layer\.(\d{1,6})\.(attention\.self\.(?:query|key|value)|attention\.output\.dense|intermediate\.dense|output\.dense)\.weight"
)
_DECODER = re.compile(r"decoder\.layers\.(\d{1,6})\.(self_attn\.out_proj|multihead_attn\.out_proj|linear1|linear2)\.weight")
_POOLER = "encoder.pooler.dense.weight"

WORDS, NORM = "encoder.embeddings.word_embeddings.weight", "encoder.embeddings.LayerNorm"
"""The embeddings of the vocabulary's entries, and the norm after them."""
PACKED = ("in_proj_weight", "out_proj.weight")
"""Ends of names: of a decoder's queries, keys and values in one matrix, which carries no mask, and of the one that does for the
same heads."""

MATRICES: dict[str, str] = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "output",
    "intermediate.dense": "ffn-in",
    "output.dense": "ffn-out",
    "self_attn.out_proj": "self-out",
    "multihead_attn.out_proj": "cross-out",
    "linear1": "ffn-in",
    "linear2": "ffn-out",
}
"""Module path inside a layer -> the short name on screen."""
DEFAULTS = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "decoder_ffn": 2048,
}
"""Values of entries that a configuration lacks: the defaults of RoBERTa's configuration and of our decoder."""


def table_rows(tokens: int) -> int:
    """Rows of the position table of a model that reads this many tokens: RoBERTa counts from the row after that of `<pad>`."""
    return tokens + PAD + 1


def positions(table_rows: int) -> int:
    """Most tokens that a model with this many rows can read or write."""
    return table_rows - PAD - 1


def new(shape: Architecture, tokens: int) -> dict[str, int]:
    """The entries of `DEFAULTS` for an untrained model.

    Args:
        shape: Sizes.
        tokens: Most tokens that it is to read or write.
    """
    return {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": table_rows(tokens),
        "type_vocab_size": 1,
        "decoder_ffn": shape.ffn,
    }


def place(parameter: str) -> tuple[Part, int, str] | None:
    """Part, number of the layer and short name of a prunable matrix; None for everything else."""
    if parameter == _POOLER:
        return "pooler", 0, "pooler"
    if match := _ENCODER.fullmatch(parameter):
        return "encoder", int(match[1]), MATRICES[match[2]]
    if match := _DECODER.fullmatch(parameter):
        return "decoder", int(match[1]), MATRICES[match[2]]
    return None


def in_encoder_layers(parameter: str) -> bool:
    """Whether a parameter belongs to the encoder's layers; embeddings, which the decoder shares, do not."""
    return parameter.startswith("encoder.encoder.")


def in_decoder(parameter: str) -> bool:
    """Whether a parameter belongs to the decoder's layers."""
    return parameter.startswith("decoder.")


def is_trained(parameter: str) -> bool:
    """Whether training changes a parameter; it does not change the pooler, whose output is not used."""
    return not parameter.startswith("encoder.pooler.")


def has_decoder(parameters: Iterable[str]) -> bool:
    """Whether a checkpoint with these names has a decoder."""
    return any(name.startswith("decoder.layers.") for name in parameters)


def counts(tensor: str) -> bool:
    """Whether a tensor of a checkpoint counts as a parameter; a mask and the tied output layer do not."""
    return not tensor.endswith(("lm_head.weight", "_mask"))


def plain(tensor: str) -> str:
    """A parameter's own name, also where `torch.nn.utils.prune` masks its weight."""
    return tensor.removesuffix("_orig")


def shapes(config: Mapping[str, int], decoder_layers: int) -> dict[str, int]:
    """The number of weights of each parameter of a model; tied ones count once.

    Args:
        config: The entries in `DEFAULTS`.
        decoder_layers: Depth of the decoder.
    """
    hidden = config["hidden_size"]
    embeddings = ("vocab_size", "max_position_embeddings", "type_vocab_size")
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    sizes = {f"encoder.embeddings.{name}.weight": config[key] * hidden for name, key in zip(names, embeddings, strict=True)}
    sizes |= _norm("encoder.embeddings.LayerNorm", hidden)
    for layer in range(config["num_hidden_layers"]):
        sizes |= _encoder_layer(f"encoder.encoder.layer.{layer}", hidden, config["intermediate_size"])
    sizes |= _linear("encoder.pooler.dense", hidden, hidden)
    for layer in range(decoder_layers):
        sizes |= _decoder_layer(f"decoder.layers.{layer}", hidden, config["decoder_ffn"])
    return sizes | _linear("dense", hidden, hidden)


def _encoder_layer(name: str, hidden: int, inner: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for matrix in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        sizes |= _linear(f"{name}.{matrix}", hidden, hidden)
    sizes |= _linear(f"{name}.intermediate.dense", inner, hidden) | _linear(f"{name}.output.dense", hidden, inner)
    return sizes | _norm(f"{name}.attention.output.LayerNorm", hidden) | _norm(f"{name}.output.LayerNorm", hidden)


def _decoder_layer(name: str, hidden: int, inner: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for attention in ("self_attn", "multihead_attn"):
        sizes |= {f"{name}.{attention}.in_proj_weight": 3 * hidden * hidden, f"{name}.{attention}.in_proj_bias": 3 * hidden}
        sizes |= _linear(f"{name}.{attention}.out_proj", hidden, hidden)
    sizes |= _linear(f"{name}.linear1", inner, hidden) | _linear(f"{name}.linear2", hidden, inner)
    for norm in ("norm1", "norm2", "norm3"):
        sizes |= _norm(f"{name}.{norm}", hidden)
    return sizes


def _linear(name: str, rows: int, columns: int) -> dict[str, int]:
    return {f"{name}.weight": rows * columns, f"{name}.bias": rows}


def _norm(name: str, width: int) -> dict[str, int]:
    return {f"{name}.weight": width, f"{name}.bias": width}
