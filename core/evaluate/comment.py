"""Writes comments for Ruby methods with one model, for the command line and the playground.

Knows how a method becomes the text that a model reads, and how a model's tokens become a comment; not where either is shown. The
text handling is that of `core.evaluate.evaluate`, so a comment here is the one that an evaluation would score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..bleu import sentence_bleu
from ..data import PAPER_SOURCE_LENGTH
from ..decode import Hypothesis, search_all
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..model import is_finetuned, load_reader
from ..onnx.session import OnnxModel
from ..recipe import Device, Search
from ..ruby import Method, docstring_tokens, source_text, target_text
from ..score.metrics import name_prediction
from .evaluate import load_runnable


@dataclass(frozen=True)
class Writer:
    """A model that is ready to write comments."""

    model: CodeToText | OnnxModel
    """On its device, or in ONNX Runtime."""
    reader: Reader
    finetuned: bool = True
    """Whether its decoder has learned to write comments; comments of an untrained decoder mean nothing."""


@dataclass(frozen=True)
class Alternative:
    """One comment for a method, out of several."""

    text: str
    score: float
    """Sum of the log-probabilities of its tokens in nats; nearer to 0 is likelier."""
    tokens: int
    """Number of tokens written, the end included."""
    finished: bool
    """Whether the model ended the sentence itself, rather than being cut at `max_length`."""


def load_writer(model_path: str, *, device: Device = "auto", threads: int = 0) -> Writer:
    """Loads a model to write comments with.

    Args:
        model_path: Folder or hub name of the model.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.

    Raises:
        CodepruneError: The model cannot be loaded.
    """
    model = load_runnable(model_path, device, threads)
    finetuned = model.finetuned if isinstance(model, OnnxModel) else is_finetuned(model_path)
    return Writer(model, load_reader(model_path), finetuned)


def write_comments(writer: Writer, methods: Sequence[Method], search: Search) -> list[list[Alternative]]:
    """Writes comments for methods.

    Args:
        writer: The model.
        methods: Methods as `core.ruby.methods` finds them.
        search: Beam, length, number of alternatives, length penalty.

    Returns:
        The alternatives of each method, in order, the best first; the best does not depend on their number.

    Raises:
        ModelError: A setting does not fit the model, or the model's output is not a number.
    """
    texts = [source_text(method.tokens) for method in methods]
    sources = writer.reader.sources(texts, min(PAPER_SOURCE_LENGTH, writer.model.positions))
    return [[_alternative(writer, one) for one in hypotheses] for hypotheses in search_all(writer.model, sources, search)]


def comment_methods(
    model_path: str, methods: Sequence[Method], search: Search, *, device: Device = "auto", threads: int = 0
) -> list[str]:
    """Writes a comment for each method.

    Args:
        model_path: Folder or hub name of the model.
        methods: Methods as `core.ruby.methods` finds them.
        search: Beam, length and length penalty.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.

    Returns:
        One comment a method, in order.

    Raises:
        CodepruneError: The model cannot be loaded.
    """
    writer = load_writer(model_path, device=device, threads=threads)
    return [best.text for best, *_ in write_comments(writer, methods, search)]


def reference_of(method: Method) -> str:
    """The method's own comment in the form of a row of data; empty where it has none."""
    return target_text(docstring_tokens(method.comment))


def own_score(comment: str, method: Method) -> tuple[float, float] | None:
    """Scores a comment against the method's own.

    Args:
        comment: A model's comment.
        method: The method that it is for.

    Returns:
        Smoothed BLEU-4 of the comment, and its floor, that of the method's name split into words; each 0 to 100. None where
        the method has no comment of its own.
    """
    reference = reference_of(method)
    if not reference:
        return None
    return sentence_bleu(comment, [reference]), sentence_bleu(name_prediction(method.qualified), [reference])


def _alternative(writer: Writer, hypothesis: Hypothesis) -> Alternative:
    text = writer.reader.text(hypothesis.tokens)
    return Alternative(text, hypothesis.score, len(hypothesis.tokens) + hypothesis.finished, hypothesis.finished)
