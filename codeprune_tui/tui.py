"""The Textual app: its modes, its keys, and the run it watches.

The app holds what is known (the watched run, the list of runs) and hands it to the screen in front. It reads no files itself
(`watch` does, in threads) and starts no workers (`client` does). Quitting never touches a worker.
"""

import asyncio
import difflib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.console import RenderableType
from textual import constants
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.dom import NoScreen
from textual.events import Callback, DescendantFocus, Event, Key, Paste
from textual.message import Message
from textual.message_pump import CallbackError
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import MountError
from textual.worker import WorkerFailed

from core.errors import CodepruneError
from core.recipe import Recipe
from core.run.folder import KILLED, QUEUED, RunInfo, RunPaths, State
from core.spec.criteria import CRITERIA

from . import bundle, first_start, settings
from .frame import ALIVE, APP_KEYS, SLOW_POLL_S, SLOW_TICK_S, publish
from .modes import MODES
from .runs import client
from .runs.watch import POLL_S, Lister, Listing, Watched, Watcher
from .terminal.gc import Tidying
from .terminal.key_queue import KeyOrder, KeyPassed
from .terminal.notifications import notification
from .terminal.renderer import Painted
from .themes import COLOUR_BLIND_SAFE
from .views.plain import plain, plain_lines
from .views.series import titles
from .views.shorten import short_paths
from .views.state import RunView, eta_s, standing
from .views.text import duration, killed, reopening, tone, two_scores
from .widgets.statusline import LEAST

if TYPE_CHECKING:
    from .screens.mode import ModeScreen

EXPECT_S = 15.0
"""Seconds for which the status line shows a command as on its way, before it believes the journal's silence."""
LETTERS_A_SECOND = 20
"""Speed at which somebody who was looking elsewhere reads a toast."""


GONE = (MountError, NoMatches, NoScreen, ScreenStackError)
"""Errors of those who look for a screen or a widget that is not there."""

LIVE = (State.STARTING, State.RUNNING, State.PAUSED, State.STALE)


