"""All scores of a set of predictions at once, and the floors under them.

Beside the paper's smoothed BLEU-4 (`core.bleu`) stand corpus BLEU and chrF by sacrebleu and ROUGE-L by rouge-score, because the
first is lenient: on CodeXGLUE Ruby a program that prints the method's own name scores what CodeBERT scores. The floors are two
such programs, run on the same rows: a constant sentence, and the name split into words. Knows neither models nor files.

Sources: M. Post, "A call for clarity in reporting BLEU scores", WMT 2018 (sacrebleu); M. Popović, "chrF", WMT 2015; C.-Y. Lin,
"ROUGE", 2004. Which of them to trust: D. Roy, S. Fakhoury, V. Arnaoudova, "Reassessing automatic evaluation metrics for code
summarization tasks", ESEC/FSE 2021.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..bleu import SIGNATURE, corpus_bleu
from ..errors import DataError

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF

CONSTANT_PREDICTION = "Returns the value of the given ."
"""The comment of the constant floor for every method: the words that comments of Ruby methods most often begin with."""

TRUST = (
    "chrF leads: of these scores it agrees best with people (Roy et al. 2021). A difference below 2 points proves nothing, and "
    "corpus BLEU is not reliable below 5."
)
"""How far the scores can be trusted, for display beside them."""

ROUGE_SIGNATURE = "rouge-score|type:rougeL|measure:f|case:lc|tok:default|stem:no|mean:sentence"

_CAPITAL = re.compile(r"(?=[A-Z])")
_NAME_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class Scores:
    """The scores of the same predictions, each 0 to 100 (chrF and ROUGE-L too)."""

    bleu: float
    """Smoothed BLEU-4, mean over sentences: the paper's score."""
    corpus_bleu: float
    """BLEU over the whole corpus, lower-cased, tokenizer 13a."""
    chrf: float
    """Character n-gram F-score, lower-cased."""
    rouge_l: float
    """F-measure of the longest common subsequence of words, lower-cased, mean over sentences."""
    rows: int
    """Number of predictions that were scored."""
    semantic: float | None = None
    """Mean cosine of sentence embeddings, times 100; None without an embedder."""


@dataclass(frozen=True)
class ScoredPredictions:
    """The scores of a set of predictions, and the smoothed BLEU-4 of each."""

    scores: Scores
    """Scores over all rows."""
    sentences: tuple[float, ...]
    """Smoothed BLEU-4 of each row, 0 to 100, in order."""


@dataclass(frozen=True)
class Floors:
    """The scores of two programs that read no code, on the same rows."""

    constant: Scores
    """Scores of one fixed sentence for every row."""
    name: Scores
    """Scores of the method's own name, split into words."""


def signatures(*, several: bool = False) -> dict[str, str]:
    """How each score is computed: the field of `Scores` -> its signature.

    Args:
        several: Whether rows had more than one reference.
    """
    bleu, chrf = _sacrebleu()
    # sacrebleu knows the number of references only after it has scored something; -1 means that rows differ.
    bleu.num_refs = chrf.num_refs = -1 if several else 1
    signed = {"chrf": str(chrf.get_signature()), "bleu": SIGNATURE, "corpus_bleu": str(bleu.get_signature())}
    return signed | {"rouge_l": f"{ROUGE_SIGNATURE}|version:{version('rouge-score')}"}


def score(predictions: Sequence[str], references: Sequence[str]) -> ScoredPredictions:
    """Scores predictions against one reference each.

    Args:
        predictions: One comment a row.
        references: The row's own comment: docstring tokens joined with blanks.

    Returns:
        All scores that need no embedder, and the sentence scores.

    Raises:
        DataError: There are no rows, or the lengths differ.
    """
    sentence_level = corpus_bleu(predictions, [[reference] for reference in references])
    bleu, chrf = _sacrebleu()
    scores = Scores(
        bleu=sentence_level.score,
        corpus_bleu=bleu.corpus_score(predictions, [references]).score,
        chrf=chrf.corpus_score(predictions, [references]).score,
        rouge_l=math.fsum(rouge_l(predictions, [[reference] for reference in references])) / len(predictions),
        rows=len(predictions),
    )
    return ScoredPredictions(scores, sentence_level.sentences)


def floors(references: Sequence[str], names: Sequence[str]) -> Floors:
    """Scores the constant sentence and the method's own name on the rows that a model is scored on.

    Args:
        references: The row's own comment: docstring tokens joined with blanks.
        names: The row's method name, qualified or not (`A.b.print_summary`).

    Returns:
        The scores of both programs.

    Raises:
        DataError: There are no rows, or the lengths differ.
    """
    if len(references) != len(names):
        raise DataError(
            f"{len(names)} method names do not fit {len(references)} references.",
            "Give the name of each row's method, in the same order as the references.",
        )
    constant = score([CONSTANT_PREDICTION] * len(references), references)
    return Floors(constant.scores, score([name_prediction(name) for name in names], references).scores)


def name_prediction(name: str) -> str:
    """The comment of the name floor for a method, for instance "Returns the print summary ."."""
    return " ".join(["Returns the", *name_words(name), "."])


def name_words(name: str) -> list[str]:
    """Splits the last part of a method's name into lower-case words.

    Every capital opens a word, and so does every run of digits, for this is how the published floors were counted; an
    operator such as `[]=` has no words.

    Args:
        name: A method name, qualified by dots or not: `A.b.print_summary`.

    Returns:
        The words in order: `["print", "summary"]`.
    """
    return _NAME_WORD.findall(_CAPITAL.sub(" ", name.rpartition(".")[2]).lower())


def rouge_l(predictions: Sequence[str], references_lists: Sequence[Sequence[str]]) -> list[float]:
    """ROUGE-L of each row.

    Args:
        predictions: One comment a row.
        references_lists: For each row its references; the one that fits best counts.

    Returns:
        F-measures, 0 to 100, in order.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    # The scorer logs that it uses its own tokenizer unless that is passed explicitly.
    scorer = RougeScorer(["rougeL"], tokenizer=DefaultTokenizer(use_stemmer=False))
    pairs = zip(predictions, references_lists, strict=True)
    return [100 * float(scorer.score_multi(list(references), text)["rougeL"].fmeasure) for text, references in pairs]


def corpus_metrics() -> "dict[str, BLEU | CHRF]":
    """The metrics of sacrebleu: field of `Scores` -> metric."""
    bleu, chrf = _sacrebleu()
    return {"corpus_bleu": bleu, "chrf": chrf}


def _sacrebleu() -> "tuple[BLEU, CHRF]":
    """The two metrics of sacrebleu; imported on first use, because that takes 0.1 s."""
    from sacrebleu.metrics import BLEU, CHRF

    # `force` only silences the advice to detokenize: CodeXGLUE's references exist in tokenized form only.
    return BLEU(lowercase=True, force=True), CHRF(lowercase=True)
