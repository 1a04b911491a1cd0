"""Kernels, waits and times on the device."""

import warnings
from collections.abc import Iterator

import torch
from box import SIZES, Box, Row
from torch.profiler import ProfilerActivity, profile

from core.decode import beam_search
from core.evaluate.evaluate import in_precision
from core.families.device import fix_kernels, precision_of, uuid_of
from core.families.fitting import batch_that_fits
from core.families.roberta import CodeToText
from core.gpus import Gpus
from core.train.prepare import compile_forward

BEAM = 10
WARM, STEPS = 3, 12
COMPILING_S = 60
"""Seconds that compiling one model may take: none is begun with fewer left."""
ATTENTION = ("attention", "flash", "fmha", "sdp", "cudnn")
"""Words in the names of kernels and operations that attend."""


def environment(box: Box) -> Iterator[Row]:
    """torch, driver, memory, and what torch may use."""
    nvml = Gpus()
    driver = nvml.driver()
    nvml.close()
    yield Row("environment", "torch", note=f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}")
    if driver is not None:
        newest = ".".join(map(str, driver.cuda))
        yield Row("environment", "driver", note=f"{driver.version}, CUDA up to {newest}, sees {', '.join(driver.gpus)}")
    yield Row("environment", "precision of training", note=precision_of(box.ground.accelerator))
    if box.cuda:
        free, total = torch.cuda.mem_get_info(box.device)
        yield Row("environment", "memory free", free / 1e9, "GB", note=f"of {total / 1e9:.1f} GB")
        yield Row("environment", "its id is NVML's", holds=uuid_of(box.device) in {gpu.uuid for gpu in Gpus().everything()})
    attention = torch.backends.cuda.cudnn_sdp_enabled()
    yield Row("environment", "cuDNN's attention is left out", holds=not attention if box.cuda else None)


def kernels(box: Box) -> Iterator[Row]:
    """The attention that torch chose, by the names in a profile of a training step and of decoding."""
    model = box.ground.model("mini")
    trainer, batches = box.trainer(model, 8), box.batches(8)
    trainer.train_step(next(batches))
    yield Row("kernels", "a training step", note=_attention(box, lambda: trainer.train_step(next(batches))))
    sources = box.sources(8)
    yield Row("kernels", f"decoding, beam {BEAM}", note=_attention(box, lambda: _decode(box, model, sources, 8)))


def _attention(box: Box, action: object) -> str:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if box.cuda else [])]
    with profile(activities=activities) as seen:
        action()  # type: ignore[operator]
        box.ground.synchronise()
    names = sorted({event.key for event in seen.key_averages() if any(word in event.key.lower() for word in ATTENTION)})
    return ", ".join(name[:80] for name in names[:6]) or "plain products"


def waits(box: Box) -> Iterator[Row]:
    """How often a training step and a step of beam search wait for the GPU."""
    if not box.cuda:
        yield Row("waits", "not measured: not a GPU")
        return
    model = box.ground.model("mini")
    trainer, batches = box.trainer(model, 8), box.batches(8)
    trainer.train_step(next(batches))
    steps = 4
    yield Row("waits", "a training step", _waits(lambda: [trainer.train_step(next(batches)) for _ in range(steps)]) / steps)
    sources, most = box.sources(16), 16
    beam_search(model, sources, beam=BEAM, max_length=most, batch_size=16)
    counted = _waits(lambda: beam_search(model, sources, beam=BEAM, max_length=most, batch_size=16))
    yield Row("waits", "a step of beam search, at most", counted / most)


