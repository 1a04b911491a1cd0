"""The results of a run, round by round, for comparing runs: read from `metrics.json` and the journal, never from weights.

Either source alone is enough, so that a run folder whose rounds were deleted to make room still has its results. Torch-free.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TypedDict

from ..score.interval import Difference, Interval
from .events import EncoderOffMeasured, FloorsMeasured, RoundFinished, Scores, from_line
from .folder import LARGEST, RunPaths, number_of, read_metrics
from .journal import LineReader

MEASURES = {"chrf": "chrF", "bleu": "smoothed BLEU-4", "corpus_bleu": "corpus BLEU", "rouge_l": "ROUGE-L"}
"""Measure -> its name, the most reliable one first; all are 0..100."""
LEADING = "chrf"
"""The measure that is shown where there is room for one."""
SEMANTIC = "semantic"
"""The measure of runs with an embedder."""
TITLES = MEASURES | {SEMANTIC: "semantic similarity"}
"""The names of all measures."""
FLOORS = {"name": "the method's name", "constant": "a constant sentence"}
"""Floor -> its description. Floors are programs that read no code, scored on the same rows as the models."""
ENCODER_OFF = "encoder_off"
"""The floor of each model itself: its score with the encoder layers taken out."""
TOLD = (b'"round_finished"', b'"floors"', b'"event": "encoder_off"')
"""Markers of the journal lines that hold results."""


@dataclass(frozen=True)
class Result:
    """One complete round of one run."""

    run: str
    round: int
    sparsity: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    """Measure -> score; unknown ones are missing."""
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Those of `FLOORS` that are known -> measure -> score, on the same rows; encoder off is that of the run's dense model."""
    size_bytes: int | None = None
    """Of the model as bitmask and kept values; older versions did not tell."""
    split: str = ""
    rows: int = 0
    """Number of rows that were scored."""
    seconds: float = 0.0
    signatures: Mapping[str, str] = field(default_factory=dict)
    """Measure -> how it was computed; `ENCODER_OFF` -> how the layers were taken out."""
    ms_per_row: float | None = None
    """Milliseconds of the beam search for one row, decoded in batches; older versions did not record it."""
    ms_per_token: float | None = None
    """Milliseconds of the beam search for one token of the comments."""
    decoded_on: str = ""
    """The conditions of these times, such as "cpu, 2 threads, beam 10, batch 8"."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Measure -> the interval of its score; older versions did not compute any."""
    against_dense: Mapping[str, Difference] = field(default_factory=dict)
    """Measure -> this score minus that of the run's dense round, on the same rows; empty for the dense round itself."""
    bootstrap: str = ""
    """How the intervals were computed."""
    dense_less: Mapping[str, Difference] = field(default_factory=dict)
    """Measure -> the run's dense score minus that with its encoder off; empty where it was not measured."""
    data: str = ""
    """Digest of the split that the rows were taken from; "" where `meta.json` does not record it."""
    before: float = 0.0
    """Sparsity of the model before the run; `sparsity` is that of the weights that the recipe prunes."""
    left_out: int = 0
    """Number of its scores that are impossible numbers."""
    quantizer: str = ""
    """The quantizer of a model that was quantized and measured after its run; "" for the round itself."""
    label: str = ""
    """Name of the model where it is no round of a run, and `round` its place in a list."""

    def floors_of(self, measure: str) -> dict[str, float]:
        """The floors under one measure, in the order of `FLOORS`.

        Args:
            measure: One of `MEASURES`.
        """
        return {name: self.floors[name][measure] for name in FLOORS if measure in self.floors.get(name, {})}


