"""The filter of the list of runs: what it lets through, what it says of a mistake; and its orders."""

from dataclasses import replace
from pathlib import Path

import pytest

from codeprune_tui.views.run_columns import COLUMNS
from codeprune_tui.views.run_filter import FilterError, parse
from codeprune_tui.views.run_order import in_order
from core.recipe import Recipe
from core.run.folder import RunInfo, RunPaths, State

NOW = 1_000_000.0
RUN = RunInfo(
    RunPaths(Path("runs/Ruby-mini-1")), State.PAUSED, "lottery", 3, 9, 0.30000001, 12.004, 15.0, 15.0, "cuda:0", NOW - 3600
)
NEW = replace(RUN, state=State.NEW, round=-1, sparsity=0.0, bleu=None, best_bleu=None, dense_bleu=None, device="", changed=0.0)


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "ruby", "RUBY mini", "paus", "cuda", "bleu>10", "BLEU>10", "bleu=12.00", "bleu<=12", "bleu!=11", "best=15",
        "diff=-3", "diff=−3.00", "diff<0", "sparsity=0.3", "sparsity>=30%", "sparsity<=0.3", "round=3", "rounds>=9",
        "before<50%", "dense>=15",
        "state=paused", "state=PAUSED", "state!=done", "kind=lottery", "run=ruby-mini-1", "run!=ruby", "device=cuda:0",
        "age<2h", "age>59min", "age>59m", "age>=3600s", "age<1d", "age<1.5w",
        "ruby bleu>10 state=paused kind=lottery sparsity>=0.3 age<2h",
    ],
)  # fmt: skip
def test_let_through(text: str) -> None:
    assert parse(text).matches(RUN, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "python", "ruby python", "bleu>12", "bleu<12", "bleu=12.01", "bleu!=12", "best<15", "diff>-3", "sparsity>0.3",
        "sparsity=31%", "round>3", "rounds<9", "state=done", "state!=paused", "kind=finetune", "run=ruby", "device=cpu",
        "age<1h", "age>60min", "ruby bleu>10 state=done",
    ],
)  # fmt: skip
def test_kept_out(text: str) -> None:
    assert not parse(text).matches(RUN, NOW)


@pytest.mark.parametrize(
    "text", ["bleu>0", "bleu<0", "bleu!=3", "best>=0", "diff<99", "sparsity=0", "round>=0", "age<1d", "age>1d"]
)
def test_a_figure_that_is_not_there_never_matches(text: str) -> None:
    assert not parse(text).matches(NEW, NOW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "bleuu>10",
            "There is no 'bleuu' to filter by. Did you mean bleu? There are: run, state, kind, round, rounds, sparsity, before, "
            "chrf, bleu, floor, best, dense, diff, age, device, job, sweep, host.",
        ),
        ("xyzzy=1", "There is no 'xyzzy' to filter by. There are:"),
        ("bleu>", "'bleu>' lacks its value. Write it without spaces"),
        ("bleu>ten", "'ten' is not a number that bleu can have. Write a number, such as: bleu>10"),
        ("bleu>nan", "'nan' is not a number"),
        ("bleu>10%", "'10%' is not a number"),
        ("bleu==10", "'=10' is not a number"),
        ("sparsity>50", "Sparsity is a share from 0 to 1. Write sparsity>0.5 or sparsity>50%"),
        ("sparsity>150%", "Sparsity is a share from 0 to 1."),
        ("state=pausd", "No run can have the state 'pausd'. Did you mean paused? There are: new, starting, running, paused"),
        ("kind=prune", "No run can have the kind 'prune'."),
        ("state>paused", "state is a text and cannot be > anything. Write state=paused or state!=paused"),
        ("age<2", "'2' is not an age. Write a number with s, min, h, d or w, such as: age<2h"),
        ("age<..h", "'..h' is not an age."),
        ("age=2h", "An age changes all the time. Write age<2h or age>2h"),
        ("ok bleu>x", "'x' is not a number"),
    ],
)
def test_a_mistake_names_its_fix(text: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert str(caught.value).replace("\n", " ").startswith(message)


def test_the_kinds_are_those_of_recipes() -> None:
    from typing import get_args

    assert get_args(Recipe.model_fields["kind"].annotation) == COLUMNS["kind"].choices


def test_orders() -> None:
    def named(name: str, bleu: float | None = None) -> RunInfo:
        return replace(RUN, paths=RunPaths(Path(name)), bleu=bleu)

    runs = [named("run-10", 3.0), named("Run-2"), named("run-1", 5.0), named("other", 3.0)]

    def order(name: str, down: bool) -> list[str]:
        return [info.paths.name for info in in_order(runs, name, down)]

    assert order("newest", False) == ["run-10", "Run-2", "run-1", "other"]
    assert order("newest", True) == ["other", "run-1", "Run-2", "run-10"]
    assert order("run", False) == ["other", "run-1", "Run-2", "run-10"]
    # What has no figure stands last either way; equal ones stay newest first.
    assert order("bleu", True) == ["run-1", "run-10", "other", "Run-2"]
    assert order("bleu", False) == ["run-10", "other", "run-1", "Run-2"]
