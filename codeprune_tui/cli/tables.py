"""Runs and scores as text tables and as JSON: what the command line prints on stdout.

Pure functions. Tables make text from outside harmless; JSON escapes it by itself. The JSON carries `"schema": 1`: keys may be
added under that number, but none is renamed, removed or changes its meaning.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from core.run.encoder_off import EncoderOff
from core.run.events import Scores
from core.run.folder import RunInfo
from core.run.results import ENCODER_OFF, FLOORS, LEADING, MEASURES, TITLES, Result, measures_of
from core.run.rowsets import by_rows
from core.score.interval import Interval
from core.score.metrics import TRUST

from ..views.comparison import over_floor
from ..views.encoder_verdict import NOT_MEASURED, warning, warning_of_all
from ..views.plain import plain
from ..views.run_columns import json_of, status_rows
from ..views.state import RunView
from ..views.sweep_groups import Standing
from ..views.text import FLOOR_NAMES, NOTHING, age, between, changed, difference, duration, percent, score, table

if TYPE_CHECKING:
    from core.evaluate.evaluate import Evaluation

SCHEMA = 1
HEADS = TITLES | {"bleu": "BLEU", "semantic": "semantic"}
"""Measure -> the head of its column."""


def results(view: RunView) -> str:
    """The final table of a run: each complete round with its scores, the floors below, and how scores were computed.

    Args:
        view: The run.

    Returns:
        Several lines; empty before the first round is complete.
    """
    if not view.finished:
        return ""
    measures = _known(result.scores for result in view.finished)
    rows = [["round", "sparsity", *(HEADS[measure] for measure in measures)]]
    rows += [[str(result.number), percent(result.sparsity), *_cells(result.scores, measures)] for result in view.finished]
    pruned = f"The model came pruned to {percent(view.before)}; sparsity is of the weights that the recipe prunes."
    rows += [[FLOOR_NAMES.get(name, plain(name)), "", *_cells(scores, measures)] for name, scores in view.floors.items()]
    less = view.encoder_off.dense_less if view.encoder_off is not None else {}
    if less:
        rows.append(["dense minus encoder off", "", *(changed(less.get(measure)) for measure in measures)])
    notes: list[str] = [pruned] if view.before else []
    if view.evaluations and not less:
        notes.append(f"Encoder off: {NOT_MEASURED}.")
    if view.evaluations:
        last = view.evaluations[-1]
        notes += [f"Scored on {last.rows:,} rows of {plain(last.split)}, on {plain(view.device)}.", *_signatures(last.signatures)]
    notes += [
        f"Masked tokens: accuracy {percent(validation.accuracy)}, loss {validation.loss:.3f} (step {validation.step})"
        for validation in view.validations[-1:]
    ]
    return "\n".join([*filter(None, [warning(less)]), table(rows), *notes])


def evaluation(scored: "Evaluation", model: str) -> str:
    """The scores of one model with their intervals, above the floors on the same rows."""
    spreads, measures = _intervals(scored), _known([scored.scores])
    rows = [["", *(HEADS[measure] for measure in measures)], [plain(model), *_cells(scored.scores, measures)]]
    rows += [["95 % interval", *(between(spreads.get(measure)) for measure in measures)]]
    less = {}
    if (off := scored.encoder_off) is not None:
        less = dict(off.dense_less)
        rows += [[FLOOR_NAMES["encoder_off"], *_cells(off.scores, measures)]]
        rows += [["95 % interval", *(between(off.intervals.get(measure)) for measure in measures)]]
        rows += [["model minus encoder off", *(changed(less.get(measure)) for measure in measures)]]
    rows += [[FLOOR_NAMES[name], *_cells(scores, measures)] for name, scores in _floors(scored).items()]
    first = warning(less, "A study of this model", "model")
    return "\n".join(
        [
            *filter(None, [first]),
            table(rows),
            TRUST,
            *_signatures(scored.signatures),
            f"{len(scored.rows):,} rows in {duration(scored.seconds)}",
        ]
    )


def evaluation_json(scored: "Evaluation", facts: Mapping[str, object]) -> str:
    """The scores of one model as JSON: the given facts, scores, intervals, floors, signatures, seconds."""
    from core.score.significance import SIGNATURE

    return as_json(
        {
            **facts,
            "rows": len(scored.rows),
            "scores": _scores(scored.scores),
            "intervals": {name: {"low": each.low, "high": each.high} for name, each in _intervals(scored).items()},
            "bootstrap": SIGNATURE,
            "floors": {name: _scores(scores) for name, scores in _floors(scored).items()},
            **({"encoder_off": scored.encoder_off.facts()} if scored.encoder_off is not None else {}),
            "signatures": scored.signatures,
            "seconds": round(scored.seconds, 3),
        }
    )


def comments_json(facts: Mapping[str, object], methods: Iterable[Mapping[str, object]]) -> str:
    """Comments of the methods of one file as JSON."""
    return as_json({**facts, "methods": list(methods)})


def run_list(infos: Sequence[RunInfo], now: float) -> str:
    """The list of runs as a table.

    Args:
        infos: The runs.
        now: Seconds since 1970.
    """
    damaged = [f"{plain(info.paths.name)} is damaged: {plain(info.damage)}" for info in infos if info.damage]
    return "\n".join([table(status_rows(infos, now), left=3), *damaged])


def run_detail(info: RunInfo, view: RunView, eta: float | None, now: float) -> str:
    """The state of one run, then its table of results."""
    where = f"round {view.round}/{view.rounds}, step {view.step}/{view.steps}"
    lines = [f"{plain(info.paths.name)}: {info.words}, {where}, last event {age(info.changed, now)} ago"]
    if info.damage:
        lines.append(f"Damaged: {plain(info.damage)}")
    if info.killed:
        lines.append("The worker was killed on request; resume goes on from the run's last checkpoint")
    if eta is not None:
        lines.append(f"About {duration(eta)} left, on {plain(view.device)}")
    if view.failure is not None:
        lines.append(f"Failed: {plain(view.failure.problem)} {plain(view.failure.fix)}".rstrip())
    lines += [f"Warning: {plain(warning)}" for warning in view.warnings[-5:]]
    return "\n".join([*lines, *filter(None, [results(view)])])


def comparison(rounds: Sequence[Result]) -> str:
    """Rounds of several runs as one table, each with the floors on its own rows; a warning about the encoder comes first.

    Args:
        rounds: At least one, in the order of the lines.
    """
    spread = any(result.intervals for result in rounds)  # older runs have none: no empty columns then
    changes = any(result.against_dense for result in rounds)
    measures = [measure for measure in measures_of(rounds) if any(measure in result.scores for result in rounds)]
    pruned = any(result.before for result in rounds)
    rows = [["run", "round", "sparsity", *(["before"] if pruned else []), *(HEADS[measure] for measure in measures)]]
    rows[0] += [*(f"floor: {name}" for name in FLOORS), "over floor", "encoder off"]
    rows[0] += ["rows", "MB", *([f"{HEADS[LEADING]}, 95 % interval"] if spread else [])]
    rows[0] += ["minus dense"] if changes else []
    for result in rounds:
        scores = [score(result.scores.get(measure)) for measure in measures]
        floors, size = [score(result.floors_of(LEADING).get(name)) for name in FLOORS], result.size_bytes
        shares = [percent(result.sparsity), *([_before(result.before)] if pruned else [])]
        cells = [plain(result.run), str(result.round), *shares, *scores, *floors, difference(over_floor(result))]
        off = result.floors.get(ENCODER_OFF, {}).get(LEADING)
        cells.append(NOT_MEASURED if off is None else score(off))
        cells += [f"{result.rows:,}", NOTHING if size is None else f"{size / 1e6:.2f}"]
        cells += [between(result.intervals.get(LEADING))] if spread else []
        cells += [changed(result.against_dense.get(LEADING))] if changes else []
        rows.append(cells)
    lines = [*filter(None, [plain(warning_of_all(rounds), 2000)]), table(rows)]
    lines.append(f"Floors, over floor, encoder off and interval are of {HEADS[LEADING]}. {TRUST}")
    groups = by_rows(_by_run(rounds))
    if len(groups) < 2:
        return "\n".join(lines)
    parts = "; ".join(", ".join(plain(run) for run in runs) for runs in groups)
    lines.append(f"These runs were scored on different rows and are compared only with their own floors: {parts}")
    return "\n".join(lines)


def _by_run(rounds: Sequence[Result]) -> dict[str, list[Result]]:
    runs: dict[str, list[Result]] = {}
    for result in rounds:
        runs.setdefault(result.run, []).append(result)
    return runs


def _before(share: float) -> str:
    return percent(share) if share else NOTHING


def run_list_json(infos: Sequence[RunInfo], checkpoints: str) -> str:
    """The list of runs as JSON: `checkpoints`, and `runs` with the keys of `json_of`."""
    return as_json({"checkpoints": checkpoints, "runs": [json_of(info) for info in infos]})


def sweep_json(at: Standing, checkpoints: str) -> str:
    """One sweep as JSON: how it stands, and its runs with the keys of `json_of`."""
    return as_json({"checkpoints": checkpoints, **_sweep(at), "runs": [json_of(info) for info in at.infos]})


def sweeps_json(all_of_them: Sequence[Standing], checkpoints: str) -> str:
    """All sweeps as JSON: `checkpoints`, and `sweeps`, how each stands."""
    return as_json({"checkpoints": checkpoints, "sweeps": [_sweep(at) for at in all_of_them]})


def _sweep(at: Standing) -> dict[str, object]:
    states = Counter(str(info.state) for info in at.infos)
    return {"sweep": at.name, "states": dict(states.most_common()), "missing": at.missing, "eta_s": at.eta_s}


def run_detail_json(info: RunInfo, view: RunView, eta: float | None) -> str:
    """One run as JSON: the keys of the list, and progress, results, floors, signatures, failure, warnings."""
    results = [
        {
            "round": result.number,
            "sparsity": result.sparsity,
            "sparsity_before": result.before,
            "scores": _scores(result.scores),
            "seconds": result.seconds,
        }
        for result in view.finished
    ]
    last = view.evaluations[-1] if view.evaluations else None
    detail: dict[str, object] = {
        "progress": {
            "round": view.round,
            "step": view.step,
            "steps": view.steps,
            "eta_s": eta,
            "pid": view.pid,
            "host": view.host,
        },
        "results": results,
        "evaluated": {"split": last.split, "rows": last.rows} if last else None,
        "floors": {name: _scores(scores) for name, scores in view.floors.items()},
        "encoder_off": _encoder_off(view),
        "signatures": dict(last.signatures) if last else {},
        "failure": {"problem": view.failure.problem, "fix": view.failure.fix} if view.failure else None,
        "warnings": list(view.warnings),
    }
    return as_json({"run": {**json_of(info), **detail}})


def _encoder_off(view: RunView) -> dict[str, object] | None:
    off = view.encoder_off
    if off is None:
        return None
    return EncoderOff(off.scores, off.intervals, off.dense_less, off.seconds).facts()


def _intervals(scored: "Evaluation") -> "dict[str, Interval]":
    from core.score.significance import draw, intervals  # numpy and sacrebleu, which only an evaluation needs

    return intervals([scored.tally], draw(len(scored.rows)))


def _known(scores_of_rounds: Iterable[Scores | None]) -> list[str]:
    """The measures that some scores have; runs of older versions lack one."""
    known = [scores for scores in scores_of_rounds if scores is not None]
    return [name for name in TITLES if any(getattr(scores, name) is not None for scores in known)] or list(MEASURES)


def _cells(scores: Scores | None, measures: Iterable[str]) -> list[str]:
    return [score(getattr(scores, measure, None)) for measure in measures]


def _scores(scores: Scores | None) -> dict[str, float] | None:
    return scores.facts() if scores else None


def _floors(scored: "Evaluation") -> dict[str, Scores]:
    from core.evaluate.evaluate import as_event  # loaded already: it made the evaluation

    return {"constant": as_event(scored.floors.constant), "name": as_event(scored.floors.name)}


def _signatures(signatures: Mapping[str, str]) -> list[str]:
    return [f"{plain(name)}: {plain(signature)}" for name, signature in signatures.items()]


def as_json(content: Mapping[str, object]) -> str:
    """The text that a command prints with `--json`: the schema's number, then the content; null for what JSON cannot write."""
    return json.dumps(_finite({"schema": SCHEMA, **content}), indent=2, allow_nan=False)


def _finite(value: object) -> object:
    """The value with null for every number that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
