"""Mode 5: paste Ruby, and see what two to four models write about each method, side by side.

The text is the user's, the methods and comments come from the playground process: this screen sends requests and shows replies.
It works with a run, beside a run and without one.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Paste
from textual.timer import Timer
from textual.widgets import OptionList, Static, TextArea
from textual.widgets.option_list import Option

from core.exchange import (
    Comment,
    Commented,
    Done,
    Found,
    Loaded,
    Loading,
    MethodsFound,
    ModelFailed,
    Read,
    Ready,
    Refused,
    Reply,
    Writing,
)
from core.recipe import Evaluation

from .. import bundle, client
from ..clipboard import copy
from ..history import Entry, history_file, keep, read_history
from ..models import Choice, choices, default_pair
from ..plain import plain, plain_lines
from ..playground import Gone, Playground
from ..playground_words import complaints, listed, own_comment, short, tried
from ..widgets.editor import LONGEST_LINE, RubyEditor, editable
from ..widgets.opinion import State, Waiting
from ..widgets.opinions import FEWEST, MOST, Opinions, Question
from ..words import count
from .ask import Enter
from .choose import ChooseOne
from .mode import ModeScreen

SAMPLE = "demo-ruby/test/game_dice.rb"
SAMPLE_METHOD = 3
"""The first one shown: short, and with a comment of its own."""
BEAMS = (1, 5, Evaluation().beam)
MOST_ALTERNATIVES = 5
TYPING_S, LOOKING_S = 0.4, 0.25
"""Pauses after which a text is read, and a method commented."""
RELIST_S = 10
"""How often the models are listed anew while one looks."""


class PlaygroundScreen(ModeScreen):
    """Ruby above, models below."""

    MODE = "playground"
    AUTO_FOCUS = "#methods"  # not the editor: the keys of the modes work until one goes there
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "step(1)", "Next", tooltip="Next method", id="playground.next"),
        Binding("N", "step(-1)", "Prev", tooltip="Previous method", id="playground.previous"),
        Binding(
            "e",
            "edit",
            "Edit",
            tooltip="Edit the Ruby, or paste into it; Esc leaves. A paste outside of it replaces all",
            id="playground.edit",
        ),
        Binding("ctrl+n", "clear", "Clear", tooltip="Empty the editor and go there", priority=True, id="playground.clear"),
        Binding("b", "beam", "Beam", tooltip="Another beam width: 1 (greedy), 5, 10", id="playground.beam"),
        Binding("plus", "more", "Model", tooltip="One more model, up to four (Tab goes to its picker)", id="playground.more"),
        Binding(
            "minus",
            "fewer",
            "Less",
            show=False,
            tooltip="Take away the model with the focus, or the last",
            id="playground.fewer",
        ),
        Binding("o", "other", "Other", show=False, tooltip="A model by its folder or hub name", id="playground.other"),
        Binding(
            "h",
            "history",
            "History",
            tooltip="What was tried; Enter takes it up again",
            id="playground.history",
        ),
        Binding("y", "copy", "Copy", tooltip="Copy the comments: of the column with the focus, or of all", id="playground.copy"),
        Binding(
            "r",
            "restart",
            "Restart",
            show=False,
            tooltip="Start the playground process again after it has ended",
            id="playground.restart",
        ),
    ]
    DEFAULT_CSS = """
    PlaygroundScreen {
        #source { height: 1fr; }
        #methods {
            width: 26;
            height: 100%;
            border: none;
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            background: $background;
            scrollbar-size: 1 1;
            padding: 0;
            &:focus { border-top: solid $primary; border-title-color: $text-primary; }
        }
        RubyEditor {
            width: 1fr;
            height: 100%;
            border: none;
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            background: $background;
            scrollbar-size: 0 1;
            padding: 0;
            margin: 0 0 0 1;
            &:focus { border-top: solid $primary; border-title-color: $text-primary; }
        }
        #own { height: auto; max-height: 2; padding: 0 1; }
        &.-wide #methods { width: 44; }
        &.-tall #opinions { height: 20; }
        &.-tall #own { max-height: 4; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._playground = Playground(self._hear)
        self._number = 0
        self._source = ""
        self._sent = ""
        """The source that was last sent to be read: where it is another one, what is known of methods is out of date."""
        self._tried = ("", "")
        """Qualified name and source of the method that was last commented."""
        self._sample = ""
        """The text that was there at first."""
        self._wanted = ""
        """Qualified name of the method to show once the text has been read."""
        self._excerpt = False
        """Whether the source is too large for the editor, which then shows one method at a time."""
        self._reading = -1
        self._methods: list[Found] = []
        self._at = 0
        self._remark = ""
        """What the editor's title says beside the method."""
        self._warnings: Sequence[str] = ()
        self._gone = ""
        self._beam = Evaluation().beam
        self._known: list[Choice] = []
        self._listed = False
        self._typed: list[Choice] = []
        """Models by path or hub name."""
        self._comment_id = -1
        self._timer: Timer | None = None
        self._ticks = 0

    def body(self) -> ComposeResult:
        """Methods and editor, the method's own comment, the models."""
        with Vertical(id="body"):
            with Horizontal(id="source"):
                yield OptionList(id="methods")
                yield RubyEditor(id="editor")
            yield Static("", markup=False, id="own")
            yield Opinions(id="opinions")

    # Widgets by name

    @property
    def _list(self) -> OptionList:
        return self.query_one("#methods", OptionList)

    @property
    def _editor(self) -> RubyEditor:
        return self.query_one(RubyEditor)

    @property
    def _opinions(self) -> Opinions:
        return self.query_one(Opinions)

    @property
    def _method(self) -> Found | None:
        return self._methods[self._at] if self._at < len(self._methods) else None

    @property
    def _whole(self) -> bool:
        """Whether the widgets are there: while the app leaves they go before their screen does."""
        return self.is_mounted and bool(self.query(OptionList)) and bool(self.query(RubyEditor))

    # Coming and going

    def on_mount(self) -> None:
        """Begins with a sample, so that there is something to see."""
        self._list.border_title = "methods"
        try:
            sample = (bundle.folder() / SAMPLE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            sample = "# Adds two numbers.\ndef add(first, second)\n  first + second\nend\n"
        self._at, self._sample = SAMPLE_METHOD, sample
        self._remark = "a sample: paste your own"
        self._take(sample)

    async def on_unmount(self) -> None:
        """Takes the process along."""
        await self._playground.close()

    def on_resize(self) -> None:
        """Fits the columns to the new width."""
        self._opinions.fit()

    def show_news(self) -> None:
        """Looks for rounds that have come since."""
        self._list_models()

    def show_time(self) -> None:
        """Seconds of what takes a while; now and then, models that have come."""
        self._ticks += 1
        if self._ticks % RELIST_S == 0:
            self.show_news()
        self._opinions.count_seconds(self.frame.clock())

    @work(group="models", exclusive=True)
    async def _list_models(self) -> None:
        known = await asyncio.to_thread(choices, self.frame.checkpoints)
        if not self._whole or (known == self._known and self._listed):
            return
        self._known = known
        self._opinions.offer([*known, *(typed for typed in self._typed if typed.path not in {one.path for one in known})])
        if not self._listed:
            self._listed = True
            for opinion, choice in zip(self._opinions.columns, default_pair(known), strict=False):
                opinion.choose(choice)
            self._show()
            self._comment_soon()

    # The text

    def _take(self, text: str) -> None:
        """Puts another text in place of the old one."""
        self._source, self._excerpt = text, not editable(text)
        if self._excerpt:
            lines = [line[:LONGEST_LINE] for line in text[:LONGEST_LINE].split("\n")]
            self._editor.show("\n".join(lines), excerpt=True)
        else:
            with self.prevent(TextArea.Changed):
                self._editor.show(text)
        self._read()

    def on_paste(self, event: Paste) -> None:
        """A paste outside of the editor replaces everything."""
        event.stop()
        self._take_pasted(event.text)

    def on_ruby_editor_pasted(self, event: RubyEditor.Pasted) -> None:
        """So does one that is too large for the editor."""
        self._take_pasted(event.text)

    def _take_pasted(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._at, self._remark = 0, ""
        self._take(text)
        if self._excerpt:
            self._list.focus()
            size = f"{count(len(text))} characters"
            self.frame.say(f"{size} are too much to edit or highlight: methods are shown one at a time, read-only. ^n clears.")

    def on_text_area_changed(self) -> None:
        """Reads the text again once typing pauses."""
        if not self._excerpt and self._editor.text != self._source:
            self._source, self._remark = self._editor.text, ""
            self._later(TYPING_S, self._read)

    def on_ruby_editor_left(self) -> None:
        """Esc leads from the editor to the list."""
        self._list.focus()

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, work)

    def _next_id(self) -> int:
        self._number += 1
        return self._number

    def _read(self) -> None:
        self._reading, self._sent = self._next_id(), self._source
        self._send(Read("read", self._reading, self._source))
        self._show_titles()

    def _send(self, request: Read | Comment) -> None:
        if not self._gone:
            self._put(request)

    @work(group="ask")
    async def _put(self, request: Read | Comment) -> None:
        await self._playground.ask(request)

    # Replies

    def _hear(self, reply: Reply | Gone) -> None:
        if not self._whole:
            return
        match reply:
            case MethodsFound():
                if reply.id == self._reading and self._source == self._sent:
                    self._show_methods(reply)
            case Loading():
                what = "Loading torch and transformers…" if reply.stage == "libraries" else "Loading weights…"
                self._set(reply.model, Waiting(what, self.frame.clock()))
            case Loaded():
                self._set(reply.model, "Loaded.")
            case Writing() | Commented() | ModelFailed():
                if reply.id == self._comment_id:
                    wait = Waiting("Writing…", self.frame.clock())
                    self._set(reply.model, wait if isinstance(reply, Writing) else reply)
            case Refused():
                self.frame.say(f"The playground refused a request: {reply.problem}", "error")
            case Gone():
                self._lose(reply)
            case Done():
                if reply.id == self._comment_id:
                    self._remember()
            case Ready():
                pass

    def _set(self, model: str, state: State) -> None:
        self._opinions.set(model, state)
        self._show()

    def _lose(self, news: Gone) -> None:
        self._gone = news.how
        first, _, rest = news.how.partition("\n")
        tail = plain_lines(rest, 200, 6)
        self._opinions.lose(f"The playground process {plain(first, 200)}. Press r to start it again.\n{tail}")
        self._show()
        self.frame.say(f"The playground process {first}. Press r to start it again; runs are not touched.", "error")

    def action_restart(self) -> None:
        """Starts the process again; it was lost, or it shall begin anew."""
        if self._gone:
            self._gone = ""
            self._read()

    # Methods

    def _show_methods(self, found: MethodsFound) -> None:
        self._methods, self._warnings = found.methods, complaints(found)
        here = [index for index, method in enumerate(self._methods) if method.qualified == self._wanted]
        self._at, self._wanted = here[0] if here else min(self._at, max(0, len(self._methods) - 1)), ""
        if self._editor.has_focus:
            self._at = self._under_cursor()
        listing = self._list
        with self.prevent(OptionList.OptionHighlighted):
            listing.clear_options()
            listing.add_options(Option(listed(method, self.app.size.width >= 120)) for method in self._methods)
            listing.highlighted = self._at if self._methods else None
        self._go_to_method()

    def _under_cursor(self) -> int:
        line = self._editor.cursor_location[0] + 1
        before = [index for index, method in enumerate(self._methods) if method.line <= line]
        return before[-1] if before else 0

    def on_text_area_selection_changed(self) -> None:
        """Follows the cursor from method to method."""
        if self._editor.has_focus and not self._excerpt and self._methods and (here := self._under_cursor()) != self._at:
            self._at = here
            with self.prevent(OptionList.OptionHighlighted):
                self._list.highlighted = here
            self._show()
            self._comment_soon()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Turns to another method."""
        event.stop()
        if event.option_list is self._list and event.option_index != self._at:
            self._at = event.option_index
            self._go_to_method()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter on a method goes to it in the editor."""
        event.stop()
        self.action_edit()

    def _go_to_method(self) -> None:
        method, editor = self._method, self._editor
        if method is not None and self._excerpt:
            editor.show("\n".join(line[:LONGEST_LINE] for line in method.code.split("\n")), method.line, excerpt=True)
        elif method is not None and not editor.has_focus:
            editor.move_cursor((method.line - 1, 0))
            self.call_after_refresh(self._show_line, method.line)
        self._show()
        self._comment_soon()

    def _show_line(self, line: int) -> None:
        self._editor.scroll_to(x=0, y=max(0, line - 3), animate=False)

    def action_step(self, by: int) -> None:
        """Goes to the next method, or the one before."""
        if self._methods:
            self._list.highlighted = (self._at + by) % len(self._methods)

    def action_edit(self) -> None:
        """Goes into the editor."""
        if self._excerpt:
            self.frame.say("This text is too large to edit. ^n clears it.", "warning")
        else:
            self._editor.focus()

    def action_clear(self) -> None:
        """Empties the editor."""
        self._at, self._remark = 0, ""
        self._take("")
        self._editor.focus()

    # Comments

    def _comment_soon(self) -> None:
        if self._source == self._sent:  # otherwise it is read first, and that timer must not be stopped
            self._later(LOOKING_S, self._ask)

    def _ask(self) -> None:
        """Asks those columns whose comment is not about what is shown now."""
        question = Question(self._reading, self._at, self._beam)
        if self._method is None or self._gone:
            return
        models = self._opinions.ask(question, self.frame.clock())
        if not models:
            return
        self._comment_id, self._tried = self._next_id(), (self._method.qualified, self._source)
        self._send(
            Comment(
                "comment",
                self._comment_id,
                self._reading,
                self._at,
                models,
                self._beam,
                Evaluation().max_length,
                min(self._beam, MOST_ALTERNATIVES),
            )
        )
        self._show()

    def on_opinion_model_chosen(self) -> None:
        """Asks the model that was chosen."""
        self._show()
        self._comment_soon()

    def action_beam(self) -> None:
        """Searches more widely, or less."""
        self._beam = BEAMS[(BEAMS.index(self._beam) + 1) % len(BEAMS)]
        self._show()
        self._comment_soon()

    async def action_more(self) -> None:
        """Puts another model beside the others."""
        if len(self._opinions.columns) == MOST:
            self.frame.say(f"{MOST} models side by side are the most.", "warning")
            return
        await self._opinions.more()
        self._show()
        self._comment_soon()

    async def action_fewer(self) -> None:
        """Takes a model away."""
        if len(self._opinions.columns) == FEWEST:
            self.frame.say(f"{FEWEST} models are the fewest.", "warning")
            return
        await self._opinions.fewer()
        self._show()

    def action_other(self) -> None:
        """Asks for a model by path or hub name."""
        column = self._opinions.focused or self._opinions.columns[-1]
        question = f"Which model for column {column.number}? A folder, or a name on the Hugging Face hub:"
        self.app.push_screen(Enter(question, _named, "Load"), self._take_model)

    def _take_model(self, name: str | None) -> None:
        if name is not None:
            path = client.local_path(name)
            choice = Choice(path, plain(name, 60), plain(name, 24))
            self._typed = [*(typed for typed in self._typed if typed.path != path), choice]
            self._opinions.take(choice)
            self._show()
            self._comment_soon()

    def action_copy(self) -> None:
        """Copies the comments of the column with the focus, or of all."""
        here = self._opinions.focused
        written = self._opinions.written(None if here is None else [here])
        if not written:
            self.frame.say("There is no comment to copy yet.", "warning")
            return
        lines = [comment if here else f"{label}: {comment}" for label, comment in written]
        copy(self.app, "\n".join(lines), "comments.txt")

    # History

    def _remember(self) -> None:
        """Keeps what was tried, once all models have answered; the sample is nobody's text."""
        (method, source), written = self._tried, self._opinions.written()
        if written and source != self._sample:
            entry = Entry(self.frame.clock(), method, source, tuple(written))
            self.frame.perform(partial(keep, history_file(), entry), "")

    @work(group="history", exclusive=True)
    async def action_history(self) -> None:
        """Shows what was tried; one of it can be taken up again."""
        entries = await asyncio.to_thread(read_history, history_file())
        if not entries:
            self.frame.say("Nothing was tried yet: paste Ruby, or type some.", "warning")
            return
        now = self.frame.clock()
        answers = {str(number): tried(entry, now) for number, entry in enumerate(entries)}
        self.app.push_screen(ChooseOne("Take up again what was tried:", answers), partial(self._take_up, entries))

    def _take_up(self, entries: list[Entry], answer: str | None) -> None:
        if answer is not None:
            entry = entries[int(answer)]
            self._take_pasted(entry.source)
            self._wanted = entry.method

    # What is shown

    def _show(self) -> None:
        """Shows the columns as they stand."""
        self._show_titles()
        self._opinions.show(self.frame.clock())

    def _show_titles(self) -> None:
        method, total = self._method, len(self._methods)
        self._list.border_title = f"method {count(self._at + 1)} of {count(total)}" if method else "methods"
        where = f"line {method.line} · " if method else ""
        name = short(method.qualified, 40) if method else "Ruby"
        self._editor.border_title = Content(f"{name} · {where}beam {self._beam}" + (f" · {self._remark}" if self._remark else ""))
        self.query_one("#own", Static).update(
            own_comment(method, not self._source.strip(), not self._gone and self._reading >= 0, self._warnings)
        )


def _named(text: str) -> str:
    return "" if text else "Type a folder or a name."
