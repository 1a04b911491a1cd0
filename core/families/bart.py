"""The same model in `transformers`, so that its `generate` can be measured: a BART with our weights.

BART is normalised after each block as ours is, and counts positions from 2 as well. The differences are set here: RoBERTa's row
for token type 0 is added to the positions, the encoder's LayerNorm gets its own epsilon, the decoder computes with ReLU, and the
output layer gets our `dense` and tanh before it. Tests compare its logits with ours.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import BartConfig, BartForConditionalGeneration

from ..errors import ModelError
from .config import BOS, EOS, PAD
from .roberta import CodeToText

_ENCODER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}
_DECODER = {
    "self_attn.out_proj": "self_attn.out_proj",
    "multihead_attn.out_proj": "encoder_attn.out_proj",
    "linear1": "fc1",
    "linear2": "fc2",
    "norm1": "self_attn_layer_norm",
    "norm2": "encoder_attn_layer_norm",
    "norm3": "final_layer_norm",
}


class _Head(nn.Module):
    """Our output layer: `dense`, tanh, then the tied matrix."""

    def __init__(self, model: CodeToText) -> None:
        super().__init__()
        self.dense, self.out = model.dense, model.lm_head

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(torch.tanh(self.dense(x)))
        return out


def as_bart(model: CodeToText) -> BartForConditionalGeneration:
    """A BART that computes what the model computes, with copies of its weights.

    Args:
        model: On any device; it is not changed.

    Returns:
        The BART on the same device, in evaluation mode.

    Raises:
        ModelError: The model's layers differ in heads or neurons.
    """
    ours = model.config
    if ours.is_uneven:
        raise ModelError("A BART cannot express layers that differ in heads or neurons.", "Measure the model before they went.")
    bart = BartForConditionalGeneration(
        BartConfig(
            vocab_size=ours.vocab_size,
            d_model=ours.hidden_size,
            max_position_embeddings=ours.positions,
            encoder_layers=ours.num_hidden_layers,
            encoder_attention_heads=ours.num_attention_heads,
            encoder_ffn_dim=ours.intermediate_size,
            decoder_layers=ours.decoder_layers,
            decoder_attention_heads=ours.decoder_heads or ours.num_attention_heads,
            decoder_ffn_dim=ours.decoder_ffn,
            activation_function="gelu",
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
            decoder_start_token_id=BOS,
            forced_eos_token_id=None,
        )
    )
    missing = bart.model.load_state_dict(_weights(model), strict=False).missing_keys
    assert not missing, missing
    bart.lm_head = _Head(model)
    for module in bart.model.encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = ours.layer_norm_eps
    bart.model.decoder.layernorm_embedding.eps = ours.layer_norm_eps
    for layer in bart.model.decoder.layers:
        layer.activation_fn = nn.ReLU()
    return bart.to(model.device).eval()


def generate(
    bart: BartForConditionalGeneration, sources: Sequence[Sequence[int]], *, beam: int, max_length: int, ends: bool = True
) -> list[tuple[int, ...]]:
    """Writes comments with `transformers`, at its fastest fair setting: cached, no length penalty, stopping as early as it can.

    Args:
        bart: As `as_bart` gives it.
        sources: Token ids of one batch.
        beam: Beams; 1 is greedy.
        max_length: Most tokens to write.
        ends: Whether `</s>` ends a comment; without it each gets `max_length` tokens.

    Returns:
        Token ids without `<s>` and `</s>`.
    """
    ids = pad_sequence([torch.tensor(source) for source in sources], batch_first=True, padding_value=PAD).to(bart.device)
    more: dict[str, object] = {"length_penalty": 0.0, "early_stopping": True} if beam > 1 else {}
    if not ends:
        more["suppress_tokens"] = [EOS]
    with torch.inference_mode():
        generated = bart.generate(
            input_ids=ids, attention_mask=(ids != PAD).long(), num_beams=beam, do_sample=False, max_new_tokens=max_length, **more
        )
    return [_written(row) for row in generated.tolist()]


def _written(row: list[int]) -> tuple[int, ...]:
    tokens = row[1:]
    return tuple(tokens[: tokens.index(EOS)] if EOS in tokens else tokens)


def _weights(model: CodeToText) -> dict[str, Tensor]:
    """Our weights under BART's names, without its output."""
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    words = state["encoder.embeddings.word_embeddings.weight"]
    positions = (
        state["encoder.embeddings.position_embeddings.weight"] + state["encoder.embeddings.token_type_embeddings.weight"][0]
    )
    weights = {"shared.weight": words}
    for half in ("encoder", "decoder"):
        weights[f"{half}.embed_tokens.weight"] = words
        weights[f"{half}.embed_positions.weight"] = positions
        for kind in ("weight", "bias"):
            weights[f"{half}.layernorm_embedding.{kind}"] = state[f"encoder.embeddings.LayerNorm.{kind}"]
    for number in range(model.config.num_hidden_layers):
        weights |= _renamed(state, f"encoder.encoder.layer.{number}", f"encoder.layers.{number}", _ENCODER)
    for number in range(model.config.decoder_layers):
        weights |= _renamed(state, f"decoder.layers.{number}", f"decoder.layers.{number}", _DECODER)
        for own, theirs in (("self_attn", "self_attn"), ("multihead_attn", "encoder_attn")):
            for kind in ("weight", "bias"):
                parts = state[f"decoder.layers.{number}.{own}.in_proj_{kind}"].chunk(3)
                for part, letter in zip(parts, "qkv", strict=True):
                    weights[f"decoder.layers.{number}.{theirs}.{letter}_proj.{kind}"] = part
    return weights


def _renamed(state: Mapping[str, Tensor], ours: str, theirs: str, names: Mapping[str, str]) -> dict[str, Tensor]:
    pairs = ((own, other, kind) for own, other in names.items() for kind in ("weight", "bias"))
    return {f"{theirs}.{other}.{kind}": state[f"{ours}.{own}.{kind}"] for own, other, kind in pairs}
