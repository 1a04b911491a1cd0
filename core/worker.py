"""The worker: one process for one run, started as `python -P -m core.worker RUN_DIR` in a session of its own.

It takes the run's lock, reads the recipe, does what is not done yet, and journals everything it does. It ends with the run, on
`stop`, SIGTERM, SIGUSR1 or a kill, but never with the app. torch is imported only once the lock is held, so that the program that
started the worker sees within a moment that it lives.
"""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import shortage
from .atomic import remove_unfinished
from .disk import in_words
from .errors import CodepruneError, RunError, TrainingError
from .program import program, run_handle
from .provenance import versions
from .recipe import load_recipe
from .regularfile import real
from .run.control import STOPPED_BY_SIGNAL, Control, StopRequested
from .run.events import CommandTaken, Event, Failed, Happening, RunStarted, Stopped, Warned
from .run.folder import STALE_AFTER_S, RunPaths, hold_lock, holder_of, is_done
from .run.holder import Hold, HoldLostError, may_live_elsewhere, refuse_second, signed
from .run.journal import JournalWriter
from .shortage import is_shortage

NICENESS = 5
"""Lower priority of a worker on the CPU, because on all cores it would keep the app from answering keys."""


def main(arguments: list[str]) -> int:
    """Works on one run until it is done, stopped or failed.

    Args:
        arguments: The run folder.

    Returns:
        Exit code: 0 where the run is done or was stopped by a command, `STOPPED_BY_SIGNAL`, else that of the error.
    """
    if len(arguments) != 1:
        print("usage: python -P -m core.worker RUN_DIR", file=sys.stderr)
        return 2
    paths = RunPaths(real(Path(arguments[0])))
    try:
        # Commands count from here: a program that sees the lock held may send one, and it must not be missed.
        offset = paths.commands.stat().st_size if paths.commands.exists() else 0
        if may_live_elsewhere(paths):
            _log(f"Looking for {STALE_AFTER_S:.0f} s whether the worker of {paths.name} on {holder_of(paths).host} still lives.")
        refuse_second(
            paths, STALE_AFTER_S
        )  # before there is a lock, or a program that waits for it would take this worker for the one at work
        with hold_lock(paths) as lock:
            if is_done(paths) and paths.next_round > load_recipe(paths.recipe).rounds:
                _log(f"{paths.name} is complete.")  # another worker came to its end while this one was on its way
                return 0
            with signed(lock):
                return _hold(paths, offset, lock)
    except CodepruneError as error:
        _log(str(error))
        return error.exit_code
    except OSError as error:  # the lock or the journal failed, so stderr is the only place to report it
        _log(" ".join(_in_words(paths, error)))
        return RunError.exit_code


def _hold(paths: RunPaths, offset: int, lock: int) -> int:
    paths.killed.unlink(missing_ok=True)  # that was the previous worker
    paths.queued.unlink(missing_ok=True)
    journal = JournalWriter(paths.journal)
    hold = Hold(paths, lock, journal.fileno())

    def emit(what: Happening) -> Event:
        hold.check()
        return journal.append(what)

    def take(words: str) -> None:
        emit(CommandTaken(command=words))

    def refuse(problem: str) -> None:
        emit(Warned(message=problem))

    control = Control(paths.commands, offset, take, refuse)
    control.stop_on_signals()
    try:
        return _end_of_work(paths, Journal(emit, journal.resumed, hold.check), control)
    except HoldLostError as error:
        _log(str(error))
        hold.tell(error, journal)
        return error.exit_code
    finally:
        journal.close()


@dataclass(frozen=True)
class Journal:
    """The journal as the verbs of a run see it."""

    append: Callable[[Happening], Event]
    resumed: bool
    """Whether the journal had events before."""
    check: Callable[[], None]
    """Raises where the run no longer belongs to this worker."""


def _end_of_work(paths: RunPaths, journal: Journal, control: Control) -> int:
    """Does the work of the run, and journals how it ended."""
    try:
        try:
            _work(paths, journal, control)
        except StopRequested as request:
            round_number, step = _point(paths)
            journal.append(Stopped(round=round_number, step=step, reason=str(request)))
            return STOPPED_BY_SIGNAL if control.signalled else 0
        return 0
    except HoldLostError:
        raise
    except CodepruneError as error:
        _log(f"Error: {error}")
        failed, code = Failed(problem=error.problem, fix=error.fix), error.exit_code
    except OSError as error:  # errors of the disk or the system, which users can fix
        _log(traceback.format_exc())
        problem, fix = _in_words(paths, error)
        failed, code = Failed(problem=problem, fix=fix), RunError.exit_code
    except Exception as error:
        _log(traceback.format_exc())
        if is_shortage(error):
            problem, fix = shortage.in_words(error, "The run")
            failed, code = Failed(problem=problem, fix=fix), TrainingError.exit_code
        else:  # a defect: the journal must say so, or the run would look crashed
            fix = f"This is a defect; its traceback is in {paths.log}."
            failed, code = Failed(problem=f"{type(error).__name__}: {error}"[:2000], fix=fix), 1
    journal.append(failed)
    return code


def _in_words(paths: RunPaths, error: OSError) -> tuple[str, str]:
    return in_words(error, paths.root, f"go on with: {program()} resume {run_handle(paths.root)}; all that was complete is kept")


def _log(text: str) -> None:
    """Writes to the log if there is room: a full disk must not hide the error that it caused."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _work(paths: RunPaths, journal: Journal, control: Control) -> None:
    recipe = load_recipe(paths.recipe)
    for folder in (paths.root, paths.rounds, paths.resume):
        remove_unfinished(folder)
    from .families.device import describe, make_accelerator, overlooked_gpu, precision_of, uuid_of
    from .train import prepare  # torch: seconds
    from .train.lottery import run_lottery
    from .train.pretrain import run_pretraining
    from .train.session import Session

    training = recipe.training
    accelerator = make_accelerator(
        training.device,
        training.precision,
        training.threads,
        tf32=training.tf32,
        deterministic=training.deterministic,
    )
    if accelerator.device.type == "cpu":
        _step_back()
    import torch

    round_number, step = _point(paths)
    journal.append(
        RunStarted(
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
            versions=versions(),
            gpu=uuid_of(accelerator.device),
            precision=precision_of(accelerator),
        )
    )
    if accelerator.device.type == "cpu" and training.device == "auto" and (overlooked := overlooked_gpu()):
        journal.append(Warned(message=f"This run computes on the CPU. {' '.join(overlooked)}"))
    session = Session(paths, recipe, journal.append, control, accelerator, check=journal.check)
    material = prepare.prepare(session)
    if recipe.kind == "pretrain":
        run_pretraining(session, material)
    else:
        run_lottery(session, material)


def _step_back() -> None:
    """Lowers the priority of this process once, unless it was started with a lower one."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def _point(paths: RunPaths) -> tuple[int, int]:
    """(round, step) after which the work of a worker that starts now begins."""
    from .train.checkpoint import checkpoint_facts

    done = paths.next_round
    facts = checkpoint_facts(paths.resume)
    step = facts.get("step")
    return (done, step) if facts.get("round") == done and isinstance(step, int) else (done, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
