"""The decoder: Transformer layers with torch's names, and a cache for beams that are decoded together.

Parameters carry the names of CodeXGLUE's checkpoints (`decoder.layers.0.self_attn.in_proj_weight`, ...), so its files load
without a table of names. The attention is our own, for two reasons: while decoding it keeps keys and values in a cache that holds
all beams of an example side by side, and `nn.MultiheadAttention` is left alone by torch's quantization.

Knows nothing of the encoder, of files, of beam search or of training.
Source: torch's `nn.TransformerDecoderLayer` (names, start values), as CodeXGLUE's code-to-text has it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError
from .config import CodeToTextConfig

DECODER_NORM_EPS = 1e-5
"""Epsilon of the decoder's norms: torch's default, which CodeXGLUE keeps whatever the encoder's configuration says."""


class Attention(nn.Module):
    """Multi-head attention with the parameter names and start values of `nn.MultiheadAttention`.

    Args:
        hidden: Width of the model.
        heads: Number of heads; without any, the attention adds its output bias alone.
        width: Width of a head.
        dropout: Share of attention weights dropped while training.
    """

    def __init__(self, hidden: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width, self.inner, self.dropout = heads, width, heads * width, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * self.inner, hidden))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * self.inner))
        self.out_proj = nn.Linear(self.inner, hidden)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def query(self, x: Tensor) -> Tensor:
        """Queries of `x`, (batch, time, heads * width)."""
        if not self.heads:
            return x[..., :0]
        return F.linear(x, self.in_proj_weight[: self.inner], self.in_proj_bias[: self.inner])

    def key_value(self, x: Tensor) -> Tensor:
        """Keys and values of `x` side by side, (batch, time, 2 * heads * width)."""
        if not self.heads:
            return x[..., :0]
        return F.linear(x, self.in_proj_weight[self.inner :], self.in_proj_bias[self.inner :])

    def query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The results of `query` and `key_value` for the same `x`, in one product."""
        both = F.linear(x, self.in_proj_weight, self.in_proj_bias) if self.heads else x[..., :0]
        return both[..., : self.inner], both[..., self.inner :]

    def split(self, key_value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values by head, (batch, heads, time, width) each, as views."""
        return self._heads(key_value[..., : self.inner]), self._heads(key_value[..., self.inner :])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Weighted values, projected back.

        Args:
            query: (batch, time, heads * width).
            key: (batch, heads, positions, width).
            value: As `key`.
            mask: Bool, broadcasts to (batch, heads, time, positions); True = may be seen.
            causal: Whether a query sees only positions up to its own.

        Returns:
            (batch, time, hidden).
        """
        if not self.heads:
            return self.out_proj.bias.expand(*query.shape[:2], -1)
        if self.training and query.device.type == "cpu":
            seen = self._trained_on_cpu(self._heads(query), key, value, mask, causal)
        else:
            dropout = self.dropout if self.training else 0.0
            seen = F.scaled_dot_product_attention(
                self._heads(query), key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
            )
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out

    def _trained_on_cpu(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Attends in plain products: the backward pass of torch's fused attention took half of a step in bf16 on the CPU."""
        if causal:
            mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
        scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))  # (batch, heads, time, positions)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = F.dropout(scores.softmax(-1, dtype=torch.float32), self.dropout)
        return torch.matmul(weights.to(value.dtype), value)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)  # (batch, heads, time, width)


