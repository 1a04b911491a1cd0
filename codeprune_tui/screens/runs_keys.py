"""The keys of the list of runs; `screens.runs` has their actions."""

from dataclasses import replace

from textual.binding import Binding, BindingType

from ..views.run_filter import EXAMPLES
from .mode import RUN_KEYS

LIST_KEYS: list[BindingType] = [
    Binding("enter", "open", "Open", priority=False, tooltip="Show the chosen run live; fold or unfold a sweep", id="runs.open"),
    Binding("slash", "filter", "Filter", key_display="/", tooltip=f"Filter the runs, for example: {EXAMPLES}", id="runs.filter"),
    Binding(
        "space",
        "mark",
        "Mark",
        tooltip="Mark the chosen run, and commands go to all marked runs; fold or unfold a sweep",
        id="runs.mark",
    ),
    Binding("a", "mark_all", "Mark all", show=False, tooltip="Mark all runs that are shown, or none of them", id="runs.mark-all"),
    Binding("o", "sort", "Sort", tooltip="Sort by the next column; a click on its title does it, too", id="runs.sort"),
    Binding("O", "reverse", "Reverse", show=False, tooltip="Reverse the order", id="runs.reverse"),
    *(replace(key, show=key.key == "p") for key in RUN_KEYS if isinstance(key, Binding)),
    Binding("v", "compare", "Compare", tooltip="Compare the marked runs, or the chosen one", id="runs.compare"),
    Binding("R", "rename", "Rename", show=False, tooltip="Rename the chosen run", id="runs.rename"),
    Binding(
        "D,delete",
        "delete",
        "Delete",
        show=False,
        tooltip="Delete the marked runs, or the chosen one; asks first",
        id="runs.delete",
    ),
    Binding("c", "copy", "Copy", show=False, tooltip="New run from the chosen run's recipe", id="runs.copy"),
    Binding("t", "ship", "Recipes", show=False, tooltip="New run from a recipe that came with the package", id="runs.recipes"),
    Binding("escape", "back", "Back", show=False, tooltip="Clear the filter, then the marks", id="runs.back"),
    Binding("d", "demo", "Demo", tooltip="Prune the bundled model on the bundled corpus, and show it live", id="runs.demo"),
]
