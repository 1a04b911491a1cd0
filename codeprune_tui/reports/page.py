"""The report as one HTML page that needs nothing beside it: no script, no network, no font; charts are inline SVG.

All text from elsewhere is escaped. The same content gives the same bytes.
"""

from collections.abc import Iterable, Sequence
from html import escape as html_escape

from core.study.runs import Group, level_of, shown_recipe

from ..views.plain import plain, plain_lines
from . import figures, words
from .content import Content
from .ladder import Ladders
from .tables import (
    Table,
    curves_table,
    disagreement_table,
    encoder_off_table,
    findings_table,
    floors_table,
    ladder_table,
    overlap_table,
    published_table,
    recovery_table,
    rounds_table,
    scored_by,
    signatures_table,
)

SAMPLES = 4
"""Rows whose comments are shown: the first ones, not picked."""
OUTCOMES = {"held": "held", "did not hold": "not", "undecided": "open", "not tested": "none"}
"""Outcome -> class of its mark."""
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff;
  max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .8rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; border-top: 1px solid #ddd; padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem; }
p, li { max-width: 52rem; }
.note { color: #555; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; border-bottom: 1px solid #e2e2e2; text-align: right; vertical-align: top; white-space: nowrap; }
th { border-bottom: 1px solid #888; font-weight: 600; }
.text { text-align: left; white-space: normal; min-width: 7rem; }
.stacked td, .stacked th { white-space: normal; } .stacked .text { min-width: 13rem; }
.findings td:first-child { min-width: 12rem; font-weight: 600; }
.findings td:last-child { color: #555; min-width: 14rem; }
.findings small { display: block; color: #444; }
.mark { font-weight: 600; white-space: nowrap; }
.mark::before { content: "○ "; }
.held { color: #00594a; } .held::before { content: "✓ "; }
.not { color: #a33c00; } .not::before { content: "✗ "; }
.open { color: #444; } .open::before { content: "? "; }
.none { color: #777; } .none::before { content: "– "; }
figure { margin: .8rem 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
@media (max-width: 50rem) { figure svg { max-width: none; } }
figcaption { color: #555; font-size: .9rem; max-width: 52rem; }
pre { background: #f6f6f6; padding: .7rem; overflow-x: auto; font-size: .8rem; }
summary { cursor: pointer; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin-left: 1.2rem; }
@media print { body { font-size: 10pt; padding: 0; max-width: none; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
  .wide, figure { overflow: visible; } th, td { white-space: normal; padding: .15rem .3rem; } }
"""


def page(content: Content, *, references: bool = True) -> str:
    """Writes the report as HTML.

    Args:
        content: What it says.
        references: Show the rows' own comments beside those of the models.

    Returns:
        The page.
    """
    body = [f"<h1>{words.TITLE}</h1>", *paragraphs_html(words.introduction(content))]
    body += [f"<h2>{words.FINDINGS}</h2>", _findings(content), *paragraphs_html([words.RULES], "note")]
    body += [f"<h2>{words.DISAGREEMENT}</h2>", *paragraphs_html(words.disagreement(content))]
    if (disagreeing := disagreement_table(content.recoveries)).rows:
        body.append(table_html(disagreeing))
    body += floors_part(content) + _figures(content) + curves_part(content) + _quantization(content.ladders)
    body += layers_part(content) + masks_part(content) + _samples(content, references) + details_part(content)
    return document(words.TITLE, body)


def document(title: str, body: Sequence[str]) -> str:
    """The page around its elements.

    Args:
        title: As text; it is escaped here.
        body: Elements, in order.
    """
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n'
        f"<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Text from outside, as text of a page."""
    return html_escape(plain(text, 4000))


def paragraphs_html(texts: Iterable[str], style: str = "") -> list[str]:
    """Texts as paragraphs of a class."""
    mark = f' class="{style}"' if style else ""
    return [f"<p{mark}>{escape(text)}</p>" for text in texts]


def _findings(content: Content) -> str:
    table = findings_table(content.findings)
    rows = []
    for finding, cells in zip(content.findings, table.rows, strict=True):
        marked = []
        for verdict, cell in zip(finding.verdicts.values(), cells[1:-1], strict=True):
            outcome, _, rest = cell.partition(": ")
            mark = f'<span class="mark {OUTCOMES[verdict.outcome]}">{escape(outcome)}</span>'
            marked.append(f'<td class="text">{mark}<small>{escape(rest)}</small></td>')
        rows.append(
            f'<tr><td class="text">{escape(cells[0])}</td>{"".join(marked)}<td class="text">{escape(cells[-1])}</td></tr>'
        )
    return f'<div class="wide"><table class="findings">{_heading(table)}{"".join(rows)}</table></div>'


def _heading(table: Table) -> str:
    cells = [
        f"<th{' class=' + chr(34) + 'text' + chr(34) if place < table.left else ''}>{escape(name)}</th>"
        for place, name in enumerate(table.header)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def table_html(table: Table, style: str = "") -> str:
    """A table of a class; a sentence where it has no rows."""
    if not table.rows:
        return f'<p class="note">{words.NO_ROWS}</p>'
    rows = [
        "".join(f'<td class="text">{escape(cell)}</td>' if place < table.left else f"<td>{escape(cell)}</td>"
                for place, cell in enumerate(row))
        for row in table.rows
    ]  # fmt: skip
    return f'<div class="wide"><table class="{style}">{_heading(table)}{"".join(f"<tr>{row}</tr>" for row in rows)}</table></div>'


def floors_part(content: Content) -> list[str]:
    """Floors: the scores of programs that read no code, and of the dense models without their encoder."""
    parts = [f"<h2>{words.FLOORS}</h2>", *paragraphs_html([words.FLOORS_NOTE]), table_html(floors_table(content.study))]
    parts += [f"<h2>{words.ENCODER_OFF}</h2>", *paragraphs_html([words.ENCODER_OFF_NOTE])]
    return [*parts, table_html(encoder_off_table(content.study))]


def _figures(content: Content) -> list[str]:
    """The paper's figures in its order, then the comparisons that it has no figure of."""
    parts = ["<h2>The paper's figures, on our runs</h2>"]
    parts += paragraphs_html([words.FIGURES_NOTE], "note")
    for experiment in content.experiments:
        title = f"{experiment.figure}: {experiment.title}" if experiment.figure else experiment.title
        parts.append(f"<h3>{escape(title)}</h3>")
        if not experiment.curves:
            parts.append(
                figure_html(figures.quantization(experiment.name, content.ladders), "Smoothed BLEU-4; " + experiment.shows)
            )
            continue
        scored = [group for group in content.groups_of(experiment) if any(run.results for run in group.runs)]
        lacking = [name for name in experiment.curves if content.study.of_curve(name) is None]
        if len(scored) > 1:
            parts.append(figure_html(figures.quality(experiment.name, scored), f"Shows {experiment.shows}."))
        if lacking:
            how = f"Make them with: codeprune-tui reproduce {experiment.name}"
            parts += paragraphs_html([f"No runs of {', '.join(lacking)}. {how}"], "note")
    if others := [group for group in content.others if any(run.results for run in group.runs)]:
        parts += ["<h3>Other runs</h3>", figure_html(figures.quality("others", others), "Runs of no experiment of the paper.")]
    return parts


def figure_html(drawing: str, caption: str) -> str:
    """An `<svg>` element with a text below it."""
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def curves_part(content: Content) -> list[str]:
    """The scores of every curve at every sparsity, and against its own dense model."""
    parts = ["<h2>Scores against sparsity</h2>", *paragraphs_html([words.CURVES_NOTE], "note")]
    for name, title in scored_by(content.study).items():
        parts += [f"<h3>{title}</h3>", table_html(curves_table(content.study, name), "stacked")]
    return [*parts, folded_html("Every curve against its own dense model", table_html(recovery_table(content.recoveries)))]


def _quantization(ladders: Ladders) -> list[str]:
    parts = [
        f"<h2>{words.PUBLISHED}</h2>",
        *paragraphs_html([words.PUBLISHED_NOTE], "note"),
        table_html(published_table(ladders)),
    ]
    return parts + [
        folded_html(f"All that {name} measured", table_html(ladder_table(ladder), "stacked")) for name, ladder in ladders.items()
    ]


def layers_part(content: Content) -> list[str]:
    """The sparsity of each layer, and the runs' warnings."""
    parts = ["<h2>Sparsity of each layer</h2>"]
    shown = []
    for group in content.study.groups:
        run = next((run for run in group.runs if figures.layer_shares(run)[2]), None)
        shown += [(group.title, run)] if run is not None else []
    if not shown:
        return [*parts, *paragraphs_html(["No journal tells the sparsities of the matrices."])]
    caption = "Pruned share of each layer in percent (its matrices averaged), first seed of each curve. Columns are rounds."
    return [*parts, figure_html(figures.layers("layers", shown), caption), *_warnings(content)]


def _warnings(content: Content) -> list[str]:
    warnings = [f"{run.name}: {warning}" for run in content.study.runs for warning in run.warnings]
    if not warnings:
        return paragraphs_html(["No run warned of a matrix, head or row without a weight."], "note")
    items = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    return [folded_html(f"{len(warnings)} warnings of the runs", f"<ul>{items}</ul>")]


def masks_part(content: Content) -> list[str]:
    """How much the masks of different runs overlap."""
    return [
        f"<h2>{words.MASKS}</h2>",
        *paragraphs_html([words.MASKS_NOTE], "note"),
        table_html(overlap_table(content.study, content.overlaps), "stacked"),
    ]


def _samples(content: Content, references: bool) -> list[str]:
    parts = ["<h2>Comments at each sparsity</h2>"]
    parts += paragraphs_html(
        [f"The first {SAMPLES} rows that were scored, whatever was written about them; first seed of each curve."], "note"
    )
    for group in content.study.groups:
        parts.append(folded_html(group.title, _comments(group, references)))
    return parts


def _comments(group: Group, references: bool) -> str:
    run = next((run for run in group.runs if run.predictions), None)
    if run is None:
        return f'<p class="note">{words.NO_ROWS}</p>'
    levels = {result.round: level_of(result.sparsity) for result in run.results}
    first = next(iter(run.predictions.values()))[:SAMPLES]
    parts = []
    for place, row in enumerate(first):
        lines = [
            (f"{levels[number]} %", said[place].prediction)
            for number, said in sorted(run.predictions.items())
            if place < len(said) and said[place].index == row.index
        ]
        own = [("the row's own", row.reference)] if references else []
        cells = Table(("Sparsity", "Comment"), (*own, *lines), 2)
        parts.append(f"<h3>{escape(row.name)}</h3>{table_html(cells)}")
    return "".join(parts)


def details_part(content: Content) -> list[str]:
    """Signatures, every round, recipes, and what is missing."""
    parts = ["<h2>How it was made</h2>", f"<h3>{words.SIGNATURES}</h3>", table_html(signatures_table(content.study))]
    parts.append(folded_html("Every round of every run", table_html(rounds_table(content.study))))
    for run in content.study.runs:
        recipe = html_escape(plain_lines(shown_recipe(run.recipe), most=300)) if run.recipe else "cannot be read"
        parts.append(folded_html(f"Recipe of {run.name}", f"<pre>{recipe}</pre>"))
    notes = "".join(f"<li>{escape(note)}</li>" for note in content.notes)
    return [*parts, f"<h2>{words.MISSING}</h2>", f"<ul>{notes}</ul>" if notes else f"<p>{words.NOTHING_MISSING}</p>"]


def folded_html(title: str, inside: str) -> str:
    """Something that opens with a click on its title."""
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"
