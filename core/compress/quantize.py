"""Quantizers: they make quantized copies of a model. One function for each entry of `METHODS`; `quantize` is the entry point.

Each function quantizes the model that it is given, possibly in place, and returns it.

The matrices that multiply (`nn.Linear`) are quantized; embeddings, norms and biases stay in floating point. Since the output
layer shares its matrix with the word embeddings, that matrix then exists twice: as integers and in fp32. The decoder's attention
keeps query, key and value in one packed parameter that no library would find; quantizers that are to reach it get the model with
linear layers in its place (`families.projected`), which compute the same.

Knows nothing of files (`quantized_files`) and of measuring (`evaluate.ladder`).
Sources: torch.ao.quantization; torchao; Dettmers et al. 2022, "LLM.int8()" (bitsandbytes).
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeGuard

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..families.projected import in_decoder_attention, packed_weights, project
from ..families.roberta import CodeToText
from ..shortage import is_shortage
from ..spec.quantizers import METHODS

GROUPS = (128, 64, 32)
"""Numbers of columns that may share a scale in INT4; the first that divides a width is taken."""
INT4_ROWS = 16
"""Torch's kernel for INT4 takes rows in multiples of this number."""
OUTLIER = 6.0
"""Magnitude from which LLM.int8 keeps an activation feature in fp16; the value of bitsandbytes and of the paper."""


class UnavailableError(ModelError):
    """A quantizer that does not work on this machine or installation; the text says why."""


class _DynamicLinear(Protocol):
    """What torch's dynamically quantized linear layer offers."""

    def weight(self) -> Tensor: ...

    def bias(self) -> Tensor | None: ...

    def set_weight_bias(self, weight: Tensor, bias: Tensor | None) -> None: ...


def quantize(model: CodeToText, method: str) -> CodeToText:
    """A quantized copy of a model, in evaluation mode; the model itself stays as it is.

    Args:
        model: In float32, in evaluation mode.
        method: One of `METHODS`.

    Returns:
        The copy; its `config.quantization` is the method's name, None for fp32.

    Raises:
        ModelError: There is no such method, or the model is quantized already.
        UnavailableError: The quantizer does not work on this machine or installation.
    """
    if method not in METHODS:
        raise ModelError(f"There is no quantization method {method!r}.", f"There are: {', '.join(METHODS)}.")
    if model.config.quantization is not None:
        raise ModelError(
            f"The model is quantized already ({model.config.quantization}).", "Give the model that it was quantized from."
        )
    quantized = copy.deepcopy(model).eval()
    if METHODS[method].projects:
        project(quantized)
    try:
        quantizer: Callable[[CodeToText], CodeToText] = globals()[METHODS[method].function]
        quantized = quantizer(quantized)
    except (RuntimeError, AttributeError, ImportError) as error:  # whatever a version or device does not support
        if is_shortage(error):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnavailableError(
            f"{method} does not work here (torch {torch.__version__}, {model.device.type}): {first}"
        ) from error
    quantized.config.quantization = None if method == "fp32" else method
    quantized.requires_grad_(False)
    return quantized


