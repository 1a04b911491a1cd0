"""Every action by name, for the command palette: those of the modes that are not in front, too.

Read off the binding tables, and therefore imports all screens: only who opens the palette pays for it.
"""

from collections.abc import Iterator

from textual.binding import Binding

from .modes import MODES

ORDER = sorted(MODES, key=lambda name: name != "live")
"""Live first: what Runs and Live share goes to the run of the status line, and not to the one under a cursor out of sight."""


def elsewhere(seen: set[str]) -> Iterator[tuple[str, str, Binding]]:
    """(mode, "Mode: Action", binding) of all actions that are not in front.

    Args:
        seen: Ids of the bindings that are in front; they are left out.
    """
    seen = set(seen)
    for mode in ORDER:
        title = MODES[mode].title
        for binding in MODES[mode].load().BINDINGS:
            if isinstance(binding, Binding) and binding.tooltip and binding.id not in seen:
                seen.add(binding.id or "")
                yield mode, f"{title}: {binding.description}", binding
