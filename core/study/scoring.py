"""Scores files of comments against the reference comments, row by row, and compares several files with each other.

Files often lack rows, and CodeXGLUE's evaluator does not say so: whatever is missing, unknown, doubled
or empty is counted here before anything is scored. Equal to that evaluator on its own files. Torch-free; knows no screen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import DataError
from ..score import metrics, significance
from ..score.interval import Difference, Interval
from ..score.semantic import Embedder
from ..score.tally import Tally, scored, tally_of_many
from ..text.comments import NUMBERED, Comments


@dataclass(frozen=True)
class Scored:
    """One file of predictions, compared with the gold."""

    comments: Comments
    rows: tuple[str, ...]
    """Ids of the rows that were scored: those that both files have, in the order of the predictions."""
    missing: tuple[str, ...]
    """Ids of the gold without a prediction."""
    unknown: tuple[str, ...]
    """Ids of predictions that the gold lacks."""
    scores: metrics.Scores
    intervals: Mapping[str, Interval]
    tally: Tally


@dataclass(frozen=True)
class Compared:
    """Two files of predictions on the rows that both have."""

    first: Comments
    second: Comments
    rows: int
    same: int
    """Rows with the very same text on both sides."""
    differences: Mapping[str, Difference]
    """Measure -> first minus second, with the interval of the paired bootstrap."""


@dataclass(frozen=True)
class Scoring:
    """The scores, comparisons and gaps of some files."""

    gold: Comments
    expected: int
    """Number of rows that the gold should have; 0 where it was not given."""
    files: tuple[Scored, ...]
    compared: tuple[Compared, ...]
    """The first file against each other one."""
    floors: metrics.Floors | None
    """The floors on the rows of the first file; None where the names of the methods are not known."""
    semantic_signature: str = ""
    """"" without an embedder."""

    @property
    def is_whole(self) -> bool:
        """Whether every file was scored on all rows that there should be."""
        rows = self.expected or len(self.gold.texts)
        return all(len(each.rows) == rows for each in self.files)


def score_comments(
    files: Sequence[Comments],
    gold: Comments,
    *,
    expected: int = 0,
    names: Mapping[str, str] | None = None,
    embedder: Embedder | None = None,
) -> Scoring:
    """Scores files of comments.

    Args:
        files: At least one; of several texts with one id the last counts, and of a text all up to its first tab.
        gold: The comments that people wrote; each further text with an id is one more reference for it.
        expected: How many rows the gold should have; 0 where that is not known.
        names: Row id -> name of the method, for the floors; by default those that the gold tells.
        embedder: For the cosine of sentence embeddings; None leaves it out.

    Returns:
        Scores with intervals, differences, floors, and what of the files was left out.

    Raises:
        DataError: A file has no row in common with the gold, or with the first file.
    """
    scored_files = tuple(_score(comments, gold, embedder) for comments in files)
    compared = tuple(_compare(scored_files[0], other, gold) for other in scored_files[1:])
    rows, names = scored_files[0].rows, names or gold.names
    floors = _floors(rows, gold, names)
    if embedder is not None and floors is not None:
        floors = embedder.floors(floors, [gold.texts[row] for row in rows], [names[row] for row in rows])
    return Scoring(gold, expected, scored_files, compared, floors, "" if embedder is None else embedder.signature)


def check_same_length(files: Sequence[Comments]) -> None:
    """Refuses files that are paired by order and differ in length: from the first missing line on, every pair would be wrong.

    Raises:
        DataError: Two of them differ.
    """
    for first, second in pairwise(files):
        if len(first.texts) != len(second.texts):
            raise DataError(
                f"{first.path} has {len(first.texts):,} lines and {second.path} {len(second.texts):,}: no order pairs them.",
                "Give files with the same rows, or with ids.",
            )


def prediction(comments: Comments, row: str) -> str:
    """The text of a row that is scored: as CodeXGLUE's evaluator takes it, the last one, up to its first tab."""
    return comments.texts[row][-1].partition("\t")[0]


def _score(comments: Comments, gold: Comments, embedder: Embedder | None) -> Scored:
    rows = tuple(row for row in comments.texts if row in gold.texts)
    if not rows:
        raise DataError(
            f"{comments.path} and {gold.path} have no id in common: the first begin with {_first(comments)} and {_first(gold)}.",
            NUMBERED,
        )
    texts, references = [prediction(comments, row) for row in rows], [gold.texts[row] for row in rows]
    counted = tally_of_many(texts, references)
    if embedder is not None:
        counted = embedder.counted(counted, texts, references)
    return Scored(
        comments=comments,
        rows=rows,
        missing=tuple(row for row in gold.texts if row not in comments.texts),
        unknown=tuple(row for row in comments.texts if row not in gold.texts),
        scores=scored(counted).scores,
        intervals=significance.intervals([counted], significance.draw(len(rows))),
        tally=counted,
    )


def _compare(first: Scored, second: Scored, gold: Comments) -> Compared:
    ours, theirs = ({row: place for place, row in enumerate(side.rows)} for side in (first, second))
    rows = [row for row in gold.texts if row in ours and row in theirs]
    if not rows:
        raise DataError(
            f"{first.comments.path} and {second.comments.path} have no scored row in common.", "Score them one by one."
        )
    sides = [side.tally.take([places[row] for row in rows]) for side, places in ((first, ours), (second, theirs))]
    same = sum(prediction(first.comments, row) == prediction(second.comments, row) for row in rows)
    differences = significance.differences([sides[0]], [sides[1]], significance.draw(len(rows)))
    return Compared(first.comments, second.comments, len(rows), same, differences)


def _floors(rows: Sequence[str], gold: Comments, names: Mapping[str, str]) -> metrics.Floors | None:
    """The floors on the rows that were scored; None where a name is missing."""
    if not all(row in names for row in rows):
        return None
    return metrics.floors([gold.texts[row][-1] for row in rows], [names[row] for row in rows])


def _first(comments: Comments) -> str:
    return repr(next(iter(comments.texts), ""))[:40]
