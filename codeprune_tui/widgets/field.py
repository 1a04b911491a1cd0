"""One key of the recipe as a row of the form: name, control, and a note that helps or complains.

The control follows from the key's type: a list to choose from, a box to tick, or a line to type into. Knows pydantic's field
description of the key, not what the recipe makes of it.
"""

from pydantic.fields import FieldInfo
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Checkbox, Input, Select, Static

from core.recipe import allowed_values

from ..views.plain import plain
from .telling import tell

PLACES = {"model.path", "data.path", "data.code", "evaluation.embedder"}
"""Keys that hold paths: their rows leave the line to the path where there is no room for a note as well."""


class PlaceInput(Input):
    """A line for a path: one that does not fit shows its end while nobody types into it, for paths differ at the end."""

    def render_line(self, y: int) -> Strip:
        """The end of the path, or the line as ever."""
        width = self.scrollable_content_region.width
        if y or self.has_focus or cell_len(self.value) <= width:
            return super().render_line(y)
        tail = plain(self.value)
        while cell_len(tail) >= width and tail:
            tail = tail[1:]
        return Strip([Segment(f"…{tail}", self.rich_style)]).adjust_cell_length(width, self.rich_style)


class FieldRow(Horizontal):
    """A key with its control.

    Args:
        key: Dotted name.
        field: Its description.
        help_text: One line about it.
    """

    class Edited(Message):
        """The user has given the key another value; "" takes it back to the default."""

        def __init__(self, key: str, value: str | bool) -> None:
            super().__init__()
            self.key = key
            self.value = value

    def __init__(self, key: str, field: FieldInfo, help_text: str) -> None:
        super().__init__(classes="field place" if key in PLACES else "field")
        self.key = key
        self.help_text = help_text
        self.allowed = allowed_values(key)
        self._is_bool = field.annotation is bool
        self._shown: str | bool | None = None

    def compose(self) -> ComposeResult:
        """Name, control, note."""
        yield Static(self.key.rpartition(".")[2], classes="label", markup=False)
        yield self._control()
        yield Static(self.help_text, classes="note", markup=False)

    def _control(self) -> "Input | Select[str] | Checkbox":
        if self._is_bool:
            return Checkbox(compact=True, classes="control")
        if self.allowed:
            return Select([(value, value) for value in self.allowed], allow_blank=False, compact=True, classes="control")
        line = PlaceInput if self.key in PLACES else Input
        return line(compact=True, classes="control", select_on_focus=False)

    def show_value(self, value: object, over: bool = False) -> None:
        """Puts a value into the control without reporting an edit; typing that was not reported yet stays, unless `over`.

        Args:
            value: The value to show.
            over: Whether the value replaces whatever was typed.
        """
        if not over and self._shown is not None and self._held() != self._shown:
            return
        # The shown values are compared: showing a value that holds control characters must not count as an edit.
        text: str | bool = value if isinstance(value, bool) else plain(_text(value))
        self._shown = text
        match self.query_one(".control"):
            case Checkbox() as box:
                box.value = bool(text)
            case Select() as chooser:
                chooser.value = str(text)
            case Input() as line:
                line.value = str(text)
                line.cursor_position = len(line.value)  # who tabs into it goes on typing at its end

    def _held(self) -> object:
        """What the control holds now."""
        control = self.query_one(".control")
        assert isinstance(control, Input | Select | Checkbox)
        return control.value

    def show_problem(self, problem: str) -> None:
        """Shows a problem, or the help again if the problem is ""."""
        self.set_class(bool(problem), "wrong")
        tell(self.query_one(".note", Static), f"✗ {plain(problem)}" if problem else self.help_text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Passes on what was typed."""
        event.stop()
        self._edited(event.input.value)  # as it is by now: a report of an earlier state is no news

    def on_select_changed(self, event: "Select.Changed") -> None:
        """Passes on what was chosen."""
        event.stop()
        if isinstance(event.value, str):
            self._edited(event.value)

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """Passes on what was ticked."""
        event.stop()
        self._edited(event.value)

    def _edited(self, value: str | bool) -> None:
        # A control also reports a change when its value is set: only a value that was not set here is an edit.
        if self._shown is not None and value != self._shown:
            self._shown = value
            self.post_message(self.Edited(self.key, value))


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
