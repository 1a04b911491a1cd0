"""Quantized models as results to compare, from the quantization grids in run folders and in the folder of all runs.

Reads files, so it belongs into a thread. Imports no torch.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import CodepruneError
from core.run.folder import RunPaths
from core.run.results import FLOORS, MEASURES, Result
from core.score.interval import Difference, Interval
from core.study.gridfile import ENDING, NAME, Grid, GridModel, read_grid
from core.study.ladderfile import QuantizerResult

from ..views.plain import plain
from ..views.quantization_text import BETWEEN

Curves = Mapping[str, tuple[Result, ...]]
"""Quantizer and run -> its models, in the order of the file."""


class GridReader:
    """Reads grids, each file again only when it has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Curves]] = {}

    def poll(self, runs: Iterable[RunPaths]) -> dict[str, tuple[Result, ...]]:
        """What there is now of some runs, and of any models beside them.

        Args:
            runs: In the order of the curves; those of other models come last.
        """
        there = list(runs)
        files = {paths.root / NAME: paths.name for paths in there}
        for folder in dict.fromkeys(paths.root.parent for paths in there):
            files |= {file: file.name.removesuffix(ENDING) for file in sorted(folder.glob(f"*{ENDING}"))}
        self._known = {file: known for file, name in files.items() if (known := self._read(file, name)) is not None}
        return {curve: results for _, curves in self._known.values() for curve, results in curves.items()}

    def _read(self, file: Path, name: str) -> tuple[tuple[int, int], Curves] | None:
        try:
            status = file.stat()
            stamp = status.st_mtime_ns, status.st_size
            known = self._known.get(file)
            return known if known is not None and known[0] == stamp else (stamp, curves(name, read_grid(file)))
        except (CodepruneError, OSError, ValueError):  # none, or damaged: there is nothing to show of it
            return None


def curves(name: str, grid: Grid) -> dict[str, tuple[Result, ...]]:
    """The models of a grid by quantizer, on its first split.

    Args:
        name: Of the run, or of the file.
        grid: Its content.
    """
    split = next(iter(grid.rows))
    methods = dict.fromkeys(line.method for _, line in grid.cells() if split in line.splits)
    by_method: dict[str, tuple[Result, ...]] = {}
    for method in methods:
        curve = f"{plain(method, 20)}{BETWEEN}{name}"
        lines = [(place, model, model.method(method)) for place, model in enumerate(grid.models)]
        by_method[curve] = tuple(
            _result(curve, place, model, line, grid, split)
            for place, model, line in lines
            if line is not None and line.unavailable is None and split in line.splits
        )
    return by_method


def _result(curve: str, place: int, model: GridModel, line: QuantizerResult, grid: Grid, split: str) -> Result:
    scores, first = line.splits[split], next(iter(line.timings), None)
    threads, beam = (grid.recipe.get(name, "?") for name in ("threads", "beam"))
    on = f"{grid.device}, {threads} thread{'' if threads == 1 else 's'}, beam {beam}"
    lengths = "" if first is None or first.equal_ms is None else ", equal lengths"
    return Result(
        curve,
        place if model.round is None else model.round,
        sparsity=model.sparsity,
        scores={name: score for name, score in scores.scores.items() if name in MEASURES},
        floors={name: floor for name, floor in grid.floors.get(split, {}).items() if name in FLOORS},
        size_bytes=line.disk_bytes or None,
        split=split,
        rows=grid.rows[split],
        seconds=scores.seconds,
        signatures=grid.signatures,
        ms_per_row=None if first is None else first.ms_per_comment,
        ms_per_token=None if first is None else first.ms_per_token,
        decoded_on="" if first is None else f"{on}, batch {first.batch}{lengths}",
        intervals={name: Interval(own.value, own.low, own.high) for name, own in scores.intervals.items()},
        against_dense={name: Difference(less.value, less.low, less.high) for name, less in scores.less_fp32.items()},
        quantizer=line.method,
        label=model.label if model.round is None else "",
    )
