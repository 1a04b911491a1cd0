"""Keeps models in memory, as they are or quantized, and finds out which quantizers work on this device.

A quantized variant is made from the model in memory where there is one, else from the files. Imports torch: only the playground's
own process may import this. Knows neither requests nor methods of Ruby.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from ..compress.quantize import UnavailableError, memory_bytes, quantize
from ..decode import search_all
from ..errors import ModelError
from ..families.device import choose_device, overlooked_gpu
from ..families.memory import give_back
from ..families.roberta import CodeToText, tiny
from ..onnx.session import OnnxModel
from ..recipe import Device, Search
from ..ruby import methods
from ..run.exchange import PLAIN
from ..shortage import is_shortage, make_room
from ..spec.checkpoint_files import ONNX_FILES, is_onnx
from ..spec.quantizers import METHODS
from .comment import Writer, load_writer, write_comments

KEPT = 4
"""Most models in memory: as many as the screen shows side by side."""
Stage = Literal["weights", "quantizing"]


@dataclass(frozen=True)
class Kept:
    """A model in memory."""

    writer: Writer
    parameters: int
    """Number of weights of the model before it was quantized."""
    size_bytes: int
    """Bytes of its weights in memory, integers and scales included."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device("cpu") if isinstance(self.writer.model, OnnxModel) else self.writer.model.device


class Models:
    """The models in memory; the least recently used one is dropped first.

    Args:
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.
    """

    def __init__(self, device: Device, threads: int) -> None:
        self._device: Device = device
        self._threads = threads
        self._kept: dict[tuple[str, str, int], Kept] = {}

    def known(self, model: str, method: str) -> Kept | None:
        """The model if it is in memory and its weights file has not been rewritten since, else None."""
        key = model, method, _changed(model)
        if key not in self._kept:
            return None
        self._kept[key] = self._kept.pop(key)  # the least recently used stands first
        return self._kept[key]

    def load(self, model: str, method: str, begin: Callable[[Stage], None]) -> Kept:
        """Loads a model, quantizes it where requested, and lets it write once.

        Args:
            model: Folder or hub name.
            method: One of `METHODS`; "fp32" leaves the model as its folder has it.
            begin: Called with each part that begins.

        Where the device has no room beside the other models in memory, they are dropped, and it is tried once more.

        Raises:
            CodepruneError: The model cannot be loaded, or not quantized like this here; other models in memory are not touched.
        """
        variant = self._loaded_if_there_is_room(model, method, begin)
        if variant is None:
            self._kept.clear()
            make_room()
            variant = self._loaded(model, method, begin)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
            make_room()
            give_back()
        self._kept[model, method, _changed(model)] = variant
        return variant

    def _loaded_if_there_is_room(self, model: str, method: str, begin: Callable[[Stage], None]) -> Kept | None:
        try:
            return self._loaded(model, method, begin)
        except (RuntimeError, MemoryError, ModelError) as error:
            if is_shortage(error) and self._kept:
                return None
            raise

    def _loaded(self, model: str, method: str, begin: Callable[[Stage], None]) -> Kept:
        if method not in METHODS:
            raise ModelError(f"There is no quantization method {method!r}.", f"There are: {', '.join(METHODS)}.")
        base = self.known(model, PLAIN)
        if base is None:
            begin("weights")
            writer = load_writer(model, device=self._device, threads=self._threads)
            base = _kept(writer)
        variant = base
        if method != PLAIN:
            begin("quantizing")
            variant = _quantized(base, method)
        _warm_up(variant.writer, method)
        return variant

    def overlooked(self) -> str:
        """Why models compute on the CPU although there is a GPU, and what to do; "" where they do not, or the CPU was chosen."""
        return " ".join(overlooked_gpu() or ()) if self._device == "auto" else ""

    def abilities(self) -> dict[str, str]:
        """Quantizer -> why it does not work on this device, or "". Each one is tried on a tiny model."""
        model = tiny().to(choose_device(self._device, self._threads))
        return {method: _problem(model, method) for method in METHODS}


def _problem(model: CodeToText, method: str) -> str:
    try:
        search_all(quantize(model, method), [[model.special.begin, 5, model.special.end]], Search(beam=1, max_length=2))
    except ModelError as error:
        if is_shortage(error):
            raise
        return error.problem
    except RuntimeError as error:  # a device or version without the kernels
        if is_shortage(error):
            raise
        return f"does not run here: {_first_line(error)}"
    return ""


def _kept(writer: Writer) -> Kept:
    if isinstance(writer.model, OnnxModel):
        return Kept(writer, 0, writer.model.size_bytes)
    return Kept(writer, sum(tensor.numel() for tensor in writer.model.parameters()), memory_bytes(writer.model))


def _quantized(base: Kept, method: str) -> Kept:
    if isinstance(base.writer.model, OnnxModel):
        raise ModelError(f"An ONNX model cannot be quantized by {method}.", "Export it again with --int8, or choose fp32.")
    try:
        model = quantize(base.writer.model, method)
    except UnavailableError as error:  # the error's own fix is for the command line
        raise ModelError(error.problem, "Choose another method, or fp32.") from error
    return Kept(replace(base.writer, model=model), base.parameters, memory_bytes(model))


def _warm_up(writer: Writer, method: str) -> None:
    """Writes one comment, so that the first time shown does not include torch's own preparations."""
    try:
        write_comments(writer, methods("def warm_up(value) value + 1 end"), Search(beam=2, max_length=4))
    except RuntimeError as error:
        if method == PLAIN or is_shortage(error):
            raise
        raise ModelError(f"{method} does not run here: {_first_line(error)}", "Choose another method, or fp32.") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _changed(model: str) -> int:
    try:
        folder = Path(model)
        return (folder / (ONNX_FILES[0] if is_onnx(folder) else "model.safetensors")).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0
