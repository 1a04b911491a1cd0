"""Copying: to the terminal's clipboard, which may refuse, and always to a file, which the toast names.

OSC 52 is the only clipboard that reaches through SSH; a terminal takes it or ignores it, and never says which. Does not know
what it copies.
"""

import re
from pathlib import Path

import platformdirs
from textual.app import App

from core.atomic import complete_or_absent

from ..views.plain import plain
from ..views.shorten import path_end

APP = "codeprune-tui"
OSC52_BYTES = 74_994
"""The longest text that common terminals take: xterm's and hterm's limit of 100,000 bytes, less the frame and base64's third."""


def copied_folder() -> Path:
    """Folder of copied texts: the platform's folder for an app's state."""
    return platformdirs.user_state_path(APP) / "copied"


def copy(app: App[object], text: str, name: str) -> Path:
    """Copies a text to the terminal's clipboard and to a file; a toast names the file.

    Args:
        app: The running app.
        text: Anything; what is no valid text (half surrogate pairs) becomes "?".
        name: Name of the file, such as "comments.txt"; the next copy of that name replaces it.

    Returns:
        The file. Where the disk refused it, the toast says so, and nothing new is there.
    """
    content = text.encode("utf-8", "replace")
    path = copied_folder() / (re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:100] or "copied.txt")
    fits = len(content) <= OSC52_BYTES
    if fits:
        app.copy_to_clipboard(content.decode())
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with complete_or_absent(path, private=True) as draft:
            draft.touch(mode=0o600)  # what is copied may be private code
            draft.write_bytes(content if content.endswith(b"\n") else content + b"\n")
    except OSError as error:
        where = "Copied to the terminal's clipboard, if it takes OSC 52." if fits else "Too long for a terminal's clipboard."
        app.notify(plain(f"{where} It could not be written to {path}: {error.strerror}.", 300), severity="warning", markup=False)
        return path
    clipboard = (
        "Copied to the terminal's clipboard, if it takes OSC 52, and to" if fits else "Too long for a clipboard; copied to"
    )
    app.notify(f"{clipboard} {path_end(plain(str(path)), 200)}", markup=False)
    return path
