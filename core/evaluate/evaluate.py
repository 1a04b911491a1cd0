"""Evaluation: decodes rows with beam search, and scores and keeps the comments.

Knows how a model's comments are scored, not where they are shown. As in CodeXGLUE's code, a comment is scored against the joined
comment tokens.
"""

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..bleu import sentence_bleu
from ..data import PAPER_SOURCE_LENGTH, PAPER_TARGET_LENGTH, Encoded, encode_for, subset
from ..decode import Hypothesis, search_batches
from ..errors import ModelError
from ..families.device import choose_device
from ..families.reader import Reader
from ..families.roberta import CodeToText, without_encoder
from ..model import load_model, load_reader, place
from ..onnx.session import OnnxModel
from ..onnx.session import load as load_onnx
from ..recipe import DecodingPrecision, Device, Search
from ..recipe import Evaluation as EvaluationRecipe
from ..run.encoder_off import EncoderOff
from ..run.events import Sample, Scores
from ..run.predictions import read_predictions, tally_of
from ..score import metrics, significance
from ..score.interval import Difference, Interval
from ..score.semantic import Embedder
from ..score.tally import Tally, joined, scored, tally
from ..spec.checkpoint_files import is_onnx
from ..text.rows import BrokenRow, Row, Rows, load_rows

SearchBatches = Callable[
    [CodeToText | OnnxModel, Sequence[Sequence[int]], Search], Iterator[tuple[list[int], list[list[Hypothesis]]]]
]
"""What `search_batches` is: model, sources and settings -> row numbers and their hypotheses, batch by batch."""


@dataclass(frozen=True)
class Decoded:
    """A model's comments for some sources, and how long decoding took."""

    texts: tuple[str, ...]
    tokens: int
    """Number of tokens of these texts, their ends included; other places of the beam are not counted."""
    seconds: float
    """Seconds of the search alone, without making texts, events and pauses between two batches."""
    batch_size: int
    """Number of sources in the largest batch."""
    ended: int = 0
    """Number of texts that the model ended itself; the others were cut at the longest length."""


@dataclass(frozen=True)
class Evaluation:
    """Comments of a model for some rows, and their scores."""

    rows: tuple[Row, ...]
    predictions: tuple[str, ...]
    result: metrics.ScoredPredictions
    floors: metrics.Floors
    """The scores of a constant sentence and of the method's name on the same rows."""
    signatures: dict[str, str]
    seconds: float
    """Seconds of decoding and scoring."""
    decoded: Decoded
    tally: Tally
    """The share of each row in each score."""
    encoder_off: EncoderOff | None = None
    """The model's scores on these rows without its encoder layers; None where they were not measured."""

    @property
    def scores(self) -> Scores:
        """The scores as an event carries them."""
        return as_event(self.result.scores)

    def samples(self, count: int) -> list[Sample]:
        """The first rows with their comments; the same rows for every model."""
        return [
            Sample(row.index, row.name, row.target, text, round(bleu, 2), round(name_bleu(row.name, row.target), 2))
            for row, text, bleu in list(zip(self.rows, self.predictions, self.result.sentences, strict=True))[:count]
        ]


def name_bleu(name: str, reference: str) -> float:
    """Smoothed BLEU-4 of a method's own name, split into words, against its comment: the floor of one row."""
    return sentence_bleu(metrics.name_prediction(name), [reference])


def as_event(scores: metrics.Scores) -> Scores:
    """Scores in the form of events."""
    return Scores(scores.bleu, scores.corpus_bleu, scores.chrf, scores.rouge_l, scores.semantic)


