"""The numbers beside the pictures: scores with their floors, loss, rates, progress. Pure text from a run's view."""

from collections.abc import Sequence

from textual.content import Content

from core.events import Sample, Scores

from ..encoder_verdict import NOT_MEASURED
from ..machine import GIB, Figures
from ..plain import plain
from ..state import RunView
from ..words import NOTHING, count, percent, rate, score

ENCODER_OFF = "encoder off"
Part = str | tuple[str, str]
"""Text, or (text, style)."""


def scores_table(view: RunView) -> Content:
    """Six lines: the newest scores, the dense ones and the floors, in all three measures."""
    lines: list[Part] = [("             BLEU  corpus   chrF\n", "$text-muted")]
    for label, style, scores in _score_rows(view):
        unknown = label == ENCODER_OFF and scores is None
        lines += [(f"{label:<11}", style), f" {NOT_MEASURED}" if unknown else _triple(scores), "\n"]
    return Content.assemble(*lines[:-1])


def _score_rows(view: RunView) -> list[tuple[str, str, Scores | None]]:
    at = f"round {view.evaluations[-1].round}" if view.evaluations else "newest"
    return [
        (at, "bold", view.latest),
        ("dense", "$text-success", view.dense),
        (ENCODER_OFF, "$text-primary", view.floors.get("encoder_off")),
        ("name", "$text-warning", view.floors.get("name")),
        ("constant", "$text-secondary", view.floors.get("constant")),
    ]


def _triple(scores: Scores | None) -> str:
    if scores is None:
        return f"{NOTHING:>6}{NOTHING:>8}{NOTHING:>7}"
    return f"{score(scores.bleu):>6}{score(scores.corpus_bleu):>8}{score(scores.chrf, 1):>7}"


def scores_line(view: RunView) -> Content:
    """The newest scores on one line, for small screens, with two floors of the last; the chart's legend has all of them."""
    now = view.latest
    return Content.assemble(
        ("BLEU ", "$text-muted"),
        (score(now.bleu if now else None), "bold"),
        ("  corpus ", "$text-muted"),
        score(now.corpus_bleu if now else None),
        ("  chrF ", "$text-muted"),
        score(now.chrf if now else None, 1),
        ("  (name ", "$text-muted"),
        score(view.floors["name"].chrf if "name" in view.floors else None, 1),
        (", encoder off ", "$text-muted"),
        score(view.floors["encoder_off"].chrf, 1) if "encoder_off" in view.floors else NOT_MEASURED,
        (")", "$text-muted"),
    )


def progress(view: RunView) -> Content:
    """Where the run is: sparsity, step, loss and rates."""
    here = view.by_round.get(view.round)
    steps = here.steps if here and here.steps else view.steps
    parts: list[Part] = [("sparsity ", "$text-muted"), (percent(view.sparsity), "bold")]
    if view.decoding is not None:
        what = "  encoder off " if view.decoding_off else "  evaluating "
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
    return Content.assemble(*parts)


def loss_title(view: RunView) -> str:
    """The title of the loss pane."""
    if view.validations:
        last = view.validations[-1]
        return f"loss {view.loss or last.loss:.3f} · held-out tokens: loss {last.loss:.3f}, accuracy {percent(last.accuracy)}"
    return f"loss {view.loss:.3f}" if view.loss is not None else "loss"


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
        parts += [(plain(sample.name, 60), "bold"), (f"  BLEU {score(sample.bleu, 1)}\n", "$text-muted")]
        parts += [("  human ", "$text-muted"), plain(sample.reference, 300), "\n"]
        if most > 2 and before.get(sample.row, sample.prediction) != sample.prediction:
            parts += [("  dense ", "$text-muted"), plain(before[sample.row], 300), "\n"]
        parts += [("  model ", "$text-muted"), plain(sample.prediction, 300) or "(nothing)", "\n"]
    return Content.assemble(*parts[:-1])
