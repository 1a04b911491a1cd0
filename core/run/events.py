"""The events of a run as data: the lines of `events.jsonl`.

The worker writes these, everything else reads them. Each line is one JSON object with `seq` (0, 1, 2 … without a gap),
`time` (seconds since 1970, UTC) and `event` (which of the classes below). Shares are in [0, 1], scores in 0..100.
An event is built by keyword alone, and knows its own tag: `event` comes first in the line and is never passed.
A line that is none of these (a newer version's event, a damaged line) becomes `Unknown`, never an exception.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal, NamedTuple

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from ..score.interval import Difference, Interval


@dataclass(frozen=True)
class Scores:
    """The scores of one set of predictions, each 0..100."""

    bleu: float
    """CodeXGLUE's smoothed BLEU-4."""
    corpus_bleu: float
    chrf: float
    rouge_l: float | None = None
    """Journals of older versions lack it."""
    semantic: float | None = None
    """Mean cosine of sentence embeddings times 100; None without an embedder."""

    def facts(self) -> dict[str, float]:
        """Measure -> score, of those that are known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Sample:
    """One validation method with the comment a model wrote for it."""

    row: int
    name: str
    reference: str
    prediction: str
    bleu: float
    name_bleu: float | None = None
    """Score of the name floor on this row; journals of older versions lack it."""


@dataclass(frozen=True)
class Rank:
    """One process of a run that several share, and where it computes."""

    pid: int
    device: str
    gpu: str = ""
    """Id of its GPU; "" for other devices."""


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A worker took the run, for the first time or again; its work begins after (`round`, `step`)."""

    event: Literal["run_started"] = "run_started"
    run: str
    kind: str
    rounds: int
    steps: int
    resumed: bool
    round: int
    step: int
    device: str
    threads: int
    pid: int
    host: str
    versions: dict[str, str]
    gpu: str = ""
    """Id of the GPU, or of the slice of one, that the worker computes on; "" for other devices and in older journals."""
    precision: str = ""
    """Precision of training, with "auto" resolved; "" in older journals."""
    ranks: tuple[Rank, ...] = ()
    """The processes that share the run, rank 0 first, `pid` being of the one that started them; () where it has one process."""


@dataclass(frozen=True, kw_only=True)
class DataLoaded:
    """A split was read and tokenized."""

    event: Literal["data_loaded"] = "data_loaded"
    split: str
    rows: int
    skipped: int


@dataclass(frozen=True, kw_only=True)
class FloorsMeasured:
    """Two programs without a model were scored on the evaluated rows: a constant sentence, and the method's name."""

    event: Literal["floors"] = "floors"
    split: str
    rows: int
    constant: Scores
    name: Scores


@dataclass(frozen=True, kw_only=True)
class RoundStarted:
    """A round begins; its weights are pruned to `sparsity` (of all prunable weights)."""

    event: Literal["round_started"] = "round_started"
    round: int
    sparsity: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """The basis of a criterion is being measured before a round is pruned: `done` of `rows` calibration rows."""

    event: Literal["measuring"] = "measuring"
    round: int
    done: int
    rows: int
    criterion: str


@dataclass(frozen=True, kw_only=True)
class UnitScores:
    """The scores that the heads or neurons of one block had when a round was pruned: means over their weights."""

    kept: int
    count: int
    """Units of the block before anything of it was pruned in this run."""
    kept_scores: list[float]
    """Lowest, middle and highest score of those that stay; [] where there are none."""
    pruned_scores: list[float]
    """The same of those that this round pruned."""
    each: list[float | None] = field(default_factory=list)
    """The score of every unit, None for one that was pruned before; [] where there are too many to list."""
    pruned: list[int] = field(default_factory=list)
    """Numbers of the units in `each` that are pruned now."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The masks of a round are made; `sparsity`, `kept` and `total` are of the weights that the recipe prunes.

    In round 0, of a model that came pruned: which masks it came with.
    """

    event: Literal["pruned"] = "pruned"
    round: int
    sparsity: float
    kept: int
    total: int
    matrices: dict[str, float]
    """Parameter name -> sparsity of that matrix."""
    seconds: float
    before: float = 0.0
    """Sparsity of the model before the run: the pruned share of the matrices of which something was pruned."""
    output_errors: dict[str, float] = field(default_factory=dict)
    """Parameter name -> relative error of the matrix's output on the calibration rows, before any training; {} where the
    criterion looks at none."""
    unit: str = "weight"
    """What went as one: weight, head, neuron, head+neuron, layer, or vocabulary beside them or alone."""
    entries: tuple[int, int] | None = None
    """Entries of the vocabulary that are left, of how many; None where none was dropped."""
    unit_scores: dict[str, UnitScores] = field(default_factory=dict)
    """Block such as "encoder 3 heads" -> what its units scored; {} where single weights were pruned, and in older journals."""


