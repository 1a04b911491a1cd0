"""A file of one-shot sensitivity as a table for the terminal and as CSV: pure functions from measurements to text."""

import csv
import io
from collections.abc import Mapping, Sequence

from core.run.results import MEASURES
from core.score.interval import Difference
from core.spec.layout import locate
from core.study.sensitivityfile import Cell, Sensitivity, Wish, Written

from ..views.encoder_verdict import warning
from ..views.plain import plain
from ..views.text import changed, percent, score

FLOORS = {"name": "floor: the method's name", "constant": "floor: a constant sentence"}
ALREADY = "pruned before"
"""Written in place of a loss where the model is pruned as far as was asked, or further."""
PIPE_WIDTH = 240
"""Width of a table that goes to no terminal, in columns."""


def place(parameter: str) -> str:
    """The place of a matrix, such as "encoder layer 3, query"; its parameter if the place is not known."""
    location = locate(parameter)
    if location is None:
        return plain(parameter, 80)
    return location.part if location.part == "pooler" else f"{location.part} layer {location.layer + 1}, {location.matrix}"


def table(study: Sensitivity, wishes: Sequence[Wish], before: Mapping[Wish, float], command: str, width: int = 0) -> str:
    """The requested cells, below the model as it is, the model without its encoder, and the floors.

    Args:
        study: All measurements.
        wishes: The cells to list; a wish that was not measured takes nothing from this model.
        before: Wish -> share of its weights that were pruned before, in [0, 1].
        command: The command that asks for this table.
        width: Columns of the terminal; 0 if there is none.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("pruned at once", no_wrap=True)
    for title in ("share", *(part for name in MEASURES.values() for part in (name, "lost, 95 %")), "tokens", "ended"):
        rows.add_column(title, justify="right", no_wrap=not width)
    for cells in _rows(study, wishes, before):
        rows.add_row(*(Text(cell) for cell in cells))
    text = io.StringIO()
    Console(file=text, width=width or PIPE_WIDTH, color_system=None, legacy_windows=False).print(rows)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    silence = warning(study.encoder_off.loss, "A study of this model", "model") if study.encoder_off is not None else ""
    return "\n".join([*filter(None, [silence]), *lines, *_notes(study, command)])


def _rows(study: Sensitivity, wishes: Sequence[Wish], before: Mapping[Wish, float]) -> list[list[str]]:
    shares = {before.get(wish, 0.0) for wish in wishes if not wish.matrix}  # of one choice of weights, or of none
    share = percent(shares.pop()) if len(shares) == 1 and any(shares) else ""
    rows = [_row("as it is", share, study.before, {})]
    if study.encoder_off is not None:
        rows.append(_row("encoder off", "", study.encoder_off, study.encoder_off.loss))
    rows += [[FLOORS[name], "", *_scores(study.floors.get(name, {}), {}), "", ""] for name in FLOORS]
    for wish in wishes:
        more = [part for part in (wish.budget if wish.budget != "uniform" else "", wish.pattern) if part]
        how = ", ".join([wish.criterion, wish.scope, *more, wish.prunable])
        name = f"{place(wish.matrix)} ({wish.criterion})" if wish.matrix else how
        if (cell := study.cell(wish)) is not None:
            rows.append(_row(name, percent(cell.pruned / max(1, cell.total)), cell, cell.loss))
        else:
            rows.append([name, percent(before.get(wish, 0.0)), *["", ALREADY] * len(MEASURES), "", ""])
    return rows


def _row(name: str, share: str, written: Written, loss: dict[str, Difference]) -> list[str]:
    return [name, share, *_scores(written.scores, loss), f"{written.mean_tokens:.1f}", percent(written.ended)]


def _scores(scores: dict[str, float], loss: dict[str, Difference]) -> list[str]:
    pairs = [(score(scores.get(name)), changed(loss[name]) if name in loss else "") for name in MEASURES]
    return [cell for pair in pairs for cell in pair]


def _notes(study: Sensitivity, command: str) -> list[str]:
    facts = [f"{name} {value}" for name, value in study.settings.items()]
    versions = [f"{name} {value}" for name, value in study.versions.items()]
    recipe = [command, *facts, f"threads {study.threads}", *versions, f"weights sha256 {study.weights_sha256[:12]}"]
    return [
        f"Nothing was trained. Lost: the model as it is minus the pruned one, on the same {study.rows:,} rows.",
        plain(f"Recipe: {'; '.join(recipe)}", 2000),
        *(plain(f"{name}: {signature}", 300) for name, signature in study.signatures.items()),
    ]


def to_csv(study: Sensitivity, wishes: Sequence[Wish]) -> str:
    """The same as comma-separated values, a header first; shares in [0, 1], and what does not apply is an empty cell.

    Args:
        study: All measurements.
        wishes: The cells to list.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    losses = [f"{name}_{part}" for name in MEASURES for part in ("lost", "lost_low", "lost_high")]
    wish_keys = ["criterion", "scope", "prunable", "sparsity", "matrix", "pruned", "total"]
    wish_keys += ["budget", "pattern", "calibration_rows"]
    writer.writerow(["what", *wish_keys, *MEASURES, *losses, "mean_tokens", "ended", "seconds"])
    none = [""] * len(wish_keys)
    writer.writerow(["as it is", *none, *_numbers(study.before, {})])
    if study.encoder_off is not None:
        writer.writerow(["encoder off", *none, *_numbers(study.encoder_off, study.encoder_off.loss)])
    for name, scores in study.floors.items():
        writer.writerow([f"floor: {name}", *none, *(scores.get(measure, "") for measure in MEASURES)])
    for wish in wishes:
        if (cell := study.cell(wish)) is not None:
            writer.writerow(["pruned", *_wished(wish, cell), *_numbers(cell, cell.loss)])
    return text.getvalue()


def _wished(wish: Wish, cell: Cell) -> list[object]:
    counts = [cell.pruned, cell.total, wish.budget, wish.pattern, wish.calibration_rows]
    return [wish.criterion, wish.scope, wish.prunable, wish.sparsity, wish.matrix, *counts]


def _numbers(written: Written, loss: dict[str, Difference]) -> list[object]:
    lost = [loss.get(name) for name in MEASURES]
    ends = [end for each in lost for end in (("", "", "") if each is None else (each.value, each.low, each.high))]
    return [*(written.scores.get(name, "") for name in MEASURES), *ends, written.mean_tokens, written.ended, written.seconds]
