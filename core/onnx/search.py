"""Beam search over a model in ONNX Runtime: finds what `core.decode` finds, in numpy and without torch.

The rules are written there: the end of a sentence takes a place in the beam and gets no children, scores are plain sums, an
example is done once place 0 has been an end and `beam` sentences have ended, among equal scores the lowest place and then the
lowest token comes first. The likeliest tokens of each beam are chosen inside the graph, so that a step hands on a few numbers a
beam instead of a vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..families.config import SPECIAL
from ..hypotheses import Hypothesis, check_search, final, numbers
from ..recipe import Search
from .session import Array, Bools, Ints, OnnxModel

BATCH = 16
"""Number of sources decoded together by default; as on the CPU in torch."""


def search_batches(
    model: OnnxModel, sources: Sequence[Sequence[int]], search: Search
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """Decodes token lists batch by batch, the longest sources first; arguments are checked at once.

    Args:
        model: In ONNX Runtime.
        sources: Token ids, `<s>` ... `</s>` without padding.
        search: Beam, length, number of hypotheses, batch size.

    Returns:
        Iterator over (row numbers in `sources`, their hypotheses).

    Raises:
        ModelError: If a number or a source does not fit the model.
    """
    check_search(model.config, SPECIAL, sources, search)
    order = sorted(range(len(sources)), key=lambda row: (-len(sources[row]), row))
    size = search.batch_size or BATCH
    batches = (order[start : start + size] for start in range(0, len(order), size))
    return ((rows, _decode(model, [sources[row] for row in rows], search)) for rows in batches)


@dataclass
class _Beams:
    """State of decoding between steps; as in `DecoderCache`, the tokens of an example form a tree."""

    cross: list[Array]
    source_mask: Bools
    own: list[Array]
    seen: Bools
    """(batch, beams, slots)."""
    count: Ints
    """(batch, beams): tokens so far that are not `<pad>`."""
    token: Ints
    """(batch, beams): the last token of each place."""
    score: Array
    """(batch, beams): the score of each place."""
    history: list[tuple[Ints, Ints, Array]] = field(default_factory=list)
    """After each step, tokens, parents and scores, (batch, beams) each."""

    def step(self, model: OnnxModel, choices: int) -> tuple[Array, Ints]:
        """Log-probabilities and ids of the likeliest next tokens of every beam."""
        real = self.token != SPECIAL.pad
        self.count = self.count + real
        batch, beams = self.token.shape
        self.seen = np.concatenate([self.seen, np.broadcast_to(np.eye(beams, dtype=bool), (batch, beams, beams))], 2)
        positions = self.count * real + SPECIAL.pad
        likely, following, self.own = model.step(
            self.token, positions, self.seen, self.source_mask, self.own, self.cross, choices
        )  # fmt: skip
        return likely, following

    def advance(self, likely: Array, following: Ints, beam: int) -> Ints:
        """Replaces the places by the best ways to add one token; returns their parents, (batch, beam)."""
        batch, beams, choices = likely.shape
        closed = np.where(self.token == SPECIAL.end, np.float32(-np.inf), self.score)
        total = (closed[..., None] + likely).reshape(batch, -1)
        tokens = following.reshape(batch, -1)
        parents = np.broadcast_to(np.repeat(np.arange(beams), choices), total.shape)
        best = np.lexsort((tokens, parents, -total))[:, :beam]
        self.token, self.score = np.take_along_axis(tokens, best, 1), np.take_along_axis(total, best, 1)
        parent: Ints = np.take_along_axis(parents, best, 1)
        self.history.append((self.token, parent, self.score))
        return parent

    def reorder(self, parents: Ints) -> None:
        """Lets every beam continue from its parent, and drops slots that no beam sees any more."""
        self.count = np.take_along_axis(self.count, parents, 1)
        self.seen = np.take_along_axis(self.seen, parents[..., None], 1)
        alive = self.seen.any(1)  # (batch, slots)
        slots, beams = alive.shape[1], parents.shape[1]
        seen_slots = int(alive.sum(1).max())
        if slots < 4 * beams or seen_slots + 2 * beams > slots:  # a few dead slots cost less than moving the others
            return
        order = np.argsort(~alive, axis=1, kind="stable")[:, :seen_slots]
        self.seen = np.take_along_axis(self.seen, order[:, None], 2)
        self.own = [np.take_along_axis(each, order[..., None], 1) for each in self.own]

    def keep(self, places: list[int]) -> None:
        """Drops the examples that are done."""
        self.cross, self.own = [each[places] for each in self.cross], [each[places] for each in self.own]
        self.source_mask, self.seen, self.count = self.source_mask[places], self.seen[places], self.count[places]
        self.token, self.score = self.token[places], self.score[places]
        self.history = [(token[places], parent[places], score[places]) for token, parent, score in self.history]


def _start(model: OnnxModel, sources: Sequence[Sequence[int]]) -> _Beams:
    batch = len(sources)
    padded = np.full((batch, len(sources[0])), SPECIAL.pad, np.int64)
    for row, source in enumerate(sources):
        padded[row, : len(source)] = source
    return _Beams(
        cross=model.encode(padded),
        source_mask=padded != SPECIAL.pad,
        own=[np.empty((batch, 0, width), np.float32) for width in model.own_widths()],
        seen=np.empty((batch, 1, 0), bool),
        count=np.zeros((batch, 1), np.int64),
        token=np.full((batch, 1), SPECIAL.begin, np.int64),
        score=np.zeros((batch, 1), np.float32),
    )


def _decode(model: OnnxModel, sources: Sequence[Sequence[int]], search: Search) -> list[list[Hypothesis]]:
    """Decodes one batch, the longest source first; examples leave it once they are done."""
    beams, beam = _start(model, sources), search.beam
    hypotheses: list[list[Hypothesis]] = [[] for _ in sources]
    going = list(range(len(sources)))
    top_ended, count = np.zeros(len(sources), bool), np.zeros(len(sources), np.int64)
    best_ended = np.full(len(sources), -np.inf, np.float32)
    for time in range(search.max_length):
        parents = beams.advance(*beams.step(model, beam), beam)
        end, score = beams.token == SPECIAL.end, beams.score
        top_ended |= end[:, 0]
        count += end.sum(1)
        best_ended = np.maximum(best_ended, np.where(end, score, -np.inf).max(1))
        done = top_ended & (count >= beam)
        if search.n_best == 1 and not search.length_penalty:  # scores only fall, so no unfinished sentence can overtake
            done |= best_ended >= np.where(end, -np.inf, score).max(1)
        if time + 1 == search.max_length:
            done[:] = True
        for place in np.flatnonzero(done):
            history = [[part[place].tolist() for part in parts] for parts in zip(*beams.history, strict=True)]
            hypotheses[going[place]] = final(*history, search=search, end=SPECIAL.end)
        staying = np.flatnonzero(~done).tolist()
        if not staying:
            break
        if len(staying) < len(going):
            going = [going[place] for place in staying]
            parents, top_ended, count, best_ended = parents[staying], top_ended[staying], count[staying], best_ended[staying]
            beams.keep(staying)
        beams.reorder(parents)
    return [numbers(each) for each in hypotheses]
