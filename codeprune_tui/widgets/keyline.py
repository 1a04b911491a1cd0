"""The keys at the bottom.

Textual's own line builds all its parts anew whenever a screen comes to the front or the focus moves, which takes a good share of
the time until a key is answered; this one does so only when there are other keys to show.
"""

from textual.screen import Screen
from textual.widgets import Footer


class KeyLine(Footer):
    """The keys that work here, without the command palette's."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._built: list[tuple[object, ...]] | None = None

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Builds the line anew if what it shows has changed."""
        wanted: list[tuple[object, ...]] = [
            (binding.key, self.app.get_key_display(binding), binding.description, binding.action, enabled, tooltip)
            for _, binding, enabled, tooltip in screen.active_bindings.values()
            if binding.show
        ]
        if screen.app.app_focus and self.is_attached and screen is self.screen:
            if wanted == self._built:
                return
            self._built = wanted
        super().bindings_changed(screen)
