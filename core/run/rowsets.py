"""Finds the runs that were scored on the same rows: only these share floors, and only their scores can be compared.

The floors themselves show it: on other rows the same two programs have another score in at least one measure. Split, number of
rows and digest of the data have to agree as well, each where both runs tell it; journals of older versions lack some.
"""

from collections.abc import Mapping, Sequence

from .results import FLOORS, Result

EXACT = 1e-6
"""Floors on the same rows differ by less than this, because the same program computed them."""


def differ(one: Result, other: Result) -> bool:
    """Whether two results are known to come from different rows.

    Args:
        one: A complete round.
        other: Another round, of any run.
    """
    facts = ((one.split, other.split), (one.rows, other.rows), (one.data, other.data))
    if any(mine and theirs and mine != theirs for mine, theirs in facts):
        return True
    return any(
        abs(score - theirs[measure]) > EXACT
        for name in FLOORS  # and not encoder off: that is a score of the model, and each has its own
        if (theirs := other.floors.get(name)) is not None
        for measure, score in one.floors.get(name, {}).items()
        if measure in theirs
    )


def telling(rounds: Sequence[Result]) -> Result | None:
    """The round that represents the rows of its run: the first one with floors, else the first one."""
    return next((result for result in rounds if result.floors), next(iter(rounds), None))


def by_rows(results: Mapping[str, Sequence[Result]]) -> list[tuple[str, ...]]:
    """Runs in groups of the same rows, as far as is known; runs without a complete round are left out.

    Args:
        results: Run -> its complete rounds.

    Returns:
        Groups in the order of their first runs, each with its runs in their order.
    """
    groups: list[list[tuple[str, Result]]] = []
    for run, rounds in results.items():
        if (result := telling(rounds)) is not None:
            fitting = (group for group in groups if not any(differ(result, member) for _, member in group))
            group = next(fitting, None)
            if group is None:
                groups.append([(run, result)])
            else:
                group.append((run, result))
    return [tuple(run for run, _ in group) for group in groups]


def mixed(rounds: Sequence[Result]) -> bool:
    """Whether the rounds of one run are known to have been scored on different rows."""
    return any(differ(rounds[0], result) for result in rounds[1:])
