"""A quantization ladder as tables for the terminal and as a Markdown page: pure functions from `core.study.ladderfile`."""

from collections.abc import Mapping, Sequence

from core.study.ladderfile import Explanation, Gap, Ladder, QuantizerResult, SplitScores

from ..views.plain import plain
from ..views.text import FLOOR_NAMES, table

NAMES = {"chrf": "chrF", "bleu": "BLEU", "corpus_bleu": "corpus BLEU"}
NONE = "–"


def tables(ladder: Ladder) -> str:
    """The whole ladder for the terminal, with the recipe and whatever could not be measured."""
    parts = [table(score_rows(ladder, split), left=1) for split in ladder.rows]
    parts += [table(size_rows(ladder)), table(time_rows(ladder)), table(error_rows(ladder))]
    if ladder.explanation is not None:
        parts += [table(ablation_rows(ladder.explanation)), table(spread_rows(ladder.explanation))]
    missing = [f"{line.method}: {plain(line.unavailable)}" for line in ladder.methods if line.unavailable]
    return "\n\n".join([*parts, "\n".join([*missing, *signatures(ladder.signatures), recipe_line(ladder)])])


def score_rows(ladder: Ladder, split: str) -> list[list[str]]:
    """Scores of every quantizer on one split, with the difference to fp32 and its interval."""
    heads = [part for name in NAMES.values() for part in (name, "minus fp32")]
    rows = [[f"{split}, {ladder.rows[split]:,} rows", *heads, "same text"]]
    rows += [[line.method, *_scores(line.splits.get(split))] for line in ladder.methods]
    for name, scores in ladder.floors[split].items():
        rows.append([FLOOR_NAMES.get(name, plain(name)), *(p for key in NAMES for p in (f"{scores[key]:.2f}", "")), ""])
    return rows


def size_rows(ladder: Ladder) -> list[list[str]]:
    """Sizes, and the share of the multiplied weights that is quantized."""
    rows = [["size", "quantized", "disk MB", "share", "memory MB", "share"]]
    full = next(line for line in ladder.methods if line.method == "fp32")
    for line in ladder.methods:
        cells = [NONE] * 5
        if not line.unavailable:
            share = line.quantized_weights / max(line.multiplied_weights, 1)
            cells = [f"{100 * share:.1f} %", *_bytes(line.disk_bytes, full.disk_bytes)]
            cells += _bytes(line.memory_bytes, full.memory_bytes)
        rows.append([line.method, *cells])
    return rows


def time_rows(ladder: Ladder) -> list[list[str]]:
    """Times of every quantizer at each batch size, and how long its comments are: one that runs on looks slow."""
    known = next((line.timings for line in ladder.methods if line.timings), ())
    equal = any(timing.equal_ms is not None for timing in known)
    columns = {
        "comment ms": "comment_ms",
        **({"equal ms": "equal_ms"} if equal else {}),
        "token ms": "token_ms",
        "encode ms": "encode_ms",
    }
    heads = [f"{what} b{timing.batch}" for timing in known for what in columns]
    lengths = any(scores.tokens is not None for line in ladder.methods for scores in line.splits.values())
    rows = [["time", *heads, *(["tokens", "ended"] if lengths else [])]]
    for line in ladder.methods:
        cells = [f"{getattr(timing, of):.2f}" for timing in line.timings for of in columns.values()]
        first = next(iter(line.splits.values()), None)
        more = [NONE if first is None or first.tokens is None else f"{first.tokens:.1f}", share(first.ended if first else None)]
        rows.append([line.method, *(cells or [NONE] * len(heads)), *(more if lengths else [])])
    return rows


def error_rows(ladder: Ladder) -> list[list[str]]:
    """Relative error of each layer, in percent; a line is a layer, a column a quantizer."""
    shown = [line for line in ladder.methods if line.layer_errors]
    return _errors("error of outputs, %", {line.method: line.layer_errors for line in shown})


