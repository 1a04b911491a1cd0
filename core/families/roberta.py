"""The paper's model: a RoBERTa encoder and a small Transformer decoder that writes one comment for one method.

Knows nothing of files (`core.model`), of beam search (`decode`), of tokenizers, masks or training.
Source: CodeXGLUE, Code-Text/code-to-text (architecture, loss).
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..recipe import Architecture
from ..spec.roberta import table_rows
from .config import PAD, SPECIAL, CodeToTextConfig
from .decoder import Decoder, DecoderCache
from .encoder import Encoder
from .family import Memory, Special

OUTPUT_LAYER = "lm_head"
"""Name of the layer that computes the logits of all words."""


class CodeToText(nn.Module):
    """RoBERTa encoder, Transformer decoder, output layer tied to the word embeddings.

    Args:
        config: Sizes; the weights start random, drawn from torch's global generator.
    """

    def __init__(self, config: CodeToTextConfig) -> None:
        super().__init__()
        self.config = config
        with empty_layers():
            self.encoder = Encoder(config)
            self.decoder = Decoder(config)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.encoder_off = False
        self.tie()

    def tie(self) -> None:
        """Makes output layer and word embeddings one tensor; has to be called again after one of them is replaced."""
        self.lm_head.weight = self.encoder.embeddings.word_embeddings.weight

    def set_words(self, weight: Tensor) -> None:
        """Replaces the word embeddings, and with them the output layer, which is tied to them.

        Args:
            weight: (entries of the vocabulary, hidden).
        """
        words = self.encoder.embeddings.word_embeddings
        words.weight = nn.Parameter(weight, requires_grad=words.weight.requires_grad)
        words.num_embeddings = self.lm_head.out_features = self.config.vocab_size = len(weight)
        self.tie()

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.encoder.embeddings.LayerNorm.weight.device

    @property
    def special(self) -> Special:
        """The model's special tokens."""
        return SPECIAL

    @property
    def positions(self) -> int:
        """Most tokens that the model can read or write."""
        return self.config.positions

    def blocks(self) -> list[tuple[str, nn.Module, bool]]:
        """The layers in the order of computation: name, module, whether its output stands for source tokens."""
        blocks: list[tuple[str, nn.Module, bool]] = [("embeddings", self.encoder.embeddings, True)]
        blocks += [(f"encoder {number}", layer, True) for number, layer in enumerate(self.encoder.encoder.layer)]
        return blocks + [(f"decoder {number}", layer, False) for number, layer in enumerate(self.decoder.layers)]

    def encode(self, sources: Tensor) -> Memory:
        """Encodes sources for the decoder.

        Args:
            sources: (batch, source time) int64, `<s>` ... `</s>`, padded with 1.

        Returns:
            The states of the tokens, and which of them are real.
        """
        mask = (sources != PAD)[:, None, None]
        return Memory(self.encoder.embeddings(sources) if self.encoder_off else self.encoder(sources, mask), mask)

    def token_losses(
        self, sources: Tensor, targets: Tensor, label_smoothing: float = 0.0, places: Tensor | None = None
    ) -> tuple[Tensor, int]:
        """The cross-entropy summed over the real target tokens, and their number.

        Padding changes nothing, and the output layer, most of the work in a small model, computes real tokens only.

        Args:
            sources: (batch, source time) int64, padded with 1.
            targets: (batch, target time) int64, `<s>` ... `</s>`, padded with 1 on the right.
            label_smoothing: Share of the target given to all other words, in [0, 1).
            places: As for `target_logits`.

        Returns:
            The sum in float32 (nats), and the number of target tokens after `<s>`.
        """
        logits, following = self.target_logits(sources, targets, places)
        losses = F.cross_entropy(logits.float(), following, reduction="sum", label_smoothing=label_smoothing)
        return losses, len(following)

    def target_logits(self, sources: Tensor, targets: Tensor, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The model's logits at each real target token, given those before it.

        Args:
            sources: (batch, source time) int64, padded with 1.
            targets: (batch, target time) int64, `<s>` ... `</s>`, padded with 1 on the right.
            places: (real tokens,) int64, where in the flattened `targets[:, 1:]` they stand, if the caller knows: to find them in
                the targets, the caller has to wait for a GPU.

        Returns:
            Logits, (real tokens, vocab), and the tokens that stand there, (real tokens,) int64; `<s>` is not among them.
        """
        x = self.decode(self.encode(sources), targets[:, :-1])
        following = targets[:, 1:].flatten()
        if places is None:
            places = (following != PAD).nonzero()[:, 0]
        return self.token_logits(x.flatten(0, 1).index_select(0, places)), following.index_select(0, places)

    def decode(self, memory: Memory, written: Tensor) -> Tensor:
        """Computes the decoder's states after each token of whole sentences.

        Args:
            memory: The encoded sources.
            written: (batch, time) int64, `<s>` and what follows.

        Returns:
            (batch, time, hidden).
        """
        states: Tensor = self.decoder(self.encoder.embeddings(written), *memory)
        return states

    def token_logits(self, states: Tensor) -> Tensor:
        """The logits of states, (..., hidden) -> (..., vocab)."""
        logits: Tensor = self.lm_head(torch.tanh(self.dense(states)))
        return logits

    def forward(self, sources: Tensor, targets: Tensor, label_smoothing: float = 0.0, places: Tensor | None = None) -> Tensor:
        """Mean cross-entropy over the real target tokens; arguments as in `token_losses`.

        Returns:
            A scalar in float32, nats per token; not a number if there is no target token at all.
        """
        total, count = self.token_losses(sources, targets, label_smoothing, places)
        return total / count if count else total * math.nan

    def prefill(self, sources: Tensor) -> DecoderCache:
        """Encodes the sources and computes the decoder's keys and values of them, once for all beams.

        Args:
            sources: (batch, source time) int64, padded with 1, no row without a real token.

        Returns:
            A cache with one beam an example, before its first token.
        """
        memory = self.encode(sources)
        batch = len(sources)
        return DecoderCache(
            cross=self.decoder.cross(memory.states),
            cross_mask=memory.mask,
            own=[memory.states.new_empty(batch, 0, width) for width in self.own_widths()],
            seen=sources.new_empty((batch, 1, 0), dtype=torch.bool),
            count=sources.new_zeros((batch, 1)),
        )

    def get_output_layer(self) -> nn.Module:
        """The layer that computes the logits."""
        return self.lm_head

    def own_widths(self) -> list[int]:
        """Width of what each decoder layer keeps of a token: its keys and values side by side."""
        return [2 * layer.self_attn.inner for layer in self.decoder.layers]

    def step(self, tokens: Tensor, cache: DecoderCache) -> Tensor:
        """Feeds one token to every beam.

        RoBERTa's positions count the tokens that are not `<pad>`: a generated `<pad>` stands at position 1, uncounted.

        Args:
            tokens: (batch, beams) int64.
            cache: The tokens so far; changed in place.

        Returns:
            Logits of the next token, (batch, beams, vocab).
        """
        real = tokens != PAD
        cache.count = cache.count + real
        new = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).expand(len(tokens), -1, -1)
        cache.seen = torch.cat([cache.seen, new], 2)
        return self.step_at(tokens, cache.count * real + PAD, cache)

    def step_at(self, tokens: Tensor, positions: Tensor, cache: DecoderCache) -> Tensor:
        """As `step`, for callers that count positions themselves.

        Args:
            tokens: (batch, beams) int64.
            positions: (batch, beams) int64, the positions of the tokens.
            cache: The tokens so far, with room for these in `seen`; keys and values are added in place.

        Returns:
            Logits of the next token, (batch, beams, vocab).
        """
        return self.token_logits(self.decoder.step(self.encoder.embeddings(tokens, positions), cache))


@contextmanager
def without_encoder(model: CodeToText) -> Iterator[None]:
    """Takes the encoder's layers out of a model for a while: the decoder reads the embeddings of the source.

    Args:
        model: The model; its weights are not changed.
    """
    before, model.encoder_off = model.encoder_off, True
    try:
        yield
    finally:
        model.encoder_off = before


def encoder_bytes(model: CodeToText) -> int:
    """Bytes of the weights of a model's encoder layers."""
    return sum(weight.nbytes for name, weight in model.named_parameters() if name.startswith("encoder.encoder."))


def step_bytes(model: CodeToText) -> int:
    """Bytes of the weights that a decoder step reads: all but the encoder and what makes keys and values of the source."""
    total = 0
    for name, weight in model.named_parameters():
        if name.startswith("decoder.") and "multihead_attn.in_proj" in name:
            total += weight.nbytes // 3  # the queries
        elif not name.startswith("encoder.") or name == "encoder.embeddings.word_embeddings.weight":  # which is the output layer
            total += weight.nbytes
    return total


@torch.no_grad()
def start_near_identity(model: CodeToText) -> None:
    """Gives an untrained model start values from which a small model learns, drawn from torch's global generator.

    With the usual start values the first gradients, alike for all tokens, level the states of a post-norm encoder for good (see
    `training.hold_encoder`). Here every encoder layer begins as the identity, and the decoder's cross-attention passes words of
    the source straight on to the output, which is tied to their embeddings: so comments repeat words of the code from the start.
    In the spirit of Zhang et al. 2019 (Fixup), who start residual branches at zero.

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
        model: The model; it is changed, and its configuration too.
        share: In [0, 1).
    """
    model.config.hidden_dropout_prob = model.config.decoder_dropout = share
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and not name.endswith("attention.self.dropout"):
            module.p = share


def outline(config: CodeToTextConfig) -> CodeToText:
    """A model on the meta device, into which tensors can be put: nothing is drawn at random, and no memory is taken.

    Args:
        config: Sizes.
    """
    with torch.device("meta"), _NoStartValues():
        return CodeToText(config)


@contextmanager
def empty_layers() -> Iterator[None]:
    """Silences torch's warning about start values of layers without heads or neurons: there are none to draw."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        yield


class _NoStartValues(TorchFunctionMode):
    """Skips random start values: for them torch would import its compiler on the meta device, which takes seconds."""

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        if getattr(func, "__name__", "") in ("normal_", "uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def reads_source(layer: str) -> bool:
    """Whether a linear layer computes source tokens, by its name; keys and values of the cross-attention do, too."""
    return layer.startswith("encoder.") or layer.endswith("multihead_attn.in_key_value")


def tiny() -> CodeToText:
    """The smallest model with all parts of a large one, for trials."""
    sizes = CodeToTextConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=20,
        decoder_layers=1,
        decoder_ffn=64,
    )
    return CodeToText(sizes).eval()


def fresh(shape: Architecture, words: int, tokens: int, seed: int) -> CodeToText:
    """An untrained model on the CPU; equal arguments give equal weights.

    Args:
        shape: Sizes.
        words: Number of entries of the vocabulary.
        tokens: Most tokens that it is to read or write.
        seed: Of the weights; torch's global generators are left as they are.
    """
    config = CodeToTextConfig(
        vocab_size=words,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        max_position_embeddings=table_rows(tokens),
        type_vocab_size=1,
        decoder_layers=shape.decoder_layers,
        decoder_heads=shape.heads,
        decoder_ffn=shape.ffn,
        decoder_dropout=shape.dropout,
    )
    return _drawn(config, seed)


def drawn_anew(model: CodeToText, seed: int) -> dict[str, Tensor]:
    """Start values for a model as if it were untrained; equal arguments give equal values.

    Args:
        model: Whose sizes count; it is not changed.
        seed: Of the draw.

    Returns:
        Parameter name -> value on the CPU, tied ones once.
    """
    return {name: weight.detach() for name, weight in _drawn(model.config, seed).named_parameters()}


def _drawn(config: CodeToTextConfig, seed: int) -> CodeToText:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CodeToText(config)
        start_near_identity(model)
    return model
