"""Whether results are the same: on CPU and GPU, in batches of any size, repeated, resumed, quantized."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from box import Box, Row
from torch import Tensor

from core.compress.basis import measure
from core.compress.masks import prunable
from core.compress.quantize import memory_bytes, quantize
from core.compress.selection import Method, select
from core.decode import beam_search
from core.errors import ModelError
from core.families.roberta import CodeToText
from core.spec.quantizers import METHODS

BEAM = 10
STEPS = 20


def against_the_cpu(box: Box) -> Iterator[Row]:
    """Comments of the bundled model for all rows of the demo, on the CPU and on the device."""
    sources = box.sources(6) if box.quick else [*box.ground.valid.sources, *_test_rows(box)]
    model = box.ground.model("mini")
    on_device = _comments(box, model, sources)
    on_cpu = _comments(box, model.to("cpu"), sources)
    box.ground.forget()
    yield _same(
        "comments", f"CPU and {box.device.type}, beam {BEAM}, {len(sources)} rows", on_device, on_cpu, promised=not box.cuda
    )


def _test_rows(box: Box) -> list[list[int]]:
    return box.ground._encoded("test").sources


def batch_sizes(box: Box) -> Iterator[Row]:
    """Comments with batches of 1, 16 and whatever fits."""
    model, sources = box.ground.model("mini"), box.sources(4 if box.quick else 64)
    single = _comments(box, model, sources, 1)
    for size in (16, 0):
        what = f"batch {size or 'auto'} and batch 1, {len(sources)} rows"
        yield _same("batches", what, _comments(box, model, sources, size), single, promised=not box.cuda)


def _comments(box: Box, model: CodeToText, sources: Sequence[Sequence[int]], batch_size: int = 0) -> list[tuple[int, ...]]:
    most = 4 if box.quick else 48
    return [best[0].tokens for best in beam_search(model, sources, beam=BEAM, max_length=most, batch_size=batch_size)]


def _same(check: str, what: str, ours: Sequence[object], theirs: Sequence[object], *, promised: bool) -> Row:
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    return Row(check, what, same / len(ours), "share the same", holds=same == len(ours) if promised else None)


def repeat_and_resume(box: Box) -> Iterator[Row]:
    """Whether a training that is repeated, or resumed from its middle, ends with the same bits; and what that costs."""
    steps, took = 4 if box.quick else STEPS, {}
    for deterministic in (False, True):
        box.set_up(deterministic=deterministic)
        begun: list[float] = []
        weights = [_timed(box, steps, deterministic, begun) for _ in range(2)]
        took[deterministic] = min(begun)
        resumed = _trained(box, steps, deterministic=deterministic, resumed=True)
        promised = True if deterministic or not box.cuda else None
        words = "deterministic" if deterministic else "as usual"
        for what, others in (("repeated", weights[1]), ("resumed", resumed)):
            same = all(torch.equal(weights[0][name], others[name]) for name in others)
            yield Row("repeat", f"{what}, {words}: the same bits", float(same), holds=same if promised else None)
        ours, theirs = _pruned(box), _pruned(box)
        same = all(torch.equal(ours[name], theirs[name]) for name in ours)
        yield Row("repeat", f"pruned, {words}: the same masks", float(same), holds=same if promised else None)
    yield Row("repeat", "time of a deterministic step to a usual one", took[True] / took[False], "ratio")


def _pruned(box: Box) -> dict[str, Tensor]:
    """Masks by gradients of some rows, and by a budget that adds up numbers."""
    model, method = box.ground.fresh("mini"), Method("fisher", budget="lamp")
    weights = {name: weight.detach() for name, weight in prunable(model, "all").items()}
    valid, count = box.ground.valid, 2 if box.quick else 16
    rows = list(zip(valid.sources[:count], valid.targets[:count], strict=True))
    return select(weights, {}, method, 0.5, 0, measure(model, rows, weights, method.needs))


def _timed(box: Box, steps: int, deterministic: bool, seconds: list[float]) -> dict[str, Tensor]:
    """The weights after some steps, whose seconds are appended to a list."""
    weights: list[dict[str, Tensor]] = []
    seconds.append(box.timed(lambda: weights.append(_trained(box, steps, deterministic=deterministic))))
    return weights[0]


def _trained(box: Box, steps: int, *, deterministic: bool, resumed: bool = False) -> dict[str, Tensor]:
    """The weights after some steps; with `resumed`, by way of a second trainer from the middle on."""
    batches = box.batches(8)
    model = box.ground.fresh("mini")
    trainer = box.trainer(model, 8, deterministic=deterministic)
    torch.manual_seed(1)
    for step in range(steps):
        if resumed and step == steps // 2:
            state = {name: tensor.detach().cpu().clone() for name, tensor in trainer.state().items()}
            torch.manual_seed(99)
            model = box.ground.fresh("mini")
            trainer = box.trainer(model, 8, deterministic=deterministic)
            trainer.load_state(state, step)
        trainer.train_step(next(batches))
    return {name: weight.detach().cpu().clone() for name, weight in model.named_parameters()}


def quantizers(box: Box) -> Iterator[Row]:
    """Each quantizer on the device: speed beside fp32, memory, comments that stay the same, or why it does not work."""
    sources = box.sources(3 if box.quick else 64)
    seconds: dict[str, float] = {}
    plain: list[tuple[int, ...]] = []
    for method in METHODS:
        try:
            model = quantize(box.ground.model("mini"), method)
            comments = _comments(box, model, sources)
            seconds[method] = box.timed(partial(_comments, box, model, sources))
        except (ModelError, RuntimeError) as error:
            yield Row("quantizers", f"{method}: does not work", note=(str(error).splitlines() or [""])[0][:200])
            continue
        plain = plain or comments
        same = sum(one == other for one, other in zip(comments, plain, strict=True)) / len(plain)
        speed, size = len(sources) / seconds[method], memory_bytes(model) / 1e6
        note = f"{speed:.4g} rows/s eager; {size:,.1f} MB; {same:.0%} the same comments"
        yield Row("quantizers", method, seconds["fp32"] / seconds[method], "times fp32's speed", note=note)
