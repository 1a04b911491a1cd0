"""The dialog that asks which runs to compare. Knows the list of runs, not what is done with the answer."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.run.folder import RunInfo

from ..views.comparison import MOST
from ..views.plain import plain
from ..views.text import held_against
from .dialog import Dialog


class MarkRuns(Dialog[list[str] | None]):
    """Asks for one to `MOST` runs; answers None if the user gives up.

    Args:
        infos: All runs.
        marked: Names of the runs that are marked now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Cancel", id="marks.cancel"),
        Binding("space", "turn", "Mark", id="marks.mark"),
        Binding("enter", "take", "Compare", priority=True, id="marks.compare"),
    ]
    DEFAULT_CSS = """
    MarkRuns OptionList { height: auto; max-height: 12; border: none; padding: 0; margin: 1 0; background: $surface; }
    """

    def __init__(self, infos: list[RunInfo], marked: list[str]) -> None:
        super().__init__()
        self._infos = infos
        self._marked = [name for name in marked if name in {info.paths.name for info in infos}]

    def compose(self) -> ComposeResult:
        """The question, the runs, a complaint."""
        with Vertical(classes="dialog"):
            yield Static(
                f"Which runs should be compared? Space marks, Enter compares, Esc leaves it; {MOST} at most.", markup=False
            )
            yield OptionList(*(Option(_prompt(info, info.paths.name in self._marked)) for info in self._infos), markup=False)
            yield Static("", markup=False, classes="problem")

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)

    def action_turn(self) -> None:
        """Marks the highlighted run, or removes its mark; earlier marks keep their order, and so their markers."""
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            info = self._infos[options.highlighted]
            if info.paths.name in self._marked:
                self._marked.remove(info.paths.name)
            else:
                self._marked.append(info.paths.name)
            options.replace_option_prompt_at_index(options.highlighted, _prompt(info, info.paths.name in self._marked))

    def on_option_list_option_selected(self) -> None:
        """A click marks; Enter never comes here."""
        self.action_turn()

    def action_take(self) -> None:
        """Answers with the marked runs."""
        if 0 < len(self._marked) <= MOST:
            self.dismiss(self._marked)
        else:
            problem = f"Mark at least one run and at most {MOST}; {len(self._marked)} are marked."
            self.query_one(".problem", Static).update(problem)


def _prompt(info: RunInfo, marked: bool) -> Content:
    rounds = f"round {info.round}/{info.rounds}" if info.round >= 0 else "no round on disk"
    about = f"  {plain(info.kind, 20)}, {rounds}, BLEU {held_against(info.bleu, info.floors)}"
    return Content.assemble("[×] " if marked else "[ ] ", (plain(info.paths.name, 40), "bold"), (about, "$text-muted"))
