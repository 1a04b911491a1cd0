"""Numbers, times and events as the screen shows them: pure functions from data to text.

Knows neither Textual nor colours. Shares are in [0, 1] and become % only here; times are seconds.
"""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from core.program import program
from core.regularfile import real
from core.run.encoder_off import DECIDES
from core.run.events import (
    CheckpointSaved,
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
    Resumed,
    Rewound,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Scores,
    Shrunk,
    Step,
    Stopped,
    Unknown,
    Validated,
    Warned,
)
from core.run.folder import LARGEST
from core.run.results import ENCODER_OFF, FLOORS
from core.score.interval import Interval

NOTHING = "–"
GPU_ID = len("GPU-") + 8
"""Characters of a GPU's id that are shown; nvidia-smi -L shows them, too."""
"""Stands where there is no number (yet)."""

FLOOR_NAMES = {name: f"floor: {title}" for name, title in (FLOORS | {ENCODER_OFF: "encoder off"}).items()}
"""The floors of every score: programs that read no code, and the same model without its encoder layers."""

TONES: dict[str, tuple[str, str]] = {
    "RUNNING": ("●", "$text-success"),
    "STARTING…": ("●", "$text-primary"),
    "PAUSING…": ("●", "$text-warning"),
    "STOPPING…": ("●", "$text-warning"),
    "PAUSED": ("‖", "$text-warning"),
    "STALE": ("?", "$text-error"),
    "STOPPED": ("■", "$text-warning"),
    "CRASHED": ("✗", "$text-error"),
    "KILLED": ("✗", "$text-warning"),
    "FAILED": ("✗", "$text-error"),
    "DAMAGED": ("✗", "$text-error"),
    "DONE": ("✓", "$text-primary"),
    "QUEUED": ("·", "$text-primary"),
    "NEW": ("·", "$text-muted"),
}
"""First word of a state -> (sign, colour)."""


def _is_number(value: float) -> bool:
    """Whether a number can be written in a cell; NaN cannot, nor a number of hundreds of digits."""
    return abs(value) < LARGEST


def score(value: float | None, digits: int = 2) -> str:
    """A score 0..100, or a dash."""
    return NOTHING if value is None or not _is_number(value) else f"{value:.{digits}f}"


def difference(value: float | None) -> str:
    """A difference of scores with its sign, or a dash."""
    return NOTHING if value is None or not _is_number(value) else f"{value:+.2f}".replace("-", "−")


Floors = Mapping[str, float]
"""Floor -> its score under the measure that it stands beside; what is not known is missing."""


def beside(floors: Floors, *, every: bool = False, digits: int = 2) -> str:
    """The floors as they stand beside a score: "name 13.16"; "floors not known" where there are none.

    Args:
        floors: Of the rows that were scored.
        every: All of them; else only the highest, which is the one to beat.
        digits: Behind the point.
    """
    known = sorted(floors.items(), key=lambda floor: -floor[1])
    return ", ".join(f"{name} {score(value, digits)}" for name, value in (known if every else known[:1])) or "floors not known"


def held_against(value: float | None, floors: Floors, *, every: bool = False, digits: int = 2) -> str:
    """A score with the floors to compare it with: "11.72 (name 13.16)"; a dash if there is no score."""
    return NOTHING if value is None else f"{score(value, digits)} ({beside(floors, every=every, digits=digits)})"


def floors_under(floors: Mapping[str, Scores], measure: str = "bleu") -> dict[str, float]:
    """The floors that an event or a view has, under one measure, in the order of `FLOORS`.

    Args:
        floors: Floor -> its scores.
        measure: One of `results.MEASURES`.
    """
    known = {name: getattr(floors[name], measure) for name in FLOORS if name in floors}
    return {name: value for name, value in known.items() if value is not None}


def two_scores(scores: Scores, floors: Mapping[str, Scores]) -> str:
    """The score that leads and the paper's, each with its highest floor: "chrF 19.1 (name 16.7), BLEU 11.72 (name 13.16)"."""
    chrf = held_against(scores.chrf, floors_under(floors, "chrf"), digits=1)
    return f"chrF {chrf}, BLEU {held_against(scores.bleu, floors_under(floors))}"


def changed(interval: Interval | None) -> str:
    """A difference of scores with the ends of its interval, or a dash: "−0.22 (−0.71 to +0.26)"."""
    return f"{difference(interval.value)} ({difference(interval.low)} to {difference(interval.high)})" if interval else NOTHING


def percent(share: float) -> str:
    """A share as a percentage, without needless decimals: 0.3 -> "30 %", 0.125 -> "12.5 %"."""
    return f"{_trimmed(share)} %" if _is_number(share) else NOTHING


