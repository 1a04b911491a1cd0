"""The state of a run: one frozen value, made from the events of its journal by pure functions.

`reduce(view, event)` does it all; `reduce_all` does the same for many events, fast enough for a journal of 200,000. Knows
neither Textual, threads nor the clock: the caller of an ETA passes the time in. Everything that grows with a run's length is
bounded here, so that a week of training costs no more memory than an hour.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Literal

from core.run.events import (
    CommandTaken,
    DataLoaded,
    EncoderOffMeasured,
    Evaluated,
    Evaluating,
    Event,
    Failed,
    FloorsMeasured,
    MatrixMeasured,
    Measuring,
    Paused,
    Picked,
    Pruned,
    Rank,
    Resumed,
    Rewound,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Sample,
    Scores,
    Shrunk,
    Step,
    Stopped,
    UnitScores,
    Unknown,
    Validated,
    Warned,
)
from core.run.folder import LARGEST, State, run_state
from core.score.interval import Difference

from .outliers import MOST, countable, drawable, mended
from .text import duration, sentence

LOSS_POINTS = 1000
"""Points of the loss series, which is thinned to so many whenever it holds twice as many."""
RATES = ("learning_rate", "tokens_per_second", "examples_per_second")
LOG_LINES = 500
MOST_EVALUATIONS = 400
"""Kept for each round."""
LATEST_S = 1e11
"""A time beyond this, some three thousand years after 1970, likewise."""
STARTING_GRACE_S = 3.0
"""A worker that has just written its last event still holds the lock for a moment."""

Level = Literal["info", "good", "warning", "error"]


@dataclass(frozen=True)
class LogLine:
    """One line of the log pane."""

    seq: int
    time: float
    level: Level
    text: str
    """The text as it came; not yet safe for a terminal."""


@dataclass(frozen=True)
class Evaluation:
    """One measurement of a model."""

    round: int
    step: int
    split: str
    rows: int
    scores: Scores
    signatures: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class RoundView:
    """The facts of one round."""

    number: int
    sparsity: float = 0.0
    steps: int = 0
    matrices: Mapping[str, float] = field(default_factory=dict)
    """Parameter name -> sparsity; empty for a dense round."""
    figures: Mapping[str, MatrixMeasured] = field(default_factory=dict)
    """Parameter name -> its measurements at the end of the round; empty before, and in journals of older versions."""
    kept: int = 0
    total: int = 0
    unit: str = "weight"
    """What went as one when the round was pruned."""
    units: Mapping[str, UnitScores] = field(default_factory=dict)
    """Block such as "encoder 3 heads" -> what its units scored when the round was pruned; empty where single weights were."""
    entries: tuple[int, int] | None = None
    """Entries of the vocabulary that are left, of how many; None where none was dropped."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Parameter name -> error of its output right after pruning; empty where the criterion looks at no data."""
    before: float = 0.0
    """How sparse the model was before the run; `sparsity` is of the weights that the recipe prunes."""
    evaluations: tuple[Evaluation, ...] = ()
    picked_step: int | None = None
    scores: Scores | None = None
    """Scores of the picked weights; None until the round is complete."""
    against_dense: Mapping[str, Difference] = field(default_factory=dict)
    """Measure -> `scores` minus those of the dense round, with its interval; empty where it is not known."""
    seconds: float = 0.0
    finished: bool = False


@dataclass(frozen=True)
class Series:
    """A thinned series of training's measurements: every point is the mean of `stride` consecutive values."""

    points: tuple[tuple[int, int, float], ...] = ()
    """(round, step, value), oldest first."""
    stride: int = 1
    waiting: tuple[float, ...] = ()
    """Values of the point that is not complete yet."""
    left_out: int = 0
    """Number of values that are NaN or absurd."""


