"""Text from outside, made harmless: what cannot be printed becomes visible, what is endless is cut.

Run names, comments of models, errors and log lines may hold escapes, bidi controls, NULs or lone surrogates. None of them may
act on the terminal, so all of them pass through `plain` before they are shown. Knows nothing of Textual; markup is kept out
by showing the result only as `Text`, `Content` or with `markup=False`.
"""

LIMIT = 1000
"""Characters of one shown text; nobody reads 10 MB on one line, but a terminal would have to draw it."""


def plain(text: str, limit: int = LIMIT) -> str:
    """One line of printable characters, safe to write to a terminal.

    Args:
        text: Anything, from anywhere.
        limit: Most characters of it that are looked at; the rest becomes "…".

    Returns:
        The text with tabs and line ends as blanks, and every other unprintable character (controls, escapes, bidi and
        zero-width formats, surrogates) as a visible stand-in.
    """
    cut = len(text) > limit
    if cut:
        text = text[:limit]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _visible(letter) for letter in text)
    return f"{text}…" if cut else text


def plain_lines(text: str, limit: int = LIMIT, most: int = 50) -> str:
    """Several lines made harmless one by one, as for an error with a log's tail.

    Args:
        text: Anything, from anywhere.
        limit: Most characters a line.
        most: Most lines; the last ones are kept.

    Returns:
        The lines, joined by line feeds.
    """
    return "\n".join(plain(line, limit) for line in text[-most * limit :].split("\n")[-most:])


def _visible(letter: str) -> str:
    code = ord(letter)
    if letter in "\t\n\r" or (letter.isspace() and code > 0x9F):
        return " "
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures: ␀ to ␟
    if code == 0x7F:
        return "␡"
    return f"<{code:04X}>"
