"""A model as two ONNX graphs: one encodes sources, the other writes a token for every beam, its cache going in and out.

Batch, beams and lengths are free. The graphs are made by torch's exporter, their constants folded by ONNX Runtime; in fp32 they
compute what torch does, in fp16 numbers have half as many bits, in int8 the matrices are quantized row by row and the
activations dynamically. A pruned weight is 0 in all of them.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..atomic import complete_or_absent
from ..errors import ModelError
from ..families.checkpoint import config_facts
from ..families.decoder import DecoderCache
from ..families.roberta import CodeToText
from ..model import is_finetuned, load_model, load_reader
from ..onnx.session import INSTALL
from ..spec.checkpoint_files import CONFIG, ONNX_FILES, PRECISION, TUNED
from .codexglue import refuse_existing

Precision = Literal["fp32", "fp16", "int8"]
FREE = torch.export.Dim.DYNAMIC
IN_FP32 = ("LogSoftmax", "TopK", "Softmax", "LayerNormalization", "IsNaN")
"""Operators that stay in fp32 in an fp16 model: sums over many numbers, and decisions between close ones."""


class _Encoder(nn.Module):
    """Sources -> the keys and values that each decoder layer reads of them."""

    def __init__(self, model: CodeToText) -> None:
        super().__init__()
        self.model = model

    def forward(self, sources: Tensor) -> tuple[Tensor, ...]:
        pairs = self.model.decoder.cross(self.model.encode(sources).states)
        return tuple(part for pair in pairs for part in pair)


class _Step(nn.Module):
    """One decoder step; the length of `wanted` is the number of next tokens to return: a length can be free, a number cannot."""

    def __init__(self, model: CodeToText) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        seen: Tensor,
        source_mask: Tensor,
        own: list[Tensor],
        cross: list[Tensor],
        wanted: Tensor,
    ) -> tuple[Tensor, ...]:
        pairs = [(cross[place], cross[place + 1]) for place in range(0, len(cross), 2)]
        cache = DecoderCache(pairs, source_mask[:, None, None], list(own), seen, count=positions, branched=True)
        likely = self.model.step_at(tokens, positions, cache).float().log_softmax(-1)
        best, following = likely.topk(wanted.shape[0], dim=-1)
        return best, following, *cache.own


def export_onnx(source: str | Path, folder: Path, precision: Precision = "fp32") -> None:
    """Writes a folder that `comment`, `evaluate` and the playground run in ONNX Runtime.

    Args:
        source: Folder or hub name of a model in float32.
        folder: Must not exist.
        precision: fp32, fp16 or int8.

    Raises:
        ModelError: The model cannot be loaded or is quantized, the folder exists, or a package that exports needs is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(f"To export to ONNX, {error.name} is needed and not installed.", INSTALL) from error
    refuse_existing(folder)
    model, reader = load_model(source), load_reader(source)
    if model.config.quantization is not None:
        raise ModelError(
            f"{source} is quantized ({model.config.quantization}), which has no ONNX form.",
            "Give the model it came from; --int8 quantizes it for ONNX Runtime.",
        )
    with complete_or_absent(folder) as draft, tempfile.TemporaryDirectory() as scratch:
        draft.mkdir(parents=True)
        for name, graph in zip(ONNX_FILES, ("encoder", "decoder"), strict=True):
            _export(model, graph, Path(scratch) / name)
            _finish(Path(scratch) / name, draft / name, precision)
        facts = {**config_facts(model), PRECISION: precision, TUNED: is_finetuned(source)}
        (draft / CONFIG).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        reader.save(draft)


def _export(model: CodeToText, graph: str, path: Path) -> None:
    """Exports one graph with torch."""
    widths = model.own_widths()
    layers = len(widths)
    # No two sizes alike, none 1, and no tensor twice: the exporter would take them for the same.
    batch, time, beams, slots = 2, 7, 3, 5
    sources = torch.full((batch, time), 5)
    sources[1, -2:] = model.special.pad
    cross = [f"cross_{number}" for number in range(2 * layers)]
    with _quiet(), torch.no_grad():
        encoder = _Encoder(model)
        if graph == "encoder":
            program = torch.onnx.export(
                encoder, (sources,), dynamo=True, dynamic_shapes={"sources": {0: FREE, 1: FREE}}, input_names=["sources"],
                output_names=cross, verbose=False,
            )  # fmt: skip
        else:
            tokens, seen = torch.full((batch, beams), 5), torch.ones(batch, beams, slots + beams, dtype=torch.bool)
            own = [torch.zeros(batch, slots, width) for width in widths]
            given = (tokens, tokens - 2, seen, sources != model.special.pad, own, list(encoder(sources)), torch.zeros(4))
            two = {0: FREE, 1: FREE}
            free = (two, two, {**two, 2: FREE}, two, [two] * layers, [{0: FREE, 2: FREE}] * (2 * layers), {0: FREE})
            own_names = [f"own_{number}" for number in range(layers)]
            names = ["tokens", "positions", "seen", "source_mask", *own_names, *cross, "wanted"]
            program = torch.onnx.export(
                _Step(model), given, dynamo=True, dynamic_shapes=free, input_names=names, verbose=False,
                output_names=["likely", "following", *(f"kept_{number}" for number in range(layers))],
            )  # fmt: skip
        assert program is not None
        program.save(path, external_data=False)


def _finish(path: Path, target: Path, precision: Precision) -> None:
    """Folds constants (slices of matrices, the turned output layer), and quantizes."""
    import onnx
    import onnxruntime

    if precision == "fp32":
        path.replace(target) if path.stat().st_dev == target.parent.stat().st_dev else target.write_bytes(path.read_bytes())
        return
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        with _quiet():
            half = convert_float_to_float16(onnx.load(path), keep_io_types=True, op_block_list=list(IN_FP32))
        onnx.save(half, target)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folded = path.with_suffix(".folded.onnx")
    options.optimized_model_filepath = str(folded)
    options.log_severity_level = 3
    with _quiet():
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        quantize_dynamic(folded, target, per_channel=True, weight_type=QuantType.QInt8)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporters' messages to their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
