"""Runs of the benchmark as JSON, the regressions since the last one, and the page that is rendered from them.

There is one file a class of device, so that a run is compared with one of the same class. Without torch.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..atomic import complete_or_absent
from ..errors import DataError
from .measure import Goal, Result, Sample, Table

MEASURED_ON = "measured on "
MINI_HAD = "mini had "
SCHEMA = 1
WORSE = 1.2
"""A ratio that is worse than the last one by this factor is a regression."""


@dataclass(frozen=True)
class Facts:
    """Machine and versions of a run."""

    device: str
    device_class: str
    """Name of the file: runs of one class are compared."""
    threads: int
    versions: dict[str, str]
    rows: str
    quick: bool
    busy: float
    """Load average at the start; a high one comes from other programs."""
    mini: str = ""
    """Which model the bundled one was: its weights. Results of two runs with other models are not of one mini."""


@dataclass(frozen=True)
class Run:
    """One run of the benchmark."""

    facts: Facts
    commit: str
    results: tuple[Result, ...] = ()
    tables: tuple[Table, ...] = ()
    commits: dict[str, str] = field(default_factory=dict)
    """Result's key -> commit it was measured at; results of an earlier run are kept where a new one left them out."""


def key(result: Result) -> str:
    """The key under which two results are comparable."""
    return " | ".join((result.name, result.size, result.what, result.against))


def file_of(folder: Path, facts: Facts) -> Path:
    """The file in which runs of this kind are stored."""
    return folder / f"{facts.device_class}{'-quick' if facts.quick else ''}.json"


def regressions(before: Run | None, now: Iterable[Result]) -> list[str]:
    """Names the ratios that are worse than in an earlier run by more than 20 %; times without another side don't count.

    Args:
        before: The stored run, if any.
        now: The new results.

    Returns:
        One sentence each.
    """
    known = {key(result): result for result in before.results} if before else {}
    slower = []
    for result in now:
        old = known.get(key(result))
        if old is None or not result.is_ratio or not old.value or not result.value:
            continue
        more_is_better = result.goal is None or result.goal.at_least
        if (old.value / result.value if more_is_better else result.value / old.value) > WORSE:
            subject = ", ".join(filter(None, (result.name, result.size, result.what)))
            slower.append(f"{subject}: {result.value:.2f} ×, but {old.value:.2f} × in the last stored run")
    return slower


def merged(before: Run | None, now: Run) -> Run:
    """The new run, completed with results of the earlier one that it left out; from another processor they say so."""
    fresh = {key(result) for result in now.results}
    commits = dict.fromkeys(fresh, now.commit)
    kept = [result for result in before.results if key(result) not in fresh] if before else []
    titles = {table.title for table in now.tables}
    kept_tables = before.tables if before else ()
    tables = [table for table in kept_tables if re.split(f"; (?:{MEASURED_ON}|{MINI_HAD})", table.title)[0] not in titles]
    if before and before.facts.device != now.facts.device:
        kept = [_elsewhere(result, before.facts.device) for result in kept]
        tables = [replace(table, title=_on(table.title, before.facts.device)) for table in tables]
    if before and before.facts.mini != now.facts.mini:
        kept = [replace(result, note=_former(result.note, before.facts.mini, result.size == "mini")) for result in kept]
        tables = [replace(table, title=_former(table.title, before.facts.mini, "mini" in table.title)) for table in tables]
    old = {key(result): before.commits.get(key(result), before.commit) for result in kept} if before else {}
    return replace(now, results=(*now.results, *kept), tables=(*now.tables, *tables), commits=old | commits)


def _elsewhere(result: Result, device: str) -> Result:
    return replace(result, note=_on(result.note, device))


def _former(text: str, mini: str, concerned: bool) -> str:
    """The text, saying that it is about a former bundled model, unless it says so already."""
    return f"{text}{'; ' * bool(text)}{MINI_HAD}{mini or 'other weights'}" if concerned and MINI_HAD not in text else text


def _on(text: str, device: str) -> str:
    """The text, saying where something was measured, unless it says so already."""
    return text if MEASURED_ON in text else f"{text}{'; ' * bool(text)}{MEASURED_ON}{device}"


def to_json(run: Run) -> str:
    """The run as text."""
    return json.dumps({"schema": SCHEMA, **asdict(run)}, indent=1, ensure_ascii=False) + "\n"


def write(run: Run, file: Path) -> None:
    """Stores a run, complete or absent; an earlier one is replaced."""
    with complete_or_absent(file) as draft:
        draft.write_text(to_json(run), encoding="utf-8")


