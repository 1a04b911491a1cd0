"""The tables of a report, as plain cells: one source for the HTML page, the Markdown page and the CSV files.

Text from outside passes through unchanged; the forms of the report escape it.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from core.run.encoder_off import carries
from core.run.results import ENCODER_OFF, FLOORS, LEADING, MEASURES, TITLES, Result, measures_of, to_csv
from core.run.rowsets import by_rows, telling
from core.study.findings import Finding, Recovery, Verdict, disagreements
from core.study.ladderfile import Ladder
from core.study.overlaps import Compared
from core.study.runs import Group, Study, level_of

from ..views.encoder_verdict import NOT_MEASURED
from ..views.text import NOTHING, beside, between, changed, difference, score, with_before
from .ladder import PUBLISHED, SPLITS, Ladders

CARRIES = {True: "yes", False: "no", None: NOT_MEASURED}


@dataclass(frozen=True)
class Table:
    """Rows under a heading."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    """Number of columns, from the first, that are text; the others are numbers."""


def findings_table(findings: Iterable[Finding]) -> Table:
    """Each finding with its verdict, difference and interval under each score."""
    findings = list(findings)
    known = {name: title for name, title in TITLES.items() if any(name in each.verdicts for each in findings)}
    header = ("The paper's finding", *known.values(), "Rule")
    rows = [(each.claim, *(verdict_text(each.verdicts.get(name)) for name in known), each.rule) for each in findings]
    return Table(header, tuple(rows), len(header))


def verdict_text(verdict: Verdict | None) -> str:
    """A verdict in one cell: outcome, difference with interval, the spread of the seeds, and where."""
    if verdict is None:
        return NOT_MEASURED
    if verdict.difference is None:
        return f"{verdict.outcome}: {verdict.why}" if verdict.why else str(verdict.outcome)
    parts = [f"{verdict.outcome}: {changed(verdict.difference)}"]
    if len(verdict.seeds) > 1:
        parts.append("seeds " + ", ".join(difference(value) for value in verdict.seeds))
    elif verdict.seeds:
        parts.append("one seed")
    return "; ".join([*parts, *filter(None, [verdict.why])])


def curve_values(group: Group, level: int, measure: str) -> list[float]:
    """The scores of all seeds of a curve at one sparsity, in percent."""
    rounds = [result for run in group.runs for result in run.results if level_of(result.sparsity) == level]
    return [result.scores[measure] for result in rounds if measure in result.scores]


def curves_table(study: Study, measure: str) -> Table:
    """The mean score of each curve at each sparsity, the range of its seeds, and the floors on its own rows."""
    levels = sorted({level for group in study.groups for level in group.levels})
    rows = []
    for group in study.groups:
        cells = []
        for level in levels:
            values = curve_values(group, level, measure)
            spread = f" ({score(min(values))}–{score(max(values))})" if len(values) > 1 else ""
            cells.append(f"{score(fmean(values))}{spread}" if values else NOTHING)
        rows.append((group.title, str(len(group.runs)), group_floors(group, measure), *cells))
    return Table(("Curve", "Seeds", "Floors", *(f"{level} %" for level in levels)), tuple(rows))


def disagreement_table(recovered: Sequence[Recovery]) -> Table:
    """Where smoothed BLEU says "recovered" and chrF says that something was lost."""
    known = _compared(recovered)
    rows = [
        (each.title, f"{each.level} %", str(each.seeds), *(changed(each.differences.get(name)) for name in known))
        for each in disagreements(recovered)
    ]
    return Table(("Curve", "Sparsity", "Seeds", *known.values()), tuple(rows))


def _compared(recovered: Sequence[Recovery]) -> dict[str, str]:
    return {name: title for name, title in TITLES.items() if name in MEASURES or any(name in each.states for each in recovered)}


def recovery_table(recovered: Sequence[Recovery]) -> Table:
    """Every curve at every sparsity against its own dense model."""
    known = _compared(recovered)
    rows = [
        (
            each.title, f"{each.level} %", str(each.seeds),
            *(f"{each.states[name]}: {changed(each.differences[name])}" if name in each.states else NOTHING for name in known),
        )
        for each in recovered
    ]  # fmt: skip
    return Table(("Curve", "Sparsity", "Seeds", *known.values()), tuple(rows))


def encoder_off_table(study: Study) -> Table:
    """Each run's dense model with its encoder off, and how far below the dense score that is."""
    rows, known = [], scored_by(study)
    for run in study.runs:
        dense = next((result for result in run.results if result.round == 0), None)
        if dense is None:
            continue
        off, less = dense.floors.get(ENCODER_OFF, {}), dense.dense_less
        cells = [f"{score(off.get(name))}; {changed(less.get(name))}" if off else NOT_MEASURED for name in known]
        rows.append((run.name, *cells, CARRIES[carries(less)]))
    return Table(("Run", *known.values(), "Encoder carries something under chrF"), tuple(rows))


