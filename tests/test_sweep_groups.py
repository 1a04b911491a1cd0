"""Sweeps in the list of runs: their lines, their details, what is folded, and the commands that go to all runs of one."""

import json
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from app_runs import LARGE, NOW, SMALL, a_round, beginning, live, make_run, opened, shown, until, until_shown, whole_run
from rich.cells import cell_len
from test_app_runs import SIZES, at, names
from test_cli import Cli, run_cli  # noqa: F401 - a fixture
from textual.widgets import DataTable, Static

from codeprune_tui.runs.sweeps import SweepFolder
from codeprune_tui.screens.compare import CompareScreen
from codeprune_tui.screens.live import LiveScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.views.run_columns import cells_of, place_of
from codeprune_tui.views.sweep_groups import FOLDED_FROM, Standing, arranged, details, eta_s, groups_of, summary
from core.recipe import Recipe
from core.run.events import Paused
from core.run.folder import Holder, RunInfo, RunPaths, State, create_run, run_info
from core.run.holder import RAY_NODE, cluster_job

SHORT = replace(RunInfo(RunPaths(Path("x")), State.DONE, "lottery", 3, 3, 0.5, 12.0, 15.0, 15.0, "cpu", NOW))


def info(name: str, state: State = State.DONE, sweep: str = "s", **other: object) -> RunInfo:
    return replace(SHORT, paths=RunPaths(Path(name)), state=state, sweep=sweep, **other)  # type: ignore[arg-type]  # by name


# --- as data


def test_a_sweep_stands_where_its_first_run_stands_and_its_runs_below_it() -> None:
    infos = [info("a", sweep=""), info("b"), info("c", sweep=""), info("d"), info("e", sweep="t")]
    groups = groups_of(infos, {"s": 3, "gone": 9})
    assert {name: (len(each.infos), each.missing) for name, each in groups.items()} == {"s": (2, 3), "t": (1, 0)}

    def lines(*folded: str) -> list[str]:
        return [each.name if isinstance(each, Standing) else each.paths.name for each in arranged(infos, groups, folded)]

    assert lines() == ["a", "s", "b", "d", "c", "t", "e"]
    assert lines("s", "t") == ["a", "s", "c", "t"]
    assert [each.paths.name for each in arranged(infos, {}, ["s"]) if isinstance(each, RunInfo)] == ["a", "b", "c", "d", "e"]


def test_the_time_left_is_shared_among_the_runs_at_work_and_not_counted_for_paused_ones() -> None:
    done = info("done", round_s=10.0)
    half = info("half", State.RUNNING, round=1, round_s=20.0)
    (at,) = groups_of([done, half], {"s": 1}).values()
    round_s = (4 * 10.0 + 2 * 20.0) / 6
    assert at.eta_s == pytest.approx((2 + 4) * round_s)
    paused = replace(half, state=State.PAUSED)
    assert groups_of([done, paused], {})["s"].eta_s is None
    assert eta_s([info("new", State.RUNNING, round=-1, round_s=None)], 0, None) is None


def test_a_line_has_words_where_they_fit_and_signs_where_they_do_not() -> None:
    states = [State.DONE] * 5 + [State.RUNNING] * 3 + [State.FAILED] * 2 + [State.CRASHED]
    at = Standing("s", tuple(info(str(n), each) for n, each in enumerate(states)), 4, 7500.0, ("3", 15.25))
    assert summary(at, 100) == "5 DONE, 4 missing, 3 RUNNING, 2 FAILED, 1 CRASHED · best 15.25 · 2 h 05 min left"
    assert summary(at, 60) == "✓ 5  · 4  ● 3  ✗ 3   best 15.25   2 h 05 min left"
    assert all(cell_len(summary(at, width)) <= width for width in range(2, 100))
    assert details(at)[0] == "15 runs: 5 DONE, 4 missing, 3 RUNNING, 2 FAILED, 1 CRASHED"
    assert details(at)[1] == "best BLEU 15.25, 3 · about 2 h 05 min left · at work: 3 on this machine"


def test_where_a_worker_is() -> None:
    assert cluster_job({}) == ""
    assert cluster_job({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}) == "Slurm 5_2"
    assert cluster_job({"SLURM_JOB_ID": "7"}) == "Slurm 7"
    assert cluster_job({"SLURM_JOB_ID": "7", RAY_NODE: "5f2a9c01deadbeef"}) == "Ray 5f2a9c01"
    assert place_of(info("a")) == ""
    assert place_of(info("a", host="node7", job="Slurm 5_2")) == "on node7, Slurm 5_2"


