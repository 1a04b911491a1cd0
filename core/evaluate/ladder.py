"""Measures every quantizer on one model: scores, sizes, times, and the error of each layer.

All quantizers get the same rows, tokenized once, and the same batches. They are timed in turns, one repeat of each after the
other, so that whatever else the machine does affects all of them. Knows neither the command line nor how a table looks.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ..compress.quantize import UnavailableError, memory_bytes, multiplied_weights, on_this_device, quantize, quantized_weights
from ..compress.quantized_files import stored_bytes
from ..data import Encoded, pad_lists, subset
from ..decode import search_all
from ..families.device import width_multiple
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..recipe import Evaluation as EvaluationRecipe
from ..recipe import Search
from ..score import metrics
from ..score.significance import bootstrap, paired_bootstrap
from ..shortage import is_shortage
from ..spec.checkpoint_files import INDEXES
from ..spec.quantizers import METHODS
from ..spec.weightheaders import shards
from ..study.ladderfile import SCORE_PLACES, AblationResult, Explanation, Gap, LayerSpread, QuantizerResult, SplitScores, Timing
from .evaluate import evaluate, floors_of
from .layer_errors import ABLATIONS, Batch, ablated, layer_errors, spreads
from .speed import TOKENS, Entrant, equal_tokens, timed

SCORES = ("chrf", "bleu", "corpus_bleu", "rouge_l")
BATCHES = (1, 32)
"""Numbers of Ruby methods commented together when decoding is timed."""
ERROR_BATCH = 16
"""Number of rows computed together when layers are compared."""

Tell = Callable[[str], None]
"""Takes one line of narration."""


@dataclass(frozen=True)
class LadderSettings:
    """Settings of a ladder's measurement."""

    evaluation: EvaluationRecipe
    """Beam, lengths, batch size; its split is not used."""
    repeats: int = 5
    """How often each time is measured."""
    fixed_tokens: int = 32
    """Number of tokens decoded to time one token."""
    error_rows: int = 64
    """Number of held-out rows on which layers are compared; 0 = no layer is."""
    explain_rows: int = 200
    """Number of rows of the first split on which each choice of rounding is scored."""


@dataclass(frozen=True)
class _Texts:
    predictions: tuple[str, ...]
    scores: metrics.Scores
    seconds: float
    tokens: float | None = None
    """Mean number of tokens of a comment; None where it was not counted."""
    ended: float | None = None
    """Share of comments that the model ended itself."""


Written = dict[str, dict[str, _Texts]]
"""Method -> split -> comments."""


@dataclass(frozen=True)
class Dense:
    """The dense model in fp32, with which all quantizers of a pruned model are compared."""

    model: CodeToText
    """Timed in turns with the quantized models."""
    rows: Encoded
    """The first split in its own tokens, which a smaller vocabulary does not have."""
    texts: dict[str, _Texts]
    """Split -> its comments, from `measure`."""


@dataclass(frozen=True)
class Measured:
    """The measurements of one model."""

    methods: tuple[QuantizerResult, ...]
    """One entry a quantizer; that of an unavailable one says why."""
    dense: tuple[Timing, ...] = ()
    """Times of the dense model in fp32, taken in turns with the others; none where it is this model."""


def measure(
    model: CodeToText,
    reader: Reader,
    splits: Mapping[str, Encoded],
    methods: Sequence[str],
    settings: LadderSettings,
    texts: Written,
    tell: Tell = lambda line: None,
    dense: Dense | None = None,
) -> Measured:
    """Measures quantizers.

    Args:
        model: In float32, on its device.
        reader: Its reader.
        splits: Split -> rows to score; the first one also serves for layer errors and times.
        methods: Names from `METHODS`, in the order of the list.
        settings: How.
        texts: Empty at first; gets the comments of all quantizers, for `explain`.
        tell: Called before each part.
        dense: What scores are compared with; None for the model itself in fp32.
    """
    copies, missing = _quantized(model, methods)
    first = next(iter(splits.values()))
    tokens = equal_tokens(first, dense.rows) if dense else TOKENS
    entrants = {name: Entrant(copy, first.sources, tokens) for name, copy in copies.items()}
    beside = {_DENSE: Entrant(dense.model, dense.rows.sources)} if dense else {}
    timings = _timings(beside | entrants, settings, tell)
    batches = _batches(first, settings.error_rows, model)
    texts["fp32"] = _scored_texts(model, reader, splits, settings, tell, "fp32")
    right = dense.texts if dense else texts["fp32"]
    results = []
    for name in methods:
        if name in missing:
            results.append(QuantizerResult(name, METHODS[name].does, unavailable=missing[name]))
            continue
        quantized = copies[name]
        if name not in texts:
            texts[name] = _scored_texts(quantized, reader, splits, settings, tell, name)
        results.append(
            QuantizerResult(
                name,
                METHODS[name].does + on_this_device(quantized),
                quantized_weights=quantized_weights(quantized),
                multiplied_weights=multiplied_weights(model),
                disk_bytes=stored_bytes(quantized) if METHODS[name].saves else 0,
                memory_bytes=memory_bytes(quantized),
                splits=_split_scores(texts[name], right, splits),
                timings=timings[name],
                layer_errors=layer_errors(model, quantized, batches) if batches and name != "fp32" else {},
            )
        )
    return Measured(tuple(results), timings.get(_DENSE, ()))


