"""How long a run will take: paces out of journals whose times are known, and which runs can be compared."""

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from app_runs import encoder_off, evaluated, started, step

from codeprune_tui.runs import cost_text, costing
from codeprune_tui.runs.costing import CostFinder, Costs, work_out
from core.recipe import Recipe, build_recipe
from core.run.events import (
    CheckpointSaved,
    DataLoaded,
    Evaluating,
    Happening,
    Paused,
    Picked,
    Pruned,
    Resumed,
    Rewound,
    RoundFinished,
    RoundStarted,
    RunFinished,
    Scores,
)
from core.run.folder import RunPaths, create_run
from core.run.journal import JournalWriter
from core.study import pace as pace_module
from core.study import timings
from core.study.pace import Pace, measure
from core.study.timings import Estimate, Timings, evaluated_rows, predict, trained_rounds

HERE = "here"
Timed = Sequence[tuple[float, Happening]]
ASKED: dict[str, dict[str, object]] = {
    "pruning": {"rounds": 3},
    "training": {"steps": 100, "batch_size": 16},
    "evaluation": {"rows": 200},
}


def recipe(**sections: dict[str, object]) -> Recipe:
    return build_recipe({key: {**ASKED.get(key, {}), **sections.get(key, {})} for key in {*ASKED, *sections}})


def a_run(checkpoints: Path, name: str, events: Timed, own: Recipe | None = None) -> RunPaths:
    """A run folder whose journal has these events at these seconds."""
    paths = create_run(checkpoints, name, own or recipe())
    at = iter(time for time, _ in events)
    writer = JournalWriter(paths.journal, lambda: next(at))
    for _, what in events:
        writer.append(what)
    writer.close()
    return paths


def scored(number: int, at: int, rows: int = 200, seconds: float = 4.0) -> Happening:
    return replace(evaluated(number, at, 12.0), rows=rows, seconds=seconds)


def a_round(number: int, begins: float, step_s: float = 0.1) -> Timed:
    """2 s of pruning, 100 steps, 1 s of a checkpoint, 4 s of evaluation, in round 0 4 s with the encoder off, 3 s of saving."""
    trained = begins + 2 + 100 * step_s
    return [
        (begins, RoundStarted(round=number, sparsity=0.3 * number, steps=100)),
        (begins + 1.5, Pruned(round=number, sparsity=0.3, kept=1, total=2, matrices={}, seconds=1.5)),
        (begins + 2, Rewound(round=number, to="pretrained")),
        (begins + 2 + 40 * step_s, step(number, 40, steps=100)),
        (trained, step(number, 100, steps=100)),
        (trained + 1, CheckpointSaved(round=number, step=100)),
        (trained + 1, Picked(round=number, step=100, bleu=12.0, reason="last step")),
        (trained + 3, Evaluating(round=number, step=100, done=100, rows=200)),
        (trained + 5, scored(number, 100)),
        *([(trained + 9, encoder_off(seconds=4.0))] if number == 0 else []),
        (
            trained + (12 if number == 0 else 8),
            RoundFinished(round=number, sparsity=0.3, scores=Scores(12, 1, 20), steps=100, seconds=20.0),
        ),
    ]


def whole(rounds: int = 3, step_s: float = 0.1) -> Timed:
    length = 10 + 100 * step_s
    parts = [event for number in range(rounds + 1) for event in a_round(number, 5 + number * length + 4 * (number > 0), step_s)]
    loaded = (2.0, DataLoaded(split="valid", rows=1400, skipped=0))
    return [(0.0, started()), loaded, *parts, (9 + (rounds + 1) * length, RunFinished(rounds=rounds))]


def test_the_pace_of_a_run(tmp_path: Path) -> None:
    pace = measure(a_run(tmp_path, "one", whole()), HERE)
    assert pace is not None
    assert (pace.steps, pace.step_s) == (400, pytest.approx(40.0))
    assert (pace.rows, pace.rows_s) == (1000, pytest.approx(20.0))  # four evaluations, and one with the encoder off
    assert (pace.rounds, pace.other_s) == (4, pytest.approx(4 * 6.0))  # 2 s before, 1 s and 3 s after
    assert (pace.starts, pace.start_s) == (1, 5.0)
    assert (pace.split_rows, pace.device, pace.threads) == (1400, "cpu", 2)