def test_the_job_of_a_worker_that_has_not_written_it_yet_or_has_ended_is_not_shown(tmp_path: Path) -> None:
    paths = create_run(tmp_path, "mine", Recipe())
    paths.lock.write_text(str(Holder(time.time(), "node7")))
    paths.meta.write_text(json.dumps({"host": "node7", "pid": 5, "job": "Slurm 3_1"}))
    assert run_info(paths, time.time()).job == "Slurm 3_1"
    assert cells_of(run_info(paths, time.time()), time.time(), "mine")["job"].plain.strip() == "Slurm 3_1"
    paths.meta.write_text(json.dumps({"host": "node6", "pid": 5, "job": "Slurm 3_1"}))
    assert run_info(paths, time.time()).job == ""
    paths.meta.write_text(json.dumps({"host": "node7", "pid": 5, "job": "Slurm 3_1"}))
    os.utime(paths.lock, (1, 1))
    assert run_info(paths, time.time()).job == ""


def test_status_lists_jobs_where_there_are_any(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    paths = create_run(tmp_path, "mine", Recipe())
    assert "job" not in run_cli("status", "--checkpoints", str(tmp_path)).out.splitlines()[0]
    paths.lock.write_text(str(Holder(time.time(), "node7")))
    paths.meta.write_text(json.dumps({"host": "node7", "job": "Slurm 3_1"}))
    listed = run_cli("status", "--checkpoints", str(tmp_path)).out.splitlines()
    assert listed[0].split()[-2:] == ["job", "host"]
    assert listed[1].split()[-3:] == ["Slurm", "3_1", "node7"]


# --- on the screen


def a_sweep(checkpoints: Path, number: int = FOLDED_FROM, missing: int = 2) -> list[RunPaths]:
    """A sweep of finished runs, and a run that stands alone."""
    make_run(checkpoints, "alone", whole_run("alone"), ago=9000)
    runs = [make_run(checkpoints, f"scopes-{n}", whole_run(f"scopes-{n}"), ago=100 + n)[0] for n in range(number)]
    SweepFolder(checkpoints, "scopes").begin([*(run.name for run in runs), *(f"later-{n}" for n in range(missing))])
    return runs


@SIZES
async def test_a_large_sweep_is_folded_and_enter_and_space_unfold_and_fold_it(tmp_path: Path, size: tuple[int, int]) -> None:
    a_sweep(tmp_path)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "9 runs · newest first")
        assert names(app) == [".sweeps/scopes", "alone"]
        await until_shown(app, "▸ scopes")
        await until_shown(app, "8 DONE, 2 missing · best 15.00")
        await until_shown(app, "10 runs: 8 DONE, 2 missing")
        assert at(app) == ""
        if size == LARGE:
            await until_shown(app, "scores and floors")  # of its best run
        await pilot.press("enter")
        await until_shown(app, "▾ scopes")
        assert names(app) == [".sweeps/scopes", *(f"scopes-{n}" for n in reversed(range(8))), "alone"]
        assert app.query_one(DataTable).cursor_row == 0
        await pilot.press("down", "down", "space")
        await until_shown(app, "1 marked")
        await pilot.press("home", "space")
        await until(lambda: names(app) == [".sweeps/scopes", "alone"])
        await until_shown(app, "* ▸ scopes")
        await pilot.press("escape", "down", "enter")
        await until(lambda: isinstance(app.screen, LiveScreen))


async def test_a_small_sweep_is_unfolded_and_a_filter_finds_the_runs_of_folded_ones(tmp_path: Path) -> None:
    a_sweep(tmp_path, FOLDED_FROM - 1)
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "▾ scopes")
        await pilot.press("enter")
        await until_shown(app, "▸ scopes")
        await pilot.press("slash", *"scopes-3", "enter")
        await until(lambda: names(app) == ["scopes-3"])
        await until_shown(app, "1 of 8 runs")
        await pilot.press("escape")
        await until(lambda: names(app) == [".sweeps/scopes", "alone"])


async def test_below_its_sweep_a_name_that_is_too_long_leaves_out_what_the_line_above_says(tmp_path: Path) -> None:
    kinds = [f"{scope}-{rewind}" for scope in ("layerwise", "global") for rewind in ("finetuned", "pretrained")]
    runs = [f"scopes-{kind}-s{seed}" for seed in (0, 1) for kind in kinds][: FOLDED_FROM - 1]
    for name in runs:
        make_run(tmp_path, name, beginning(name))
    SweepFolder(tmp_path, "scopes").begin(runs)
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "▾ scopes")
        for name in ("laye-fine-s0", "laye-fine-s1", "laye-pret-s0", "glob-fine-s1"):
            await until_shown(app, f"    {name}")
    async with opened(tmp_path, LARGE) as (app, _):
        await until_shown(app, "    scopes-global-finetuned-s1")