@dataclass(frozen=True)
class RunView:
    """Everything the screens show of one run."""

    run: str = ""
    kind: str = ""
    rounds: int = 0
    steps: int = 0
    """Optimizer steps a round."""
    device: str = ""
    threads: int = 0
    host: str = ""
    pid: int = 0
    gpu: str = ""
    """Id of the GPU that the worker computes on, "" where it is none."""
    ranks: tuple[Rank, ...] = ()
    """The processes that share the run; () where it has one process."""
    rank_bytes: tuple[int, ...] = ()
    """Bytes of its device's memory that each rank holds; () before the first step."""

    seq: int = -1
    unreadable: int = 0
    last: Event | None = None
    turn: Event | None = None
    """The last start, pause, resume, stop, failure or end."""
    pending_command: str = ""
    """A command that the worker has taken but not carried out yet."""

    round: int = 0
    step: int = 0
    sparsity: float = 0.0
    by_round: Mapping[int, RoundView] = field(default_factory=dict)
    losses: Series = Series()
    rates: Mapping[str, Series] = field(default_factory=dict)
    """The other numbers of a training step, by their names in `Step`: "learning_rate", "tokens_per_second", …"""
    loss: float | None = None
    learning_rate: float = 0.0
    tokens_per_second: float = 0.0
    examples_per_second: float = 0.0
    decoding: tuple[int, int] | None = None
    """(rows done, rows) of the evaluation that goes on."""
    decoding_off: bool = False
    """Whether that evaluation is the one without the encoder's layers."""
    measuring: str = ""
    """Criterion whose basis is being measured: then `decoding` counts calibration rows."""

    step_s: float | None = None
    """Seconds an optimizer step, a running mean."""
    evaluation_s: float | None = None
    anchor: tuple[float, int, int] | None = None
    """(time, round, step) of the last step event, from which the next one's duration is measured."""

    floors: Mapping[str, Scores] = field(default_factory=dict)
    """"constant" and "name": scores of programs without a model on the same rows; "encoder_off" once that is measured."""
    encoder_off: EncoderOffMeasured | None = None
    """None until round 0 has measured it, and in runs of older versions."""
    validations: tuple[Validated, ...] = ()
    data: tuple[DataLoaded, ...] = ()
    samples: tuple[Sample, ...] = ()
    samples_at: tuple[int, int] = (0, 0)
    """(round, step) of the samples."""
    dense_samples: tuple[Sample, ...] = ()
    warnings: tuple[str, ...] = ()
    shrunk: Shrunk | None = None
    """What the run's end brought, where it writes a shrunk model."""
    failure: Failed | None = None
    log: tuple[LogLine, ...] = ()

    @property
    def gpus(self) -> tuple[str, ...]:
        """Ids of the GPUs that the run computes on, each once; of several processes, those of all."""
        return tuple(dict.fromkeys(uuid for uuid in (self.gpu, *(rank.gpu for rank in self.ranks)) if uuid))

    @property
    def dense(self) -> Scores | None:
        """Scores of the dense model, that is of round 0."""
        dense = self.by_round.get(0)
        return dense.scores if dense else None

    @property
    def before(self) -> float:
        """How sparse the model was before the run; 0 until it is known."""
        return max((each.before for each in self.by_round.values()), default=0.0)

    @property
    def finished(self) -> list[RoundView]:
        """The complete rounds, ascending."""
        return [self.by_round[number] for number in sorted(self.by_round) if self.by_round[number].finished]

    @property
    def masked(self) -> RoundView | None:
        """The newest round that has masks, or a smaller vocabulary."""
        masked = [each for each in self.by_round.values() if each.matrices or each.entries]
        return max(masked, key=lambda each: each.number, default=None)

    @property
    def evaluations(self) -> list[Evaluation]:
        """All measurements, in the order of rounds and steps."""
        return [evaluation for number in sorted(self.by_round) for evaluation in self.by_round[number].evaluations]

    @property
    def latest(self) -> Scores | None:
        """The newest scores."""
        evaluations = self.evaluations
        if evaluations:
            return evaluations[-1].scores
        finished = self.finished
        return finished[-1].scores if finished else None


def reduce(view: RunView, event: Event) -> RunView:
    """The view after one more event; a repeated event changes nothing."""
    return reduce_all(view, (event,))


def reduce_all(view: RunView, events: Iterable[Event]) -> RunView:
    """The view after many events: the same as `reduce` one by one, but in a fraction of the time."""
    seq, last, log, missed = view.seq, view.last, view.log, view.unreadable
    for _, group in groupby(events, key=lambda event: type(event.what)):
        fresh, unreadable, seq = _fresh(seq, group)
        if unreadable:
            missed, log = missed + len(unreadable), _logged(log, unreadable, view.floors)
        if fresh:
            view, last = _apply_group(view, fresh), fresh[-1]
            log = _logged(log, fresh, view.floors)
    return replace(view, seq=seq, last=last, log=log, unreadable=missed)


