"""The numbers beside the pictures: scores with their floors, loss, rates, progress. Pure text from a run's view."""

from collections.abc import Sequence

from textual.content import Content

from core.run.events import Sample, Scores
from core.run.results import FLOORS

from ..runs.machine import GIB, Figures
from ..views.axis import number
from ..views.encoder_verdict import NOT_MEASURED
from ..views.plain import plain
from ..views.state import RunView
from ..views.text import NOTHING, beside, count, floors_under, held_against, outcome, percent, rate, score

ENCODER_OFF = "encoder off"
Part = str | tuple[str, str]
"""Text, or (text, style)."""


FLOOR_STYLES = {"name": "ansi_bright_yellow", "constant": "ansi_bright_magenta"}
"""Colours of the scores, the same as in the chart."""
_NO_FLOORS: list[tuple[str, str, Scores | None]] = [(name, style, None) for name, style in FLOOR_STYLES.items()]


def scores_table(view: RunView) -> Content:
    """Six lines: the newest scores, the dense ones and the floors, in all three measures."""
    lines: list[Part] = [("             chrF   BLEU  corpus\n", "$text-muted")]
    for label, style, scores in _score_rows(view):
        unknown = label == ENCODER_OFF and scores is None
        lines += [(f"{label:<11}", style), f" {NOT_MEASURED}" if unknown else _triple(scores), "\n"]
    return Content.assemble(*lines[:-1])


def _score_rows(view: RunView) -> list[tuple[str, str, Scores | None]]:
    at = f"round {view.evaluations[-1].round}" if view.evaluations else "newest"
    floors = [(name, FLOOR_STYLES.get(name, "$text-accent"), view.floors[name]) for name in FLOORS if name in view.floors]
    off = (ENCODER_OFF, "$text-primary", view.floors.get("encoder_off"))
    return [(at, "bold", view.latest), ("dense", "$text-success", view.dense), off, *(floors or _NO_FLOORS)]


def _triple(scores: Scores | None) -> str:
    if scores is None:
        return f"{NOTHING:>6}{NOTHING:>7}{NOTHING:>8}"
    return f"{score(scores.chrf, 1):>6}{score(scores.bleu):>7}{score(scores.corpus_bleu):>8}"


def scores_line(view: RunView) -> Content:
    """The newest scores on one line, each beside the highest floor, for small screens; the chart's legend has all floors.

    A floor is named once, and again where another is the highest; the first brackets hold chrF with the encoder off.
    """
    parts: list[Part] = []
    named = ""
    off = view.floors.get("encoder_off")
    for place, (measure, title, digits) in enumerate((("chrf", "chrF", 1), ("bleu", "BLEU", 2), ("corpus_bleu", "corpus", 2))):
        value = getattr(view.latest, measure) if view.latest else None
        parts += [(f"{'  ' if place else ''}{title} ", "$text-muted"), (score(value, digits), "bold" if place == 0 else "")]
        if value is not None:
            name, _, height = beside(floors_under(view.floors, measure), digits=digits).rpartition(" ")
            under = height if name == named else f"{name} {height}"
            named = name
            if measure == "chrf":
                under += f", enc off {score(off.chrf if off else None, digits)}"
            parts.append((f" ({under})", "$text-muted"))
    return Content.assemble(*parts)


def progress(view: RunView) -> Content:
    """The run's progress: sparsity, step, loss and rates; at the end of a run that shrinks, what that brought."""
    if view.shrunk is not None:
        return Content.styled(outcome(view.shrunk), "bold")
    current = view.by_round.get(view.round)
    steps = current.steps if current and current.steps else view.steps
    parts: list[Part] = [("sparsity ", "$text-muted"), (percent(view.sparsity), "bold")]
    if view.decoding is not None:
        what = "  measuring " if view.measuring else "  encoder off " if view.decoding_off else "  evaluating "
        parts += [(what, "$text-muted"), f"{count(view.decoding[0])}/{count(view.decoding[1])}"]
    else:
        parts += [("  step ", "$text-muted"), f"{count(view.step)}/{count(steps)}"]
    parts += [("  ", ""), *_bar(view, steps)]
    if view.loss is not None:
        parts += [("  lr ", "$text-muted"), f"{view.learning_rate:.1e}"]
        parts += [("  tokens ", "$text-muted"), rate(view.tokens_per_second)]
        parts += [("  rows ", "$text-muted"), rate(view.examples_per_second)]
    return Content.assemble(*parts)