def test_the_same_run_again_takes_as_long(tmp_path: Path) -> None:
    events = whole()
    a_run(tmp_path, "one", events)
    estimate = Timings(tmp_path, HERE).estimate(recipe())
    assert estimate is not None
    assert (estimate.runs, estimate.at_most) == (("one",), False)
    assert estimate.total_s == pytest.approx(events[-1][0])
    twice = Timings(tmp_path, HERE).estimate(recipe(training={"steps": 200}))
    assert twice is not None
    assert twice.total_s == pytest.approx(events[-1][0] + 40)


def test_pauses_and_what_was_cut_off_do_not_count(tmp_path: Path) -> None:
    paused: Timed = [
        (0.0, started()),
        (5.0, RoundStarted(round=0, sparsity=0.0, steps=100)),
        (9.0, step(0, 40, steps=100)),
        (9.5, CheckpointSaved(round=0, step=10)),  # written beside the training: it tells of a step long gone
        (10.0, step(0, 50, steps=100)),
        (10.0, Paused(round=0, step=50)),
        (3000.0, Resumed(round=0, step=50)),
        (3002.0, step(0, 70, steps=100)),
        # Killed here; the next worker goes on from step 50.
        (9000.0, started(resumed=True, step=50)),
        (9007.0, step(0, 60, steps=100)),
        (9008.0, step(0, 70, steps=100)),
    ]
    pace = measure(a_run(tmp_path, "one", paused), HERE)
    assert pace is not None
    assert (pace.steps, pace.step_s) == (50 + 20 + 10, pytest.approx(5 + 2 + 1))
    assert (pace.rounds, pace.starts) == (0, 1)


def test_a_round_with_a_pause_says_nothing_of_the_rest(tmp_path: Path) -> None:
    events = [*whole(0)[:-2]]
    events += [(30.0, Paused(round=0, step=100)), (900.0, Resumed(round=0, step=100)), *a_round(0, 0.0)[-1:]]
    pace = measure(a_run(tmp_path, "one", events), HERE)
    assert pace is not None
    assert (pace.steps, pace.rows, pace.rounds, pace.other_s) == (100, 2 * 200, 0, 0.0)


def test_a_pause_inside_an_evaluation_spoils_only_that_one(tmp_path: Path) -> None:
    events: Timed = [
        (0.0, started()),
        (1.0, RoundStarted(round=0, sparsity=0.0, steps=100)),
        (11.0, step(0, 100, steps=100)),
        (12.0, Evaluating(round=0, step=100, done=50, rows=200)),
        (12.5, Paused(round=0, step=100)),
        (900.0, Resumed(round=0, step=100)),
        (902.0, scored(0, 100, seconds=891.0)),
        (950.0, scored(0, 100, seconds=5.0)),
    ]
    pace = measure(a_run(tmp_path, "one", events), HERE)
    assert pace is not None
    assert (pace.steps, pace.step_s, pace.rows, pace.rows_s) == (100, 10.0, 200, 5.0)


def test_an_evaluation_that_began_after_a_pause_counts(tmp_path: Path) -> None:
    events: Timed = [
        (0.0, started()),
        (1.0, RoundStarted(round=0, sparsity=0.0, steps=100)),
        (6.0, step(0, 50, steps=100)),
        (6.5, Paused(round=0, step=50)),
        (900.0, Resumed(round=0, step=50)),
        (905.0, step(0, 100, steps=100)),
        (910.0, scored(0, 100, seconds=5.0)),
    ]
    pace = measure(a_run(tmp_path, "one", events), HERE)
    assert pace is not None
    assert (pace.steps, pace.step_s, pace.rows, pace.rows_s) == (100, 10.0, 200, 5.0)


