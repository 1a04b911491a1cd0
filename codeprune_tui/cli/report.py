"""The subcommand that writes the report on runs: HTML, Markdown and CSV, from run folders alone."""

from pathlib import Path
from typing import Annotated

import typer

from core.atomic import complete_or_absent
from core.errors import DataError

from .. import bundle
from .console import say
from .runs import app


@app.command(epilog="\b\nExample:\n  codeprune-tui report checkpoints -o report.html --csv-dir numbers")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_OR_FOLDER...", help="Run folders, or folders of runs.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE.html", help="The page to write.")] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown", metavar="FILE.md", help="Write findings and curves as Markdown; without -o, no page is written."
        ),
    ] = None,
    csv_dir: Annotated[Path | None, typer.Option("--csv-dir", metavar="DIR", help="Write every number as CSV files.")] = None,
    ladder: Annotated[
        list[Path] | None,
        typer.Option("--ladder", metavar="FILE.json", help="A quantization ladder; those beside the runs are read anyway."),
    ] = None,
    findings: Annotated[
        bool | None,
        typer.Option(
            "--findings/--no-findings",
            help="Check the runs against the paper's findings; by default only runs of its experiments are checked.",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        bool,
        typer.Option("--references/--no-references", help="Show the rows' own comments; check first that you may publish them."),
    ] = True,
) -> None:
    """Write a report on runs: curves, floors, comments, masks.

    If the runs are of the paper's experiments, the report says for each of its findings whether it held, did not hold or
    is undecided, under three scores, with intervals. The page needs no other file; the same run folders give the same
    page. Without -o, --markdown or --csv-dir the command writes report.html.
    """
    if output is None and markdown is None and csv_dir is None:
        output = Path("report.html")
    for file in filter(None, (output, markdown)):
        if file.is_dir():
            raise DataError(f"{file} is a folder.", "Give the name of a file.")
    from ..reports.content import read_content

    example = bundle.example()
    places = [example.root if example and str(place) == bundle.EXAMPLE and not place.exists() else place for place in runs]
    content = read_content(places, ladder or ())
    from ..reports.runs import is_the_papers, runs_page

    about_paper = is_the_papers(content) if findings is None else findings
    written: dict[Path, str] = {}
    if output is not None:
        from ..reports.page import page

        write = page if about_paper else runs_page
        written[output] = write(content, references=references)
    if markdown is not None:
        from ..reports.markdown import markdown as as_markdown
        from ..reports.markdown import runs_markdown

        written[markdown] = as_markdown(content) if about_paper else runs_markdown(content)
    if csv_dir is not None:
        from ..reports.tables import csv_files

        tables = csv_files(content.study, content.findings, content.recoveries, content.overlaps, content.ladders)
        written |= {csv_dir / name: text for name, text in tables.items() if about_paper or name != "findings.csv"}
    for path, text in written.items():
        with complete_or_absent(path) as draft:
            draft.write_bytes(text.encode("utf-8", "replace"))  # half a surrogate pair is no text
        say(f"Wrote {path}")
