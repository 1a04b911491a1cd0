"""A Ruby editor: highlighted, for text of any kind and a size that people write.

Longer text, or text with very long lines, cannot be edited: Textual would lay out and highlight all of it at each key. A message
carries such a paste whole; this editor then shows an excerpt, read-only. Knows no methods or models.
"""

import re
from typing import ClassVar

import tree_sitter_ruby
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Paste
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme
from tree_sitter import Language

MOST_CHARACTERS = 60_000
"""A key press in a text of this length takes 0.15 s on one busy core, most of it the highlighting."""
LONGEST_LINE = 2_000
_SURROGATE = re.compile("[\ud800-\udfff]")

DARK = {"red": "#ff8787", "green": "#87d787", "yellow": "#ffd787", "blue": "#87afff", "violet": "#d7afff", "grey": "#949494"}
LIGHT = {"red": "#af0000", "green": "#005f00", "yellow": "#875f00", "blue": "#0000af", "violet": "#870087", "grey": "#6c6c6c"}
"""Colours of the 256-colour palette, so that they look the same there."""


def syntax_theme(name: str, colours: dict[str, str]) -> TextAreaTheme:
    """A theme that styles what tree-sitter-ruby's query captures; all else is left to the app's theme."""
    keyword, text, literal = Style(color=colours["violet"]), Style(color=colours["green"]), Style(color=colours["yellow"])
    method, field, quiet = Style(color=colours["blue"]), Style(color=colours["red"]), Style(color=colours["grey"])
    styles = {
        "keyword": keyword + Style(bold=True),
        "function.method": method,
        "function.method.builtin": method,
        "variable": Style.null(),  # the query calls every identifier a method and then, again, a variable
        "variable.builtin": keyword,
        "variable.parameter": Style(italic=True),
        "property": field,
        "constant": literal,
        "constant.builtin": literal,
        "constructor": literal,
        "number": literal,
        "string": text,
        "string.special.symbol": text,
        "string.special.regex": text,
        "escape": field,
        "punctuation.special": field,
        "comment": quiet + Style(italic=True),
        "operator": Style.null(),
    }
    return TextAreaTheme(name, syntax_styles=styles)


def editable(text: str) -> bool:
    """Whether a text is of a size that can be edited."""
    return len(text) <= MOST_CHARACTERS and all(len(line) <= LONGEST_LINE for line in text.split("\n"))


class RubyEditor(TextArea):
    """The editor."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave the editor", id="editor.leave")]

    class Pasted(Message):
        """A text too large to be edited was pasted; the editor has not taken it."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The editor was left with Esc."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(soft_wrap=False, show_line_numbers=True, tab_behavior="focus", id=id)
        self.register_language("ruby", Language(tree_sitter_ruby.language()), tree_sitter_ruby.HIGHLIGHTS_QUERY)
        self.register_theme(syntax_theme("ruby-dark", DARK))
        self.register_theme(syntax_theme("ruby-light", LIGHT))
        self.indent_width = 2
        self.language = "ruby"

    def on_mount(self) -> None:
        """Fits the colours to the app's theme, now and after each change."""
        self.watch(self.app, "theme", self._fit_theme)

    def _fit_theme(self) -> None:
        self.theme = "ruby-dark" if self.app.current_theme.dark else "ruby-light"

    def show(self, text: str, first_line: int = 1, excerpt: bool = False) -> None:
        """Puts another text in.

        Args:
            text: Anything `editable`.
            first_line: Number of its first line.
            excerpt: Whether it is only shown.
        """
        self.read_only = excerpt
        self.line_number_start = first_line
        self.load_text(_SURROGATE.sub("\ufffd", text))

    def get_line(self, line_index: int) -> Text:
        """One line as it is drawn: a character that would act on the terminal becomes a sign of the same length."""
        line = self.document.get_line(line_index)
        return Text(line if line.isprintable() else "".join(map(_drawn, line)), end="", no_wrap=True)

    def on_paste(self, event: Paste) -> None:
        """Passes on a paste that is too large to be edited."""
        if self.read_only or not editable(event.text) or len(event.text) + len(self.text) > MOST_CHARACTERS:
            event.stop()
            event.prevent_default()
            self.post_message(self.Pasted(event.text))
        else:
            event.text = _SURROGATE.sub("\ufffd", event.text)

    def action_leave(self) -> None:
        """Leaves the editor; what is in it stays."""
        self.post_message(self.Left())


def _drawn(letter: str) -> str:
    if letter.isprintable() or letter == "\t":
        return letter
    code = ord(letter)
    return chr(0x2400 + code) if code < 0x20 else " " if letter.isspace() else "\u2421" if code == 0x7F else "\ufffd"