def linear_names(model: CodeToText, *, attention: bool = True) -> list[str]:
    """Names of the linear layers that hold weights; without `attention` not the decoder's attention, which torch leaves out."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module.weight.numel()]
    return [name for name in names if attention or not in_decoder_attention(name)]


def multiplied_weights(model: CodeToText) -> int:
    """How many weights a model multiplies by: all matrices but the embedding tables, the output layer's included.

    Args:
        model: Not quantized.
    """
    linear = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return linear + packed_weights(model)


def quantized_weights(model: CodeToText) -> int:
    """How many of the multiplied weights are stored in fewer than 32 bits."""
    if model.config.quantization is not None and METHODS[model.config.quantization].halves:
        return multiplied_weights(model)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear) and type(module).__name__ == "Linear8bitLt"]
    integers = [codes for codes, _ in all_codes(model).values()] + [layer.weight for layer in layers]
    method = model.config.quantization
    return sum(tensor.numel() for tensor in integers) * (8 // METHODS[method].bits if method is not None else 1)


def memory_bytes(model: CodeToText) -> int:
    """Bytes of all weights and buffers, integers and their scales included; a shared matrix counts once.

    Memory that a backend adds when it packs a matrix for its kernels (padding, column sums) is not known and not counted.
    """
    seen: dict[tuple[int, int], int] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        for part in _parts(tensor):
            seen[part.data_ptr(), part.numel()] = part.numel() * part.element_size()
    packed = 0
    for module in model.modules():
        if _is_dynamic(module):
            bias = module.bias()
            packed += module.weight().numel() + 4 * (1 + (0 if bias is None else bias.numel()))
    return sum(seen.values()) + packed


def all_codes(model: CodeToText) -> dict[str, tuple[Tensor, Tensor]]:
    """The integers of a quantized model: name of the layer -> codes and scales.

    Codes are (out, in) int8 with scales (out, 1) or () float32. Those of INT4 are (out, in / 2) uint8, two columns a byte, the
    first one low, with scales and zeros (out, groups, 2) bfloat16: a weight is scale · (code − 8) + zero.
    """
    codes = {}
    for name, module in model.named_modules():
        if _is_dynamic(module):
            weight = module.weight()
            codes[name] = (weight.int_repr(), torch.tensor(weight.q_scale(), dtype=torch.float64))
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "scale_and_zero"):
            codes[name] = _int4_codes(module)
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "qdata"):
            codes[name] = (_part(module.weight, "qdata"), _part(module.weight, "scale"))
    return codes


def _int4_codes(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """As `all_codes`: the kernel's order of the packed bytes depends on the processor, so that it is not what a file may hold."""
    packed, grid = _part(layer.weight, "qdata"), _part(layer.weight, "scale_and_zero")  # grid: (groups, out, 2)
    counting, one = torch.ones_like(grid), torch.eye(layer.in_features, dtype=grid.dtype)
    counting[..., 1] = 8  # scale 1 and zero 8: a weight is its code, and one product of each is exact
    codes = torch.ops.aten._weight_int4pack_mm_for_cpu(one, packed, layer.in_features // len(grid), counting)
    codes = codes.T[: layer.out_features].to(torch.uint8)  # (out, in)
    return codes[:, ::2] | codes[:, 1::2] << 4, grid.transpose(0, 1).contiguous()


def _set_int4(layer: nn.Linear, codes: Tensor, grid: Tensor) -> None:
    unpacked = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(1).to(torch.int32)  # (out, in)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(unpacked, 1)
    for part, value in (("qdata", packed), ("scale_and_zero", grid.transpose(0, 1).contiguous())):
        setattr(layer.weight, part, value)


def set_codes(model: CodeToText, codes: Mapping[str, tuple[Tensor, Tensor]], biases: Mapping[str, Tensor]) -> None:
    """Replaces the integers of a quantized model.

    Args:
        model: Quantized with the quantizer that the codes come from.
        codes: As from `all_codes`.
        biases: Name of the layer -> bias, for layers that torch packs together with theirs.
    """
    for name, (integers, scale) in codes.items():
        module = model.get_submodule(name)
        if _is_dynamic(module):
            with _no_deprecation():
                weight = torch._make_per_tensor_quantized_tensor(integers, float(scale), 0)
            module.set_weight_bias(weight, biases.get(name))
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "scale_and_zero"):
            _set_int4(module, integers, scale)
        else:
            for part, value in (("qdata", integers), ("scale", scale)):
                setattr(module.weight, part, value)


def as_trained(model: CodeToText) -> CodeToText:
    """The model as it is."""
    return model


def float16(model: CodeToText) -> CodeToText:
    """Every weight in fp16."""
    return model.half()


def bfloat16(model: CodeToText) -> CodeToText:
    """Every weight in bfloat16."""
    return model.bfloat16()


def dynamic_int8(model: CodeToText) -> CodeToText:
    """The paper's quantizer; the only place that uses torch.ao.quantization, which torch is about to drop.

    Raises:
        UnavailableError: The model is not on the CPU, or torch has dropped it.
    """
    if model.device.type != "cpu":
        raise UnavailableError("dynamic-int8 runs on the CPU only: torch has no kernels for it elsewhere.", "Add --device cpu.")
    with _no_deprecation():
        try:
            from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic
        except ImportError as error:
            raise UnavailableError(
                f"torch {torch.__version__} has no torch.ao.quantization any more.", "Install torch 2.13."
            ) from error
        layers = dict.fromkeys(linear_names(model, attention=False), default_dynamic_qconfig)
        quantized: CodeToText = quantize_dynamic(  # type: ignore[no-untyped-call]  # torch has no types for it
            model, layers, dtype=torch.qint8, inplace=True
        )
    return quantized


def int8_weight(model: CodeToText) -> CodeToText:
    """Weight-only INT8, by torchao."""
    with _quiet():
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model, Int8WeightOnlyConfig(set_inductor_config=False), _holds_weights)
    return model


def int8_w8a8(model: CodeToText) -> CodeToText:
    """INT8 with activations rounded token by token, by torchao."""
    with _quiet():
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        chosen = _fits_a_gpu if model.device.type == "cuda" else _holds_weights
        quantize_(model, Int8DynamicActivationInt8WeightConfig(set_inductor_config=False), chosen)
    return model


def int4_weight(model: CodeToText) -> CodeToText:
    """Weight-only INT4, by torchao's layout for CPUs; in bfloat16, for which alone torch's kernel is fast.

    Measured on one core with 384 columns and 1,536 rows: a token takes 0.04 ms, in fp32 without quantization 0.26 ms; INT4 times
    fp32 activations would take 0.96 ms, and 460 ms instead of 0.45 ms for 64 tokens.

    Raises:
        UnavailableError: The model is not on the CPU, or no layer has widths that the kernel takes.
    """
    if model.device.type != "cpu":
        raise UnavailableError("int4-weight runs on the CPU only: torchao's layout is for its kernels.", "Add --device cpu.")
    model.bfloat16()
    with _quiet():
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
        from torchao.quantization import quantize_

        for group in GROUPS:
            config = PrototypeInt4WeightOnlyConfig(group_size=group, set_inductor_config=False)
            quantize_(model, config, lambda module, name, group=group: _int4_group(module) == group)
    if not any(hasattr(module.weight, "scale_and_zero") for module in model.modules() if isinstance(module, nn.Linear)):
        raise UnavailableError(f"int4-weight takes layers of {GROUPS[-1]}, 64, … columns and {INT4_ROWS}, 32, … rows: none is.")
    return model


