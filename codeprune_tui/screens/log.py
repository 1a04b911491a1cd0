"""The whole log of a run on the whole screen: what happened, in sentences, or what its worker printed; `/` searches.

The screen reads nothing itself; a thread hands it the text.
"""

from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from core.run.folder import RunPaths

from ..frame import SLOW_POLL_S, Frame, publish
from ..runs.logs import PERIOD_S, LogText, LogWatch, first_words, journal_log, worker_log
from ..views.plain import plain
from ..widgets.keyline import KeyLine
from ..widgets.pager import Pager
from ..widgets.statusline import ModeTab, StatusLine


class LogRead(Message):
    """The log has news; newer ones of the same log replace older ones that wait."""

    def __init__(self, text: LogText) -> None:
        super().__init__()
        self.text = text

    def can_replace(self, message: Message) -> bool:
        """Whether the other one need not be handled any more."""
        return isinstance(message, LogRead) and message.text.name == self.text.name


class LogScreen(Screen[None]):
    """The whole log of one run.

    Args:
        paths: The run.
    """

    AUTO_FOCUS = "Pager"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/", tooltip="Search; capitals in a text count", id="log.search"),
        Binding("n", "step(1)", "Next", tooltip="Next match", id="log.next"),
        Binding("N", "step(-1)", "Prev", tooltip="Previous match", id="log.previous"),
        Binding("g,home", "ends(False)", "Top", tooltip="Go to the beginning of the log", id="log.top"),
        Binding("G,end", "ends(True)", "End", tooltip="Go to the end and follow it", id="log.end"),
        Binding("w", "other", "Worker/events", tooltip="Switch between the run's events and the worker's output", id="log.other"),
        Binding("escape,q", "back", "Back", key_display="Esc", tooltip="End the search, or go back to Live", id="log.back"),
    ]
    DEFAULT_CSS = """
    LogScreen {
        #body { height: 1fr; }
        Pager { height: 1fr; overflow-x: hidden; overflow-y: scroll; scrollbar-size: 1 1; background: $background; }
        #log-title { height: 1; padding: 0 1; background: $boost; text-wrap: nowrap; text-overflow: ellipsis; }
        #log-search { display: none; height: 1; border: none; padding: 0 1; background: $boost; }
        &.searching #log-search { display: block; }
    }
    """

    def __init__(self, paths: RunPaths) -> None:
        super().__init__()
        self._paths = paths
        self._printed = False
        """Whether the worker's log is shown, and not the journal."""
        self._watch: LogWatch | None = None
        self._text = LogText("")
        self._title: Content | None = None

    @property
    def frame(self) -> Frame:
        """The app, as screens see it."""
        return cast("Frame", self.app)

    def compose(self) -> ComposeResult:
        """Title, text, search, keys."""
        yield StatusLine("live")
        with Vertical(id="body"):
            yield Static("", markup=False, id="log-title")
            yield Pager()
            yield Input(placeholder="Search; Enter goes to the first match, n to the next", id="log-search")
        yield KeyLine()

    def on_mount(self) -> None:
        """Begins to read."""
        self._tick()
        self._read()
        self.set_interval(1.0, self._tick)

    def on_unmount(self) -> None:
        """Ends the thread."""
        if self._watch is not None:
            self._watch.stop()

    def _read(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        log = worker_log(self._paths) if self._printed else journal_log(self._paths)
        what = "worker's log" if self._printed else "events"
        period_s = SLOW_POLL_S if self.frame.slow else PERIOD_S
        self._watch = LogWatch(log, f"{plain(self._paths.name, 30)}: {what}", self._publish, period_s)
        self._watch.start()

    def _publish(self, text: LogText) -> None:
        publish(self, LogRead(text))

    def on_log_read(self, message: LogRead) -> None:
        """Shows the text that was read, unless the user has switched to the other log since."""
        if self._watch is None or message.text.name != self._watch.text_name:
            return
        self._text = message.text
        empty = "" if message.text.lines else "This log is empty; w shows the other one."
        path = self._paths.log if self._printed else self._paths.journal
        self.query_one(Pager).show(message.text, first_words(message.text, path) or empty)
        self._tick()

    def _tick(self) -> None:
        """Shows the run's state, and the place in the log; repaints only what differs."""
        self.query_one(StatusLine).show(self.frame.status())
        pager = self.query_one(Pager)
        at, matches = pager.match_position
        parts: list[str | tuple[str, str]] = [(self._text.name, "bold")]
        if text := self.query_one("#log-search", Input).value:
            parts.append(f"  “{plain(text, 20)}” {f'match {at} of {matches:,}' if matches else 'not found'}")
        parts.append((f"  {len(self._text.lines):,} lines", "$text-muted"))
        parts.append(("  follows the end" if pager.follows else "  G follows the end", "$text-muted"))
        title = Content.assemble(*parts)
        if title != self._title:
            self._title = title
            self.query_one("#log-title", Static).update(title)

    # Keys

    def action_search(self) -> None:
        """Asks for the text to search for."""
        self.add_class("searching")
        self.query_one("#log-search", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Goes to the first match."""
        event.stop()
        self._leave_search()
        self.query_one(Pager).find(event.value)
        self._tick()

    def _leave_search(self) -> None:
        self.remove_class("searching")
        self.query_one(Pager).focus()

    def action_step(self, by: int) -> None:
        """Goes to another match; without a search, asks for one."""
        if not self.query_one("#log-search", Input).value:
            self.action_search()
        else:
            self.query_one(Pager).step(by)
            self._tick()

    def action_ends(self, end: bool) -> None:
        """Goes to the beginning or the end."""
        pager = self.query_one(Pager)
        (pager.scroll_end if end else pager.scroll_home)(animate=False)
        self._tick()

    def action_other(self) -> None:
        """Shows the other log."""
        self._printed = not self._printed
        self._read()

    def action_back(self) -> None:
        """Leaves the search field, then the search, then the log."""
        search = self.query_one("#log-search", Input)
        if self.has_class("searching"):
            self._leave_search()
        elif search.value:
            search.value = ""
            self.query_one(Pager).find("")
            self._tick()
        else:
            self.dismiss()

    def on_mode_tab_chosen(self, event: ModeTab.Chosen) -> None:
        """Goes to the mode that was clicked."""
        self.frame.action_mode(event.mode)
