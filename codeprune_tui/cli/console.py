"""Shows on stderr how a run or an evaluation goes: a progress bar on a terminal, plain lines elsewhere.

Follows a run until its worker is gone, through the same reducer as the app. Knows nothing of commands and exit codes.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from core.run.events import Evaluating, Event, Failed, MatrixMeasured, Measuring, Step
from core.run.folder import RunPaths, is_held

from ..runs.client import Follower
from ..terminal.streams import trusted
from ..views.plain import plain, plain_lines
from ..views.state import RunView, eta_s, reduce
from ..views.text import clock, duration, rate, sentence

POLL_S = 0.2
LINE_EVERY_S = 10.0
"""Seconds between plain lines about steps: the log of a night has to stay readable."""
LONG_WORD, KEPT = re.compile(r"\S{1000,}"), 200
"""No path in use is so long; of a longer word, this many characters of either end are shown."""

Show = Callable[[RunView, Event | None], None]
"""Takes the run as it is now, and the event that led to it; None at the beginning."""


def say(text: str) -> None:
    """Writes lines of narration or an error to stderr; any text is safe."""
    short = LONG_WORD.sub(lambda word: f"{word[0][:KEPT]}…{word[0][-KEPT:]}", text)
    print(plain_lines(short, limit=4000, most=200), file=sys.stderr, flush=True)


def wants_bar() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    if not sys.stderr.isatty():
        return False
    from rich.console import Console

    return not Console(file=trusted(sys.stderr)).is_dumb_terminal


def follow(paths: RunPaths, follower: Follower, view: RunView, *, bar: bool) -> RunView:
    """Shows what happens in a run until its worker is gone.

    Args:
        paths: The run.
        follower: Reads the run's journal.
        view: The run after all events that the follower has read.
        bar: Draw a progress bar; else write lines.

    Returns:
        The run as it ended.
    """
    with _bar() if bar else _lines() as show:
        show(view, None)
        while True:
            held = is_held(paths)  # before the journal: a worker that has ended wrote why first
            events = follower.poll()
            for event in events:
                view = reduce(view, event)
                show(view, event)
            if not events:
                if not held:
                    return view
                time.sleep(POLL_S)


@contextmanager
def counting(label: str, unit: str, *, bar: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a count is, with its rate and the time left.

    Args:
        label: What is going on, such as "decoding".
        unit: What is counted, in the plural.
        bar: Draw a progress bar; else write a line now and then.

    Yields:
        A function that takes (done, total).
    """
    begun = time.monotonic()
    last = begun - LINE_EVERY_S

    def words(done: int, total: int) -> str:
        speed = done / max(1e-6, time.monotonic() - begun)
        left = duration((total - done) / speed) if speed else "unknown time"
        return f"{speed:,.1f} {unit}/s, {left} left"

    def line(done: int, total: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= LINE_EVERY_S or done == total:
            last = now
            say(f"{label} {done}/{total} {unit}, {words(done, total)}")

    if not bar:
        yield line
        return
    with Drawing() as drawing:
        yield lambda done, total: drawing.draw(f"{label} {done}/{total} {unit}", done, total, words(done, total))


def doing(view: RunView) -> str:
    """What a run is doing, with its progress, such as "round 2/5 step 120/500"."""
    if view.decoding is not None:
        done, rows = view.decoding
        if view.measuring:
            return f"round {view.round}/{view.rounds} measuring for {plain(view.measuring, 40)} {done}/{rows} rows"
        how = " with the encoder off" if view.decoding_off else ""
        return f"round {view.round}/{view.rounds} evaluating{how} {done}/{rows} rows"
    return f"round {view.round}/{view.rounds} step {view.step}/{view.steps}"


def speed(view: RunView, now: float) -> str:
    """How fast a run is and how long it will take, as far as is known."""
    words = []
    if view.decoding is None and view.loss is not None:
        words = [f"loss {view.loss:.3f}", f"{rate(view.tokens_per_second)} tokens"]
    left = eta_s(view, now)
    return ", ".join([*words, f"{duration(left)} left"] if left is not None else words)


@contextmanager
def _lines() -> Iterator[Show]:
    last = 0.0

    def show(view: RunView, event: Event | None) -> None:
        nonlocal last
        if event is None:
            return
        if _is_news(event):
            say(f"{clock(event.time)} {plain(sentence(event, view.floors))}")
        elif isinstance(event.what, Step | Evaluating | Measuring) and event.time - last >= LINE_EVERY_S:
            last = event.time
            say(f"{clock(event.time)} {', '.join(filter(None, [doing(view), speed(view, event.time)]))}")

    yield show


@contextmanager
def _bar() -> Iterator[Show]:
    with Drawing() as drawing:

        def show(view: RunView, event: Event | None) -> None:
            if event is not None and _is_news(event):
                drawing.above(f"{clock(event.time)} {plain(sentence(event, view.floors))}")
            done, total = view.decoding or (view.step, view.steps)
            drawing.draw(doing(view), done, total, speed(view, time.time()))

        yield show


def _is_news(event: Event) -> bool:
    """Whether an event gets a line of its own; progress moves a bar, and a failure is the error at the end."""
    return not isinstance(event.what, Step | Evaluating | Measuring | MatrixMeasured | Failed)


class Drawing:
    """One progress bar at the foot of the terminal; it disappears when the block ends."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        label, words = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[words]}", markup=False)
        # Other output does not pass through rich, which would take the escapes in it for styles.
        self._progress = Progress(
            label,
            BarColumn(30),
            words,
            console=Console(file=trusted(sys.stderr)),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=None, words="")
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def draw(self, label: str, done: int, total: int, words: str) -> None:
        """Redraws the bar."""
        self._progress.update(self._task, description=plain(label), completed=done, total=total or None, words=plain(words))

    def above(self, line: str) -> None:
        """Prints a line that stays."""
        self._progress.console.print(plain(line), markup=False, highlight=False, emoji=False, soft_wrap=True)
