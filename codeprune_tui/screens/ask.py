"""Dialogs that ask before something happens: yes or no, or a text that a check has to accept.

They know nothing of runs; questions and checks are passed in. They show text, never markup.
"""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from .dialog import Dialog


class Confirm(Dialog[bool]):
    """Asks a question that is answered by yes or no.

    Args:
        question: The question, one or two sentences.
        yes: Label of the button that says yes.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="ask.yes"),
        Binding("n,escape,q", "answer(False)", "No", id="ask.no"),
        Binding("left,right", "app.focus_next", "Other button", show=False, id="ask.other-button"),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Question above two buttons."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            with Horizontal(classes="buttons"):
                yield Button(f"{self._yes} (y)", id="yes", variant="primary")
                yield Button("Cancel (Esc)", id="no")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answers with the button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answers with a key."""
        self.dismiss(answer)


class Enter(Dialog[str | None]):
    """Asks for a text and takes it only if the check accepts it; answers None if the user gives up.

    Args:
        question: The question.
        check: Returns the problem of a text; "" if it has none.
        do: Label of the button.
        value: The field's first value.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Cancel", id="ask.cancel")]

    def __init__(self, question: str, check: Callable[[str], str], do: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._check = check
        self._do = do
        self._value = value

    def compose(self) -> ComposeResult:
        """Question, field, complaint, buttons."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield Input(self._value, id="answer")
            yield Static("", markup=False, classes="problem")
            with Horizontal(classes="buttons"):
                yield Button(f"{self._do} (Enter)", id="yes", variant="primary")
                yield Button("Cancel (Esc)", id="no")

    def on_input_changed(self) -> None:
        """Clears the complaint: the text has changed."""
        self.query_one(".problem", Static).update("")

    def on_input_submitted(self) -> None:
        """Enter answers with the text, if the check accepts it."""
        self._try()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The button does the same as Enter."""
        if event.button.id == "yes":
            self._try()
        else:
            self.dismiss(None)

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)

    def _try(self) -> None:
        value = self.query_one(Input).value.strip()
        if problem := self._check(value):
            self.query_one(".problem", Static).update(problem)
        else:
            self.dismiss(value)


class Choose(Dialog[str | None]):
    """Asks for one of some names; answers None if the user gives up.

    Args:
        question: The question.
        names: The names to choose from.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "give_up", "Cancel", id="ask.leave")]
    DEFAULT_CSS = """
    Choose OptionList { height: auto; max-height: 12; border: none; padding: 0; margin: 1 0 0 0; background: $surface; }
    """

    def __init__(self, question: str, names: list[str]) -> None:
        super().__init__()
        self._question = question
        self._names = names

    def compose(self) -> ComposeResult:
        """Question above the names."""
        with Vertical(classes="dialog"):
            yield Static(f"{self._question} Enter takes it, Esc leaves it.", markup=False)
            yield OptionList(*(Option(name) for name in self._names), markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answers with the name."""
        self.dismiss(self._names[event.option_index])

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)
