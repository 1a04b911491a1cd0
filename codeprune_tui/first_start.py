"""Whether this is the first start: remembered by an empty file in the platform's place for an app's state.

Where nothing can be remembered, no start is the first: tips that come back every time would be worse than none.
"""

from pathlib import Path

import platformdirs

APP = "codeprune-tui"


def marker() -> Path:
    """The file that is there after the first start."""
    return platformdirs.user_state_path(APP) / "tips-shown"


def claim(path: Path) -> bool:
    """Whether nobody was here before; from now on somebody was.

    Args:
        path: The marker. Whatever lies there, a folder or a dead link, counts as somebody.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.open("x").close()
    except OSError:
        return False
    return True
