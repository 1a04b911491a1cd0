"""The model against torch's own decoder on full padding, and its cache against whole sentences."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ModelError
from core.families.config import PAD, CodeToTextConfig
from core.families.roberta import CodeToText, set_dropout, start_near_identity

SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 40, "type_vocab_size": 1, "decoder_layers": 2, "decoder_ffn": 64,
}  # fmt: skip


def small_model(seed: int = 0, **changes: object) -> CodeToText:
    torch.manual_seed(seed)
    model = CodeToText(CodeToTextConfig(**{**SIZES, **changes}))
    for name, parameter in model.named_parameters():  # start values hide mistakes: biases are 0, norms are 1
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, 0.2)
    return model.eval()


def rows(lengths: list[int], seed: int, width: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((len(lengths), width or max(lengths)), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.tensor([0, *torch.randint(4, 50, (length - 2,), generator=generator).tolist(), 2])
    return ids


SOURCES, TARGETS = rows([9, 5, 12], 1), rows([7, 4, 6], 2)


def naive_loss(model: CodeToText, sources: Tensor, targets: Tensor) -> Tensor:
    """The loss as CodeXGLUE computes it: torch's decoder, every padded place through the output layer, -1e4 as mask."""
    config = model.config
    layer = nn.TransformerDecoderLayer(config.hidden_size, config.decoder_heads or config.num_attention_heads, config.decoder_ffn)
    decoder = nn.TransformerDecoder(layer, config.decoder_layers).eval()
    decoder.load_state_dict(model.decoder.state_dict(), strict=True)
    for (_, theirs), (_, ours) in zip(decoder.named_parameters(), model.decoder.named_parameters(), strict=True):
        theirs.data = ours.data
    memory = model.encoder(sources, (sources != PAD)[:, None, None]).transpose(0, 1)
    time = targets.shape[1]
    causal = -1e4 * (1 - torch.tril(torch.ones(time, time)))
    embedded = model.encoder.embeddings(targets).transpose(0, 1)
    out = decoder(embedded, memory, tgt_mask=causal, memory_key_padding_mask=sources == PAD)
    logits = model.lm_head(torch.tanh(model.dense(out))).transpose(0, 1)[:, :-1].flatten(0, 1)
    labels = targets[:, 1:].flatten()
    loss = F.cross_entropy(logits, labels, ignore_index=PAD)
    loss.backward()
    for (_, theirs), (_, ours) in zip(decoder.named_parameters(), model.decoder.named_parameters(), strict=True):
        ours.grad = theirs.grad
    return loss.detach()


def test_names_and_shapes_are_torchs() -> None:
    theirs = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64), 2).state_dict()
    ours = small_model().decoder.state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: tensor.shape for name, tensor in theirs.items()}


@pytest.mark.parametrize("training", [False, True])  # while training on the CPU attention is computed in another way
@pytest.mark.parametrize("extra", [0, 5])
def test_loss_and_gradients_are_those_of_the_plain_computation(extra: int, training: bool) -> None:
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "decoder_dropout": 0.0}
    ours, theirs = small_model(**none).train(training), small_model(**none)
    loss = ours(F.pad(SOURCES, (0, extra), value=PAD), F.pad(TARGETS, (0, extra), value=PAD))
    loss.backward()
    assert abs(loss.item() - naive_loss(theirs, SOURCES, TARGETS).item()) < 1e-6
    for (name, mine), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None) == name.startswith("encoder.pooler"), name
        if mine.grad is not None and other.grad is not None:
            # Where the true gradient is 0 (key biases) both are rounding noise, hence the absolute part.
            assert (mine.grad - other.grad).norm() <= 1e-5 * other.grad.norm() + 1e-7, name


def test_output_layer_sees_real_target_tokens_only() -> None:
    model, seen = small_model(), []
    model.lm_head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape))
    total, count = model.token_losses(SOURCES, TARGETS)
    assert count == 6 + 3 + 5
    assert seen == [(count, 32)]
    assert torch.allclose(total / count, model(SOURCES, TARGETS))


def test_label_smoothing_is_torchs() -> None:
    model = small_model()
    logits = []
    model.lm_head.register_forward_hook(lambda _module, _inputs, output: logits.append(output))
    loss = model(SOURCES, TARGETS, label_smoothing=0.1)
    labels = TARGETS[:, 1:]
    assert torch.allclose(loss, F.cross_entropy(logits[0], labels[labels != PAD], label_smoothing=0.1))


def test_no_target_token_gives_no_number() -> None:
    assert small_model()(SOURCES, torch.zeros(3, 1, dtype=torch.long)).isnan()


def test_output_layer_and_embeddings_are_one_tensor() -> None:
    model = small_model()
    assert model.lm_head.weight is model.encoder.embeddings.word_embeddings.weight
    assert copy.deepcopy(model).lm_head.weight.data_ptr() != model.lm_head.weight.data_ptr()
    other = copy.deepcopy(model)
    assert other.lm_head.weight is other.encoder.embeddings.word_embeddings.weight