def evaluate(
    model: CodeToText | OnnxModel,
    reader: Reader,
    encoded: Encoded,
    recipe: EvaluationRecipe,
    after_batch: Callable[[int], None] = lambda done: None,
    floors: metrics.Floors | None = None,
    clock: Callable[[], float] = time.monotonic,
    embedder: Embedder | None = None,
    search: SearchBatches = search_batches,
) -> Evaluation:
    """Decodes and scores rows.

    Args:
        model: The model, on its device.
        reader: Its reader.
        encoded: The rows to score, tokenized.
        recipe: Beam width, length and batch size.
        after_batch: Called after each batch with the number of rows decoded so far; may raise to interrupt.
        floors: Known floors of these rows, which saves computing them again.
        clock: Seconds; may stand still while `after_batch` waits.
        embedder: That of `recipe`, loaded; None where it names none.
        search: Finds the comments, as `search_batches` does.

    Returns:
        Comments and scores, in the order of the rows.
    """
    started = clock()
    tallies: list[tuple[Sequence[int], Tally]] = []

    def count(rows: Sequence[int], texts: Sequence[str]) -> None:
        references = [encoded.rows[row].target for row in rows]
        counted = tally(texts, references)
        if embedder is not None:
            counted = embedder.counted(counted, texts, [[reference] for reference in references])
        tallies.append((rows, counted))

    decoded = decode_texts(
        in_precision(model, recipe.precision),
        reader,
        encoded.sources,
        recipe.search,
        after_batch,
        beside=count,
        in_batches=search,
    )
    counted = joined(tallies)
    return Evaluation(
        rows=encoded.rows,
        predictions=decoded.texts,
        result=scored(counted),
        floors=floors or floors_of(encoded.rows, embedder),
        signatures=metrics.signatures() | ({"semantic": embedder.signature} if embedder else {}) | recipe.signature,
        seconds=clock() - started,
        decoded=decoded,
        tally=counted,
    )


def in_precision(model: CodeToText | OnnxModel, precision: DecodingPrecision) -> CodeToText | OnnxModel:
    """The model itself, or a copy of it in bf16.

    Args:
        model: The model, on its device.
        precision: "model" or "bf16".

    Raises:
        ModelError: The model has numbers that are no floating point, or runs in ONNX Runtime.
    """
    if precision == "model":
        return model
    if isinstance(model, OnnxModel) or model.config.quantization is not None:
        raise ModelError(
            f"A quantized or ONNX model cannot be decoded in {precision}.",
            'Leave out --precision (evaluation.precision = "model").',
        )
    return copy.deepcopy(model).bfloat16().eval()


def measure_encoder_off(
    model: CodeToText,
    reader: Reader,
    encoded: Encoded,
    recipe: EvaluationRecipe,
    whole: Evaluation,
    after_batch: Callable[[int], None] = lambda done: None,
    embedder: Embedder | None = None,
    search: SearchBatches = search_batches,
) -> EncoderOff:
    """Scores a model without its encoder layers, and compares that with the model as it is.

    Args:
        model: The model, on its device.
        reader: Its reader.
        encoded: The rows.
        recipe: The settings with which `whole` was evaluated.
        whole: The evaluation of the model as it is, on the same rows.
        after_batch: As for `evaluate`.
        embedder: As for `evaluate`.
        search: As for `evaluate`.

    Returns:
        Scores, intervals and differences.
    """
    with without_encoder(model):
        off = evaluate(model, reader, encoded, recipe, after_batch, whole.floors, embedder=embedder, search=search)
    draws = significance.draw(len(off.rows))
    less = significance.differences([whole.tally], [off.tally], draws)
    return EncoderOff(off.scores, significance.intervals([off.tally], draws), less, off.seconds)


def floors_of(rows: Sequence[Row], embedder: Embedder | None = None) -> metrics.Floors:
    """The floors of some rows; with an embedder, their cosines too."""
    references, names = [row.target for row in rows], [row.name for row in rows]
    floors = metrics.floors(references, names)
    return floors if embedder is None else embedder.floors(floors, [[reference] for reference in references], names)


def load_embedder(recipe: EvaluationRecipe) -> Embedder | None:
    """The embedder that a recipe names, or None.

    Raises:
        ModelError: It cannot be loaded.
    """
    return Embedder(Path(recipe.embedder)) if recipe.embedder else None


