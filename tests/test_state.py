"""The reducer: what a run looks like follows from its journal alone."""

import math
from dataclasses import replace

import pytest
from app_runs import FLOORS, NOW, a_round, beginning, evaluated, matrices, started, step, whole_run

from codeprune_tui.cli.console import doing
from codeprune_tui.views.state import LOG_LINES, LOSS_POINTS, RunView, eta_s, reduce, reduce_all, standing
from codeprune_tui.views.text import age, difference, duration, percent, rate, score, sentence
from codeprune_tui.widgets.figures import progress
from core.run.events import (
    CommandTaken,
    Event,
    Failed,
    Happening,
    Measuring,
    Paused,
    Pruned,
    Rank,
    Resumed,
    RoundStarted,
    RunFinished,
    RunStarted,
    Shrunk,
    Stopped,
    Unknown,
    Warned,
    from_line,
    read_line,
    to_line,
)
from core.score.interval import Difference


def numbered(happenings: list[Happening], first: int = 0, begin: float = NOW) -> list[Event]:
    return [Event(first + number, begin + number, what) for number, what in enumerate(happenings)]


def test_the_gpus_of_a_run_are_those_of_all_its_processes() -> None:
    def gpus(**facts: object) -> tuple[str, ...]:
        return reduce_all(RunView(), numbered([started("ruby", **facts)])).gpus  # type: ignore[arg-type]

    ranks = tuple(Rank(pid=100 + number, device="cuda (NVIDIA H200)", gpu=f"GPU-{number}") for number in range(3))
    assert gpus(gpu="GPU-0", ranks=ranks) == ("GPU-0", "GPU-1", "GPU-2")
    assert gpus(gpu="GPU-7") == ("GPU-7",)
    assert gpus() == ()


def test_a_whole_run() -> None:
    view = reduce_all(RunView(), numbered(whole_run("ruby")))
    assert (view.run, view.rounds, view.steps, view.device) == ("ruby", 3, 20, "cpu")
    assert [each.number for each in view.finished] == [0, 1, 2, 3]
    assert [each.scores.bleu for each in view.finished if each.scores] == [15.0, 14.0, 13.0, 12.0]
    assert view.dense is not None
    assert view.dense.bleu == 15.0
    assert view.latest is not None
    assert view.latest.bleu == 12.0
    assert view.floors == FLOORS
    assert view.masked is not None
    assert view.masked.number == 3
    assert view.masked.matrices == matrices(0.9)
    assert view.sparsity == pytest.approx(0.9)
    assert view.by_round[0].matrices == {}
    assert view.by_round[2].picked_step == 20
    assert len(view.losses.points) == 80
    assert view.samples_at == (3, 20)
    assert view.dense_samples == view.samples
    assert view.unreadable == 0


def test_one_by_one_is_the_same_as_all_at_once() -> None:
    events = numbered([*whole_run(), Warned(message="x")])
    one_by_one = RunView()
    for event in events:
        one_by_one = reduce(one_by_one, event)
    assert one_by_one == reduce_all(RunView(), events)


def test_a_journal_read_the_short_way_gives_the_same_view() -> None:
    happenings = [*whole_run(), step(3, 21, math.inf), step(3, 22, 1e-9), Warned(message="x")]
    lines = [to_line(at, NOW + at / 7, what).encode() for at, what in enumerate(happenings)]
    lines += [lines[9].replace(b'"step": ', b'"step":'), lines[9][:40], lines[9].replace(b'"round": 0', b'"round": 99999999999')]
    short = reduce_all(RunView(), map(from_line, lines))
    assert short == reduce_all(RunView(), map(read_line, lines))
    assert (short.step, short.unreadable) == (22, 2)


def test_events_seen_twice_change_nothing() -> None:
    events = numbered(whole_run())
    view = reduce_all(RunView(), events)
    assert reduce_all(view, events) == view
    assert reduce(view, events[5]) is not None
    assert reduce(view, events[5]) == view


