"""A dialog that finds a value while the user types: a list that grows as threads find things, a filter, and the text itself.

Knows candidates, not what they are for. Every candidate is text, never markup.
"""

import threading
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ..frame import publish
from ..runs.choices import Candidate, Source, matching
from ..views.plain import plain
from .dialog import Dialog

MOST_SHOWN = 300
"""Most candidates in the list, more than anybody looks through; the filter finds the rest."""


class PickValue(Dialog[str | None]):
    """Asks for a value; answers None if the user gives up.

    Args:
        question: The question.
        sources: Functions that return some candidates each; a thread calls them in turn.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Cancel", id="pick.cancel"),
        Binding("down", "move(1)", "Next", show=False, priority=True, id="pick.next"),
        Binding("up", "move(-1)", "Before", show=False, priority=True, id="pick.before"),
        Binding("pagedown", "move(10)", "Ten on", show=False, priority=True, id="pick.ten-on"),
        Binding("pageup", "move(-10)", "Ten back", show=False, priority=True, id="pick.ten-back"),
    ]
    DEFAULT_CSS = """
    PickValue OptionList { height: 1fr; border: none; padding: 0; margin: 1 0 0 0; background: $surface; }
    PickValue .state { color: $text-muted; }
    """

    class Found(Message):
        """A source has answered."""

        def __init__(self, candidates: list[Candidate], left: int) -> None:
            super().__init__()
            self.candidates = candidates
            self.left = left

    def __init__(self, question: str, sources: Sequence[Source]) -> None:
        super().__init__()
        self._question = question
        self._sources = sources
        self._candidates: list[Candidate] = []
        self._left = len(sources)
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        """Question, filter, list, and the progress of the search."""
        with Vertical(classes="dialog"):
            yield Static(f"{self._question} Type to filter, or type a name or path of your own; Enter takes it.", markup=False)
            yield Input(placeholder="filter, hub name or path", compact=True, id="filter")
            yield OptionList(markup=False)
            yield Static("", markup=False, classes="state")

    def on_mount(self) -> None:
        """Begins to look."""
        self.query_one(OptionList).can_focus = False  # the filter keeps the keyboard
        self.query_one("#filter").focus()
        self._show()
        # A thread, not Textual's own worker: the app waits for those when it ends, and a slow disk must not hold it up.
        threading.Thread(target=self._look, name="pick", daemon=True).start()

    def _look(self) -> None:
        for number, source in enumerate(self._sources, 1):
            try:
                candidates = source()
            except OSError:
                candidates = []
            publish(self, self.Found(candidates, len(self._sources) - number))

    def on_pick_value_found(self, event: Found) -> None:
        """Adds candidates, each value once."""
        event.stop()
        known = {each.value for each in self._candidates}
        self._candidates += [each for each in event.candidates if each.value not in known]
        self._left = event.left
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filters."""
        event.stop()
        self._show()

    def _show(self) -> None:
        """Shows the candidates that match the filter, and the typed text; the highlight stays on its value if that is there."""
        typed = self.query_one("#filter", Input).value.strip()
        options = self.query_one(OptionList)
        before = self._shown[options.highlighted] if options.highlighted is not None else None
        fits = matching(self._candidates, typed)
        shown = [(each.value, Content.assemble(each.label, (f"  {each.detail}", "$text-muted"))) for each in fits[:MOST_SHOWN]]
        if typed and all(value != typed for value, _ in shown):
            shown.append((typed, Content.assemble(plain(typed, 200), ("  as typed", "$text-muted"))))
        self._shown = [value for value, _ in shown]
        options.clear_options().add_options(Option(content) for _, content in shown)
        if shown:
            options.highlighted = self._shown.index(before) if before in self._shown else 0
        more = f" · {len(fits) - MOST_SHOWN} more, type to find them" if len(fits) > MOST_SHOWN else ""
        self.query_one(".state", Static).update(f"{len(fits)} found{more}{' · still looking…' if self._left else ''}")

    def action_move(self, by: int) -> None:
        """Moves the highlight, not past the ends."""
        options = self.query_one(OptionList)
        if self._shown:
            options.highlighted = min(len(self._shown) - 1, max(0, (options.highlighted or 0) + by))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter takes the highlighted value."""
        event.stop()
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self.dismiss(self._shown[options.highlighted])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click takes a value, too."""
        self.dismiss(self._shown[event.option_index])

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)
