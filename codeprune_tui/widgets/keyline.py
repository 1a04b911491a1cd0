"""The keys at the bottom.

Textual's own line builds all its parts anew whenever a screen comes to the front or the focus moves, which takes a good share of
the time until a key is answered; this one does so only when there are other keys to show. If there are more keys than room,
whole ones are left out, and never Help, which shows all others.
"""

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey


class KeyLine(Footer):
    """The keys that work here, without the command palette's."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._built: list[tuple[object, ...]] | None = None

    def compose(self) -> ComposeResult:
        """As many keys as fit, Help among them."""
        yield from fitting(list(super().compose()), self.app.size.width)

    def on_resize(self) -> None:
        """Shows as many as fit now."""
        self.bindings_changed(self.screen)

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Builds the line anew if what it shows has changed."""
        shown: list[tuple[object, ...]] = [
            (binding.key, self.app.get_key_display(binding), binding.description, binding.action, enabled, tooltip)
            for _, binding, enabled, tooltip in screen.active_bindings.values()
            if binding.show
        ]
        shown.append((self.app.size.width,))
        if screen.app.app_focus and self.is_attached and screen is self.screen:
            if shown == self._built:
                return
            self._built = shown
        super().bindings_changed(screen)


def fitting(keys: list[Widget], width: int) -> list[Widget]:
    """The parts of the line that fit.

    Args:
        keys: All parts, the most important first, but for Help, which stands last and always stays.
        width: Columns of the line.
    """
    left = width - sum(_columns(key) for key in keys if _is_help(key))
    shown = []
    for key in keys:
        if _is_help(key):
            shown.append(key)
        elif _columns(key) <= left:
            left -= _columns(key)
            shown.append(key)
    return shown


def _is_help(key: Widget) -> bool:
    return isinstance(key, FooterKey) and key.action == "help"


def _columns(key: Widget) -> int:
    # A blank on each side of the key, one behind what it does.
    return cell_len(key.key_display) + cell_len(key.description) + 3 if isinstance(key, FooterKey) else 0