def decode_texts(
    model: CodeToText | OnnxModel,
    reader: Reader,
    sources: Sequence[Sequence[int]],
    search: Search,
    after_batch: Callable[[int], None] = lambda done: None,
    *,
    beside: Callable[[Sequence[int], Sequence[str]], None] = lambda rows, texts: None,
    in_batches: SearchBatches = search_batches,
) -> Decoded:
    """The best comment for each source, as text.

    A second thread makes the texts and hands them on while the model decodes the next batch.

    Args:
        model: The model.
        reader: Its reader.
        sources: Token ids with `<s>` and `</s>`.
        search: Beam, length, batch size, length penalty.
        after_batch: Called with the number of sources done after each batch.
        beside: Called by that thread with the places of a batch's sources and their texts; whatever it raises is raised here at
            the end.
        in_batches: Finds the comments, as `search_batches` does.

    Returns:
        One text a source, in order, and how long they took.
    """
    texts = [""] * len(sources)

    def write(rows: Sequence[int], written: Sequence[Sequence[int]]) -> None:
        for row, ids in zip(rows, written, strict=True):
            texts[row] = reader.text(ids)
        beside(rows, [texts[row] for row in rows])

    done, tokens, ended, most, seconds = 0, 0, 0, 0, 0.0
    batches = in_batches(model, sources, search)
    with ThreadPoolExecutor(1, thread_name_prefix="texts") as second:
        at_work: list[Future[None]] = []
        while True:
            begun = time.monotonic()
            batch = next(batches, None)
            seconds += time.monotonic() - begun
            if batch is None:
                break
            rows, best = batch[0], [hypotheses[0] for hypotheses in batch[1]]
            at_work.append(second.submit(write, rows, [hypothesis.tokens for hypothesis in best]))
            tokens += sum(len(hypothesis.tokens) + hypothesis.finished for hypothesis in best)
            ended += sum(hypothesis.finished for hypothesis in best)
            done, most = done + len(rows), max(most, len(rows))
            after_batch(done)
        for written in at_work:
            written.result()
    return Decoded(tuple(texts), tokens, seconds, search.batch_size or most, ended)


def write_predictions(evaluation: Evaluation, path: Path) -> None:
    """Writes one JSON object a row, with index, name, prediction, reference, bleu, and with an embedder semantic."""
    cosines = evaluation.tally.semantic
    more = [{}] * len(evaluation.rows) if cosines is None else [{"semantic": cosine} for cosine in cosines.tolist()]
    with path.open("w", encoding="utf-8") as file:
        for row, text, bleu, semantic in zip(
            evaluation.rows, evaluation.predictions, evaluation.result.sentences, more, strict=True
        ):
            line = {"index": row.index, "name": row.name, "prediction": text, "reference": row.target, "bleu": bleu, **semantic}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Uncertainty:
    """Intervals of a round's scores and of their differences from the dense model's."""

    intervals: Mapping[str, Interval]
    """Measure -> its score and the interval."""
    against_dense: Mapping[str, Difference]
    """Measure -> score minus the dense model's, on the same rows; empty where there is nothing to compare with."""

    def facts(self) -> dict[str, object]:
        """Entries of `metrics.json`: "intervals", "against_dense" where it is known, and "bootstrap", how both were computed."""
        facts: dict[str, object] = {
            "intervals": {name: {"low": each.low, "high": each.high} for name, each in self.intervals.items()},
            "bootstrap": significance.SIGNATURE,
        }
        if self.against_dense:
            facts["against_dense"] = {name: asdict(each) for name, each in self.against_dense.items()}
        return facts


def uncertainty(evaluation: Evaluation, dense: Path | None) -> Uncertainty:
    """Resamples the rows of an evaluation.

    Args:
        evaluation: Of a round.
        dense: The dense model's comments for the same rows; None in the dense round itself. Without them, or where they belong to
            other rows, only the intervals of the scores are computed.
    """
    references = [row.target for row in evaluation.rows]
    draws, ours = significance.draw(len(references)), evaluation.tally
    before = read_predictions(dense) if dense is not None else None
    against = {}
    if before is not None and [(p.index, p.reference) for p in before] == [(row.index, row.target) for row in evaluation.rows]:
        against = significance.differences([ours], [tally_of(before)], draws)
    return Uncertainty(significance.intervals([ours], draws), against)


