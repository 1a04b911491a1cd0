"""The subcommand that scores files of comments, whoever wrote them. It imports no torch."""

from pathlib import Path
from typing import Annotated

import typer

from core.text.comments import read_comments
from core.text.gold import read_gold
from core.text.rows import load_rows

from ..runs import client
from .models import Split, _quiet_libraries
from .runs import Json, app
from .tables import as_json as to_json


@app.command(
    epilog="\b\nExample:\n  codeprune-tui score test_1.output test_1.gold --expect 1261\n"
    "  codeprune-tui score checkpoints/mine/rounds/05/predictions.jsonl data/ruby --split valid"
)
def score(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="File of comments, one for each row.")],
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="The comments that people wrote: a file, or a folder of data.")],
    others: Annotated[
        list[Path] | None, typer.Argument(metavar="OTHER...", help="More predictions, each compared with the first.")
    ] = None,
    field: Annotated[str, typer.Option("--field", help="JSON field that holds a prediction.")] = "prediction",
    gold_field: Annotated[str, typer.Option("--gold-field", help="JSON field that holds a gold comment.")] = "reference",
    id_field: Annotated[
        str, typer.Option("--id-field", help="JSON field that holds the row's id; index, idx or id if not given.")
    ] = "",
    by_line: Annotated[bool, typer.Option("--by-line", help="The files have no ids: line N belongs to line N.")] = False,
    expect: Annotated[int, typer.Option("--expect", min=0, help="Number of rows there should be; 0 = not known.")] = 0,
    data: Annotated[
        str | None, typer.Option("--data", help="Data that the rows are from; it gives their number, and the floors' names.")
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Split of GOLD or --data, where that is a folder.")] = "test",
    embedder: Annotated[
        Path | None,
        typer.Option(
            "--embedder", metavar="FOLDER", help="A sentence-transformers model on disk, to score the cosine of meanings, too."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score files of comments, whoever wrote them.

    Reads CodeXGLUE's id<TAB>text, predictions.jsonl of a run, JSON lines, and plain lines with --by-line; as GOLD also
    CodeXGLUE's rows. Rows that are missing, unknown, doubled or empty are listed first. The JSON has gold, all_rows, files
    (path, form, rows, missing, unknown, doubled, empty, scores, intervals), differences, floors, signatures, bootstrap,
    trust.
    """
    from core.score.semantic import Embedder
    from core.study.scoring import check_same_length, score_comments

    from ..reports import scoring as report

    gold = Path(client.local_path(str(gold)))
    right = read_gold(gold, split=split, field=gold_field, id_field=id_field, by_line=by_line)
    files = [read_comments(path, field=field, id_field=id_field, by_line=by_line) for path in (predictions, *(others or []))]
    if by_line:
        check_same_length([right, *files])
    names, rows = _names(data, split) if data is not None else (None, len(right.texts) if gold.is_dir() else 0)
    model = None
    if embedder is not None:
        _quiet_libraries()
        model = Embedder(embedder)
    scoring = score_comments(files, right, expected=expect or rows, names=names, embedder=model)
    typer.echo(to_json(report.json_facts(scoring)) if as_json else report.text(scoring))


def _names(data: str, split: str) -> tuple[dict[str, str], int]:
    """The method name of each row that has one, by row, and the number of rows in the data."""
    rows = load_rows(client.local_path(data), split).rows
    return {str(row.index): row.name for row in rows if row.name}, len(rows)
