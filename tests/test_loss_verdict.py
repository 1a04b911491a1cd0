"""Live says from which sparsity on a loss can be measured."""

from dataclasses import replace
from pathlib import Path

import pytest
from app_runs import LARGE, SMALL, make_run, opened, until_shown, whole_run

from codeprune_tui.views.loss_verdict import first_loss, loss_sentence
from codeprune_tui.views.state import RoundView, RunView
from core.run.events import Happening, RoundFinished
from core.score.interval import Difference

NOTHING_LOST = Difference(0.2, -0.5, 0.9)
UNDECIDED = Difference(-0.4, -1.0, 0.0)
LOST = Difference(-1.4, -2.2, -0.6)


def view_of(*changes: Difference) -> RunView:
    rounds = {0: RoundView(0, finished=True)}
    for number, change in enumerate(changes, 1):
        rounds[number] = RoundView(number, sparsity=number / 10, finished=True, against_dense={"chrf": change})
    return RunView(by_round=rounds)


def test_nothing_is_said_before_a_pruned_round_is_complete() -> None:
    assert loss_sentence(RunView()) == loss_sentence(view_of()) == ""


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ((NOTHING_LOST, NOTHING_LOST), None),
        ((NOTHING_LOST, UNDECIDED), None),  # an interval that touches 0 excludes nothing
        ((NOTHING_LOST, LOST, LOST), 2),
        ((LOST, LOST), 1),
        ((LOST, NOTHING_LOST, LOST), 3),  # what comes back was not lost from there on
        ((LOST, LOST, UNDECIDED), None),
    ],
)
def test_the_loss_begins_where_every_later_round_has_one(changes: tuple[Difference, ...], first: int | None) -> None:
    view = view_of(*changes)
    loss = first_loss([view.by_round[number] for number in range(1, len(changes) + 1)], "chrf")
    assert (loss.number if loss else None) == first


def test_the_sentence_names_each_measure_with_its_interval() -> None:
    view = view_of(NOTHING_LOST, LOST)
    assert loss_sentence(view, short=True) == "Measurable loss against dense: chrF from 20 % on, −1.40 (−2.20 to −0.60)."
    assert "; smoothed BLEU-4 none up to 20 %, –" in loss_sentence(view)  # not measured: a dash
    kept = loss_sentence(view_of(NOTHING_LOST), short=True)
    assert kept == "Measurable loss against dense: chrF none up to 10 %, +0.20 (−0.50 to +0.90)."


def lossy(what: Happening) -> Happening:
    return replace(what, against_dense={"chrf": LOST}) if isinstance(what, RoundFinished) and what.round else what


@pytest.mark.parametrize(("size", "whole"), [(SMALL, False), (LARGE, True)])
async def test_live_says_it(tmp_path: Path, size: tuple[int, int], whole: bool) -> None:
    paths, _ = make_run(tmp_path, "lossy", [lossy(what) for what in whole_run()])
    async with opened(tmp_path, size) as (app, pilot):
        app.open_run(paths)
        await until_shown(app, "Measurable loss against dense: chrF from ")
        await until_shown(app, "on, −1.40 (−2.20 to −0.60)" + ("; smoothed BLEU-4" if whole else "."))
        await pilot.pause()


async def test_live_says_nothing_of_older_runs(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "older", whole_run())
    async with opened(tmp_path, LARGE) as (app, _):
        app.open_run(paths)
        await until_shown(app, "DONE")
        assert not app.screen.query_one("#loss-verdict").display