@dataclass(frozen=True, kw_only=True)
class Rewound:
    """All weights were rewound; the masks stayed."""

    event: Literal["rewound"] = "rewound"
    round: int
    to: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """Training progressed; sent about once a second, with means since the last such event."""

    event: Literal["step"] = "step"
    round: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    examples_per_second: float
    rank_bytes: tuple[int, ...] = ()
    """Bytes of its device's memory (on the CPU of this machine's) that each rank holds; () where the run has one process."""


@dataclass(frozen=True, kw_only=True)
class Evaluating:
    """An evaluation progressed: `done` of `rows` are decoded."""

    event: Literal["evaluating"] = "evaluating"
    round: int
    step: int
    done: int
    rows: int
    encoder_off: bool = False
    """Whether the model is scored without its encoder layers."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A model was scored."""

    event: Literal["evaluated"] = "evaluated"
    round: int
    step: int
    split: str
    rows: int
    scores: Scores
    floors: dict[str, Scores]
    """Scores of "constant" and "name" on the same rows."""
    signatures: dict[str, str]
    seconds: float
    samples: list[Sample]


@dataclass(frozen=True, kw_only=True)
class EncoderOffMeasured:
    """The dense model was scored without its encoder layers, on the rows of the evaluation; older journals lack it."""

    event: Literal["encoder_off"] = "encoder_off"
    round: int
    step: int
    split: str
    rows: int
    scores: Scores
    intervals: dict[str, Interval]
    """Measure -> its score without the layers, and the interval."""
    dense_less: dict[str, Difference]
    """Measure -> the dense model's score minus that without the layers."""
    signatures: dict[str, str]
    """Signatures of the scores, and "encoder_off": how the layers were taken out."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A pre-training model was measured on held-out tokens of the validation split: masked ones, or those of comments."""

    event: Literal["validated"] = "validated"
    round: int
    step: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Picked:
    """The weights from which the next round is pruned were chosen."""

    event: Literal["picked"] = "picked"
    round: int
    step: int
    bleu: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class MatrixMeasured:
    """The figures of one prunable matrix at the end of a round; None where there is nothing to compare or to measure."""

    event: Literal["matrix"] = "matrix"
    round: int
    parameter: str
    rows: int
    columns: int
    kept: int
    magnitude: float | None
    """Mean |w| of the kept weights."""
    change: float | None
    """|w − w'| / |w'| of the kept weights since the round before, in the Euclidean norm."""
    overlap: float | None
    """Jaccard index of the kept weights with the round before, in [0, 1]."""
    dead_rows: int
    dead_columns: int
    heads: int
    """Number of attention heads; 0 where the matrix has none."""
    dead_heads: int
    density: list[list[int]]
    """Kept share of each block in whole percent; 0 and 100 are exact. Block i begins at row `i * rows // blocks`."""