class RunChanged(Message):
    """The watched run has news; newer news replace older ones that wait."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.watched = watched

    def can_replace(self, message: Message) -> bool:
        """Whether the other one need not be handled any more."""
        return isinstance(message, RunChanged)


class RunsListed(Message):
    """The list of runs has changed."""

    def __init__(self, listing: Listing) -> None:
        super().__init__()
        self.listing = listing

    def can_replace(self, message: Message) -> bool:
        """Whether the other one need not be handled any more."""
        return isinstance(message, RunsListed)


class CodepruneApp(App[None]):
    """Shows run folders; the workers live without it.

    Args:
        checkpoints: Folder of all runs.
        clock: Seconds since 1970; tests stop it.
        demo: Also show what came with the package: its models, and a finished run.
        config: The settings file; None for defaults that are never written.
        low_bandwidth: Spare a slow line, whatever the settings say.
        playground_device: Where the Playground computes; "" as the settings say.
    """

    TITLE = "codeprune-tui"
    CSS_PATH = "app.tcss"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[object]]]] = {mode.name: mode.open for mode in MODES.values()}
    DEFAULT_MODE = "runs"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (LEAST[0], "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual's own convention
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (LEAST[1], "-short"), (36, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = APP_KEYS

    def __init__(
        self,
        checkpoints: Path,
        clock: Callable[[], float] = time.time,
        demo: bool = False,
        config: Path | None = None,
        low_bandwidth: bool = False,
        playground_device: str = "",
    ) -> None:
        super().__init__()
        self.config = config
        self.settings, self._complaints = settings.load(config) if config is not None else (settings.Settings(), [])
        self.slow = low_bandwidth or self.settings.low_bandwidth
        """Whether the line to the terminal is slow."""
        self.playground_device = playground_device or self.settings.playground_device
        """Where the Playground computes, as a recipe says it."""
        self.demo = demo
        self.checkpoints = checkpoints
        self.clock = clock
        self.watched: Watched | None = None
        self.runs: list[RunInfo] | None = None
        """All runs, newest first; None until they have been listed once."""
        self.runs_problem = ""
        """Why the folder of all runs cannot be read; empty if it can."""
        self.missing: Mapping[str, int] = {}
        """Sweep -> how many of its runs have no folder yet."""
        self.keymap: dict[str, str] = {}
        """Id of a binding -> the keys that the user's settings give it."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._watcher: Watcher | None = None
        self._lister: Lister | None = None
        self._expected: tuple[Path, str, RunView | None, float] | None = None
        self.painted = Painted()
        """What the terminal shows."""
        self.defect: BaseException | None = None
        """The error that ended the app."""
        self._keys = KeyOrder(self, self.on_event, frozenset({"ctrl+q"}))
        self._tidying = Tidying()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Sends the cells that the terminal does not show yet."""
        sends = self._running and not self._batch_count and not self.is_headless and self._driver is not None
        if isinstance(renderable, LayoutUpdate | ChopsUpdate) and sends:
            changes = self.painted.changes(renderable, self.size)
            moved = self.cursor_position != self._previous_cursor_position
            super()._display(screen, changes if changes.runs or moved else None)  # type: ignore[arg-type]  # as Textual's own are
        else:
            super()._display(screen, renderable)

    def _handle_exception(self, error: Exception) -> None:
        # From `exit` on Textual mounts nothing, and takes down one screen after the other, while news still come and keys still
        # open screens: whoever handles these finds parts missing, and nobody sees what they would have shown.
        if (self._exit or not self._running) and isinstance(_cause(error), GONE):
            self.log.warning(f"Left while something was being shown: {error!r}")
        else:
            super()._handle_exception(error)

    def fail(self, error: Exception) -> None:
        """Ends the app because of an error of its own, wherever it was raised."""
        self._handle_exception(error)

    def _fatal_error(self) -> None:
        # Textual's own traceback shows values of variables, with whatever escapes are in them.
        self.defect = self._exception
        self._close_messages_no_wait()

    def panic(self, *renderables: RenderableType) -> None:
        """Ends the app because Textual itself cannot go on."""
        self._return_code = 1
        self.defect = self.defect or self._exception
        super().panic(*renderables)

    def delay_update(self, delay: float = 0.001) -> None:
        """Holds back painting only while screens change: Textual would hold it back for as long as a key may take."""
        super().delay_update(delay)

    def clear_selection(self) -> None:
        """Clears the selection if there is a screen yet: from Python 3.12 on, fields exist before the first screen."""
        if self.screen_stack:
            super().clear_selection()

    async def on_event(self, event: Event) -> None:
        """Handles events from the terminal, keys one at a time."""
        if isinstance(event, Key | Paste):
            self._tidying.touched()
        if self._keys.begin(event):
            target = self._keys.target() if isinstance(event, Key | Paste) else self
            await super().on_event(event)
            self._keys.handed_on(event, target)

    def on_key_passed(self, message: KeyPassed) -> None:
        """The effect of a key is complete."""
        self._keys.passed(message)

    def on_mount(self) -> None:
        """Starts listing runs, and the clock for ages."""
        self.loop = asyncio.get_running_loop()
        example = bundle.example() if self.demo else None
        self._lister = Lister(self.checkpoints, self.clock, lambda listing: publish(self, RunsListed(listing)), example)
        self._lister.start()
        self._ticking = self.set_interval(SLOW_TICK_S if self.slow else 1.0, self._tick)
        self._apply_settings()
        self.call_after_refresh(self._welcome)

    def _welcome(self) -> None:
        """Shows the tips at the very first start, if there is room for them."""
        if self.config is None or not self.settings.tips or self.size.width < LEAST[0] or self.size.height < LEAST[1]:
            return
        if first_start.claim(first_start.marker()):
            from .screens.tips import TipsScreen

            self.push_screen(TipsScreen(), self._pass_on)

    def _pass_on(self, key: Key | None) -> None:
        """Gives the key that closed the tips its usual effect."""
        if key is not None:
            self.post_message(Key(key.key, key.character))

    def _apply_settings(self) -> None:
        """Applies the user's settings, and says which of them are wrong."""
        self.register_theme(COLOUR_BLIND_SAFE)
        if self.slow:
            self.animation_level = "none"
        if self.settings.keymap:
            from .keymap import judge

            keymap, problems = judge(self.settings.keymap)
            self._complaints += problems
            self.keymap = keymap
            self.set_keymap(keymap)
        if self.settings.theme in self.available_themes:
            self.theme = self.settings.theme
        else:
            near = difflib.get_close_matches(self.settings.theme, list(self.available_themes), n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(sorted(self.available_themes))}."
            self._complaints.append(f'theme = "{self.settings.theme}" is unknown; {hint}')
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        for complaint in self._complaints[:5]:
            self.say(f"Settings: {complaint}", "warning")

    def _remember_theme(self, theme: Theme) -> None:
        if self.config is None or theme.name == self.settings.theme:
            return
        try:
            settings.remember_theme(self.config, theme.name)
        except OSError as error:
            self.say(f"The theme could not be saved: {self.config}: {error.strerror or error}.", "warning")
        else:
            self.settings = self.settings.model_copy(update={"theme": theme.name})

    def on_unmount(self) -> None:
        """Ends the threads."""
        for thread in (self._watcher, self._lister):
            if thread is not None:
                thread.stop()

    def _mode(self) -> "Screen[object] | None":
        stack = self._screen_stacks.get(self.current_mode)
        return stack[0] if stack else None

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """No cursor blinks over a slow line."""
        if hasattr(event.widget, "cursor_blink"):
            event.widget.cursor_blink = not self.slow

    # What is known

    def on_runs_listed(self, message: RunsListed) -> None:
        """Keeps the list; if no run is watched yet, watches the newest live run."""
        listing = message.listing
        self.runs, self.missing, self.runs_problem = listing.runs, listing.missing, listing.problem
        if self.watched is None and self._watcher is None:
            live = [info for info in listing.runs if info.state in LIVE]
            if live:
                self.watch_run(live[0].paths)
        if MODES[self.current_mode].lists_runs:
            self._front(lambda screen: screen.refresh_all())

    def on_run_changed(self, message: RunChanged) -> None:
        """Keeps the run's state, announces news, and hands the state to the mode in front."""
        watched, before = message.watched, self.watched
        if self._watcher is None or watched.paths != self._watcher.paths:
            return
        self.watched = watched
        if before is not None and before.paths == watched.paths and before.caught_up:
            self._tell(before, watched)
        self._front(lambda screen: screen.refresh_all())

    def watch_run(self, paths: RunPaths) -> None:
        """Follows another run from now on."""
        if self._watcher is not None and self._watcher.paths == paths:
            return
        if self._watcher is not None:
            self._watcher.stop()
        self.watched = None
        poll_s = SLOW_POLL_S if self.slow else POLL_S
        self._watcher = Watcher(paths, lambda watched: publish(self, RunChanged(watched)), poll_s)
        self._watcher.start()

    def open_run(self, paths: RunPaths) -> None:
        """Follows a run and shows it."""
        self.watch_run(paths)
        self.action_mode("live")

    def standing(self) -> str:
        """The watched run's state in words; a command on its way counts as taken."""
        if self.watched is None:
            return ""
        state = standing(self.watched.view, self.watched.held, self.clock(), self.watched.taken)
        if self.watched.queued and state != State.DONE:
            return QUEUED
        if state == State.CRASHED and self.watched.killed:
            return KILLED
        if self._expected is not None:
            root, expected, view, until = self._expected
            answered = view is None or self.watched.view.turn is not view.turn or self.watched.view.pending_command
            if root == self.watched.paths.root and not answered and self.clock() < until and state in ("RUNNING", "PAUSED"):
                return expected
        return state

    def expect(self, paths: RunPaths, state: str) -> None:
        """Shows the state that a command asks for until the worker answers."""
        view = self.watched.view if self.watched is not None and self.watched.paths == paths else None
        self._expected = (paths.root, state, view, self.clock() + EXPECT_S)
        self._tick()

    def status(self) -> tuple[tuple[str, str], ...]:
        """The watched run as (text, style) pairs for the status line."""
        if self.watched is None:
            return (("no run open", "$text-muted"),)
        view, state = self.watched.view, self.standing()
        sign, colour = tone(state)
        parts = [(plain(self.watched.paths.name), "bold"), (f"  {sign} {state}", colour)]
        if view.rounds:
            parts.append((f"  round {view.round}/{view.rounds}", ""))
        if view.pending_command.startswith("pause-after"):
            parts.append((f"  pauses after {plain(view.pending_command.partition(' ')[2], 10)} more", "$text-warning"))
        if state.split(" ")[0] not in ("DONE", "FAILED", "STOPPED", "CRASHED", KILLED, QUEUED, "NEW", "STALE") and (
            left := eta_s(view, self.clock())
        ):
            parts.append((f"  ETA {duration(left)}", ""))
        if view.device:
            parts.append((f"  {plain(view.device, 20)}", "$text-muted"))
        return tuple(parts)

    def _tick(self) -> None:
        self._front(lambda screen: screen.tick())
        self._tidying.look()

    def _front(self, show: "Callable[[ModeScreen], None]") -> None:
        """Lets the mode in front show something, also below a dialog."""
        from .screens.mode import ModeScreen

        if isinstance(screen := self._mode(), ModeScreen) and screen.is_mounted:
            show(screen)

    # News

    def _tell(self, before: Watched, after: Watched) -> None:
        name = plain(after.paths.name, 60)
        old, new = before.view, after.view
        for finished in new.finished[len(old.finished) :]:
            scores = f": {two_scores(finished.scores, new.floors)}" if finished.scores else ""
            self.say(f"{name}: round {finished.number} of {new.rounds} is complete{scores}.", bell=True)
        if new.turn is not None and new.turn is not old.turn:
            state = standing(new, False, self.clock())
            if state == State.DONE:
                self.say(f"{name} is done.", bell=True)
            elif new.failure is not None:
                self.say(f"{name} failed. {new.failure.problem} {new.failure.fix}", "error", bell=True)
        if warnings := new.warnings[len(old.warnings) :]:
            # All of it is in the log; a toast for each, some of them of many lines, would hide the screen.
            more = f" {len(warnings) - 1} more in the log." if len(warnings) > 1 else ""
            self.say(f"{name}: {plain(warnings[0], 100)}{more}", "warning")
        if before.held and not after.held and standing(new, False, self.clock()) == State.CRASHED:
            if not after.paths.root.is_dir():
                self.say(f"{name}: its folder was deleted or moved, and its worker has stopped.", "error", bell=True)
            elif after.killed:
                self.say(killed(name, client.undone(after.paths)), "warning")
            else:
                self.say(f"{name}: its worker died without a message. r resumes from the last checkpoint.", "error", bell=True)

    def say(self, text: str, severity: SeverityLevel = "information", bell: bool = False) -> None:
        """Shows a toast, text and never markup, for as long as reading it takes."""
        shown = short_paths(plain_lines(text, most=12))
        seconds = max(10 if severity == "error" else 5, len(shown) / LETTERS_A_SECOND)
        self.notify(shown, severity=severity, markup=False, timeout=seconds)
        if bell and self.settings.bell:
            self.bell()
        if bell and self.settings.notify != "off" and self._driver is not None:
            self._driver.write(notification(self.settings.notify, self.TITLE or "", text, "TMUX" in os.environ))

    def perform(self, work: Callable[[], object], done: str) -> None:
        """Does some work in a thread, since it may take a moment, and reports its outcome."""
        threading.Thread(target=self._perform, args=(work, done), daemon=True).start()

    def later(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls something in the app's own thread, from another one; once the app is gone, nothing is called."""
        publish(self, Callback(partial(call, *arguments)))

    def _perform(self, work: Callable[[], object], done: str) -> None:
        try:
            work()
        except CodepruneError as error:
            self._expected = None
            self.say(f"{error.problem} {error.fix}".strip(), "error")
        except OSError as error:
            self._expected = None
            self.say(f"Failed: {error}", "error")
        else:
            if done:
                self.say(done)

    # Keys

    def action_mode(self, mode: str) -> None:
        """Goes to a mode."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.switch_mode(mode)
        self.painted.forget()  # any change of mode repairs a terminal that something else has written to
        if self._lister is not None:
            self._lister.set_front(MODES[mode].lists_runs)

    def action_help(self) -> None:
        """Shows all keys."""
        from .screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(getattr(self._mode(), "MODE", "")))

    def action_terminal(self) -> None:
        """Shows what the terminal can do."""
        from .screens.terminal import TerminalScreen

        if not isinstance(self.screen, TerminalScreen):
            self.push_screen(TerminalScreen())

    def action_tips(self) -> None:
        """Shows the tips of the first start again."""
        from .screens.tips import TipsScreen

        self.push_screen(TipsScreen())

    async def action_quit(self) -> None:
        """Leaves; the workers go on."""
        self.exit()

    def at_work(self) -> list[str]:
        """Names of the runs that have a worker, safe to show; the list may be seconds old, the watched run is current."""
        working = {info.paths for info in self.runs or [] if info.state in LIVE}
        if self.watched is not None:
            working.discard(self.watched.paths)
            if self.standing().split(" ")[0] in ALIVE:
                working.add(self.watched.paths)
        return sorted(plain(paths.name, 60) for paths in working)

    def action_ask_quit(self) -> None:
        """Leaves the app; asks first while a run is at work."""
        from .screens.ask import Confirm

        if names := self.at_work():
            what = f"{names[0]} is" if len(names) == 1 else f"{len(names)} runs are"
            again, where = reopening(self.checkpoints)
            question = (
                f"{what} still at work.\n\nDetach: the app closes, and the work goes on without it. The runs lie in "
                f"{plain(where, 300)}. Open them again, from any terminal, with\n\n{plain(again, 300)}\n\n"
                "To end a run, press Esc, then s."
            )
            self.push_screen(Confirm(question, "Detach"), self._quit_if)
        else:
            self.exit()

    def _quit_if(self, yes: bool | None) -> None:
        if yes:
            self.exit()

    def new_from(self, recipe: Recipe) -> None:
        """Opens the form with a recipe in it."""
        from .screens.new_run import NewRunScreen

        self.action_mode("new")
        if isinstance(screen := self._mode(), NewRunScreen):
            screen.load(recipe)

    def compare_runs(self, names: list[str]) -> None:
        """Shows some runs beside each other."""
        from .screens.compare import CompareScreen

        self.action_mode("compare")
        if isinstance(screen := self._mode(), CompareScreen):
            screen.compare(names)

    def prune_by(self, criterion: str) -> None:
        """Opens the form with a criterion in it; its other entries stay."""
        from .screens.new_run import NewRunScreen

        self.action_mode("new")
        if isinstance(screen := self._mode(), NewRunScreen):
            screen.enter("pruning.criterion", criterion)

    def show_series(self, key: str) -> None:
        """Shows a series of the watched run as a chart."""
        from .screens.live import LiveScreen

        self.action_mode("live")
        if isinstance(screen := self._mode(), LiveScreen):
            screen.call_later(partial(screen.show_series, key))  # behind the message that brings it to the front

    def get_system_commands(self, screen: "Screen[object]") -> Iterable[SystemCommand]:
        """Every action of the app, for the command palette; first those in front."""
        from .palette import elsewhere

        seen: set[str] = set()
        names = {mode.title for mode in MODES.values()}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.tooltip and (binding.id or binding.action) not in seen:
                seen.add(binding.id or binding.action)
                twice = active.node is not self and binding.description in names  # Runs has an action Compare, too
                title = f"{MODES[self.current_mode].title}: {binding.description}" if twice else binding.description
                yield SystemCommand(title, binding.tooltip, partial(self.run_action, binding.action, active.node))
        for own in self.BINDINGS:
            if isinstance(own, Binding) and own.id not in seen:  # behind a dialog they have no keys
                yield SystemCommand(own.description, own.tooltip, partial(self.run_action, own.action))
        for mode, title, binding in elsewhere(seen):
            yield SystemCommand(title, binding.tooltip, partial(self.act_in, mode, binding.action))
        for key, title in titles(self.watched.view if self.watched is not None else RunView()).items():
            yield SystemCommand(f"Chart: {plain(title, 100)}", "Show it as a chart under 2 Live", partial(self.show_series, key))
        for name, criterion in CRITERIA.items():
            about = f"Score: {criterion.score}" + (", a control" if criterion.control else f" ({criterion.source})")
            yield SystemCommand(f"Prune by {name}", about, partial(self.prune_by, name))
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)
        yield SystemCommand("Terminal check", "Show what this terminal can do, and what to set", self.action_terminal)
        yield SystemCommand("First-start tips", "Show a few keys to begin with", self.action_tips)
        turn = "off" if self.slow else "on"
        yield SystemCommand(
            f"Low bandwidth: {turn}", "Spare a slow line: no animations, news every two seconds", self.action_low_bandwidth
        )

    async def act_in(self, mode: str, action: str) -> None:
        """Goes to a mode and performs an action there once the mode shows its content."""
        self.action_mode(mode)
        if (screen := self._mode()) is not None:
            act = partial(self.run_action, action, screen)
            # Behind the message that brings it to the front, and behind what that asks for: a list must have its lines first.
            screen.call_later(partial(screen.call_after_refresh, act))

    def action_low_bandwidth(self) -> None:
        """Turns low bandwidth on or off."""
        self.slow = not self.slow
        self.animation_level = "none" if self.slow else constants.TEXTUAL_ANIMATIONS
        self._ticking.stop()
        self._ticking = self.set_interval(SLOW_TICK_S if self.slow else 1.0, self._tick)
        if self._watcher is not None:
            self._watcher.set_pace(SLOW_POLL_S if self.slow else POLL_S)
        state = "on: no animations, news every two seconds" if self.slow else "off"
        self.say(f"Low bandwidth is {state}. low_bandwidth in the settings file keeps it so.")


def _cause(error: BaseException | None) -> BaseException | None:
    """The error that a timer's callback or a worker ended with; Textual wraps it."""
    if isinstance(error, WorkerFailed):
        return error.error
    return error.__context__ if isinstance(error, CallbackError) else error
