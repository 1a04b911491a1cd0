"""The scores of files of comments, as text and as JSON: first the faults of the rows, then the scores.

Pure functions. chrF comes first; corpus BLEU comes with a note on how far it can be trusted.
"""

from collections.abc import Sequence
from dataclasses import asdict

from core.run.results import MEASURES, SEMANTIC, TITLES
from core.score import metrics, significance
from core.study.scoring import Compared, Scored, Scoring

from ..views.plain import plain
from ..views.text import FLOOR_NAMES, between, changed, score, table

HEADS = MEASURES | {"bleu": "BLEU-4, smoothed"}
"""Measure -> the head of its column, the most reliable one first."""
NAMED = 5
"""Most ids that a line names."""
CLEAR = {"chrf": 2.0, "bleu": 2.0, "corpus_bleu": 5.0, "rouge_l": 2.0}
"""Points from which on a difference means something to people, by measure (Roy et al. 2021)."""


def text(scoring: Scoring) -> str:
    """The whole report for a terminal or a file."""
    lines = rows_lines(scoring)
    heads = _heads(scoring)
    rows = [["", *heads.values()]]
    for one in scoring.files:
        mark = "" if len(one.rows) == _expected_rows(scoring) else f" ({len(one.rows):,} of {_expected_rows(scoring):,} rows)"
        rows.append([_name(one) + mark, *(score(one.intervals[name].value) for name in heads)])
        rows.append(["95 % interval", *(between(one.intervals.get(name)) for name in heads)])
    if scoring.floors is not None:
        rows += [
            [FLOOR_NAMES[name], *(score(getattr(floor, measure)) for measure in heads)]
            for name, floor in (("name", scoring.floors.name), ("constant", scoring.floors.constant))
        ]
    for pair in scoring.compared:
        title = f"{_path(pair.first.path)} minus {_path(pair.second.path)}, {pair.rows:,} rows, {pair.same:,} alike"
        rows.append([title, *(changed(pair.differences[name]) for name in heads)])
    notes = [f"{name}: {signature}" for name, signature in _signatures(scoring).items()]
    if scoring.floors is None:
        notes.insert(0, "Floors: not known, for the gold brings no names of methods; --data FOLDER does.")
    return "\n".join([*lines, table(rows), metrics.TRUST, *map(_verdict, scoring.compared), *notes])


def rows_lines(scoring: Scoring) -> list[str]:
    """The rows that each file has, lacks and has too often; a file without fault has one line."""
    gold = scoring.gold
    expected = ""
    if scoring.expected:
        short = scoring.expected - len(gold.texts)
        expected = f", as many as expected ({scoring.expected:,})"
        if short:
            expected = f", but {scoring.expected:,} expected: {abs(short):,} too {'few' if short > 0 else 'many'}"
    several = f"; {len(gold.doubled):,} with several references" if gold.doubled else ""
    lines = [f"Gold {_path(gold.path)} ({gold.form}): {len(gold.texts):,} rows{expected}{several}"]
    if gold.empty:
        lines.append(f"  Empty in the gold: {_some(gold.empty)}")
    for one in scoring.files:
        lines += _file_lines(one)
    if not scoring.is_whole:
        too_few = any(len(one.rows) < _expected_rows(scoring) for one in scoring.files)
        which = "NOT ALL ROWS" if too_few else "MORE ROWS THAN EXPECTED"
        lines.append(f"{which} were scored, so no score below can be held against one of all rows.")
    return lines


def json_facts(scoring: Scoring) -> dict[str, object]:
    """The whole report as data: gold, files, differences, floors, signatures, bootstrap."""
    gold = scoring.gold
    return {
        "gold": {
            "path": str(gold.path),
            "form": gold.form,
            "rows": len(gold.texts),
            "expected": scoring.expected or None,
            "several_references": len(gold.doubled),
            "empty": list(gold.empty),
        },
        "all_rows": scoring.is_whole,
        "files": [_file_facts(one) for one in scoring.files],
        "differences": [
            {
                "first": str(pair.first.path),
                "second": str(pair.second.path),
                "rows": pair.rows,
                "same_texts": pair.same,
                **{name: asdict(each) for name, each in pair.differences.items()},
            }
            for pair in scoring.compared
        ],
        "floors": None if scoring.floors is None else {name: _scores(each) for name, each in vars(scoring.floors).items()},
        "signatures": _signatures(scoring),
        "bootstrap": significance.SIGNATURE,
        "trust": metrics.TRUST,
    }


def _file_facts(one: Scored) -> dict[str, object]:
    return {
        "path": str(one.comments.path),
        "form": one.comments.form,
        "rows": len(one.rows),
        "missing": list(one.missing),
        "unknown": list(one.unknown),
        "doubled": list(one.comments.doubled),
        "empty": list(one.comments.empty),
        "scores": _scores(one.scores),
        "intervals": {name: {"low": each.low, "high": each.high} for name, each in one.intervals.items()},
    }


def _file_lines(one: Scored) -> list[str]:
    oddities = {
        "Missing, a row of the gold without a prediction; CodeXGLUE's evaluator skips it, which flatters": one.missing,
        "Unknown, a prediction for no row of the gold; skipped": one.unknown,
        "Doubled, more than one prediction for a row; the last counts": one.comments.doubled,
        "Empty": one.comments.empty,
    }
    fault = [f"  {title}: {_some(rows)}" for title, rows in oddities.items() if rows]
    lines = [f"{_name(one)} ({one.comments.form}): {len(one.comments.texts):,} rows, {len(one.rows):,} scored"]
    return [*lines, *fault] if fault else [f"{lines[0]}; none missing, unknown, doubled or empty"]


def _verdict(pair: Compared) -> str:
    """The sentence about what the differences of two files prove."""
    differences = {name: pair.differences[name] for name in HEADS}
    clear = [HEADS[name] for name, each in differences.items() if each.is_clear and abs(each.value) >= CLEAR[name]]
    names = f"{_path(pair.first.path)} and {_path(pair.second.path)}"
    if not clear:
        return f"{names}: no difference is both clear of 0 and large enough to mean anything to people."
    return f"{names}: clear of 0 and large enough under {', '.join(clear)}."


def _heads(scoring: Scoring) -> dict[str, str]:
    """The columns; with an embedder there is one more."""
    return HEADS | ({SEMANTIC: TITLES[SEMANTIC]} if scoring.semantic_signature else {})


def _expected_rows(scoring: Scoring) -> int:
    return scoring.expected or len(scoring.gold.texts)


def _signatures(scoring: Scoring) -> dict[str, str]:
    known = metrics.signatures(several=bool(scoring.gold.doubled))
    return known | ({"semantic": scoring.semantic_signature} if scoring.semantic_signature else {})


def _scores(scores: metrics.Scores) -> dict[str, float]:
    return {name: value for name, value in asdict(scores).items() if name != "rows" and value is not None}


def _some(rows: Sequence[str]) -> str:
    more = ", …" if len(rows) > NAMED else ""
    return f"{len(rows):,} ({plain(', '.join(rows[:NAMED]))}{more})"


def _name(one: Scored) -> str:
    return _path(one.comments.path)


def _path(path: object) -> str:
    return plain(str(path))
