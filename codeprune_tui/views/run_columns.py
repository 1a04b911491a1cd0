"""The facts of a run, in one table: the list of runs, its filter and orders, `status`, its JSON and its help follow from it.

Data in, text out; knows no widgets. To add a column is to add an entry to `COLUMNS`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

from core.regularfile import real
from core.run.folder import DAMAGED, KILLED, QUEUED, RunInfo, State

from .. import bundle
from .plain import plain
from .sweep_groups import Standing, summary
from .text import NOTHING, age, beside, difference, percent, score, tone

NOW_S = 10.0
"""Seconds; an age below this reads "now"."""
STYLES = {
    "$text-success": "green",
    "$text-warning": "yellow",
    "$text-error": "bold red",
    "$text-primary": "cyan",
    "$text-muted": "dim",
}

Cell = Callable[[RunInfo, float], str]
"""Text of a run, at a time in seconds since 1970."""
Room = Literal["always", "roomy", "wide", "left over"]
"""From which width of the screen on a column is shown; one that is left over is shown wherever there is still room."""


@dataclass(frozen=True)
class Field:
    """One key of a run in the JSON of `status`."""

    key: str
    value: Callable[[RunInfo], object]
    note: str = ""
    """Its explanation in the help, if its name does not say enough."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One fact of a run."""

    value: Callable[[RunInfo], str | float | None]
    """The value that the filter compares and runs are sorted by; None if a run lacks it."""
    type: Literal["text", "number", "share", "age"]
    """The kind of value, which the filter reads."""
    digits: int = 0
    """Of a number: the digits behind the point that are shown, and so compared."""
    choices: tuple[str, ...] = ()
    """Of a text: the only values that a run can have."""
    example: str = "10"
    """Of a number: an example for a filter."""
    cell: Cell = lambda info, now: ""
    """The text that is shown; a figure stands at the right end of its column."""
    heading: str = ""
    width: int = 0
    """Width in the app's list; 0 if the list has no such column. The run's own is the least: it takes the room that is left."""
    room: Room = "always"
    order: str = ""
    """The order of the list by it, in words."""
    down: bool = False
    """Whether that order begins with the largest."""
    status: str = ""
    """Its heading in the table of `status`; empty where it has no such column."""
    status_cell: Cell | None = None
    """The text that `status` prints, if that differs."""
    json: tuple[Field, ...] = ()


def dense_difference(info: RunInfo) -> float | None:
    """BLEU of the last complete round minus that of the dense model; None before the first pruned round."""
    return None if info.bleu is None or info.dense_bleu is None or info.round < 1 else info.bleu - info.dense_bleu


def highest_floor(info: RunInfo) -> float | None:
    """BLEU of the highest floor on the rows that a run is scored on; None where no floor is known."""
    return max(info.floors.values(), default=None)


def aged(info: RunInfo, now: float) -> str:
    """The age of a run's last event, at `now` seconds since 1970; a run that came with the package has none."""
    if info.paths.name == bundle.EXAMPLE and bundle.is_read_only(info.paths):
        return "read-only"
    # A live run's age would change every second, and with it the whole table.
    return "now" if 0 <= now - info.changed < NOW_S else age(info.changed, now)


def _state(info: RunInfo, now: float) -> str:
    sign, _ = tone(info.words)
    return f"  {sign} " + (f"STALE {age(info.changed, now)}" if info.state == "STALE" else info.words)


def _round(info: RunInfo, now: float) -> str:
    return f"{info.round}/{info.rounds}" if info.round >= 0 else f"–/{info.rounds}"


def _share(info: RunInfo, now: float) -> str:
    return percent(info.sparsity) if info.round >= 0 else NOTHING


def _share_and_before(info: RunInfo, now: float) -> str:
    """The sparsity of what the recipe prunes, and in brackets, in whole percent, that of its model before: "90 (50) %"."""
    share = _share(info, now)
    return share.replace(" %", f" ({100 * info.before:.0f}) %") if info.before else share


