"""Runs workers that die, for the tests of resumption: each scenario in a process of its own, forked after the slow imports.

Reads one JSON list of scenarios from stdin: {"run": folder, "die": point}, where a point is absent or one of
{"event": name, "nth": n, "when": "before" | "after" | "torn"}, {"call": "module:function", "nth": n, "when": "before" | "half"}.
Prints a JSON list of how each process ended (exit status, or minus the signal). A death is a real SIGKILL of the worker's process
by itself, at that very point.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import core.train.lottery
import core.train.prepare
import core.train.pretrain  # noqa: F401 - imported here once, so that the forks need not
from core import worker
from core.run import journal


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_event(name: str, nth: int, when: str) -> None:
    original = journal.JournalWriter.append
    seen = 0

    def append(self: journal.JournalWriter, what: Any) -> Any:
        nonlocal seen
        seen += what.event == name
        hit = what.event == name and seen == nth
        if hit and when == "before":
            die()
        if hit and when == "torn":
            line = journal.to_line(10**9, 0.0, what).encode()
            self._file.write(line[: len(line) // 2])
            die()
        result = original(self, what)
        if hit:
            die()
        return result

    journal.JournalWriter.append = append  # type: ignore[method-assign]  # that is the point


def die_at_call(place: str, nth: int, when: str) -> None:
    module_name, function_name = place.split(":")
    module = importlib.import_module(module_name)
    original: Callable[..., Any] = getattr(module, function_name)
    seen = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == nth and when == "before":
            die()
        result = original(*args, **kwargs)
        if seen == nth:  # "half": the file is there, but cut in the middle
            file = next(Path(argument) for argument in args if isinstance(argument, str | Path))
            os.truncate(file, file.stat().st_size // 2)
            die()
        return result

    setattr(module, function_name, call)


def main() -> None:
    endings = []
    for scenario in json.load(sys.stdin):
        child = os.fork()
        if child == 0:
            point = scenario.get("die")
            if point and "event" in point:
                die_at_event(point["event"], point["nth"], point["when"])
            elif point:
                die_at_call(point["call"], point["nth"], point["when"])
            os._exit(worker.main([scenario["run"]]))
        _, status = os.waitpid(child, 0)
        endings.append(os.waitstatus_to_exitcode(status))
    print(json.dumps(endings))


if __name__ == "__main__":
    main()
