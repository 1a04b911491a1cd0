"""What the controls say, on made-up comments whose answer is known."""

from dataclasses import replace

import pytest
from test_findings import RIGHT, a_run, outcomes, some

from codeprune_tui.reports.runs import controls_table, tables
from core.recipe import Recipe
from core.study.controls import control_findings
from core.study.runs import Run, group


def changed(run: Run, name: str, table: str, **values: object) -> Run:
    assert isinstance(run.recipe, Recipe)
    section = getattr(run.recipe, table).model_copy(update=values)
    return replace(run, name=f"{name}-s{run.seed}", recipe=run.recipe.model_copy(update={table: section}))


def runs(good: int, name: str, table: str, seeds: tuple[int, ...] = (0, 1), **values: object) -> list[Run]:
    return [
        changed(a_run("l1-b16-pretrained", seed, {0: RIGHT, 50: some(good), 90: some(good)}), name, table, **values)
        for seed in seeds
    ]


METHOD = runs(20, "ticket", "rewind")


def test_each_control_is_held_against_its_method() -> None:
    study = group(
        [
            *METHOD,
            *runs(4, "anew", "rewind", to="random"),
            *runs(20, "dealt", "pruning", criterion="shuffled"),
            *runs(2, "drawn", "pruning", criterion="random"),
            *runs(1, "inverted", "pruning", criterion="magnitude-inverted"),
        ]
    )
    by_control = {each.key.partition(":")[0]: each for each in control_findings(study)}
    assert {key: outcomes(each) for key, each in by_control.items()} == {
        "ticket": {"held"},
        "share": {"undecided"},  # as good as the method: only the share matters here
        "mask": {"held"},
        "order": {"held"},
    }
    assert by_control["ticket"].verdicts["chrf"].difference is not None
    assert "minus" in by_control["ticket"].rule
    table = controls_table(study)
    assert len(table.rows) == 4
    assert [heading for heading, _, _ in tables(study)].count("What the controls say") == 1


@pytest.mark.parametrize(
    "others",
    [
        [],
        runs(2, "other", "rewind", to="none"),  # no control
        [changed(run, "more", "training", steps=7) for run in runs(2, "anew", "rewind", to="random")],  # differs in more
    ],
)
def test_without_a_pair_there_is_nothing_to_say(others: list[Run]) -> None:
    study = group([*METHOD, *others])
    assert control_findings(study) == []
    assert "What the controls say" not in [heading for heading, _, _ in tables(study)]


def test_shuffled_speaks_of_magnitude_alone_and_controls_not_of_each_other() -> None:
    study = group([*runs(9, "wanda", "pruning", criterion="wanda"), *runs(4, "dealt", "pruning", criterion="shuffled")])
    assert control_findings(study) == []
    both = group(
        [*runs(9, "drawn", "pruning", criterion="random"), *runs(4, "inverted", "pruning", criterion="magnitude-inverted")]
    )
    assert control_findings(both) == []
