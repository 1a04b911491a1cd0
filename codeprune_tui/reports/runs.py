"""The report on any runs, whatever they are about.

Shows curves above their own floors, intervals, the differences of recipes, and comments beside each other. The paper's findings
are in another report (`page`).
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from core.run.rowsets import by_rows
from core.spec.criteria import method_words
from core.study.controls import control_findings
from core.study.experiments import is_of_the_paper
from core.study.findings import compare
from core.study.runs import Group, Run, Study, shown_recipe

from ..views.text import NOTHING, changed, percent
from . import figures, words
from .content import Content
from .page import (
    SAMPLES,
    curves_part,
    details_part,
    document,
    escape,
    figure_html,
    floors_part,
    folded_html,
    layers_part,
    masks_part,
    paragraphs_html,
    table_html,
)
from .tables import Table, findings_table, last_rounds_table, scored_by

PAIRS_NOTE = (
    "The first minus the second: mean over the pruned sparsities that both have and over their seeds, with the 95 % interval of "
    "the paired bootstrap over rows. It speaks of the choice of rows; what another training would give only shows in more seeds."
)
CONTROLS_NOTE = (
    "A control differs from a method in one key of its recipe. Weights drawn anew (rewind.to = random) show whether a ticket "
    "matters or only its masks; masks dealt out anew inside each matrix (criterion = shuffled), whether the masks do or only "
    "each matrix's share. With one pruned round, a ticket and its control have the same masks; with several, each run's follow "
    "from its own training. Undecided is not equal: the interval says how large a difference could hide."
)


def runs_page(content: Content, *, references: bool = True) -> str:
    """Writes the report on these runs as HTML.

    Args:
        content: The content that was read.
        references: Show the rows' own comments beside those of the models.

    Returns:
        The page.
    """
    content = named_by_runs(content)
    title = words.runs_title(content)
    body = [f"<h1>{escape(title)}</h1>", *paragraphs_html(words.about_runs(content))]
    body += _chart(content.study)
    for heading, note, table in tables(content.study):
        body += [f"<h2>{heading}</h2>", *paragraphs_html([note] if note else [], "note"), table_html(table, "stacked")]
    body += floors_part(content) + curves_part(content) + _comments(content.study, references)
    body += layers_part(content)
    body += masks_part(content) if len(content.study.runs) > 1 else []
    return document(title, [*body, *details_part(content)])


def named_by_runs(content: Content) -> Content:
    """The content with its curves named after their runs, not after the paper's curves."""
    titles = {group.key: _title(group) for group in content.study.groups}
    groups = tuple(replace(group, title=titles[group.key], curve=None) for group in content.study.groups)
    recovered = tuple(replace(recovery, title=titles.get(recovery.group, recovery.title)) for recovery in content.recoveries)
    return replace(content, study=Study(groups), recoveries=recovered, findings=())


def _title(group: Group) -> str:
    """The runs of a curve, and how they prune."""
    names = ", ".join(run.name for run in group.runs)
    recipe = group.runs[0].recipe
    words = ", ".join(method_words(recipe)) if recipe is not None else ""
    return f"{names} ({words})" if words else names


def tables(study: Study) -> list[tuple[str, str, Table]]:
    """Heading, note and table of each comparison of the runs; empty tables are left out."""
    parts = [
        ("The last complete round of each run", "", last_rounds_table(study)),
        ("What the controls say", CONTROLS_NOTE, controls_table(study)),
        ("One minus another", PAIRS_NOTE, pairs_table(study)),
        ("What their recipes differ in", "", recipes_table(study.runs)),
    ]
    return [entry for entry in parts if entry[2].rows]


def controls_table(study: Study) -> Table:
    """The verdict on each pair of a method and its control."""
    table = findings_table(control_findings(study))
    return Table(("Claim", *table.header[1:]), table.rows, table.left)


def pairs_table(study: Study) -> Table:
    """Each curve minus each other, under all measures; if two do not compare, the reason."""
    rows, known = [], scored_by(study)
    for first, second in combinations(study.groups, 2):
        difference = compare(first, second, lambda level: level > 0)
        cells = (
            [difference.why] + [""] * (len(known) - 1)
            if difference.why
            else [changed(difference.differences.get(name)) for name in known]
        )
        at = ", ".join(f"{level} %" for level in difference.levels) or NOTHING
        rows.append((first.title, second.title, at, *cells))
    return Table(("First", "Second", "At", *known.values()), tuple(rows), 4 + len(known))


def recipes_table(runs: Sequence[Run]) -> Table:
    """The keys in which recipes differ, one column a run; names of folders as short as in the report's recipes."""
    recipes = {run.name: _flat(tomllib.loads(shown_recipe(run.recipe))) for run in runs if run.recipe}
    keys = dict.fromkeys(key for recipe in recipes.values() for key in recipe)
    differing = [key for key in keys if len({recipe.get(key, NOTHING) for recipe in recipes.values()}) > 1]
    rows = tuple((key, *(recipe.get(key, NOTHING) for recipe in recipes.values())) for key in differing)
    return Table(("Key", *recipes), rows, 1 + len(recipes))


def _flat(table: Mapping[str, object], before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": str(value)}
    return flat


def _chart(study: Study) -> list[str]:
    scored = [group for group in study.groups if any(run.results for run in group.runs)]
    return [figure_html(figures.quality("runs", scored), words.FIGURES_NOTE)] if scored else []


def _comments(study: Study, references: bool) -> list[str]:
    """The first rows, and the comments of each run on them, dense and in its last round; by sets of rows."""
    parts = ["<h2>Comments beside each other</h2>"]
    parts += paragraphs_html([f"The first {SAMPLES} rows that were scored, whatever was written about them."], "note")
    runs = {run.name: run for run in study.runs}
    for names in by_rows({name: run.results for name, run in runs.items()}):
        written = [runs[name] for name in names if runs[name].predictions]
        if written:
            parts.append(folded_html(", ".join(names), _side_by_side(written, references)))
    return parts


def _side_by_side(runs: Sequence[Run], references: bool) -> str:
    parts = []
    for place, row in enumerate(next(iter(runs[0].predictions.values()))[:SAMPLES]):
        lines = [("the row's own", "", row.reference)] if references else []
        for run in runs:
            sparsities = {result.round: result.sparsity for result in run.results}
            for number in sorted({min(run.predictions), max(run.predictions)}):
                said = run.predictions[number]
                if place < len(said) and said[place].reference == row.reference:
                    lines.append((run.name, percent(sparsities[number]), said[place].prediction))
        parts += [f"<h3>{escape(row.name)}</h3>", table_html(Table(("Run", "Sparsity", "Comment"), tuple(lines), 3))]
    return "".join(parts)


def is_the_papers(content: Content) -> bool:
    """Whether the runs are of the paper's experiments: two curves of one of them, or a ladder of a quantized model."""
    curves = {
        group.key for group in content.study.groups if any(run.recipe and is_of_the_paper(run.recipe) for run in group.runs)
    }
    return bool(content.ladders) or any(
        len([group for group in content.groups_of(experiment) if group.key in curves]) > 1 for experiment in content.experiments
    )
