"""Why a quantized model differs: the error of its layers, the range of its activations, and what each choice costs.

The choices that `quantize_dynamic` makes for the user (7 bits or 8, one scale for a tensor or one for each row or token) cannot
be set there, so `Rounded` computes them in floating point: rounded to the same integers, multiplied in fp32. With torch's own
choices it gives what torch gives, to float precision. Knows nothing of files and of scores.

Sources: torch.ao.quantization (default_dynamic_qconfig; `reduce_range`); Dettmers et al. 2022 (outlier features).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..compress.quantize import linear_names
from ..families.projected import project
from ..families.roberta import OUTPUT_LAYER, CodeToText, reads_source

Batch = tuple[Tensor, Tensor]
"""Sources and targets, (batch, time) int64 each, padded."""


@dataclass(frozen=True)
class Rounding:
    """How the numbers of a linear layer are rounded."""

    activation_bits: int | None = 7
    """None leaves activations as they are."""
    per_token: bool = False
    """One scale for each token's activations instead of one for all tokens that are computed together."""
    weight_bits: int | None = 8
    """None leaves weights as they are."""
    per_row: bool = False
    """One scale for each output of the matrix instead of one for all."""
    attention: bool = False
    """Whether the decoder's attention is quantized too."""
    layers: str = ""
    """Prefix of the names of the rounded layers; with "!" before it, of those that are left alone."""

    def covers(self, name: str) -> bool:
        """Whether a layer is rounded."""
        only = self.layers.removeprefix("!")
        return name.startswith(only) != self.layers.startswith("!")


TORCH = Rounding()
"""What `quantize_dynamic` does."""

ABLATIONS = {
    "as dynamic-int8": TORCH,
    "activations 8 bits": replace(TORCH, activation_bits=8),
    "activations per token": replace(TORCH, per_token=True),
    "weights per row": replace(TORCH, per_row=True),
    "activations 8 bits per token": replace(TORCH, activation_bits=8, per_token=True),
    "all three": replace(TORCH, activation_bits=8, per_token=True, per_row=True),
    "only weights, per tensor": replace(TORCH, activation_bits=None),
    "only weights, per row": replace(TORCH, activation_bits=None, per_row=True),
    "only activations": replace(TORCH, weight_bits=None),
    "only the encoder": replace(TORCH, layers="encoder."),
    "only the decoder": replace(TORCH, layers="decoder."),
    "only the output layer": replace(TORCH, layers=OUTPUT_LAYER),
    "the decoder's attention too": replace(TORCH, attention=True),
}
"""Name of the change -> roundings; each differs from the first in what its name says."""