def test_measuring_moves_the_progress_and_is_no_line_of_the_log() -> None:
    events = [*beginning(), *a_round(0, 15.0), RoundStarted(round=1, sparsity=0.5, steps=20)]
    view = reduce_all(RunView(), numbered(events))
    lines, left = len(view.log), eta_s(view, NOW + len(events))
    events += [Measuring(round=1, done=done, rows=8, criterion="wanda") for done in (1, 3)]
    view = reduce_all(RunView(), numbered(events))
    assert (view.decoding, view.measuring, view.round, len(view.log)) == ((3, 8), "wanda", 1, lines)
    assert eta_s(view, NOW + len(events)) == pytest.approx(left, abs=5)  # the whole round is still to come
    assert doing(view) == f"round 1/{view.rounds} measuring for wanda 3/8 rows"
    events.append(Pruned(round=1, sparsity=0.5, kept=1, total=2, matrices={}, seconds=1.0))
    assert reduce_all(RunView(), numbered(events)).decoding is None


def test_a_resumed_run_forgets_what_will_be_sent_again() -> None:
    before = [*beginning(), *a_round(0, 15.0), *a_round(1, 14.0)]
    view = reduce_all(RunView(), numbered(before))
    resumed = started(resumed=True, round=1, step=8)
    view = reduce(view, Event(len(before), NOW + 500, resumed))
    assert (view.round, view.step) == (1, 8)
    assert view.by_round[0].finished
    assert not view.by_round[1].finished
    assert view.by_round[1].scores is None
    assert view.by_round[1].evaluations == ()
    assert view.by_round[1].matrices == matrices(0.3)
    assert view.losses.points[-1][:2] == (1, 8)
    assert view.loss == pytest.approx(4.0 - 0.8)
    # Sent again, it is all there once.
    again = [step(1, at) for at in range(9, 21)] + [evaluated(1, 20, 13.5)]
    view = reduce_all(view, numbered(again, first=len(before) + 1))
    assert [each.scores.bleu for each in view.by_round[1].evaluations] == [13.5]
    assert [point[:2] for point in view.losses.points if point[0] == 1] == [(1, at) for at in range(1, 21)]


def test_a_resume_at_an_earlier_round_drops_the_later_ones() -> None:
    view = reduce_all(RunView(), numbered([*beginning(), *a_round(0, 15.0), *a_round(1, 14.0), *a_round(2, 13.0)]))
    view = reduce(view, Event(1000, NOW, started(resumed=True, round=1, step=0)))
    assert set(view.by_round) == {0, 1}
    assert view.sparsity == pytest.approx(0.3)


def test_unreadable_lines_are_counted_and_logged() -> None:
    view = reduce_all(RunView(), numbered(beginning()))
    seq = view.seq
    view = reduce_all(view, [from_line(b'{"seq": 9, "time": 1, "event": "from the future"}'), Event(-1, 0.0, Unknown("?"))])
    assert view.unreadable == 2
    assert view.seq == seq
    assert "A line that cannot be read" in view.log[-1].text
    assert view.log[-1].level == "warning"


@pytest.mark.parametrize(
    "event",
    [
        Event(3, NOW, step(10**18, 1)),
        Event(3, NOW, step(-5, 1)),
        Event(3, math.nan, step(0, 1)),
        Event(3, 1e300, step(0, 1)),
        Event(10**18, NOW, step(0, 1)),
    ],
)
def test_numbers_that_cannot_be_are_damage(event: Event) -> None:
    view = reduce_all(RunView(), numbered(beginning()))
    after = reduce(view, event)
    assert after.unreadable == 1
    assert (after.round, after.step, after.losses) == (view.round, view.step, view.losses)
    # The next good event still counts.
    assert reduce(after, Event(3, NOW, step(0, 7))).step == 7


def test_200_000_steps_stay_bounded() -> None:
    events = [Event(3 + at, NOW + at, step(0, at, 5.0 - at / 50_000, 200_000)) for at in range(1, 200_001)]
    view = reduce_all(reduce_all(RunView(), numbered(beginning())), events)
    assert LOSS_POINTS <= len(view.losses.points) < 2 * LOSS_POINTS
    assert view.step == 200_000
    assert view.loss == pytest.approx(1.0)
    assert view.losses.points[0][2] == pytest.approx(5.0, abs=0.01)
    assert view.losses.points[-1][2] == pytest.approx(1.0, abs=0.01)
    assert view.step_s == pytest.approx(1.0)
    means = [loss for _, _, loss in view.losses.points]
    assert means == sorted(means, reverse=True)