def scored_by(study: Study) -> dict[str, str]:
    """The measures to show for a study: measure -> its name."""
    return measures_of(result for run in study.runs for result in run.results)


def group_floors(group: Group, measure: str) -> str:
    """The floors on the rows of a curve; of each set of rows where its seeds have several."""
    results = {run.name: run.results for run in group.runs}
    sets = [
        next((result for run in runs if (result := telling(results[run])) and result.floors), None) for runs in by_rows(results)
    ]
    return "; ".join(dict.fromkeys(beside(result.floors_of(measure) if result else {}, every=True) for result in sets)) or NOTHING


def floors_table(study: Study) -> Table:
    """The floors of every set of rows, and how many of the rounds that were scored on it lie above them."""
    runs = {run.name: run.results for run in study.runs}
    sets, rows, known = by_rows(runs), [], scored_by(study)
    for names in sets:
        results = [result for name in names for result in runs[name]]
        whose = "" if len(sets) == 1 else f", on the rows of {', '.join(names)}"
        for floor, title in FLOORS.items():
            if any(floor in result.floors for result in results):
                rows.append((f"{title}{whose}", *(_above(results, floor, measure) for measure in known)))
    return Table(("Program that reads no code", *known.values()), tuple(rows), 4)


def _above(results: Sequence[Result], floor: str, measure: str) -> str:
    """A floor, and how many of the rounds lie above it."""
    both = [
        (result.scores[measure], result.floors[floor][measure])
        for result in results
        if measure in result.scores and measure in result.floors.get(floor, {})
    ]
    above = sum(mine > under for mine, under in both)
    return f"{score(both[0][1] if both else None)} ({above} of {len(both)} rounds above)"


ROUND_COLUMNS = ("chrF floors", "chrF, 95 % interval", "chrF minus dense", "Rows", "Split")


def rounds_table(study: Study) -> Table:
    """Every complete round of every run, with its floors, and intervals where the run folder has them."""
    return _rounds_table(result for run in study.runs for result in run.results)


def last_rounds_table(study: Study) -> Table:
    """The same of the last round of each run."""
    return _rounds_table(result for run in study.runs for result in run.results[-1:])


def _rounds_table(results: Iterable[Result]) -> Table:
    results = list(results)
    known = measures_of(results)
    rows = [
        (
            result.run, str(result.round), with_before(result.sparsity, result.before),
            *(score(result.scores.get(name)) for name in known), beside(result.floors_of(LEADING), every=True),
            between(result.intervals.get(LEADING)), changed(result.against_dense.get(LEADING)), f"{result.rows:,}", result.split,
        )
        for result in results
    ]  # fmt: skip
    return Table(("Run", "Round", "Sparsity", *known.values(), *ROUND_COLUMNS), tuple(rows))


def signatures_table(study: Study) -> Table:
    """How each score was computed; more than one line where runs differ."""
    signatures = {
        (TITLES[name], text)
        for run in study.runs
        for result in run.results
        for name, text in result.signatures.items()
        if name in TITLES
    }
    signatures |= {("intervals", result.bootstrap) for run in study.runs for result in run.results if result.bootstrap}
    return Table(("Score", "Signature"), tuple(sorted(signatures)), 2)


def published_table(ladders: Ladders) -> Table:
    """The paper's smoothed BLEU-4 beside ours."""
    names = {"dynamic-int8": "INT8, dynamic", "fp32": "original", "fp16": "fp16"}
    rows = []
    for split in SPLITS:
        rows.append((f"{split}, the paper (CodeBERT, all rows)", *(score(PUBLISHED[name][split]) for name in names)))
        for name, ladder in ladders.items():
            lines = [ladder.method(method) for method in names]
            floors = beside(ladder.floors_of(split, "bleu"), every=True)
            rows.append((f"{split}, {name} ({floors})", *(score(line.score(split, "bleu") if line else None) for line in lines)))
    return Table(("Smoothed BLEU-4", *names.values()), tuple(rows))


