"""The paper's findings, each with one rule for every run and score: did it hold here, not hold, or is it undecided?

A comparison is the mean over sparsities of the mean over seeds, one curve minus the other, with the 95 % interval of the paired
bootstrap over rows. It has **held** where the interval lies above 0 and every seed agrees, **did not hold** where it lies below 0
and every seed agrees, and is **undecided** otherwise: that the rows may be chance is the interval's business, that the training
may be is the seeds'. Each of the three scores is asked alone. Pure functions of a `Study`; knows neither charts nor pages.

Source of the claims: Gu, Sonecha, Vedantam, Runwal, Misra, "Pruning CodeBERT for Improved Code-to-Text Efficiency".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..run.results import MEASURES, SEMANTIC, TITLES
from ..score.interval import Difference
from ..score.metrics import CONSTANT_PREDICTION
from ..score.significance import difference_of, draw, mean_scores
from ..score.tally import Array, Tally
from .runs import Group, Level, Run, Study, floors_of

Outcome = Literal["held", "did not hold", "undecided", "not tested"]
State = Literal["recovered", "nearly", "lost", "undecided"]

RECOVERED, NEARLY = 0.05, 0.15
"""Shares of the dense score: a loss larger than the first is excluded where it is recovered, than the second where nearly."""
LOW_SPARSITY, HIGH_SPARSITY = 50, 80
"""Percent: "low sparsity" is up to the first, "above 80 %" beyond the second."""
NEAR = 3
"""Percent: a round this near to a sparsity stands for it."""
RECOVERY_CURVES = ("layerwise-best-no-stop", "l1-b8-finetuned", "l1-b8-pretrained", "l1-b16-pretrained")
"""On which curve recovery is asked: the first that was run; the paper's best one comes first."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of one score on a finding."""

    outcome: Outcome
    difference: Difference | None = None
    seeds: tuple[float, ...] = ()
    """The difference of each seed alone."""
    why: str = ""
    """A remark, such as why the finding was not tested."""


@dataclass(frozen=True)
class Finding:
    """A claim, and its verdict under each score."""

    key: str
    claim: str
    rule: str
    """The comparison, and when the claim has held."""
    verdicts: Mapping[str, Verdict]
    """Measure -> verdict."""


@dataclass(frozen=True)
class Recovery:
    """One curve at one sparsity compared with its own dense model, under each score."""

    group: str
    title: str
    level: Level
    states: Mapping[str, State]
    differences: Mapping[str, Difference]
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """The difference of two curves."""

    differences: Mapping[str, Difference] = field(default_factory=dict)
    seeds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    levels: tuple[Level, ...] = ()
    why: str = ""
    """Why there is no difference."""


def compare(first: Group | None, second: Group | None, is_compared: Callable[[Level], bool]) -> Comparison:
    """Compares two curves on the rows that both were scored on.

    Args:
        first: One curve.
        second: The other.
        is_compared: Which sparsities count.

    Returns:
        The mean over the sparsities that all runs have of the mean over seeds; only seeds that both have count, where there are
        any, otherwise all.
    """
    if first is None or second is None:
        return Comparison(why="The runs that it needs are missing.")
    ours, theirs, paired = _sides(first.compared, second.compared)
    if not ours or not theirs:
        return Comparison(why="The comments of the runs that it needs are missing.")
    if len({run.rows for run in (*ours, *theirs)}) > 1:
        return Comparison(why="The runs were scored on different rows.")
    levels = tuple(level for level in _common([*ours, *theirs]) if is_compared(level))
    if not levels:
        return Comparison(why="The runs have no such sparsity in common.")
    draws = draw(len(ours[0].rows))
    sides = [[_over_levels(run, levels, draws) for run in runs] for runs in (ours, theirs)]
    known = _measures([*ours, *theirs], [scores for side in sides for scores in side])
    means = [{name: np.mean([scores[name] for scores in side], axis=0) for name in known} for side in sides]
    pairs = list(zip(*sides, strict=True)) if paired else []
    return Comparison(
        {name: difference_of(means[0][name] - means[1][name]) for name in known},
        {name: tuple(float(a[name][0] - b[name][0]) for a, b in pairs) for name in known},
        levels,
    )


def judge(difference: Difference, seeds: Sequence[float]) -> Outcome:
    """The rule of every comparison: the interval must exclude 0, and no seed may contradict."""
    if difference.low > 0 and all(value > 0 for value in seeds):
        return "held"
    if difference.high < 0 and all(value < 0 for value in seeds):
        return "did not hold"
    return "undecided"


def state_of(difference: Difference, dense: float) -> State:
    """Whether a pruned model is as good as the dense one.

    Args:
        difference: Pruned minus dense.
        dense: The dense score.

    Returns:
        "recovered" where the interval excludes a loss of more than `RECOVERED` of the dense score, "nearly" where it excludes
        one of more than `NEARLY`, "lost" where it is neither and the loss is clear, else "undecided".
    """
    if difference.low >= -RECOVERED * dense:
        return "recovered"
    if difference.low >= -NEARLY * dense:
        return "nearly"
    return "lost" if difference.high < 0 else "undecided"