def test_another_machine_measures_nothing(tmp_path: Path) -> None:
    a_run(tmp_path, "one", whole())
    assert Timings(tmp_path, "elsewhere").estimate(recipe()) is None


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("model", {"path": "microsoft/codebert-base"}),
        ("data", {"path": "elsewhere"}),
        ("data", {"source_length": 64}),
        ("training", {"batch_size": 8}),
        ("training", {"device": "cpu"}),
        ("training", {"threads": 1}),
        ("training", {"precision": "bf16"}),
        ("training", {"compile": True}),
        ("training", {"processes": 2}),
    ],
)
def test_a_run_that_differs_in_what_a_step_takes_cannot_be_compared(
    tmp_path: Path, section: str, changes: dict[str, object]
) -> None:
    a_run(tmp_path, "one", whole())
    times = Timings(tmp_path, HERE)
    assert times.estimate(recipe(**{section: changes})) is None
    assert times.estimate(recipe(pruning={"scope": "global", "rounds": 1})) is not None


def test_another_search_leaves_the_evaluation_open(tmp_path: Path) -> None:
    a_run(tmp_path, "one", whole())
    estimate = Timings(tmp_path, HERE).estimate(recipe(evaluation={"beam": 3}))
    assert estimate is not None
    assert (estimate.training_s, estimate.evaluation_s, estimate.total_s) == (pytest.approx(40.0), None, None)


def test_the_newest_three_are_counted_together(tmp_path: Path) -> None:
    for number, step_s in enumerate((9.0, 0.1, 0.2, 0.3)):
        paths = a_run(tmp_path, f"run-{number}", whole(0, step_s))
        os.utime(paths.recipe, (1000 + number, 1000 + number))
    estimate = Timings(tmp_path, HERE).estimate(recipe())
    assert estimate is not None
    assert estimate.runs == ("run-3", "run-2", "run-1")
    assert estimate.pace.steps_per_s == pytest.approx(300 / 60)


def test_only_so_many_recipes_are_read_and_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        a_run(tmp_path, f"run-{number}", whole(0), recipe(training={"seed": number, "batch_size": 4}))
    read: list[Path] = []
    real = pace_module.load_recipe
    monkeypatch.setattr(pace_module, "load_recipe", lambda path: read.append(path) or real(path))
    monkeypatch.setattr(timings, "MOST_RUNS", 3)
    times = Timings(tmp_path, HERE)
    assert times.estimate(recipe()) is None
    assert times.estimate(recipe()) is None
    assert len(read) == 3


def test_damage_is_no_measurement(tmp_path: Path) -> None:
    paths = a_run(tmp_path, "one", whole())
    a_run(tmp_path, "two", [])
    (tmp_path / "two" / "recipe.toml").write_text("[[[")
    paths.journal.write_bytes(b'{"event": 3}\nnothing\n{"seq": 1, "time": 1e999, "event": "step"}\n\xff\xfe\n')
    assert Timings(tmp_path, HERE).estimate(recipe()) is None


def test_steps_that_took_no_time_are_no_measurement(tmp_path: Path) -> None:
    a_run(tmp_path, "one", [(5.0, what) for _, what in whole()])
    assert Timings(tmp_path, HERE).estimate(recipe()) is None


@pytest.mark.parametrize(
    ("sections", "rows"),
    [
        ({}, (4 + 1) * 200),  # the dense model is scored once more, with its encoder off
        ({"evaluation": {"rows": 5000}}, (4 + 1) * 1400),
        ({"evaluation": {"rows": 0}}, (4 + 1) * 1400),
        ({"picker": {"every": 50}}, (4 * 2 + 1) * 200),
        ({"picker": {"every": 30}}, (4 * 4 + 1) * 200),
        ({"picker": {"every": 50, "rule": "best"}}, (4 * 3 + 1) * 200),
        ({"rewind": {"to": "finetuned"}, "picker": {"every": 50}}, (3 * 2 + 1 + 1) * 200),
    ],
)
def test_how_many_rows_are_scored(sections: dict[str, dict[str, object]], rows: int) -> None:
    assert evaluated_rows(recipe(**sections), 1400) == rows


def test_a_fine_tuning_scores_its_result_with_the_encoder_off_too() -> None:
    finetuning = build_recipe({**ASKED, "pruning": {}, "kind": "finetune"})
    assert evaluated_rows(finetuning, 1400) == 2 * 200


def test_without_the_size_of_the_split_all_rows_are_unknown() -> None:
    assert evaluated_rows(recipe(evaluation={"rows": 0}), 0) is None
    assert trained_rounds(recipe(rewind={"to": "finetuned"})) == 3


