"""How soon `codeprune-tui` paints: from the start of the process to the first screen with text, in a pseudo-terminal.

    python benchmarks/first_paint.py [--runs 7] [--checkpoints DIR]

Prints median, minimum and maximum in seconds. The app is started from cold Python each time; the page cache is warm after the
first start, which is not counted.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pexpect


def first_paint(command: str, checkpoints: str) -> float:
    """Seconds from start to the name of the first screen."""
    started = time.perf_counter()
    child = pexpect.spawn(
        command, ["--checkpoints", checkpoints], dimensions=(24, 80), env={**os.environ, "TERM": "xterm-256color"}, timeout=30
    )
    child.expect("Runs")
    elapsed = time.perf_counter() - started
    child.send("q")
    child.close(force=True)
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--checkpoints", default=tempfile.mkdtemp())
    arguments = parser.parse_args()
    command = str(Path(sys.executable).with_name("codeprune-tui"))
    first_paint(command, arguments.checkpoints)
    times = [first_paint(command, arguments.checkpoints) for _ in range(arguments.runs)]
    print(f"first paint: median {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f} s, {len(times)} starts")


if __name__ == "__main__":
    main()