COLUMNS: dict[str, Column] = {
    "run": Column(
        value=lambda info: info.paths.name,
        type="text",
        cell=lambda info, now: plain(info.paths.name, 100),
        heading="run",
        width=12,
        order="by run",
        status="run",
        status_cell=lambda info, now: plain(info.paths.name),
        json=(Field("name", lambda info: info.paths.name), Field("path", lambda info: str(real(info.paths.root)))),
    ),
    "state": Column(
        value=lambda info: info.words.rstrip("…"),
        type="text",
        choices=(*map(str, State), KILLED, QUEUED, DAMAGED),
        cell=_state,
        heading="  state",
        width=14,
        order="by state",
        status="state",
        status_cell=lambda info, now: info.words,
        json=(
            Field("state", lambda info: str(info.state), " ".join(State)),
            Field("killed", lambda info: info.killed, "true: CRASHED because somebody killed it"),
            Field("queued", lambda info: info.queued, "true: it waits in a cluster's queue"),
            Field("damage", lambda info: info.damage, 'which of its files cannot be read, and why; "" for none'),
        ),
    ),
    "kind": Column(
        value=lambda info: info.kind,
        type="text",
        choices=("lottery", "finetune", "pretrain"),
        cell=lambda info, now: f"  {plain(info.kind, 20)}",
        heading="  kind",
        width=10,
        room="wide",
        order="by kind",
        status="kind",
        status_cell=lambda info, now: plain(info.kind),
        json=(Field("kind", lambda info: info.kind),),
    ),
    "round": Column(
        value=lambda info: info.round if info.round >= 0 else None,
        type="number",
        example="3",
        cell=_round,
        heading="round",
        width=6,
        order="by round",
        down=True,
        status="round",
        json=(Field("round", lambda info: info.round, "last complete, -1 for none"),),
    ),
    "rounds": Column(
        value=lambda info: info.rounds, type="number", example="9", json=(Field("rounds", lambda info: info.rounds),)
    ),
    "sparsity": Column(
        value=lambda info: info.sparsity if info.round >= 0 else None,
        type="share",
        digits=3,
        example="0.5",
        cell=_share_and_before,
        heading="sparsity",
        width=9,
        order="by sparsity",
        down=True,
        status="sparsity",
        status_cell=_share,
        json=(Field("sparsity", lambda info: info.sparsity, "of what the recipe prunes"),),
    ),
    "before": Column(
        value=lambda info: info.before,
        type="share",
        digits=3,
        example="0.5",
        status="before",
        status_cell=lambda info, now: percent(info.before) if info.before else NOTHING,
        json=(Field("sparsity_before", lambda info: info.before, "of the model, before the run"),),
    ),
    "chrf": Column(
        value=lambda info: info.chrf,
        type="number",
        digits=2,
        cell=lambda info, now: score(info.chrf),
        heading="chrF",
        width=7,
        room="roomy",  # on narrow screens the line about the chosen run has it
        order="by chrF",
        down=True,
        status="chrF",
        json=(Field("chrf", lambda info: info.chrf),),
    ),
    "bleu": Column(
        value=lambda info: info.bleu,
        type="number",
        digits=2,
        cell=lambda info, now: score(info.bleu),
        heading="BLEU",
        width=7,
        order="by BLEU",
        down=True,
        status="BLEU",
        json=(Field("bleu", lambda info: info.bleu),),
    ),
    "floor": Column(
        value=highest_floor,
        type="number",
        digits=2,
        cell=lambda info, now: score(highest_floor(info)),
        heading="floor",
        width=7,
        order="by floor",
        down=True,
        status="floor",
        status_cell=lambda info, now: beside(info.floors) if info.floors else NOTHING,
        json=(Field("floors_bleu", lambda info: dict(info.floors)),),
    ),
    "best": Column(
        value=lambda info: info.best_bleu,
        type="number",
        digits=2,
        cell=lambda info, now: score(info.best_bleu),
        heading="best",
        width=7,
        room="roomy",  # the last BLEU and the floor that it is held against come before the best one
        order="by best BLEU",
        down=True,
        status="best",
        json=(Field("best_bleu", lambda info: info.best_bleu),),
    ),
    "dense": Column(
        value=lambda info: info.dense_bleu,
        type="number",
        digits=2,
        status="dense",
        status_cell=lambda info, now: score(info.dense_bleu),
        json=(Field("dense_bleu", lambda info: info.dense_bleu),),
    ),
    "diff": Column(
        value=dense_difference,
        type="number",
        digits=2,
        example="-1",
        cell=lambda info, now: difference(dense_difference(info)),
        heading="Δ dense",
        width=8,
        order="by difference to dense",
        down=True,
    ),
    "age": Column(
        value=lambda info: -info.changed if info.changed > 0 else None,
        type="age",
        cell=aged,
        heading="age",
        width=10,
        order="by age",
        status="age",
        status_cell=lambda info, now: age(info.changed, now),
        json=(Field("changed", lambda info: info.changed, "time of its last event, seconds since 1970"),),
    ),
    "device": Column(
        value=lambda info: info.device,
        type="text",
        cell=lambda info, now: f"  {plain(f'@{info.elsewhere}' if info.elsewhere else info.device, 20)}",
        heading="  device",
        width=10,
        room="left over",
        order="by device",
        json=(Field("device", lambda info: info.device),),
    ),
    "job": Column(
        value=lambda info: info.job,
        type="text",
        cell=lambda info, now: f"  {plain(info.job, 18)}",
        heading="  job",
        width=20,
        room="left over",
        order="by job",
        status="job",
        status_cell=lambda info, now: plain(info.job, 40) or NOTHING,
        json=(Field("job", lambda info: info.job, 'the cluster\'s job that its worker runs in, "" for none'),),
    ),
    "sweep": Column(
        value=lambda info: info.sweep,
        type="text",
        json=(Field("sweep", lambda info: info.sweep, 'the sweep that made it, "" for none'),),
    ),
    "host": Column(
        value=lambda info: info.host,
        type="text",
        status="host",
        status_cell=lambda info, now: plain(info.host, 40) or NOTHING,
        json=(Field("host", lambda info: info.host, "of its last worker"),),
    ),
}
"""Key of the filter -> column, in the order of all lists."""

