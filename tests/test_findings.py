"""The rules of the findings on made-up comments whose answer is known."""

from collections.abc import Mapping

import pytest

from core.run.predictions import Prediction
from core.run.results import MEASURES, Result
from core.score.interval import Difference
from core.study.experiments import recipe_of
from core.study.findings import Finding, compare, disagreements, findings, judge, recoveries, recovery, state_of
from core.study.runs import Group, Run, group

REFERENCES = [f"Returns the {noun} of the given {thing} ." for noun in ("name", "size", "owner", "age") for thing in
              ("file", "user", "row", "book", "page", "team")]  # fmt: skip
RIGHT, WRONG = list(REFERENCES), ["Zzz qqq"] * len(REFERENCES)


def some(good: int) -> list[str]:
    """The first comments right, the others wrong."""
    return RIGHT[:good] + WRONG[good:]


def a_run(curve: str, seed: int, rounds: Mapping[int, list[str]], references: list[str] = REFERENCES, planned: int = 0) -> Run:
    """A run that wrote these comments: percent -> comments."""
    recipe = recipe_of(curve, "small", seed)
    pruning = recipe.pruning.model_copy(update={"rounds": planned or len(rounds) - 1})
    rows = {
        number: tuple(
            Prediction(i, "a.first_name", text, reference)
            for i, (text, reference) in enumerate(zip(texts, references, strict=True))
        )
        for number, texts in enumerate(rounds.values())
    }
    results = tuple(Result(f"{curve}-s{seed}", number, level / 100) for number, level in enumerate(rounds))
    return Run(f"{curve}-s{seed}", recipe.model_copy(update={"pruning": pruning}), results, rows)


def findings_by_key(*runs: Run) -> dict[str, Finding]:
    return {each.key: each for each in findings(group(runs))}


def outcomes(finding: Finding) -> set[str]:
    return {verdict.outcome for verdict in finding.verdicts.values()}


def one(*runs: Run) -> Group:
    (only,) = group(runs).groups
    return only


def test_a_clear_winner_has_held_and_a_clear_loser_has_not() -> None:
    better = [a_run("l1-b16-pretrained", seed, {0: RIGHT, 50: some(20), 90: some(16)}) for seed in (0, 1)]
    worse = [a_run("random-b16-pretrained", seed, {0: RIGHT, 50: some(4), 90: some(2)}) for seed in (0, 1)]
    finding = findings_by_key(*better, *worse)["l1-random"]
    assert outcomes(finding) == {"held"}
    bleu = finding.verdicts["bleu"]
    assert bleu.difference is not None
    assert bleu.difference.value == pytest.approx(100 * (16 + 14) / 2 / 24, abs=0.5)
    assert bleu.seeds == pytest.approx((bleu.difference.value,) * 2)
    assert bleu.why == "at 50, 90 %"  # the dense rounds do not count
    swapped = [
        a_run("l1-b16-pretrained", 0, {0: RIGHT, 50: some(4)}),
        a_run("random-b16-pretrained", 0, {0: RIGHT, 50: some(20)}),
    ]
    assert outcomes(findings_by_key(*swapped)["l1-random"]) == {"did not hold"}


def test_equal_curves_and_seeds_that_contradict_are_undecided() -> None:
    same = [a_run(curve, 0, {0: RIGHT, 50: some(9)}) for curve in ("l1-b16-pretrained", "random-b16-pretrained")]
    assert outcomes(findings_by_key(*same)["l1-random"]) == {"undecided"}
    torn = [
        a_run("l1-b16-pretrained", 0, {0: RIGHT, 50: some(24)}),
        a_run("l1-b16-pretrained", 1, {0: RIGHT, 50: some(9)}),
        a_run("random-b16-pretrained", 0, {0: RIGHT, 50: some(2)}),
        a_run("random-b16-pretrained", 1, {0: RIGHT, 50: some(10)}),
    ]
    verdict = findings_by_key(*torn)["l1-random"].verdicts["bleu"]
    assert verdict.difference is not None
    assert verdict.difference.low > 0  # the rows alone would say held
    assert verdict.outcome == "undecided"


def test_only_low_and_high_sparsities_count_for_rewinding() -> None:
    tuned = a_run("l1-b8-finetuned", 0, {0: RIGHT, 20: some(20), 60: some(1), 80: some(1), 90: some(2)})
    fresh = a_run("l1-b8-pretrained", 0, {0: RIGHT, 20: some(6), 60: some(24), 80: some(24), 90: some(12)})
    both = findings_by_key(tuned, fresh)
    assert outcomes(both["finetuned-low"]) == outcomes(both["pretrained-high"]) == {"held"}
    assert both["finetuned-low"].verdicts["bleu"].why == "at 20 %"
    assert both["pretrained-high"].verdicts["bleu"].why == "at 90 %"


