"""Counts the weights of a model from the header of its safetensors file or from its sizes; no weight is read.

Follows `model.CodeToText`: a RoBERTa encoder, a Transformer decoder, one more layer, and an output layer tied to the word
embeddings, which counts once. Torch-free, so that a form can show what a run will cost before there is a worker.
"""

from collections.abc import Mapping
from pathlib import Path

from ..errors import ModelError
from ..recipe import NEW_MODEL, Architecture, PrunablePreset, Recipe, Unit
from ..regularfile import read_facts
from . import roberta, weightheaders
from .configfields import field_problem
from .layout import is_prunable

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OWN_TYPES = ("roberta", "codeprune-code-to-text")
"""Values of `model_type` of models that can be loaded."""
Tensors = Mapping[str, int]
"""Parameter name -> number of its weights; tied ones once."""


def of_recipe(recipe: Recipe) -> Tensors | None:
    """The parameters of the model that a recipe trains, or None where they are known only once it is loaded.

    Args:
        recipe: A recipe with paths relative to the working directory.
    """
    if recipe.model.path == NEW_MODEL:
        return of_new(recipe.architecture, recipe.data.source_length)
    return of_folder(Path(recipe.model.path), recipe.model.decoder_layers)


def of_new(shape: Architecture, source_length: int) -> Tensors:
    """The parameters of an untrained model.

    Args:
        shape: Sizes. A vocabulary trained on few rows may have fewer entries.
        source_length: Longest source in tokens.
    """
    return roberta.shapes(roberta.new(shape, new_positions(source_length)), shape.decoder_layers)


def new_positions(source_length: int) -> int:
    """Most tokens that an untrained model can read: its sources, and room for later training."""
    return max(source_length, 256)


def of_folder(folder: Path, decoder_layers: int) -> Tensors | None:
    """The parameters of a model folder once it is loaded; None where the folder does not show them.

    Args:
        folder: A folder with `config.json` and weights.
        decoder_layers: Depth of the fresh decoder for a bare encoder.
    """
    config = read_config(folder)
    if config is None or config.get("quantization") is not None or field_problem(config):
        return None
    index = folder / f"{WEIGHTS}{weightheaders.INDEX}"
    header = (_read_shards(index) if index.exists() and not (folder / WEIGHTS).exists() else read_header(folder / WEIGHTS)) or {}
    if roberta.has_decoder(header):
        return {roberta.plain(name): size for name, size in header.items() if roberta.counts(name)}
    sizes = {key: value if isinstance(value := config.get(key), int) else default for key, default in roberta.DEFAULTS.items()}
    whole = roberta.shapes(sizes, decoder_layers)
    return whole | {name: header[name] for name in whole.keys() & header.keys()}  # layers may differ in heads and neurons


def prunable(tensors: Tensors, preset: PrunablePreset, unit: Unit = "weight") -> int:
    """Number of weights that a preset may prune, in units of this kind."""
    return sum(size for name, size in tensors.items() if is_prunable(name, preset, unit))


def read_config(folder: Path) -> dict[str, object] | None:
    """Reads the `config.json` of a folder; None unless it describes a model that can be loaded."""
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
        for tensor in weightheaders.read_file_header(weights).tensors.values():
            digits = "".join(filter(str.isdigit, tensor.kind.partition("_")[0]))  # F8_E4M3 has 8 bits
            width = int(digits or 8)  # BOOL takes a byte
            sizes[width] = sizes.get(width, 0) + tensor.numbers * width // 8
    except ModelError:
        return {}
    return sizes