FOLDED, UNFOLDED = "▸", "▾"
BEFORE = ("pruned(was)", 12)
"""Heading and width of the sparsity if a run's model was pruned before the run: "90 (50) %"."""


def states_of(infos: Sequence[RunInfo]) -> str:
    """How many runs are in which state, the states of most runs first: "8 DONE, 3 RUNNING"."""
    counts = Counter(info.words.rstrip("…") for info in infos)
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def place_of(info: RunInfo) -> str:
    """Where a run's worker is, if not simply on this machine: "on node7, Slurm 3_0"; "" where that is so."""
    return plain(", ".join(filter(None, [f"on {info.elsewhere}" if info.elsewhere else "", info.job])), 60)


def json_of(info: RunInfo) -> dict[str, object]:
    """A run as the JSON of `status` has it."""
    return {field.key: field.value(info) for column in COLUMNS.values() for field in column.json}


def json_help() -> str:
    """The keys of that JSON, in words."""
    fields = [field for column in COLUMNS.values() for field in column.json]
    return ", ".join(f"{field.key} ({field.note})" if field.note else field.key for field in fields)


def status_rows(infos: Sequence[RunInfo], now: float) -> list[list[str]]:
    """The table of `status`: its heading, then one row a run; "before", "job" and "host" only where they say something.

    Args:
        infos: The runs.
        now: Seconds since 1970.
    """
    left_out = {
        key
        for key, has in (
            ("before", any(info.before for info in infos)),
            ("job", any(info.job for info in infos)),
            ("host", any(info.elsewhere for info in infos)),
        )
        if not has
    }
    columns = [column for key, column in COLUMNS.items() if column.status and key not in left_out]
    cells = [[(column.status_cell or column.cell)(info, now) for column in columns] for info in infos]
    return [[column.status for column in columns], *cells]


def shown_at(width: int, pruned: bool, jobs: bool = False) -> dict[str, tuple[str, int]]:
    """Which columns the app's list has, with the names' room: those of narrow screens first.

    Args:
        width: Of the screen, in terminal columns; the marks take two of it, the border and the scroll bar two more.
        pruned: Whether a listed run's model was pruned before the run.
        jobs: Whether a listed run's worker runs in a cluster's job.

    Returns:
        Key -> heading and width.
    """
    room: dict[Room, bool] = {"always": True, "roomy": width >= 90, "wide": width >= 120, "left over": False}
    keys = [key for key, column in COLUMNS.items() if column.width and room[column.room]]
    keys.sort(key=lambda key: COLUMNS[key].room == "wide")
    shown = {key: (COLUMNS[key].heading, COLUMNS[key].width) for key in keys}
    if pruned:
        shown["sparsity"] = BEFORE
    free = width - 4 - sum(taken for _, taken in shown.values())
    for key, column in COLUMNS.items():
        if column.room == "left over" and free >= column.width and (jobs or key != "job"):
            shown[key], free = (column.heading, column.width), free - column.width
    heading, least = shown["run"]
    return shown | {"run": (heading, least + max(0, min(60, free)))}


def group_cells(at: Standing, folded: bool, widths: Mapping[str, int], name: str) -> dict[str, Text]:
    """One sweep's line in the app's list: its name in the names' column, and a sentence across all columns behind it.

    Args:
        at: How the sweep stands.
        folded: Whether its runs are hidden.
        widths: Column -> width, in the order of the list, the names' first; cells have no room between them.
        name: Its name, cut to its column.

    Returns:
        Column -> text.
    """
    first, *others = widths
    head, room = f"{FOLDED if folded else UNFOLDED} {name}", sum(widths[key] for key in others)
    cells = {first: Text(head, "bold", no_wrap=True)}
    line = f"  {summary(at, room - 2)}"
    for key in others:
        cells[key] = Text(line[: widths[key]], no_wrap=True)
        line = line[widths[key] :]
    return cells


def cells_of(info: RunInfo, now: float, name: str) -> dict[str, Text]:
    """One run's line in the app's list.

    Args:
        info: The run.
        now: Seconds since 1970.
        name: Its name, cut to its column.

    Returns:
        Column -> text.
    """
    cells = {
        key: Text(column.cell(info, now), justify="left" if column.type == "text" else "right")
        for key, column in COLUMNS.items()
        if column.width
    }
    cells["run"] = Text(name, no_wrap=True)
    cells["state"].stylize(STYLES[tone(info.words)[1]])
    return cells
