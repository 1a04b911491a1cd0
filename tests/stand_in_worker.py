"""A worker without torch, for tests of what starts, commands and follows workers: `stand_in_worker.py MODE RUN_DIR`.

Takes the real lock, writes the real journal and obeys the real commands; only the training is missing.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from core.run.control import STOPPED_BY_SIGNAL, Control
from core.run.events import (
    CommandTaken,
    Evaluated,
    Evaluating,
    Failed,
    FloorsMeasured,
    Paused,
    Resumed,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Scores,
    Step,
    Stopped,
    Warned,
)
from core.run.folder import RunPaths, hold_lock, is_done
from core.run.journal import JournalWriter

FLOORS = {"constant": Scores(7.5, 0.25, 10.5), "name": Scores(12.5, 0.75, 16.5)}
SIGNATURES = {"bleu": "codexglue|smooth", "corpus_bleu": "nrefs:1|case:lc"}


def work(paths: RunPaths, mode: str, offset: int) -> bool:
    """Whether a signal made it leave."""
    paths.killed.unlink(missing_ok=True)
    journal = JournalWriter(paths.journal)
    control = Control(paths.commands, offset, lambda words: journal.append(CommandTaken(command=words)), lambda _: None)
    control.stop_on_signals()
    resumed = journal.resumed
    started = RunStarted(
        run=paths.name,
        kind="lottery",
        rounds=2,
        steps=4,
        resumed=resumed,
        round=0,
        step=0,
        device="cpu",
        threads=1,
        pid=os.getpid(),
        host=socket.gethostname(),
        versions={"torch": "none"},
    )
    journal.append(started)
    journal.append(FloorsMeasured(split="valid", rows=20, constant=FLOORS["constant"], name=FLOORS["name"]))
    if mode == "fail":
        journal.append(Failed(problem="The loss is not a number at step 3.", fix="Try a lower training.learning_rate."))
        return False
    if mode == "die":
        time.sleep(0.5)  # so that whoever launched us has seen the lock
        os.kill(os.getpid(), signal.SIGKILL)
    number = 0
    while number <= 2:
        journal.append(RoundStarted(round=number, sparsity=number * 0.25, steps=4))
        for step in range(1, 5):
            journal.append(
                Step(
                    round=number,
                    step=step,
                    steps=4,
                    loss=3.0 - number,
                    learning_rate=1e-4,
                    tokens_per_second=1000.0,
                    examples_per_second=10.0,
                )
            )
            while (
                mode == "endless"
                or (mode == "waiting" and not (paths.root.parent / "go").exists())
                or control.pausing
                or control.stopping
            ):
                control.poll()
                if control.stopping:
                    journal.append(Stopped(round=number, step=step, reason=control.stopping))
                    return control.signalled
                if control.pausing:
                    journal.append(Paused(round=number, step=step))
                    while control.pausing and not control.stopping:
                        time.sleep(0.01)
                        control.poll()
                    if not control.stopping:
                        journal.append(Resumed(round=number, step=step))
                time.sleep(0.01)
        scores = Scores(10.0 + number, 1.0 + number, 20.0 + number)
        journal.append(Evaluating(round=number, step=4, done=10, rows=20))
        journal.append(
            Evaluated(
                round=number,
                step=4,
                split="valid",
                rows=20,
                scores=scores,
                floors=FLOORS,
                signatures=SIGNATURES,
                seconds=1.5,
                samples=[],
            )
        )
        journal.append(RoundFinished(round=number, sparsity=number * 0.25, scores=scores, steps=4, seconds=2.0))
        number += 1
    journal.append(Warned(message="red \x1b[31m text"))
    journal.append(RunFinished(rounds=2))
    journal.close()
    return False


def main(mode: str, root: str) -> int:
    paths = RunPaths(Path(root))
    if mode == "refuse":
        print("starting\n\x1b[2Jno such model", file=sys.stderr)
        return 5
    if mode == "instant":
        return 0
    if mode == "silent":
        print("sleeping", flush=True)
        time.sleep(60)
    print(f"cwd={Path.cwd()} sid={os.getsid(0)} stdin={sys.stdin.read()!r}", flush=True)
    offset = paths.commands.stat().st_size if paths.commands.exists() else 0
    with hold_lock(paths):
        if is_done(paths):
            return 0
        paths.queued.unlink(missing_ok=True)
        return STOPPED_BY_SIGNAL if work(paths, mode, offset) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
