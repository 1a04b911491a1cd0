"""Numbers that no chart can take end nothing: the point is left out, which is said, and all else is shown as ever."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from app_runs import (
    FLOORS,
    LARGE,
    NOW,
    SMALL,
    a_round,
    beginning,
    make_run,
    opened,
    until_shown,
    whole_run,
    with_figures,
)

from codeprune_tui.cli.tables import results, run_detail_json
from codeprune_tui.views.outliers import countable, mended
from codeprune_tui.views.state import RunView, eta_s, reduce_all
from codeprune_tui.views.text import age, difference, duration, percent, rate, score, sentence
from core.run.events import Happening, Pruned, RoundFinished, Scores, Shrunk, Step, UnitScores, Validated
from core.run.folder import RunPaths, run_info
from core.run.journal import read_journal
from core.run.results import ResultsReader
from core.score.interval import Difference

BAD = ("Infinity", "-Infinity", "NaN", "1e400", "-1e308", "1e308", "1" + "0" * 400, "1e15")
NUMBERS = tuple(map(float, ("inf", "-inf", "nan", "-1e308", "1e308", "1e15")))


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Where numbers stand in an event."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value[:1]):
            yield from places(part, (*path, at))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def with_number(line: dict[str, object], path: tuple[object, ...], text: str) -> str:
    """The line with another number at a place, written as text: not all of these can be values."""
    copy = json.loads(json.dumps(line))
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = "@"
    return json.dumps(copy).replace('"@"', text)


EVENTS: list[Happening] = [
    *with_figures(whole_run()),
    Pruned(
        round=1,
        sparsity=0.5,
        kept=5,
        total=10,
        matrices={"a": 0.5},
        seconds=1.0,
        unit="head",
        entries=(30, 40),
        unit_scores={
            "encoder 0 heads": UnitScores(kept=1, count=2, kept_scores=[0.5] * 3, pruned_scores=[], each=[0.5], pruned=[1])
        },
    ),
    Validated(round=0, step=3, loss=1.0, accuracy=0.5, seconds=2.0),
    Shrunk(
        parameters=(1000, 400),
        size_bytes=(4000, 1600),
        heads=(3, 8),
        neurons=(0, 64),
        speedup={"1": 2.04},
        beam=10,
        against_dense={"chrf": Difference(-0.3, -0.8, 0.2)},
        promised=2.0,
        promised_batch=16,
    ),
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:9])
def test_every_number_of_every_event(tmp_path: Path, text: str) -> None:
    """Whatever a journal holds, it is read, reduced, told in sentences, tabled and put into JSON."""
    kinds = {type(what): what for what in EVENTS}
    paths = make_run(tmp_path, "run", [*beginning(), *a_round(0, 15.0), *a_round(1, 14.0)])[0]
    lines = paths.journal.read_text().splitlines()
    for what in kinds.values():
        line = {"seq": len(lines), "time": NOW, **asdict(what)}
        for path in places(line):
            lines.append(with_number({**line, "seq": len(lines)}, path, text))
    paths.journal.write_text("\n".join(lines) + "\n")
    events = read_journal(paths.journal)
    assert len(events) == len(lines)
    view = reduce_all(RunView(), events)
    for event in events:
        assert len(sentence(event)) < 2000
    assert len(results(view)) < 5000
    eta = eta_s(view, NOW)
    json.loads(run_detail_json(run_info(paths, NOW), view, eta), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert duration(eta or 0.0)
    ResultsReader(paths).poll()


@pytest.mark.parametrize("value", NUMBERS)
def test_no_word_is_endless(value: float) -> None:
    texts = [score(value), difference(value), percent(value), rate(value), duration(value), age(value, NOW), age(0.0, value)]
    assert max(map(len, texts)) < 30


@pytest.mark.parametrize("value", NUMBERS)
def test_figures_become_none_and_shares_are_left_out(value: float) -> None:
    what = mended(RoundFinished(round=1, sparsity=value, scores=Scores(value, 2.0, 3.0), steps=5, seconds=value))
    assert what.scores is not None
    assert all(math.isnan(figure) for figure in (what.sparsity, what.scores.bleu, what.seconds))
    assert (what.scores.corpus_bleu, what.steps) == (2.0, 5)
    pruned = mended(
        Pruned(round=1, sparsity=0.5, kept=5, total=10, matrices={"a": value, "b": 0.25, "c": -0.1, "d": 1.5}, seconds=1.0)
    )
    assert pruned.matrices == {"b": 0.25}


def test_what_is_right_stays_the_same_object() -> None:
    for what in EVENTS:
        assert countable(what)
        assert mended(what) is what


@pytest.mark.parametrize("count", [-1, 10**9 + 1, 10**400])
def test_what_cannot_be_counted_is_damage(count: int) -> None:
    assert not countable(
        Step(round=0, step=1, steps=count, loss=1.0, learning_rate=1e-4, tokens_per_second=1.0, examples_per_second=1.0)
    )
    assert not countable(Pruned(round=0, sparsity=0.5, kept=count, total=10, matrices={}, seconds=1.0))


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:9])
async def test_every_screen_survives(tmp_path: Path, size: tuple[int, int], text: str) -> None:
    paths, _ = make_run(tmp_path, "run", with_figures(whole_run("run")))
    good = [json.loads(line) for line in paths.journal.read_text().splitlines()]
    lines = []
    for line in good:
        damaged = line["event"] != "run_started" and line.get("round") != 0 and line["event"] != "floors"
        paths_of = [path for path in places(line) if path[-1] not in ("seq", "time", "round", "step", "steps", "rounds")]
        figures = [path for path in paths_of if isinstance(_at(line, path), float)]
        lines.append(with_number(line, figures[line["seq"] % len(figures)], text) if damaged and figures else json.dumps(line))
    paths.journal.write_text("\n".join(lines) + "\n")
    for number in (1, 2):
        metrics = paths.round(number) / "metrics.json"
        metrics.write_text('{"sparsity": 0.3, "scores": {"bleu": ' + text + "}}")
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "DAMAGED")
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")
        await until_shown(app, "sparsity")
        await pilot.press("3")
        await until_shown(app, "[3 Layers]")
        for key in ("m", "m", "m", "right", "down", "enter", "escape"):
            await pilot.press(key)
        await pilot.press("4")
        await until_shown(app, "[4 Compare]")
        await until_shown(app, "Scores that are no numbers are left out:")
        for key in ("x", "x", "x", "y", "plus", "0"):
            await pilot.press(key)
        assert app.is_running


def _at(line: object, path: tuple[object, ...]) -> object:
    for key in path:
        line = line[key]  # type: ignore[index]
    return line


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1e308"])
async def test_the_chart_says_what_it_leaves_out(tmp_path: Path, text: str) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run("run"))
    lines = paths.journal.read_text().splitlines()
    for at, line in enumerate(lines):
        event = json.loads(line)
        if event["event"] == "round_finished" and event["round"] == 2:
            lines[at] = with_number(event, ("scores", "chrf"), text)
    paths.journal.write_text("\n".join(lines) + "\n")
    async with opened(tmp_path, LARGE) as (app, pilot):
        await until_shown(app, "DONE")
        await pilot.press("enter")
        await until_shown(app, "1 left out: no numbers")
        await until_shown(app, "best 24.00")


def test_floors_that_are_none(tmp_path: Path) -> None:
    paths = make_run(tmp_path, "run", whole_run())[0]
    text = paths.journal.read_text().replace(f'"bleu": {FLOORS["name"].bleu}', '"bleu": Infinity')
    paths.journal.write_text(text)
    view = reduce_all(RunView(), read_journal(paths.journal))
    assert math.isnan(view.floors["name"].bleu)
    assert RunPaths(paths.root).name == "run"