class Rounded(nn.Module):
    """A linear layer with rounded numbers.

    Args:
        linear: The layer.
        rounding: How.
    """

    def __init__(self, linear: nn.Linear, rounding: Rounding) -> None:
        super().__init__()
        self.rounding, self.bias = rounding, linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features  # read by what may have none of them
        weight = linear.weight.detach()
        self.weight = nn.Parameter(_rounded_weight(weight, rounding), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.Linear`, (..., in) -> (..., out)."""
        bits = self.rounding.activation_bits
        return F.linear(x if bits is None else rounded_activations(x, bits, self.rounding.per_token), self.weight, self.bias)


def rounded_activations(x: Tensor, bits: int, per_token: bool) -> Tensor:
    """Activations rounded as torch's dynamic layers do: from the least to the largest value, 0 included.

    Args:
        x: (..., features) float32.
        bits: Of the integers, without sign.
        per_token: A range for each row of features instead of one for all of `x`.
    """
    low, high = (x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)) if per_token else (x.min(), x.max())
    low, high, most = low.clamp(max=0), high.clamp(min=0), 2**bits - 1
    scale = ((high - low) / most).clamp_min(1e-12)
    zero = (-low / scale).round()
    rounded: Tensor = (((x / scale).round() + zero).clamp(0, most) - zero) * scale
    return rounded


def ablated(model: CodeToText, rounding: Rounding) -> CodeToText:
    """A copy of a model with rounded linear layers.

    Args:
        model: In float32.
        rounding: How, and which.
    """
    changed = copy.deepcopy(model)
    changed.eval()
    if rounding.attention:
        project(changed)
    for name in linear_names(changed, attention=rounding.attention):
        if rounding.covers(name):
            parent, _, last = name.rpartition(".")
            layer = changed.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            setattr(changed.get_submodule(parent), last, Rounded(layer, rounding))
    return changed


def layer_errors(model: CodeToText, quantized: CodeToText, batches: Sequence[Batch]) -> dict[str, float]:
    """The relative error of each layer's output: norm of the difference over norm of the right one, over all real tokens.

    The decoder reads the reference so far, so both models predict the same tokens.

    Args:
        model: In float32.
        quantized: Made from it.
        batches: Held-out rows.

    Returns:
        "embeddings", "encoder 0", ..., "decoder 0", ..., "logits" -> relative error.
    """
    off: dict[str, float] = {}
    size: dict[str, float] = {}
    for batch in batches:
        right, actual = states(model, batch), states(quantized, batch)
        for name, expected in right.items():
            off[name] = off.get(name, 0.0) + float((actual[name] - expected).double().square().sum())
            size[name] = size.get(name, 0.0) + float(expected.double().square().sum())
    return {name: (off[name] / size[name]) ** 0.5 for name in off}


@torch.inference_mode()
def states(model: CodeToText, batch: Batch) -> dict[str, Tensor]:
    """The output of each layer at the real tokens, (tokens, width) float32, in the order they are computed."""
    sources, targets = batch
    kept: dict[str, Tensor] = {}

    def keep(name: str, real: Tensor) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, given: object, out: object) -> None:
            state = out[0] if isinstance(out, tuple) else out
            assert isinstance(state, Tensor)
            if name not in kept:  # the decoder calls the embeddings once more
                kept[name] = state[real].float()

        return hook

    source, target = (ids != model.special.pad for ids in (sources, targets[:, :-1]))
    places = [(name, module, source if of_source else target) for name, module, of_source in model.blocks()]
    with _hooks([module.register_forward_hook(keep(name, real)) for name, module, real in places]):
        logits, _ = model.target_logits(sources, targets)
    return kept | {"logits": logits.float()}


@dataclass(frozen=True)
class Spread:
    """The range of a linear layer's activations, and how coarse torch's rounding of them is."""

    layer: str
    largest: float
    """Largest absolute activation."""
    median: float
    """Median absolute activation."""
    feature_ratio: float
    """Largest absolute activation of the largest feature, over that of the median feature."""
    activation_error: float
    """Relative error of the activations in 7 bits per tensor."""
    token_error: float
    """Relative error of the activations in 8 bits per token."""
    weight_error: float
    """Relative error of the weights in 8 bits per tensor."""
    row_error: float
    """Relative error of the weights in 8 bits per row."""

    @property
    def ratio(self) -> float:
        """Largest over median activation: the span that one range has to cover."""
        return self.largest / max(self.median, 1e-12)


@torch.inference_mode()
def spreads(model: CodeToText, batch: Batch) -> list[Spread]:
    """Activations and weights of every linear layer, the decoder's attention included, on one batch of real tokens.

    Args:
        model: In float32.
        batch: Held-out rows.
    """
    copied = copy.deepcopy(model).eval()
    project(copied)
    given: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            given.setdefault(name, args[0])

        return hook

    names = linear_names(copied)
    with _hooks([copied.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]):
        copied.target_logits(*batch)
    source, target = (ids != model.special.pad for ids in (batch[0], batch[1][:, :-1]))
    measured = []
    for name, x in given.items():  # in the order they are called
        tokens = x if x.dim() == 2 else x[source if reads_source(name) else target]  # the output layers get real tokens only
        measured.append(_spread(name, tokens, copied.get_parameter(f"{name}.weight")))
    return measured


def _spread(name: str, tokens: Tensor, weight: Tensor) -> Spread:
    features = tokens.abs().amax(0)
    by_tensor, by_row = (_rounded_weight(weight, replace(TORCH, per_row=rows)) for rows in (False, True))
    return Spread(
        name,
        float(tokens.abs().max()),
        float(tokens.abs().median()),
        float(features.max() / features.median().clamp_min(1e-12)),
        _relative(rounded_activations(tokens, 7, per_token=False), tokens),
        _relative(rounded_activations(tokens, 8, per_token=True), tokens),
        _relative(by_tensor, weight),
        _relative(by_row, weight),
    )


def _relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def _rounded_weight(weight: Tensor, rounding: Rounding) -> Tensor:
    if rounding.weight_bits is None:
        return weight.clone()
    largest = weight.abs().amax(1, keepdim=True) if rounding.per_row else weight.abs().max()
    half = 2 ** (rounding.weight_bits - 1)
    scale = (largest / (half - 0.5)).clamp_min(1e-12)
    rounded: Tensor = (weight / scale).round().clamp(-half, half - 1) * scale
    return rounded


@contextmanager
def _hooks(handles: Sequence["torch.utils.hooks.RemovableHandle"]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
