"""The garbage collector works while nobody types, and what it has to collect is collected."""

import subprocess
import sys
from pathlib import Path

import pytest
from app_runs import opened, until, until_shown

from codeprune_tui.terminal import gc
from codeprune_tui.terminal.gc import Tidying

ROOT = Path(__file__).resolve().parent.parent


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_waits_for_quiet_and_for_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[int] = []
    counts = [0, 0, gc.ENOUGH - 1]
    monkeypatch.setattr("gc.get_threshold", lambda: gc.THRESHOLDS)
    monkeypatch.setattr("gc.get_count", lambda: tuple(counts))
    monkeypatch.setattr("gc.collect", lambda: collected.append(1))
    clock = Clock()
    tidy = Tidying(clock)
    clock.now += gc.QUIET_S
    assert not tidy.look()  # quiet, but not enough
    counts[2] += 1
    tidy.touched()
    assert not tidy.look()  # enough, but not quiet
    clock.now += gc.QUIET_S - 0.01
    assert not tidy.look()
    assert collected == []
    clock.now += 0.02
    assert tidy.look()
    assert collected == [1]


def test_without_a_beginning_python_collects_by_itself() -> None:
    clock = Clock()
    tidy = Tidying(clock)
    clock.now += 60.0
    assert not tidy.look()


def test_what_is_no_longer_needed_goes_when_it_is_quiet_and_not_before() -> None:
    program = """
import weakref
from codeprune_tui.terminal.gc import QUIET_S, Tidying
class Node: pass
now = [0.0]
tidy = Tidying(lambda: now[0])
tidy.begin()
first = Node(); first.me = first
gone = weakref.ref(first)
kept = [[number] for number in range(30_000)]  # the young and the middle-aged are looked through, and this survives
del first
first = Node(); first.me = first
late = weakref.ref(first)
kept += [[number] for number in range(30_000)]
del first
assert late() is not None, "collected while keys may come"
assert not tidy.look()
now[0] += QUIET_S
assert tidy.look()
assert gone() is None and late() is None
assert not tidy.look(), "collected twice"
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


async def test_every_key_counts(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "No runs yet.")
        touched: list[int] = []
        app._tidying.touched = lambda: touched.append(1)  # type: ignore[method-assign]
        await pilot.press("down")
        await until(lambda: touched)
