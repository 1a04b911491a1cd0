"""All keys, read from the binding tables, so that every binding is explained."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.keys import format_key

from ..frame import APP_KEYS, Frame
from ..modes import MODES
from ..widgets.keytable import KeyTable, Line
from .dialog import Dialog
from .log import LogScreen

INTRODUCTION = (
    "A run lives in its own process and folder: closing this app, or losing the connection, stops nothing. "
    "Open the app again and it is all there.",
    "Smoothed BLEU is lenient, so every score is shown with its floors: what a constant sentence, and the method's own "
    "name split into words, score on the same rows. A model that doesn't beat the name has learnt little.",
    "Layers: change is |w − w′| / |w′| of the kept weights since the round before; overlap is the share of weights kept in both "
    "rounds among those kept in either (Jaccard); a row, column or head is dead when nothing of it is kept.",
    "Matrices: qry, key and val make attention's queries, keys and values, out is its output; f·i leads into the feed-forward "
    "part and f·o out of it; slf and crs are the outputs of the decoder's attention to itself and to the source. Heatmap and "
    "block map show the pruned share in the same tones.",
    "Compare: an interval, or what stands in brackets behind a difference, holds 95 % of 1,000 bootstrap draws of the scored "
    "rows. Δ dense is the score minus that of the run's own dense model, Δ floor minus the higher floor of its own rows.",
    "Compare: size is that of the model in float32, its prunable matrices as a bitmask and the kept values.",
)
KEY_NAMES = {
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "slash": "/",
    "delete": "Del",
    "ctrl+s": "^s",
    "ctrl+q": "^q",
    "ctrl+p": "^p",
    "ctrl+n": "^n",
    "ctrl+f": "^f",
    "ctrl+o": "^o",
    "ctrl+y": "^y",
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "shift+left": "⇧←",
    "shift+right": "⇧→",
}
ARROWS = Binding("↑↓←→", "", "", tooltip="Choose a matrix; its figures stand below")


def shown_keys(keys: str) -> str:
    """Keys, as Textual names them with commas between, in the letters of a keyboard."""
    return " ".join(KEY_NAMES.get(key) or format_key(key) for key in keys.split(","))


def sections(keymap: Mapping[str, str]) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    """(title, (keys, explanation) pairs) for every binding table.

    Args:
        keymap: Id of a binding -> the keys that the user gave it.
    """
    tables: list[tuple[str, list[BindingType]]] = [
        ("Everywhere", [*APP_KEYS, Binding("ctrl+p", "", "", tooltip="Command palette: every action by name")])
    ]
    for mode in MODES.values():
        heading = f"{mode.key} {mode.title}"
        tables.append((heading, [*([ARROWS] if mode.name == "layers" else []), *mode.load().BINDINGS]))
        if mode.name == "live":
            tables.append((f"{heading}, whole log (L)", LogScreen.BINDINGS))
    for title, bindings in tables:
        rows = [
            (shown_keys(keymap.get(binding.id or "", binding.key)), binding.tooltip)
            for binding in bindings
            if isinstance(binding, Binding) and binding.tooltip
        ]
        yield title, rows


class HelpScreen(Dialog[None]):
    """The keys, in front of the screen that was there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close", id="help.close"),
        Binding("t", "app.terminal", "Terminal", id="help.terminal"),
        Binding("i", "app.tips", "Tips", id="help.tips"),
    ]

    def __init__(self, mode: str = "") -> None:
        super().__init__()
        self._first = f"{MODES[mode].key} {MODES[mode].title}" if mode in MODES else ""

    def compose(self) -> ComposeResult:
        """The text that scrolls: the keys of the mode that was in front, then all others."""
        keymap = cast("Frame", self.app).keymap
        tables = list(sections(keymap))
        close, terminal, tips = (
            shown_keys(keymap.get(name, key))
            for name, key in (("help.close", "escape"), ("help.terminal", "t"), ("help.tips", "i"))
        )
        lines = [Line(f"{close} closes this · {terminal} checks the terminal · {tips} shows the first tips", "muted"), Line("")]
        for title, rows in sorted(tables, key=lambda section: not (self._first and section[0].startswith(self._first))):
            lines += [Line(title, "title"), *(Line(explanation, keys=keys) for keys, explanation in rows), Line("")]
        for paragraph in INTRODUCTION:
            lines += [Line(paragraph), Line("")]
        with VerticalScroll(classes="dialog help"):
            yield KeyTable([*lines, Line(f"{close} closes this.", "muted")])
