"""The sizes of a model: RoBERTa's own names and defaults, and those of the decoder.

Knows no tensor. The names are those of RoBERTa's `config.json`, so that its files are read as they are; the limits of each entry
are in `core.spec.configfields`.
"""

from dataclasses import dataclass
from typing import ClassVar

from ..spec.configfields import LISTS
from ..spec.roberta import BOS as BOS
from ..spec.roberta import EOS as EOS
from ..spec.roberta import PAD as PAD
from ..spec.roberta import positions
from .family import Special
from .units import Sizes

SPECIAL = Special(pad=PAD, begin=BOS, end=EOS)
"""RoBERTa's special tokens, in the form that other packages use."""


@dataclass
class CodeToTextConfig:
    """RoBERTa's configuration, and that of the decoder."""

    model_type: ClassVar[str] = "codeprune-code-to-text"

    vocab_size: int = 50265
    hidden_size: int = 768
    """Width of the model."""
    num_hidden_layers: int = 12
    """Layers of the encoder."""
    num_attention_heads: int = 12
    """Attention heads in each encoder layer; the width of a head is `hidden_size` divided by it."""
    intermediate_size: int = 3072
    """Neurons in each encoder feed-forward block."""
    hidden_act: str = "gelu"
    """Name of the activation of these neurons."""
    hidden_dropout_prob: float = 0.1
    """Share of states dropped in the encoder while training."""
    attention_probs_dropout_prob: float = 0.1
    """Share of attention weights dropped in the encoder while training."""
    max_position_embeddings: int = 512
    """Rows of the position table; the first ones, up to that of `<pad>`, are not used for tokens."""
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    """Standard deviation of the encoder's start values."""
    layer_norm_eps: float = 1e-12
    """Epsilon of the encoder's norms."""
    pad_token_id: int = PAD
    bos_token_id: int = BOS
    eos_token_id: int = EOS
    heads_by_layer: list[int] | None = None
    """Heads of each encoder layer where they differ, 0 for a layer without attention; their width stays. None: as many as
    `num_attention_heads` everywhere."""
    neurons_by_layer: list[int] | None = None
    """Neurons of each encoder layer where they differ. None: as many as `intermediate_size` everywhere."""
    decoder_heads_by_layer: list[int] | None = None
    """Heads of each decoder layer's self-attention where they differ. None: as many as `decoder_heads` everywhere."""
    cross_heads_by_layer: list[int] | None = None
    """Heads of each decoder layer's cross-attention where they differ. None: as many as `decoder_heads` everywhere."""
    decoder_neurons_by_layer: list[int] | None = None
    """Neurons of each decoder layer where they differ. None: as many as `decoder_ffn` everywhere."""
    decoder_layers: int = 6
    """Number of decoder layers."""
    decoder_heads: int | None = None
    """Attention heads in each decoder layer; None means as many as the encoder has."""
    decoder_ffn: int = 2048
    """Neurons in each decoder feed-forward block."""
    decoder_dropout: float = 0.1
    """Share of values dropped in the decoder while training, attention included."""
    pretrained_only: bool = False
    """Whether encoder and decoder come from pre-training alone and have not been fine-tuned to write comments."""
    quantization: str | None = None
    """Name of the quantizer of the weights; None for weights in float32."""

    def heads(self, layer: int) -> int:
        """Number of heads of an encoder layer."""
        return self.num_attention_heads if self.heads_by_layer is None else self.heads_by_layer[layer]

    def neurons(self, layer: int) -> int:
        """Number of neurons of an encoder layer."""
        return self.intermediate_size if self.neurons_by_layer is None else self.neurons_by_layer[layer]

    def self_heads(self, layer: int) -> int:
        """Number of heads of a decoder layer's self-attention."""
        return self.full_decoder_heads if self.decoder_heads_by_layer is None else self.decoder_heads_by_layer[layer]

    def cross_heads(self, layer: int) -> int:
        """Number of heads of a decoder layer's cross-attention."""
        return self.full_decoder_heads if self.cross_heads_by_layer is None else self.cross_heads_by_layer[layer]

    def decoder_neurons(self, layer: int) -> int:
        """Number of neurons of a decoder layer."""
        return self.decoder_ffn if self.decoder_neurons_by_layer is None else self.decoder_neurons_by_layer[layer]

    @property
    def sizes(self) -> Sizes:
        """Heads and neurons of every layer."""
        encoder, decoder = range(self.num_hidden_layers), range(self.decoder_layers)
        return Sizes(
            encoder_heads=tuple(map(self.heads, encoder)),
            encoder_head_width=self.head_width,
            encoder_neurons=tuple(map(self.neurons, encoder)),
            decoder_heads=tuple(map(self.self_heads, decoder)),
            cross_heads=tuple(map(self.cross_heads, decoder)),
            decoder_head_width=self.decoder_head_width,
            decoder_neurons=tuple(map(self.decoder_neurons, decoder)),
        )

    @property
    def is_uneven(self) -> bool:
        """Whether layers may differ in heads or neurons, because some were removed."""
        return any(getattr(self, name) is not None for name in LISTS)

    @property
    def head_width(self) -> int:
        """Width of an encoder's head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def full_decoder_heads(self) -> int:
        """Heads of a decoder layer's attention before any is removed; `hidden_size` divided by it is the width of each."""
        return self.decoder_heads or self.num_attention_heads

    @property
    def decoder_head_width(self) -> int:
        """Width of a decoder's head."""
        return self.hidden_size // self.full_decoder_heads

    @property
    def positions(self) -> int:
        """Most tokens that the model can read or write: RoBERTa counts from the position after that of `<pad>`."""
        return positions(self.max_position_embeddings)


CODEBERT = CodeToTextConfig(max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)
"""CodeBERT's sizes."""
