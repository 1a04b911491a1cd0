"""What heads and neurons cost on a run's device: a table, measured once, kept in the run folder, the same for all its rounds."""

import json
import statistics

from ..atomic import complete_or_absent
from ..compress.latency import Latency
from ..data import Encoded
from ..errors import RunError
from ..evaluate.latency import measure
from ..evaluate.speed import BATCHES, Entrant
from ..families.config import CodeToTextConfig
from ..families.roberta import CodeToText
from ..families.units import blocks
from ..model import load_model
from ..regularfile import read_facts
from ..run.events import Measuring
from .round import Round
from .session import Session

KIND = "latency"
"""How the journal calls this measurement."""


def timetable(round_: Round) -> Latency:
    """The run's table, measured on its dense model where there is none yet.

    Raises:
        StopRequested: On command, while it is measured.
        RunError: The table is damaged.
    """
    session, material = round_.session, round_.material
    if session.paths.latency.exists():
        return stored_timetable(session)

    def tell(done: int, of: int) -> None:
        session.emit(Measuring(round=round_.number, done=done, rows=of, criterion=KIND))
        session.breathe(round_.number, 0, lambda: None)

    evaluation = session.recipe.evaluation
    batch = evaluation.batch_size or BATCHES[-1]
    whole, dense = entrant(session, material.model.eval(), material.held_out), None
    if material.smaller is not None:
        full = load_model(session.paths.round(0)).to(material.model.device)
        dense = entrant(session, full, material.smaller.held_out)
    table = measure(whole, evaluation.beam, batch, dense, tell=tell)
    with complete_or_absent(session.paths.latency) as draft:
        draft.write_text(json.dumps(table.facts(), indent=1) + "\n", encoding="utf-8")
    return table


def entrant(session: Session, model: CodeToText, held_out: Encoded) -> Entrant:
    """A model that is timed: it reads the rows that the run scores, and writes as many tokens as their comments have."""
    tokens = round(statistics.mean(map(len, held_out.targets)))
    return Entrant(model, held_out.sources, min(session.recipe.evaluation.max_length, tokens))


def stored_timetable(session: Session) -> Latency:
    """The table that the run measured.

    Raises:
        RunError: It is missing or damaged.
    """
    path = session.paths.latency
    try:
        return Latency.of(read_facts(path))
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: what heads and neurons cost here.", "Put it back, or start a new run.") from error


def promised(session: Session, config: CodeToTextConfig) -> float:
    """How many times as fast as the dense model the run's table says that a model of these sizes is."""
    return 1 / stored_timetable(session).share([(block.field, block.count) for block in blocks(config.sizes)])
