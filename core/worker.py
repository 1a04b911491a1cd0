"""The worker: one process for one run, started as `python -P -m core.worker RUN_DIR` in a session of its own.

It takes the run's lock, reads the recipe, does what is not done yet, and journals everything it does. It ends with the run, on
`stop`, SIGTERM, SIGUSR1 or a kill, but never with the app. torch is imported only once the lock is held, so that the program that
started the worker sees within a moment that it lives.

Where several processes share a run, the worker holds the lock and starts them, its ranks; all of them do the work together, and
rank 0 journals it, until the worker journals why they ended, if they could not go on.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import shortage
from .atomic import remove_unfinished
from .disk import in_words
from .errors import CodepruneError, RunError, TrainingError
from .program import program, run_handle
from .provenance import versions
from .recipe import load_recipe
from .regularfile import real
from .run.control import STOPPED_BY_SIGNAL, STOPPING, Control, StopRequested
from .run.events import CommandTaken, Event, Failed, Happening, RunStarted, Stopped, Warned
from .run.events import Rank as RankPlace
from .run.folder import STALE_AFTER_S, RunPaths, hold_lock, holder_of, is_done
from .run.holder import Hold, HoldLostError, may_live_elsewhere, refuse_second, signed
from .run.journal import JournalWriter
from .shortage import is_shortage

if TYPE_CHECKING:
    from .train.launch import Failure
    from .train.session import Session

NICENESS = 5
"""Lower priority of a worker on the CPU, because on all cores it would keep the app from answering keys."""


def main(arguments: list[str]) -> int:
    """Works on one run until it is done, stopped or failed.

    Args:
        arguments: The run folder.

    Returns:
        Exit code: 0 where the run is done or was stopped by a command, `STOPPED_BY_SIGNAL`, else that of the error.
    """
    if arguments[:1] == ["--rank-of"] and len(arguments) == 5:
        return _rank(RunPaths(Path(arguments[4])), int(arguments[1]), int(arguments[2]), Path(arguments[3]))
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
    if _is_shared(paths) and (code := _lead(paths, offset)) is not None:
        return code
    return _at_work(paths, offset, lock, Rank())


def _is_shared(paths: RunPaths) -> bool:
    """Whether several processes may share the run. Whoever works on the run says what is wrong with a recipe."""
    with suppress(CodepruneError):
        return load_recipe(paths.recipe).training.processes != 1
    return False


def _lead(paths: RunPaths, offset: int) -> int | None:
    """Lets ranks do the work of the run, and journals why they ended, if they don't; None where one process does it after all."""
    from .train.launch import End, Failure, handing_on_signals, launch

    try:
        with handing_on_signals() as signals:
            from .families.device import count_processes  # torch: seconds

            count = count_processes(load_recipe(paths.recipe).training)
            if count == 1:
                return None
            end = launch(paths.root, offset, count, signals)
    except StopRequested as request:
        end = End(0 if is_done(paths) else STOPPED_BY_SIGNAL, stopped="" if is_done(paths) else str(request))
    except CodepruneError as error:
        end = End(error.exit_code, Failure(error.problem, error.fix, error.exit_code))
    _journal_end(paths, end.failure, end.stopped)
    return end.code


def _journal_end(paths: RunPaths, failure: "Failure | None", stopped: str) -> None:
    """Journals what the ranks of a run did not: what went wrong, or the signal that came before they had begun."""
    if failure is None and not stopped:
        return
    journal = JournalWriter(paths.journal)
    if failure is not None:
        _log(f"Error: {failure.problem} {failure.fix}")
        journal.append(Failed(problem=failure.problem, fix=failure.fix))
    else:
        round_number, step = _point(paths)
        journal.append(Stopped(round=round_number, step=step, reason=stopped))
    journal.close()


def _rank(paths: RunPaths, leader: int, offset: int, meeting: Path) -> int:
    """Works on a run as one of several processes.

    Args:
        paths: The run.
        leader: Id of the process that holds its lock.
        offset: As for `Control`.
        meeting: Where the ranks find each other.
    """
    from .train.launch import die_with

    for number in STOPPING:  # rank 0 listens soon, and tells the others
        signal.signal(number, signal.SIG_IGN)
    die_with(leader)
    rank = Rank(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), leader, meeting)
    if rank.number == 0:
        with paths.lock.open("rb") as lock:  # to see whether it is still the one that the leader holds
            return _at_work(paths, offset, lock.fileno(), rank)
    journal = Journal(lambda what: Event(-1, 0.0, what), False, lambda: None)
    return _end_of_work(paths, journal, Control(paths.commands, offset, _say_nothing, _say_nothing), rank)


def _say_nothing(words: str) -> None:
    """Takes the words of a rank that does not journal."""


def _at_work(paths: RunPaths, offset: int, lock: int, rank: "Rank") -> int:
    """Works on a run whose lock is held, and journals what happens."""
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
        return _end_of_work(paths, Journal(emit, journal.resumed, hold.check), control, rank)
    except HoldLostError as error:
        _log(str(error))
        hold.tell(error, journal)
        rank.report(Failed(problem=error.problem, fix=error.fix), error.exit_code, journalled=True)
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


