"""The end of a run that shrinks: its last round without the units that are pruned whole, and how much faster it is than dense.

Everything is read from the rounds on disk, so that a run killed here does this again when it is resumed.
"""

import shutil
from dataclasses import replace

from ..errors import ModelError
from ..evaluate.shrunk import Shrunk as Removed
from ..evaluate.shrunk import shrink_copy
from ..evaluate.speed import BATCHES, Entrant, Speeds, compare, equal_tokens
from ..model import load_model
from ..recipe import VOCABULARY
from ..run.events import Shrunk, Warned
from ..run.folder import read_metrics
from ..score.interval import Difference
from ..spec.checkpoint_files import WEIGHTS
from .round import Material
from .session import Session
from .timetable import entrant, promised, stored_timetable


def write_shrunk(session: Session, material: Material, *, anew: bool) -> None:
    """Writes the folder `shrunk` of a run, unless it is there, and journals what became smaller and faster.

    Args:
        session: The run, all rounds done.
        material: Its rows.
        anew: Whether the last round was done just now, so that a folder that is there belongs to an earlier one.
    """
    folder = session.paths.shrunk
    if folder.exists() and not anew:
        return
    shutil.rmtree(folder, ignore_errors=True)
    draft = session.paths.root / "shrunk.partial"  # the folder is there once everything has been journalled
    shutil.rmtree(draft, ignore_errors=True)
    try:
        before = material.smaller.entries if material.smaller is not None else None
        removed = shrink_copy(str(session.paths.round(session.recipe.rounds)), draft, entries=before)
    except ModelError as error:
        session.emit(Warned(message=f"No shrunk model is written: {error.problem}"))
        return
    event = _event(session, removed, _speeds(session, material, str(draft)))
    if session.recipe.pruning.budget == "latency":
        ratio, batch = promised(session, load_model(draft).config), stored_timetable(session).batch
        event = replace(event, promised=round(ratio, 3), promised_batch=batch)
    session.emit(event)
    draft.replace(folder)


def _speeds(session: Session, material: Material, small: str) -> list[Speeds]:
    """The shrunk model against the dense one, on the run's device; nothing where the dense one was deleted."""
    dense = session.paths.round(0)
    if not (dense / WEIGHTS[0]).exists():
        return []
    device, now = material.model.device, material.held_out
    before = now if material.smaller is None else material.smaller.held_out
    models = {"dense": (load_model(dense).to(device), before), "shrunk": (load_model(small).to(device), now)}
    batches: tuple[int, ...] = BATCHES
    if session.recipe.pruning.budget == "latency":
        batches = tuple(sorted({*BATCHES, stored_timetable(session).batch}))
        entrants = {name: entrant(session, model, rows) for name, (model, rows) in models.items()}
    else:
        entrants = {name: Entrant(model, rows.sources, equal_tokens(rows, before)) for name, (model, rows) in models.items()}
    return compare(entrants, session.recipe.evaluation.beam, batches)


def _event(session: Session, removed: Removed, speeds: list[Speeds]) -> Shrunk:
    dense = session.paths.round(0) / WEIGHTS[0]
    before = dense.stat().st_size if dense.exists() else removed.size_bytes[0]
    return Shrunk(
        parameters=removed.parameters,
        entries=removed.kept.get(VOCABULARY),
        size_bytes=(before, removed.size_bytes[1]),
        heads=removed.units("heads"),
        neurons=removed.units("neurons"),
        speedup={str(each.batch): round(each.ratios["shrunk"], 3) for each in speeds},
        beam=session.recipe.evaluation.beam,
        against_dense=_against_dense(session),
    )


def _against_dense(session: Session) -> dict[str, Difference]:
    """What the last round lost, from its file; a shrunk model writes what the masked one wrote."""
    facts = read_metrics(session.paths.round(session.recipe.rounds)) or {}
    known = facts.get("against_dense")
    return {name: Difference(**each) for name, each in known.items()} if isinstance(known, dict) else {}
