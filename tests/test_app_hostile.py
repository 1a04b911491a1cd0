"""Nothing from outside acts on the terminal or the app: every text of a run folder is hostile here."""

import json
import re
import resource
from dataclasses import asdict
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
    step,
    until,
    until_shown,
    whole_run,
    with_figures,
)

from core.run.events import Failed, Happening, Picked, Sample, Stopped, Warned
from core.run.folder import RunPaths

EVIL = [
    "[red]markup[/red]",
    "[@click=app.quit]x[/]",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[31mclear",
    "\u202eright to left",
    "nul\x00byte",
    "\x9b31mC1",
    "lone \ud800 surrogate",
    "zero\u200bwidth",
    "line\nbreak\r\ttab",
]
DANGEROUS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff]")


def assert_harmless(text: str) -> None:
    dangerous = DANGEROUS.search(text)
    assert dangerous is None, f"{dangerous[0]!r} reached the screen"
    text.encode()


def hostile_events(evil: str) -> list[Happening]:
    sample = Sample(0, evil, f"{evil} human", f"{evil} model", 1.0)
    return [
        *beginning(evil),
        *a_round(0, 15.0),
        evaluated(1, 5, 14.0, [sample]),
        Picked(round=1, step=5, bleu=None, reason=evil),
        Warned(message=f"{evil} warned"),
        Stopped(round=1, step=5, reason=evil),
        Failed(problem=f"{evil} problem", fix=f"{evil} fix"),
    ]


@pytest.mark.parametrize("evil", EVIL)
async def test_texts_of_a_journal(tmp_path: Path, evil: str) -> None:
    paths = make_run(tmp_path, "victim", beginning())[0]
    lines = []
    for seq, what in enumerate(hostile_events(evil)):
        # Written by hand: a writer of ours would refuse a lone surrogate, a hostile one wouldn't.
        lines.append(json.dumps({"seq": seq, "time": NOW, **asdict(what)}))
    paths.journal.write_text("\n".join(lines) + "\n")
    async with opened(tmp_path, LARGE) as (app, pilot):
        await until_shown(app, "victim")
        assert_harmless(shown(app))
        await pilot.press("enter")
        await until_shown(app, "problem")
        await until_shown(app, "human")
        await until_shown(app, "model")
        if evil.startswith("["):
            await until_shown(app, evil)
        assert_harmless(shown(app))
        await pilot.click("#samples", offset=(3, 1))
        assert app.is_running


@pytest.mark.parametrize("name", ["[red]r", "\x1b]0;x\x07", "new\nline", "x" * 200, "\u202eabc", "[@click=app.quit]"])
async def test_names_of_run_folders(tmp_path: Path, name: str) -> None:
    paths, _ = make_run(tmp_path, "plain", [*beginning(), *a_round(0, 15.0), step(1, 1)])
    paths.root.rename(tmp_path / name)
    paths = RunPaths(tmp_path / name)
    with live(paths):
        async with opened(tmp_path, SMALL) as (app, pilot):
            await until_shown(app, "RUNNING")
            assert_harmless(shown(app))
            await pilot.press("enter")
            await until_shown(app, "[2 Live]")
            await until_shown(app, "sparsity")
            await pilot.press("s")
            await until_shown(app, "Stop ")
            assert_harmless(shown(app))
            await pilot.press("escape", "K")
            await until_shown(app, "Type the run's name:")
            assert_harmless(shown(app))
            assert app.is_running


async def test_a_journal_of_garbage(tmp_path: Path) -> None:
    paths, writer = make_run(tmp_path, "victim", [*beginning(), *a_round(0, 15.0)])
    with paths.journal.open("ab") as journal:
        journal.write(b"\xff\xfe\x00garbage\n")
        journal.write(b'{"seq": "x", "time": null, "event": "step"}\n')
        journal.write(b"[" * 100_000 + b"\n")
        journal.write(b'{"seq": 900000000000, "time": 1e308, "event": "paused", "round": 1, "step": 1}\n')
        journal.write(b'{"seq": 50, "time": NaN, "event": "warning", "message": "m"}\n')
        journal.write(b'{"event": "brand_new", "seq": 51, "time": 1}\n')
        journal.write(b"x" * 3_000_000 + b"\n")
    with live(paths):
        async with opened(tmp_path, LARGE) as (app, pilot):
            await until_shown(app, "victim")
            await pilot.press("enter")
            await until_shown(app, "A line that cannot be read")
            assert_harmless(shown(app))
            writer.append(step(1, 3, 1.125))
            await until_shown(app, "loss 1.125")
            await until(lambda: app.watched is not None and app.watched.view.unreadable == 7)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_journal_of_gigabytes(tmp_path: Path, size: tuple[int, int]) -> None:
    """One line of 1.5 GB, of which only a piece at a time may be in memory, while keys answer."""
    paths, _ = make_run(tmp_path, "victim", [*beginning(), *a_round(0, 15.0)])
    with paths.journal.open("r+b") as journal:
        journal.truncate(1_500_000_000)  # sparse: it takes no room on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with live(paths):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "victim")
            await pilot.press("enter")
            await until_shown(app, "[2 Live]")  # keys answer while it is read
            await until_shown(app, "sparsity")
            for key, title in (("3", "[3 Layers]"), ("4", "[4 Compare]"), ("1", "[1 Runs]"), ("2", "[2 Live]")):
                await pilot.press(key)
                await until_shown(app, title)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 400_000_000, f"{grown / 1e6:.0f} MB more in memory"


@pytest.mark.parametrize("evil", ["new\nline[red]x[/]", "[@click=app.quit]x[/]\x1b]0;t\x07"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_names_of_run_folders_on_every_screen(tmp_path: Path, size: tuple[int, int], evil: str) -> None:
    paths, _ = make_run(tmp_path, "plain", with_figures(whole_run("plain")))
    paths.root.rename(tmp_path / evil.replace("/", ""))
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "DONE")
        assert_harmless(shown(app))
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")
        for key, text in (("3", "round 3/3: 90 %"), ("4", "4 rounds of 1 run"), ("1", "DONE")):
            await pilot.press(key)
            await until_shown(app, text)
            assert_harmless(shown(app))
        await pilot.press("4", "m")
        await until_shown(app, "Which runs should be compared?")
        assert_harmless(shown(app))
        assert app.is_running


async def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "recipe-is-a-directory" / "recipe.toml").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("x")
    good, _ = make_run(tmp_path, "good", whole_run("good"))
    (good.root / "rounds" / "99").mkdir()
    (good.root / "rounds" / "99" / "metrics.json").write_text("[" * 100_000)
    good.meta.write_bytes(b"\xff\xff")
    no_toml, _ = make_run(tmp_path, "no-toml", beginning())
    no_toml.recipe.write_bytes(b"\xff\xfe = [")
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "good")
        await until_shown(app, "no-toml")
        assert "recipe-is-a-directory" not in shown(app)
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")


async def test_no_color_and_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run(tmp_path, "run", whole_run())
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "DONE")
        await pilot.press("enter")
        await until_shown(app, "sparsity %, round 3: 90 %")
        for width, height in ((160, 48), (61, 17), (59, 15), (200, 20), (1, 1), (60, 50), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        await until_shown(app, "sparsity %, round 3: 90 %")
