"""Quantized models as results to compare, from the quantization grids in run folders and in the folder of all runs.

A grid does not measure the encoder off, but its run has: that floor of the run's dense model is one of its quantized rounds, too,
where both were scored on the same rows by the same search. Reads files, so it belongs into a thread. Imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import CodepruneError
from core.recipe import load_recipe
from core.run.folder import RunPaths
from core.run.results import ENCODER_OFF, FLOORS, LEADING, MEASURES, Result
from core.run.rowsets import differ, telling
from core.score.interval import Difference, Interval
from core.study.gridfile import ENDING, NAME, Grid, GridModel, read_grid
from core.study.ladderfile import SCORE_PLACES, QuantizerResult

from ..views.plain import plain
from ..views.quantization_text import BETWEEN

Curves = Mapping[str, tuple[Result, ...]]
"""Quantizer and run -> its models, in the order of the file."""


SEARCH = ("beam", "max_length", "length_penalty")
"""What scores of one model on the same rows depend on."""


@dataclass(frozen=True)
class _Read:
    """A file as it was when it was read."""

    stamp: tuple[int, int]
    curves: Curves
    as_its_run: bool
    """Whether comments were searched for as in the run that the file lies in."""


class GridReader:
    """Reads grids, each file again only when it has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, _Read] = {}

    def poll(self, runs: Mapping[RunPaths, Sequence[Result]]) -> dict[str, tuple[Result, ...]]:
        """What there is now of some runs, and of any models beside them.

        Args:
            runs: Run -> its complete rounds, in the order of the curves; those of other models come last.
        """
        own: dict[Path, RunPaths | None] = {paths.root / NAME: paths for paths in runs}
        for folder in dict.fromkeys(paths.root.parent for paths in runs):
            own |= dict.fromkeys(sorted(folder.glob(f"*{ENDING}")))
        self._known = {file: known for file, run in own.items() if (known := self._read(file, run)) is not None}
        shown: dict[str, tuple[Result, ...]] = {}
        for file, known in self._known.items():
            run = own[file]
            dense = telling(runs[run]) if run is not None and known.as_its_run else None
            shown |= {curve: tuple(_with_floor(result, dense) for result in models) for curve, models in known.curves.items()}
        return shown

    def _read(self, file: Path, run: RunPaths | None) -> _Read | None:
        try:
            status = file.stat()
            stamp = status.st_mtime_ns, status.st_size
            known = self._known.get(file)
            if known is not None and known.stamp == stamp:
                return known
            grid = read_grid(file)
            name = file.name.removesuffix(ENDING) if run is None else run.name
            return _Read(stamp, curves(name, grid), run is not None and _searches_as(run, grid))
        except (CodepruneError, OSError, ValueError):  # none, or damaged: there is nothing to show of it
            return None


def _searches_as(run: RunPaths, grid: Grid) -> bool:
    try:
        recipe = load_recipe(run.recipe).evaluation.model_dump(include=set(SEARCH))
    except (CodepruneError, OSError, ValueError):
        return False
    return all(grid.recipe.get(key) == value for key, value in recipe.items())


def _with_floor(result: Result, run: Result | None) -> Result:
    """The model with the score of its run's dense model with the encoder off, if that is known to be of the same rows."""
    if run is None or ENCODER_OFF not in run.floors or result.label:  # a label: it is no round of the run
        return result
    rounded = {floor: {name: round(score, SCORE_PLACES) for name, score in each.items()} for floor, each in run.floors.items()}
    same = (result.split, result.rows) == (run.split, run.rows) and not differ(result, replace(run, floors=rounded))
    if not same or not result.floors_of(LEADING).keys() & run.floors_of(LEADING).keys():
        return result
    return replace(result, floors={**result.floors, ENCODER_OFF: run.floors[ENCODER_OFF]}, dense_less=run.dense_less)


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