def ablation_rows(explanation: Explanation) -> list[list[str]]:
    """The cost of each choice: error of the encoder's and the decoder's last layer and of the logits, and scores above floors."""
    rows = [["dynamic INT8, but", "encoder %", "decoder %", "logits %", "BLEU", "minus fp32", "chrF", "minus fp32", "same text"]]
    for ablation in explanation.ablations:
        errors, (scores,) = ablation.layer_errors, ablation.splits.values()
        cells = [f"{100 * errors[name]:.2f}" for name in (_last(errors, "encoder"), _last(errors, "decoder"), "logits")]
        cells += [f"{scores.scores['bleu']:.2f}", gap(scores.less_fp32.get("bleu"))]
        cells += [f"{scores.scores['chrf']:.2f}", gap(scores.less_fp32.get("chrf")), share(scores.same_comments)]
        rows.append([ablation.name, *cells])
    for floors in explanation.floors.values():
        for name, floor in floors.items():
            title = FLOOR_NAMES.get(name, plain(name))
            rows.append([title, "", "", "", f"{floor['bleu']:.2f}", "", f"{floor['chrf']:.2f}", "", ""])
    if not explanation.floors:
        rows.append(["floors: not counted by the version that measured this", *[""] * 8])
    return rows


def spread_rows(explanation: Explanation) -> list[list[str]]:
    """The input of each linear layer, and the error of rounding it."""
    heads = ["largest", "median", "ratio", "feature ratio", "x 7 bit/tensor %", "x 8 bit/token %", "w/tensor %", "w/row %"]
    rows = [["linear layer", *heads]]
    for spread in explanation.spreads:
        ratio = spread.largest / max(spread.median, 1e-12)
        cells = [f"{spread.largest:.2f}", f"{spread.median:.3f}", f"{ratio:,.0f}" if ratio < 1e6 else "median is 0"]
        cells.append(f"{spread.feature_ratio:,.1f}" if spread.feature_ratio < 1e6 else "median is 0")
        errors = (spread.activation_error, spread.token_error, spread.weight_error, spread.row_error)
        rows.append([spread.layer, *cells, *(f"{100 * value:.2f}" for value in errors)])
    return rows


def recipe_line(ladder: Ladder) -> str:
    """Everything that the numbers depend on, in one line."""
    facts = [f"{name} {value}" for name, value in {**ladder.recipe, **ladder.versions}.items()]
    return plain(f"Recipe: {ladder.command}; {ladder.device}; {'; '.join(facts)}; weights sha256 {ladder.weights_sha256[:12]}")


def _scores(scores: SplitScores | None) -> list[str]:
    if scores is None:
        return [NONE] * (2 * len(NAMES) + 1)
    cells = [part for name in NAMES for part in (f"{scores.scores[name]:.2f}", gap(scores.less_fp32.get(name)))]
    return [*cells, share(scores.same_comments)]


def gap(difference: Gap | None) -> str:
    """A difference with its interval; "" where there is none."""
    return "" if difference is None else f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def share(value: float | None) -> str:
    """A share in percent; "" where it is not known."""
    return "" if value is None else f"{100 * value:.1f} %"


def _bytes(size: int, full: int) -> list[str]:
    return [f"{size / 1e6:.2f}" if size else NONE, f"{size / full:.2f}" if size and full else NONE]


def _errors(head: str, columns: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    layers = list(next(iter(columns.values()), {}))
    return [[head, *columns], *([layer, *(f"{100 * errors[layer]:.3f}" for errors in columns.values())] for layer in layers)]


def _last(errors: Mapping[str, float], side: str) -> str:
    return [name for name in errors if name.startswith(side)][-1]


def signatures(known: Mapping[str, str]) -> list[str]:
    """How each score was computed, one line each."""
    return [f"{plain(name)}: {plain(signature)}" for name, signature in known.items()]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one its heading."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def missing(line: QuantizerResult) -> str:
    """The reason why a quantizer has no numbers, as an item of a list."""
    return f"- `{line.method}`: {plain(line.unavailable or '')}"
