"""The text below the list of runs in the demo: the models that came with the package, and the keys to press. Pure."""

from collections.abc import Sequence
from pathlib import Path

from textual.content import Content

from core.recipe import Recipe
from core.spec.schedule import sparsities

from .. import bundle
from ..bundle import BundledModel
from .text import held_against, percent

KEY = "bold $footer-key-foreground"


def bundled(models: Sequence[BundledModel], demo: Recipe) -> Content:
    """The models that came with the package, and the keys to press."""
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
