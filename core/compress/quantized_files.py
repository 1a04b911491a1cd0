"""Writes and reads folders of quantized models: `config.json` names the quantizer, `model.safetensors` holds the numbers.

A layer quantized to integers is stored as `<layer>.weight` (int8, or two of 4 bits a byte) and `<layer>.weight_scale` (for
INT4 scales and zeros), in an order that depends on no processor, everything else as it is. Reading makes a model of zeros,
quantizes it with the same quantizer, and puts the stored numbers in: no weight is rounded twice, so a loaded model computes
what the saved one did. Nothing is pickled, though the libraries' own formats for this are pickles.

Knows nothing of measuring; `core.model` calls `load_quantized` where a folder's configuration asks for it.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..atomic import complete_or_absent
from ..errors import ModelError
from ..families.config import CodeToTextConfig
from ..families.reader import Reader
from ..families.roberta import OUTPUT_LAYER, CodeToText, outline
from ..spec.checkpoint_files import CONFIG, WEIGHTS
from ..spec.quantizers import METHODS
from .quantize import all_codes, quantize, set_codes

KEY = "quantization"
"""Key of `config.json` for the quantizer's name."""

_SCALE = ".weight_scale"


def save_quantized(model: CodeToText, reader: Reader, folder: Path, facts: Mapping[str, object]) -> None:
    """Writes a quantized model, complete or absent.

    Args:
        model: From `quantize`.
        reader: Saved beside it.
        folder: Must not exist.
        facts: The entries of `config.json` that describe the architecture.

    Raises:
        ModelError: The folder exists, or models of this quantizer cannot be saved.
    """
    method = model.config.quantization
    if method is None or not METHODS[method].saves:
        savable = ", ".join(name for name, known in METHODS.items() if known.saves and name != "fp32")
        raise ModelError(f"A model quantized with {method or 'fp32'} cannot be saved quantized.", f"These can: {savable}.")
    if folder.exists():
        raise ModelError(f"{folder} exists already.", "Choose another name, or remove it.")
    with complete_or_absent(folder) as draft:
        draft.mkdir()
        save_file(stored(model), draft / WEIGHTS[0], metadata={"format": "pt"})
        text = json.dumps({**facts, KEY: method}, indent=1)
        (draft / CONFIG).write_text(text + "\n", encoding="utf-8")
        reader.save(draft)


def stored(model: CodeToText) -> dict[str, Tensor]:
    """The tensors of a quantized model's weights file: name -> tensor on the CPU, none twice."""
    codes = all_codes(model)
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        layer = name.rpartition(".")[0]
        packed = layer.removesuffix("._packed_params") in codes
        if isinstance(tensor, Tensor) and name not in tensors and not packed and layer not in codes:
            tensors[name] = tensor
    for layer, (integers, scale) in codes.items():
        module = model.get_submodule(layer)
        bias = module.bias() if callable(module.bias) else module.bias
        assert bias is None or isinstance(bias, Tensor)
        tensors[f"{layer}.weight"], tensors[f"{layer}{_SCALE}"] = integers, scale
        if bias is not None:
            tensors[f"{layer}.bias"] = bias
    if OUTPUT_LAYER not in codes:
        tensors.pop(f"{OUTPUT_LAYER}.weight", None)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def stored_bytes(model: CodeToText) -> int:
    """Bytes of the weights file that `save_quantized` would write, without its header; for fp32 of that of `save_model`."""
    return sum(tensor.numel() * tensor.element_size() for tensor in stored(model).values())


def load_quantized(
    tensors: dict[str, Tensor],
    config: CodeToTextConfig,
    path: Path,
    assemble: Callable[[CodeToTextConfig, dict[str, Tensor], Path], CodeToText],
) -> CodeToText:
    """Loads the model of a quantized folder.

    Args:
        tensors: Those of its weights file.
        config: Its configuration; `quantization` names the quantizer.
        path: The weights file, for errors.
        assemble: Makes an unquantized model from configuration, weights and path.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        ModelError: The quantizer is unknown or unavailable here, or the tensors do not fit it.
    """
    method = config.quantization
    if method not in METHODS or not METHODS[method].saves:
        raise ModelError(
            f"{path.parent / CONFIG} names the quantization {method!r}, which this version cannot load.", "Update it."
        )
    if not METHODS[method].codes:
        model = assemble(config, tensors, path)
        model.requires_grad_(False)
        return model
    _check_size(config, tensors, path, 8 // METHODS[method].bits)
    scales = {name.removesuffix(_SCALE): tensor for name, tensor in tensors.items() if name.endswith(_SCALE)}
    model = quantize(_zeros(config), method)
    _check(model, tensors, scales, path)
    biases = {layer: tensors[f"{layer}.bias"] for layer in scales if f"{layer}.bias" in tensors}
    set_codes(model, {layer: (tensors[f"{layer}.weight"], scale) for layer, scale in scales.items()}, biases)
    packed = {f"{layer}{last}" for layer in scales for last in (".weight", _SCALE)}
    packed |= {f"{layer}.bias" for layer in biases if METHODS[method].packs_bias}
    for name in tensors.keys() - packed:
        _put(model, name, tensors[name])
    if OUTPUT_LAYER not in scales:
        model.tie()
    model.eval()
    model.requires_grad_(False)
    return model


def _put(model: CodeToText, name: str, tensor: Tensor) -> None:
    """Sets one tensor; `load_state_dict` cannot, because torch's dynamic layers expect pickled entries in it."""
    place, _, last = name.rpartition(".")
    module = model.get_submodule(place)
    setattr(module, last, nn.Parameter(tensor, requires_grad=False) if last in module._parameters else tensor)


def _zeros(config: CodeToTextConfig) -> CodeToText:
    """A model of zeros, in float32."""
    config.quantization = None  # each copy of the model gets its own
    model = outline(config)
    model.to_empty(device="cpu")
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.detach().zero_()
    model.tie()
    model.eval()
    return model


def _check_size(config: CodeToTextConfig, tensors: Mapping[str, Tensor], path: Path, each_byte: int) -> None:
    """Raises ModelError where the configuration asks for more weights than are stored, before memory is taken for them."""
    claimed = sum(tensor.numel() for name, tensor in outline(config).state_dict().items() if name != f"{OUTPUT_LAYER}.weight")
    stored_numbers = sum(tensor.numel() * (each_byte if tensor.dtype == torch.uint8 else 1) for tensor in tensors.values())
    if claimed > stored_numbers:
        raise ModelError(
            f"{path.parent / CONFIG} asks for {claimed:,} weights, but {path.name} holds {stored_numbers:,}.",
            f"Put the {CONFIG} that belongs to these weights beside them.",
        )


def _check(model: CodeToText, tensors: Mapping[str, Tensor], scales: Mapping[str, Tensor], path: Path) -> None:
    """Raises ModelError unless the tensors are those that a model of this shape and quantizer stores."""
    expected = stored(model)
    for names, problem in ((expected.keys() - tensors.keys(), "lacks"), (tensors.keys() - expected.keys(), "holds also")):
        if names:
            raise ModelError(
                f"{path} {problem} {', '.join(sorted(names)[:3])}, so it is no {KEY} of this kind.", "Quantize the model again."
            )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            other = expected[name]
            raise ModelError(
                f"In {path} {name} is {tuple(tensor.shape)} {tensor.dtype}, not {tuple(other.shape)} {other.dtype}.",
                f"Put the {CONFIG} that belongs to these weights beside them.",
            )
