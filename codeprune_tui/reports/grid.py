"""A quantization grid as tables for the terminal: pure functions from `core.study.gridfile`."""

from core.run.results import LEADING
from core.study.gridfile import Grid, GridModel
from core.study.ladderfile import QuantizerResult, Timing

from ..views.frontier import frontier
from ..views.plain import plain
from ..views.text import FLOOR_NAMES, percent, table
from .quantization import NAMES, NONE, gap, share, signatures

Cell = tuple[GridModel, QuantizerResult]


def tables(grid: Grid) -> str:
    """The whole grid for the terminal, with the recipe and whatever could not be measured."""
    parts = [table(score_rows(grid, split), left=3) for split in grid.rows]
    parts += [table(cost_rows(grid), left=3)]
    missing = {f"{line.method}: {plain(line.unavailable)}" for model in grid.models for line in model.methods if line.unavailable}
    return "\n\n".join([*parts, "\n".join([*sorted(missing), *notes(grid), *signatures(grid.signatures), recipe_line(grid)])])


def score_rows(grid: Grid, split: str) -> list[list[str]]:
    """Scores of every model with every quantizer on one split, and their differences to the first model in fp32."""
    heads = [part for name in NAMES.values() for part in (name, f"minus {against(grid)}")]
    rows = [[f"{split}, {grid.rows[split]:,} rows", "sparsity", "quantizer", *heads, "tokens", "ended"]]
    for model, line in grid.cells():
        scores = line.splits[split]
        cells = [part for name in NAMES for part in (f"{scores.scores[name]:.2f}", gap(scores.less_fp32.get(name)))]
        cells += [NONE if scores.tokens is None else f"{scores.tokens:.1f}", share(scores.ended)]
        rows.append([plain(model.label, 40), percent(model.sparsity), line.method, *cells])
    for name, floor in grid.floors[split].items():
        cells = [part for key in NAMES for part in (f"{floor[key]:.2f}", "")]
        rows.append([FLOOR_NAMES.get(name, plain(name)), "", "", *cells, "", ""])
    return rows


def cost_rows(grid: Grid) -> list[list[str]]:
    """Sizes and times of every model with every quantizer, and which of them no other one beats."""
    batches = [timing.batch for timing in next((line.timings for _, line in grid.cells() if line.timings), ())]
    heads = [f"{what} b{batch}" for batch in batches for what in ("ms/comment", "equal", "ms/token")]
    rows = [["costs", "sparsity", "quantizer", "disk MB", "memory MB", *heads, "speed", "frontier"]]
    marks = frontiers(grid)
    for model, line in grid.cells():
        speed = grid.speed(model, line)
        cells = [NONE if not size else f"{size / 1e6:.2f}" for size in (line.disk_bytes, line.memory_bytes)]
        cells += [cell for timing in line.timings for cell in _times(timing)]
        cells += [NONE if speed is None else f"{speed:.2f} ×", marks.get((model.label, line.method), "")]
        rows.append([plain(model.label, 40), percent(model.sparsity), line.method, *cells])
    return rows


def frontiers(grid: Grid) -> dict[tuple[str, str], str]:
    """(Model, quantizer) -> the costs in which no other one with as high a score beats it, such as "size, time"."""
    split = next(iter(grid.rows))
    marks: dict[tuple[str, str], str] = {}
    for word, cost in (("size", _size), ("time", _time)):
        points = {
            (model.label, line.method): (value, line.splits[split].scores[LEADING])
            for model, line in grid.cells()
            if (value := cost(line)) is not None
        }
        for name in frontier(points):
            marks[name] = f"{marks[name]}, {word}" if name in marks else word
    return marks


def _size(line: QuantizerResult) -> float | None:
    return line.disk_bytes or None


def _time(line: QuantizerResult) -> float | None:
    return line.timings[0].ms_per_comment if line.timings else None


def _times(timing: Timing) -> list[str]:
    """Milliseconds of a comment as long as it gets, of one that is as long as every other model's, and of a token."""
    equal = NONE if timing.equal_ms is None else f"{timing.ms_per_comment:.2f}"
    return [f"{timing.comment_ms / max(1, timing.batch):.2f}", equal, f"{timing.ms_per_token:.2f}"]


def against(grid: Grid) -> str:
    """What all differences are to."""
    first = grid.models[0]
    return "dense fp32" if first.sparsity == 0 else f"{plain(first.label, 40)} fp32"


def notes(grid: Grid) -> list[str]:
    """How to read sizes, times and marks."""
    packed = sorted({line.method for _, line in grid.cells() if line.saved_as})
    lines = [f"disk: of pruned matrices, {' and '.join(packed)} store the kept values and one bit a place; others store all."]
    lines = lines if packed else []
    shrunk = ["Units that masks remove whole were really removed first."] if any(model.shrunk for model in grid.models) else []
    return [
        *lines,
        *shrunk,
        *_lengths(grid),
        f"speed: against {against(grid)}, at the smallest batch, taken in turns.",
        f"frontier: no other line has as high a chrF on {next(iter(grid.rows))} and is as small (size) or as fast (time).",
    ]


def _lengths(grid: Grid) -> list[str]:
    """How long the comments are of which times are told."""
    timing = next((timing for _, line in grid.cells() for timing in line.timings), None)
    if timing is None:
        return []
    if timing.equal_ms is None:
        return [
            "ms/comment, speed and time: of beam search, each comment as long as a model writes it; ms/token: of greedy decoding."
        ]
    return [
        "ms/comment: of beam search, each comment as long as a model writes it: one that runs on looks slow.",
        f"equal, ms/token, speed and time: of comments of {timing.equal_tokens} tokens, which no model may end; "
        "where a vocabulary is smaller, of as many as the same comments have.",
    ]


def recipe_line(grid: Grid) -> str:
    """Everything that the numbers depend on, in one line."""
    facts = [f"{name} {value}" for name, value in {**grid.recipe, **grid.versions}.items()]
    return plain(f"Recipe: {grid.command}; {grid.device}; {'; '.join(facts)}")
