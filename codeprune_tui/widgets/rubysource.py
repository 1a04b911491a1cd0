"""The Ruby of the playground: the list of its methods beside the editor, and which of the methods is shown.

The widget holds the text; it does not read it, and knows no comments. A text too large to be edited is shown one method at a
time.
"""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, TextArea
from textual.widgets.option_list import Option

from core.run.exchange import ListedMethod

from ..playground.text import listed, short
from ..views.text import count
from .editor import LONGEST_LINE, RubyEditor, editable

WIDE = 120
"""Columns of the terminal from which on the list of methods is wide."""


class RubySource(Horizontal):
    """Methods and editor."""

    DEFAULT_CSS = """
    RubySource {
        height: 1fr;
        #methods {
            width: 26;
            height: 100%;
            border: none;
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            background: $background;
            scrollbar-size: 1 1;
            padding: 0;
            &:focus { border-top: solid $primary; border-title-color: $text-primary; }
        }
        RubyEditor {
            width: 1fr;
            height: 100%;
            border: none;
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            background: $background;
            scrollbar-size: 0 1;
            padding: 0;
            margin: 0 0 0 1;
            &:focus { border: none; border-top: solid $primary; border-title-color: $text-primary; }
        }
    }
    """

    class Typed(Message):
        """The user has changed the text."""

    class Turned(Message):
        """Another method is shown, or the same of another text."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text = ""
        self.excerpt = False
        """Whether the text is too large for the editor, which then shows one method at a time."""
        self.methods: list[ListedMethod] = []
        self.at = 0
        """Place of the method that is shown."""
        self._wide = False
        self.method_to_show = ""
        """Qualified name of the method to show once the text has been read."""

    def compose(self) -> ComposeResult:
        """List beside editor."""
        yield OptionList(id="methods")
        yield RubyEditor(id="editor")

    def on_mount(self) -> None:
        """Gives the list its title."""
        self.listing.border_title = "methods"

    @property
    def listing(self) -> OptionList:
        """The list of methods."""
        return self.query_one("#methods", OptionList)

    @property
    def editor(self) -> RubyEditor:
        """The editor."""
        return self.query_one(RubyEditor)

    @property
    def whole(self) -> bool:
        """Whether the widgets exist: when the app ends, they are removed before their screen."""
        return self.is_mounted and bool(self.query(OptionList)) and bool(self.query(RubyEditor))

    @property
    def method(self) -> ListedMethod | None:
        """The method that is shown."""
        return self.methods[self.at] if self.at < len(self.methods) else None

    # The text

    def take(self, text: str, at: int = 0) -> None:
        """Puts another text in place of the old one.

        Args:
            text: Any text.
            at: Place of the method to show once it has been read.
        """
        self.text, self.excerpt, self.at = text, not editable(text), at
        if self.excerpt:
            lines = [line[:LONGEST_LINE] for line in text[:LONGEST_LINE].split("\n")]
            self.editor.show("\n".join(lines), excerpt=True)
        else:
            with self.prevent(TextArea.Changed):
                self.editor.show(text)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Keeps the edited text."""
        event.stop()
        if not self.excerpt and self.editor.text != self.text:
            self.text = self.editor.text
            self.post_message(self.Typed())

    def on_ruby_editor_left(self, event: RubyEditor.Left) -> None:
        """Esc leads from the editor to the list."""
        event.stop()
        self.listing.focus()

    # Methods

    def show_methods(self, methods: Sequence[ListedMethod]) -> None:
        """Lists the methods of the text."""
        self.methods = list(methods)
        same = [index for index, method in enumerate(self.methods) if method.qualified == self.method_to_show]
        self.at, self.method_to_show = same[0] if same else min(self.at, max(0, len(self.methods) - 1)), ""
        if self.editor.has_focus:
            self.at = self._under_cursor()
        self._list()
        self._go_to_method()

    def _list(self) -> None:
        listing, self._wide = self.listing, self.app.size.width >= WIDE
        with self.prevent(OptionList.OptionHighlighted):
            listing.clear_options()
            listing.add_options(Option(listed(method, self._wide)) for method in self.methods)
            listing.highlighted = self.at if self.methods else None

    def on_resize(self) -> None:
        """Fits the names to the new width."""
        if self.whole and self._wide != (self.app.size.width >= WIDE):
            self._list()

    def step(self, by: int) -> None:
        """Goes to the next method, or the one before."""
        if self.methods:
            self.listing.highlighted = (self.at + by) % len(self.methods)

    def _under_cursor(self) -> int:
        line = self.editor.cursor_location[0] + 1
        before = [index for index, method in enumerate(self.methods) if method.line <= line]
        return before[-1] if before else 0

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """Follows the cursor from method to method."""
        event.stop()
        if self.editor.has_focus and not self.excerpt and self.methods and (index := self._under_cursor()) != self.at:
            self.at = index
            with self.prevent(OptionList.OptionHighlighted):
                self.listing.highlighted = index
            self.post_message(self.Turned())

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Turns to another method."""
        event.stop()
        if event.option_list is self.listing and event.option_index != self.at:
            self.at = event.option_index
            self._go_to_method()

    def _go_to_method(self) -> None:
        method, editor = self.method, self.editor
        if method is not None and self.excerpt:
            editor.show("\n".join(line[:LONGEST_LINE] for line in method.code.split("\n")), method.line, excerpt=True)
        elif method is not None and not editor.has_focus:
            editor.move_cursor((method.line - 1, 0))
            self.call_after_refresh(self._show_line, method.line)
        self.post_message(self.Turned())

    def _show_line(self, line: int) -> None:
        if self.whole:
            self.editor.scroll_to(x=0, y=max(0, line - 3), animate=False)

    def show_titles(self, remark: str) -> None:
        """Says which method is shown.

        Args:
            remark: The remark in the editor's title, beside the method.
        """
        method = self.method
        self.listing.border_title = f"method {count(self.at + 1)} of {count(len(self.methods))}" if method else "methods"
        where = f"line {method.line} · " if method else ""
        name = short(method.qualified, 40) if method else "Ruby"
        self.editor.border_title = Content(f"{name} · {where}{remark}")
