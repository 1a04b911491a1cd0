"""Whether a study can say anything of its encoder, in one sentence: its dense model compared with the encoder off.

`core.run.encoder_off.carries` decides; every screen, table and page takes its words from here. Pure functions.
"""

from collections.abc import Iterable, Mapping

from core.run.encoder_off import DECIDES, carries, silence
from core.run.results import MEASURES, Result
from core.score.interval import Difference

from .text import changed

NOT_MEASURED = "not measured"
"""Shown for a run of an older version, which has no figure."""
NAMED = 6
"""Most studies that are named; the others are counted."""


def warning(dense_less: Mapping[str, Difference], subject: str = "This study", model: str = "dense") -> str:
    """The sentence that comes before everything else if the encoder carries nothing; "" if it does, or if that is not known.

    Args:
        dense_less: Measure -> dense score minus the score with the encoder off.
        subject: Subject of the sentence, which can say nothing.
        model: Name of the model whose score the difference is of; a model that is scored alone need not be dense.
    """
    if carries(dense_less) is not False:
        return ""
    return silence(dense_less[DECIDES], changed(dense_less[DECIDES]), subject, model)


def warning_of_all(rounds: Iterable[Result]) -> str:
    """The same for several studies in one sentence.

    Args:
        rounds: Rounds of one run or more; each run is judged once.
    """
    studies = {result.run: result.dense_less for result in rounds}
    silent = {run: less for run, less in studies.items() if carries(less) is False}
    if len(studies) == 1:
        return "".join(map(warning, silent.values()))
    if not silent:
        return ""
    named = [f"{run} {changed(less[DECIDES])}" for run, less in list(silent.items())[:NAMED]]
    more = f", and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
    return (
        f"{len(silent)} of {len(studies)} studies can say nothing about pruning the encoder, for dense minus encoder off is "
        f"not clearly above 0 in {MEASURES[DECIDES]}: {', '.join(named)}{more}."
    )