def _int4_group(module: nn.Module) -> int:
    """How many columns of a layer share a scale in INT4; 0 where its kernel refuses the layer, or it is none."""
    if not isinstance(module, nn.Linear) or not module.weight.numel() or module.out_features % INT4_ROWS:
        return 0
    return next((group for group in GROUPS if module.in_features % group == 0), 0)


def _is_odd(layer: nn.Module) -> bool:
    """Whether a layer has a width that the kernels of a GPU refuse; torchao would compute it on the CPU, copies included."""
    return isinstance(layer, nn.Linear) and bool(layer.in_features % 8 or layer.out_features % 8)


def _fits_a_gpu(module: nn.Module, name: str) -> bool:
    return _holds_weights(module, name) and not _is_odd(module)


def restore_refused(model: CodeToText) -> list[str]:
    """Gives those layers of a quantized model floating-point weights again that the kernels of a GPU refuse.

    Args:
        model: Quantized, on a GPU.

    Returns:
        Names of the layers.
    """
    method = model.config.quantization
    if method is None or not METHODS[method].by_eights:
        return []
    names = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and hasattr(module.weight, "qdata") and _is_odd(module):
            weight = module.weight.dequantize().to(torch.float32)
            module.weight = nn.Parameter(weight, requires_grad=False)
            names.append(name)
    return names


def on_this_device(model: CodeToText) -> str:
    """What a quantizer does otherwise on this device or with these widths, beginning with a semicolon; "" where nothing."""
    method = model.config.quantization
    if method is not None and METHODS[method].bits == 4 and (refused := _left_alone(model)):
        return f"; left alone, for the kernel refuses its width: {', '.join(refused)}"
    if method is None or model.device.type != "cuda":
        return ""
    eager = "; eager, not compiled: its times here say nothing about compiled ones" if METHODS[method].eager else ""
    odd = [name for name in linear_names(model) if METHODS[method].by_eights and _is_odd(model.get_submodule(name))]
    left = f"; left alone, for a width is no multiple of 8: {', '.join(odd)}" if odd else ""
    return f"{eager}{left}"


def _left_alone(model: CodeToText) -> list[str]:
    """Names of the linear layers of an INT4 model that stay in floating point."""
    return [name for name in linear_names(model) if not hasattr(model.get_submodule(name).weight, "scale_and_zero")]


def llm_int8(model: CodeToText) -> CodeToText:
    """LLM.int8, by bitsandbytes.

    Raises:
        UnavailableError: bitsandbytes is not installed.
    """
    try:
        with _quiet():
            from bitsandbytes.nn import Linear8bitLt
    except ImportError as error:
        raise UnavailableError("not installed: pip install 'codeprune-tui[bitsandbytes]'") from error
    device = model.device
    for name in linear_names(model):
        old = model.get_submodule(name)
        new = Linear8bitLt(
            old.in_features, old.out_features, bias=old.bias is not None, has_fp16_weights=False, threshold=OUTLIER
        )
        new.load_state_dict(old.state_dict())
        parent, _, last = name.rpartition(".")
        # bitsandbytes quantizes a layer when it is moved to the device.
        setattr(model.get_submodule(parent), last, new.to(device))
    return model


def _holds_weights(module: nn.Module, name: str) -> bool:
    """Whether torchao can quantize a layer: a linear one, and not one whose heads or neurons are all gone."""
    return isinstance(module, nn.Linear) and module.weight.numel() > 0


def _is_dynamic(module: object) -> TypeGuard[_DynamicLinear]:
    """Whether it is torch's dynamically quantized linear layer; told by its name, because its module is deprecated."""
    return type(module).__name__ == "Linear" and type(module).__module__.endswith("quantized.dynamic.modules.linear")


def _part(tensor: Tensor, name: str) -> Tensor:
    """One of the tensors that a library's tensor subclass consists of."""
    part: Tensor = getattr(tensor, name)
    return part


def _parts(tensor: Tensor) -> list[Tensor]:
    """The tensors that a library's tensor subclass consists of; a plain tensor is its own part."""
    if not hasattr(tensor, "qdata"):
        return [tensor]
    parts = [getattr(tensor, name, None) for name in ("qdata", "scale", "zero_point", "scale_and_zero")]
    return [part for part in parts if part is not None]


@contextmanager
def _no_deprecation() -> Iterator[None]:
    """Silences torch's warnings that eager quantization will be dropped; only `dynamic_int8` will be affected."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.ao\.quantization is deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor", category=UserWarning)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torchao and bitsandbytes log on import about kernels for other machines."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