def test_the_log_is_bounded_and_leaves_steps_out() -> None:
    warnings: list[Happening] = [Warned(message=f"number {number}") for number in range(LOG_LINES + 50)]
    view = reduce_all(RunView(), numbered([*beginning(), step(0, 1), *warnings]))
    assert len(view.log) == LOG_LINES
    assert view.log[-1].text == f"number {LOG_LINES + 49}"
    assert len(view.warnings) == 100
    quiet = reduce_all(RunView(), numbered([*beginning(), step(0, 1)]))
    assert not any("Step" in line.text for line in quiet.log)


def test_a_loss_that_is_no_number_is_shown_but_not_drawn() -> None:
    view = reduce_all(RunView(), numbered([*beginning(), step(0, 1, 2.0), step(0, 2, math.nan)]))
    assert view.loss is not None
    assert math.isnan(view.loss)
    assert [loss for _, _, loss in view.losses.points] == [2.0]


def test_pausing_is_asked_then_done() -> None:
    view = reduce_all(RunView(), numbered([*beginning(), step(0, 1)]))
    assert standing(view, True, NOW) == "RUNNING"
    view = reduce(view, Event(10, NOW + 5, CommandTaken(command="pause")))
    assert standing(view, True, NOW + 5) == "PAUSING…"
    view = reduce(view, Event(11, NOW + 6, Paused(round=0, step=2)))
    assert standing(view, True, NOW + 6) == "PAUSED"
    assert standing(view, True, NOW + 6000) == "PAUSED"
    view = reduce(view, Event(12, NOW + 7, Resumed(round=0, step=2)))
    assert standing(view, True, NOW + 7) == "RUNNING"
    view = reduce(view, Event(13, NOW + 8, CommandTaken(command="stop")))
    assert standing(view, True, NOW + 8) == "STOPPING…"


def test_a_worker_that_starts_again_is_not_stale() -> None:
    view = reduce_all(RunView(), numbered([*beginning(), step(0, 1)], begin=NOW))
    assert standing(view, True, NOW + 60) == "STALE 57 s"
    assert standing(view, True, NOW + 60, taken=NOW + 50) == "STARTING…"
    stopped = reduce(view, Event(10, NOW + 5, Stopped(round=0, step=1, reason="asked to")))
    assert standing(stopped, True, NOW + 60, taken=NOW + 50) == "STARTING…"
    loading = reduce_all(RunView(), numbered(beginning()[:2], begin=NOW))
    assert standing(loading, True, NOW + 60, taken=NOW - 1) == "STARTING…"


@pytest.mark.parametrize(
    ("last", "held", "later", "state"),
    [
        (None, False, 0, "NEW"),
        (None, True, 0, "STARTING…"),
        (step(0, 1), True, 42, "STALE 42 s"),
        (step(0, 1), False, 0, "CRASHED"),
        (Paused(round=0, step=1), False, 0, "CRASHED"),
        (Stopped(round=0, step=1, reason="asked to"), False, 5, "STOPPED"),
        (Stopped(round=0, step=1, reason="asked to"), True, 1, "STOPPED"),
        (Stopped(round=0, step=1, reason="asked to"), True, 5, "STARTING…"),
        (Failed(problem="No.", fix="Try."), False, 0, "FAILED"),
        (RunFinished(rounds=3), True, 0, "DONE"),
        (RunFinished(rounds=3), False, 99, "DONE"),
    ],
)
def test_standing(last: Happening | None, held: bool, later: float, state: str) -> None:
    happenings = [] if last is None else [*beginning(), last]
    view = reduce_all(RunView(), numbered(happenings, begin=NOW - len(happenings) + 1))
    assert standing(view, held, NOW + later) == state


def test_eta_from_steps_and_evaluations() -> None:
    view = reduce_all(RunView(), numbered(beginning()))
    assert eta_s(view, NOW) is None
    steps = [Event(3 + at, NOW + 2.0 * at, step(0, at)) for at in range(1, 11)]
    view = reduce_all(view, steps)
    # 10 steps of 2 s are left in round 0, and 3 rounds of 20 steps to come.
    assert eta_s(view, NOW + 20) == pytest.approx(10 * 2 + 3 * 20 * 2)
    assert eta_s(view, NOW + 27) == pytest.approx(10 * 2 + 3 * 20 * 2 - 7)
    assert eta_s(view, NOW + 1e6) == 0.0