def recoveries(study: Study) -> list[Recovery]:
    """Compares every curve at every sparsity with its own dense model."""
    return [each for group in study.groups for each in recovery(group)]


def recovery(group: Group) -> list[Recovery]:
    """Compares one curve with its own dense model at every sparsity that all its complete runs have."""
    runs = [run for run in group.compared if 0 in run.tallies]
    if not runs or len({run.rows for run in runs}) > 1:
        return []
    draws, recovered = draw(len(runs[0].rows)), []
    dense = mean_scores([run.tallies[0] for run in runs], draws)
    for level in _common(runs):
        if level > 0:
            pruned = mean_scores([run.tallies[level] for run in runs], draws)
            lost = {name: difference_of(pruned[name] - dense[name]) for name in _measures(runs, [pruned, dense])}
            states = {name: state_of(each, float(dense[name][0])) for name, each in lost.items()}
            recovered.append(Recovery(group.key, group.title, level, states, lost, len(runs)))
    return recovered


def disagreements(all_recoveries: Sequence[Recovery]) -> list[Recovery]:
    """Where smoothed BLEU-4 says "recovered" and chrF says that something was clearly lost."""
    return [
        each
        for each in all_recoveries
        if each.states["bleu"] == "recovered" and each.states["chrf"] != "recovered" and each.differences["chrf"].high < 0
    ]


def findings(study: Study) -> list[Finding]:
    """The paper's findings about pruning, in its order, after one about the score itself."""
    curve = study.of_curve

    def versus(key: str, claim: str, first: str, second: str, levels: str, is_compared: Callable[[Level], bool]) -> Finding:
        rule = f"{first} minus {second}, mean over {levels}: above 0"
        return finding_of(key, claim, rule, compare(curve(first), curve(second), is_compared))

    def pruned(level: Level) -> bool:
        return level > 0

    return [
        _above_name(study),
        versus(
            "l1-random", "L1 beats random pruning", "l1-b16-pretrained", "random-b16-pretrained", "all pruned rounds", pruned
        ),
        versus(
            "l1-random-finetuned", "L1 beats random pruning, rewinding to the fine-tuned model, too", "l1-b8-finetuned",
            "random-b8-finetuned", "all pruned rounds", pruned,
        ),
        versus(
            "batch", "Batch 8 beats batch 16", "l1-b8-pretrained", "l1-b16-pretrained", "all rounds, the dense one too",
            lambda level: True,
        ),
        versus(
            "finetuned-low", "At low sparsity, rewinding to the fine-tuned model is better", "l1-b8-finetuned",
            "l1-b8-pretrained", f"pruned rounds up to {LOW_SPARSITY} %",
            lambda level: 0 < level <= LOW_SPARSITY,
        ),
        versus(
            "pretrained-high", "Above 80 % sparsity, rewinding to the pre-trained model is better", "l1-b8-pretrained",
            "l1-b8-finetuned", f"rounds above {HIGH_SPARSITY} %", lambda level: level > HIGH_SPARSITY,
        ),
        versus(
            "overfit", "Pruning from an over-fitted model is harmful: picking best beats picking last", "layerwise-best",
            "layerwise-last", "all pruned rounds", pruned,
        ),
        versus(
            "no-stop-last", "The best picker is best-no-stop: it beats picking last", "layerwise-best-no-stop", "layerwise-last",
            "all pruned rounds", pruned,
        ),
        versus(
            "no-stop-best", "The best picker is best-no-stop: it beats picking best", "layerwise-best-no-stop", "layerwise-best",
            "all pruned rounds", pruned,
        ),
        *_recovery_findings(study),
    ]  # fmt: skip


def _measures(runs: Sequence[Run], scores: Sequence[Mapping[str, Array]]) -> list[str]:
    """The measures that all scores have; similarities by different embedders cannot be compared."""
    embedders = {result.signatures.get(SEMANTIC, "") for run in runs for result in run.results}
    return [name for name in TITLES if all(name in each for each in scores) and (name != SEMANTIC or len(embedders) == 1)]


def finding_of(key: str, claim: str, rule: str, comparison: Comparison) -> Finding:
    """A claim with the verdict that a comparison gives under each score.

    Args:
        key: Its name.
        claim: What holds where the difference is above 0.
        rule: The comparison in words.
        comparison: The difference of two curves.
    """
    if comparison.why:
        return Finding(key, claim, rule, {name: Verdict("not tested", why=comparison.why) for name in MEASURES})
    at = f"at {_listed(comparison.levels)} %"
    verdicts = {
        name: Verdict(judge(each, comparison.seeds[name]), each, comparison.seeds[name], at)
        for name, each in comparison.differences.items()
    }
    return Finding(key, claim, rule, verdicts)


def _listed(levels: Sequence[Level]) -> str:
    """Sparsities, short where they are many: "50, 90", "10 to 90"."""
    return ", ".join(map(str, levels)) if len(levels) < 4 else f"{levels[0]} to {levels[-1]}"


