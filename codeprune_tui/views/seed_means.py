"""Runs that differ only in their seed as one curve: means, their spread, and the number of runs. Pure functions from results.

A mean is over the runs that have the round; their number stands with it. Its difference to dense is the mean of the runs' own
differences, so that a run that is not as far as the others does not shift it. Knows neither Textual nor files.

The interval of dense minus encoder off is the mean of the ends of the runs' intervals. One of the mean itself needs the comments
without the encoder, which no run keeps; it would hardly be wider, for at most all runs go up and down together from draw to draw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from core.run.results import ENCODER_OFF, LEADING, TITLES, Result
from core.run.rowsets import by_rows
from core.score.interval import Difference


@dataclass(frozen=True)
class Mean(Result):
    """One round of several runs; the inherited fields are means."""

    runs: tuple[str, ...] = ()
    """The runs that have the round."""
    low: Mapping[str, float] = field(default_factory=dict)
    """Measure -> lowest score of these runs."""
    high: Mapping[str, float] = field(default_factory=dict)
    deviation: Mapping[str, float] = field(default_factory=dict)
    """Measure -> sample standard deviation; only where two runs or more have the score."""
    changed: float | None = None
    """Mean of chrF minus that of the same run's dense model."""


def curves(keys: Mapping[str, str], runs: Sequence[str]) -> list[tuple[str, ...]]:
    """The runs by curve, in their order.

    Args:
        keys: Run -> the key that runs of one curve share (`experiments.without_seed`); a run that is missing is alone.
        runs: Names.
    """
    runs_by_curve: dict[str, list[str]] = {}
    for run in runs:
        # A key of a run without a recipe must be nobody else's.
        runs_by_curve.setdefault(f"curve {keys[run]}" if run in keys else f"run {run}", []).append(run)
    return [tuple(members) for members in runs_by_curve.values()]


def grouped(results: Mapping[str, tuple[Result, ...]], keys: Mapping[str, str]) -> dict[str, tuple[Result, ...]]:
    """Curve -> its rounds; a curve of one run is that run as it was.

    Args:
        results: Run -> its complete rounds.
        keys: As in `curves`.
    """
    groups: dict[str, tuple[Result, ...]] = {}
    for members in _on_same_rows(curves(keys, list(results)), results):
        if len(members) == 1:
            groups[members[0]] = results[members[0]]
            continue
        title = _title(members, {*results, *groups})
        rounds = sorted({each.round for run in members for each in results[run]})
        groups[title] = tuple(_mean(title, number, [results[run] for run in members]) for number in rounds)
    return groups


def _on_same_rows(groups: Sequence[tuple[str, ...]], results: Mapping[str, tuple[Result, ...]]) -> list[tuple[str, ...]]:
    """Curves whose runs share their rows: a mean over other runs would be compared with floors that are not its own."""
    parted: list[tuple[str, ...]] = []
    for members in groups:
        parted += by_rows({run: results[run] for run in members})
        parted += [(run,) for run in members if not results[run]]
    return parted


def _title(members: Sequence[str], taken: set[str]) -> str:
    """The common beginning of the names, and their number; never the name of another run or curve."""
    title = f"{_beginning(members) or members[0][:12]}* ×{len(members)}"
    while title in taken:
        title += "'"
    return title


def _beginning(names: Sequence[str]) -> str:
    """The common beginning of all names."""
    first, last = min(names), max(names)
    same = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:same]


def _mean(title: str, number: int, runs: Sequence[tuple[Result, ...]]) -> Mean:
    there = [result for of_run in runs for result in of_run if result.round == number]
    first = there[0]
    scores = {name: [result.scores[name] for result in there if name in result.scores] for name in TITLES}
    scores = {name: values for name, values in scores.items() if values}
    size = _average(there, lambda result: result.size_bytes)
    same = len({result.decoded_on for result in there}) == 1
    return Mean(
        title,
        number,
        sparsity=fmean(result.sparsity for result in there),
        before=fmean(result.before for result in there),
        scores={name: fmean(values) for name, values in scores.items()},
        floors=_mean_floors(there),
        size_bytes=None if size is None else round(size),
        split=first.split,
        data=first.data,
        rows=first.rows,
        seconds=fmean(result.seconds for result in there),
        signatures=first.signatures,
        ms_per_row=_average(there, lambda result: result.ms_per_row),
        ms_per_token=_average(there, lambda result: result.ms_per_token),
        decoded_on=first.decoded_on if same else "",
        runs=tuple(sorted(result.run for result in there)),
        low={name: min(values) for name, values in scores.items()},
        high={name: max(values) for name, values in scores.items()},
        dense_less=_mean_less(there),
        deviation={name: stdev(values) for name, values in scores.items() if len(values) > 1},
        changed=_mean_change(number, runs),
    )


def _mean_floors(there: Sequence[Result]) -> Mapping[str, Mapping[str, float]]:
    """Floors are those of the rows, and so of every run; only with the encoder off each model has its own."""
    off = [result.floors[ENCODER_OFF] for result in there if ENCODER_OFF in result.floors]
    means = {name: fmean(each[name] for each in off) for name in TITLES if off and all(name in each for each in off)}
    return {**there[0].floors, ENCODER_OFF: means} if means else there[0].floors


def _mean_less(there: Sequence[Result]) -> Mapping[str, Difference]:
    """Mean of dense minus encoder off over the runs that measured it; only where each of them has the difference."""
    less = [result.dense_less for result in there if ENCODER_OFF in result.floors]
    known = {name: [each[name] for each in less] for name in TITLES if less and all(name in each for each in less)}
    return {
        name: Difference(fmean(run.value for run in runs), fmean(run.low for run in runs), fmean(run.high for run in runs))
        for name, runs in known.items()
    }


def _average(there: Sequence[Result], of: Callable[[Result], float | None]) -> float | None:
    values = [value for result in there if (value := of(result)) is not None]
    return fmean(values) if values else None


def _mean_change(number: int, runs: Sequence[tuple[Result, ...]]) -> float | None:
    """None for the dense round, and where no run has both scores."""
    changes = []
    for of_run in runs:
        leading = {result.round: result.scores[LEADING] for result in of_run if LEADING in result.scores}
        if number > 0 and {0, number} <= leading.keys():
            changes.append(leading[number] - leading[0])
    return fmean(changes) if changes else None
