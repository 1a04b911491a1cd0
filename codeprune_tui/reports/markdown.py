"""The report as Markdown: findings, where the scores disagree, and the curves, for a page of the documentation."""

import re
from collections.abc import Sequence

from core.study.runs import Study

from ..views.plain import plain
from . import runs, words
from .content import Content
from .tables import (
    Table,
    curves_table,
    disagreement_table,
    encoder_off_table,
    findings_table,
    floors_table,
    overlap_table,
    published_table,
    scored_by,
    signatures_table,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def markdown(content: Content) -> str:
    """Writes the report as Markdown.

    Args:
        content: What it says.

    Returns:
        The page, text from outside escaped; the same content gives the same page.
    """
    parts = [f"# {words.TITLE}", words.MADE_BY_MARKDOWN, *map(escape, words.introduction(content))]
    parts += [f"## {words.FINDINGS}", escape(words.RULES), _table(findings_table(content.findings))]
    parts += [f"## {words.DISAGREEMENT}", *map(escape, words.disagreement(content))]
    if (disagreeing := disagreement_table(content.recoveries)).rows:
        parts.append(_table(disagreeing))
    parts += _floors_part(content.study)
    for name, title in scored_by(content.study).items():
        parts += [f"## {title} against sparsity", escape(words.CURVES_NOTE), _table(curves_table(content.study, name))]
    parts += [f"## {words.PUBLISHED}", escape(words.PUBLISHED_NOTE), _table(published_table(content.ladders))]
    parts += [f"## {words.MASKS}", escape(words.MASKS_NOTE), _table(overlap_table(content.study, content.overlaps))]
    parts += [f"## {words.SIGNATURES}", _table(signatures_table(content.study))]
    parts += [f"## {words.MISSING}", "\n".join(f"- {escape(note)}" for note in content.notes) or words.NOTHING_MISSING]
    return "\n\n".join(filter(None, parts)) + "\n"


def runs_markdown(content: Content) -> str:
    """Writes the report on runs that are of no experiment of the paper as Markdown; see `markdown`."""
    content = runs.named_by_runs(content)
    parts = [f"# {escape(words.runs_title(content))}", words.MADE_BY_MARKDOWN, *map(escape, words.about_runs(content))]
    for heading, note, table in runs.tables(content.study):
        parts += [f"## {heading}", escape(note), _table(table)]
    parts += _floors_part(content.study)
    for name, title in scored_by(content.study).items():
        parts += [f"## {title} against sparsity", escape(words.CURVES_NOTE), _table(curves_table(content.study, name))]
    parts += [f"## {words.MISSING}", "\n".join(f"- {escape(note)}" for note in content.notes) or words.NOTHING_MISSING]
    return "\n\n".join(filter(None, parts)) + "\n"


def _floors_part(study: Study) -> list[str]:
    """Floors: the scores of programs that read no code, and of the dense models without their encoder."""
    parts = [f"## {words.FLOORS}", escape(words.FLOORS_NOTE), _table(floors_table(study))]
    return [*parts, f"## {words.ENCODER_OFF}", escape(words.ENCODER_OFF_NOTE), _table(encoder_off_table(study))]


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", plain(text, 2000))


def _table(table: Table) -> str:
    if not table.rows:
        return words.NO_ROWS
    rule = ["---"] * table.left + ["---:"] * (len(table.header) - table.left)
    return "\n".join([_row(table.header), f"| {' | '.join(rule)} |", *map(_row, table.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"
