"""Pictures of the two screens that people see most; they fail on any change of looks, so they are few and come last.

After a change that is meant: `pytest tests/test_app_snapshots.py --snapshot-update`, look at the pictures, commit them.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_runs import LARGE, NOW, SMALL, a_round, beginning, live, make_run, step, until_shown, whole_run
from textual.pilot import Pilot

from codeprune_tui.tui import CodepruneApp

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_live(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    events = [*beginning("ruby-mini-1"), *a_round(0, 15.0), *a_round(1, 14.5), *a_round(2, 13.5)[:-5]]
    paths, _ = make_run(tmp_path, "ruby-mini-1", [*events, step(2, 20, 2.5)])

    async def open_it(pilot: "Pilot[None]") -> None:
        assert isinstance(pilot.app, CodepruneApp)
        await until_shown(pilot.app, "ruby-mini-1")
        await pilot.press("enter")
        await until_shown(pilot.app, "round 2: 60 %")
        await until_shown(pilot.app, "ETA")
        await pilot.pause()

    with live(paths):
        app = CodepruneApp(tmp_path, clock=lambda: NOW)
        assert snap_compare(app, terminal_size=size, run_before=open_it)


def test_runs(snap_compare: Compare, tmp_path: Path) -> None:
    make_run(tmp_path, "finished", whole_run("finished"), ago=7200)
    make_run(tmp_path, "crashed", [*beginning(), *a_round(0, 15.0), *a_round(1, 14.5)], ago=90)

    async def open_it(pilot: "Pilot[None]") -> None:
        assert isinstance(pilot.app, CodepruneApp)
        await until_shown(pilot.app, "CRASHED")
        await pilot.pause()

    assert snap_compare(CodepruneApp(tmp_path, clock=lambda: NOW), terminal_size=SMALL, run_before=open_it)