def explain(
    model: CodeToText,
    reader: Reader,
    splits: Mapping[str, Encoded],
    settings: LadderSettings,
    texts: Written,
    tell: Tell = lambda line: None,
) -> Explanation:
    """Measures what each choice of dynamic INT8 costs.

    Args:
        model: In float32, on its device.
        reader: Its reader.
        splits: Split -> rows; some of the first one are scored.
        settings: How.
        texts: As `measure` left it.
        tell: Called before each part.
    """
    split, encoded = next(iter(splits.items()))
    chosen = subset(len(encoded.rows), settings.explain_rows, settings.evaluation.seed)
    batches, some = _batches(encoded, settings.error_rows, model), {split: encoded.take(chosen)}
    whole = texts["fp32"][split].predictions
    right = {split: _texts_of([whole[row] for row in chosen], some[split], 0.0)}
    ablations = []
    for name, rounding in ABLATIONS.items():
        changed = ablated(model, rounding)
        written = _scored_texts(changed, reader, some, settings, tell, name)
        ablations.append(AblationResult(name, layer_errors(model, changed, batches), _split_scores(written, right, some)))
    spread_of = tuple(LayerSpread(**asdict(spread)) for spread in spreads(model, batches[0]))
    return Explanation(tuple(ablations), spread_of, floors(some))


def floors(splits: Mapping[str, Encoded]) -> dict[str, dict[str, dict[str, float]]]:
    """Split -> floor -> scores."""
    scores = {}
    for split, encoded in splits.items():
        both = floors_of(encoded.rows)
        scores[split] = {"constant": _three(both.constant), "name": _three(both.name)}
    return scores


def digest(path: Path) -> str:
    """SHA-256 of a weights file; of a model in several files, that of all of them in order."""
    total = hashlib.sha256()
    for part in sorted(shards(path)) if path.name in INDEXES else [path]:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def _quantized(model: CodeToText, methods: Sequence[str]) -> tuple[dict[str, CodeToText], dict[str, str]]:
    """The quantized models, and why others are unavailable; one forward pass shows whether a quantizer works here."""
    copies: dict[str, CodeToText] = {}
    missing: dict[str, str] = {}
    for name in methods:
        try:
            quantized = quantize(model, name)
            search_all(quantized, [[model.special.begin, 5, model.special.end]], Search(beam=1, max_length=2))
            copies[name] = quantized
        except UnavailableError as error:
            missing[name] = str(error)
        except RuntimeError as error:  # a device or version without the kernels
            if is_shortage(error):
                raise
            missing[name] = f"does not run here: {str(error).splitlines()[0]}"
    return copies, missing


def _scored_texts(
    model: CodeToText, reader: Reader, splits: Mapping[str, Encoded], settings: LadderSettings, tell: Tell, name: str
) -> dict[str, _Texts]:
    texts = {}
    for split, encoded in splits.items():
        tell(f"{name}: {len(encoded.rows):,} rows of {split}")
        done = evaluate(model, reader, encoded, settings.evaluation, floors=_NO_FLOORS)
        decoded, count = done.decoded, max(1, len(done.predictions))
        lengths = decoded.tokens / count, decoded.ended / count
        texts[split] = _Texts(done.predictions, done.result.scores, done.seconds, *lengths)
    return texts


