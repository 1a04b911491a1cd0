"""Series of a run: which there are, where their points stand, what is left out, and how few of them are drawn."""

import math

import pytest
from app_runs import a_round, beginning, evaluated, started, step, whole_run

from codeprune_tui.views.series import MATRIX, Chart, Point, chart, part, thinned, titles
from codeprune_tui.views.state import RATES, RunView, reduce_all
from core.run.events import Event, Happening, RoundFinished, RoundStarted, RunStarted, Scores, Step, Validated


def view_of(happenings: list[Happening]) -> RunView:
    return reduce_all(RunView(), [Event(seq, 1e9 + seq, what) for seq, what in enumerate(happenings)])


def test_all_that_a_run_has_can_be_drawn() -> None:
    view = view_of(whole_run())
    known = titles(view)
    assert list(known)[:7] == ["loss", "chrf", "bleu", "corpus_bleu", *RATES]  # its scores are of an older version
    assert known[f"{MATRIX}encoder.encoder.layer.2.attention.self.query.weight"] == "sparsity of encoder layer 3, query"
    assert "held_out_loss" not in known
    for key in known:
        drawn = chart(view, key)
        assert drawn.points, key
        assert (drawn.left, drawn.right) == (-1, 3), "all of them on the same axis"
        assert list(drawn.points) == sorted(drawn.points)
        assert all(drawn.left <= point.x <= drawn.right for point in drawn.points)


def test_points_stand_where_they_happened() -> None:
    view = view_of([*beginning(), *a_round(0, 15.0), *a_round(1, 14.0)])
    losses = chart(view, "loss").points
    assert losses[0] == (-0.95, 3.9, 0, 1)
    assert losses[-1] == (1.0, 2.0, 1, 20)
    assert [(point.x, point.y) for point in chart(view, "bleu").points] == [(0.0, 15.0), (1.0, 14.0)]
    assert [(point.x, point.y) for point in chart(view, "sparsity").points] == [(0.0, 0.0), (1.0, 30.0)]
    assert chart(view, "seconds").unit == "s"
    assert chart(view, "seconds").says(chart(view, "seconds").points[1]) == "round 1: time of a round 25 s"


def test_a_score_is_held_against_dense_and_floors_and_each_score_against_its_own() -> None:
    view = view_of([*beginning(), *a_round(0, 15.0)])
    assert dict(chart(view, "bleu").levels) == {"dense": 15.0, "constant": 8.75, "name": 13.16}
    assert dict(chart(view, "chrf").levels) == {"dense": 24.0, "constant": 10.5, "name": 16.7}
    assert chart(view, "loss").levels == ()


def test_the_score_at_the_end_of_a_round_is_that_of_the_picked_weights() -> None:
    round_0 = a_round(0, 15.0)
    earlier = [evaluated(0, 10, 16.5), *round_0[-5:-3], *round_0[-2:-1]]
    done = RoundFinished(round=0, sparsity=0.0, scores=Scores(16.5, 3.0, 25.0), steps=20, seconds=25.0)
    points = chart(view_of([*beginning(), round_0[0], *earlier, done]), "bleu").points
    assert [(point.x, point.y) for point in points] == [(-0.5, 16.5), (0.0, 16.5)]


def test_runs_without_rounds_go_by_step() -> None:
    pretraining = started(rounds=0, steps=100, kind="pretrain")
    assert isinstance(pretraining, RunStarted)
    measured = Validated(round=0, step=50, loss=2.5, accuracy=0.25, seconds=1.0)
    view = view_of([pretraining, RoundStarted(round=0, sparsity=0.0, steps=100), step(0, 50, 2.0, 100), measured])
    assert "bleu" not in titles(view)
    drawn = chart(view, "held_out_accuracy")
    assert (drawn.by_round, drawn.left, drawn.right, drawn.unit) == (False, 0, 100, "%")
    assert drawn.points == ((50.0, 25.0, 0, 50),)
    assert drawn.says(drawn.points[0]) == "step 50: held-out accuracy 25 %"


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e308, 1e308])
def test_what_is_no_number_is_left_out_and_counted(value: float) -> None:
    broken = Step(round=1, step=3, steps=20, loss=value, learning_rate=value, tokens_per_second=value, examples_per_second=value)
    scores = Scores(value, value, value)
    bad = RoundFinished(round=1, sparsity=value, scores=scores, steps=20, seconds=value)
    view = view_of([*beginning(), *a_round(0, 15.0), step(1, 1), step(1, 2), broken, evaluated(1, 10, value), bad])
    for key in titles(view):
        drawn = chart(view, key)
        numbers = [*(point.y for point in drawn.points), *(level for _, level in drawn.levels)]
        assert all(abs(number) < 1e15 for number in numbers), key
        if key in ("loss", *RATES):
            assert drawn.note == "1 left out: no numbers", key
    assert chart(view, "bleu").note == "2 left out: no numbers"
    assert chart(view, "seconds").note == "1 left out: no numbers"


def test_a_run_taken_up_again_draws_nothing_twice() -> None:
    again = started(resumed=True, round=1, step=10)
    steps = [
        *beginning(),
        *a_round(0, 15.0),
        *(step(1, at) for at in range(1, 16)),
        again,
        *(step(1, at) for at in range(11, 21)),
    ]
    for key in ("loss", *RATES):
        places = [point.x for point in chart(view_of(steps), key).points]
        assert places == sorted(set(places)), key


def test_thinning_keeps_every_peak() -> None:
    points = [Point(float(at), math.sin(at / 50), 0, at) for at in range(5000)]
    points[1234], points[4321] = points[1234]._replace(y=9.0), points[4321]._replace(y=-9.0)
    few = thinned(points, 200)
    assert len(few) <= 200
    assert few == sorted(few)
    assert {9.0, -9.0} <= {point.y for point in few}
    assert thinned(points[:50], 200) == points[:50]
    assert [point.step for point in part(points, 10.5, 12.5)] == [10, 11, 12, 13], "lines lead in from outside"


def test_the_point_next_to_a_place() -> None:
    drawn = Chart("loss", "loss", points=tuple(Point(float(at), 1.0, 0, at) for at in (0, 10, 20)))
    nearest = [drawn.near(x) for x in (-5.0, 4.0, 6.0, 99.0)]
    assert [point.step for point in nearest if point] == [0, 0, 10, 20]
    assert Chart("loss", "loss").near(1.0) is None
    assert Chart("loss", "loss").says(None) == "nothing measured yet"


def test_a_journal_of_200_000_steps_is_drawn_from_few_points() -> None:
    steps: list[Happening] = [started(rounds=9, steps=20_000)]
    steps += [
        Step(
            round=at // 20_000,
            step=at % 20_000 + 1,
            steps=20_000,
            loss=2.0,
            learning_rate=1e-4,
            tokens_per_second=12e3,
            examples_per_second=180.0,
        )
        for at in range(200_000)
    ]
    view = view_of(steps)
    for key in titles(view):
        assert len(chart(view, key).points) <= 2000
    assert chart(view, "loss").note == "a point is the mean of 128 values"