def _fresh(seq: int, events: Iterable[Event]) -> tuple[list[Event], list[Event], int]:
    fresh: list[Event] = []
    unreadable: list[Event] = []
    for event in events:
        number, time, what = event
        # Nearly all events are steps.
        is_step = isinstance(what, Step)
        sane = _sane_step(what) if isinstance(what, Step) else not isinstance(what, Unknown) and countable(what)
        if not (sane and 0 <= number <= seq + MOST and -LATEST_S < time < LATEST_S):
            unreadable.append(event)
        elif number > seq:
            fresh.append(event if is_step else Event(number, time, mended(what)))
            seq = number
    return fresh, unreadable, seq


def _sane_step(what: Step) -> bool:
    """As `countable`, at a fraction of its time."""
    return 0 <= what.round <= MOST and 0 <= what.step <= MOST and 0 <= what.steps <= MOST


def _logged(log: tuple[LogLine, ...], events: Sequence[Event], floors: Mapping[str, Scores]) -> tuple[LogLine, ...]:
    if isinstance(events[0].what, Step | Evaluating | Measuring | MatrixMeasured):
        return log  # so many of them: they move numbers and pictures, a log full of them would hide what matters
    lines = tuple(LogLine(event.seq, event.time, _level(event), sentence(event, floors)) for event in events[-LOG_LINES:])
    return (log + lines)[-LOG_LINES:]


def _level(event: Event) -> Level:
    match event.what:
        case RoundFinished() | Shrunk() | RunFinished():
            return "good"
        case Warned() | Unknown():
            return "warning"
        case Failed():
            return "error"
        case _:
            return "info"


def _apply_group(view: RunView, events: Sequence[Event]) -> RunView:
    if isinstance(events[0].what, Step):
        return _train(view, events)
    if isinstance(events[0].what, MatrixMeasured):
        return _measure(view, events)
    if isinstance(events[0].what, Evaluating | Measuring):
        events = events[-1:]
    for event in events:
        view = _apply(view, event)
    return view


def _apply(view: RunView, event: Event) -> RunView:
    what = event.what
    match what:
        case RunStarted():
            return _start(view, event, what)
        case Paused() | Resumed() | Stopped() | Failed() | RunFinished():
            return _turn(view, event)
        case CommandTaken():
            return replace(view, pending_command="" if what.command == "resume" else what.command)
        case DataLoaded():
            return replace(view, data=(*(old for old in view.data if old.split != what.split), what)[-20:])
        case FloorsMeasured():
            return replace(view, floors={**view.floors, "constant": what.constant, "name": what.name})
        case Warned():
            return replace(view, warnings=(*view.warnings, what.message)[-100:])
        case Validated():
            return replace(view, validations=(*view.validations, what)[-MOST_EVALUATIONS:], anchor=None)
        case Evaluating():
            return replace(
                view,
                round=what.round,
                step=what.step,
                decoding=(what.done, what.rows),
                decoding_off=what.encoder_off,
                measuring="",
                anchor=None,
            )
        case Measuring():
            rows, name = (what.done, what.rows), what.criterion
            return replace(view, round=what.round, decoding=rows, measuring=name, decoding_off=False, anchor=None)
        case Evaluated():
            return _evaluate(view, what)
        case EncoderOffMeasured():
            floors = {**view.floors, "encoder_off": what.scores}
            return replace(view, encoder_off=what, floors=floors, decoding=None, anchor=None)
        case RoundStarted() | Pruned() | Picked() | RoundFinished() | Rewound():
            return _round_event(view, what)
        case Shrunk():
            return replace(view, shrunk=what, decoding=None)
        case _:
            return view


def _start(view: RunView, event: Event, what: RunStarted) -> RunView:
    view = replace(
        view,
        run=what.run,
        kind=what.kind,
        rounds=what.rounds,
        steps=what.steps,
        device=what.device,
        threads=what.threads,
        host=what.host,
        pid=what.pid,
        gpu=what.gpu,
        ranks=what.ranks,
        rank_bytes=(),
        turn=event,
        pending_command="",
        decoding=None,
        anchor=None,
        failure=None,
    )
    return _forget_after(view, what.round, what.step) if what.resumed else view