def test_start_values_are_torchs_and_differ_between_layers() -> None:
    torch.manual_seed(0)
    model = CodeToText(CodeToTextConfig(**SIZES))
    first, second = model.decoder.layers[0], model.decoder.layers[1]
    theirs = nn.TransformerDecoderLayer(32, 4, 64)
    for name, parameter in theirs.named_parameters():
        ours = first.get_parameter(name)
        assert (
            abs(ours.std().item() - parameter.std().item()) < 0.15 * parameter.std().item() + 1e-9 or parameter.numel() < 100
        ), name
        assert ours.abs().max() <= 1.1 * parameter.abs().max() + 1e-9 or parameter.numel() < 100, name
    assert not first.self_attn.in_proj_bias.any()
    assert not first.multihead_attn.out_proj.bias.any()
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_dropout_acts_in_training_only() -> None:
    model = small_model()
    assert model(SOURCES, TARGETS) == model(SOURCES, TARGETS)
    model.train()
    assert model(SOURCES, TARGETS) != model(SOURCES, TARGETS)


def full_logits(model: CodeToText, sources: Tensor, written: Tensor) -> Tensor:
    memory = model.encode(sources).states
    x = model.decoder(model.encoder.embeddings(written), memory, (sources != PAD)[:, None, None])
    out: Tensor = model.lm_head(torch.tanh(model.dense(x)))
    return out


@torch.no_grad()
def test_cache_follows_parents_padding_and_leaving_examples() -> None:
    model = small_model()
    generator = torch.Generator().manual_seed(3)
    cache = model.prefill(SOURCES)
    sources = SOURCES
    written = torch.zeros(3, 1, 1, dtype=torch.long)  # (batch, beams, time)
    for time in range(24):
        logits = model.step(written[:, :, -1], cache)
        beams = written.shape[1]
        repeated = sources.repeat_interleave(beams, 0)
        expected = full_logits(model, repeated, written.flatten(0, 1))[:, -1].view_as(logits)
        assert torch.allclose(logits, expected, atol=1e-5), time
        parents = torch.randint(0, min(beams, 2), (len(sources), 3), generator=generator)
        tokens = torch.randint(0, 50, (len(sources), 3), generator=generator)
        tokens[:, time % 3] = PAD  # a generated <pad> takes position 1 and does not advance the count
        if time == 9:
            kept = torch.tensor([0, 2])
            cache.keep(kept)
            sources, written, parents, tokens = sources[kept], written[kept], parents[kept], tokens[kept]
        cache.reorder(parents)
        written = torch.cat([written.gather(1, parents[..., None].expand(-1, -1, time + 1)), tokens[..., None]], 2)
    assert cache.seen.shape[2] < 24 * 3 / 1.5  # slots that no beam sees are thrown out


def test_bfloat16_autocast_trains_and_half_types_decode() -> None:
    model = small_model().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(SOURCES, TARGETS)
    loss.backward()
    assert loss.dtype == torch.float32
    grad = model.decoder.layers[0].self_attn.in_proj_weight.grad
    assert grad is not None
    assert grad.isfinite().all()
    exact = small_model()
    for dtype in (torch.bfloat16, torch.float16):
        half = copy.deepcopy(exact).to(dtype)
        with torch.no_grad():
            cache = half.prefill(SOURCES)
            logits = half.step(torch.zeros(3, 1, dtype=torch.long), cache)
            expected = exact.step(torch.zeros(3, 1, dtype=torch.long), exact.prefill(SOURCES))
        assert logits.dtype == dtype
        assert (logits.float() - expected).abs().max() < 0.15


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"width 32 cannot have 5 heads\. Choose a number of heads that divides 32"):
        CodeToText(CodeToTextConfig(**SIZES, decoder_heads=5))


def test_load_model_is_offered_by_the_model_module() -> None:
    root = Path(__file__).resolve().parent.parent
    code = "from core.model import load_model; import core.model; assert load_model is core.model.load_model"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
    import core.families.roberta

    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = core.families.roberta.load_modle


def test_attention_drops_its_weights_only_while_training() -> None:
    model = small_model(decoder_dropout=0.5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    assert len({model(SOURCES, TARGETS).item() for _ in range(3)}) == 1
    assert len({model.train()(SOURCES, TARGETS).item() for _ in range(3)}) == 3


def test_a_near_identity_start_hands_the_words_of_the_source_to_the_output() -> None:
    def reached(model: CodeToText) -> float:
        """Mean logit of the words in each source, over that of all words."""
        with torch.no_grad():
            memory = model.encode(SOURCES).states
            x = model.decoder(model.encoder.embeddings(TARGETS[:, :1]), memory, (SOURCES != PAD)[:, None, None])
            logits = model.lm_head(torch.tanh(model.dense(x)))[:, 0]
        return float((logits.gather(1, SOURCES) - logits.mean(1, keepdim=True))[SOURCES > 3].mean())

    torch.manual_seed(0)
    usual = CodeToText(CodeToTextConfig(**SIZES | {"hidden_size": 128})).eval()
    near = copy.deepcopy(usual)
    start_near_identity(near)
    embedded = near.encoder.embeddings(SOURCES)
    assert torch.allclose(near.encode(SOURCES).states[SOURCES != PAD], embedded[SOURCES != PAD], atol=1e-4)
    assert reached(near) > 0.4 > 0.1 > abs(reached(usual))
    assert not near.encoder.embeddings.word_embeddings.weight[PAD].any()


def test_dropout_of_states_can_be_set_and_that_of_attention_stays() -> None:
    model = small_model()
    set_dropout(model, 0.3)
    shares = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert {p for name, p in shares.items() if name.endswith("attention.self.dropout")} == {0.1}
    assert {p for name, p in shares.items() if not name.endswith("attention.self.dropout")} == {0.3}
    assert {layer.multihead_attn.dropout for layer in model.decoder.layers} == {0.1}
    assert (model.config.hidden_dropout_prob, model.config.decoder_dropout) == (0.3, 0.3)
