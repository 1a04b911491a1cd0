"""Denoising: what a whole model, encoder and decoder, learns from in pre-training.

Spans of a text are hidden, each behind one `<mask>`, and the decoder writes them, each after a `<mask>` of its own. Where a
method has a comment, the whole comment is one more such span, written from the code alone. What is hidden depends only on the
seed. Follows T5's span corruption (Raffel et al. 2020) without its numbered sentinels: the order of the spans is enough.
Knows nothing of models or of training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..families.family import Special

HIDDEN_SHARE = 0.25
"""Share of the tokens that is hidden; T5 hides 0.15, but a short text would then teach next to nothing."""
MEAN_SPAN = 4
"""Tokens of a span on average; its length is drawn evenly from 1 to twice this less one."""

COMMENT_REPEATS = 2
"""How often each comment is written in a pass in which the spans of each text are written once."""


@dataclass(frozen=True, slots=True)
class Denoising:
    """One training example, before anything is drawn for it."""

    text: list[int]
    """`<s> … </s>`: what the encoder reads, before anything is hidden."""
    target: list[int] | None
    """`<s> … </s>`: what the decoder has to write; None where it writes the spans that will be hidden."""

    @property
    def lengths(self) -> tuple[int, int]:
        """About how many tokens source and target have, so that examples of like length share a batch."""
        hidden = round(HIDDEN_SHARE * len(self.text) * (1 + 1 / MEAN_SPAN))
        return len(self.text), hidden if self.target is None else len(self.target)

    def draw(self, rng: np.random.Generator, mask_id: int, special: Special) -> tuple[list[int], list[int]]:
        """Source and target, `<s> … </s>` each, with spans drawn from the generator."""
        return (self.text, self.target) if self.target is not None else hide_spans(self.text, rng, mask_id, special)


def denoisings(comments: Sequence[list[int]], codes: Sequence[list[int]], texts: Sequence[list[int]]) -> list[Denoising]:
    """All training examples of some methods: the spans of each text, and each comment from its code.

    Args:
        comments: `<s> … </s>` each, `<s> </s>` where there is none.
        codes: `<s> … </s>` each.
        texts: Comment and code together, `<s> … </s>`.

    Returns:
        All texts, then `COMMENT_REPEATS` times all comments that are not empty.
    """
    from_code = [Denoising(code, comment) for comment, code in zip(comments, codes, strict=True) if len(comment) > 2]
    return [Denoising(text, None) for text in texts] + COMMENT_REPEATS * from_code


def hide_spans(ids: list[int], rng: np.random.Generator, mask_id: int, special: Special) -> tuple[list[int], list[int]]:
    """Hides about a quarter of the tokens, in spans.

    Args:
        ids: `<s> … </s>` with at least one token between them, which may itself be `</s>`.
        rng: Draws the spans.
        mask_id: Id of `<mask>`.
        special: The model's special tokens.

    Returns:
        The ids with one `<mask>` for each span; and `<s>`, then for each span a `<mask>` and its tokens, then `</s>`.
    """
    body = ids[1:-1]
    count = max(1, round(HIDDEN_SHARE * len(body) / MEAN_SPAN))
    starts = np.sort(rng.choice(len(body), size=min(count, len(body)), replace=False)).tolist()
    sizes = rng.integers(1, 2 * MEAN_SPAN, size=len(starts)).tolist()
    source, target, at = [special.begin], [special.begin], 0
    for start, size in zip(starts, sizes, strict=True):
        if start < at:  # inside the span before it
            continue
        source += [*body[at:start], mask_id]
        at = min(len(body), start + size)
        target += [mask_id, *body[start:at]]
    return [*source, *body[at:], special.end], [*target, special.end]
