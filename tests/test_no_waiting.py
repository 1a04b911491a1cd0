"""A training step never waits for its device, and torch.compile makes one graph for all lengths.

A tensor on the "meta" device has a shape and no numbers: whatever would have to wait for a GPU's numbers (`item`, `nonzero`, an
index by a mask, `bool`) raises there, so a step that goes through waits for nothing.
"""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from core.data import Batch, collate, pad_lists, target_places
from core.families.config import EOS, PAD, CodeToTextConfig
from core.families.roberta import CodeToText
from core.recipe import Training
from core.train import trainer as train
from core.train.objectives import MaskTokens, masked_logits
from core.train.prepare import compile_forward
from core.train.trainer import Trainer

CONFIG = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 66, "type_vocab_size": 1, "decoder_layers": 2, "decoder_ffn": 32,
}  # fmt: skip


def model_of(seed: int = 0) -> CodeToText:
    torch.manual_seed(seed)
    return CodeToText(CodeToTextConfig(**CONFIG))


def batch_of(sources: int, targets: int, rows: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(sources * 100 + targets)

    def drawn(length: int) -> list[int]:
        return [0, *torch.randint(3, 60, (length - 2,), generator=generator).tolist(), EOS]

    padded = pad_lists([drawn(targets - row % 3) for row in range(rows)], PAD)
    return Batch(
        pad_lists([drawn(sources - row) for row in range(rows)], PAD), padded, tuple(range(rows)), target_places(padded, PAD)
    )


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An accelerator whose device has no numbers."""
    # Fused AdamW has no kernel for tensors without numbers; it differs from this one in speed alone.
    monkeypatch.setattr(
        train.torch.optim, "AdamW", lambda *arguments, fused, **more: partial(torch.optim.SGD, lr=0.1)(arguments[0])
    )
    return SimpleNamespace(
        device=torch.device("meta"),
        backward=lambda loss: loss.backward(),
        autocast=lambda: torch.autocast("cpu", enabled=False),
        clip_grad_norm_=nn.utils.clip_grad_norm_,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_training_step_waits_for_nothing(meta: SimpleNamespace, smoothing: float) -> None:
    model = model_of().to("meta")
    masks = {
        name: torch.ones_like(weight, dtype=torch.bool)
        for name, weight in model.named_parameters()
        if "layers" in name and weight.dim() == 2
    }
    trainer = Trainer(model, lambda b: model(b.sources, b.targets, smoothing, b.places), masks, Training(), 1, meta)  # type: ignore[arg-type]
    trainer.train_step(batch_of(12, 6))
    assert trainer.step == 1
    assert all(weight.grad is None for weight in model.parameters())


def test_without_the_places_it_would_have_to_wait() -> None:
    model = model_of().to("meta").train()
    batch = batch_of(12, 6).to(torch.device("meta"))
    with pytest.raises(Exception, match="meta"):
        model(batch.sources, batch.targets)


def test_masked_tokens_are_found_without_waiting() -> None:
    model = model_of().to("meta").train()
    texts = [list(range(30)), list(range(10, 30))]
    batch = MaskTokens(model, texts, [], 4, 60).batch([0, 1], 7)
    moved = batch.to(torch.device("meta"))
    assert moved.places is not None
    assert MaskTokens(model, texts, [], 4, 60).loss(moved).shape == ()
    assert masked_logits(model, moved.sources, moved.places).shape == (int((batch.targets >= 0).sum()), 60)


def test_known_places_change_nothing() -> None:
    model, batch = model_of().eval(), batch_of(14, 8)
    known = model.token_losses(batch.sources, batch.targets, 0.1, batch.places)
    searched = model.token_losses(batch.sources, batch.targets, 0.1)
    assert torch.equal(known[0], searched[0])
    assert known[1] == searched[1] == int((batch.targets[:, 1:] != PAD).sum())


def test_compiling_makes_one_graph_for_all_lengths() -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = model_of().eval()
    plain = [model(*training_arguments(size)) for size in range(6)]
    compile_forward(model, backend="eager")
    for size, expected in enumerate(plain):
        torch.testing.assert_close(model(*training_arguments(size)), expected)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def training_arguments(size: int) -> tuple[torch.Tensor, torch.Tensor, float, torch.Tensor | None]:
    """The arguments of a training pass, of another size each time."""
    batch = batch_of(17 + 5 * size, 6 + 2 * size, rows=3 + size % 2)  # no two alike in the first, or they count as one
    return batch.sources, batch.targets, 0.0, batch.places


def test_rows_side_by_side_know_their_places() -> None:
    encoded = SimpleNamespace(
        sources=[[0, 5, 2], [0, 5, 6, 2]],
        targets=[[0, 7, 8, 2], [0, 2]],
        rows=[SimpleNamespace(index=4), SimpleNamespace(index=9)],
    )
    batch = collate(encoded, [0, 1], PAD)  # type: ignore[arg-type]
    assert batch.places is not None
    assert batch.places.tolist() == [0, 1, 2, 3]
    assert batch.rows == (4, 9)
