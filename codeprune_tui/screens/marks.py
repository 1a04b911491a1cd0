"""The dialog that asks which runs to compare. Knows the list of runs, not what is done with the answer."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import SelectionList, Static

from core.runs import RunInfo

from ..comparison import MOST
from ..plain import plain
from ..words import score


class MarkRuns(ModalScreen[list[str] | None]):
    """Asks for one to `MOST` runs; None when it was given up.

    Args:
        infos: All runs.
        marked: Names of those that are marked now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Cancel"),
        Binding("enter", "take", "Compare", priority=True),
    ]
    DEFAULT_CSS = """
    MarkRuns SelectionList { height: auto; max-height: 14; border: none; padding: 0; margin: 1 0; background: $surface; }
    """

    def __init__(self, infos: list[RunInfo], marked: list[str]) -> None:
        super().__init__()
        self._infos = infos
        self._marked = marked

    def compose(self) -> ComposeResult:
        """What to do, the runs, a complaint."""
        with Vertical(classes="dialog"):
            yield Static(f"Compare which runs? Space marks, Enter compares, Esc leaves it; {MOST} at most.", markup=False)
            yield SelectionList[str](*((_prompt(info), info.paths.name, info.paths.name in self._marked) for info in self._infos))
            yield Static("", markup=False, classes="problem")

    def action_give_up(self) -> None:
        """Leaves without an answer."""
        self.dismiss(None)

    def action_take(self) -> None:
        """Compares what is marked; earlier marks keep their order, and so their markers."""
        chosen = self.query_one(SelectionList).selected
        names = [name for name in self._marked if name in chosen] + [name for name in chosen if name not in self._marked]
        if 0 < len(names) <= MOST:
            self.dismiss(names)
        else:
            problem = f"Mark at least one run and at most {MOST}; {len(names)} are marked."
            self.query_one(".problem", Static).update(problem)


def _prompt(info: RunInfo) -> Content:
    rounds = f"round {info.round}/{info.rounds}" if info.round >= 0 else "no complete round"
    about = f"  {plain(info.kind, 20)}, {rounds}, BLEU {score(info.bleu)}"
    return Content.assemble(plain(info.paths.name, 40), (about, "$text-muted"))
