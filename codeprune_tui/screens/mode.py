"""The parts that every mode shares: the status line on top, the keys at the bottom, and the commands to its run.

The mode says which run that is (`target`). Commands go through the client in a thread of their own, since starting a worker
takes a moment; an error comes back as a toast with its fix.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import ScreenResume
from textual.screen import Screen
from textual.widgets._toast import ToastRack

from core.run.folder import RunPaths

from .. import bundle
from ..frame import ALIVE, Frame
from ..runs import client
from ..views.plain import plain
from ..views.text import killed
from ..widgets.keyline import KeyLine
from ..widgets.statusline import ModeTab, StatusLine
from .ask import Confirm, Enter

RUN_KEYS: list[BindingType] = [
    Binding("p", "pause", "Pause", tooltip="Pause the run at the next step, or resume it", id="run.pause"),
    Binding("r", "resume", "Resume", tooltip="Resume the run after a pause, a stop, a failure or a crash", id="run.resume"),
    Binding("n", "rounds", "Rounds", tooltip="Run N more rounds, then pause", id="run.rounds"),
    Binding("s", "stop", "Stop", tooltip="Stop the run at a checkpoint, from which it can be resumed; asks first", id="run.stop"),
    Binding("K", "kill", "Kill", tooltip="Kill the worker at once; asks for the run's name", id="run.kill"),
]
"""Keys of the modes that are about a run."""


@dataclass(frozen=True)
class Target:
    """The run that a command goes to."""

    paths: RunPaths
    state: str
    """The run's state, in the words of the status line."""

    @property
    def alive(self) -> bool:
        """Whether the run has a worker to take commands."""
        return self.state.split(" ")[0] in ALIVE

    @property
    def name(self) -> str:
        """The run's name, safe to show."""
        return plain(self.paths.name, 60)


class ModeScreen(Screen[None]):
    """A mode: status line, body, footer."""

    MODE: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._styled_for: object = None

    @property
    def frame(self) -> Frame:
        """The app, as screens see it."""
        return cast("Frame", self.app)

    def compose(self) -> ComposeResult:
        """The parts that all modes share, around the body."""
        yield StatusLine(self.MODE)
        yield from self.body()
        yield KeyLine()

    def on_mount(self) -> None:
        """Puts toasts after the body, and so above everything else at the bottom; Textual puts them first."""
        for rack in self.query_children(ToastRack):
            self.move_child(rack, after=len(self.children) - 1)

    def body(self) -> ComposeResult:
        """The mode's own part."""
        raise NotImplementedError

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Shows the news that came while another mode was in front.

        Textual computes the styles of all widgets again only if the app as a whole has changed: widgets keep theirs up to date.
        """
        look = (self.app.pseudo_classes, self.app.classes)
        event.refresh_styles = look != self._styled_for
        self._styled_for = look
        self.call_after_refresh(self.refresh_all)

    def refresh_all(self) -> None:
        """Shows the newest of everything."""
        if self.is_mounted:  # else it is still being built, and shows everything once it is in front
            self.show_status()
            self.show_news()

    def tick(self) -> None:
        """Shows, once a second, what changes by time alone."""
        self.show_status()
        self.show_time()

    def show_status(self) -> None:
        """Shows the watched run's state."""
        self.query_one(StatusLine).show(self.frame.status())

    def show_news(self) -> None:
        """Shows what the app knows now; a mode that shows none of it does nothing."""

    def show_time(self) -> None:
        """Shows ages; a mode without ages does nothing."""

    def target(self) -> Target | None:
        """The run that commands go to."""
        return None

    def on_mode_tab_chosen(self, event: ModeTab.Chosen) -> None:
        """Goes to the mode that was clicked."""
        self.frame.action_mode(event.mode)

    def _alive(self) -> Target | None:
        """The target if it has a worker; else a toast says what to do."""
        target = self.target()
        if target is None:
            self.frame.say("There is no run to command. Choose one under 1 Runs, or start one under 6 New run.", "warning")
        elif bundle.is_read_only(target.paths):
            self.frame.say(f"{target.name} is an example: it can be read, not changed. {bundle.of_your_own()}", "warning")
            return None
        elif target.state == "DONE":
            self.frame.say(f"{target.name} is done: nothing is left to do. c under 1 Runs copies its recipe.", "warning")
            return None
        elif not target.alive:
            self.frame.say(f"{target.name} is {target.state} and has no worker. r resumes it.", "warning")
            return None
        return target

    def action_pause(self) -> None:
        """Pauses the run, or lets it go on."""
        if target := self._alive():
            if target.state in ("PAUSED", "PAUSING…"):
                self.frame.perform(partial(client.resume, target.paths), f"{target.name} goes on.")
            else:
                self.frame.expect(target.paths, "PAUSING…")
                self.frame.perform(partial(client.pause, target.paths), "")

    def action_resume(self) -> None:
        """Lets a run go on that has no worker, or that is paused."""
        target = self.target()
        if target is None or bundle.is_read_only(target.paths):
            self._alive()
        elif target.state == "DONE":
            self.frame.say(f"{target.name} is done: nothing is left to do. c under 1 Runs copies its recipe.", "warning")
        elif target.alive and target.state not in ("PAUSED", "PAUSING…"):
            self.frame.say(f"{target.name} is already at work.", "warning")
        else:
            self.frame.perform(partial(client.resume, target.paths), f"{target.name} goes on.")

    def action_rounds(self) -> None:
        """Asks for N and lets the run go on for N rounds."""
        if target := self._alive():
            self.app.push_screen(
                Enter(f"Run {target.name} for how many more rounds before it pauses?", _whole_number, "Run", "1"),
                partial(self._go_on_for, target),
            )

    def _go_on_for(self, target: Target, answer: str | None) -> None:
        if answer is not None:
            number = int(answer)
            done = f"{target.name} will pause after {number} more round{'s' if number > 1 else ''}."
            self.frame.perform(partial(client.pause_after, target.paths, number), done)

    def action_stop(self) -> None:
        """Asks, then stops at a checkpoint."""
        if target := self._alive():
            question = f"Stop {target.name}? Its worker saves a checkpoint and ends; r resumes from there."
            self.app.push_screen(Confirm(question, "Stop"), partial(self._stop_if, target))

    def _stop_if(self, target: Target, yes: bool | None) -> None:
        if yes:
            self.frame.expect(target.paths, "STOPPING…")
            self.frame.perform(partial(client.stop, target.paths), "")

    def action_kill(self) -> None:
        """Asks for the name, then kills."""
        if target := self._alive():
            again = client.undone(target.paths) or "what came after its last checkpoint"
            question = (
                f"Kill {target.name}'s worker at once? A resumed run repeats {again}, and what it does meanwhile.\n\n"
                "Type the run's name:"
            )
            self.app.push_screen(Enter(question, partial(_same, target.paths.name), "Kill"), partial(self._kill_if, target))

    def _kill_if(self, target: Target, answer: str | None) -> None:
        if answer is not None:
            # Once the worker of the watched run is gone, the app says so.
            watched = self.frame.watched is not None and self.frame.watched.paths == target.paths
            done = "" if watched else killed(target.name, client.undone(target.paths))
            self.frame.perform(partial(client.kill, target.paths), done)


def _whole_number(text: str) -> str:
    return "" if text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 9999 else "Type a whole number, 1 or more."


def _same(name: str, text: str) -> str:
    return "" if text == name or text == plain(name, 60) else "That is not its name. Type it exactly, or press Esc."
