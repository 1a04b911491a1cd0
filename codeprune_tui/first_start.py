"""Whether this is the first start: an empty file in the platform's folder for an app's state remembers it.

If the file cannot be written, no start is the first: tips that come back every time would be worse than none.
"""

from pathlib import Path

import platformdirs

APP = "codeprune-tui"


def marker() -> Path:
    """The file that is there after the first start."""
    return platformdirs.user_state_path(APP) / "tips-shown"


def claim(path: Path) -> bool:
    """Whether this is the first start; every later call says no.

    Args:
        path: The marker. Whatever lies there, even a folder or a dead link, means that the app has started before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.open("x").close()
    except OSError:
        return False
    return True
