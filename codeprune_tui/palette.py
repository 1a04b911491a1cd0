"""Every action by name, for the command palette, also those of modes that are not in front.

Reads the binding tables, and therefore imports all screens: only a user who opens the palette pays.
"""

from collections.abc import Iterator

from textual.binding import Binding

from .modes import MODES

ORDER = sorted(MODES, key=lambda name: name != "live")
"""Live first: an action of both Runs and Live goes to the run of the status line, not to one under a cursor out of sight."""


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