class DecoderLayer(nn.Module):
    """One `nn.TransformerDecoderLayer` with torch's defaults: normalised after each block, ReLU.

    Args:
        config: Sizes and dropout.
        number: Of this layer; layers may differ in heads and neurons.
    """

    def __init__(self, config: CodeToTextConfig, number: int) -> None:
        super().__init__()
        hidden, width, dropout = config.hidden_size, config.decoder_head_width, config.decoder_dropout
        neurons = config.decoder_neurons(number)
        self.self_attn = Attention(hidden, config.self_heads(number), width, dropout)
        self.multihead_attn = Attention(hidden, config.cross_heads(number), width, dropout)
        self.linear1 = nn.Linear(hidden, neurons)
        self.linear2 = nn.Linear(neurons, hidden)
        self.norm1 = nn.LayerNorm(hidden, eps=DECODER_NORM_EPS)
        self.norm2 = nn.LayerNorm(hidden, eps=DECODER_NORM_EPS)
        self.norm3 = nn.LayerNorm(hidden, eps=DECODER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Computes whole sentences at once, for training.

        Args:
            x: (batch, time, hidden).
            memory: (batch, source time, hidden).
            memory_mask: (batch, 1, 1, source time) bool, True = a real token.

        Returns:
            (batch, time, hidden).
        """
        query, key_value = self.self_attn.query_key_value(x)
        x = self.norm1(x + self.dropout(self.self_attn.attend(query, *self.self_attn.split(key_value), causal=True)))
        key, value = self.multihead_attn.split(self.multihead_attn.key_value(memory))
        return self._rest(x, key, value, memory_mask)

    def step(self, x: Tensor, cache: "DecoderCache", layer: int) -> Tensor:
        """Computes one more token for every beam, and adds its keys and values to the cache.

        Args:
            x: (batch, beams, hidden).
            cache: All earlier tokens; `cache.seen` already has room for these.
            layer: Number of this layer, for its part of the cache.

        Returns:
            (batch, beams, hidden).
        """
        query, key_value = self.self_attn.query_key_value(x)
        cache.own[layer] = torch.cat([cache.own[layer], key_value], 1)
        mask = cache.seen[:, None] if cache.branched else None
        x = self.norm1(x + self.self_attn.attend(query, *self.self_attn.split(cache.own[layer]), mask))
        return self._rest(x, *cache.cross[layer], cache.cross_mask)

    def _rest(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        attn = self.multihead_attn
        x = self.norm2(x + self.dropout(attn.attend(attn.query(x), key, value, mask)))
        out: Tensor = self.norm3(x + self.dropout(self._neurons(x)))
        return out

    def _neurons(self, x: Tensor) -> Tensor:
        if not self.linear1.out_features:
            return self.linear2.bias.expand_as(x)
        out: Tensor = self.linear2(self.dropout(F.relu(self.linear1(x))))
        return out


@dataclass
class DecoderCache:
    """State of decoding between steps, for the beams of each example side by side.

    The tokens of one example form a tree: each step adds one slot a beam, and `seen` says which slots lead to which beam.
    Moving a beam to another parent moves one row of `seen`, not its keys and values; since beams soon share all but their last
    tokens, the tree stays little larger than one sentence, and `reorder` drops slots that no beam sees any more.
    """

    cross: list[tuple[Tensor, Tensor]]
    """Per layer, keys and values of the source: (batch, heads, source time, width) each."""
    cross_mask: Tensor
    """(batch, 1, 1, source time) bool, True = a real token."""
    own: list[Tensor]
    """Per layer, keys and values of the tokens so far side by side: (batch, slots, 2 * heads * width)."""
    seen: Tensor
    """(batch, beams, slots) bool: which slots are on a beam's path."""
    count: Tensor
    """(batch, beams) int64: tokens so far that are not `<pad>`, as RoBERTa counts positions."""
    branched: bool = False
    """Whether beams differ in what they see; if not, no mask is needed."""

    def reorder(self, parents: Tensor) -> None:
        """Lets every beam continue from a parent, and drops slots that no beam sees any more; a GPU is waited for.

        Args:
            parents: (batch, beams) int64, which earlier beam each one continues; the number of beams may change.
        """
        used = self.follow(parents)
        if used is not None:
            self.compact(int(used.max()))

    def follow(self, parents: Tensor) -> Tensor | None:
        """Lets every beam continue from a parent; all slots stay.

        Args:
            parents: As for `reorder`.

        Returns:
            (batch,) int64, the slots of each example that a beam sees; None where there are too few to drop any.
        """
        self.count = self.count.gather(1, parents)
        self.seen = self.seen.gather(1, parents[..., None].expand(-1, -1, self.seen.shape[2]))
        self.branched = True
        return None if self.seen.shape[2] < 4 * parents.shape[1] else self.seen.any(1).sum(1)

    def compact(self, seen_slots: int) -> None:
        """Drops slots that no beam sees any more, if that pays.

        Args:
            seen_slots: The most slots of one example that a beam sees.
        """
        beams, slots = self.seen.shape[1:]
        if seen_slots + 2 * beams > slots:  # a few dead slots cost less than moving the others
            return
        alive = self.seen.any(1)  # (batch, slots)
        order = alive.int().argsort(dim=1, descending=True, stable=True)[:, :seen_slots]
        self.seen = self.seen.gather(2, order[:, None].expand(-1, beams, -1))
        flat = (order + torch.arange(len(order), device=order.device)[:, None] * slots).flatten()
        self.own = [kv.flatten(0, 1).index_select(0, flat).view(len(order), seen_slots, kv.shape[2]) for kv in self.own]

    def keep(self, examples: Tensor) -> None:
        """Drops the examples that are done.

        Args:
            examples: (remaining,) int64, places in the batch of those that continue.
        """
        self.cross = [(key.index_select(0, examples), value.index_select(0, examples)) for key, value in self.cross]
        self.cross_mask = self.cross_mask.index_select(0, examples)
        self.own = [kv.index_select(0, examples) for kv in self.own]
        self.seen = self.seen.index_select(0, examples)
        self.count = self.count.index_select(0, examples)


class Decoder(nn.Module):
    """The stack of decoder layers. Each starts with its own random weights, unlike in torch's stack, which copies one layer.

    Args:
        config: Sizes and dropout.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        heads = config.full_decoder_heads
        if config.hidden_size % heads:
            raise ModelError(
                f"A decoder of width {config.hidden_size} cannot have {heads} heads.",
                f"Choose a number of heads that divides {config.hidden_size}.",
            )
        layers = nn.ModuleList(DecoderLayer(config, number) for number in range(config.decoder_layers))
        self.layers = cast("Sequence[DecoderLayer]", layers)  # ModuleList has no type for its items

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Computes whole sentences through all layers; arguments as for `DecoderLayer`."""
        for layer in self.layers:
            x = layer(x, memory, memory_mask)
        return x

    def cross(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the source for each layer, (batch, heads, source time, width) each."""
        pairs = (layer.multihead_attn.split(layer.multihead_attn.key_value(memory)) for layer in self.layers)
        return [(key.contiguous(), value.contiguous()) for key, value in pairs]

    def step(self, x: Tensor, cache: DecoderCache) -> Tensor:
        """Computes one token a beam through all layers, (batch, beams, hidden), and adds it to the cache."""
        for number, layer in enumerate(self.layers):
            x = layer.step(x, cache, number)
        return x
