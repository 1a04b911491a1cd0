"""The results of a quantization ladder, as its JSON file holds them. Torch-free, because showing it needs no model.

The file contains no path of the machine that it was measured on.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..atomic import complete_or_absent
from ..errors import DataError
from ..program import program
from ..regularfile import JSON_BYTES, read_regular, reason
from ..run.folder import LARGEST
from ..score.interval import Difference

KIND = "quantization ladder"
SCORE_PLACES = 4
"""Decimal places of the scores and floors in such files; those in a run's folder are not rounded."""

Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
"""Limits of measured values: neither NaN nor numbers that would not fit a cell."""


@dataclass(frozen=True)
class Gap:
    """A number with the middle 95 % of the bootstrap; of a difference, of the paired one on the same rows."""

    value: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class SplitScores:
    """A method's comments for the rows of one split."""

    scores: dict[str, Number]
    """bleu, corpus_bleu, chrf, rouge_l; 0 to 100. Files of older versions lack the last."""
    less_fp32: dict[str, Gap]
    """The same names; empty for fp32 itself and where it was not measured."""
    same_comments: Number | None
    """Share of rows with the very comment that fp32 wrote."""
    seconds: Number
    """Seconds of decoding and scoring."""
    intervals: dict[str, Gap] = field(default_factory=dict)
    """The scores again, with the middle 95 % of the bootstrap over the rows."""
    tokens: Number | None = None
    """Mean number of tokens of a comment, its end included; a damaged decoder runs on. Files of older versions lack it."""
    ended: Number | None = None
    """Share of the comments that the model ended itself, in [0, 1]."""


@dataclass(frozen=True)
class Timing:
    """How long comments take, medians over the repeats."""

    batch: int
    """Methods commented together."""
    comment_ms: Number
    """Beam search for the whole batch, each comment as long as it gets."""
    token_ms: Number
    """One step of greedy decoding for the whole batch, without the encoder, over a fixed number of tokens."""
    encode_ms: Number
    """The encoder and the decoder's keys of the source, for the whole batch."""
    equal_ms: Number | None = None
    """Beam search for the whole batch where no model may end a comment; older versions did not measure it."""
    equal_tokens: int = 0
    """Tokens of each comment then: as many as the same comments have in the model's tokens."""

    @property
    def ms_per_comment(self) -> float:
        """Milliseconds of beam search for one comment: of equal lengths where that was measured, else as long as each gets.

        A damaged decoder runs on, or ends at once, and neither says how fast it computes.
        """
        return (self.comment_ms if self.equal_ms is None else self.equal_ms) / max(1, self.batch)

    @property
    def ms_per_token(self) -> float:
        """Milliseconds of beam search for one token; of greedy decoding in files of older versions."""
        if self.equal_ms is None or not self.equal_tokens:
            return self.token_ms
        return self.ms_per_comment / self.equal_tokens


@dataclass(frozen=True)
class QuantizerResult:
    """One line of the ladder."""

    method: str
    does: str
    unavailable: str | None = None
    """Why there are no measurements; None where there are."""
    quantized_weights: int = 0
    """Multiplied weights held in fewer than 32 bits."""
    multiplied_weights: int = 0
    """All weights that the model multiplies by, the output layer's included, embeddings left out."""
    disk_bytes: int = 0
    """Tensors of the saved model; a header of some kilobytes comes on top."""
    saved_as: str = ""
    """In which form a model folder of this method holds the weights."""
    memory_bytes: int = 0
    """Weights and buffers; integers and scales counted as they are."""
    splits: dict[str, SplitScores] = field(default_factory=dict)
    timings: tuple[Timing, ...] = ()
    layer_errors: dict[str, Number] = field(default_factory=dict)
    """Layer -> norm of the difference to fp32 over fp32's norm, on held-out rows."""

    def score(self, split: str, measure: str) -> float | None:
        """A score, or None where it was not measured."""
        return self.splits[split].scores.get(measure) if split in self.splits else None

    def less_fp32(self, split: str, measure: str) -> Difference | None:
        """The score minus that of fp32, with its interval; None where it was not measured."""
        gap = self.splits[split].less_fp32.get(measure) if split in self.splits else None
        return None if gap is None else Difference(gap.value, gap.low, gap.high)

    def numbers(self) -> dict[str, float]:
        """Everything that was measured, by dotted name such as `splits.test.scores.bleu` or `timings.batch 1.token_ms`."""
        return dict(_numbers({**asdict(self), "timings": {f"batch {each.batch}": asdict(each) for each in self.timings}}))


@dataclass(frozen=True)
class AblationResult:
    """What one choice of rounding costs, the other choices being torch's."""

    name: str
    layer_errors: dict[str, Number]
    splits: dict[str, SplitScores]


@dataclass(frozen=True)
class LayerSpread:
    """Activations and weights of one linear layer; see `evaluate.layer_errors.Spread`."""

    layer: str
    largest: Number
    median: Number
    feature_ratio: Number
    activation_error: Number
    token_error: Number
    weight_error: Number
    row_error: Number


@dataclass(frozen=True)
class Explanation:
    """Why dynamic INT8 loses quality, or does not."""

    ablations: tuple[AblationResult, ...]
    spreads: tuple[LayerSpread, ...]
    floors: dict[str, dict[str, dict[str, Number]]] = field(default_factory=dict)
    """Split -> floor -> scores, on the rows of the ablations; files of older versions lack them."""


@dataclass(frozen=True)
class Ladder:
    """The whole file."""

    model: str
    """Its path as given; only the last part where that lies outside the working directory."""
    data: str
    """The path of the data, likewise."""
    command: str
    """The command that measures it again."""
    recipe: dict[str, int | Number | str | list[str]]
    """Seed, beam, lengths, batch size, repeats, threads, ..."""
    device: str
    versions: dict[str, str]
    """Package -> version, of everything that computes; `commit` where this is a checkout."""
    weights_sha256: str
    """Digest of the model's weights file."""
    rows: dict[str, int]
    """Split -> rows scored."""
    floors: dict[str, dict[str, dict[str, Number]]]
    """Split -> floor -> scores."""
    signatures: dict[str, str]
    methods: tuple[QuantizerResult, ...]
    explanation: Explanation | None = None
    kind: str = KIND
    schema: int = 1

    def method(self, name: str) -> QuantizerResult | None:
        """The line of a quantizer; None where it was not measured."""
        return next((line for line in self.methods if line.method == name), None)

    def floors_of(self, split: str, measure: str) -> dict[str, float]:
        """Floor -> its score under one measure, on the rows of a split."""
        return {name: scores[measure] for name, scores in self.floors.get(split, {}).items() if measure in scores}


_ADAPTER = TypeAdapter(Ladder)


def _numbers(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, int | float):
        yield name, float(value)


def to_json(ladder: Ladder) -> str:
    """The file's text."""
    return _ADAPTER.dump_json(ladder, indent=1).decode() + "\n"


def write_ladder(ladder: Ladder, path: Path) -> None:
    """Writes the file, complete or absent."""
    with complete_or_absent(path) as draft:
        draft.write_text(to_json(ladder), encoding="utf-8")


def read_ladder(path: Path) -> Ladder:
    """Reads such a file.

    Raises:
        DataError: The file is no ladder, or names no quantizer.
    """
    fix = f"Make it anew: {program()} quantize MODEL -o FILE"
    try:
        ladder = _ADAPTER.validate_json(read_regular(path, JSON_BYTES))
    except (OSError, ValidationError) as error:
        problem = reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a {KIND}: {problem}.", fix) from error
    if not ladder.methods:
        raise DataError(f"{path} names no quantization method.", fix)
    return ladder
