"""Compares ONNX Runtime with PyTorch: decoding in fp32 and in 8 bits, and the cold start of `comment`.

Both sides load the same weights on as many threads. Without the extra `onnx`, a line says so and nothing is measured.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ..compress.quantize import quantize
from ..decode import search_all
from ..families.roberta import CodeToText
from ..onnx.session import OnnxModel, load
from ..recipe import Search
from . import starting
from .decoding import BEAM, LONGEST
from .ground import Ground
from .measure import Result, faster, in_turn, timed

NAME = "onnx"
BATCHES = {1: 24, 16: 48}
"""Sources decoded together -> sources in all."""
TIMES, COLD_TIMES = 5, 7
COLD_GOAL = 2.0
NEEDED = ("onnx", "onnxruntime", "onnxscript")


def runtimes(ground: Ground, size: str) -> list[Result]:
    """Beam search and cold start in both runtimes."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        note = f"the extra onnx is not installed: {', '.join(missing)}"
        return [Result(NAME, size, "decoding and cold start in ONNX Runtime", "PyTorch", "s", note=note)]
    from ..export.onnx import Precision, export_onnx

    with tempfile.TemporaryDirectory() as name:
        folders: dict[Precision, Path] = {"fp32": Path(name, "fp32"), "int8": Path(name, "int8")}
        for precision, folder in folders.items():
            export_onnx(ground.mini_path, folder, precision)
        torch_int8 = quantize(ground.fresh("mini"), "dynamic-int8")
        sides: tuple[tuple[Precision, str, CodeToText], ...] = (
            ("fp32", "PyTorch", ground.model("mini")), ("int8", "torch.ao dynamic INT8", torch_int8)
        )  # fmt: skip
        results = []
        for batch in (16,) if ground.quick else BATCHES:
            for precision, against, model in sides:
                ours = load(folders[precision], ground.threads)
                results.append(_decoding(ground, batch, f"ONNX Runtime {precision}", ours, against, model))
        return [*results, _cold_start(ground, folders["fp32"], Path(name))]


def _decoding(ground: Ground, batch: int, what: str, ours: OnnxModel, against: str, theirs: CodeToText) -> Result:
    most, times = (8, 1) if ground.quick else (LONGEST, TIMES)
    sources, search = ground.sources(batch if ground.quick else BATCHES[batch], batch), Search(BEAM, most, batch_size=batch)
    written: dict[str, list[tuple[int, ...]]] = {}

    def side(name: str, model: CodeToText | OnnxModel) -> Callable[[int], float]:
        def decode() -> None:
            written[name] = [best.tokens for best, *_ in search_all(model, sources, search)]

        return lambda turn: timed(decode) / len(sources)

    samples = in_turn(side("ours", ours), side("theirs", theirs), times, warm=not ground.quick)
    same = sum(one == other for one, other in zip(written["ours"], written["theirs"], strict=True))
    what = f"{what}, beam {BEAM}, batch {batch}, at most {most} tokens"
    return faster(NAME, "mini", what, against, samples, None, note=f"the same comment for {same} of {len(sources)} rows")


def _cold_start(ground: Ground, exported: Path, scratch: Path) -> Result:
    times = 1 if ground.quick else COLD_TIMES
    ours, theirs = (partial(_comment, scratch, model) for model in (exported, ground.mini_path))
    samples = in_turn(ours, theirs, times, warm=not ground.quick)
    return faster(NAME, "mini", "comment FILE.rb with ONNX Runtime fp32", "with PyTorch", samples, COLD_GOAL, unit="s")


def _comment(scratch: Path, model: Path, turn: int) -> float:
    return starting.comment(scratch, model)
