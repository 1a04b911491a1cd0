"""The streams to a terminal, which no character of any text may control. Output to a file or a pipe stays as it is.

Texts that others make, such as usage errors that repeat an argument, tracebacks and warnings of libraries, cannot be made
harmless where they arise. A caller that draws with its own escapes (a progress bar, colours) takes `trusted` and makes its texts
harmless by itself. Follows the text streams of `io`; knows no subcommand.
"""

import codecs
import io
import sys
from collections.abc import Iterable
from typing import TextIO, cast

from ..views.plain import harmless

AS_IT_WAS = "codeprune-as-it-was"
"""Name of the error handler below, by which Python finds it."""


class HarmlessStream:
    """A terminal's stream whose texts are made harmless.

    Args:
        stream: The stream itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self.trusted = stream

    def write(self, text: str) -> int:
        """Writes a text, and returns the length of the text as it was given."""
        self.trusted.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes some texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        """All else is the stream's, but for its bytes, which would go past this."""
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.trusted, name)


def guard_terminals() -> None:
    """Puts this before stdout and stderr where they are terminals; letters that one lacks are no reason to fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=AS_IT_WAS)
            if stream.isatty():
                setattr(sys, name, HarmlessStream(stream))


def _as_it_was(error: UnicodeError) -> tuple[str | bytes, int]:
    """The bytes that a file's name is made of, which were no text; what cannot be encoded, such as a "–", is spelled."""
    if isinstance(error, UnicodeEncodeError) and "\udc80" <= error.object[error.start] <= "\udcff":
        return bytes([ord(error.object[error.start]) - 0xDC00]), error.start + 1
    return codecs.backslashreplace_errors(error)


codecs.register_error(AS_IT_WAS, _as_it_was)


def trusted(stream: TextIO) -> TextIO:
    """The stream behind, for whoever draws with escapes of its own."""
    return cast("TextIO", getattr(stream, "trusted", stream))
