"""The modes of the app, in one table: from it follow the keys, the line at the top, help, palette and the screens themselves.

A mode's screen is named, not imported: its module is loaded when the mode is first shown, and this table stays below all screens.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from textual.screen import Screen


@dataclass(frozen=True)
class Mode:
    """One mode of the app."""

    name: str
    """The mode's name in code, keymap and settings."""
    key: str
    """The key that leads there."""
    title: str
    """The mode's name on the screen."""
    screen: str
    """Module below `screens`, a colon, and the class of its screen."""
    lists_runs: bool = False
    """Whether the mode shows the list of runs, which is read more often while such a mode is in front."""

    def load(self) -> "type[Screen[None]]":
        """Imports and returns the class of the mode's screen."""
        module, name = self.screen.split(":")
        return cast("type[Screen[None]]", getattr(import_module(f".screens.{module}", __package__), name))

    def open(self) -> "Screen[object]":
        """A new screen of the mode."""
        return cast("Screen[object]", self.load()())


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode("runs", "1", "Runs", "runs:RunsScreen", lists_runs=True),
        Mode("live", "2", "Live", "live:LiveScreen"),
        Mode("layers", "3", "Layers", "layers:LayersScreen"),
        Mode("compare", "4", "Compare", "compare:CompareScreen", lists_runs=True),
        Mode("playground", "5", "Playground", "playground:PlaygroundScreen"),
        Mode("new", "6", "New run", "new_run:NewRunScreen"),
    )
}
"""Name -> mode, in the order of their keys."""