def ladder_table(ladder: Ladder) -> Table:
    """The methods of a ladder: scores minus those of fp32, sizes, times, the layer that is furthest off."""
    header = ("Method", *(f"{MEASURES[name]}, {split}" for split in SPLITS for name in MEASURES), "Disk, MB", "Memory, MB",
              "ms/comment, batch 1", "ms/comment, batch 32", "Worst layer error")  # fmt: skip
    rows = []
    for line in ladder.methods:
        if line.unavailable:
            rows.append((f"{line.method}: {line.unavailable}", *[NOTHING] * (len(header) - 1)))
            continue
        cells = []
        for split in SPLITS:
            for name in MEASURES:
                change = line.less_fp32(split, name)
                cells.append(f"{score(line.score(split, name))}{f', {changed(change)}' if change else ''}")
        cells += [f"{size / 1e6:.1f}" if size else NOTHING for size in (line.disk_bytes, line.memory_bytes)]
        times = {timing.batch: timing.ms_per_comment for timing in line.timings}
        cells += [score(times.get(batch)) for batch in (1, 32)]
        errors = line.layer_errors.values()
        rows.append((line.method, *cells, f"{max(errors):.4f}" if errors else NOTHING))
    return Table(header, tuple(rows))


def overlap_table(study: Study, overlaps: Sequence[Compared]) -> Table:
    """The overlap of masks at equal sparsity, between seeds of a curve and between curves, with chance beside it."""
    groups = {run.name: group.title for group in study.groups for run in group.runs}
    values: dict[tuple[str, str, str], dict[int, list[Compared]]] = {}
    for each in overlaps:
        if each.kind != "rounds":
            key = ("seeds" if each.kind == "seeds" else "curves", groups[each.first], groups[each.second])
            values.setdefault(key, {}).setdefault(each.levels[0], []).append(each)
    levels = sorted({level for by_level in values.values() for level in by_level})
    rows = []
    for (kind, first, second), by_level in values.items():
        label = f"{first}: between seeds" if kind == "seeds" else f"{first} × {second}"
        rows.append((label, *(_overlap_text(by_level.get(level, [])) for level in levels)))
    return Table(("Masks compared", *(f"{level} %" for level in levels)), tuple(rows))


def _overlap_text(overlaps: Sequence[Compared]) -> str:
    """The mean overlap, and that by chance in brackets."""
    if not overlaps:
        return NOTHING
    return f"{fmean(each.overlap.jaccard for each in overlaps):.2f} ({fmean(each.overlap.chance for each in overlaps):.2f})"


def csv_files(study: Study, findings: Sequence[Finding], recovered: Sequence[Recovery], shared: Sequence[Compared],
              ladders: Ladders) -> dict[str, str]:  # fmt: skip
    """Every number of a report: file name -> comma-separated values."""
    return {
        "rounds.csv": to_csv(result for run in study.runs for result in run.results),
        "findings.csv": _csv(
            ("finding", "claim", "rule", "measure", "outcome", "difference", "low", "high", "seeds", "note"),
            [
                (each.key, each.claim, each.rule, name, verdict.outcome, *_ends(verdict), verdict.why)
                for each in findings
                for name, verdict in each.verdicts.items()
            ],
        ),
        "recovery.csv": _csv(
            ("curve", "sparsity_percent", "seeds", "measure", "state", "difference", "low", "high"),
            [
                (each.group, each.level, each.seeds, name, each.states[name], *asdict(each.differences[name]).values())
                for each in recovered
                for name in each.states
            ],
        ),
        "layers.csv": _csv(
            ("run", "round", "matrix", "sparsity"),
            [
                (run.name, number, name, value)
                for run in study.runs
                for number, matrices in sorted(run.matrices.items())
                for name, value in matrices.items()
            ],
        ),
        "masks.csv": _csv(
            ("kind", "first", "second", "first_percent", "second_percent", "jaccard", "chance"),
            [(each.kind, each.first, each.second, *each.levels, *asdict(each.overlap).values()) for each in shared],
        ),
        "quantization.csv": _csv(
            ("ladder", "method", "name", "value"),
            [
                (name, line.method, *pair)
                for name, ladder in ladders.items()
                for line in ladder.methods
                for pair in line.numbers().items()
            ],
        ),
    }  # fmt: skip


def _ends(verdict: Verdict) -> tuple[object, ...]:
    each = verdict.difference
    ends = ("", "", "") if each is None else (each.value, each.low, each.high)
    return (*ends, " ".join(map(str, verdict.seeds)))


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