@dataclass(frozen=True, kw_only=True)
class RoundFinished:
    """A round is complete on disk."""

    event: Literal["round_finished"] = "round_finished"
    round: int
    sparsity: float
    scores: Scores | None
    steps: int
    seconds: float
    size_bytes: int | None = None
    """Bytes of the model with its prunable matrices as bitmask and kept values; journals of older versions lack it."""
    before: float = 0.0
    """As in `Pruned`."""
    against_dense: dict[str, Difference] = field(default_factory=dict)
    """Measure -> score minus that of the dense round, on the same rows; empty for the dense round and in older journals."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved:
    """The run can be resumed from here."""

    event: Literal["checkpoint"] = "checkpoint"
    round: int
    step: int


@dataclass(frozen=True, kw_only=True)
class CommandTaken:
    """The worker has read a command."""

    event: Literal["command"] = "command"
    command: str


@dataclass(frozen=True, kw_only=True)
class Paused:
    """The worker waits; a checkpoint of this point is on disk."""

    event: Literal["paused"] = "paused"
    round: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The worker continues after a pause."""

    event: Literal["resumed"] = "resumed"
    round: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning for the user; the run continues."""

    event: Literal["warning"] = "warning"
    message: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The worker ended on request; the run can be resumed."""

    event: Literal["stopped"] = "stopped"
    round: int
    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The worker ended with an error."""

    event: Literal["failed"] = "failed"
    problem: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The last round was written without the units that are pruned whole; pairs are before and afterwards, or left and of all."""

    event: Literal["shrunk"] = "shrunk"
    parameters: tuple[int, int]
    size_bytes: tuple[int, int]
    """Of the weights files of round 0 and of the shrunk model."""
    heads: tuple[int, int]
    neurons: tuple[int, int]
    speedup: dict[str, float]
    """Batch size -> how many times as fast as round 0 it decodes, both writing equally many tokens; where entries of the
    vocabulary were dropped, as many as the same comments have in the tokens of each."""
    beam: int
    against_dense: dict[str, Difference] = field(default_factory=dict)
    """Measure -> the last round's score minus that of round 0, on the same rows."""
    promised: float | None = None
    """How many times as fast a budget of time said that it would be, at batch `promised_batch`."""
    promised_batch: int = 0
    entries: tuple[int, int] | None = None
    """Entries of the vocabulary, where some were dropped."""


@dataclass(frozen=True, kw_only=True)
class RunFinished:
    """Every round is complete."""

    event: Literal["run_finished"] = "run_finished"
    rounds: int


Happening = (
    RunStarted
    | DataLoaded
    | FloorsMeasured
    | RoundStarted
    | Measuring
    | Pruned
    | Rewound
    | Step
    | Evaluating
    | Evaluated
    | EncoderOffMeasured
    | Validated
    | Picked
    | MatrixMeasured
    | RoundFinished
    | CheckpointSaved
    | CommandTaken
    | Paused
    | Resumed
    | Warned
    | Stopped
    | Failed
    | Shrunk
    | RunFinished
)


@dataclass(frozen=True)
class Unknown:
    """A line that this version cannot read; kept so that nothing is hidden."""

    text: str
    """The line, cut to 200 characters."""


class Event(NamedTuple):
    """One line of the journal; a tuple, for a journal has hundreds of thousands."""

    seq: int
    time: float
    what: Happening | Unknown


class _Head(msgspec.Struct, gc=False):
    seq: int
    time: float
    event: Literal["step"]  # a `Step` has a default for it: a line without one must not read as a step


_head, _step = msgspec.json.Decoder(_Head), msgspec.json.Decoder(Step)
"""Nearly every line of a long journal is a step, and validation takes several times as long as these; whatever they do not take
goes the long way, so that both ways read the same."""

_happening: TypeAdapter[Happening] = TypeAdapter(Annotated[Happening, Field(discriminator="event")])


def to_line(seq: int, time: float, what: Happening) -> str:
    """The journal line of an event, newline included."""
    return json.dumps({"seq": seq, "time": round(time, 3), **asdict(what)}, ensure_ascii=False) + "\n"


def from_line(line: str | bytes) -> Event:
    """Reads one journal line; what cannot be read becomes an `Unknown` with seq −1."""
    if not line.isascii():  # below, the names of keys that no step has are not looked at, not even whether they are text
        return read_line(line)
    try:
        head = _head.decode(line)
        return Event(head.seq, head.time, _step.decode(line))
    except (ValueError, RecursionError):  # any other event, or what JSON has no words for, such as a loss that is not a number
        return read_line(line)


def read_line(line: str | bytes) -> Event:
    """Reads one journal line by JSON and full validation; `from_line` gives the same, sooner."""
    try:
        raw = json.loads(line)
        if not isinstance(raw, Mapping):
            return _unknown(line)
        return Event(int(raw["seq"]), float(raw["time"]), _happening.validate_python(raw))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, ValidationError):
        return _unknown(line)


def _unknown(line: str | bytes) -> Event:
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    return Event(-1, 0.0, Unknown(text.strip()[:200]))
