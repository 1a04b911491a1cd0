"""How long a list of many runs takes: reading all run folders, opening the app until all of them are in its table, refreshing it.

    python benchmarks/many_runs.py [--runs 1000] [--sweeps 0] [--small] [--repeat 5]

With sweeps, the runs are shared out among so many, and the list shows them as groups: folded, and then one of them unfolded.
Small runs have no rounds yet, and the journal's last 32 events.

Makes the folders in a temporary place from the example run that comes with the package: its recipe, the last 96 KB of its
journal, and ten rounds with its `metrics.json` each. Reading is done with files in the page cache, as `status` and the app do it.
The app runs without a terminal (Textual's test driver), 80x24. Prints medians with minimum and maximum, in seconds of this
process' own work: on a machine that does nothing else that is the time that passes, and on a busy one it is still the same.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import DataTable

from codeprune_tui import bundle
from codeprune_tui.runs.sweeps import SweepFolder
from codeprune_tui.runs.watch import Lister, Listing
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.tui import CodepruneApp, RunsListed
from core.recipe import build_recipe, to_toml

TAIL_BYTES = 96 * 1024
ROUNDS = 10


def make_runs(checkpoints: Path, number: int, small: bool) -> None:
    """Run folders as workers leave them."""
    example = bundle.example()
    assert example is not None, "the example run is missing: use a checkout or an installed wheel"
    recipe = to_toml(build_recipe({"pruning": {"rounds": ROUNDS - 1}}))
    journal = example.journal.read_bytes()[-TAIL_BYTES:]
    if small:
        journal = b"".join(journal.splitlines(keepends=True)[-32:])
    for index in range(number):
        root = checkpoints / f"run-{index:04d}"
        root.mkdir()
        for round_number in range(0 if small else ROUNDS):
            folder = root / "rounds" / f"{round_number:02d}"
            folder.mkdir(parents=True)
            shutil.copy(example.round(0) / "metrics.json", folder)
        (root / "recipe.toml").write_text(recipe)
        (root / "events.jsonl").write_bytes(journal)
        (root / "worker.lock").touch()
        shutil.copy(example.meta, root)


def share_out(checkpoints: Path, runs: int, sweeps: int) -> None:
    """Makes the runs those of some sweeps."""
    for number in range(sweeps):
        SweepFolder(checkpoints, f"sweep-{number:02d}").begin(f"run-{index:04d}" for index in range(number, runs, sweeps))


def listing_s(checkpoints: Path, number: int) -> tuple[float, float]:
    """Seconds to read every run once, and to look at them again."""
    lister = Lister(checkpoints, time.time, lambda _: None)
    began = time.process_time()
    listing = lister.scan(time.time())
    read = time.process_time()
    lister.scan(time.time())
    assert len(listing.runs) == number
    assert not any(info.damage for info in listing.runs)
    return read - began, time.process_time() - read


async def opening_s(checkpoints: Path, lines: int) -> dict[str, float]:
    """Seconds from opening the app until all lines are in its table and painted; then those of a refresh, and of a key."""
    app = CodepruneApp(checkpoints)
    began = time.process_time()
    async with app.run_test(size=(80, 24)) as pilot:
        while not app.screen.query(DataTable) or app.screen.query_one(DataTable).row_count < lines:
            await asyncio.sleep(0.005)
        await pilot.pause(0)
        times = {"opening the app": time.process_time() - began}
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        times["a refresh each second"] = await taken(pilot, screen.tick)
        times["one run has changed"] = await taken(pilot, partial(change_one, app))
        times["one key"] = await taken(pilot, app.query_one(DataTable).action_cursor_down)
        if app.missing or lines < len(app.runs or []):
            app.query_one(DataTable).move_cursor(row=0)
            times["unfolding a sweep"] = await taken(pilot, screen.action_open)
            times["a refresh with it unfolded"] = await taken(pilot, screen.tick)
            times["one run has changed with it unfolded"] = await taken(pilot, partial(change_one, app))
            times["one key with it unfolded"] = await taken(pilot, app.query_one(DataTable).action_cursor_down)
        return times


def change_one(app: CodepruneApp) -> None:
    """Lets the list be another in one run, as after an event."""
    runs = list(app.runs or [])
    runs[0] = replace(runs[0], changed=time.time())
    app.on_runs_listed(RunsListed(Listing(runs)))


async def taken(pilot: Pilot[None], act: Callable[[], object]) -> float:
    """Seconds that something takes until it is painted."""
    began = time.process_time()
    act()
    await pilot.pause(0)
    return time.process_time() - began


def told(name: str, times: list[float]) -> str:
    """Median, minimum and maximum as a line."""
    return f"{name}: median {statistics.median(times):.3f} s of CPU, {min(times):.3f} to {max(times):.3f} s, {len(times)} times"


def main() -> None:
    """Makes the folders, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--sweeps", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Path(folder)
        make_runs(checkpoints, arguments.runs, arguments.small)
        share_out(checkpoints, arguments.runs, arguments.sweeps)
        listing_s(checkpoints, arguments.runs)  # the page cache fills; not counted
        read = [listing_s(checkpoints, arguments.runs) for _ in range(arguments.repeat)]
        for name, times in zip(("reading", "looking again at"), zip(*read, strict=True), strict=True):
            print(told(f"{name} {arguments.runs} runs", list(times)))
        lines = arguments.sweeps or arguments.runs
        opened = [asyncio.run(opening_s(checkpoints, lines)) for _ in range(arguments.repeat)]
        for name in opened[0]:
            print(told(f"{name}, {arguments.runs} runs in {lines} lines", [times[name] for times in opened]))


if __name__ == "__main__":
    main()
