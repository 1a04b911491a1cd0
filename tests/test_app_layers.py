"""Mode 3, as it is shown: journals in, text on the screen out, at both sizes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from app_runs import (
    LARGE,
    SMALL,
    a_round,
    beginning,
    live,
    make_run,
    matrices,
    measured,
    opened,
    shown,
    until,
    until_shown,
    whole_run,
    with_figures,
)
from textual.pilot import Pilot

from codeprune_tui.runs import beside
from codeprune_tui.screens.layers import LayersScreen
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.views.matrices import measures
from codeprune_tui.views.state import RunView, reduce_all
from core.compress.masks import save_masks
from core.errors import RunError
from core.run.events import Event, Happening, MatrixMeasured, Pruned, UnitScores
from core.run.folder import RunPaths

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


async def open_layers(app: CodepruneApp, pilot: "Pilot[None]", name: str = "ruby-1") -> None:
    await until_shown(app, name)
    await pilot.press("enter")
    await until_shown(app, "[2 Live]")
    await pilot.press("3")
    await until_shown(app, "[3 Layers]")


def row(app: CodepruneApp, label: str) -> list[str]:
    """The cells of a line of the heatmap, brackets of the cursor removed; the status line begins with a number, too."""
    lines = [line.replace("[", " ").replace("]", " ").split() for line in shown(app).splitlines()[1:]]
    return next((cells[1:] for cells in lines if cells[:1] == [label]), [])


async def until_row(app: CodepruneApp, label: str, cells: list[str]) -> None:
    try:
        await until(lambda: row(app, label)[: len(cells)] == cells)
    except AssertionError:
        raise AssertionError(f"{label}: {cells} is not there:\n{shown(app)}") from None


@SIZES
async def test_layers_shows_all_matrices_and_the_chosen_ones_figures(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path, size) as (app, pilot):
        await open_layers(app, pilot)
        await until_shown(app, "sparsity %, round 3/3: 90 %")
        await until_row(app, "4", ["90.0"] * 6)
        await until_row(app, "2", ["90.0"] * 8)
        await until_row(app, "pool", ["90.0"])
        await until_shown(app, "[90.0]")
        await until_shown(app, "encoder layer 1, query, round 3")
        await until_shown(app, "encoder.encoder.layer.0.attention.self.query.weight")
        for text in ("90 % (+30 points since round 2)", "410 of 64 × 64", "0.02000", "12.5 %", "75 %"):
            await until_shown(app, text)
        for text in ("3 of 64", "4 of 64", "1 of 4", "87 rows, 116 columns, 8 of 32 heads are dead in the 29 matrices"):
            await until_shown(app, text)
        assert ("round by round" in shown(app)) == (size == LARGE)
        await pilot.press("down", "down", "right")
        await until_shown(app, "encoder layer 3, key, round 3")
        await until_shown(app, "has none")
        await pilot.press("down", "down")
        await until_shown(app, "pooler, round 3")
        await pilot.press("up", "up", "up", "right", "right", "right", "right", "right", "right", "right", "right")
        await until_shown(app, "decoder layer 2, ffn-out, round 3")


@SIZES
async def test_a_key_switches_the_figures(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path, size) as (app, pilot):
        await open_layers(app, pilot)
        await until_row(app, "2", ["90.0"] * 8)
        await pilot.press("v")
        await until_shown(app, "mean |w| of kept ×1000, round 3/3")
        await until_row(app, "1", ["20.0"] * 8)
        await until_row(app, "3", ["22.0"] * 6)
        await pilot.press("v")
        await until_shown(app, "change since last round %, round 3/3")
        await until_row(app, "1", ["12.5"] * 8)
        await pilot.press("v")
        await until_shown(app, "overlap with last mask %, round 3/3")
        await until_row(app, "1", ["75.0"] * 8)
        await pilot.press("v")
        await until_shown(app, "cost of each matrix: not measured")
        await pilot.press("v")
        await until_shown(app, "sparsity %, round 3/3")


@SIZES
async def test_enter_opens_the_block_map_and_closes_it(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path, size) as (app, pilot):
        await open_layers(app, pilot)
        await until_row(app, "2", ["90.0"] * 8)
        await pilot.press("down", "enter")
        await until_shown(app, "encoder layer 2, query, round 3: pruned % of each block, × all")
        await until(lambda: "sparsity %, round" not in shown(app))
        # Only what does something here is offered.
        await until_shown(app, "esc Back")
        assert " Open" not in shown(app).splitlines()[-1]
        assert "Values" not in shown(app).splitlines()[-1]
        lines = [line.split() for line in shown(app).splitlines()]
        assert ["h1", *["90"] * 16] in [line[:17] for line in lines]
        assert ["×"] * 16 in [line[:16] for line in lines]
        await until_shown(app, "dead rows")
        await pilot.press("left_square_bracket")
        await until_shown(app, "encoder layer 2, query, round 2: pruned %")
        await pilot.press("down")
        await until_shown(app, "encoder layer 3, query, round 2: pruned %")
        await pilot.press("escape")
        await until_shown(app, "sparsity %, round 2/3: 60 %")
        assert ("pruned % of each block" in shown(app)) == (size == LARGE)
        await until(lambda: "v Values" in shown(app) and "esc Back" not in shown(app))
        await pilot.press("enter", "enter")
        await until_shown(app, "sparsity %, round 2/3: 60 %")


async def test_rounds_are_stepped_through_and_the_last_one_follows(tmp_path: Path) -> None:
    events = [*beginning("ruby-1"), *a_round(0, 15.0), *a_round(1, 14.5)]
    paths, writer = make_run(tmp_path, "ruby-1", with_figures(events))
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            await open_layers(app, pilot)
            await until_shown(app, "round 1/3: 30 %")
            await pilot.press("shift+left")
            await until_shown(app, "round 0/3: 0 %")
            await pilot.press("left_square_bracket")
            for event in with_figures(a_round(2, 14.0)):
                writer.append(event)
            await until(lambda: app.watched is not None and 2 in app.watched.view.by_round)
            await until_shown(app, "ruby-1: round 2 of 3 is complete")
            await until_shown(app, "round 0/3: 0 %")
            await pilot.press("right_square_bracket", "shift+right")
            await until_shown(app, "round 2/3: 60 %")
            for event in a_round(3, 13.0)[:4]:
                writer.append(event)
            await until_shown(app, "round 3/3: 90 %, not complete")
            await until_shown(app, "No other figures yet: they are measured at the end of the round.")
            for figures in measured(3, 0.9):
                writer.append(figures)
            writer.append(a_round(3, 13.0)[-1])
            await until_shown(app, "410 of 64 × 64")


async def test_play_goes_through_all_rounds_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codeprune_tui.screens.layers.PLAY_S", 0.05)
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path) as (app, pilot):
        await open_layers(app, pilot)
        await until_shown(app, "round 3/3")
        screen = app.screen
        assert isinstance(screen, LayersScreen)
        titles: list[str] = []
        original = screen._title

        def title(view: object, number: int) -> str:
            titles.append(original(view, number))  # type: ignore[arg-type]  # a RunView
            return titles[-1]

        screen._title = title  # type: ignore[method-assign]
        await pilot.press("space")
        await until(lambda: titles and titles[-1] == "sparsity %, round 3/3: 90 %")
        played = [text.partition("round ")[2][0] for text in titles if text.startswith("▶")]
        assert sorted(set(played)) == ["0", "1", "2"]
        assert played == sorted(played)


@SIZES
async def test_an_older_run_shows_what_there_is_and_says_what_is_missing(tmp_path: Path, size: tuple[int, int]) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, size) as (app, pilot):
        await open_layers(app, pilot)
        await until_row(app, "2", ["90.0"] * 8)
        await until_shown(app, "90 % (+30 points since round 2)")
        await until_shown(app, "No other figures: an older version ran this round")
        await pilot.press("v")
        await until_shown(app, "No magnitudes: an older version ran this round and did not measure them.")
        await until_row(app, "2", ["–"] * 8)
        await pilot.press("enter")
        await until_shown(app, "No block map: an older version ran this round")


async def test_layers_without_a_run_and_without_matrices(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", beginning("ruby-1"))
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("3")
        await until_shown(app, "No run is open.")
        await pilot.press("v", "enter", "space", "up", "left_square_bracket", "escape")
        await pilot.press("1")
        await open_layers(app, pilot)
        await until_shown(app, "Dense: nothing is pruned or measured yet.")
        await pilot.press("v", "enter", "space", "up", "left_square_bracket")
        await until_shown(app, "Dense: nothing is pruned or measured yet.")


async def test_another_run_begins_at_its_newest_round(tmp_path: Path) -> None:
    make_run(tmp_path, "a", with_figures(whole_run("a")))
    make_run(tmp_path, "b", whole_run("b")[:-1])
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "DONE")
        infos = {info.paths.name: info.paths for info in app.runs or []}
        app.watch_run(infos["a"])
        await pilot.press("3")
        await until_shown(app, "round 3/3")
        await pilot.press("left_square_bracket", "left_square_bracket")
        await until_shown(app, "round 1/3")
        app.watch_run(infos["b"])
        await until_shown(app, "No other figures")
        await until_shown(app, "round 3/3: 90 %")


async def test_a_small_and_a_tiny_terminal(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path, (60, 16)) as (app, pilot):
        await open_layers(app, pilot)
        await until_shown(app, "dead rows")
        await pilot.press("down", "down", "down", "down")
        await until_shown(app, "[90]")
        await until_shown(app, "pooler, round 3")
        await pilot.resize_terminal(50, 12)
        await until(lambda: "dead rows" not in shown(app))
        await until_shown(app, "ruby-1")
        await until_shown(app, "This terminal has 50 × 12 characters")
        await pilot.resize_terminal(160, 48)
        await until_shown(app, "round by round")
        assert "This terminal" not in shown(app)


async def test_a_click_chooses_and_a_second_one_opens(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path) as (app, pilot):
        await open_layers(app, pilot)
        await until_row(app, "2", ["90.0"] * 8)
        await pilot.click("#grid", offset=(16, 4))
        await until_shown(app, "encoder layer 3, key, round 3")
        await pilot.click("#grid", offset=(16, 4))
        await until_shown(app, "encoder layer 3, key, round 3: pruned % of each block")


async def test_the_run_can_be_commanded_from_layers(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", with_figures([*beginning("ruby-1"), *a_round(0, 15.0)]))
    with live(paths):
        async with opened(tmp_path) as (app, pilot):
            await open_layers(app, pilot)
            await until_shown(app, "● RUNNING")
            await pilot.press("p")
            await until(paths.commands.exists)
            assert paths.commands.read_text() == '{"command": "pause"}\n'


async def test_layers_shows_the_error_of_each_output_where_it_was_measured(tmp_path: Path) -> None:
    events = with_figures(whole_run("ruby-1"))
    query = "encoder.encoder.layer.0.attention.self.query.weight"
    looked = [
        replace(event, output_errors={name: 0.125 if name == query else 0.25 for name in event.matrices})
        if isinstance(event, Pruned)
        else event
        for event in events
    ]
    make_run(tmp_path, "ruby-1", looked)
    async with opened(tmp_path, SMALL) as (app, pilot):
        await open_layers(app, pilot)
        await until_shown(app, "sparsity %, round 3/3")
        await until_shown(app, "output error 12.5 %")
        await until_shown(app, "dead heads 1 of 4")
        await pilot.press("v", "v", "v", "v")
        await until_shown(app, "error of the output after pruning, before training %")
        await until_row(app, "1", ["12.5", "25.0"])


def with_masks(paths: RunPaths, number: int, seed: int) -> None:
    """Masks of all matrices that a round has, half of each kept."""
    generator = torch.Generator().manual_seed(seed)
    masks = {name: torch.rand(64, 64, generator=generator) < 0.5 for name in matrices(0.5)}
    save_masks(masks, paths.round(number) / "masks.safetensors")


@SIZES
async def test_two_runs_are_held_against_each_other(tmp_path: Path, size: tuple[int, int]) -> None:
    """Their masks overlap by 1/3 by chance, and the other run's figures stand beside this one's."""
    events = with_figures(whole_run("other"))
    worse = [replace(event, dead_rows=9) if isinstance(event, MatrixMeasured) else event for event in events]
    for name, run, seed in (("other", worse, 1), ("ruby-1", with_figures(whole_run("ruby-1")), 2)):
        paths, _ = make_run(tmp_path, name, run)
        with_masks(paths, 3, seed)
    async with opened(tmp_path, size) as (app, pilot):
        await open_layers(app, pilot)
        await until_shown(app, "sparsity %, round 3/3")
        await pilot.press("b")
        await until_shown(app, "Hold the masks against those of which run")
        await pilot.press("enter")
        await until_shown(app, "overlap of masks %, round 3: 90 %, ruby-1 | other")
        await until_shown(app, "Dead rows 87 | 261, heads 8 | 8.")
        cells = row(app, "1")[:8]
        assert [cell for cell in cells if 29 < float(cell) < 38] == cells != []
        await until_shown(app, "encoder layer 1, query: ruby-1 | other")
        await until_shown(app, "3 | 9")
        await pilot.press("left_square_bracket")
        await until_shown(app, "The masks of ruby-1 are not on disk.")
        await pilot.press("v", "v")
        await until_shown(app, "sparsity %, round 2/3")


async def test_no_other_run_to_hold_against(tmp_path: Path) -> None:
    make_run(tmp_path, "ruby-1", with_figures(whole_run("ruby-1")))
    async with opened(tmp_path) as (app, pilot):
        await open_layers(app, pilot)
        await pilot.press("b")
        await until_shown(app, "There is no other run with masks")


def test_another_run_is_compared_at_its_round_of_equal_sparsity(tmp_path: Path) -> None:
    ours, _ = make_run(tmp_path, "a", with_figures(whole_run("a")))
    theirs, _ = make_run(tmp_path, "b", with_figures(whole_run("b")))
    with_masks(ours, 2, 1)
    assert beside.find(ours, 2, 0.6, theirs).why == "The masks of b are not on disk."
    with_masks(theirs, 2, 1)
    answer = beside.find(ours, 2, 0.6, theirs)
    assert (answer.number, answer.why) == (2, "")
    assert set(answer.shares.values()) == {1.0}  # drawn with the same seed
    nothing = beside.find(ours, 2, 0.55, theirs)
    assert (nothing.number, nothing.why) == (-1, "b has no round of this sparsity.")
    number, shown, answer = beside.sparsest(ours, theirs)
    assert (number, answer.number) == (2, 2)
    head, first, *rest = beside.lines(shown, answer)
    assert head[:3] == ["matrix", "sparsity", "overlap"]
    assert first[0] == "encoder layer 1, query"
    assert first[2].startswith("100 % (by chance 3")
    assert len(rest) == len(shown) - 1
    (theirs.round(2) / "masks.safetensors").unlink()
    with pytest.raises(RunError, match="no masks of the same sparsity"):
        beside.sparsest(ours, theirs)


def test_a_run_offers_the_figures_that_it_has() -> None:
    view = reduce_all(RunView(), [Event(at, at, what) for at, what in enumerate(with_figures(whole_run("ruby-1")))])
    assert measures(view) == ["sparsity", "magnitude", "change", "overlap"]


@SIZES
async def test_units_stand_in_the_cells_and_their_scores_below(tmp_path: Path, size: tuple[int, int]) -> None:
    heads = UnitScores(
        kept=1, count=4, kept_scores=[0.5] * 3, pruned_scores=[0.1, 0.2, 0.3], each=[0.5, 0.1, 0.2, 0.3], pruned=[1, 2, 3]
    )
    events: list[Happening] = []
    for what in with_figures(whole_run("ruby-1")):
        if isinstance(what, Pruned):
            what = replace(what, unit="head", unit_scores={"encoder 0 heads": heads}, matrices=matrices(0.75))
        events.append(replace(what, kept=1024) if isinstance(what, MatrixMeasured) and what.round == 3 else what)
    make_run(tmp_path, "ruby-1", events)
    async with opened(tmp_path, size) as (app, pilot):
        await open_layers(app, pilot)
        await until_shown(app, "units kept, round 3/3")
        await until_row(app, "2", ["1/4"])
        for text in ("1 of 4 heads", "0.2 (0.1 to 0.3)", "█×××"):
            await until_shown(app, text)
        assert "dead rows" not in shown(app).replace("dead rows, columns, heads", "")
