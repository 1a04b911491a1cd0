"""The rows of the New run form, and the folds that keep the less common ones out of view. Knows keys, not what they mean."""

from collections.abc import Iterable

from textual.widgets import Collapsible

from core.recipe import field_help

from ..views.form import fields
from ..widgets.field import FieldRow


class Fold(Collapsible):
    """Keys that are seldom changed, out of view until the user opens the fold.

    Args:
        title: The title while the fold is closed.
        keys: Dotted names.
    """

    def __init__(self, title: str, keys: list[str]) -> None:
        super().__init__(title=title, collapsed=True)
        self._keys = keys
        self.keys = tuple(keys)

    def scroll_visible(self, *given: object, **options: object) -> None:
        """Scrolls to a fold that is opened alone; when all open at once, the view stays with the focus."""
        if self.has_focus_within:
            super().scroll_visible(*given, **options)  # type: ignore[arg-type]  # passed on as they came

    def take_keys(self) -> list[str]:
        """Returns the keys the first time, nothing after that."""
        keys, self._keys = self._keys, []
        return keys


def rows_of(keys: Iterable[str]) -> list[FieldRow]:
    """A row for each key.

    Args:
        keys: Dotted names.
    """
    known, texts = fields(), field_help()
    return [FieldRow(key, known[key], texts[key]) for key in keys]
