"""Mode 5: paste Ruby, and see what two to four models write about each method, side by side.

The screen sends the user's text to the playground process and shows its replies: methods and comments.
It works with a run, beside a run and without one.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.events import Paste
from textual.message import Message
from textual.timer import Timer
from textual.widgets import OptionList, Static

from core.recipe import Evaluation
from core.run.exchange import (
    Able,
    Commented,
    Done,
    Loaded,
    Loading,
    MethodsFound,
    ModelFailed,
    Ready,
    Refused,
    Reply,
    Request,
    Variant,
    Writing,
)

from .. import bundle
from ..frame import publish
from ..playground.conversation import Conversation
from ..playground.history import Entry, history_file, keep, read_history
from ..playground.process import Gone, Playground
from ..playground.text import complaints, own_comment, tried
from ..runs import client
from ..runs.finder import Finder
from ..runs.models import Choice, choices, saved_method
from ..terminal.clipboard import copy
from ..views.plain import plain, plain_lines
from ..views.quantization_text import problems_of
from ..views.shorten import middle_out
from ..views.text import count
from ..widgets.editor import RubyEditor
from ..widgets.opinion import Opinion, State, Waiting
from ..widgets.opinions import FEWEST, MOST, Opinions, Question
from ..widgets.rubysource import RubySource
from .ask import Enter
from .choose import ChooseOne
from .mode import ModeScreen
from .playground_keys import PLAYGROUND_KEYS
from .quantization import ChooseMethod

SAMPLE = "demo-ruby/test/game_dice.rb"
SAMPLE_METHOD = 3
"""The method that is shown first: short, and with a comment of its own."""
BEAMS = (1, 5, Evaluation().beam)
TYPING_S, LOOKING_S = 0.4, 0.25
"""Seconds without a key after which a text is read, and a method commented."""
RELIST_S = 10
"""Seconds between two listings of the models while the screen is in front."""
STAGES = {"libraries": "Loading torch…", "weights": "Loading weights…", "quantizing": "Quantizing…"}


class ModelsListed(Message):
    """The models have been listed, and differ from those before."""


class PlaygroundScreen(ModeScreen):
    """Ruby above, models below."""

    MODE = "playground"
    AUTO_FOCUS = "#methods"  # not the editor: the keys of the modes work until one goes there
    BINDINGS: ClassVar[list[BindingType]] = [*PLAYGROUND_KEYS]
    DEFAULT_CSS = """
    PlaygroundScreen {
        #own { height: auto; max-height: 5; padding: 0 1; }
        &.-wide #methods { width: 44; }
        &.-tall #opinions { height: 20; }
        &.-tall #own { max-height: 6; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._playground = Playground(lambda reply: self.call_later(self._hear, reply))
        self._models = Finder(choices, lambda: publish(self, ModelsListed()))
        self._warning = ""
        """The last warning of the process that was shown."""
        self._talk = Conversation()
        self._text_id = -1
        """Number of the text that the listed methods come from."""
        self._tried = ("", "")
        """Qualified name and source of the method that was last commented."""
        self._sample = ""
        """The text that the screen began with."""
        self._remark = ""
        """The remark in the editor's title, beside the method."""
        self._warnings: Sequence[str] = ()
        self._gone = ""
        self._beam = Evaluation().beam
        self._abilities: dict[str, str] | None = None
        """Quantizer -> why it does not work on this device; None until that is known."""
        self._timer: Timer | None = None
        self._ticks = 0

    def body(self) -> ComposeResult:
        """Methods and editor, the method's own comment, the models."""
        with Vertical(id="body"):
            yield RubySource(id="source")
            yield Static("", markup=False, id="own")
            yield Opinions(id="opinions")

    # Widgets by name

    @property
    def _ruby(self) -> RubySource:
        return self.query_one(RubySource)

    @property
    def _opinions(self) -> Opinions:
        return self.query_one(Opinions)

    @property
    def _whole(self) -> bool:
        """Whether the widgets exist: when the app ends, they are removed before their screen."""
        return self.is_mounted and all(self.query(part) for part in (RubySource, "#own", Opinions)) and self._ruby.whole

    # Coming and going

    def on_mount(self) -> None:
        """Begins with a sample, so that there is something to see."""
        self._playground.device = self.frame.playground_device
        try:
            sample = (bundle.folder() / SAMPLE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            sample = "# Adds two numbers.\ndef add(first, second)\n  first + second\nend\n"
        self._sample, self._remark = sample, "a sample: paste your own"
        self._take(sample, SAMPLE_METHOD)

    async def on_unmount(self) -> None:
        """Ends the process together with the app."""
        await self._playground.close()

    def on_resize(self) -> None:
        """Fits the columns to the new width."""
        self._opinions.fit()

    def show_news(self) -> None:
        """Lists the models again: new rounds may have come."""
        self._list_models()

    def show_time(self) -> None:
        """Shows the seconds of work in progress; now and then, lists new models."""
        self._ticks += 1
        if self._ticks % RELIST_S == 0:
            self.show_news()
        self._opinions.count_seconds(self.frame.clock())

    def _list_models(self) -> None:
        self._models.forget()
        self._models.ask(self.frame.checkpoints)

    def on_models_listed(self) -> None:
        """Offers the models that a thread has found."""
        listed = self._models.ask(self.frame.checkpoints)
        if listed is not None and self._opinions.offer(listed):
            self._show()
            self._comment_soon()

    # The text

    def _take(self, text: str, at: int = 0) -> None:
        """Puts a text in place of the old one, and has it read."""
        self._ruby.take(text, at)
        self._read()

    def on_paste(self, event: Paste) -> None:
        """Replaces everything by a paste outside of the editor."""
        event.stop()
        self._take_pasted(event.text)

    def on_ruby_editor_pasted(self, event: RubyEditor.Pasted) -> None:
        """Replaces everything by a paste that is too large for the editor."""
        self._take_pasted(event.text)

    def _take_pasted(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._remark = ""
        self._take(text)
        if self._ruby.excerpt:
            self._ruby.listing.focus()
            size = f"{count(len(text))} characters"
            self.frame.say(f"{size} are too many to edit or highlight: methods are shown one at a time, read-only. ^n clears it.")

    def on_ruby_source_typed(self) -> None:
        """Has the text read again once typing pauses."""
        self._remark = ""
        self._later(TYPING_S, self._read)

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, work)

    def _read(self) -> None:
        self._send(self._talk.read(self._ruby.text))
        self._show_titles()

    def _send(self, request: Request) -> None:
        if not self._gone:
            self._put(request)

    @work(group="ask")
    async def _put(self, request: Request) -> None:
        await self._playground.ask(request)

    # Replies

    def _hear(self, reply: Reply | Gone) -> None:
        if not self._whole:
            return
        match reply:
            case MethodsFound():
                if self._talk.is_about(reply, self._ruby.text):
                    self._text_id, self._warnings = reply.id, complaints(reply)
                    self._ruby.show_methods(reply.methods)
                    if not reply.methods:
                        self._opinions.clear()
            case Loading():
                self._set(reply, Waiting(STAGES[reply.stage], self.frame.clock()))
            case Loaded():
                self._set(reply, f"Loaded on {plain(reply.device, 60)}." if reply.device else "Loaded.")
                if reply.warning and reply.warning != self._warning:
                    self._warning = reply.warning
                    self.frame.say(f"The Playground computes on the CPU. {plain(reply.warning, 400)}", "warning")
            case Writing() | Commented() | ModelFailed():
                if self._talk.is_about(reply, self._ruby.text):
                    wait = Waiting("Writing…", self.frame.clock())
                    self._set(reply, wait if isinstance(reply, Writing) else reply)
            case Refused():
                self.frame.say(f"The playground refused a request: {reply.problem}", "error")
            case Gone():
                self._lose(reply)
            case Done():
                if self._talk.is_about(reply, self._ruby.text):
                    self._remember()
            case Able():
                self._know(reply.problems)
            case Ready():
                pass

    def _set(self, about: Loading | Loaded | Writing | Commented | ModelFailed, state: State) -> None:
        self._opinions.set(Variant(about.model, about.method), state)
        self._show()

    def _lose(self, news: Gone) -> None:
        self._gone = news.how
        first, _, rest = news.how.partition("\n")
        tail = plain_lines(rest, 200, 6)
        self._opinions.lose(f"The playground process {plain(first, 200)}. Press r to start it again.\n{tail}")
        self._show()
        self.frame.say(f"The playground process {first}. Press r to start it again; runs are not touched.", "error")

    def action_restart(self) -> None:
        """Starts the process again, after its end or on request."""
        if self._gone:
            self._gone = ""
            self._read()

    # Methods

    def on_ruby_source_turned(self) -> None:
        """Has the method commented that is now shown."""
        self._show()
        self._comment_soon()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Goes to the method in the editor, on Enter."""
        event.stop()
        self.action_edit()

    def action_step(self, by: int) -> None:
        """Goes to the next method, or the one before."""
        self._ruby.step(by)

    def action_edit(self) -> None:
        """Goes into the editor."""
        if self._ruby.excerpt:
            self.frame.say("This text is too large to edit. ^n clears it.", "warning")
        else:
            self._ruby.editor.focus()

    def action_clear(self) -> None:
        """Empties the editor."""
        self._remark = ""
        self._take("")
        self._opinions.clear()
        self._ruby.editor.focus()

    # Comments

    def _comment_soon(self) -> None:
        if self._ruby.text == self._talk.sent:  # otherwise it is read first, and that timer must not be stopped
            self._later(LOOKING_S, self._ask)

    def _ask(self) -> None:
        """Asks the columns whose comment is not about the method that is shown."""
        question, method = Question(self._talk.reading, self._ruby.at, self._beam), self._ruby.method
        if method is None or self._gone or self._text_id != self._talk.reading:  # a newer text is still being read
            return
        models = self._opinions.ask(question, self.frame.clock())
        if not models:
            return
        self._tried = method.qualified, self._ruby.text
        self._send(self._talk.comment(self._ruby.at, models, self._beam))
        self._show()

    def on_opinion_model_chosen(self) -> None:
        """Asks the model that was chosen."""
        self._show()
        self._comment_soon()

    def action_beam(self) -> None:
        """Takes the next beam width."""
        self._beam = BEAMS[(BEAMS.index(self._beam) + 1) % len(BEAMS)]
        self._show()
        self._comment_soon()

    async def action_more(self) -> None:
        """Puts another model beside the others."""
        if len(self._opinions.columns) == MOST:
            self.frame.say(f"At most {MOST} models stand side by side.", "warning")
            return
        await self._opinions.more()
        self._show()
        self._comment_soon()

    async def action_fewer(self) -> None:
        """Removes a model."""
        if len(self._opinions.columns) == FEWEST:
            self.frame.say(f"At least {FEWEST} models stand side by side.", "warning")
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
            choice = Choice(path, middle_out(plain(name, 500), 60), middle_out(plain(name, 500), 24), saved_as=saved_method(path))
            self._opinions.take(choice)
            self._show()
            self._comment_soon()

    # Quantized variants

    def action_quantize(self) -> None:
        """Asks how to quantize the model with the focus, or the last; the first use finds out what this device can run."""
        column = self._opinions.focused or self._opinions.columns[-1]
        if column.choice is None:
            self.frame.say("Choose a model first: Tab goes to its picker.", "warning")
            return
        asking = self._abilities is None and not self._gone and not column.choice.saved_as
        if asking:
            self._send(self._talk.abilities())
        problems = problems_of(column.choice.saved_as, self._abilities)
        model = f"column {column.number}, {middle_out(plain(column.choice.label, 500), 40)},"
        dialog = ChooseMethod(model, column.method, problems, asking)
        self.app.push_screen(dialog, partial(self._quantize, column))

    def _quantize(self, column: Opinion, method: str | None) -> None:
        if method is not None and method != column.method and column.is_mounted:
            column.choose(column.choice, method)
            self._show()
            self._comment_soon()

    def _know(self, problems: dict[str, str]) -> None:
        """Keeps what this device can run; a dialog that waits for it shows it."""
        self._abilities = problems
        for dialog in self.app.screen_stack:
            if isinstance(dialog, ChooseMethod):
                dialog.know(problems_of("", problems))

    def action_copy(self) -> None:
        """Copies the comments of the column with the focus, or of all."""
        focused = self._opinions.focused
        written = self._opinions.written(None if focused is None else [focused])
        if not written:
            self.frame.say("There is no comment to copy yet.", "warning")
            return
        lines = [comment if focused else f"{label}: {comment}" for label, comment in written]
        copy(self.app, "\n".join(lines), "comments.txt")

    # History

    def _remember(self) -> None:
        """Adds the text to the history once all models have answered; the sample is left out."""
        (method, source), written = self._tried, self._opinions.written()
        if written and source != self._sample:
            entry = Entry(self.frame.clock(), method, source, tuple(written))
            self.frame.perform(partial(keep, history_file(), entry), "")

    @work(group="history", exclusive=True)
    async def action_history(self) -> None:
        """Shows the history; the user can open one of its texts again."""
        entries = await asyncio.to_thread(read_history, history_file())
        if not entries:
            self.frame.say("The history is empty: paste Ruby, or type some.", "warning")
            return
        now = self.frame.clock()
        answers = {str(number): tried(entry, now) for number, entry in enumerate(entries)}
        self.app.push_screen(ChooseOne("Which earlier text should be opened?", answers), partial(self._take_up, entries))

    def _take_up(self, entries: list[Entry], answer: str | None) -> None:
        if answer is not None:
            entry = entries[int(answer)]
            self._take_pasted(entry.source)
            self._ruby.method_to_show = entry.method

    # What is shown

    def _show(self) -> None:
        """Shows the columns as they stand."""
        self._show_titles()
        self._opinions.show(self.frame.clock())

    def _show_titles(self) -> None:
        ruby = self._ruby
        ruby.show_titles(f"beam {self._beam}" + (f" · {self._remark}" if self._remark else ""))
        read = not self._gone and self._talk.reading >= 0
        self.query_one("#own", Static).update(own_comment(ruby.method, not ruby.text.strip(), read, self._warnings))


def _named(text: str) -> str:
    return "" if text else "Type a folder or a name."