def test_eta_from_whole_rounds() -> None:
    events = numbered([*beginning(), *a_round(0, 15.0), *a_round(1, 14.0)])
    view = reduce_all(RunView(), events)
    assert eta_s(view, events[-1].time) == pytest.approx(2 * 25.0)
    paused = reduce(view, Event(999, events[-1].time, Paused(round=1, step=20)))
    assert eta_s(paused, events[-1].time + 1000) == pytest.approx(2 * 25.0)
    done = reduce_all(RunView(), numbered(whole_run()))
    assert eta_s(done, NOW) is None


def test_a_pause_does_not_count_as_training_time() -> None:
    events = [
        Event(3, NOW, step(0, 1)),
        Event(4, NOW + 1, step(0, 2)),
        Event(5, NOW + 2, Paused(round=0, step=2)),
        Event(6, NOW + 900, Resumed(round=0, step=2)),
        Event(7, NOW + 901, step(0, 3)),
        Event(8, NOW + 902, step(0, 4)),
    ]
    view = reduce_all(reduce_all(RunView(), numbered(beginning())), events)
    assert view.step_s == pytest.approx(1.0)


def test_every_event_has_a_sentence_and_survives_the_journal() -> None:
    for event in numbered([*whole_run(), Paused(round=1, step=2), Stopped(round=1, step=2, reason="asked to")]):
        read = from_line(to_line(event.seq, event.time, event.what))  # type: ignore[arg-type]
        assert sentence(read) == sentence(event)
        assert len(sentence(event)) > 5
    assert (
        sentence(Event(0, NOW, Pruned(round=1, sparsity=0.125, kept=875, total=1000, matrices={}, seconds=0.5)))
        == "Pruned to 12.5 %: 875 of 1,000 weights kept, in 0.5 s"
    )
    assert sentence(Event(0, NOW, replace(started(), resumed=True, round=3, step=7))).startswith(
        "Resumed at round 3, step 7 on cpu"
    )
    assert isinstance(started(), RunStarted)
    shrunk = Shrunk(
        parameters=(1000, 400), size_bytes=(4000, 2200), heads=(3, 8), neurons=(1024, 6144), speedup={"1": 2.04, "16": 2.5},
        beam=10, against_dense={"chrf": Difference(-0.3, -0.8, 0.2)},
    )  # fmt: skip
    assert sentence(Event(0, NOW, shrunk)) == (
        "Shrunk: 2.04 × as fast at batch 1, 2.50 × as fast at batch 16, 55 % of the size, chrF −0.30 (−0.80 to +0.20), "
        "3 of 8 heads and 1,024 of 6,144 neurons stay"
    )
    view = reduce(reduce(RunView(), Event(0, NOW, started())), Event(1, NOW, shrunk))
    assert progress(view).plain == "2.04 × as fast at batch 1, 55 % of the size, chrF −0.30 (−0.80 to +0.20)"
    again = reduce(view, Event(2, NOW, replace(started(), resumed=True, round=1, step=0)))
    assert "as fast" not in progress(again).plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (duration(0.4), "0.4 s"),
        (duration(42), "42 s"),
        (duration(720), "12 min"),
        (duration(3 * 3600 + 300), "3 h 05 min"),
        (duration(2 * 86400 + 4 * 3600), "2 d 4 h"),
        (duration(math.nan), "–"),
        (age(NOW - 3, NOW), "3 s"),
        (age(NOW - 3700, NOW), "1 h"),
        (age(0, NOW), "–"),
        (percent(0.3), "30 %"),
        (percent(0.125), "12.5 %"),
        (percent(math.nan), "–"),
        (score(None), "–"),
        (score(math.inf), "–"),
        (score(13.234), "13.23"),
        (difference(-0.5), "−0.50"),
        (difference(0.5), "+0.50"),
        (rate(980.4), "980/s"),
        (rate(12_340), "12.3 k/s"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert text == expected
