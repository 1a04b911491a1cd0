"""How the app behaves: time to attach, CPU when idle, bytes a second to the terminal, and how soon a key is answered.

    python benchmarks/behaviour.py [--seconds 20] [--keys 60] [--events 200000]

Drives the installed app in a pseudo-terminal of 160×48 over journals that this program itself writes, as a worker would. While
keys are timed, as many processes as there are cores train a small network, at the lowered priority that workers have. Prints one
line a figure, each with what was promised.
"""

import argparse
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import psutil

from codeprune_tui.terminal.gc import Tidying
from codeprune_tui.views.state import RunView, reduce_all
from core.recipe import build_recipe
from core.run.events import Evaluating, Happening, Pruned, RoundStarted, RunStarted, Step, read_line, to_line
from core.run.folder import RunPaths, create_run, hold_lock
from core.run.journal import JournalReader, JournalWriter, LineReader
from core.worker import NICENESS

TRAIN = (
    f"import os, torch; os.nice({NICENESS})\n"
    "x = torch.randn(256, 512); w = torch.randn(512, 512, requires_grad=True)\n"
    "while True: (x @ w).tanh().sum().backward(); w.grad = None"
)
PATIENCE_S = 120.0
DOWN, UP, ESCAPE, BACKSPACE = "\x1b[B", "\x1b[A", "\x1b", "\x7f"
KEYS: list[tuple[str, list[str], list[str]]] = [
    ("arrows in the list of runs", ["1"], [DOWN, UP]),
    ("letters in its filter", ["/"], ["b", "e", BACKSPACE, BACKSPACE]),
    ("from mode to mode", [ESCAPE, "\r", *"234561"], list("234561")),
    ("arrows over the heatmap", ["3"], [DOWN, UP]),
    ("help, opened and closed", [], ["?", "q"]),
    ("letters in a field of the form", ["6", "\t"], ["x", BACKSPACE]),
]
"""What they are, the keys that lead there, and the keys that are measured, over and over."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long CPU and bytes are measured")
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        attach(Path(folder, "attach"), arguments.events)
        rates(
            Path(folder, "idle"), arguments.seconds, "idle (a run that says nothing, Live)", every_s=0.0, promise="CPU under 1 %"
        )
        rates(Path(folder, "quiet"), arguments.seconds, "quiet (1 step a second)", every_s=1.0, promise="under 20 KB/s")
        rates(Path(folder, "busy"), arguments.seconds, "busy (50 events a second)", every_s=0.02, promise="under 60 KB/s")
        keys(Path(folder, "keys"), arguments.keys)


def attach(folder: Path, events: int) -> None:
    """Prints how long a long journal takes, by the short way of `from_line`, and by the long one in the same process, in turn."""
    paths = journal_of(folder, events)
    Tidying.begin()  # as the app does
    short_s, long_s = [], []
    for _ in range(9):
        begun = time.perf_counter()
        reader, view = JournalReader(paths.journal), RunView()
        while batch := reader.poll():
            view = reduce_all(view, batch)
        short_s.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        lines, slow = LineReader(paths.journal), RunView()
        while new_lines := lines.poll():
            slow = reduce_all(slow, [read_line(line) for line in new_lines])
        long_s.append(time.perf_counter() - begun)
        assert slow == view, "the short way reads something else"
    size = paths.journal.stat().st_size / 1e6
    print(f"attach to {events:,} events ({size:.0f} MB): {seconds(short_s)} (promised: under 1.5 s)")
    print(f"  by JSON and validation alone, in turn with it: {seconds(long_s)}")


def seconds(times: list[float]) -> str:
    """Median, shortest and longest of some times."""
    return f"median {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f} s, {len(times)} times"


def rates(folder: Path, duration: float, what: str, every_s: float, promise: str) -> None:
    """Prints CPU and bytes a second of the app on Live after it has settled."""
    paths = journal_of(folder, 2_000)
    with hold_lock(paths), terminal(folder) as child:
        worker = appender(paths, every_s)
        read_for(child, 5.0, worker)
        process = psutil.Process(child.pid)
        before, begun = process.cpu_times(), time.perf_counter()
        count = read_for(child, duration, worker)
        elapsed, after = time.perf_counter() - begun, process.cpu_times()
    used = (after.user + after.system - before.user - before.system) / elapsed
    print(f"{what}: CPU {100 * used:.2f} %, {count / elapsed / 1000:.1f} KB/s (promised: {promise})")


def keys(folder: Path, presses: int) -> None:
    """Prints how long after a key the first bytes of the answer come, for some kinds of keys, while all cores train."""
    for name in ("bench", "bench-2", "bench-3"):
        journal_of(folder, 2_000, name)
    trainers = [subprocess.Popen([sys.executable, "-c", TRAIN]) for _ in range(os.cpu_count() or 1)]
    everything: list[float] = []
    try:
        with terminal(folder) as child:
            read_for(child, 10.0, lambda: None)
            print(f"key to first answer while {len(trainers)} processes train, {presses} keys of each kind:")
            for what, before, cycle in KEYS:
                for key in [*before, *cycle]:  # what is shown for the first time has to be built
                    child.send(key)
                    read_for(child, 2.0, lambda: None)
                times = [answer_s(child, cycle[at % len(cycle)]) for at in range(presses)]
                everything += times
                print(f"  {what}: {spread(times)}")
    finally:
        for trainer in trainers:
            trainer.kill()
            trainer.wait()
    print(f"  all of them: {spread(everything)} (promised: p95 under 50 ms)")


def spread(times: list[float]) -> str:
    """Median, p95 and the longest of some times."""
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"median {1000 * statistics.median(ordered):.0f} ms, p95 {1000 * p95:.0f} ms, longest {1000 * ordered[-1]:.0f} ms"


def answer_s(child: "pexpect.spawn[bytes]", key: str) -> float:
    """Seconds from a key to the first byte after it, on a terminal that was silent before."""
    read_for(child, 0.5, lambda: None)
    begun = time.perf_counter()
    child.send(key)
    if not select.select([child.child_fd], [], [], PATIENCE_S)[0]:
        raise RuntimeError(f"the key {key} was never answered")
    return time.perf_counter() - begun


def read_for(child: "pexpect.spawn[bytes]", seconds: float, worker: Callable[[], None]) -> int:
    """Takes what the app writes for some seconds, as a terminal would, and lets the worker write; the bytes."""
    count, end = 0, time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        worker()
        if select.select([child.child_fd], [], [], min(0.01, left))[0]:
            count += len(os.read(child.child_fd, 65536))
    return count


def appender(paths: RunPaths, every_s: float) -> Callable[[], None]:
    """A worker's hand: appends a step, and now and then the progress of an evaluation, whenever one is due."""
    if not every_s:
        return lambda: None
    writer, state = JournalWriter(paths.journal), {"due": time.perf_counter(), "step": 2_000}

    def write() -> None:
        while time.perf_counter() >= state["due"]:
            state["due"] += every_s
            state["step"] += 1
            step = int(state["step"])
            writer.append(Evaluating(round=1, step=step, done=step % 200, rows=200) if step % 10 == 0 else a_step(1, step))

    return write