def read(file: Path) -> Run | None:
    """The stored run; None where there is none.

    Raises:
        DataError: The file is damaged.
    """
    if not file.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return Run(
            facts=Facts(**content["facts"]),
            commit=content["commit"],
            results=tuple(_result(given) for given in content["results"]),
            tables=tuple(_table(given) for given in content["tables"]),
            commits=dict(content["commits"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"Cannot read the benchmark in {file}: {error}.", "Delete it, or restore it.") from error


def _result(given: dict[str, Any]) -> Result:
    samples = {side: Sample(**given[side]) if given[side] else None for side in ("ours", "theirs")}
    return Result(**{**given, **samples, "goal": Goal(**given["goal"]) if given["goal"] else None})


def _table(given: dict[str, Any]) -> Table:
    return Table(given["name"], given["title"], tuple(given["columns"]), tuple(tuple(row) for row in given["rows"]))


COLUMNS = ("what", "size", "against", "ours", "theirs", "ratio", "target", "reached")


def cells(result: Result) -> tuple[str, ...]:
    """One line of the table."""
    unit = result.unit
    value = "" if result.value is None or not result.is_ratio else f"{result.value:.2f} ×"
    if result.ours is None:
        value = f"not measured: {result.note}"
    goal = "" if result.goal is None else f"{'≥' if result.goal.at_least else '≤'} {result.goal.limit:g}"
    target = f"{goal} {'×' if result.is_ratio else unit}" if goal else ""
    reached = {None: "", True: "yes", False: "no"}[result.reached]
    sides = _sample(result.ours, unit), _sample(result.theirs, unit)
    return (result.what, result.size, result.against, *sides, value, target, reached)


def _sample(sample: Sample | None, unit: str) -> str:
    if sample is None:
        return ""
    spread = f" ({sample.least:.3g} to {sample.most:.3g})" if sample.times > 1 else ""
    return f"{sample.median:.3g}{spread} {unit}"


BEGIN, END = "<!-- bench: from here on by codeprune-tui bench --docs -->", "<!-- bench: up to here -->"
"""The page is rendered between these lines; text around them stays."""
CUDA_GOALS = (
    ("training, batch 8", "base", "fixed padding, fp32", "≥ 4 ×"),
    ("training, batch 64", "base", "fixed padding, fp32", "≥ 6 ×"),
    ("beam 10 over 1,400 rows", "base", "one example, prefix recomputed", "≥ 60 ×"),
)
"""Comparisons that the page lists as not measured while no run on a GPU is stored."""


def page(runs: Sequence[Run], before: str = "") -> str:
    """The stored runs as a page in Markdown.

    Args:
        runs: The stored runs.
        before: The page as it is. Text before `BEGIN` and after `END` stays.
    """
    head, begin, rest = before.partition(BEGIN)
    if not begin:
        head, rest = before or "# Benchmarks\n\n", END + "\n"
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{_rendered(runs)}{END}{tail}"


def _rendered(runs: Sequence[Run]) -> str:
    lines = [
        "Made by `codeprune-tui bench --docs docs/benchmarks.md` from the JSON in `docs/benchmarks/`; measured by `make bench`.",
        "Both sides of a comparison run in turn; median (minimum to maximum) of each, and the ratio of the medians. mini is the",
        "bundled model, base is CodeBERT's size with random weights.",
    ]
    for run in runs:
        lines += ["", *_section(run)]
    if not any("cuda" in run.facts.device for run in runs):
        rows = [(what, size, against, "not measured", "", "", goal, "") for what, size, against, goal in CUDA_GOALS]
        lines += ["", "## CUDA", "", "No GPU was there when this was measured.", "", *_markdown(COLUMNS, rows)]
    return "\n".join(lines) + "\n"


def _section(run: Run) -> list[str]:
    facts = run.facts
    versions = ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    commits = ", ".join(sorted({*run.commits.values()} or {run.commit})) or "unknown"
    lines = [
        f"## {facts.device_class}{', quick' if facts.quick else ''}",
        "",
        f"{facts.device}; {facts.threads} thread{'s' if facts.threads != 1 else ''}; {versions}; {facts.rows};",
        f"commit {commits}; load average at the start {facts.busy:g}{f'; mini has {facts.mini}' if facts.mini else ''}.",
        "",
        *_markdown(COLUMNS, [cells(result) for result in run.results]),
    ]
    notes = [f"- {result.what}, {result.size}: {result.note}" for result in run.results if result.note and result.ours]
    lines += ["", *notes] if notes else []
    for table in run.tables:
        lines += ["", f"### {table.title}", "", *_markdown(table.columns, table.rows)]
    return lines


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    line = "|" + "---|" * len(columns)
    return [_row(columns), line, *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