def _forget_after(view: RunView, number: int, step: int) -> RunView:
    """Drops everything after the point where a worker resumes the run: the worker will send it again."""
    kept = {n: of_round for n, of_round in view.by_round.items() if n <= number}
    if number in kept:
        current = kept[number]
        past = tuple(evaluation for evaluation in current.evaluations if evaluation.step <= step)
        kept[number] = replace(current, evaluations=past, finished=False, scores=None, picked_step=None, seconds=0.0, figures={})
    losses = _before(view.losses, number, step)
    if number == 0:  # its end, where the encoder is taken out, is still to come
        view = replace(
            view,
            encoder_off=None,
            decoding_off=False,
            floors={name: each for name, each in view.floors.items() if name != "encoder_off"},
        )
    return replace(
        view,
        round=number,
        step=step,
        by_round=kept,
        sparsity=kept[number].sparsity if number in kept else view.sparsity,
        losses=losses,
        rates={name: _before(series, number, step) for name, series in view.rates.items()},
        loss=losses.points[-1][2] if losses.points else None,
        validations=tuple(each for each in view.validations if (each.round, each.step) <= (number, step)),
        shrunk=None,
    )


def _before(series: Series, number: int, step: int) -> Series:
    points = tuple(point for point in series.points if point[:2] <= (number, step))
    return Series(points, series.stride, left_out=series.left_out)


def _turn(view: RunView, event: Event) -> RunView:
    what = event.what
    if isinstance(what, Paused | Resumed | Stopped):
        view = replace(view, round=what.round, step=what.step)
    return replace(
        view,
        turn=event,
        pending_command="",
        anchor=None,
        decoding=view.decoding if isinstance(what, Paused | Resumed) else None,
        failure=what if isinstance(what, Failed) else None,
    )


def _round_event(view: RunView, what: RoundStarted | Pruned | Picked | RoundFinished | Rewound) -> RunView:
    current = view.by_round.get(what.round, RoundView(what.round))
    match what:
        case RoundStarted():
            current = replace(current, sparsity=what.sparsity, steps=what.steps)
            view = replace(view, round=what.round, step=0, sparsity=what.sparsity, decoding=None)
        case Pruned():
            current = replace(current, sparsity=what.sparsity, matrices=what.matrices, kept=what.kept, total=what.total)
            current = replace(current, unit=what.unit, before=what.before, errors=what.output_errors)
            current = replace(current, units=what.unit_scores, entries=what.entries)
            view = replace(view, sparsity=what.sparsity, decoding=None)
        case Picked():
            current = replace(current, picked_step=what.step)
        case RoundFinished():
            current = replace(current, sparsity=what.sparsity, scores=what.scores, seconds=what.seconds, finished=True)
            current = replace(current, before=what.before, against_dense=what.against_dense)
            view = replace(view, decoding=None)
    return replace(view, by_round={**view.by_round, what.round: current}, anchor=None)


def _measure(view: RunView, events: Sequence[Event]) -> RunView:
    by_round = dict(view.by_round)
    for number, group in groupby((event.what for event in events), key=lambda what: getattr(what, "round", 0)):
        current = by_round.get(number, RoundView(number))
        fresh = {what.parameter: what for what in group if isinstance(what, MatrixMeasured)}
        by_round[number] = replace(current, figures={**current.figures, **fresh})
    return replace(view, by_round=by_round)


def _evaluate(view: RunView, what: Evaluated) -> RunView:
    current = view.by_round.get(what.round, RoundView(what.round))
    evaluation = Evaluation(what.round, what.step, what.split, what.rows, what.scores, what.signatures, what.seconds)
    others = tuple(old for old in current.evaluations if old.step != what.step)
    current = replace(current, evaluations=(*others, evaluation)[-MOST_EVALUATIONS:])
    samples = tuple(what.samples[:20])
    return replace(
        view,
        by_round={**view.by_round, what.round: current},
        floors={**view.floors, **what.floors},
        decoding=None,
        anchor=None,
        evaluation_s=what.seconds,
        samples=samples or view.samples,
        samples_at=(what.round, what.step) if samples else view.samples_at,
        dense_samples=samples if what.round == 0 and samples else view.dense_samples,
    )


def _train(view: RunView, events: Sequence[Event]) -> RunView:
    step_s = view.step_s
    then, number, step = view.anchor or (math.inf, -1, -1)
    for _, time, what in events:
        assert isinstance(what, Step)
        if what.round == number and what.step > step and time > then:
            measured = (time - then) / (what.step - step)
            step_s = measured if step_s is None else 0.9 * step_s + 0.1 * measured
        then, number, step = time, what.round, what.step
    assert isinstance(what, Step)
    steps = [event.what for event in events if isinstance(event.what, Step)]
    rates = {name: _grown(view.rates.get(name, Series()), steps, attrgetter(name)) for name in RATES}
    return replace(
        view,
        round=what.round,
        step=what.step,
        losses=_grown(view.losses, steps, attrgetter("loss")),
        rates=rates,
        loss=what.loss,
        learning_rate=what.learning_rate,
        tokens_per_second=what.tokens_per_second,
        examples_per_second=what.examples_per_second,
        rank_bytes=what.rank_bytes if all(0 <= size_bytes < LARGEST for size_bytes in what.rank_bytes) else (),
        step_s=step_s,
        anchor=(then, number, step),
        decoding=None,
    )


