"""Another run beside one, matrix by matrix: how far their masks overlap at equal sparsity, and what each has lost.

Reads masks and journals, so it belongs into a thread. Imports no torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import RunError
from core.run.events import MatrixMeasured
from core.run.folder import RunPaths

from ..views.matrices import Matrix, figure, matrices, rounds, title
from ..views.state import RunView
from ..views.text import NOTHING, count, percent
from .watch import catch_up

if TYPE_CHECKING:
    from core.study.overlaps import Overlap

NEAR = 0.01
"""Sparsities that differ by no more count as equal: units cannot be pruned to any share."""


@dataclass(frozen=True)
class Beside:
    """A round of another run beside one of this run."""

    run: str
    """The other run."""
    number: int = -1
    """Its round of the same sparsity; -1 where it has none."""
    overlaps: "Mapping[str, Overlap]" = field(default_factory=dict)
    """Parameter -> the overlap of both masks."""
    whole: "Overlap | None" = None
    """Of all matrices together."""
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    """The other run's figures."""
    why: str = ""
    """Why there are no overlaps; "" where there are."""

    @property
    def shares(self) -> dict[str, float]:
        """Parameter -> the overlap as a share."""
        return {name: each.jaccard for name, each in self.overlaps.items()}


def find(paths: RunPaths, number: int, sparsity: float, other: RunPaths) -> Beside:
    """Reads the round of another run that is as sparse, and compares both masks.

    Args:
        paths: This run.
        number: Its round.
        sparsity: That round's, in [0, 1].
        other: The other run.
    """
    from core.spec.maskbits import MASKS  # numpy takes a moment that Layers need not wait for
    from core.study.overlaps import bits_of, by_matrix, overlap

    _, view = catch_up(other)
    if (round_ := round_at(view, sparsity)) is None:
        return Beside(other.name, why=f"{other.name} has no round of this sparsity.")
    figures = matrices(view, round_)
    ours, theirs = (bits_of(run.round(at) / MASKS) for run, at in ((paths, number), (other, round_)))
    if ours is None or theirs is None:
        lacks = paths.name if ours is None else other.name
        return Beside(other.name, round_, matrices=figures, why=f"The masks of {lacks} are not on disk.")
    shared = by_matrix(ours, theirs)
    why = "" if shared else f"{other.name} prunes no matrix that this run prunes."
    return Beside(other.name, round_, shared, overlap(ours, theirs), figures, why)


def sparsest(paths: RunPaths, other: RunPaths) -> tuple[int, Mapping[str, Matrix], Beside]:
    """The sparsest round of a run that another one has, too, and that round.

    Args:
        paths: This run.
        other: The other run.

    Returns:
        The round of this run, its matrices, and the other run beside them.

    Raises:
        RunError: The runs have no masks of the same sparsity on disk.
    """
    _, view = catch_up(paths)
    for number in reversed(rounds(view)):
        answer = find(paths, number, view.by_round[number].sparsity, other)
        if view.by_round[number].sparsity > 0 and answer.overlaps:
            return number, matrices(view, number), answer
    raise RunError(
        f"{paths.name} and {other.name} have no masks of the same sparsity and matrices on disk.",
        "Give two runs that prune the same model to the same sparsity.",
    )


def round_at(view: RunView, sparsity: float) -> int | None:
    """The round of a run that is nearest to a sparsity; None where none is as sparse.

    Args:
        view: The run.
        sparsity: In [0, 1].
    """
    near = {number: abs(view.by_round[number].sparsity - sparsity) for number in rounds(view)}
    nearest = min(near, key=lambda number: near[number], default=None)
    return nearest if nearest is not None and near[nearest] <= NEAR else None


def facts(ours: Matrix, beside: Beside) -> list[tuple[str, str]]:
    """A matrix in both runs as (label, text) pairs, this run's figure first.

    Args:
        ours: In this run.
        beside: The other run.
    """
    theirs, shared = beside.matrices.get(ours.parameter), beside.overlaps.get(ours.parameter)
    runs = (ours.measured, theirs.measured if theirs is not None else None)

    def both(text: Callable[[MatrixMeasured], str]) -> str:
        return " | ".join(NOTHING if each is None else text(each) for each in runs)

    pairs = [("sparsity", _shares(ours.sparsity, theirs.sparsity if theirs is not None else None))]
    if shared is not None:
        pairs.append(("overlap", f"{percent(shared.jaccard)} (by chance {percent(shared.chance)})"))
    pairs.append(("mean |w| of kept", both(lambda each: figure(each.magnitude, 1, 5))))
    errors = ours.error, theirs.error if theirs is not None else None
    if errors != (None, None):
        pairs.append(("output error", _shares(*errors)))
    pairs.append(("dead rows", both(lambda each: count(each.dead_rows))))
    pairs.append(("dead columns", both(lambda each: count(each.dead_columns))))
    return [*pairs, ("dead heads", both(lambda each: count(each.dead_heads) if each.heads else NOTHING))]


def lines(shown: Mapping[str, Matrix], beside: Beside) -> list[list[str]]:
    """All matrices in both runs: a heading, then a line of texts each, as `facts` has them."""
    pairs = {title(matrix): dict(facts(matrix, beside)) for matrix in shown.values()}
    labels = list(dict.fromkeys(label for each in pairs.values() for label in each))
    return [["matrix", *labels], *([name, *(each.get(label, NOTHING) for label in labels)] for name, each in pairs.items())]


def summary(shown: Mapping[str, Matrix], beside: Beside) -> str:
    """All matrices together, in a line: the overlap and what is dead in each run, or why there is no overlap."""
    if beside.whole is None or beside.why:
        return beside.why
    both = [[each.measured for each in run.values() if each.measured is not None] for run in (shown, beside.matrices)]
    rows, heads = (
        " | ".join(count(sum(getattr(each, key) for each in run)) if run else NOTHING for run in both)
        for key in ("dead_rows", "dead_heads")
    )
    return f"All: {percent(beside.whole.jaccard)}, by chance {percent(beside.whole.chance)}. Dead rows {rows}, heads {heads}."


def _shares(*shares: float | None) -> str:
    return " | ".join(NOTHING if share is None else percent(share) for share in shares)