# In words

PACE = Pace(400, 40.0, 800, 16.0, 4, 24.0, 1, 5.0, 1400, "cpu", 2)


def test_time_in_words_names_its_source() -> None:
    text = cost_text.time(recipe(), predict(recipe(), ("demo-1",), PACE))
    assert text.startswith("about 1 min: training 40 s, evaluation 20 s, the rest 29 s")
    assert "from demo-1 on this machine (cpu, 2 threads; 10 steps/s, 50 rows/s evaluated)" in text
    assert cost_text.time(recipe(), None) == cost_text.UNMEASURED
    stopping = recipe(picker={"rule": "best", "every": 50})
    assert cost_text.time(stopping, predict(stopping, ("demo-1",), PACE)).startswith("at most about")


def test_names_of_runs_are_text(tmp_path: Path) -> None:
    estimate: Estimate = predict(recipe(), ("evil\x1b]0;x\x07\n",), PACE)
    for text in (cost_text.time(recipe(), estimate), cost_text.line(Costs(None, "", None, estimate))):
        assert "\x1b" not in text
        assert "<1B>" in text


def test_a_model_that_is_not_here_is_unknown(tmp_path: Path) -> None:
    absent = recipe(model={"path": "nobody/never-downloaded"})
    costs = work_out(absent, tmp_path / "none-yet", Timings(tmp_path / "none-yet", HERE))
    assert costs.need is None
    assert costs.free_bytes
    assert "unknown: nobody/never-downloaded is no folder here, and not downloaded yet" in cost_text.disk(absent, costs)


@pytest.mark.parametrize(
    "path", ["a\0b", "/", "~nobody/x", "a" * 5000, "../..", "x:y@z"], ids=("nul", "root", "home", "long", "up", "odd")
)
def test_no_path_breaks_the_look(tmp_path: Path, path: str) -> None:
    costs = work_out(recipe(model={"path": path}), tmp_path, Timings(tmp_path, HERE))
    assert costs.need is None
    assert "\0" not in cost_text.disk(recipe(), costs)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    costs = work_out(recipe(), tmp_path, Timings(tmp_path, HERE))
    assert costs.need is not None
    assert costs.need.parameters == 19_142_784
    assert "NOT ENOUGH" not in cost_text.disk(recipe(), costs)
    full = replace(costs, free_bytes=costs.need.peak - 1)
    assert cost_text.disk(recipe(), full).startswith("NOT ENOUGH: about ")
    assert "free" in cost_text.line(full)


def test_the_finder_answers_for_the_newest_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, over, looked = threading.Semaphore(0), threading.Semaphore(0), list[Recipe]()

    def slow(newest: Recipe, checkpoints: Path, times: Timings) -> Costs:
        looked.append(newest)
        assert go.acquire(timeout=30)
        return work_out(newest, checkpoints, times)

    monkeypatch.setattr(costing, "work_out", slow)
    monkeypatch.setattr(costing, "free_bytes", lambda _: 10**9)  # other programs write, too
    finder = CostFinder(tmp_path, over.release)
    recipes = [recipe(pruning={"rounds": number}) for number in range(1, 5)]
    for each in recipes:
        assert finder.ask(each) is None  # the first one is looked at, the rest wait
    go.release()
    assert over.acquire(timeout=30)
    assert finder.ask(recipes[3]) is None
    go.release()
    assert over.acquire(timeout=30)
    assert looked == [recipes[0], recipes[3]]
    known = work_out(recipes[3], tmp_path, Timings(tmp_path))
    assert finder.ask(recipes[3]) == known
    finder.forget()
    assert finder.ask(recipes[3]) == known  # what is known is said until there is something newer
    go.release()
    assert over.acquire(timeout=30)
    assert len(looked) == 3
    assert finder.ask(recipes[3]) == known
    assert len(looked) == 3, "looked again, though nothing was forgotten since"
    finder.forget()
    assert finder.ask(recipes[0]) is None  # never another recipe's costs
    go.release()
    assert over.acquire(timeout=30)
    assert looked[3:] == [recipes[0]]
