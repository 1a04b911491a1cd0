"""How many weights a model has, told from the header of its safetensors file or from its sizes; no weight is read.

Follows `model.CodeToText`: a RoBERTa encoder, a Transformer decoder, one more layer, and an output layer tied to the word
embeddings, which counts once. Torch-free, so that a form can tell what a run will cost before any worker is there.
"""

from collections.abc import Mapping
from pathlib import Path

from ..errors import ModelError
from ..recipe import NEW_MODEL, Architecture, PrunablePreset, Recipe
from ..regularfile import read_facts
from . import weightheaders
from .configfields import field_problem
from .layout import is_prunable

WEIGHTS, CONFIG = "model.safetensors", "config.json"
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
    if config is None or config.get("quantization") is not None or field_problem(config):
        return None
    index = folder / f"{WEIGHTS}{weightheaders.INDEX}"
    header = (_read_shards(index) if index.exists() and not (folder / WEIGHTS).exists() else read_header(folder / WEIGHTS)) or {}
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
        found = read_facts(folder / CONFIG)
    except OSError:
        return None
    return found if found.get("model_type", "roberta") in OWN_TYPES else None


def read_header(weights: Path) -> Tensors | None:
    """Tensor name -> number of values of a safetensors file, from its header; None where it cannot be read."""
    try:
        return {name: tensor.numbers for name, tensor in weightheaders.read_header(weights).items()}
    except ModelError:
        return None


def _read_shards(index: Path) -> Tensors | None:
    try:
        headers = [read_header(file) for file in weightheaders.shards(index)]
    except ModelError:
        return None
    return {name: size for header in headers for name, size in (header or {}).items()}


def bytes_by_width(weights: Path) -> dict[int, int]:
    """Bits of a value -> bytes of the tensors with such values in a safetensors file; {} where it cannot be read."""
    sizes: dict[int, int] = {}
    try:
        for tensor in weightheaders.read_header(weights).values():
            digits = "".join(filter(str.isdigit, tensor.kind.partition("_")[0]))  # F8_E4M3 has 8 bits
            width = int(digits or 8)  # BOOL takes a byte
            sizes[width] = sizes.get(width, 0) + tensor.numbers * width // 8
    except ModelError:
        return {}
    return sizes


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