def _above_name(study: Study) -> Finding:
    """Judges what the paper does not ask: whether the dense model beats a program that prints the method's name."""
    claim = "The dense model beats printing the method's own name"
    rule = "the dense model's score minus the method name's, on the same rows: above 0"
    for name in RECOVERY_CURVES + tuple(group.key for group in study.groups):
        group = study.of_curve(name) or next((each for each in study.groups if each.key == name), None)
        runs = [run for run in group.compared if 0 in run.tallies] if group else []
        if group and runs and len({run.rows for run in runs}) == 1:
            floor = floors_of(next(iter(runs[0].predictions.values())), CONSTANT_PREDICTION)["name"]
            draws = draw(len(floor))
            ours = [mean_scores([run.tallies[0]], draws) for run in runs]
            names = mean_scores([floor], draws)
            mean = {key: np.mean([scores[key] for scores in ours], axis=0) for key in MEASURES}
            seeds = {key: tuple(float(scores[key][0] - names[key][0]) for scores in ours) for key in MEASURES}
            comparison = Comparison({key: difference_of(mean[key] - names[key]) for key in MEASURES}, seeds, (0,))
            return finding_of("above-name", claim, f"{group.key}: {rule}", comparison)
    return finding_of("above-name", claim, rule, Comparison(why="No run has the comments of its dense model."))


def _recovery_findings(study: Study) -> list[Finding]:
    group = next((curve for name in RECOVERY_CURVES if (curve := study.of_curve(name)) and recovery(curve)), None)
    levels = {each.level: each for each in recovery(group)} if group else {}
    at = group.key if group else "no curve"
    return [
        _at(
            "recovered-20", "The dense score is recovered at 20 % sparsity",
            f"{at} at 20 %: a loss of more than {100 * RECOVERED:.0f} % of the dense score is excluded",
            _near(levels, 20), _is_recovered,
        ),
        _lost_beyond(at, [each for level, each in levels.items() if level > 20 + NEAR]),
        _at(
            "nearly-50", "The dense score is nearly recovered at 50 % sparsity",
            f"{at} at 50 %: a loss of more than {100 * NEARLY:.0f} % of the dense score is excluded",
            _near(levels, 50), _is_nearly,
        ),
    ]  # fmt: skip


def _near(levels: Mapping[Level, Recovery], target: Level) -> Recovery | None:
    nearest = min(levels, key=lambda level: abs(level - target), default=None)
    return levels[nearest] if nearest is not None and abs(nearest - target) <= NEAR else None


def _is_recovered(recovered: Recovery, measure: str) -> Outcome:
    if recovered.states[measure] == "recovered":
        return "held"
    return "did not hold" if recovered.differences[measure].high < 0 else "undecided"


def _is_nearly(recovered: Recovery, measure: str) -> Outcome:
    state = recovered.states[measure]
    return "held" if state in ("recovered", "nearly") else "did not hold" if state == "lost" else "undecided"


def _at(key: str, claim: str, rule: str, recovered: Recovery | None, outcome: Callable[[Recovery, str], Outcome]) -> Finding:
    if recovered is None:
        why = "No run has a round at this sparsity, with its comments and those of its dense model."
        return Finding(key, claim, rule, {name: Verdict("not tested", why=why) for name in MEASURES})
    at = f"at {recovered.level} %"
    return Finding(
        key, claim, rule, {name: Verdict(outcome(recovered, name), each, why=at) for name, each in recovered.differences.items()}
    )


def _lost_beyond(at: str, recovered: Sequence[Recovery]) -> Finding:
    """Above 20 % the score is not recovered: a clear loss everywhere; one recovered round refutes it."""
    claim, rule = "Above 20 % sparsity it is not", f"{at}, each round above 20 %: clearly below the dense model"
    if not recovered:
        why = "No run has a round above 20 %, with its comments and those of its dense model."
        return Finding("lost-beyond-20", claim, rule, {name: Verdict("not tested", why=why) for name in MEASURES})
    verdicts = {}
    for name in (name for name in TITLES if all(name in each.states for each in recovered)):
        kept = [each for each in recovered if each.states[name] == "recovered"]
        open_ = [each for each in recovered if each.differences[name].high >= 0]
        shown = max(kept or recovered, key=lambda each: each.differences[name].value)
        outcome: Outcome = "did not hold" if kept else "undecided" if open_ else "held"
        verdicts[name] = Verdict(outcome, shown.differences[name], why=f"the best of them, at {shown.level} %")
    return Finding("lost-beyond-20", claim, rule, verdicts)


def _sides(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[Run], list[Run], bool]:
    """The runs of both sides, seed by seed where they share seeds."""
    ours, theirs = ({run.seed: run for run in reversed(side)} for side in (first, second))
    shared = sorted(ours.keys() & theirs.keys())
    if shared:
        return [ours[seed] for seed in shared], [theirs[seed] for seed in shared], True
    return list(first), list(second), False


def _common(runs: Sequence[Run]) -> list[Level]:
    return sorted(set.intersection(*(set(run.tallies) for run in runs)))


def _over_levels(run: Run, levels: Sequence[Level], draws: Array) -> dict[str, Array]:
    tallies: list[Tally] = [run.tallies[level] for level in levels]
    return mean_scores(tallies, draws)
