"""How many weights a model has, told from the header of its safetensors file or from its sizes; no weight is read.

Follows `model.CodeToText`: a RoBERTa encoder, a Transformer decoder, one more layer, and an output layer tied to the word
embeddings, which counts once. Torch-free, so that a form can tell what a run will cost before any worker is there.
"""

from collections.abc import Mapping
from pathlib import Path

from ..errors import ModelError
from ..recipe import NEW_MODEL, Architecture, PrunablePreset, Recipe
from ..regularfile import read_facts
from . import roberta, weightheaders
from .configfields import field_problem
from .layout import is_prunable

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OWN_TYPES = ("roberta", "codeprune-code-to-text")
"""Values of `model_type` that can be loaded."""
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
    return roberta.shapes(roberta.new(shape, new_positions(source_length)), shape.decoder_layers)


def new_positions(source_length: int) -> int:
    """Tokens that an untrained model can read: its sources, and room to be taken further."""
    return max(source_length, 256)


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
    if roberta.has_decoder(header):
        return {roberta.plain(name): size for name, size in header.items() if roberta.counts(name)}
    sizes = {key: value if isinstance(value := config.get(key), int) else default for key, default in roberta.DEFAULTS.items()}
    return roberta.shapes(sizes, decoder_layers)


def prunable(tensors: Tensors, preset: PrunablePreset) -> int:
    """How many weights a preset may prune."""
    return sum(size for name, size in tensors.items() if is_prunable(name, preset))


def read_config(folder: Path) -> dict[str, object] | None:
    """The `config.json` of a folder if it describes a model that can be loaded, else None."""
    try:
        config = read_facts(folder / CONFIG)
    except OSError:
        return None
    return config if config.get("model_type", "roberta") in OWN_TYPES else None


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