def _waits(action: object) -> int:
    """Number of waits: torch warns of each."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            action()  # type: ignore[operator]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in caught)


def training(box: Box) -> Iterator[Row]:
    """Examples trained a second, and memory: sizes, batches, shapes, precisions, and cuDNN's attention."""
    for size in SIZES:
        for batch_size in (8, 64):
            for repeated in (False, True):
                yield _trained(box, size, batch_size, repeated=repeated)
    if box.cuda:
        box.set_up("fp32")
        yield _trained(box, "base", 64, what="fp32")
        box.set_up("fp32", tf32=True)
        yield _trained(box, "base", 64, what="fp32 with TF32")
        box.set_up("bf16")
        torch.backends.cuda.enable_cudnn_sdp(True)
        yield _trained(box, "base", 64, what="bf16 with cuDNN's attention")
        yield _trained(box, "base", 64, what="bf16 with cuDNN's attention", repeated=True)
        fix_kernels()


def compiled(box: Box) -> Iterator[Row]:
    """Examples trained a second with torch.compile, its own minutes left out and told."""
    if box.quick:
        yield Row("compile", "not measured: quick")
        return
    for size in reversed(SIZES):  # what takes longest to train promises most
        for batch_size in (64, 8):
            for repeated in (False, True):
                if box.seconds_left < COMPILING_S:
                    yield Row("compile", f"{size}, batch {batch_size}: not measured, no time was left")
                    return
                yield _trained(box, size, batch_size, repeated=repeated, compiles=True)


def _trained(box: Box, size: str, batch_size: int, *, repeated: bool = False, compiles: bool = False, what: str = "") -> Row:
    model = box.ground.fresh(size)
    if compiles:
        compile_forward(model)
    trainer, batches = box.trainer(model, batch_size), box.batches(batch_size, repeated=repeated)
    warm, steps = (1, 1) if box.quick else (WARM, STEPS)
    seconds: list[float] = []
    rows = 0

    def train() -> None:
        nonlocal rows
        for _ in range(steps):
            batch = next(batches)
            rows += len(batch.rows)
            trainer.train_step(batch)

    first = box.timed(lambda: [trainer.train_step(next(batches)) for _ in range(warm)])
    peak = box.peak_mb(lambda: seconds.append(box.timed(train)))
    words = [f"{size}, batch {batch_size}", what or precision_of(box.ground.accelerator)]
    words += ["compiled"] if compiles else []
    words += ["one shape" if repeated else "new shapes"]
    notes = [] if peak is None else [f"{peak:,.0f} MB at most"]
    notes += [f"the first {warm} steps took {first:.1f} s"]
    return Row("compile" if compiles else "training", ", ".join(words), rows / seconds[0], "rows/s", note="; ".join(notes))


def decoding(box: Box) -> Iterator[Row]:
    """Rows decoded a second: what fits against one at a time, and in bf16."""
    for size in SIZES:
        model = box.ground.model(size)
        sources = box.sources(4 if box.quick else 256 if box.cuda else 16)
        fits = batch_that_fits(model.config, model.device, BEAM, box.ground.usual_length, max(map(len, sources)))
        few = sources[:: 2 if box.quick else 16]
        yield _decoded(box, model, f"{size}, batch auto ({fits})", sources, 0)
        yield _decoded(box, model, f"{size}, one at a time", few, 1)
        lower = in_precision(model, "bf16")
        assert isinstance(lower, CodeToText)
        yield _decoded(box, lower, f"{size}, bf16, batch auto", sources, 0)


def _decoded(box: Box, model: CodeToText, what: str, sources: list[list[int]], batch_size: int) -> Row:
    _decode(box, model, sources[:2], batch_size)
    seconds: list[float] = []
    peak = box.peak_mb(lambda: seconds.append(box.timed(lambda: _decode(box, model, sources, batch_size))))
    return Row(
        "decoding",
        f"{what}, beam {BEAM}, {len(sources)} rows",
        len(sources) / seconds[0],
        "rows/s",
        note="" if peak is None else f"{peak:,.0f} MB at most",
    )


def _decode(box: Box, model: CodeToText, sources: list[list[int]], batch_size: int) -> object:
    most = 4 if box.quick else box.ground.usual_length
    return beam_search(model, sources, beam=BEAM, max_length=most, batch_size=batch_size)
