"""Where two comments differ, word by word: pure functions on text."""

from difflib import SequenceMatcher

Part = tuple[str, bool]
"""Some words, and whether they are not in the other comment."""
MOST_WORDS = 2000
"""Of longer texts only the beginning is compared; comments have some dozen words."""


def differing(text: str, other: str) -> list[Part]:
    """Cuts a text into runs of words that the other one has, too, and runs that it hasn't.

    Args:
        text: The text that is shown.
        other: The text that it is compared with.

    Returns:
        The parts in order, alternating; joined with blanks they are the text.
    """
    words, others = text.split()[:MOST_WORDS], other.split()[:MOST_WORDS]
    matcher = SequenceMatcher(None, [word.lower() for word in words], [word.lower() for word in others], autojunk=False)
    parts: list[Part] = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        if end > start:
            parts.append((" ".join(words[start:end]), kind != "equal"))
    return parts
