"""A dialog that asks for one of a few things. It does not know what they are, and shows text, never markup."""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from .dialog import Dialog


class ChooseOne(Dialog[str | None]):
    """Asks for one of some things; answers None if the user gives up.

    Args:
        question: The question.
        answers: Key -> its text, safe to show; the first is highlighted.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "give_up", "Cancel", id="choose.cancel")]
    DEFAULT_CSS = """
    ChooseOne OptionList { height: auto; max-height: 14; border: none; padding: 0; margin: 1 0; background: $surface; }
    """

    def __init__(self, question: str, answers: Mapping[str, str]) -> None:
        super().__init__()
        self._question = question
        self._answers = answers

    def compose(self) -> ComposeResult:
        """The question above the answers."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield OptionList(*(Option(Content(text)) for text in self._answers.values()), markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click answers with one."""
        self.dismiss(list(self._answers)[event.option_index])

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)