@dataclass(frozen=True)
class Rank:
    """Which of the processes that share a run this one is."""

    number: int = 0
    count: int = 1
    leader: int = 0
    """Id of the process that started them, and journals why they end; 0 where there is but this one."""
    meeting: Path = Path()
    """The file by which they find each other."""

    def lost(self, error: Exception) -> bool:
        """Whether an error says no more than that another of the processes has ended."""
        if not self.leader:
            return False
        from .train.ranks import is_lost

        return is_lost(error)

    def report(self, failed: Failed, code: int, *, lost: bool = False, journalled: bool = False) -> None:
        """Tells the process that started this one why it ends; there may be none.

        Args:
            failed: Why.
            code: Exit code of the run.
            lost: As for `lost`.
            journalled: Whether it stands in the journal.
        """
        if not self.leader:
            return
        from .train.launch import Failure

        Failure(failed.problem, failed.fix, code, lost, journalled).report()


def _end_of_work(paths: RunPaths, journal: Journal, control: Control, rank: Rank) -> int:
    """Does the work of the run, and journals how it ended."""
    try:
        try:
            _work(paths, journal, control, rank)
        except StopRequested as request:
            round_number, step = _point(paths)
            journal.append(Stopped(round=round_number, step=step, reason=str(request)))
            return STOPPED_BY_SIGNAL if control.signalled else 0
        return 0
    except HoldLostError:
        raise
    except Exception as error:
        if lost := rank.lost(error):
            _log(f"Rank {rank.number} ends, because another has.")
            failed, code = Failed(problem=str(error)[:2000], fix=""), RunError.exit_code
        else:
            failed, code = _failure(paths, error)
        if not rank.leader:
            journal.append(failed)
        rank.report(failed, code, lost=lost)
        return code


def _failure(paths: RunPaths, error: Exception) -> tuple[Failed, int]:
    """What the journal says of an error that ended the work, and the exit code."""
    if isinstance(error, CodepruneError):
        _log(f"Error: {error}")
        return Failed(problem=error.problem, fix=error.fix), error.exit_code
    _log(traceback.format_exc())
    if isinstance(error, OSError):  # errors of the disk or the system, which users can fix
        problem, fix = _in_words(paths, error)
        return Failed(problem=problem, fix=fix), RunError.exit_code
    if is_shortage(error):
        problem, fix = shortage.in_words(error, "The run")
        return Failed(problem=problem, fix=fix), TrainingError.exit_code
    if isinstance(error, RuntimeError) and _is_not_deterministic(error):
        first = str(error).splitlines()[0][:200]
        problem, fix = f"An operation has no deterministic algorithm: {first}", "Start a run with training.deterministic = false."
        return Failed(problem=problem, fix=fix), TrainingError.exit_code
    # A defect: the journal must say so, or the run would look crashed.
    fix = f"This is a defect; its traceback is in {paths.log}."
    return Failed(problem=f"{type(error).__name__}: {error}"[:2000], fix=fix), 1


def _is_not_deterministic(error: RuntimeError) -> bool:
    """Whether an operation was refused because the recipe allows only deterministic ones."""
    from .train.trainer import NOT_DETERMINISTIC  # torch: seconds, if it is not there yet

    return NOT_DETERMINISTIC in str(error)


def _in_words(paths: RunPaths, error: OSError) -> tuple[str, str]:
    return in_words(error, paths.root, f"go on with: {program()} resume {run_handle(paths.root)}; all that was complete is kept")


def _log(text: str) -> None:
    """Writes to the log if there is room: a full disk must not hide the error that it caused."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _work(paths: RunPaths, journal: Journal, control: Control, rank: Rank) -> None:
    recipe = load_recipe(paths.recipe)
    if rank.number == 0:
        for folder in (paths.root, paths.rounds, paths.resume):
            remove_unfinished(folder)
    from .families.device import device_of, make_accelerator, overlooked_gpu, threads_of
    from .train import prepare  # torch: seconds
    from .train.lottery import run_lottery
    from .train.pretrain import run_pretraining
    from .train.ranks import ALONE, join
    from .train.session import Session

    training = recipe.training
    device = device_of(training.device, rank.number, rank.count)
    ranks = join(rank.number, rank.count, rank.leader, rank.meeting, on_gpu=device.startswith("cuda")) if rank.leader else ALONE
    accelerator = make_accelerator(
        device,
        training.precision,
        threads_of(training.threads, rank.count),
        tf32=training.tf32,
        deterministic=training.deterministic,
        processes=rank.count,
    )
    if accelerator.device.type == "cpu":
        _step_back()
    session = Session(paths, recipe, journal.append, control, accelerator, check=journal.check, ranks=ranks)
    journal.append(_start(session, journal, rank))
    if accelerator.device.type == "cpu" and training.device == "auto" and (overlooked := overlooked_gpu()):
        journal.append(Warned(message=f"This run computes on the CPU. {' '.join(overlooked)}"))
    material = ranks.in_turn(lambda: prepare.prepare(session))
    if recipe.kind == "pretrain":
        run_pretraining(session, material)
    else:
        run_lottery(session, material)


def _start(session: "Session", journal: Journal, rank: Rank) -> RunStarted:
    """The event of a worker that begins: where it computes, and what."""
    import torch

    from .families.device import describe, precision_of, uuid_of

    paths, recipe, device = session.paths, session.recipe, session.accelerator.device
    round_number, step = _point(paths)
    places = session.ranks.gathered([os.getpid(), describe(device), uuid_of(device)])
    return RunStarted(
        run=paths.name,
        kind=recipe.kind,
        rounds=recipe.rounds,
        steps=recipe.training.steps,
        resumed=journal.resumed,
        round=round_number,
        step=step,
        device=describe(device),
        threads=torch.get_num_threads(),
        pid=session.ranks.worker,
        host=socket.gethostname(),
        versions=versions(),
        gpu=uuid_of(device),
        precision=precision_of(session.accelerator),
        ranks=tuple(RankPlace(*place) for place in places) if rank.leader else (),
    )


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
