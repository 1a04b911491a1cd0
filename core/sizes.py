"""How many weights a model has, told from the header of its safetensors file or from its sizes; no weight is read.

Follows `model.CodeToText`: a RoBERTa encoder, a Transformer decoder, one more layer, and an output layer tied to the word
embeddings, which counts once. Torch-free, so that a form can tell what a run will cost before any worker is there.
"""

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from .names import is_prunable
from .recipe import NEW_MODEL, Architecture, PrunablePreset, Recipe

WEIGHTS, CONFIG = "model.safetensors", "config.json"
HEADER_BYTES = 100_000_000
"""The safetensors format allows no longer header."""
OWN_TYPES = ("roberta", "codeprune-code-to-text")
"""Values of `model_type` that can be loaded."""
ROBERTA = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "decoder_ffn": 2048,
}
"""What a configuration means where it says nothing: the defaults of transformers' RobertaConfig and of our decoder."""

UNREADABLE = (OSError, struct.error, ValueError, RecursionError, KeyError, TypeError, AttributeError)
"""What reading a header may raise, whatever lies there."""
Tensors = Mapping[str, int]
"""Parameter name -> how many weights it has; tied ones once."""


def of_recipe(recipe: Recipe) -> Tensors | None:
    """The parameters of the model that a recipe trains, or None where that cannot be told without loading it.

    Args:
        recipe: With paths that count from the working directory.
    """
    if recipe.model.path == NEW_MODEL:
        return of_new(recipe.architecture, recipe.data.source_length)
    return of_folder(Path(recipe.model.path), recipe.model.decoder_layers)


def of_new(shape: Architecture, source_length: int) -> Tensors:
    """The parameters of an untrained model.

    Args:
        shape: Sizes. Few rows may fill fewer entries of the vocabulary than it asks for.
        source_length: Longest source in tokens.
    """
    config = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": max(source_length, 256) + 2,
        "type_vocab_size": 1,
        "decoder_ffn": shape.ffn,
    }
    return _by_shape(config, shape.decoder_layers)


def of_folder(folder: Path, decoder_layers: int) -> Tensors | None:
    """The parameters of a model folder once it is loaded; None where the folder does not tell.

    Args:
        folder: With `config.json`, and weights beside it.
        decoder_layers: Depth of the decoder that an encoder without one is given.
    """
    config = read_config(folder)
    if config is None or config.get("quantization") is not None:
        return None
    header = read_header(folder / WEIGHTS) or {}
    if any(name.startswith("decoder.layers.") for name in header):
        return {_plain(name): size for name, size in header.items() if not name.endswith(("lm_head.weight", "_mask"))}
    sizes = {key: value if isinstance(value := config.get(key), int) else default for key, default in ROBERTA.items()}
    return _by_shape(sizes, decoder_layers)


def prunable(tensors: Tensors, preset: PrunablePreset) -> int:
    """How many weights a preset may prune."""
    return sum(size for name, size in tensors.items() if is_prunable(name, preset))


def read_config(folder: Path) -> dict[str, object] | None:
    """The `config.json` of a folder if it describes a model that can be loaded, else None."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("model_type", "roberta") in OWN_TYPES else None


def read_header(weights: Path) -> Tensors | None:
    """Tensor name -> number of values of a safetensors file, from its header; None where it cannot be read."""
    try:
        return {name: prod(tensor["shape"]) for name, tensor in _header(weights).items()}
    except UNREADABLE:
        return None


def bytes_by_width(weights: Path) -> dict[int, int]:
    """Bits of a value -> bytes of the tensors with such values in a safetensors file; {} where it cannot be read."""
    found: dict[int, int] = {}
    try:
        for tensor in _header(weights).values():
            begin, end = tensor["data_offsets"]
            if values := prod(tensor["shape"]):
                width = 8 * (end - begin) // values
                found[width] = found.get(width, 0) + end - begin
    except UNREADABLE:
        return {}
    return found


def _header(weights: Path) -> dict[str, Any]:
    """Tensor name -> its type, shape and place.

    Source: the format's description: 8 bytes of length, little-endian, then JSON.
    """
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > HEADER_BYTES:
            raise ValueError("no header is so long")
        header = json.loads(file.read(length))
    return {str(name): tensor for name, tensor in header.items() if name != "__metadata__"}


def _plain(name: str) -> str:
    return name.removesuffix("_orig")  # as torch.nn.utils.prune calls a weight under a mask


def _by_shape(config: Mapping[str, int], decoder_layers: int) -> Tensors:
    hidden = config["hidden_size"]
    embeddings = ("vocab_size", "max_position_embeddings", "type_vocab_size")
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    found = {f"encoder.embeddings.{name}.weight": config[key] * hidden for name, key in zip(names, embeddings, strict=True)}
    found |= _norm("encoder.embeddings.LayerNorm", hidden)
    for layer in range(config["num_hidden_layers"]):
        found |= _encoder_layer(f"encoder.encoder.layer.{layer}", hidden, config["intermediate_size"])
    found |= _linear("encoder.pooler.dense", hidden, hidden)
    for layer in range(decoder_layers):
        found |= _decoder_layer(f"decoder.layers.{layer}", hidden, config["decoder_ffn"])
    return found | _linear("dense", hidden, hidden)


def _encoder_layer(name: str, hidden: int, inner: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for matrix in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        found |= _linear(f"{name}.{matrix}", hidden, hidden)
    found |= _linear(f"{name}.intermediate.dense", inner, hidden) | _linear(f"{name}.output.dense", hidden, inner)
    return found | _norm(f"{name}.attention.output.LayerNorm", hidden) | _norm(f"{name}.output.LayerNorm", hidden)


def _decoder_layer(name: str, hidden: int, inner: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for attention in ("self_attn", "multihead_attn"):
        found |= {f"{name}.{attention}.in_proj_weight": 3 * hidden * hidden, f"{name}.{attention}.in_proj_bias": 3 * hidden}
        found |= _linear(f"{name}.{attention}.out_proj", hidden, hidden)
    found |= _linear(f"{name}.linear1", inner, hidden) | _linear(f"{name}.linear2", hidden, inner)
    for norm in ("norm1", "norm2", "norm3"):
        found |= _norm(f"{name}.{norm}", hidden)
    return found


def _linear(name: str, rows: int, columns: int) -> dict[str, int]:
    return {f"{name}.weight": rows * columns, f"{name}.bias": rows}


def _norm(name: str, width: int) -> dict[str, int]:
    return {f"{name}.weight": width, f"{name}.bias": width}
