"""Gives a widget a text or a title only where it is another one: Textual paints, and lays out, what is given the same again."""

from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from ..views.plain import plain


def tell(line: Static, text: str | Content) -> None:
    """Shows a text.

    Args:
        line: Where; a widget that takes no markup.
        text: What.
    """
    new, old = (part if isinstance(part, Content) else Content(str(part)) for part in (text, line.content))
    if not new.is_same(old):  # not ==, which knows no styles
        line.update(text)


def tell_verdict(screen: Screen[None], sentence: str) -> None:
    """Shows what is to be known of the encoder before anything else, or takes its line away.

    Args:
        screen: With a line of the class `encoder-verdict`.
        sentence: What; "" where there is nothing to say.
    """
    tell_line(screen.query_one(".encoder-verdict", Static), sentence)


def tell_line(line: Static, sentence: str) -> None:
    """Shows a sentence, or takes its line away.

    Args:
        line: A widget whose class "said" makes it visible.
        sentence: What; "" where there is nothing to say.
    """
    tell(line, plain(sentence, 400))
    line.set_class(bool(sentence), "said")


def retitle(widget: Widget, title: str | Content) -> None:
    """Gives a widget the title of its border.

    Args:
        widget: Whose.
        title: Its title; none of what stands in a `str` is markup.
    """
    text = title if isinstance(title, Content) else Content(title)
    if widget.border_title != text.markup:
        widget.border_title = text
