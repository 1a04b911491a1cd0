"""Lets workers work, and die where they are told to: each in a process of its own, forked after the slow imports.

Started once by `workers.py`, it reads a JSON list of scenarios a line from stdin:
{"run": folder, "die": point, "file_limit": bytes}, where a point is absent or one of
{"event": name, "nth": n, "when": "before" | "after" | "torn"}, {"call": "module:function", "nth": n, "when": "before" | "half"}.
With "ranks": n, as many processes share the run, of which rank "dies" dies; a step then is journalled each time.
Prints for each list a JSON list of how the processes ended (exit status, or minus the signal). What a worker prints goes to the
end of its worker.log. A death is a real SIGKILL of the worker's process by itself, at that very point.
"""

import gc
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Imported here once, so that the forks need not.
import nltk  # noqa: F401
import numpy.ma  # noqa: F401
import rouge_score.rouge_scorer  # noqa: F401
import sacrebleu.metrics
import sacrebleu.tokenizers.tokenizer_13a  # noqa: F401
import torch._dynamo  # noqa: F401  # an optimizer's constructor imports it: more than half of a small run's time

import core.evaluate.evaluate
import core.train.loop
import core.train.lottery
import core.train.prepare
import core.train.pretrain
from core import worker
from core.run import journal
from core.run.folder import RunPaths, hold_lock


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


def work(scenario: dict[str, Any]) -> int:
    """What a worker's process does: as `python -m core.worker`, but for the imports."""
    paths = RunPaths(Path(scenario["run"]))
    with paths.log.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    os.setsid()
    if "ranks" in scenario:
        return work_together(paths, scenario)
    arm(scenario.get("die"))
    if limit := scenario.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return worker.main([str(paths.root)])


def arm(point: dict[str, Any] | None) -> None:
    if point and "event" in point:
        die_at_event(point["event"], point["nth"], point["when"])
    elif point:
        die_at_call(point["call"], point["nth"], point["when"])


def work_together(paths: RunPaths, scenario: dict[str, Any]) -> int:
    """What a worker and its ranks do, without torch's launcher: they are forked, and told where to meet."""
    count = str(scenario["ranks"])
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    core.train.loop.STEP_EVENT_S = 0.0
    leader, meeting = os.getpid(), paths.root.with_suffix(f".{os.getpid()}")
    with hold_lock(paths):
        children = []
        for number in range(scenario["ranks"]):
            children.append(os.fork())
            if children[-1] == 0:
                os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number)}
                arm(scenario.get("die") if number == scenario.get("dies", 0) else None)
                os._exit(worker.main(["--rank-of", str(leader), "0", str(meeting), str(paths.root)]))
        endings = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return 128 - min(endings) if min(endings) < 0 else max(endings)


def main() -> None:
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # what a killed process wrote is there without it
    gc.collect()
    gc.freeze()  # a child's garbage collector need not touch, and so copy, what all of them share
    for line in sys.stdin:
        endings = []
        for scenario in json.loads(line):
            child = os.fork()
            if child == 0:
                os._exit(work(scenario))
            _, status = os.waitpid(child, 0)
            endings.append(os.waitstatus_to_exitcode(status))
        print(json.dumps(endings), flush=True)


if __name__ == "__main__":
    main()
