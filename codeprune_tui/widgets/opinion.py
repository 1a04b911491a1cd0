"""One model's column in the playground: which model it is, what it writes about the method, and how it got there.

The column shows what it is given, and asks for nothing. Words that the neighbour hasn't are underlined: colour isn't needed.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.widgets import Select, Static

from core.run.exchange import PLAIN, Commented, ModelFailed, Variant

from ..runs.models import Choice
from ..views.difference import differing
from ..views.plain import plain
from ..views.quantization_text import titled
from ..views.shorten import middle_out
from ..views.text import duration, score
from .telling import retitle, tell

Part = str | tuple[str, str]
"""Text, or (text, style)."""
MOST_SHOWN = 1000
"""Characters of a comment; models write some dozen words."""
HEAD_ROOM = 8
"""Columns of a head that neither the model nor its method may take: number, and the line around."""
UNTRAINED = "This decoder never learned to write comments: what it says means nothing."
NO_MODEL = Content.assemble(
    ("No model chosen.\n", "bold"),
    "The rounds of your runs are models too: start one under 6 New run, or choose one above; i quantizes it.",
)


@dataclass(frozen=True)
class Waiting:
    """Work in progress, and its begin."""

    what: str
    since: float
    """Seconds since 1970."""


State = None | str | Waiting | Commented | ModelFailed
"""Nothing yet, a plain remark, work in progress, or the outcome."""

DIFFERS = "bold underline $text-warning"
"""Style of the words that the other model did not write."""


class Opinion(Vertical):
    """A model and its comment.

    Args:
        number: Its place, from 1.
    """

    DEFAULT_CSS = """
    Opinion {
        width: 1fr;
        height: 1fr;
        border-top: solid $panel-lighten-2;
        border-title-color: $text-muted;
        &:focus-within { border-top: solid $primary; border-title-color: $text-primary; }
    }
    Opinion Select { height: 1; }
    Opinion VerticalScroll { height: 1fr; scrollbar-size: 1 1; padding: 0 0 0 1; background: $background; }
    """

    class ModelChosen(Message):
        """The user has chosen another model."""

    def __init__(self, number: int) -> None:
        super().__init__(classes="opinion")
        self.number = number
        self.choice: Choice | None = None
        self.method = PLAIN
        """How the model is quantized in memory."""
        self.state: State = None
        self.question: object = None
        """The last question to the model; the caller knows what it means."""
        self._known: dict[str, Choice] = {}
        self._narrow = False

    def compose(self) -> ComposeResult:
        """Picker above comment."""
        yield Select[str]([], prompt="Choose a model", compact=True)
        with VerticalScroll(can_focus=True):
            yield Static("", markup=False)

    def offer(self, known: Sequence[Choice], narrow: bool) -> None:
        """Offers other models; the chosen one stays.

        Args:
            known: All models.
            narrow: Whether only the short names fit.
        """
        offered = {choice.path: choice for choice in known}
        if self.choice is not None:
            offered = offered if self.choice.path in offered else {**offered, self.choice.path: self.choice}
            self.choice = offered[self.choice.path]
        if offered == self._known and narrow == self._narrow:
            return
        self._known, self._narrow = offered, narrow
        self._fill()

    def choose(self, choice: Choice | None, method: str = PLAIN) -> None:
        """Puts a model in, as if nobody had chosen it."""
        self.choice, self.method, self.state, self.question = choice, method, None, None
        self._fill()

    @property
    def variant(self) -> Variant | None:
        """The model that the playground's process should load."""
        return None if self.choice is None else Variant(self.choice.path, self.method)

    @property
    def label(self) -> str:
        """The model's name with its method, safe to show."""
        return "" if self.choice is None else titled(self.choice.label, self._shown_method)

    @property
    def _shown_method(self) -> str:
        saved_as = self.choice.saved_as if self.choice else ""
        return saved_as if self.method == PLAIN else self.method

    def on_mount(self) -> None:
        """Offers the models that came while the column was being built."""
        self._fill()

    def _fill(self) -> None:
        names = [(Text(known.short if self._narrow else known.label), path) for path, known in self._known.items()]
        for chooser in self.query(Select):  # there is none while the column is being built, or taken away
            with self.prevent(Select.Changed):
                chooser.set_options(names)
                chooser.value = self.choice.path if self.choice is not None and self.choice.path in self._known else Select.NULL

    def on_select_changed(self, event: "Select.Changed") -> None:
        """Takes the model that was chosen."""
        event.stop()
        path = event.value if isinstance(event.value, str) else ""
        if path != (self.choice.path if self.choice else ""):
            self.choice, self.state, self.question = self._known.get(path), None, None
            if self.choice is not None and self.choice.saved_as:
                self.method = PLAIN  # it cannot be quantized once more
            self.post_message(self.ModelChosen())

    @property
    def best(self) -> str | None:
        """The model's comment, if it has written one."""
        return self.state.lines[0].text if isinstance(self.state, Commented) and self.state.lines else None

    def show(self, other: str | None, now: float, number: int = 0) -> None:
        """Shows the model's state.

        Args:
            other: The comment to mark the differences from, or None.
            now: Seconds since 1970.
            number: Number of the other comment's column.
        """
        retitle(self, Content(self._head()))
        with suppress(NoMatches):  # it is being built, or taken away
            tell(self.query_one(Static), NO_MODEL if self.choice is None else _content(self.state, other, now, number))

    def _head(self) -> str:
        if self.choice is None or self._shown_method in ("", PLAIN):
            return f"model {self.number}"
        method = titled("", self._shown_method)
        room = max(6, self.size.width - len(method) - HEAD_ROOM)
        names = [name for name in (self.choice.label, self.choice.short) if len(name) <= room]
        return f"{self.number} {names[0] if names else middle_out(self.choice.label, room)}{method}"


