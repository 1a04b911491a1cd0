"""Writes a comparison to files: CSV here, SVG and HTML in processes of their own, since those need matplotlib.

Knows no screens. Each file is complete or absent, and none is ever replaced: the number in its name goes up.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core.atomic import complete_or_absent
from core.errors import CodepruneError
from core.run.results import Result, to_csv

from ..views.comparison import Picture
from ..views.plain import plain

ENDINGS = {"csv": "CSV, the table in its order", "svg": "SVG, the chart", "html": "HTML, a report on these runs"}
"""Ending -> the file's content."""
PATIENCE_S = 300
DRAW = (sys.executable, "-P", "-m", "codeprune_tui.reports.svg")
"""-P: a folder `core` in the working directory must not shadow ours."""
REPORT = (sys.executable, "-P", "-m", "codeprune_tui.cli.main", "report")


def free_file(folder: Path, ending: str) -> Path:
    """The first `compare-N` of this ending that is not there yet."""
    number = 1
    while (folder / f"compare-{number}.{ending}").exists():
        number += 1
    return folder / f"compare-{number}.{ending}"


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Writes the table.

    Args:
        path: The file.
        results: In the order of the lines.

    Raises:
        OSError: The file cannot be written.
    """
    with complete_or_absent(path) as draft:
        draft.write_text(to_csv(results), encoding="utf-8", errors="replace")


def write_svg(path: Path, picture: Picture) -> None:
    """Draws the chart.

    Raises:
        CodepruneError: The chart could not be drawn or written; the text says why.
    """
    _call([*DRAW, str(path)], json.dumps(asdict(picture)))


def write_report(path: Path, folders: Sequence[Path]) -> None:
    """Writes the report on some runs.

    Args:
        path: The page.
        folders: Run folders.

    Raises:
        CodepruneError: The report could not be written; the text says why.
    """
    _call([*REPORT, "--no-findings", "--output", str(path), "--", *map(str, folders)], "")


def _call(command: Sequence[str], text: str) -> None:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise CodepruneError(f"Writing took longer than {PATIENCE_S} s and was given up.", "Mark fewer runs.") from None
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"exit code {done.returncode}"]
        raise CodepruneError(f"Nothing was written: {plain(last[0].removeprefix('Error: '), 300)}", "")
