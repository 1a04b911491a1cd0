"""Gives a widget a text or a title only if it has changed: Textual would paint and lay out the same text again."""

from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from ..views.plain import plain


def tell(line: Static, text: str | Content) -> None:
    """Shows a text.

    Args:
        line: The widget; it takes no markup.
        text: Its text.
    """
    new, old = (part if isinstance(part, Content) else Content(str(part)) for part in (text, line.content))
    if not new.is_same(old):  # not ==, which knows no styles
        line.update(text)


def tell_verdict(screen: Screen[None], sentence: str) -> None:
    """Shows the verdict on the encoder, which comes before everything else, or hides its line.

    Args:
        screen: A screen with a line of the class `encoder-verdict`.
        sentence: The verdict; "" if there is none.
    """
    tell_line(screen.query_one(".encoder-verdict", Static), sentence)


def tell_line(line: Static, sentence: str) -> None:
    """Shows a sentence, or hides its line.

    Args:
        line: A widget whose class "said" makes it visible.
        sentence: The sentence; "" if there is nothing to say.
    """
    tell(line, plain(sentence, 400))
    line.set_class(bool(sentence), "said")


def retitle(widget: Widget, title: str | Content) -> None:
    """Gives a widget the title of its border.

    Args:
        widget: The widget.
        title: Its title; a `str` is text, never markup.
    """
    text = title if isinstance(title, Content) else Content(title)
    if widget.border_title != text.markup:
        widget.border_title = text
