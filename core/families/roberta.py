"""The paper's model: a RoBERTa encoder and a small Transformer decoder that writes one comment for one method.

Parameters carry the names of CodeXGLUE's checkpoints (`decoder.layers.0.self_attn.in_proj_weight`, ...), so its files load
without a table of names. The attention of the decoder is our own, for two reasons: while decoding it keeps keys and values in a
cache that holds all beams of an example side by side, and `nn.MultiheadAttention` is left alone by torch's quantization.

Knows nothing of files (`core.model`), of beam search (`decode`), of tokenizers, masks or training.
Sources: CodeXGLUE, Code-Text/code-to-text (architecture, loss); torch's `nn.TransformerDecoderLayer` (names, start values).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.roberta.configuration_roberta import RobertaConfig
from transformers.models.roberta.modeling_roberta import RobertaModel

from ..errors import ModelError

PAD, BOS, EOS = 1, 0, 2
"""Token ids of RoBERTa's `<pad>`, `<s>` and `</s>`; every model and tokenizer here must agree with them."""

DECODER_NORM_EPS = 1e-5
"""torch's default, which CodeXGLUE leaves as it is, whatever the encoder's configuration says."""


class CodeToTextConfig(RobertaConfig):  # type: ignore[misc]  # mypy does not follow transformers
    """RoBERTa's configuration, and what the decoder needs."""

    model_type = "codeprune-code-to-text"

    decoder_layers: int = 6
    """Number of decoder layers."""
    decoder_heads: int | None = None
    """Attention heads in each decoder layer; None means as many as the encoder has."""
    decoder_ffn: int = 2048
    """Neurons in each decoder feed-forward block."""
    decoder_dropout: float = 0.1
    """Share of values dropped in the decoder while training, attention included."""
    pretrained_only: bool = False
    """Whether encoder and decoder come from pre-training and have not learned to write comments for their own sake yet."""
    split_identifiers: bool = False
    """Whether source text is split into words before tokenizing; only stored here, for whoever prepares the text."""
    quantization: str | None = None
    """Name of the method that the weights were quantized with; None for weights in float32."""


class Attention(nn.Module):
    """Multi-head attention with the parameter names and start values of `nn.MultiheadAttention`.

    Args:
        hidden: Width of the model.
        heads: Number of heads; must divide `hidden`.
        dropout: Share of attention weights dropped while training.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.hidden, self.heads, self.dropout = hidden, heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * hidden))
        self.out_proj = nn.Linear(hidden, hidden)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def query(self, x: Tensor) -> Tensor:
        """Queries of `x`, (batch, time, hidden)."""
        return F.linear(x, self.in_proj_weight[: self.hidden], self.in_proj_bias[: self.hidden])

    def key_value(self, x: Tensor) -> Tensor:
        """Keys and values of `x` side by side, (batch, time, 2 * hidden)."""
        return F.linear(x, self.in_proj_weight[self.hidden :], self.in_proj_bias[self.hidden :])

    def query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What `query` and `key_value` give for the same `x`, in one product."""
        both = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        return both[..., : self.hidden], both[..., self.hidden :]

    def split(self, key_value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values by head, (batch, heads, time, width) each, as views."""
        return self._heads(key_value[..., : self.hidden]), self._heads(key_value[..., self.hidden :])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Weighted values, projected back.

        Args:
            query: (batch, time, hidden).
            key: (batch, heads, positions, width).
            value: As `key`.
            mask: Bool, broadcasts to (batch, heads, time, positions); True = may be seen.
            causal: Whether a query sees only positions up to its own.

        Returns:
            (batch, time, hidden).
        """
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
        """The same in plain products: the backward pass of torch's fused attention took half of a step in bf16 on the CPU."""
        if causal:
            mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
        scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))  # (batch, heads, time, positions)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = F.dropout(scores.softmax(-1, dtype=torch.float32), self.dropout)
        return torch.matmul(weights.to(value.dtype), value)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.hidden // self.heads).transpose(1, 2)  # (batch, heads, time, width)