class ResultsReader:
    """Reads the results of a run as they come.

    Args:
        paths: The run; none of its files need exist yet.
    """

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self._lines = LineReader(paths.journal)
        self._journalled: dict[int, RoundFinished] = {}
        self._floors: FloorsMeasured | None = None
        self._encoder_off: EncoderOffMeasured | None = None
        self._written: dict[int, dict[str, object]] = {}
        self._digests: Mapping[str, object] | None = None
        """Split -> digest of its data; None until `meta.json` is there."""

    def poll(self) -> tuple[Result, ...]:
        """All complete rounds known so far, ascending."""
        while batch := self._lines.poll():
            for line in batch:
                # Only these lines are validated: the rest of a long journal would take seconds.
                if any(word in line for word in TOLD):
                    self._take(line)
        on_disk = self.paths.finished_rounds()
        for number in on_disk:
            if number not in self._written and (metrics := read_metrics(self.paths.round(number))) is not None:
                self._written[number] = metrics
        known = sorted({*self._journalled, *(number for number in on_disk if number in self._written)})
        return tuple(self._result(number) for number in known)

    def _take(self, line: bytes) -> None:
        what = from_line(line).what
        if isinstance(what, RoundFinished) and 0 <= what.round < LARGEST:
            self._journalled[what.round] = what
        elif isinstance(what, FloorsMeasured):
            self._floors = what
        elif isinstance(what, EncoderOffMeasured):
            self._encoder_off = what

    def _result(self, number: int) -> Result:
        result = Result(self.paths.name, number)
        if (event := self._journalled.get(number)) is not None:
            result = _with_metrics(result, {**asdict(event), "scores": _scores(event.scores), "sparsity_before": event.before})
        if (floors := self._floors) is not None:
            both = {"name": _scores(floors.name), "constant": _scores(floors.constant)}
            result = replace(result, floors=both, split=floors.split, rows=floors.rows)
        result = _with_metrics(result, self._written.get(number, {}))
        if (off := self._encoder_off) is not None:
            result = _with_encoder_off(result, {"encoder_off": {**asdict(off), "signature": off.signatures.get(ENCODER_OFF)}})
        result = _with_encoder_off(result, self._written.get(0, {}))
        digest = self._read_digests().get(result.split)
        return replace(result, data=digest) if isinstance(digest, str) else result

    def _read_digests(self) -> Mapping[str, object]:
        if self._digests is None and (meta := _read_meta(self.paths)) is not None:
            self._digests = _mapping(meta.get("data"))  # never changes: a run refuses other data
        return self._digests or {}


