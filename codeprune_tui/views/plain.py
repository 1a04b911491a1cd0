"""Text from outside, made harmless before it is shown: no character of it may act on the terminal.

Run names, file names, comments of models, errors and log lines may hold escapes, bidi controls, NULs or half surrogate pairs.
Knows neither Textual nor rich; whoever shows the result keeps it out of their markup.
"""

LIMIT = 1000
"""Most characters of one shown line."""


def plain(text: str, limit: int = LIMIT) -> str:
    """Makes one line of printable characters.

    Args:
        text: Anything.
        limit: Most characters of it to keep; "…" marks a cut.

    Returns:
        The text; line ends and tabs are blanks, every other unprintable character is a visible stand-in such as `<1B>`.
    """
    shown = "".join(_visible(letter) for letter in text[:limit])
    return f"{shown}…" if len(text) > limit else shown


def plain_lines(text: str, limit: int = LIMIT, most: int = 50) -> str:
    """Makes several lines harmless, one by one.

    Args:
        text: Anything.
        limit: Most characters a line.
        most: Most lines; the last ones are kept.

    Returns:
        The lines, joined by line feeds.
    """
    return "\n".join(plain(line, limit) for line in text.split("\n")[-most:])


def harmless(text: str) -> str:
    """A text of several lines for a terminal: unchanged, except that only letters, line ends and tabs are left in it."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter in "\n\t" else _visible(letter) for letter in text)


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() and letter not in "\x1c\x1d\x1e\x1f\x85" else f"<{ord(letter):02X}>"