class DecoderLayer(nn.Module):
    """One `nn.TransformerDecoderLayer` with torch's defaults: normalised after each block, ReLU.

    Args:
        config: Sizes and dropout.
        heads: Number of attention heads.
    """

    def __init__(self, config: CodeToTextConfig, heads: int) -> None:
        super().__init__()
        hidden, dropout = config.hidden_size, config.decoder_dropout
        self.self_attn = Attention(hidden, heads, dropout)
        self.multihead_attn = Attention(hidden, heads, dropout)
        self.linear1 = nn.Linear(hidden, config.decoder_ffn)
        self.linear2 = nn.Linear(config.decoder_ffn, hidden)
        self.norm1 = nn.LayerNorm(hidden, eps=DECODER_NORM_EPS)
        self.norm2 = nn.LayerNorm(hidden, eps=DECODER_NORM_EPS)
        self.norm3 = nn.LayerNorm(hidden, eps=DECODER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Whole sentences at once, for training.

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
        """One more token for every beam; its keys and values are added to the cache.

        Args:
            x: (batch, beams, hidden).
            cache: Everything earlier; `cache.seen` already has room for these tokens.
            layer: Which layer's part of the cache is meant.

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
        inner = self.dropout(F.relu(self.linear1(x)))
        out: Tensor = self.norm3(x + self.dropout(self.linear2(inner)))
        return out


@dataclass
class DecoderCache:
    """What decoding keeps between steps, for the beams of each example side by side.

    The tokens of one example form a tree: each step adds one slot a beam, and `seen` says which slots lead to which beam.
    Moving a beam to another parent moves one row of `seen`, not its keys and values; since beams soon share all but their last
    tokens, the tree stays little larger than one sentence, and `reorder` throws out what no beam sees any more.
    """

    cross: list[tuple[Tensor, Tensor]]
    """Per layer, keys and values of the source: (batch, heads, source time, width) each."""
    cross_mask: Tensor
    """(batch, 1, 1, source time) bool, True = a real token."""
    own: list[Tensor]
    """Per layer, keys and values of the tokens so far side by side: (batch, slots, 2 * hidden)."""
    seen: Tensor
    """(batch, beams, slots) bool: which slots are on a beam's path."""
    count: Tensor
    """(batch, beams) int64: tokens so far that are not `<pad>`, as RoBERTa counts positions."""
    branched: bool = False
    """Whether beams differ in what they see; if not, no mask is needed."""

    def reorder(self, parents: Tensor) -> None:
        """Let every beam continue from a parent.

        Args:
            parents: (batch, beams) int64, which earlier beam each one continues; the number of beams may change.
        """
        self.count = self.count.gather(1, parents)
        self.seen = self.seen.gather(1, parents[..., None].expand(-1, -1, self.seen.shape[2]))
        self.branched = True
        slots = self.seen.shape[2]
        if slots < 4 * parents.shape[1]:
            return
        alive = self.seen.any(1)  # (batch, slots)
        wanted = int(alive.sum(1).max())
        if wanted + 2 * parents.shape[1] > slots:  # a few dead slots cost less than moving the others
            return
        order = alive.int().argsort(dim=1, descending=True, stable=True)[:, :wanted]
        self.seen = self.seen.gather(2, order[:, None].expand(-1, parents.shape[1], -1))
        flat = (order + torch.arange(len(order), device=order.device)[:, None] * slots).flatten()
        self.own = [kv.flatten(0, 1).index_select(0, flat).view(len(order), wanted, -1) for kv in self.own]

    def keep(self, examples: Tensor) -> None:
        """Drop the examples that are done.

        Args:
            examples: (remaining,) int64, places in the batch of those that go on.
        """
        self.cross = [(key.index_select(0, examples), value.index_select(0, examples)) for key, value in self.cross]
        self.cross_mask = self.cross_mask.index_select(0, examples)
        self.own = [kv.index_select(0, examples) for kv in self.own]
        self.seen = self.seen.index_select(0, examples)
        self.count = self.count.index_select(0, examples)


class Decoder(nn.Module):
    """The stack of decoder layers. Unlike torch's, which copies one layer, each starts with numbers of its own.

    Args:
        config: Sizes and dropout.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        heads = config.decoder_heads or config.num_attention_heads
        if config.hidden_size % heads:
            raise ModelError(
                f"A decoder of width {config.hidden_size} cannot have {heads} heads.",
                f"Choose a number of heads that divides {config.hidden_size}.",
            )
        layers = nn.ModuleList(DecoderLayer(config, heads) for _ in range(config.decoder_layers))
        self.layers = cast("Sequence[DecoderLayer]", layers)  # ModuleList does not say what it holds

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Whole sentences through all layers; arguments as for `DecoderLayer`."""
        for layer in self.layers:
            x = layer(x, memory, memory_mask)
        return x

    def cross(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values that each layer sees of the source, (batch, heads, source time, width) each."""
        pairs = (layer.multihead_attn.split(layer.multihead_attn.key_value(memory)) for layer in self.layers)
        return [(key.contiguous(), value.contiguous()) for key, value in pairs]

    def step(self, x: Tensor, cache: DecoderCache) -> Tensor:
        """One token a beam through all layers, (batch, beams, hidden); the cache grows by it."""
        for number, layer in enumerate(self.layers):
            x = layer.step(x, cache, number)
        return x


class CodeToText(PreTrainedModel):  # type: ignore[misc]  # mypy does not follow transformers
    """RoBERTa encoder, Transformer decoder, output layer tied to the word embeddings.

    Args:
        config: Sizes; the weights start random, drawn from torch's global generator.
    """

    config: CodeToTextConfig
    config_class = CodeToTextConfig
    base_model_prefix = ""
    main_input_name = "sources"
    _supports_sdpa = True
    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "encoder.embeddings.word_embeddings.weight"}

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__(config)
        self.encoder = RobertaModel(config)
        self.decoder = Decoder(config)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.encoder_off = False
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the encoder and the modules above have set their start values themselves, as RoBERTa and torch do."""

    def train(self, mode: bool = True) -> Self:
        """Switches to training or evaluation; the encoder's attention is fused except while training on the CPU (see above)."""
        plain = mode and self.device.type == "cpu"
        self.encoder.set_attn_implementation("eager" if plain else "sdpa")
        trained: Self = super().train(mode)
        return trained

    @property
    def positions(self) -> int:
        """Most tokens that it can read or write."""
        most: int = self.config.max_position_embeddings - PAD - 1  # RoBERTa counts from the one behind <pad>'s
        return most

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings, shared by encoder, decoder and output."""
        shared: nn.Module = self.encoder.embeddings.word_embeddings
        return shared

    def get_output_embeddings(self) -> nn.Module:
        """The output layer."""
        return self.lm_head

    def encode(self, sources: Tensor) -> Tensor:
        """What the decoder reads of the sources.

        Args:
            sources: (batch, source time) int64, `<s>` ... `</s>`, padded with 1.

        Returns:
            (batch, source time, hidden); what stands at padded places means nothing.
        """
        if self.encoder_off:
            embedded: Tensor = self.encoder.embeddings(sources)
            return embedded
        real = sources != PAD
        # Given a mask of two dimensions for fused attention, transformers asks the device whether it is needed at all.
        fused = self.encoder.config._attn_implementation == "sdpa"
        out: Tensor = self.encoder(
            input_ids=sources, attention_mask=real[:, None, None] if fused else real.long()
        ).last_hidden_state
        return out

    def token_losses(
        self, sources: Tensor, targets: Tensor, label_smoothing: float = 0.0, places: Tensor | None = None
    ) -> tuple[Tensor, int]:
        """Cross-entropy summed over the real target tokens, and how many those are.

        Padding changes nothing, and the output layer, most of the work in a small model, sees real tokens only.

        Args:
            sources: (batch, source time) int64, padded with 1.
            targets: (batch, target time) int64, `<s>` ... `</s>`, padded with 1 on the right.
            label_smoothing: Share of the target given to all other words, in [0, 1).
            places: As for `target_logits`.

        Returns:
            The sum in float32 (nats), and the number of target tokens after `<s>`.
        """
        logits, wanted = self.target_logits(sources, targets, places)
        losses = F.cross_entropy(logits.float(), wanted, reduction="sum", label_smoothing=label_smoothing)
        return losses, len(wanted)

    def target_logits(self, sources: Tensor, targets: Tensor, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the model expects at each real target token, given those before it.

        Args:
            sources: (batch, source time) int64, padded with 1.
            targets: (batch, target time) int64, `<s>` ... `</s>`, padded with 1 on the right.
            places: (real tokens,) int64, where in the flattened `targets[:, 1:]` they stand, for whoever knows; to find them in
                the targets, a GPU has to be waited for.

        Returns:
            Logits, (real tokens, vocab), and the tokens that stand there, (real tokens,) int64; `<s>` is not among them.
        """
        memory = self.encode(sources)
        mask = (sources != PAD)[:, None, None]
        x = self.decoder(self.encoder.embeddings(targets[:, :-1]), memory, mask)
        wanted = targets[:, 1:].flatten()
        if places is None:
            places = (wanted != PAD).nonzero()[:, 0]
        return self.lm_head(torch.tanh(self.dense(x.flatten(0, 1).index_select(0, places)))), wanted.index_select(0, places)

    def forward(self, sources: Tensor, targets: Tensor, label_smoothing: float = 0.0, places: Tensor | None = None) -> Tensor:
        """Mean cross-entropy over the real target tokens; arguments as in `token_losses`.

        Returns:
            A scalar in float32, nats per token; not a number if there is no target token at all.
        """
        total, count = self.token_losses(sources, targets, label_smoothing, places)
        return total / count if count else total * math.nan

    def prefill(self, sources: Tensor) -> DecoderCache:
        """Encode the sources and compute the decoder's keys and values of them, once for all beams.

        Args:
            sources: (batch, source time) int64, padded with 1, no row without a real token.

        Returns:
            A cache with one beam an example, before its first token.
        """
        memory = self.encode(sources)
        batch, _, hidden = memory.shape
        return DecoderCache(
            cross=self.decoder.cross(memory),
            cross_mask=(sources != PAD)[:, None, None],
            own=[memory.new_empty(batch, 0, 2 * hidden) for _ in self.decoder.layers],
            seen=sources.new_empty((batch, 1, 0), dtype=torch.bool),
            count=sources.new_zeros((batch, 1)),
        )

    def step(self, tokens: Tensor, cache: DecoderCache) -> Tensor:
        """Feed one token to every beam.

        RoBERTa's positions count the tokens that are not `<pad>`: a generated `<pad>` stands at position 1, uncounted.

        Args:
            tokens: (batch, beams) int64.
            cache: What came before; changed in place.

        Returns:
            Logits of the next token, (batch, beams, vocab).
        """
        real = tokens != PAD
        cache.count = cache.count + real
        new = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).expand(len(tokens), -1, -1)
        cache.seen = torch.cat([cache.seen, new], 2)
        x = self.decoder.step(self.encoder.embeddings(tokens, position_ids=cache.count * real + PAD), cache)
        logits: Tensor = self.lm_head(torch.tanh(self.dense(x)))
        return logits


@contextmanager
def without_encoder(model: CodeToText) -> Iterator[None]:
    """Takes the encoder's layers out of a model for a while: the decoder reads the embeddings of the source.

    Args:
        model: Its weights are not touched.
    """
    before, model.encoder_off = model.encoder_off, True
    try:
        yield
    finally:
        model.encoder_off = before


@torch.no_grad()
def start_near_identity(model: CodeToText) -> None:
    """Gives an untrained model start values from which a small one learns; the generator is torch's global one.

    With the usual ones the first gradients, alike for all tokens, level the states of a normalised-after encoder for good
    (`training.hold_encoder` tells more). Here every encoder layer begins as the identity, and the decoder's look at the source
    hands words straight on to the output, which is tied to their embeddings: that comments repeat words of the code is there from
    the start. In the spirit of Zhang et al. 2019 (Fixup), who start residual branches at zero.

    Args:
        model: On the CPU.
    """
    hidden = model.config.hidden_size
    embeddings = model.encoder.embeddings
    for table in (embeddings.word_embeddings, embeddings.position_embeddings):
        table.weight.normal_(0.0, hidden**-0.5)
        table.weight[PAD].zero_()
    for name, weight in model.encoder.encoder.named_parameters():
        if name.endswith("output.dense.weight"):
            weight.zero_()
        elif weight.dim() == 2:
            weight.normal_(0.0, weight.shape[1] ** -0.5)
    for layer in model.decoder.layers:
        look = layer.multihead_attn
        look.in_proj_weight[2 * hidden :] = torch.eye(hidden)
        look.out_proj.weight.copy_(torch.eye(hidden))
    model.dense.weight.copy_(torch.eye(hidden))
    model.dense.bias.zero_()


def set_dropout(model: CodeToText, share: float) -> None:
    """Sets the share of states dropped while training; that of attention weights stays.

    Args:
        model: Changed, its configuration too.
        share: In [0, 1).
    """
    model.config.hidden_dropout_prob = model.config.decoder_dropout = share
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and not name.endswith("attention.self.dropout"):
            module.p = share
