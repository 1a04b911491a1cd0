"""Prints the tables of docs/criteria.md as Markdown, from run folders or from the JSON file of `codeprune-tui sensitivity`.

    python tools/criteria_doc.py RUNS             # rounds with training: runs that differ in criterion and seed alone
    python tools/criteria_doc.py sensitivity.json # without training: every way to prune at every sparsity

Bold stands where the 95 % interval of the paired bootstrap excludes 0 and, of runs, every seed agrees.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from codeprune_tui.runs.beside import find
from codeprune_tui.views.text import percent
from core.run.results import MEASURES
from core.score.interval import Difference
from core.spec.criteria import CRITERIA
from core.study.findings import compare, judge, recovery
from core.study.runs import Group, Level, Run, Study, find_runs, level_of, read_study
from core.study.sensitivityfile import Cell, Sensitivity, Wish, read_sensitivity

SHOWN = ("bleu", "corpus_bleu", "chrf")
"""Measures in one cell, in this order."""
TABLES = ("chrf", "bleu", "corpus_bleu")
"""Measures with a table of differences each."""
AGAINST = "magnitude"


def of_runs(study: Study) -> Iterable[str]:
    """The tables of runs: scores, each criterion minus dense, each minus magnitude, masks."""
    groups = {_criterion(group): group for group in study.groups}
    groups = {name: groups[name] for name in CRITERIA if name in groups}
    levels = sorted({level for group in groups.values() for level in group.levels if level > 0})
    yield _table("", levels, {name: [_scores(group, level) for level in levels] for name, group in groups.items()})
    for measure in TABLES:
        lost = {name: {each.level: each.differences.get(measure) for each in recovery(group)} for name, group in groups.items()}
        rows = {name: [_difference(each.get(level)) for level in levels] for name, each in lost.items()}
        yield f"{MEASURES[measure]}, minus dense:\n\n{_table('', levels, rows)}"
    for measure in TABLES:
        yield f"{MEASURES[measure]}, minus {AGAINST}:\n\n{_table('', levels, _minus(groups, levels, measure))}"
    first = {name: group.runs[0] for name, group in groups.items() if group.runs[0].paths is not None}
    yield _table("", levels, {name: [_masks(first[AGAINST], run, level) for level in levels] for name, run in first.items()})


def _masks(against: Run, run: Run, level: Level) -> str:
    """Overlap with the masks of another run and by chance, dead rows and heads, and the mean error of outputs before training."""
    result = next((result for result in against.results if level_of(result.sparsity) == level), None)
    if result is None or against.paths is None or run.paths is None:
        return "–"
    answer = find(against.paths, result.round, result.sparsity, run.paths)
    if answer.whole is None:
        return "–"
    measured = [matrix.measured for matrix in answer.matrices.values() if matrix.measured is not None]
    errors = [matrix.error for matrix in answer.matrices.values() if matrix.error is not None]
    parts = [f"{percent(answer.whole.jaccard)} ({percent(answer.whole.chance)})", str(sum(each.dead_rows for each in measured))]
    return " / ".join([*parts, str(sum(each.dead_heads for each in measured)), percent(fmean(errors)) if errors else "–"])


def _criterion(group: Group) -> str:
    recipe = group.runs[0].recipe
    return recipe.pruning.criterion if recipe is not None else ""


def _scores(group: Group, level: Level) -> str:
    """The means over seeds of the three scores."""
    results = [result for run in group.runs for result in run.results if level_of(result.sparsity) == level]
    return " / ".join(f"{fmean(result.scores[name] for result in results):.{1 if name == 'chrf' else 2}f}" for name in SHOWN)


def _minus(groups: Mapping[str, Group], levels: Sequence[Level], measure: str) -> dict[str, list[str]]:
    rows = {}
    for name, group in groups.items():
        if name == AGAINST:
            continue
        compared = [compare(group, groups[AGAINST], lambda level, at=at: level == at) for at in levels]
        every = compare(group, groups[AGAINST], lambda level: level > 0)
        rows[name] = [_difference(each.differences.get(measure), each.seeds.get(measure, ())) for each in (*compared, every)]
    return rows


def of_sensitivity(study: Sensitivity) -> Iterable[str]:
    """The tables of pruning without training: scores, and pruned minus dense."""
    wishes = [cell.wish for cell in study.cells if cell.wish is not None]
    levels = sorted({level_of(wish.sparsity) for wish in wishes})
    cells = {(_how(cell.wish), level_of(cell.wish.sparsity)): cell for cell in study.cells if cell.wish is not None}
    ways = dict.fromkeys(
        _how(wish) for wish in sorted(wishes, key=lambda wish: (list(CRITERIA).index(wish.criterion), wish.scope))
    )
    yield _table("", levels, {how: [_written(cells.get((how, level))) for level in levels] for how in ways})
    for measure in TABLES:
        losses = {
            how: [cells[how, level].loss.get(measure) if (how, level) in cells else None for level in levels] for how in ways
        }
        changes = {how: [_difference(_turned(each)) for each in row] for how, row in losses.items()}
        yield f"{MEASURES[measure]}, minus dense:\n\n{_table('', levels, changes)}"


def _written(cell: Cell | None) -> str:
    """The three scores of a cell."""
    if cell is None:
        return "–"
    return " / ".join(f"{cell.scores[name]:.{1 if name == 'chrf' else 2}f}" for name in SHOWN)


def _how(wish: Wish) -> str:
    return f"{wish.criterion} | {wish.scope} | {wish.budget if wish.scope != 'global' else '–'}"


def _turned(loss: Difference | None) -> Difference | None:
    """Pruned minus dense from dense minus pruned."""
    return None if loss is None else Difference(-loss.value, -loss.high, -loss.low)


def _difference(each: Difference | None, seeds: Sequence[float] = ()) -> str:
    if each is None:
        return "–"
    text = f"{each.value:+.2f} ({each.low:+.2f} to {each.high:+.2f})".replace("-", "−")
    return f"**{text}**" if judge(each, seeds) != "undecided" else text


def _table(corner: str, levels: Sequence[Level], rows: Mapping[str, Sequence[str]]) -> str:
    width = max((len(row) for row in rows.values()), default=0)
    heads = [f"{level} %" for level in levels] + ["all of them"] * (width - len(levels))
    sides = max((name.count("|") for name in rows), default=0)
    first = f"| {corner} |" + " |" * sides
    lines = [f"{first} {' | '.join(heads)} |", "|---" * (1 + sides + len(heads)) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in rows.items())])


def main() -> None:
    """Prints the tables of what is named on the command line."""
    source = Path(sys.argv[1])
    print("\n\n".join(of_runs(read_study(find_runs([source]))) if source.is_dir() else of_sensitivity(read_sensitivity(source))))


if __name__ == "__main__":
    main()
