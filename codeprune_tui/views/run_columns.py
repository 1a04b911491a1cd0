"""How a run reads in the list of runs, and what stands below the list in the demo. Data in, text out; knows no widgets."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text
from textual.content import Content

from core.recipe import Recipe
from core.run.folder import RunInfo
from core.spec.schedule import sparsities

from .. import bundle
from ..bundle import BundledModel
from .plain import plain
from .run_filter import dense_difference, highest_floor
from .text import age, difference, held_against, percent, score, tone

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("mark", "", 2),
    ("run", "run", 12),
    ("state", "  state", 14),
    ("round", "round", 6),
    ("sparsity", "sparsity", 9),
    ("bleu", "BLEU", 7),
    ("floor", "floor", 7),
    ("best", "best", 7),
    ("diff", "Δ dense", 8),
    ("age", "age", 10),
)
"""(key, title, width); that of the run is the least, it takes what is left. Figures stand at the right end of their column."""
BEFORE = ("sparsity", "pruned(was)", 12)
"""In place of the sparsity, where a run's model was pruned before the run: "90 (50) %"."""
NOW_S = 10.0
"""Younger than this is "now"."""
DISPENSABLE = "best"
"""The column that narrow screens leave out: the last BLEU and the floor that it is held against come before the best one."""
DEVICE = ("device", "  device", 10)
"""Also on narrow screens, where it fits."""
KIND = ("kind", "  kind", 10)
"""Only on wide screens."""
STYLES = {
    "$text-success": "green",
    "$text-warning": "yellow",
    "$text-error": "bold red",
    "$text-primary": "cyan",
    "$text-muted": "dim",
}

KEY = "bold $footer-key-foreground"


def bundled(models: Sequence[BundledModel], demo: Recipe) -> Content:
    """The models that came with the package, and what to press."""
    parts: list[str | tuple[str, str]] = []
    width = max((len(model.name) for model in models), default=0)
    for model in models:
        sizes = f"  {model.size_bytes / 1e6:4.1f} MB  {model.parameters / 1e6:3.1f} M parameters"
        parts += [(model.name.ljust(width), "bold"), f"{sizes}  {_quality(model)}\n"]
    return Content.assemble(
        *parts,
        ("\nd", KEY),
        f" prunes {Path(demo.model.path).name} on the bundled corpus, {demo.rounds + 1} rounds "
        f"up to {percent(sparsities(demo)[-1])}, shown live.\n",
        ("Enter", KEY),
        f" opens the chosen run; {bundle.EXAMPLE} is such a run, finished.",
    )


def _quality(model: BundledModel) -> str:
    if model.bleu is None and model.held_out_accuracy is not None:
        return f"finds {percent(model.held_out_accuracy)} of hidden tokens"
    return ", ".join(filter(None, [f"BLEU {held_against(model.bleu, model.floors)}", model.scored_on]))


def aged(info: RunInfo, now: float) -> str:
    """The age of a run's last event, at `now` seconds since 1970; a run that came with the package has none."""
    if info.paths.name == bundle.EXAMPLE and bundle.is_read_only(info.paths):
        return "read-only"
    return "now" if 0 <= now - info.changed < NOW_S else age(info.changed, now)


def cells_of(info: RunInfo, now: float, marked: bool, name: str) -> dict[str, Text]:
    """One run's line.

    Args:
        info: The run.
        now: Seconds since 1970.
        marked: Whether it has a mark.
        name: Its name, cut to its column.

    Returns:
        Column -> text.
    """
    sign, colour = tone(info.words)
    state = f"STALE {age(info.changed, now)}" if info.state == "STALE" else info.words
    rounds = f"{info.round}/{info.rounds}" if info.round >= 0 else f"–/{info.rounds}"
    return {
        "mark": Text("* " if marked else "  ", "bold yellow"),
        "run": Text(name, no_wrap=True),
        "state": Text(f"  {sign} {state}", STYLES[colour]),
        "round": Text(rounds, justify="right"),
        "sparsity": Text(_sparsity(info), justify="right"),
        "bleu": Text(score(info.bleu), justify="right"),
        "floor": Text(score(highest_floor(info)), justify="right"),
        "best": Text(score(info.best_bleu), justify="right"),
        "diff": Text(difference(dense_difference(info)), justify="right"),
        # A live run's age would change every second, and with it the whole table.
        "age": Text(aged(info, now), justify="right"),
        "kind": Text(f"  {plain(info.kind, 20)}"),
        "device": Text(f"  {plain(info.device, 20)}"),
    }


def _sparsity(info: RunInfo) -> str:
    """Of what the recipe prunes, and in brackets, in whole percent, how sparse its model came: "90 (50) %"."""
    if info.round < 0:
        return "–"
    share = percent(info.sparsity)
    return share.replace(" %", f" ({100 * info.before:.0f}) %") if info.before else share
