"""CodeXGLUE's smoothed BLEU-4: the score of the paper, of every picker and of every chart.

A sentence score in percent, and a corpus score that is the plain mean of sentence scores. Knows neither torch nor run
folders. The score is lenient (see `core.score.metrics` for its floors), so never judge a model by it alone.

Source: C.-Y. Lin and F. J. Och, "ORANGE: a method for evaluating automatic evaluation metrics for machine translation",
COLING 2004 (add-one smoothing), in the variant that CodeXGLUE's code-to-text evaluator computes: counts also carry the
smallest normal float, the brevity penalty adds one to both lengths and takes the shortest reference.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from .errors import DataError
from .regularfile import open_regular, reason

SIGNATURE = "codexglue|nrefs:var|n:4|case:lc|tok:codexglue|smooth:add1-n2-4|bp:add1-shortest|mean:sentence|version:1"
"""How a score was computed, in sacrebleu's manner; `version` is that of this project's scoring."""

WITH_IDS = "Put the row's id and a tab before each text, the same in both files; texts without ids cannot be put side by side."
ORDERS = (1, 2, 3, 4)
_TINY = sys.float_info.min
_TOKEN = re.compile(r"[^\W_]+|_|[^\w\s]")


@dataclass(frozen=True)
class BleuScore:
    """A corpus score and the sentence scores it is the mean of."""

    score: float
    """Mean of the sentence scores, 0 to 100."""
    sentences: tuple[float, ...]
    """One score a row, 0 to 100, in the order of the predictions."""
    signature: str = SIGNATURE
    """How the score was computed."""

    def __float__(self) -> float:
        """Returns the corpus score."""
        return self.score


@dataclass(frozen=True)
class FileScore:
    """The score of a pair of CodeXGLUE files, and what of them was left out."""

    bleu: BleuScore
    """Score over the rows that stand in both files, in the order of the predictions."""
    missing: tuple[str, ...]
    """Ids with a reference but no prediction. The reference evaluator skips them, which flatters: warn about it."""
    unknown: tuple[str, ...]
    """Ids with a prediction but no reference; skipped too."""


def tokens(text: str) -> list[str]:
    """Cuts a text into the units that the score counts: lower-cased words, and each other sign by itself."""
    return _TOKEN.findall(text.lower().strip())


def sentence_bleu(prediction: str, references: Sequence[str]) -> float:
    """Scores one prediction as CodeXGLUE's evaluator does.

    Args:
        prediction: The comment a model wrote; may be empty.
        references: One comment or more that a person wrote.

    Returns:
        Smoothed BLEU-4, 0 to 100.

    Raises:
        DataError: There is no reference, or the references are one string.
    """
    _check_references(references, "sentence_bleu")
    predicted = tokens(prediction)
    reference_tokens = [tokens(reference) for reference in references]
    log_precision = 0.0
    for n in ORDERS:
        counts = Counter(_ngrams(predicted, n))
        ceiling: Counter[tuple[str, ...]] = Counter()
        for words in reference_tokens:
            ceiling |= Counter(_ngrams(words, n))
        matched = (counts & ceiling).total() + _TINY
        possible = max(0, len(predicted) - n + 1) + _TINY
        # Adding one only from bigrams on keeps a prediction without a single right word at practically zero.
        log_precision += math.log(matched / possible if n == 1 else (matched + 1) / (possible + 1))
    shortest = min(len(words) for words in reference_tokens)
    brevity = min(0.0, 1 - (shortest + 1) / (len(predicted) + 1))
    return 100 * math.exp(log_precision / len(ORDERS) + brevity)


def corpus_bleu(predictions: Sequence[str], references_lists: Sequence[Sequence[str]]) -> BleuScore:
    """Scores many predictions: the mean of their sentence scores.

    Args:
        predictions: One comment a row.
        references_lists: For each row, in the same order, its references.

    Returns:
        Corpus score, sentence scores and signature.

    Raises:
        DataError: There are no rows, the lengths differ, or a row has no reference.
    """
    if len(predictions) != len(references_lists):
        raise DataError(
            f"{len(predictions)} predictions cannot be scored against {len(references_lists)} lists of references.",
            "Give exactly one list of references for each prediction, in the same order.",
        )
    if not predictions:
        raise DataError("There is nothing to score: no predictions.", "Give at least one row.")
    pairs = zip(predictions, references_lists, strict=True)
    sentences = tuple(sentence_bleu(prediction, references) for prediction, references in pairs)
    return BleuScore(score=math.fsum(sentences) / len(sentences), sentences=sentences)


def read_codexglue_file(path: Path) -> dict[str, list[str]]:
    """Reads a file of `id<TAB>text` lines.

    Args:
        path: A UTF-8 text file; blank lines are passed over. A line of one word without a tab is an id with an empty text, as
            CodeXGLUE's evaluator reads it.

    Returns:
        Id -> its texts, both in the order of the file. More than one text a line keeps its inner tabs.

    Raises:
        DataError: The file is missing, no regular file, not UTF-8, or holds no line; or its lines have no ids: one of several
            words has no tab, or none has one.
    """
    texts: dict[str, list[str]] = {}
    tabs = 0
    try:
        # Not splitlines(): that would also cut at the odd separators (U+2028, form feed) that comments do hold.
        with TextIOWrapper(open_regular(path), encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row, tab, text = line.strip().partition("\t")
                if not tab and len(row.split()) > 1:
                    raise DataError(f"Line {number} of {path} has no id: {row[:60]!r}.", WITH_IDS)
                tabs += "\t" in line  # an empty comment is a tab and nothing after it
                texts.setdefault(row, []).append(text)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.", "Give a file of `id<TAB>text` lines.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8 and score it again.") from error
    if not texts:
        raise DataError(f"{path} holds no lines.", "Give a file with one `id<TAB>text` line a row.")
    if not tabs:
        raise DataError(f"No line of {path} has an id: there is no tab in it.", WITH_IDS)
    return texts


def score_files(predictions: Path, references: Path) -> FileScore:
    """Scores a file of predictions against a file of references, as CodeXGLUE's evaluator does.

    Args:
        predictions: `id<TAB>text` lines; of several lines with one id the last counts, and of a line its second column.
        references: `id<TAB>text` lines; each further line with an id is one more reference for it.

    Returns:
        The score over the ids that both files have, and the ids that only one has.

    Raises:
        DataError: A file cannot be read, or the files have no id in common.
    """
    predicted = read_codexglue_file(predictions)
    targets = read_codexglue_file(references)
    shared = [row for row in predicted if row in targets]
    if not shared:
        raise DataError(
            f"{predictions} and {references} have no id in common.",
            "Number the rows of both files alike; the id is what stands before the first tab.",
        )
    last = [predicted[row][-1].partition("\t")[0] for row in shared]
    return FileScore(
        bleu=corpus_bleu(last, [targets[row] for row in shared]),
        missing=tuple(row for row in targets if row not in predicted),
        unknown=tuple(row for row in predicted if row not in targets),
    )


def _check_references(references: Sequence[str], caller: str) -> None:
    """Refuses an empty list, and the one string that would silently be scored letter by letter."""
    if isinstance(references, str):
        raise DataError(
            f"{caller} was given one string as references: {references[:60]!r}.",
            "Put it into a list: [reference].",
        )
    if not references:
        raise DataError(f"{caller} was given no reference.", "Give at least one reference for each prediction.")


def _ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Returns the n-grams of a sentence, in order."""
    # Imported here: nltk takes 0.25 s to load (numpy included) and the app imports this module before its first paint.
    from nltk.util import ngrams

    grams: Iterator[tuple[str, ...]] = ngrams(words, n)
    return grams
