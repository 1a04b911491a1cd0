"""The decoder's attention with linear layers instead of packed matrices, for quantizers, which look for linear layers.

Outputs stay the same; names and weights of the packed matrices are this family's business, so they are taken apart here. Knows
nothing of quantizing.
"""

import torch
from torch import Tensor, nn

from .decoder import Attention
from .roberta import CodeToText, empty_layers


class ProjectedAttention(Attention):
    """Attention with linear layers instead of packed matrices, for quantizers, which look for linear layers.

    Args:
        packed: The attention that it replaces; output layer and weights are shared with it.
    """

    def __init__(self, packed: Attention) -> None:
        nn.Module.__init__(self)  # that of Attention would draw start values
        self.heads, self.head_width, self.inner, self.dropout = packed.heads, packed.head_width, packed.inner, packed.dropout
        self.out_proj = packed.out_proj
        weight, bias = packed.in_proj_weight.detach(), packed.in_proj_bias.detach()
        self.in_query = _linear(weight[: self.inner].clone(), bias[: self.inner].clone())
        self.in_key_value = _linear(weight[self.inner :].clone(), bias[self.inner :].clone())
        self.train(packed.training)

    def query(self, x: Tensor) -> Tensor:
        """As `Attention.query`."""
        projected: Tensor = self.in_query(x)
        return projected

    def key_value(self, x: Tensor) -> Tensor:
        """As `Attention.key_value`."""
        projected: Tensor = self.in_key_value(x)
        return projected

    def query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Attention.query_key_value`."""
        return self.query(x), self.key_value(x)


def project(model: CodeToText) -> None:
    """Replaces the packed matrices of the decoder's attention by linear layers; outputs stay the same."""
    for layer in model.decoder.layers:
        layer.self_attn = ProjectedAttention(layer.self_attn)
        layer.multihead_attn = ProjectedAttention(layer.multihead_attn)


def packed_weights(model: CodeToText) -> int:
    """Number of weights in packed matrices, which are not linear layers."""
    packed = (m for m in model.modules() if isinstance(m, Attention) and not isinstance(m, ProjectedAttention))
    return sum(module.in_proj_weight.numel() for module in packed)


def in_decoder_attention(name: str) -> bool:
    """Whether a linear layer belongs to the decoder's attention, by its name."""
    return name.startswith("decoder.") and ("_attn." in name)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    with torch.device("meta"), empty_layers():
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
