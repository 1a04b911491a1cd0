"""What is done about launches and copies on a GPU, and whether it pays; and what CUDA graphs, which are not used, would bring."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from box import SIZES, Box, Row
from torch import Tensor

from core.compress.masks import apply_masks, prunable
from core.data import pad_lists
from core.decode import _advance
from core.families.device import width_multiple
from core.families.roberta import CodeToText
from core.train.checkpoint import CheckpointWriter

BEAM, WRITTEN = 10, 8
REPEATS, WARM = 30, 3


def masks(box: Box) -> Iterator[Row]:
    """Applying the masks of all matrices of base: a byte a weight, as training does it, and in fp32."""
    weights = {name: weight.detach() for name, weight in prunable(box.ground.fresh("base"), "all").items()}
    held = {name: torch.rand_like(weight) < 0.5 for name, weight in weights.items()}
    as_bytes = _each(box, lambda: apply_masks(weights, held))
    tensors, factors = list(weights.values()), [mask.float() for mask in held.values()]
    in_fp32 = _each(box, lambda: torch._foreach_mul_(tensors, factors))
    more = 4e-6 * sum(mask.numel() for mask in held.values())
    note = f"{1000 * in_fp32:.3g} ms with masks in fp32, which take {more:,.0f} MB more"
    yield Row("masks", f"base, {len(held)} matrices, a byte a weight", 1000 * as_bytes, "ms", note=note)


def checkpoints(box: Box) -> Iterator[Row]:
    """Steps of base while a checkpoint and the best weights are copied and written beside them, and steps without."""
    trainer, batches, steps = box.trainer(box.ground.fresh("base"), 8), box.batches(8), 2 if box.quick else 40

    def train() -> None:
        for _ in range(steps):
            trainer.train_step(next(batches))

    train()
    alone = box.timed(train)
    with tempfile.TemporaryDirectory() as folder:
        writer = CheckpointWriter(Path(folder) / "resume", lambda facts: None)

        def write() -> None:
            writer.write(trainer.state(), {"round": 0, "step": trainer.step}, best=True)

        first = box.timed(write)
        writer.settle()
        beside = box.timed(lambda: (write(), train()))
        rest = box.timed(writer.settle)
    size = sum(tensor.nbytes for tensor in trainer.state().values()) / 1e6
    note = (
        f"{size:,.0f} MB; the first, which takes its pinned memory, held up {first:.3g} s; on disk {rest:.3g} s after the steps"
    )
    yield Row("checkpoints", f"{steps} steps of base with a checkpoint beside them", beside / alone, "times as long", note=note)


@torch.inference_mode()
def graphs(box: Box) -> Iterator[Row]:
    """A step of beam search as it is, and replayed as a CUDA graph: the most that graphs could bring where shapes were fixed."""
    for size in SIZES:
        model = box.ground.model(size)
        for batch_size in (1, 16):
            yield _replayed(box, size, batch_size, _one_step(box, model, batch_size))


def _replayed(box: Box, size: str, batch_size: int, step: Callable[[], tuple[Tensor, ...]]) -> Row:
    what = f"{size}, batch {batch_size}, beam {BEAM}: a step"
    usual, values = _each(box, step), step()
    if not box.cuda:
        return Row("graphs", what, 1000 * usual, "ms", note="not replayed: not a GPU")
    try:
        replay, replayed = _captured(box, step)
    except RuntimeError as error:
        return Row("graphs", f"{what}: cannot be captured", note=(str(error).splitlines() or [""])[0][:200])
    seconds = _each(box, replay)
    same = all(torch.equal(one, other) for one, other in zip(values, replayed, strict=True))
    note = f"{1000 * usual:.3g} ms as it is, {1000 * seconds:.3g} ms as a graph; values {'the same' if same else 'DIFFER'}"
    return Row("graphs", f"{what} as a graph", usual / seconds, "times the speed", note=note)


def _one_step(box: Box, model: CodeToText, batch_size: int) -> Callable[[], tuple[Tensor, ...]]:
    """A step after some others, which can be made again and again: it leaves the cache as it is."""
    sources = pad_lists(box.sources(batch_size), model.special.pad, width_multiple(box.device)).to(box.device)
    cache, token = model.prefill(sources), sources.new_full((len(sources), 1), model.special.begin)
    score = torch.zeros(len(sources), 1, device=box.device)
    for _ in range(WRITTEN):
        score, parent, token = _advance(model.step(token, cache), score, BEAM)
        cache.follow(parent)

    def step() -> tuple[Tensor, ...]:
        return _advance(model.step(token, replace(cache, own=list(cache.own))), score, BEAM)

    return step


def _captured(box: Box, step: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    """What replays a step, and the tensors that it then writes to."""
    stream, usual = torch.cuda.Stream(box.device), torch.cuda.current_stream(box.device)
    stream.wait_stream(usual)
    with torch.cuda.stream(stream):  # libraries set themselves up at first calls, which must not be captured
        for _ in range(WARM):
            step()
    usual.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values = step()
    return graph.replay, values


def _each(box: Box, action: Callable[[], object]) -> float:
    """Seconds of an action in the mean."""
    repeats = 1 if box.quick else REPEATS
    for _ in range(1 if box.quick else WARM):
        action()
    return box.timed(lambda: [action() for _ in range(repeats)]) / repeats
