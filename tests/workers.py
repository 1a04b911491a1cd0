"""Real workers for tests that need many of them: forked from one warm process, so that none imports torch anew."""

import atexit
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(scenarios: list[dict[str, object]]) -> list[int]:
    """Lets workers work one after the other.

    Args:
        scenarios: As `killer.py` has them.

    Returns:
        How each of them ended: its exit status, or minus the signal.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(scenarios) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, f"the process that workers are forked from ended: {server.wait()}"
    endings: list[int] = json.loads(answer)
    return endings


@functools.cache
def _server() -> "subprocess.Popen[str]":
    """One for each process of tests, until it ends."""
    server = subprocess.Popen(
        [sys.executable, "-P", str(ROOT / "tests" / "killer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    atexit.register(_end, server)
    return server


def _end(server: "subprocess.Popen[str]") -> None:
    server.communicate()