def test_recovery_has_three_parts() -> None:
    levels = {0: RIGHT, 20: RIGHT, 50: some(23), 90: some(6)}
    findings = findings_by_key(
        a_run("layerwise-best-no-stop", 0, levels), a_run("l1-b8-finetuned", 0, {0: RIGHT, 20: WRONG, 50: WRONG})
    )
    assert outcomes(findings["recovered-20"]) == {"held"}
    assert findings["nearly-50"].verdicts["bleu"].outcome == "held"
    assert findings["lost-beyond-20"].verdicts["bleu"].outcome == "undecided"  # one row of 24 at 50 % is no clear loss
    lost = findings_by_key(a_run("layerwise-best-no-stop", 0, {0: RIGHT, 20: some(9), 50: some(4), 90: WRONG}))
    assert outcomes(lost["recovered-20"]) == outcomes(lost["nearly-50"]) == {"did not hold"}
    assert outcomes(lost["lost-beyond-20"]) == {"held"}
    again = findings_by_key(a_run("layerwise-best-no-stop", 0, {0: RIGHT, 20: RIGHT, 50: some(4), 90: RIGHT}))
    assert outcomes(again["lost-beyond-20"]) == {"did not hold"}
    assert again["lost-beyond-20"].verdicts["bleu"].why == "the best of them, at 90 %"


def test_where_bleu_says_recovered_and_chrf_does_not_is_told() -> None:
    # No word is right on either side, so that smoothed BLEU sees no difference; chrF sees the letters.
    almost = [text.replace(" ", "x ") for text in REFERENCES]
    near, far = "Returnz thee ownerz off thee givenn rowz", "qq jj kk vv ww xx yy"
    run = a_run("l1-b8-finetuned", 0, {0: [near] * len(almost), 50: [far] * len(almost)})
    (case,) = disagreements(recoveries(group([run])))
    assert (case.level, case.states["bleu"], case.states["chrf"]) == (50, "recovered", "lost")
    honest = a_run("l1-b8-finetuned", 0, {0: RIGHT, 50: WRONG, 70: RIGHT})
    assert disagreements(recoveries(group([honest]))) == []


def test_the_dense_model_is_held_against_the_name() -> None:
    assert outcomes(findings_by_key(a_run("l1-b8-finetuned", 0, {0: RIGHT, 50: WRONG}))["above-name"]) == {"held"}
    names = ["Returns the first name ."] * len(REFERENCES)
    assert outcomes(findings_by_key(a_run("l1-b8-finetuned", 0, {0: names, 50: RIGHT}))["above-name"]) == {"undecided"}


def test_what_cannot_be_compared_is_not_tested() -> None:
    alone = findings_by_key(a_run("l1-b16-pretrained", 0, {0: RIGHT, 50: some(9)}))
    assert outcomes(alone["l1-random"]) == {"not tested"}
    assert alone["l1-random"].verdicts["bleu"].why == "The runs that it needs are missing."
    others = [f"{text} really" for text in REFERENCES]
    apart = findings_by_key(
        a_run("l1-b16-pretrained", 0, {0: RIGHT, 50: RIGHT}),
        a_run("random-b16-pretrained", 0, {0: WRONG, 50: WRONG}, others),
    )
    assert apart["l1-random"].verdicts["chrf"].why == "The runs were scored on different rows."
    nothing = findings_by_key()
    assert {outcome for each in nothing.values() for outcome in outcomes(each)} == {"not tested"}
    silent = a_run("l1-b16-pretrained", 0, {0: RIGHT, 50: RIGHT})
    silent = Run(silent.name, silent.recipe, silent.results, {})
    assert "comments" in compare(one(silent), one(silent), lambda level: True).why
    assert recovery(one(silent)) == []


def test_half_runs_do_not_shorten_a_comparison() -> None:
    whole = a_run("l1-b16-pretrained", 0, {0: RIGHT, 50: some(20), 90: some(20)})
    half = a_run("l1-b16-pretrained", 1, {0: RIGHT}, planned=2)
    other = a_run("random-b16-pretrained", 0, {0: RIGHT, 50: some(2), 90: some(2)})
    assert half.notes == ("Only 1 of 3 rounds are complete.",)
    assert findings_by_key(whole, half, other)["l1-random"].verdicts["bleu"].why == "at 50, 90 %"


@pytest.mark.parametrize(
    ("ends", "seeds", "outcome"),
    [((0.1, 2), (1, 1), "held"), ((0.1, 2), (), "held"), ((0.1, 2), (1, -0.1), "undecided"), ((-0.1, 2), (1,), "undecided"),
     ((-2, -0.1), (-1,), "did not hold"), ((-2, -0.1), (-3, 1), "undecided"), ((0, 2), (1,), "undecided")],
)  # fmt: skip
def test_judging(ends: tuple[float, float], seeds: tuple[float, ...], outcome: str) -> None:
    assert judge(Difference(1, *ends), seeds) == outcome


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [(-0.9, 1, "recovered"), (-1.1, 1, "nearly"), (-0.5, -0.1, "recovered"), (-2.9, -1, "nearly"), (-3.1, -0.1, "lost"),
     (-3.1, 0.1, "undecided")],
)  # fmt: skip
def test_states_of_a_dense_score_of_20(low: float, high: float, state: str) -> None:
    assert state_of(Difference(0, low, high), 20) == state


def test_every_finding_answers_for_every_measure() -> None:
    for each in findings(group([])):
        assert set(each.verdicts) == set(MEASURES)