async def test_a_sweep_follows_the_order_of_the_list(tmp_path: Path) -> None:
    a_sweep(tmp_path)
    make_run(tmp_path, "zulu", whole_run("zulu"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "10 runs")
        assert names(app) == ["zulu", ".sweeps/scopes", "alone"]
        await pilot.press("o")
        await until(lambda: names(app) == ["alone", ".sweeps/scopes", "zulu"])
        await pilot.press("O")
        await until(lambda: names(app) == ["zulu", ".sweeps/scopes", "alone"])


def half_done(checkpoints: Path) -> list[RunPaths]:
    """A sweep with two runs that could be at work, one that is paused, one that waits, and one without a folder."""
    unfinished = [*beginning(), *a_round(0, 15.0)]
    runs = [make_run(checkpoints, f"run-{n}", unfinished)[0] for n in range(2)]
    runs += [make_run(checkpoints, "run-2", [*unfinished, Paused(round=1, step=0)])[0]]
    waiting, _ = make_run(checkpoints, "run-3", [])
    waiting.queued.touch()
    SweepFolder(checkpoints, "two").begin([*(run.name for run in runs), "run-3", "run-4"])
    return runs


def sent(paths: RunPaths) -> list[str]:
    if not paths.commands.exists():
        return []
    return [json.loads(line)["command"] for line in paths.commands.read_text().splitlines()]


@SIZES
async def test_pause_and_resume_go_to_all_runs_of_a_sweep_and_ask_first(tmp_path: Path, size: tuple[int, int]) -> None:
    runs = half_done(tmp_path)
    with ExitStack() as workers:
        for paths in runs:
            workers.enter_context(live(paths))
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "2 RUNNING")
            await until_shown(app, "1 QUEUED")
            await pilot.press("home", "p")
            await until_shown(app, "Pause 2 runs of two, each at its next step?")
            await pilot.press("n")
            await until(lambda: isinstance(app.screen, RunsScreen))
            assert [sent(paths) for paths in runs] == [[], [], []]
            await pilot.press("p", "y")
            await until(lambda: [sent(paths) for paths in runs] == [["pause"], ["pause"], []])
            await until_shown(app, "2 runs of two will pause at the next step.")
            await pilot.press("r")
            await until_shown(app, "Let 1 run of two go on that is paused?")
            await pilot.press("y")
            await until(lambda: sent(runs[2]) == ["resume"])


@SIZES
async def test_stop_goes_to_a_whole_sweep_and_nothing_more_begins(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codeprune_tui.screens.sweep_keys.PATIENCE_S", 0.0)
    runs = half_done(tmp_path)
    with live(runs[0]):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "1 RUNNING")
            await pilot.press("home", "s")
            await until_shown(app, "Stop two?")
            question = str(app.screen.query_one(".dialog Static", Static).content)
            assert "1 run saves a checkpoint and ends; 2 runs that wait will not begin." in question
            await pilot.press("y")
            await until(lambda: sent(runs[0]) == ["stop"])
            await until_shown(app, "two is stopped: 0 of 1 workers have left")
    assert SweepFolder(tmp_path, "two").stopped.exists()
    assert not RunPaths(tmp_path / "run-3").queued.exists()


async def test_commands_that_are_for_one_run_say_so_on_a_sweep(tmp_path: Path) -> None:
    a_sweep(tmp_path)
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "▸ scopes")
        for key in ("n", "K", "R", "c"):
            app.clear_notifications()
            await pilot.press(key)
            await until_shown(app, "scopes is a sweep of 8 runs. Enter shows them; choose one.")
            assert isinstance(app.screen, RunsScreen)
        for key, text in (("p", "No run of scopes is at work"), ("r", "No run of scopes is paused")):
            await pilot.press(key)
            await until_shown(app, text)
        await pilot.press("D")
        await until_shown(app, "Type delete 8:")
        await pilot.press("escape", "v")
        await until(lambda: isinstance(app.screen, CompareScreen) or "Compare takes" in shown(app))


async def test_where_runs_are_at_work_is_shown(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "far", [*beginning(), *a_round(0, 15.0)])
    paths.lock.write_text(str(Holder(NOW, "node7")))
    paths.meta.write_text(json.dumps({"device": "cpu", "host": "node7", "job": "Slurm 5_2"}))
    async with opened(tmp_path, SMALL) as (app, _):
        await until_shown(app, "far  on node7, Slurm 5_2")
    async with opened(tmp_path, LARGE) as (app, _):
        await until_shown(app, "@node7")
        await until_shown(app, "Slurm 5_2")


async def test_a_sweep_folder_with_a_foreign_name_is_none(tmp_path: Path) -> None:
    make_run(tmp_path, "alone", whole_run("alone"))
    folder = tmp_path / ".sweeps" / "\x1b[31m red"
    folder.mkdir(parents=True)
    (folder / "runs.txt").write_text("alone\n")
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "1 run")
        assert names(app) == ["alone"]
        assert not app.query_one("#chosen-sweep", Static).display
