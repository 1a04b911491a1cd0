"""Run folders for the tests of the app: real journals, written by the real writer, on a clock that stands still."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textual.pilot import Pilot

from core.recipe import build_recipe
from core.run.events import (
    CheckpointSaved,
    DataLoaded,
    EncoderOffMeasured,
    Evaluated,
    Evaluating,
    FloorsMeasured,
    Happening,
    MatrixMeasured,
    Picked,
    Pruned,
    Rewound,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Sample,
    Scores,
    Step,
)
from core.run.folder import RunPaths, create_run, hold_lock
from core.run.journal import JournalWriter
from core.score.interval import Difference, Interval

if TYPE_CHECKING:
    from codeprune_tui.tui import CodepruneApp

NOW = 1_750_000_000.0
"""The time of all tests."""
FLOORS = {"constant": Scores(8.75, 0.41, 10.5), "name": Scores(13.16, 0.84, 16.7)}
SMALL, LARGE = (80, 24), (160, 48)
SAMPLES = [
    Sample(0, "print_summary", "Prints the summary of all tests.", "Print the summary of the test run", 31.5),
    Sample(1, "parse_options", "Parse the command line options.", "Parses the options", 22.0),
]


def started(name: str = "run", rounds: int = 3, steps: int = 20, **other: object) -> RunStarted:
    fields: dict[str, object] = {
        "run": name,
        "kind": "lottery",
        "rounds": rounds,
        "steps": steps,
        "resumed": False,
        "round": 0,
        "step": 0,
        "device": "cpu",
        "threads": 2,
        "pid": 4711,
        "host": "here",
        "versions": {},
    }
    return RunStarted(**{**fields, **other})  # type: ignore[arg-type]


def step(number: int, at: int, loss: float = 3.0, steps: int = 20) -> Step:
    return Step(
        round=number, step=at, steps=steps, loss=loss, learning_rate=1e-4, tokens_per_second=12_340.0, examples_per_second=181.0
    )


def evaluated(number: int, at: int, bleu: float, samples: list[Sample] | None = None) -> Evaluated:
    scores = Scores(bleu, bleu / 5, bleu * 1.6)
    return Evaluated(
        round=number,
        step=at,
        split="valid",
        rows=200,
        scores=scores,
        floors=FLOORS,
        signatures={},
        seconds=2.5,
        samples=SAMPLES if samples is None else samples,
    )


def encoder_off(low: float = 2.5, value: float = 3.4, seconds: float = 2.0, dense: float = 15.0) -> EncoderOffMeasured:
    """Dense minus encoder off as given under every score, with as much room above as below."""
    scores = Scores(dense - value, dense / 5 - value, dense * 1.6 - value)
    names = {"bleu": scores.bleu, "corpus_bleu": scores.corpus_bleu, "chrf": scores.chrf}
    return EncoderOffMeasured(
        round=0,
        step=20,
        split="valid",
        rows=200,
        scores=scores,
        intervals={name: Interval(score, score - 1, score + 1) for name, score in names.items()},
        dense_less={name: Difference(value, low, 2 * value - low) for name in names},
        signatures={"encoder_off": "encoder-off"},
        seconds=seconds,
    )


def with_encoder_off(events: list[Happening], measured: EncoderOffMeasured) -> list[Happening]:
    """The events of a run with what it measured before the end of round 0."""
    place = next(place for place, event in enumerate(events) if isinstance(event, RoundFinished))
    return [*events[:place], measured, *events[place:]]


def matrices(share: float, layers: int = 4, decoder: int = 2) -> dict[str, float]:
    encoder = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    sparsities = {
        f"encoder.encoder.layer.{layer}.{name}.weight": share
        for layer in range(layers)
        for name in (*encoder, "intermediate.dense", "output.dense")
    }
    sparsities |= {f"decoder.layers.{layer}.{name}.weight": share for layer in range(decoder) for name in ("linear1", "linear2")}
    return {**sparsities, "encoder.pooler.dense.weight": share}


def measured(number: int, share: float, layers: int = 4, decoder: int = 2) -> list[MatrixMeasured]:
    """Figures of every matrix at the end of a round; each layer's magnitudes differ, and at 60 % and more rows die."""
    figures = []
    for name in matrices(share, layers, decoder):
        layer = next((int(part) for part in name.split(".") if part.isdecimal()), 0)
        heads = 4 if "self.query" in name or "attention.output" in name else 0
        kept = round(64 * 64 * (1 - share))
        dead = 3 if share > 0.5 else 0
        blocks = [[round(100 * (1 - share))] * 16 for _ in range(16)]
        if dead:
            blocks[1] = [0] * 16
        figures.append(
            MatrixMeasured(
                round=number,
                parameter=name,
                rows=64,
                columns=64,
                kept=kept,
                magnitude=0.02 + layer / 1000,
                change=None if number == 0 else 0.125,
                overlap=None if number == 0 else 0.75,
                dead_rows=dead,
                dead_columns=dead + 1,
                heads=heads,
                dead_heads=min(heads, dead // 3),
                density=blocks,
            )
        )
    return figures


def with_figures(events: list[Happening]) -> list[Happening]:
    """The events of a run with the figures of its matrices before the end of each round."""
    with_matrices: list[Happening] = []
    for event in events:
        if isinstance(event, RoundFinished):
            with_matrices += measured(event.round, event.sparsity)
        with_matrices.append(event)
    return with_matrices


def a_round(number: int, bleu: float, rounds: int = 3, steps: int = 20) -> list[Happening]:
    share = 0.9 * number / max(1, rounds)
    pruned: list[Happening] = [
        Pruned(round=number, sparsity=share, kept=round(1000 * (1 - share)), total=1000, matrices=matrices(share), seconds=0.4),
        Rewound(round=number, to="pretrained"),
    ]
    return [
        RoundStarted(round=number, sparsity=share, steps=steps),
        *(pruned if number else []),
        *(step(number, at, 4.0 - at / 10) for at in range(1, steps + 1)),
        Evaluating(round=number, step=steps, done=100, rows=200),
        evaluated(number, steps, bleu),
        Picked(round=number, step=steps, bleu=bleu, reason="last weights"),
        CheckpointSaved(round=number, step=steps),
        RoundFinished(round=number, sparsity=share, scores=Scores(bleu, bleu / 5, bleu * 1.6), steps=steps, seconds=25.0),
    ]


def beginning(name: str = "run", rounds: int = 3) -> list[Happening]:
    return [
        started(name, rounds),
        DataLoaded(split="train", rows=24_927, skipped=3),
        FloorsMeasured(split="valid", rows=200, constant=FLOORS["constant"], name=FLOORS["name"]),
    ]


def whole_run(name: str = "run", rounds: int = 3) -> list[Happening]:
    rounds_of_it = [event for number in range(rounds + 1) for event in a_round(number, 15.0 - number, rounds)]
    return [*beginning(name, rounds), *rounds_of_it, RunFinished(rounds=rounds)]


class Worker:
    """Appends events as a worker would, at NOW; holds no file open in between."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths

    def append(self, what: Happening) -> None:
        writer = JournalWriter(self._paths.journal, lambda: NOW)
        writer.append(what)
        writer.close()


def make_run(
    checkpoints: Path, name: str, events: list[Happening], ago: float = 0.0, **pruning: object
) -> tuple[RunPaths, Worker]:
    """A run folder whose journal holds the events, the last of them `ago` seconds before NOW, one second apart.

    Further arguments are keys of the recipe's table of pruning.
    """
    paths = create_run(checkpoints, name, build_recipe({"pruning": {"rounds": 3, **pruning}, "training": {"steps": 20}}))
    paths.meta.write_text(json.dumps({"device": "cpu"}))
    clock = iter(range(len(events)))
    writer = JournalWriter(paths.journal, lambda: NOW - ago - len(events) + 1 + next(clock))
    for event in events:
        writer.append(event)
        if isinstance(event, RoundFinished) and event.scores:
            folder = paths.round(event.round)
            folder.mkdir(parents=True)
            scores = {"bleu": event.scores.bleu, "chrf": event.scores.chrf}
            (folder / "metrics.json").write_text(json.dumps({"sparsity": event.sparsity, "scores": scores}))
    writer.close()
    return paths, Worker(paths)


def journal_start(paths: RunPaths, pid: int, host: str, *more: Happening, age_s: float = 0.0) -> None:
    """Journals that a worker began with a run, and what came after that, so many seconds ago."""
    writer = JournalWriter(paths.journal, lambda: time.time() - age_s)
    for event in (started(paths.name, pid=pid, host=host), *more):
        writer.append(event)
    writer.close()


@contextmanager
def live(paths: RunPaths) -> Iterator[None]:
    """As if a worker were there."""
    with hold_lock(paths):
        yield


@asynccontextmanager
async def opened(
    checkpoints: Path, size: tuple[int, int] = SMALL, demo: bool = False
) -> AsyncIterator[tuple["CodepruneApp", Pilot[None]]]:
    from codeprune_tui.tui import CodepruneApp  # not for those that only want a run's events

    app = CodepruneApp(checkpoints, clock=lambda: NOW, demo=demo)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield app, pilot


def shown(app: "CodepruneApp") -> str:
    """The screen's text, as a terminal would have it."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(condition: Callable[[], object], what: str = "", timeout_s: float = 30.0) -> None:
    """Waits until something is so; Pilot's own waiting depends on how busy the machine is."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, what or "what was waited for did not come"
        await asyncio.sleep(0.02)


async def until_shown(app: "CodepruneApp", text: str) -> None:
    """Waits until a text is on the screen; shows the screen if it never is."""
    try:
        await until(lambda: text in shown(app))
    except AssertionError:
        raise AssertionError(f"{text!r} is not on the screen:\n{shown(app)}") from None