def a_step(number: int, step: int) -> Step:
    """A step as a worker sends it, its figures with as many digits."""
    return Step(
        round=number,
        step=step,
        steps=100_000,
        loss=4.0 + 1 / (1 + step % 977),
        learning_rate=4.9731e-05,
        tokens_per_second=12_340.123 + step % 89,
        examples_per_second=181.0123 + step % 7,
    )


def happenings(events: int) -> Iterator[Happening]:
    """A run of so many events, nearly all of them steps."""
    yield RunStarted(
        run="bench",
        kind="lottery",
        rounds=3,
        steps=100_000,
        resumed=False,
        round=0,
        step=0,
        device="cpu",
        threads=2,
        pid=1,
        host="here",
        versions={},
    )
    yield RoundStarted(round=1, sparsity=0.3, steps=100_000)
    yield Pruned(
        round=1,
        sparsity=0.3,
        kept=700,
        total=1000,
        matrices={f"encoder.encoder.layer.{at}.output.dense.weight": 0.3 for at in range(12)},
        seconds=0.5,
    )
    for step in range(1, events - 2):
        yield Evaluating(round=1, step=step, done=step % 200, rows=200) if step % 20 == 0 else a_step(1, step)


def journal_of(folder: Path, events: int, name: str = "bench") -> RunPaths:
    """A run folder with such a journal, a second between events, the last one now."""
    paths = create_run(folder, name, build_recipe({}))
    begun = time.time() - events
    with paths.journal.open("w") as file:
        file.writelines(to_line(seq, begun + seq, what) for seq, what in enumerate(happenings(events)))
    return paths


@contextmanager
def terminal(folder: Path) -> "Iterator[pexpect.spawn[bytes]]":
    """The installed app over a folder, on Live, in a pseudo-terminal."""
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    command = str(Path(sys.executable).with_name("codeprune-tui"))
    child = pexpect.spawn(command, ["--checkpoints", str(folder)], dimensions=(48, 160), env=environment, timeout=PATIENCE_S)
    child.delaybeforesend = None
    try:
        child.expect("bench")
        child.send("2")
        yield child
    finally:
        child.kill(signal.SIGKILL)
        child.wait()


if __name__ == "__main__":
    main()