def _read_meta(paths: RunPaths) -> Mapping[str, object] | None:
    try:
        return _mapping(json.loads(paths.meta.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def _scores(scores: Scores | None) -> dict[str, float]:
    return _numbers(asdict(scores)) if scores is not None else {}


def _with_metrics(result: Result, metrics: Mapping[str, object]) -> Result:
    """The result with the entries of `metrics.json`; entries that it lacks stay as they were."""
    floors, signatures = _mapping(metrics.get("floors")), _mapping(metrics.get("signatures"))
    numbers, split, bootstrap = _numbers(metrics), metrics.get("split"), metrics.get("bootstrap")
    lost = [name for name, value in _mapping(metrics.get("scores")).items() if value is not None and number_of(value) is None]
    changes = {name: Difference(**each) for name, each in _each(metrics, "against_dense", ("value", "low", "high"))}
    scores = {**result.scores, **_numbers(_mapping(metrics.get("scores")))}
    spreads = _each(metrics, "intervals", ("low", "high"))
    intervals = {name: Interval(scores[name], **each) for name, each in spreads if name in scores}
    return replace(
        result,
        sparsity=numbers.get("sparsity", result.sparsity),
        before=numbers.get("sparsity_before", result.before),
        seconds=numbers.get("seconds", result.seconds),
        scores=scores,
        floors={**result.floors, **{name: _numbers(_mapping(floors[name])) for name in FLOORS if name in floors}},
        size_bytes=int(numbers["size_bytes"]) if "size_bytes" in numbers else result.size_bytes,
        split=split if isinstance(split, str) else result.split,
        rows=int(numbers.get("rows", result.rows)),
        signatures={measure: str(text) for measure, text in signatures.items()},
        intervals={**result.intervals, **intervals},
        against_dense={**result.against_dense, **changes},
        bootstrap=bootstrap if isinstance(bootstrap, str) else result.bootstrap,
        left_out=max(result.left_out, len(lost)),
        **_times(_mapping(metrics.get("decoding"))),
    )


def _with_encoder_off(result: Result, dense: Mapping[str, object]) -> Result:
    """The result with the encoder-off figures of round 0, which are a floor of every round."""
    measured = _mapping(dense.get("encoder_off"))
    if not (scores := _numbers(_mapping(measured.get("scores")))):
        return result
    less = {name: Difference(**each) for name, each in _each(measured, "dense_less", ("value", "low", "high"))}
    signature = measured.get("signature")
    signatures = {**result.signatures, ENCODER_OFF: signature} if isinstance(signature, str) else result.signatures
    return replace(result, floors={**result.floors, ENCODER_OFF: scores}, dense_less=less, signatures=signatures)


class _Times(TypedDict, total=False):
    ms_per_row: float | None
    ms_per_token: float | None
    decoded_on: str


def _times(decoding: Mapping[str, object]) -> _Times:
    """The times of the search that can be computed; {} where none was measured."""
    numbers = _numbers(decoding)
    seconds, device = numbers.get("seconds", 0.0), decoding.get("device")
    if seconds <= 0:
        return {}
    each = [1000 * seconds / numbers[of] if numbers.get(of, 0) >= 1 else None for of in ("rows", "tokens")]
    counts = {name: int(numbers.get(name, 0)) for name in ("threads", "beam", "batch_size")}
    threads = "1 thread" if counts["threads"] == 1 else f"{counts['threads']} threads"
    on = f"{device}, {threads}, beam {counts['beam']}, batch {counts['batch_size']}"
    return {"ms_per_row": each[0], "ms_per_token": each[1], "decoded_on": on}


def _each(metrics: Mapping[str, object], key: str, ends: tuple[str, ...]) -> Iterator[tuple[str, dict[str, float]]]:
    """What a key says of each measure, where all the wanted numbers are there."""
    for measure in TITLES:
        numbers = _numbers(_mapping(_mapping(metrics.get(key)).get(measure)))
        if all(name in numbers for name in ends):
            yield measure, {name: numbers[name] for name in ends}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {name: number for name, value in values.items() if (number := number_of(value)) is not None}


def measures_of(results: Iterable[Result]) -> dict[str, str]:
    """The measures to show for some results: measure -> its name; those with an embedder only where a result has them."""
    return TITLES if any(SEMANTIC in result.scores for result in results) else MEASURES


def of_metrics(metrics: Mapping[str, object], dense: Mapping[str, object] | None = None) -> Result:
    """The result that a `metrics.json` holds by itself, wherever it lies.

    Args:
        metrics: That of a round, or the output of `evaluate --json`.
        dense: Those of round 0, whose encoder-off figures are a floor of every round.
    """
    return _with_encoder_off(_with_encoder_off(_with_metrics(Result("", 0), metrics), dense or {}), metrics)


def to_csv(results: Iterable[Result]) -> str:
    """Results as comma-separated values, a header first; unknown values are empty cells.

    Args:
        results: In the order of the lines.

    Returns:
        The text, with a line end after each line.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    floors = [(name, measure) for name in FLOORS for measure in TITLES]
    writer.writerow(
        [
            "run", "round", "sparsity", *TITLES, "size_bytes", *(f"floor_{name}_{measure}" for name, measure in floors),
            "split", "rows", "seconds", *(f"{measure}_signature" for measure in TITLES),
            "ms_per_row", "ms_per_token", "decoded_on",
            *(f"{measure}_{end}" for measure in TITLES for end in ("low", "high")),
            *(f"{measure}_{name}" for measure in TITLES for name in ("change", "change_low", "change_high")), "bootstrap",
            *(f"{measure}_over_{name}" for name, measure in floors), "data_digest", "sparsity_before",
            *(f"floor_{ENCODER_OFF}_{measure}" for measure in TITLES),
            *(f"{measure}_dense_less_encoder_off{end}" for measure in TITLES for end in ("", "_low", "_high")),
        ]
    )  # fmt: skip
    for result in results:
        cells = [result.run, result.round, result.sparsity, *(result.scores.get(measure, "") for measure in TITLES)]
        cells += ["" if result.size_bytes is None else result.size_bytes]
        cells += [result.floors.get(name, {}).get(measure, "") for name, measure in floors]
        cells += [result.split, result.rows, result.seconds, *(result.signatures.get(measure, "") for measure in TITLES)]
        cells += ["" if time is None else time for time in (result.ms_per_row, result.ms_per_token)]
        cells += [result.decoded_on]
        for measure in TITLES:
            spread = result.intervals.get(measure)
            cells += [spread.low, spread.high] if spread else ["", ""]
        for measure in TITLES:
            change = result.against_dense.get(measure)
            cells += [change.value, change.low, change.high] if change else ["", "", ""]
        cells += [result.bootstrap, *(_over(result, name, measure) for name, measure in floors), result.data, result.before]
        cells += [result.floors.get(ENCODER_OFF, {}).get(measure, "") for measure in TITLES]
        for measure in TITLES:
            less = result.dense_less.get(measure)
            cells += [less.value, less.low, less.high] if less else ["", "", ""]
        writer.writerow(cells)
    return text.getvalue()


def _over(result: Result, floor: str, measure: str) -> float | str:
    """A score minus one floor on the same rows; an empty cell where one of them is unknown."""
    score, below = result.scores.get(measure), result.floors_of(measure).get(floor)
    return "" if score is None or below is None else score - below