def _bar(view: RunView, steps: int, width: int = 10) -> list[Part]:
    done, whole = view.decoding if view.decoding is not None else (view.step, steps)
    filled = round(width * min(1.0, done / max(1, whole)))
    return [("━" * filled, "$text-success"), ("─" * (width - filled), "$text-muted")]


def machine_line(figures: Figures) -> Content:
    """How busy this machine is, and how much memory the worker holds."""
    used = f"{figures.used_bytes / GIB:.1f}/{figures.total_bytes / GIB:.1f} GiB"
    parts: list[Part] = [("CPU ", "$text-muted"), percent(figures.cpu), ("  memory ", "$text-muted"), used]
    worker = NOTHING if figures.worker_bytes is None else f"{figures.worker_bytes / GIB:.2f} GiB"
    parts += [("  worker ", "$text-muted"), worker]
    for gpu in figures.gpus:
        name = "GPU" if len(figures.gpus) == 1 else f"GPU{gpu.number}"
        parts += [(f"  {name} ", "$text-muted"), NOTHING if gpu.busy is None else percent(gpu.busy)]
        if gpu.used_bytes is not None and gpu.total_bytes is not None:
            parts.append(f" {gpu.used_bytes / GIB:.1f}/{gpu.total_bytes / GIB:.1f} GiB")
        parts += [f" {gpu.celsius} °C"] if gpu.celsius is not None else []
        parts += [f" {gpu.watts:.0f} W"] if gpu.watts is not None else []
    return Content.assemble(*parts)


def ranks_line(view: RunView) -> Content:
    """The processes that share a run, where each computes, and the memory that it holds there; empty for a run of one process."""
    if not view.ranks:
        return Content("")
    devices = [plain(rank.device, 30) for rank in view.ranks]
    alike = len(set(devices)) == 1
    held = [*(f"{size_bytes / GIB:.2f}" for size_bytes in view.rank_bytes), *[NOTHING] * len(devices)]
    parts: list[Part] = [f"{len(devices)} ranks", f" on {devices[0]}" if alike else "", (", memory in GiB", "$text-muted")]
    for rank, (device, size) in enumerate(zip(devices, held, strict=False)):
        place = "" if alike else f"{device}\N{NO-BREAK SPACE}"
        parts += [("  ", ""), (f"{rank}\N{NO-BREAK SPACE}", "$text-muted"), f"{place}{size}"]
    return Content.assemble(*parts)


def loss_title(view: RunView) -> str:
    """The title of the loss pane."""
    if view.validations:
        last = view.validations[-1]
        training = score(view.loss or last.loss, 3)
        return f"loss {training} · held-out tokens: loss {score(last.loss, 3)}, accuracy {percent(last.accuracy)}"
    if view.loss is None:
        return "loss"
    losses = [loss for _, _, loss in view.losses.points]
    left_out = f" · {count(view.losses.left_out)} left out: no numbers" if view.losses.left_out else ""
    return f"loss {score(view.loss, 3)}" + (f" · {number(min(losses))} to {number(max(losses))}" if losses else "") + left_out


def _sample_floor(sample: Sample) -> dict[str, float]:
    return {} if sample.name_bleu is None else {"name": sample.name_bleu}


def samples_text(samples: Sequence[Sample], dense: Sequence[Sample], most: int) -> Content:
    """What the model writes about a few methods, under what their authors wrote.

    Args:
        samples: The newest samples.
        dense: Those of the dense model, for comparison.
        most: How many methods.
    """
    if not samples:
        return Content.styled("Comments of a few methods appear here after the first evaluation.", "$text-muted")
    before = {sample.row: sample.prediction for sample in dense}
    parts: list[Part] = []
    for sample in samples[:most]:
        parts += [
            (plain(sample.name, 60), "bold"),
            (f"  BLEU {held_against(sample.bleu, _sample_floor(sample), digits=1)}\n", "$text-muted"),
        ]
        parts += [("  human ", "$text-muted"), plain(sample.reference, 300), "\n"]
        if most > 2 and before.get(sample.row, sample.prediction) != sample.prediction:
            parts += [("  dense ", "$text-muted"), plain(before[sample.row], 300), "\n"]
        parts += [("  model ", "$text-muted"), plain(sample.prediction, 300) or "(nothing)", "\n"]
    return Content.assemble(*parts[:-1])