def _grown(series: Series, steps: Sequence[Step], value: Callable[[Step], float]) -> Series:
    """A series with more values; block by block, since a journal may bring 200,000 of them."""
    points, stride, waiting, left_out, at = list(series.points), series.stride, list(series.waiting), series.left_out, 0
    while at < len(steps):
        block = steps[at : at + stride - len(waiting)]
        at += len(block)
        values = [number for number in map(value, block) if drawable(number)]
        waiting += values
        left_out += len(block) - len(values)
        if len(waiting) >= stride:
            points.append((block[-1].round, block[-1].step, sum(waiting) / len(waiting)))
            waiting.clear()
            if len(points) >= 2 * LOSS_POINTS:
                points = [(*late[:2], (early[2] + late[2]) / 2) for early, late in zip(points[::2], points[1::2], strict=True)]
                stride *= 2
    return Series(tuple(points), stride, tuple(waiting), left_out)


def eta_s(view: RunView, now: float) -> float | None:
    """Seconds until the run ends, as far as its measured speed can tell.

    Args:
        view: The run.
        now: Seconds since 1970.

    Returns:
        The estimate; None before anything was measured, and when nothing is left to do.
    """
    if view.turn is None or isinstance(view.turn.what, RunFinished) or view.last is None:
        return None
    once = view.encoder_off.seconds if view.encoder_off is not None else 0.0  # only round 0 does that
    seconds = [each.seconds for each in view.finished if each.number > 0]
    seconds = seconds or [max(0.0, each.seconds - once) for each in view.finished]
    evaluation = view.evaluation_s or 0.0
    if view.step_s is not None:
        whole = seconds[-1] if seconds else view.steps * view.step_s + evaluation
    elif seconds:
        whole = seconds[-1]
    else:
        return None
    current = view.by_round.get(view.round)
    done = current is not None and current.finished
    left = 0.0 if done else _round_left_s(view, whole)
    later = max(0, view.rounds - view.round) * whole
    waiting = isinstance(view.turn.what, Paused | Stopped | Failed)
    passed = 0.0 if waiting else max(0.0, now - view.last.time)
    return max(0.0, left + later - passed)


def _round_left_s(view: RunView, whole: float) -> float:
    evaluation = view.evaluation_s or 0.0
    if view.decoding is not None and not view.measuring:
        done, rows = view.decoding
        return evaluation * (1 - min(1.0, done / max(1, rows))) + _encoder_off_left_s(view)
    if view.step_s is None:
        return whole
    current = view.by_round.get(view.round)
    steps = current.steps if current is not None and current.steps else view.steps
    return max(0, steps - view.step) * view.step_s + evaluation + _encoder_off_left_s(view)


def _encoder_off_left_s(view: RunView) -> float:
    """Round 0 scores the dense model a second time, without its encoder."""
    return view.evaluation_s or 0.0 if view.round == 0 and view.encoder_off is None and not view.decoding_off else 0.0


def standing(view: RunView, held: bool, now: float, taken: float = 0.0) -> str:
    """The run's state in the words of the status line, such as RUNNING, PAUSING… or STALE 42 s.

    Args:
        view: The run.
        held: Whether a worker lives.
        now: Seconds since 1970.
        taken: When that worker took the run, seconds since 1970; 0 where that is not known.

    Returns:
        One of the states, perhaps with "…" or an age.
    """
    events = [event for event in (view.turn, view.last) if event is not None]
    state = run_state(events, held, now, taken)
    if not held:
        return str(state)
    if state is State.STARTING or view.turn is None or view.last is None:
        return "STARTING…"
    silent = max(0.0, now - view.last.time)
    match view.turn.what:
        case RunFinished():
            return str(State.DONE)
        case Stopped() | Failed():
            return "STARTING…" if silent > STARTING_GRACE_S else str(run_state(events, False, now))
    if state is State.PAUSED:
        return "STOPPING…" if view.pending_command == "stop" else str(state)
    if state is State.STALE:
        return f"{state} {duration(float(int(silent)))}"
    if view.pending_command == "pause":
        return "PAUSING…"
    return "STOPPING…" if view.pending_command == "stop" else str(state)
