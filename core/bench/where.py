"""Where the time goes: the share of the processor's own limits that training, encoding and decoding reach.

The limits are measured beside them, on the same threads: matrix products of large squares in fp32, and a copy of more memory than
any cache holds. Arithmetic is counted by torch's `FlopCounterMode`; bytes are those that weights, gradients, moments and caches
take at least, activations left out. What reaches neither limit is spent between the kernels, or waits for small ones.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ..data import pad_lists
from ..families.memory import give_back
from ..families.roberta import CodeToText, encoder_bytes, step_bytes
from .ground import Ground
from .measure import Table

NAME = "where"
COLUMNS = ("what", "ms", "GFLOP", "GFLOP/s", "of the peak", "MB at least", "GB/s", "of the bandwidth")
FLOAT_BYTES = 4
PASSES = 11
"""How often a training step moves each weight, its gradient or a moment at least: weights read forwards and backwards, gradients
written and read to be clipped; AdamW reads weight, gradient and two moments, and writes all but the gradient."""
SQUARE, COPIED = 2048, 64_000_000
"""Rows and columns of the matrices, and numbers copied, whose speed counts as the limit."""
BEAM, TOKENS = 10, 8
Shape = tuple[int, ...]


def _attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _attention_backward(gradient: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]  # as above


ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Attention on a CPU, which `FlopCounterMode` does not know by itself."""


def where(ground: Ground, size: str) -> list[Table]:
    """The limits, and what a training step, the encoder and steps of the decoder reach of them."""
    times = 2 if ground.quick else 9
    reached = [limits(ground, times)]
    measured = []
    for what, action, size_bytes in _actions(ground, size):
        action()  # makes the optimizer's state and whatever else is made once
        flops = counted(action)
        measured.append((what, min(ground.timed(action) for _ in range(times)), flops, size_bytes))
        reached.append(limits(ground, 2))  # again: whatever slowed the machine down before may be gone
    peak, bandwidth = (max(each) for each in zip(*reached, strict=True))
    rows = [
        (f"matrix product, {SQUARE:,} squared", "", "", f"{peak / 1e9:.3g}", "100 %", "", "", ""),
        (f"copy of {COPIED * FLOAT_BYTES // 1_000_000} MB", "", "", "", "", "", f"{bandwidth / 1e9:.3g}", "100 %"),
        *(_row(*each, peak, bandwidth) for each in measured),
    ]
    ground.forget()
    give_back()
    title = ", ".join(filter(None, (f"Where the time goes, {size}, fp32", ground.clock_note)))
    return [Table(NAME, title, COLUMNS, tuple(rows))]


def limits(ground: Ground, times: int) -> tuple[float, float]:
    """The best of some trials: operations a second of a matrix product, and bytes a second of a copy, both ways counted."""
    left, right = (torch.randn(SQUARE, SQUARE, device=ground.device) for _ in range(2))
    product = min(ground.timed(lambda: left @ right) for _ in range(times + 1))
    source = torch.ones(COPIED, device=ground.device)
    target = torch.empty_like(source)
    copy = min(ground.timed(lambda: target.copy_(source)) for _ in range(times + 1))
    return 2 * SQUARE**3 / product, 2 * source.nbytes / copy


def counted(action: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products of an action, attention included."""
    with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:
        action()
    return int(counter.get_total_flops())


def _actions(ground: Ground, size: str) -> Iterator[tuple[str, Callable[[], object], int]]:
    """What is measured, and the bytes that it moves at least."""
    with ground.training_in("fp32"):
        model = ground.model(size)
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        yield "training step, batch 8", _training(ground, model), PASSES * FLOAT_BYTES * trained
    model.eval()
    for batch in (1, 16):
        sources = pad_lists(ground.sources(batch, batch), model.special.pad).to(ground.device)
        yield f"encoder, batch {batch}", partial(_encode, model, sources), encoder_bytes(model)
        step, cached = _stepping(model, sources)
        yield f"decoder step, batch {batch}, beam {BEAM}", step, cached + step_bytes(model)


def _training(ground: Ground, model: CodeToText) -> Callable[[], object]:
    trainer, (batch,) = ground.trainer(model, {}), ground.batches(1, 8)
    return lambda: trainer.train_step(batch)


@torch.inference_mode()
def _encode(model: CodeToText, sources: torch.Tensor) -> object:
    return model.encode(sources)


def _stepping(model: CodeToText, sources: torch.Tensor) -> tuple[Callable[[], object], int]:
    """A step after some tokens, and the bytes of its caches; every call appends a token, which changes little."""
    with torch.inference_mode():
        cache = model.prefill(sources)
        tokens = torch.full((len(sources), BEAM), model.special.begin, device=sources.device)
        model.step(tokens[:, :1], cache)
        cache.reorder(torch.zeros_like(tokens))  # from one beam to all
        for _ in range(TOKENS):
            model.step(tokens, cache)
        cached = sum(part.nbytes for layer in cache.cross for part in layer) + sum(own.nbytes for own in cache.own)

    def step() -> object:
        with torch.inference_mode():
            return model.step(tokens, cache)

    return step, cached


def _row(what: str, seconds: float, flops: int, size_bytes: int, peak: float, bandwidth: float) -> tuple[str, ...]:
    rate, moved = flops / seconds, size_bytes / seconds
    return (
        what,
        f"{1000 * seconds:.3g}",
        f"{flops / 1e9:.3g}",
        f"{rate / 1e9:.3g}",
        f"{100 * rate / peak:.0f} %",
        f"{size_bytes / 1e6:.3g}",
        f"{moved / 1e9:.3g}",
        f"{100 * moved / bandwidth:.0f} %",
    )
