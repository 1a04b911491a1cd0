"""RoBERTa's encoder: modules and parameters carry its names, and compute what transformers' `RobertaModel` does.

Our own for two reasons: layers may differ in heads and neurons, which transformers cannot express, and importing transformers
took two thirds of a cold start. Start values, dropout and its order are transformers', so that a seed gives the same training.
The pooler is in every checkpoint and nothing here uses its output, so it only holds its weights.

Knows nothing of the decoder, of files or of training.
Sources: Liu et al. 2019 (RoBERTa); Vaswani et al. 2017 (layers, normalised after each block); transformers' names.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import PAD, CodeToTextConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}
"""Name in `config.json` -> activation; RoBERTa's own models use gelu."""


class Embeddings(nn.Module):
    """Words and positions as vectors; encoder and decoder share them.

    Args:
        config: Sizes and dropout.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, hidden, padding_idx=PAD)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, hidden, padding_idx=PAD)

    def forward(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Embeds tokens.

        Args:
            ids: (batch, time) int64.
            positions: (batch, time) int64; None counts the tokens that are not `<pad>`, which itself stands at `PAD`.

        Returns:
            (batch, time, hidden).
        """
        if positions is None:
            real = ids.ne(PAD).int()
            positions = (torch.cumsum(real, dim=1).type_as(real) * real).long() + PAD
        # The one token type is looked up for all tokens, so that its gradients are summed in the same order as in transformers.
        embedded = self.word_embeddings(ids) + self.token_type_embeddings(torch.zeros_like(ids))
        out: Tensor = self.dropout(self.LayerNorm(embedded + self.position_embeddings(positions)))
        return out


class SelfAttention(nn.Module):
    """Multi-head attention of every token to every real one.

    Args:
        config: Sizes and dropout.
        heads: Of this layer.
    """

    def __init__(self, config: CodeToTextConfig, heads: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, config.head_width
        self.query = nn.Linear(config.hidden_size, heads * self.head_width)
        self.key = nn.Linear(config.hidden_size, heads * self.head_width)
        self.value = nn.Linear(config.hidden_size, heads * self.head_width)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Weighted values, the heads side by side.

        Args:
            x: (batch, time, hidden).
            mask: (batch, 1, 1, time) bool, True = a real token.

        Returns:
            (batch, time, heads * width).
        """
        query, key, value = self._by_head(self.query(x)), self._by_head(self.key(x)), self._by_head(self.value(x))
        share, scale = self.dropout.p if self.training else 0.0, self.head_width**-0.5
        if self.training and x.device.type == "cpu":
            seen = self._plain(query, key, value, mask, x.dtype)
        else:
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=share, scale=scale)
        return seen.transpose(1, 2).flatten(2)

    def _plain(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """Attends in plain products, because the backward pass of torch's fused attention is slower in bf16 on the CPU."""
        scores = torch.matmul(query, key.transpose(2, 3)) * self.head_width**-0.5  # (batch, heads, time, time)
        nothing = torch.zeros((), dtype=dtype, device=mask.device)
        scores = scores + torch.where(mask, nothing, torch.finfo(dtype).min)
        weights = F.dropout(F.softmax(scores, dim=-1), p=self.dropout.p, training=self.training)
        return torch.matmul(weights, value)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)  # (batch, heads, time, width)


class AddAndNorm(nn.Module):
    """The end of a block: projects to the model's width, adds the block's input, and normalises.

    Args:
        width: Width of the block's result.
        config: Width of the model, dropout.
    """

    def __init__(self, width: int, config: CodeToTextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """(batch, time, width) and (batch, time, hidden) -> (batch, time, hidden)."""
        result = self.dense(x) if self.dense.in_features else self.dense.bias.expand_as(before)  # without heads or neurons
        out: Tensor = self.LayerNorm(self.dropout(result) + before)
        return out


class AttentionBlock(nn.Module):
    """Attention, and the end of its block.

    Args:
        config: Sizes and dropout.
        heads: Of this layer.
    """

    def __init__(self, config: CodeToTextConfig, heads: int) -> None:
        super().__init__()
        self.self = SelfAttention(config, heads)
        self.output = AddAndNorm(heads * config.head_width, config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """As `EncoderLayer.forward`."""
        out: Tensor = self.output(self.self(x, mask) if self.self.heads else x[..., :0], x)
        return out


class Intermediate(nn.Module):
    """The neurons of a feed-forward block.

    Args:
        config: Width and activation.
        neurons: Of this layer.
    """

    def __init__(self, config: CodeToTextConfig, neurons: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, neurons)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, hidden) -> (batch, time, neurons)."""
        return self.activation(self.dense(x))


class EncoderLayer(nn.Module):
    """Attention, then a feed-forward block.

    Args:
        config: Sizes and dropout.
        heads: Of this layer; a layer without any adds the attention's output bias alone.
        neurons: Of this layer; likewise.
    """

    def __init__(self, config: CodeToTextConfig, heads: int, neurons: int) -> None:
        super().__init__()
        self.neurons = neurons
        self.attention = AttentionBlock(config, heads)
        self.intermediate = Intermediate(config, neurons)
        self.output = AddAndNorm(neurons, config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """One layer.

        Args:
            x: (batch, time, hidden).
            mask: (batch, 1, 1, time) bool, True = a real token.

        Returns:
            (batch, time, hidden).
        """
        x = self.attention(x, mask)
        out: Tensor = self.output(self.intermediate(x) if self.neurons else x[..., :0], x)
        return out


class Layers(nn.Module):
    """The encoder's layers, each with its own number of heads and neurons.

    Args:
        config: Sizes and dropout.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        numbers = range(config.num_hidden_layers)
        layers = nn.ModuleList(EncoderLayer(config, config.heads(number), config.neurons(number)) for number in numbers)
        self.layer = cast("Sequence[EncoderLayer]", layers)  # ModuleList does not say what it holds

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """As `EncoderLayer.forward`, through all of them."""
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Pooler(nn.Module):
    """Holds the weights of RoBERTa's pooler, which summarises a text for tasks that are not ours.

    Args:
        config: Width.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)


class Encoder(nn.Module):
    """Embeddings and layers.

    Args:
        config: Sizes; the weights start random, as RoBERTa's do, drawn from torch's global generator.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        self.pooler = Pooler(config)
        self._start(config.initializer_range)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States of all tokens.

        Args:
            ids: (batch, time) int64.
            mask: (batch, 1, 1, time) bool, True = a real token.

        Returns:
            (batch, time, hidden); states at padded places mean nothing.
        """
        out: Tensor = self.encoder(self.embeddings(ids), mask)
        return out

    @torch.no_grad()
    def _start(self, spread: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, spread)
            if isinstance(module, nn.Linear):
                module.bias.zero_()
            elif isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