def evaluate_model(
    model_path: str,
    data_path: str,
    recipe: EvaluationRecipe,
    *,
    source_length: int = PAPER_SOURCE_LENGTH,
    target_length: int = PAPER_TARGET_LENGTH,
    device: Device = "auto",
    threads: int = 0,
    encoder_off: bool = False,
    progress: Callable[[int, int], None] = lambda done, rows: None,
    skipped: Callable[[Sequence[BrokenRow]], None] | None = None,
) -> Evaluation:
    """Scores a model folder on a split.

    Args:
        model_path: Folder or hub name of the model.
        data_path: Folder or hub name of the data.
        recipe: Split, rows, seed of their draw, beam, length, batch size.
        source_length: Longest source in tokens; a model with fewer positions reads as many as it has.
        target_length: Longest comment in tokens.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.
        encoder_off: Whether to score the model without its encoder layers as well.
        progress: Called with (rows decoded, rows in all); with `encoder_off`, every row is decoded twice.
        skipped: Called with the rows that cannot be used and are left out; without it, such rows are an error.

    Returns:
        Comments and scores.

    Raises:
        CodepruneError: Model or data cannot be loaded.
    """
    read = _read_rows(data_path, recipe, skipped)
    embedder = load_embedder(recipe)
    model = load_runnable(model_path, device, threads)
    reader, chosen = _encoded(model, model_path, read, recipe, source_length, target_length)
    rows, total = len(chosen.rows), len(chosen.rows) * (2 if encoder_off else 1)
    whole = evaluate(model, reader, chosen, recipe, lambda done: progress(done, total), embedder=embedder)
    if not encoder_off:
        return whole
    if isinstance(model, OnnxModel):
        raise ModelError(f"{model_path} is an ONNX model, whose encoder cannot be taken out.", "Give the model it came from.")
    off = measure_encoder_off(model, reader, chosen, recipe, whole, lambda done: progress(rows + done, total), embedder)
    return replace(whole, encoder_off=off)


def load_for_evaluation(
    model_path: str,
    data_path: str,
    recipe: EvaluationRecipe,
    *,
    source_length: int = PAPER_SOURCE_LENGTH,
    target_length: int = PAPER_TARGET_LENGTH,
    device: Device = "auto",
    threads: int = 0,
    skipped: Callable[[Sequence[BrokenRow]], None] | None = None,
) -> tuple[CodeToText, Reader, Encoded]:
    """Loads what an evaluation needs; arguments as for `evaluate_model`.

    Returns:
        The model on its device, its reader, and the rows that the recipe draws.

    Raises:
        CodepruneError: Model or data cannot be loaded.
    """
    choose_device(device, threads)  # fails before anything is read where it is not there
    read = _read_rows(data_path, recipe, skipped)
    model = load_model(model_path)
    reader, chosen = _encoded(model, model_path, read, recipe, source_length, target_length)
    return place(model, device, threads, model_path), reader, chosen


def load_runnable(model_path: str, device: Device, threads: int) -> CodeToText | OnnxModel:
    """Loads a model that is to write comments, in whichever runtime it needs.

    Args:
        model_path: Folder or hub name of the model.
        device: Where to compute; ONNX models run on the CPU alone.
        threads: CPU threads, 0 = as many as cores.

    Raises:
        ModelError: The model cannot be loaded, or does not run on this device.
    """
    if not is_onnx(model_path):
        return place(load_model(model_path), device, threads, model_path)
    if device not in ("auto", "cpu"):
        raise ModelError(f"{model_path} is an ONNX model, which runs on the CPU and not on {device}.", "Leave out --device.")
    return load_onnx(model_path, threads)


def _read_rows(data_path: str, recipe: EvaluationRecipe, skipped: Callable[[Sequence[BrokenRow]], None] | None) -> Rows:
    rows = load_rows(data_path, recipe.split, on_broken="stop" if skipped is None else "skip")
    if skipped is not None:
        skipped(rows.broken)
    return rows


def _encoded(
    model: CodeToText | OnnxModel, path: str, rows: Rows, recipe: EvaluationRecipe, source_length: int, target_length: int
) -> tuple[Reader, Encoded]:
    """The reader of a model, and the rows that the recipe draws."""
    reader = load_reader(path)
    encoded = encode_for(model, reader, rows, source_length=source_length, target_length=target_length)
    return reader, encoded.take(subset(len(encoded.rows), recipe.rows, recipe.seed))