def _content(state: State, other: str | None, now: float, number: int) -> Content:
    match state:
        case Waiting():
            return Content.assemble((f"{state.what} ", "$text-primary"), (duration(float(int(max(0.0, now - state.since)))), ""))
        case ModelFailed():
            return Content.assemble(
                ("✗ ", "$text-error"), (plain(state.problem, 500), "$text-error"), f" {plain(state.fix, 500)}"
            )
        case Commented():
            comment = _comment(state, other)
            marked = any(isinstance(part, tuple) and part[1] == DIFFERS for part in comment)
            hint: list[Part] = (
                [("underlined", "underline $text-muted"), (f": not in model {number}\n", "$text-muted")] if marked else []
            )
            untrained: list[Part] = [] if state.finetuned else [(f"! {UNTRAINED}\n", "$text-warning")]
            return Content.assemble(*untrained, *comment, "\n", *hint, *_figures(state), *_alternatives(state))
        case str():
            return Content.styled(state, "$text-muted")
        case None:
            return Content("")


def _comment(state: Commented, other: str | None) -> list[Part]:
    text = state.lines[0].text[:MOST_SHOWN] if state.lines else ""
    if not text.strip():
        return [("(nothing)", "$text-muted")]
    if other is None:
        return [(plain(text), "bold")]
    parts: list[Part] = []
    for words, differs in differing(text, other):
        parts += [" "] if parts else []
        parts.append((plain(words), DIFFERS) if differs else (plain(words), "bold"))
    return parts


def _figures(state: Commented) -> list[Part]:
    best = state.lines[0]
    cut = "" if best.finished else ", cut off"
    speed = f"{state.tokens_per_second:,.0f} tok/s"
    parts: list[Part] = [(f"{state.seconds:.2f} s · {best.tokens} tok{cut} · {speed}\n", "$text-muted")]
    if state.bleu is not None:
        parts += [
            ("BLEU ", "$text-muted"),
            (score(state.bleu, 1), "bold"),
            (f" (name {score(state.name_bleu, 1)})\n", "$text-muted"),
        ]
    return parts


def _alternatives(state: Commented) -> list[Part]:
    parts: list[Part] = []
    for line in state.lines:
        text = f"{plain(line.text, 300) or '(nothing)'}{'' if line.finished else '…'}"
        parts += [
            (f"{line.score:7.2f} ".replace("-", "−"), "$text-muted"),
            ("(the one above)\n", "$text-muted") if line is state.lines[0] else f"{text}\n",
        ]
    return parts
