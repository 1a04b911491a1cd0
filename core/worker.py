"""The worker: one process, one run. Started as `python -P -m core.worker RUN_DIR`, in a session of its own.

It takes the run's lock, reads the recipe, does what is not done yet, and writes everything it does into the journal. It dies with
the run's end, on `stop`, SIGTERM or a kill; never with the app. torch is imported only once the lock is held, so that whoever
started it knows within a moment that it lives.
"""

import os
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from .control import Control, StopRequested
from .errors import CodepruneError
from .events import CommandTaken, Failed, RunStarted, Stopped, Warned
from .files import remove_unfinished
from .journal import JournalWriter
from .recipe import load_recipe
from .runs import RunPaths, hold_lock

NICENESS = 5
"""Of a worker that computes on the CPU: on all cores it would keep the app from answering keys."""


def main(arguments: list[str]) -> int:
    """Works on one run until it is done, stopped or failed.

    Args:
        arguments: The run folder.

    Returns:
        Exit code: 0 done or stopped on request, else that of the error.
    """
    if len(arguments) != 1:
        print("usage: python -P -m core.worker RUN_DIR", file=sys.stderr)
        return 2
    paths = RunPaths(Path(arguments[0]).resolve())
    try:
        # Commands count from here: whoever sees the lock held may send one, and must not be overheard.
        offset = paths.commands.stat().st_size if paths.commands.exists() else 0
        with hold_lock(paths):
            return _hold(paths, offset)
    except CodepruneError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _hold(paths: RunPaths, offset: int) -> int:
    # Until its first event, minutes later perhaps, this is all that tells this worker from the one before.
    paths.lock.write_text(str(time.time()), encoding="ascii")
    paths.killed.unlink(missing_ok=True)  # that was the worker before
    journal = JournalWriter(paths.journal)

    def take(words: str) -> None:
        journal.append(CommandTaken("command", words))

    def refuse(problem: str) -> None:
        journal.append(Warned("warning", problem))

    control = Control(paths.commands, offset, take, refuse)
    control.stop_on_signals()
    try:
        _work(paths, journal, control)
    except StopRequested as request:
        journal.append(Stopped("stopped", *_point(paths), str(request)))
    except CodepruneError as error:
        traceback.print_exc()
        journal.append(Failed("failed", error.problem, error.fix))
        return error.exit_code
    except Exception as error:  # a defect of ours: the journal must say so, or the run would look crashed
        traceback.print_exc()
        journal.append(
            Failed("failed", f"{type(error).__name__}: {error}"[:2000], f"This is a defect; its traceback is in {paths.log}.")
        )
        return 1
    finally:
        journal.close()
    return 0


def _work(paths: RunPaths, journal: JournalWriter, control: Control) -> None:
    recipe = load_recipe(paths.recipe)
    for folder in (paths.root, paths.rounds, paths.resume):
        remove_unfinished(folder)
    from . import prepare  # torch and transformers: seconds
    from .device import describe, make_accelerator
    from .lottery import run_lottery
    from .objectives import make_objective
    from .pretrain import Pretraining, build_corpus
    from .session import Session

    training = recipe.training
    accelerator = make_accelerator(training.device, training.precision, training.threads)
    if accelerator.device.type == "cpu":
        _step_back()
    import torch

    round_number, step = _point(paths)
    journal.append(
        RunStarted(
            "run_started",
            run=paths.name,
            kind=recipe.kind,
            rounds=recipe.rounds,
            steps=training.steps,
            resumed=journal.resumed,
            round=round_number,
            step=step,
            device=describe(accelerator.device),
            threads=torch.get_num_threads(),
            pid=os.getpid(),
            host=socket.gethostname(),
            versions=prepare.versions(),
        )
    )
    session = Session(paths, recipe, journal.append, control, accelerator)
    material = prepare.prepare(session)
    if recipe.kind == "pretrain":
        split = material.model.config.split_identifiers
        corpus = build_corpus(session, material.tokenizer, material.train, material.held_out, split=split)
        mask_id, entries = int(material.tokenizer.mask_token_id), len(material.tokenizer)
        objective = make_objective(
            recipe.pretraining.objective, material.model, corpus, mask_id, entries, training.label_smoothing
        )
        Pretraining(session, material.model, material.tokenizer, objective).run()
    else:
        run_lottery(session, material)


def _step_back() -> None:
    """Lowers the priority of this process, once; it may have been started with a lower one."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def _point(paths: RunPaths) -> tuple[int, int]:
    """(round, step) after which a worker that starts now has work to do."""
    from .checkpoint import checkpoint_facts

    done = len(paths.finished_rounds())
    facts = checkpoint_facts(paths.resume)
    step = facts.get("step")
    return (done, step) if facts.get("round") == done and isinstance(step, int) else (done, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