def _texts_of(predictions: Sequence[str], encoded: Encoded, seconds: float) -> _Texts:
    return _Texts(tuple(predictions), metrics.score(predictions, [row.target for row in encoded.rows]).scores, seconds)


def _split_scores(
    texts: Mapping[str, _Texts], right: Mapping[str, _Texts], splits: Mapping[str, Encoded]
) -> dict[str, SplitScores]:
    scores = {}
    for split, encoded in splits.items():
        one, other, references = texts[split], right[split], [row.target for row in encoded.rows]
        gaps: dict[str, Gap] = {}
        same = None
        if one is not other:
            drawn = paired_bootstrap(one.predictions, other.predictions, references)
            gaps = {name: Gap(gap.value, gap.low, gap.high) for name, gap in drawn.items()}
            same = sum(a == b for a, b in zip(one.predictions, other.predictions, strict=True)) / len(references)
        own = {name: Gap(score.value, score.low, score.high) for name, score in bootstrap(one.predictions, references).items()}
        lengths = (None if each is None else round(each, 4) for each in (one.tokens, one.ended))
        scores[split] = SplitScores(_three(one.scores), gaps, same, round(one.seconds, 2), own, *lengths)
    return scores


def _timings(entrants: Mapping[str, Entrant], settings: LadderSettings, tell: Tell) -> dict[str, tuple[Timing, ...]]:
    timings_of: dict[str, list[Timing]] = {name: [] for name in entrants}
    for size in BATCHES:
        batch = min(size, min(len(entrant.sources) for entrant in entrants.values()))
        tell(f"times at batch {batch}, {settings.repeats} repeats of every method in turns")
        taken: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in entrants}
        for repeat in range(settings.repeats + 1):
            for name, entrant in entrants.items():
                once = _once(entrant, batch, settings)
                if repeat:  # the first one warms up
                    taken[name].append(once)
        for name, times in taken.items():
            comment, token, encode, equal = (round(statistics.median(part), 3) for part in zip(*times, strict=True))
            timings_of[name].append(Timing(batch, comment, token, encode, equal, entrants[name].tokens))
    return {name: tuple(timings) for name, timings in timings_of.items()}


@torch.inference_mode()
def _once(entrant: Entrant, batch: int, settings: LadderSettings) -> tuple[float, float, float, float]:
    """Milliseconds for all comments of a batch, for one forced step, for encoding, and for all comments at equal lengths."""
    model, search = entrant.model, replace(settings.evaluation.search, batch_size=batch)
    sources = [list(source) for source in sorted(entrant.sources[:batch], key=len, reverse=True)]
    begun = _now(model)
    search_all(model, sources, search)
    commented = _now(model)
    cache = model.prefill(pad_lists(sources, model.special.pad, width_multiple(model.device)).to(model.device))
    encoded = _now(model)
    token = torch.full((len(sources), 1), model.special.begin, device=model.device)
    for _ in range(settings.fixed_tokens):  # an end counts as any other token, so that all quantizers write the same number
        token = model.step(token, cache).argmax(-1)
    seconds = commented - begun, (_now(model) - encoded) / settings.fixed_tokens, encoded - commented
    comment, step, encoder = (1000 * each for each in seconds)
    return comment, step, encoder, batch * timed(entrant, search.beam, batch, time.perf_counter)


def _now(model: CodeToText) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def _batches(encoded: Encoded, rows: int, model: CodeToText) -> list[Batch]:
    chosen = range(min(rows, len(encoded.rows)))
    parts = [chosen[start : start + ERROR_BATCH] for start in range(0, len(chosen), ERROR_BATCH)]
    sides = (encoded.sources, encoded.targets)
    pairs = [[pad_lists([side[row] for row in part], model.special.pad).to(model.device) for side in sides] for part in parts]
    return [(sources, targets) for sources, targets in pairs]


def _three(scores: metrics.Scores) -> dict[str, float]:
    return {name: round(getattr(scores, name), SCORE_PLACES) for name in SCORES}


_DENSE = "dense"
"""Key of the dense model among quantizers' names."""
_NONE = metrics.Scores(0.0, 0.0, 0.0, 0.0, 0)
_NO_FLOORS = metrics.Floors(_NONE, _NONE)
"""Stands in where floors are not wanted: they are the same for all methods and counted once."""
