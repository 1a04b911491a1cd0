"""The dialog that asks how a model of the playground should be quantized; a quantizer that cannot run here says why.

Knows the quantizers by name; the caller tells it what this device can run, also while the dialog is open.
"""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.spec.quantizers import METHODS

from ..views.plain import plain
from ..views.quantization_text import does, title
from .dialog import Dialog

ASKING = "Finding out what this machine can do…"
NAME_WIDTH = 18
WIDTH = 76
"""Width of the dialog, in columns."""


class ChooseMethod(Dialog[str | None]):
    """Asks for a quantizer; answers None if the user gives up.

    Args:
        model: The model's name, safe to show.
        chosen: The model's present quantizer.
        problems: Quantizer -> why it cannot be chosen; others can.
        asking: Whether the device is still being checked.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "give_up", "Cancel", id="quantize.cancel")]
    DEFAULT_CSS = """
    ChooseMethod OptionList { height: auto; max-height: 14; border: none; padding: 0; margin: 1 0; background: $surface; }
    ChooseMethod OptionList:focus { border: none; }
    ChooseMethod #does { height: 3; color: $text-muted; }
    """

    def __init__(self, model: str, chosen: str, problems: Mapping[str, str], asking: bool) -> None:
        super().__init__()
        self._model, self._chosen = model, chosen
        self._problems, self._asking = problems, asking

    def compose(self) -> ComposeResult:
        """The question, the quantizers, what the highlighted one does."""
        with Vertical(classes="dialog"):
            yield Static("", markup=False, id="question")
            yield OptionList(markup=False)
            yield Static("", markup=False, id="does")

    def on_mount(self) -> None:
        """Begins at the quantizer that the model has now."""
        self.query_one(".dialog").styles.width = WIDTH  # the reasons need room
        self._show(list(METHODS).index(self._chosen) if self._chosen in METHODS else 0)

    def know(self, problems: Mapping[str, str]) -> None:
        """Shows which quantizers this device can run; the highlight stays."""
        self._problems, self._asking = problems, False
        if self.is_mounted:
            self._show(self.query_one(OptionList).highlighted)

    def _show(self, highlighted: int | None) -> None:
        listing = self.query_one(OptionList)
        listing.clear_options()
        listing.add_options(self._options())
        listing.highlighted = highlighted
        ending = f" {ASKING}" if self._asking else ""
        self.query_one("#question", Static).update(f"How should {self._model} be quantized in memory?{ending}")

    def _options(self) -> list[Option]:
        return [Option(self._prompt(method), disabled=method in self._problems) for method in METHODS]

    def _prompt(self, method: str) -> Content:
        sign, problem = "●" if method == self._chosen else " ", self._problems.get(method)
        name = f"{sign} {title(method).ljust(NAME_WIDTH)}"
        if problem is None:
            return Content.assemble(name, ("as trained" if method == "fp32" else "", "$text-muted"))
        return Content.assemble(name, (f"✗ {plain(problem, 300)}", "$text-warning"))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Says what the highlighted quantizer does."""
        event.stop()
        self.query_one("#does", Static).update(does(list(METHODS)[event.option_index]))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click answers with one."""
        event.stop()
        self.dismiss(list(METHODS)[event.option_index])

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)
