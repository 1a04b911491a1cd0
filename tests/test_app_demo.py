"""The demo in the app: what came with the package is listed and read-only, and one key starts a run on it."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from app_runs import (
    LARGE,
    NOW,
    SMALL,
    a_round,
    beginning,
    evaluated,
    live,
    make_run,
    opened,
    shown,
    started,
    step,
    until,
    until_shown,
    whole_run,
)
from test_client import stand_in

from codeprune_tui import bundle
from codeprune_tui.runs import client
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.views.text import percent
from core.recipe import load_recipe
from core.run.events import FloorsMeasured, Scores
from core.run.folder import RunPaths, is_held

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


@pytest.fixture
def checkpoints(tmp_path: Path) -> Iterator[Path]:
    """An empty folder of runs; no worker is left in it afterwards."""
    folder = tmp_path / "checkpoints"
    yield folder
    for lock in folder.glob("*/worker.lock"):
        paths = RunPaths(lock.parent)
        if is_held(paths) and (started := client.newest_start(paths)):
            os.kill(started.pid, signal.SIGKILL)


FLOORS = {"constant": {"bleu": 8.75}, "name": {"bleu": 13.16}}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of known content: two models without weights, the real recipes, and an example run."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    (folder / "recipes").symlink_to(bundle.folder() / "recipes")
    for name, facts in (
        (
            "ruby-mini",
            {"split": "valid", "rows": 1400, "scores": {"bleu": 15.25, "corpus_bleu": 2.0, "chrf": 20.0}, "floors": FLOORS},
        ),
        ("ruby-mini-pretrained", {"held_out_accuracy": 0.543}),
    ):
        header = json.dumps({"a": {"dtype": "F16", "shape": [1_500_000, 4], "data_offsets": [0, 0]}}).encode()
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        os.truncate(folder / name / "model.safetensors", 12_000_000)
        (folder / name / "metrics.json").write_text(json.dumps(facts))
    make_run(folder, bundle.EXAMPLE, whole_run(bundle.EXAMPLE), ago=90_000)
    monkeypatch.setattr(bundle, "folder", lambda: folder)
    return folder


@pytest.fixture
def stand_in_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def choose(mode: str) -> None:
        monkeypatch.setattr(client, "start", partial(client.start, command=stand_in(mode)))

    return choose


@SIZES
async def test_models_and_example_are_listed(checkpoints: Path, shipped: Path, size: tuple[int, int]) -> None:
    async with opened(checkpoints, size, demo=True) as (app, _):
        await until_shown(app, "DONE")
        lines = {line.split()[0]: line.split() for line in shown(app).splitlines() if line.strip()}
        # The small table leaves out chrF, which the line about the chosen run has, and the best.
        figures = ["19.20", "12.00", "–", "15.00", "−3.00"] if size == LARGE else ["12.00", "–", "−3.00"]
        assert lines["example-run"][1 : 6 + len(figures)] == ["✓", "DONE", "3/3", "90", "%", *figures]
        assert " ".join(lines["ruby-mini"]).startswith("ruby-mini 12.0 MB 6.0 M parameters BLEU 15.25 (name 13.16),")
        await until_shown(app, "1,400 valid rows")
        assert " ".join(lines["ruby-mini-pretrained"]) == (
            "ruby-mini-pretrained 12.0 MB 6.0 M parameters finds 54.3 % of hidden tokens"
        )
        await until_shown(app, "d prunes ruby-mini on the bundled corpus, 7 rounds up to 95 %, shown live.")
        await until_shown(app, "d Demo")


async def test_without_the_demo_nothing_of_it_is_in_the_way(checkpoints: Path, shipped: Path) -> None:
    async with opened(checkpoints) as (app, _):
        await until_shown(app, "No runs yet.")
        await until_shown(app, "d to try it on the bundled model")
        assert "example-run" not in shown(app)
        assert "ruby-mini" not in shown(app)


async def test_ones_own_runs_stand_first_and_may_have_the_examples_name(checkpoints: Path, shipped: Path) -> None:
    make_run(checkpoints, "zebra", whole_run("zebra"))
    async with opened(checkpoints, demo=True) as (app, _):
        await until_shown(app, "zebra")
        await until_shown(app, "example-run")
        assert app.runs is not None
        assert [info.paths.name for info in app.runs] == ["zebra", "example-run"]
        make_run(checkpoints, "example-run", whole_run("example-run"))
        await until(lambda: [info.paths.root.parent for info in app.runs or []] == [checkpoints, checkpoints])
        await until(lambda: "read-only" not in shown(app))


@SIZES
async def test_one_key_starts_a_run_and_shows_it(
    checkpoints: Path, shipped: Path, stand_in_start: Callable[[str], None], size: tuple[int, int]
) -> None:
    stand_in_start("endless")
    app = CodepruneApp(checkpoints, clock=time.time, demo=True)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_shown(app, "read-only")
        await pilot.press("d", "d")  # a second press while it starts is no second run
        await until_shown(app, "[2 Live]")
        await until_shown(app, "demo-1  ● RUNNING")
        written = load_recipe(checkpoints / "demo-1" / "recipe.toml")
        assert written == client.anchored(bundle.demo_recipe())
        await pilot.press("1")
        await until_shown(app, "[1 Runs]")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(lambda: (target := screen.target()) and target.name == "demo-1")  # what is pressed now is meant for it
        await pilot.press("d")  # the run that is at work is shown; two would take turns on the same cores
        await until_shown(app, "[2 Live]")
        assert [folder.name for folder in checkpoints.iterdir()] == ["demo-1"]


async def test_a_demo_that_cannot_start_is_told_and_can_be_tried_again(
    checkpoints: Path, shipped: Path, stand_in_start: Callable[[str], None]
) -> None:
    stand_in_start("refuse")
    async with opened(checkpoints, LARGE, demo=True) as (app, pilot):
        await until_shown(app, "read-only")
        await pilot.press("d")
        await until_shown(app, "<1B>[2Jno such model")
        await until_shown(app, "[1 Runs]")
        await pilot.press("d")
        await until(lambda: (checkpoints / "demo-2").exists())


@SIZES
async def test_the_example_is_shown_but_not_commanded(checkpoints: Path, shipped: Path, size: tuple[int, int]) -> None:
    example = shipped / bundle.EXAMPLE
    before = {str(file): file.stat().st_mtime_ns for file in example.rglob("*")}
    async with opened(checkpoints, size, demo=True) as (app, pilot):
        await until_shown(app, "read-only")
        for key in ("p", "r", "n", "s", "K"):
            await pilot.press(key)
            await until_shown(app, "example-run is an example: it can be")
            await until(lambda: len(app.screen_stack) == 1)
            app.clear_notifications()
            await until(lambda: "is an example" not in shown(app))
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")
        await until_shown(app, "example-run  ✓ DONE")
        await until_shown(app, "dense 24.00")
        for key in ("p", "r", "s", "K"):
            await pilot.press(key)
            await until_shown(app, "example-run is an example: it can be")
            app.clear_notifications()
            await until(lambda: "is an example" not in shown(app))
        await pilot.press("1", "c")  # its recipe may be copied: the form opens
        await until(lambda: isinstance(app.screen, NewRunScreen))
    assert {str(file): file.stat().st_mtime_ns for file in example.rglob("*")} == before


async def test_the_real_example_reads_well(checkpoints: Path) -> None:
    example = bundle.example()
    assert example is not None
    recipe = bundle.demo_recipe()
    app = CodepruneApp(checkpoints, clock=lambda: NOW, demo=True)
    async with app.run_test(size=LARGE) as pilot:
        await until_shown(app, f"{recipe.rounds}/{recipe.rounds}")
        await pilot.press("enter")
        await until_shown(app, f"sparsity %, round {recipe.rounds}: {percent(recipe.pruning.final_sparsity)}")
        await until_shown(app, f"Finished: all {recipe.rounds + 1} rounds are complete")
        await until_shown(app, "scores and floors")


async def test_a_crashed_demo_does_not_keep_another_from_starting(
    checkpoints: Path, shipped: Path, stand_in_start: Callable[[str], None]
) -> None:
    stand_in_start("endless")
    make_run(checkpoints, "demo-1", [*beginning("demo-1"), *a_round(0, 15.0)], ago=90)
    other, _ = make_run(checkpoints, "other", [*beginning("other"), *a_round(0, 15.0)])
    with live(other):
        async with opened(checkpoints, demo=True) as (app, pilot):
            await until_shown(app, "CRASHED")
            await pilot.press("d")
            await until_shown(app, "demo-2")
            await until_shown(app, "[2 Live]")


@SIZES
async def test_the_demos_first_minute_shows_the_example_until_the_run_has_scores_of_its_own(
    checkpoints: Path, shipped: Path, size: tuple[int, int]
) -> None:
    floors = FloorsMeasured(split="valid", rows=200, constant=Scores(1.25, 0.1, 5.0), name=Scores(2.5, 0.2, 6.0))
    paths, worker = make_run(checkpoints, "demo-1", [started("demo-1"), floors, a_round(0, 15.0)[0], step(0, 1)])
    with live(paths):
        async with opened(checkpoints, size, demo=True) as (app, pilot):
            await until_shown(app, "demo-1")
            await pilot.press("enter")
            await until_shown(app, "example-run: chrF by round")
            await until_shown(app, "an example, not your run")
            await until_shown(app, "dense 24.00")
            if size == LARGE:  # the floors are those of each run
                await until_shown(app, "6.0   2.50")
            await until_shown(app, "name 16.7")
            worker.append(evaluated(0, 10, 9.75))
            await until(lambda: "example-run" not in shown(app))
            await until_shown(app, "chrF by round")
            await until_shown(app, "9.75")
            await until(lambda: "name 16.7" in shown(app), "of its own evaluation")


async def test_other_runs_never_show_the_example(checkpoints: Path, shipped: Path) -> None:
    paths, _ = make_run(checkpoints, "mine", [started("mine"), a_round(0, 15.0)[0], step(0, 1)])
    with live(paths):
        async with opened(checkpoints, demo=True) as (app, pilot):
            await until_shown(app, "mine")
            await pilot.press("enter")
            await until_shown(app, "loss 3.000")
            await until_shown(app, "chrF by round")
            assert "example-run" not in shown(app)