def with_before(sparsity: float, before: float) -> str:
    """The sparsity of what a recipe prunes, and behind it the model's own before: "90 %, before the run 50 %"."""
    return f"{percent(sparsity)}, before the run {percent(before)}" if before else percent(sparsity)


def _trimmed(share: float) -> str:
    return f"{share * 100:.1f}".removesuffix(".0")


def count(value: int) -> str:
    """A number with separators: 24927 -> "24,927"."""
    return f"{value:,}"


def runs_text(number: int) -> str:
    """A number of runs: "1 run", "1,000 runs"."""
    return f"{count(number)} run{'' if number == 1 else 's'}"


def rate(value: float) -> str:
    """A rate a second, short: 980 -> "980/s", 12300 -> "12.3 k/s"."""
    if not _is_number(value):
        return NOTHING
    return f"{value / 1000:.1f} k/s" if value >= 10_000 else f"{value:,.0f}/s"


def duration(seconds: float) -> str:
    """A span of time in at most two units: "42 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    if not _is_number(seconds) or seconds < 0:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def age(then: float, now: float) -> str:
    """How long ago something was, in one whole unit: "3 s", "5 min", "26 h", "3 d"; a dash for never."""
    if not 0 < then < LARGEST:
        return NOTHING
    seconds = max(0, int(now - then))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86400 else f"{seconds // 86400} d"


def clock(time: float) -> str:
    """A time of day in the local zone: "14:03:59"."""
    try:
        return datetime.fromtimestamp(time).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def sentence(event: Event, floors: Mapping[str, Scores] | None = None) -> str:
    """An event as a sentence for a person; text from outside is still in it as it came.

    Args:
        event: The event.
        floors: Those of its run, which not every event with a score repeats.
    """
    what, under = event.what, floors_under(floors or {})
    match what:
        case RunStarted():
            threads = f"{what.threads} thread{'s' if what.threads != 1 else ''}"
            gpu = f", {what.gpu[:GPU_ID]}" if what.gpu else ""
            precision = f", {what.precision}" if what.precision else ""
            where = f"{what.device}{gpu} ({threads}{precision}), process {what.pid} on {what.host}"
            return f"Resumed at round {what.round}, step {what.step} on {where}" if what.resumed else f"Started on {where}"
        case DataLoaded():
            left_out = f", {count(what.skipped)} left out as broken" if what.skipped else ""
            return f"Read {count(what.rows)} rows of {what.split}{left_out}"
        case FloorsMeasured():
            return (
                f"Floors on {count(what.rows)} rows of {what.split}: "
                f"constant sentence {score(what.constant.chrf, 1)} chrF and {score(what.constant.bleu)} BLEU, "
                f"method name {score(what.name.chrf, 1)} and {score(what.name.bleu)}"
            )
        case RoundStarted():
            return f"Round {what.round} begins at {percent(what.sparsity)} sparsity, {count(what.steps)} steps"
        case Measuring() if what.criterion == "latency":
            return f"Measuring what heads and neurons cost on this device: {what.done} of {what.rows} timings"
        case Measuring():
            return f"Measuring what {what.criterion} needs: {what.done} of {what.rows} calibration rows"
        case Pruned():
            kept = f"{count(what.kept)} of {count(what.total)} weights kept"
            if what.round == 0:
                return f"The model comes pruned to {percent(what.before or what.sparsity)}; of what the recipe prunes, {kept}"
            if what.entries is not None:
                kept += f", {count(what.entries[0])} of {count(what.entries[1])} entries of the vocabulary"
            return f"Pruned to {percent(what.sparsity)}: {kept}, in {duration(what.seconds)}"
        case Rewound():
            return "Weights drawn anew, masks kept" if what.to == "random" else f"Weights rewound ({what.to}), masks kept"
        case Step():
            return f"Step {what.step}/{what.steps}: loss {what.loss:.3f}, {rate(what.tokens_per_second)} tokens"
        case Evaluating():
            return f"Evaluating{' with the encoder off' if what.encoder_off else ''}: {what.done} of {what.rows} rows decoded"
        case Evaluated():
            return _evaluated(what)
        case EncoderOffMeasured():
            return (
                f"Encoder off: chrF {score(what.scores.chrf, 1)}, BLEU {score(what.scores.bleu)}, "
                f"corpus BLEU {score(what.scores.corpus_bleu)} on {count(what.rows)} rows of {what.split}; "
                f"dense minus encoder off: {changed(what.dense_less.get(DECIDES))} chrF"
            )
        case Validated():
            return f"Masked tokens at step {what.step}: loss {what.loss:.3f}, accuracy {percent(what.accuracy)}"
        case Picked():
            with_score = "" if what.bleu is None else f" (BLEU {held_against(what.bleu, under)})"
            return f"Picked the weights of step {what.step}{with_score}: {what.reason}"
        case MatrixMeasured():
            return f"Measured {what.parameter}: {count(what.kept)} of {count(what.rows * what.columns)} weights kept"
        case RoundFinished():
            with_score = "" if what.scores is None else f", {two_scores(what.scores, floors or {})}"
            at = with_before(what.sparsity, what.before)
            return f"Round {what.round} complete at {at}{with_score}, in {duration(what.seconds)}"
        case CheckpointSaved():
            return f"Checkpoint saved at round {what.round}, step {what.step}"
        case CommandTaken():
            return f"Command taken: {what.command}"
        case Paused():
            return f"Paused at round {what.round}, step {what.step}"
        case Resumed():
            return f"Goes on at round {what.round}, step {what.step}"
        case Warned():
            return what.message
        case Stopped():
            by = " on request" if what.reason == "stop" else f" by {what.reason}"
            return f"Stopped{by} at round {what.round}, step {what.step}"
        case Failed():
            return f"{what.problem} {what.fix}".strip()
        case Shrunk():
            return _shrunk(what)
        case RunFinished():
            return f"Finished: all {what.rounds + 1} rounds are complete" if what.rounds else "Finished"
        case Unknown():
            return f"A line that cannot be read: {what.text}"


def outcome(what: Shrunk, batches: int = 1) -> str:
    """How fast, how large and how good a shrunk model is, beside the dense one.

    Args:
        what: The event.
        batches: Most batch sizes whose speeds are told.
    """
    faster = [f"{ratio:.2f} × as fast at batch {batch}" for batch, ratio in [*what.speedup.items()][:batches]]
    promised = f"promised {what.promised:.2f} × at batch {what.promised_batch}" if what.promised is not None else ""
    dense, small = what.size_bytes
    size = f"{percent(small / dense)} of the size" if dense else ""
    lost = f"chrF {changed(what.against_dense.get(DECIDES))}" if what.against_dense else ""
    return ", ".join(filter(None, [*faster, promised if batches > 1 else "", size, lost]))


def _shrunk(what: Shrunk) -> str:
    (heads, all_heads), (neurons, all_neurons) = what.heads, what.neurons
    entries = f"{count(what.entries[0])} of {count(what.entries[1])} entries, " if what.entries else ""
    left = f"{entries}{count(heads)} of {count(all_heads)} heads and {count(neurons)} of {count(all_neurons)} neurons stay"
    return f"Shrunk: {', '.join(filter(None, [outcome(what, len(what.speedup) + 1), left]))}"


def _evaluated(what: Evaluated) -> str:
    scores, floors = what.scores, what.floors
    return (
        f"{two_scores(scores, floors)}, "
        f"corpus BLEU {held_against(scores.corpus_bleu, floors_under(floors, 'corpus_bleu'))} "
        f"on {count(what.rows)} rows of {what.split} (round {what.round}, step {what.step})"
    )


def killed(name: str, again: str) -> str:
    """The sentence about a run whose worker was killed on request.

    Args:
        name: Name of the run, safe to show.
        again: The work that is done again, in the words of `client.undone`.
    """
    return f"{name} was killed on request. r resumes from its last checkpoint" + (f"; it repeats {again}." if again else ".")


def reopening(checkpoints: Path) -> tuple[str, str]:
    """The command that opens the app again on a folder of runs, and the folder.

    Args:
        checkpoints: Folder of all runs.

    Returns:
        The command, with its option only where the folder isn't the one it takes by itself in this directory; and the folder.
    """
    whole = real(checkpoints)
    if whole == real(Path("checkpoints")):
        return program(), str(whole.parent)
    return f"{program()} --checkpoints {shlex.quote(str(whole))}", str(whole)


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligns cells in columns two blanks apart.

    Args:
        rows: The first one is the heading.
        left: How many columns, from the first, are aligned left; the others are numbers.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def between(spread: Interval | None) -> str:
    """The ends of an interval, or a dash: "10.78 to 12.31"."""
    return f"{score(spread.low)} to {score(spread.high)}" if spread else NOTHING


def tone(state: str) -> tuple[str, str]:
    """Sign and colour of a state such as "STALE 42 s"."""
    return TONES.get(state.split(" ", 1)[0], ("·", "$text-muted"))
