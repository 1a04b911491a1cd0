"""Several models by several quantizers, measured on the same rows, as their JSON file holds them. Torch-free.

Such as every second round of a run, each as trained and quantized: a table of sparsity by quantizer. Every difference is to the
first model in fp32, which is the dense one. The file contains no path of the machine that it was measured on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from ..atomic import complete_or_absent
from ..errors import DataError
from ..program import program
from ..regularfile import JSON_BYTES, read_regular, reason
from .ladderfile import Number, QuantizerResult, Timing

NAME = "quantization.json"
"""The file in the folder of the run that it is about."""
ENDING = "-grid.json"
"""End of the name of a file about any models, in the folder of all runs."""


@dataclass(frozen=True)
class GridModel:
    """One model, by every quantizer."""

    model: str
    """Its path as given; only the last part where that lies outside the working directory."""
    label: str
    """Its name in tables, such as "round 3"."""
    round: int | None
    """Of its run; None for any other model."""
    sparsity: Number
    """Share of the weights that its recipe prunes; of another model, of those that carry a mask. In [0, 1]."""
    shrunk: bool
    """Whether the units that its masks remove whole were really removed first."""
    parameters: int
    """Its weights, tied ones once."""
    weights_sha256: str
    """Digest of its weights file."""
    methods: tuple[QuantizerResult, ...]
    """One a quantizer; their differences are to the first model in fp32."""
    dense: tuple[Timing, ...] = ()
    """Times of the first model in fp32, taken in turns with these; none for itself."""

    def method(self, name: str) -> QuantizerResult | None:
        """The line of a quantizer; None where it was not measured."""
        return next((line for line in self.methods if line.method == name), None)


@dataclass(frozen=True)
class Grid:
    """The whole file."""

    data: str
    """The path of the data, as a model's."""
    command: str
    """The command that measures it again."""
    recipe: dict[str, int | Number | str | list[str]]
    """Seed, beam, lengths, batch size, repeats, threads, ..."""
    device: str
    versions: dict[str, str]
    """Package -> version, of everything that computes; `commit` where this is a checkout."""
    rows: dict[str, int]
    """Split -> rows scored."""
    floors: dict[str, dict[str, dict[str, Number]]]
    """Split -> floor -> scores."""
    signatures: dict[str, str]
    models: tuple[GridModel, ...]
    """The first one is dense."""
    kind: Literal["quantization grid"] = "quantization grid"
    schema: Literal[1] = 1

    def cells(self) -> Iterator[tuple[GridModel, QuantizerResult]]:
        """Every model with every quantizer that worked, model by model."""
        for model in self.models:
            for line in model.methods:
                if line.unavailable is None:
                    yield model, line

    def speed(self, model: GridModel, line: QuantizerResult) -> float | None:
        """How many times as fast as the first model in fp32 a comment is written, at the smallest batch; None if not known.

        Of equal lengths, where that was measured. Not known where the two were not timed in turns.
        """
        full = model.method("fp32") if model == self.models[0] else None
        base = model.dense or (full.timings if full is not None else ())
        if not base or not line.timings or line.timings[0].ms_per_comment <= 0:
            return None
        return base[0].ms_per_comment / line.timings[0].ms_per_comment


_ADAPTER = TypeAdapter(Grid)


def to_json(grid: Grid) -> str:
    """The file's text."""
    return _ADAPTER.dump_json(grid, indent=1).decode() + "\n"


def write_grid(grid: Grid, path: Path) -> None:
    """Writes the file, complete or absent."""
    with complete_or_absent(path) as draft:
        draft.write_text(to_json(grid), encoding="utf-8")


def read_grid(path: Path) -> Grid:
    """Reads such a file.

    Raises:
        DataError: The file is none, or names no model.
    """
    fix = f"Make it anew: {program()} quantize RUN -o FILE"
    try:
        grid = _ADAPTER.validate_json(read_regular(path, JSON_BYTES))
    except (OSError, ValidationError) as error:
        problem = reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a quantization grid: {problem}.", fix) from error
    if not grid.models:
        raise DataError(f"{path} names no model.", fix)
    return grid
