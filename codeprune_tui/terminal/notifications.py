"""Desktop notifications through the terminal, by escape sequences that travel over SSH.

OSC 9 is iTerm2's, and understood by kitty, WezTerm and Ghostty; OSC 777 is rxvt-unicode's, and understood by foot, WezTerm and
Ghostty. No terminal says whether it took one. Knows neither Textual nor runs.
"""

from typing import Literal

from ..views.plain import plain

MOST = 200
"""Characters of a text; some terminals drop long sequences whole."""


def notification(kind: Literal["osc9", "osc777"], title: str, text: str, tmux: bool) -> str:
    """The sequence that shows a notification.

    Args:
        kind: One of the two sequences.
        title: The sender's name.
        text: Anything; control characters, line ends too, are made visible stand-ins, so that none can end the sequence early.
        tmux: Whether tmux stands in between: it hands on only what is wrapped, and that with `allow-passthrough on`.
    """
    title, text = plain(title, 50).replace(";", ","), plain(text.replace("\n", " "), MOST)
    # A text that began with a number and ";" would be a command of ConEmu's and Windows Terminal's: the title comes first.
    body = f"9;{title}: {text}" if kind == "osc9" else f"777;notify;{title};{text.replace(';', ',')}"
    sequence = f"\x1b]{body}\x07"
    return f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\" if tmux else sequence
