"""Commands to a sweep in the list of runs: pause, resume, stop all of its runs. Each asks first, and says how many they are."""

from collections.abc import Sequence
from functools import partial

from core.run.folder import RunInfo

from ..frame import Frame
from ..runs.sweep_stop import stop_sweep
from ..runs.sweeps import SweepFolder, send_all
from ..views.sweep_groups import Standing
from ..views.text import count, runs_text
from .ask import Confirm
from .mode import ModeScreen

PATIENCE_S = 60.0
"""Seconds to wait for the workers of a stopped sweep before saying that some are still at work."""


def pause(screen: ModeScreen, at: Standing) -> None:
    """Asks, then pauses the runs of a sweep that are at work; where none is, lets its paused runs go on."""
    if at.at_work:
        question = f"Pause {runs_text(len(at.at_work))} of {at.name}, each at its next step? p lets them go on again."
        _ask_all(screen, question, "Pause", at.at_work, "pause", f"of {at.name} will pause at the next step.")
    elif at.paused:
        resume(screen, at)
    else:
        screen.frame.say(f"No run of {at.name} is at work: there is nothing to pause.", "warning")


def resume(screen: ModeScreen, at: Standing) -> None:
    """Asks, then lets the paused runs of a sweep go on; workers are started by its command, which knows where they belong."""
    if at.paused:
        question = f"Let {runs_text(len(at.paused))} of {at.name} go on that {'is' if len(at.paused) == 1 else 'are'} paused?"
        _ask_all(screen, question, "Resume", at.paused, "resume", f"of {at.name} will go on.")
    else:
        screen.frame.say(
            f"No run of {at.name} is paused. Its command goes on with what is left: codeprune-tui sweep run FILE.", "warning"
        )


def stop(screen: ModeScreen, at: Standing) -> None:
    """Asks, then stops a sweep: its workers save a checkpoint and leave, what waits leaves the queue, nothing more begins."""
    alive = len(at.at_work) + len(at.paused)
    if not alive and not at.waiting:
        screen.frame.say(f"No run of {at.name} is at work or waits: there is nothing to stop.", "warning")
        return
    parts = (
        [f"{runs_text(alive)} {'saves' if alive == 1 else 'save'} a checkpoint and {'ends' if alive == 1 else 'end'}"]
        if alive
        else []
    )
    parts += [f"{runs_text(at.waiting)} that {'waits' if at.waiting == 1 else 'wait'} will not begin"] if at.waiting else []
    question = f"Stop {at.name}? {'; '.join(parts)}. sweep run FILE goes on with it."
    screen.app.push_screen(Confirm(question, f"Stop {count(alive + at.waiting)}"), partial(_stop_if, screen, at))


def _stop_if(screen: ModeScreen, at: Standing, yes: bool | None) -> None:
    if yes:
        screen.frame.perform(partial(_stop, screen.frame, at), "")


def _stop(frame: Frame, at: Standing) -> None:
    stopped = stop_sweep(SweepFolder(frame.checkpoints, at.name), PATIENCE_S)
    frame.say(f"{at.name} is stopped: {stopped.words}.")
    if stopped.problem is not None:
        raise stopped.problem


def _ask_all(screen: ModeScreen, question: str, yes: str, infos: Sequence[RunInfo], command: str, done: str) -> None:
    frame = screen.frame  # a thread cannot ask a screen that was taken down

    def send() -> None:
        frame.say(f"{runs_text(send_all([info.paths for info in infos], command))} {done}")

    def if_yes(answer: bool | None) -> None:
        if answer:
            frame.perform(send, "")

    screen.app.push_screen(Confirm(question, f"{yes} {count(len(infos))}"), if_yes)
