"""Objectives: what a run minimises. Writing comments, predicting masked tokens, or writing hidden spans.

Every kind of run has one; another way to train (from a teacher, with masks that grow on the way) is one more of them. An
objective makes the batch of a step from the seed and the step's rows alone, so a run can be resumed anywhere. Masking follows
BERT's and RoBERTa's recipe (15 % of the tokens; of these 80 % `<mask>`, 10 % another token, 10 % unchanged; drawn anew each
time); denoising is in `denoise`. Knows nothing of journals, commands or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..compress.masks import Masks
from ..data import Batch, Encoded, collate, pad_lists, side_by_side
from ..families.device import width_multiple
from ..families.roberta import CodeToText
from ..seeds import derive_seed
from .denoise import Denoising, denoisings

MASK_SHARE = 0.15
VALIDATION_BATCH = 32


@dataclass(frozen=True)
class Corpus:
    """Training methods and held-out methods as token ids `<s> … </s>`; an empty comment is `<s> </s>`."""

    comments: list[list[int]]
    codes: list[list[int]]
    held_comments: list[list[int]]
    held_codes: list[list[int]]
    length: int
    """Tokens of comment and code together at most."""

    def texts(self) -> list[list[int]]:
        """`<s> comment </s> code </s>` of each training method; without a comment, `<s> code </s>`."""
        return self._joined(self.comments, self.codes)

    def held_texts(self) -> list[list[int]]:
        """The same for the held-out methods."""
        return self._joined(self.held_comments, self.held_codes)

    def _joined(self, comments: list[list[int]], codes: list[list[int]]) -> list[list[int]]:
        pairs = zip(comments, codes, strict=True)
        return [((comment if len(comment) > 2 else comment[:1]) + code[1:])[: self.length] for comment, code in pairs]


@dataclass(frozen=True, slots=True)
class TokenSums:
    """Loss and right guesses of a model on a batch: sums over its target tokens."""

    loss: float
    """Nats."""
    right: int
    count: int


class Objective(Protocol):
    """What the training loop needs of an objective."""

    def lengths(self) -> tuple[list[int], list[int]]:
        """About how many tokens each example's source and target have."""
        ...

    def batch(self, rows: Sequence[int], seed: int) -> Batch:
        """The examples with these numbers as one batch on the CPU; equal arguments, equal batch."""
        ...

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch on the model's device."""
        ...

    def masks(self, step: int, masks: Masks) -> Masks:
        """The masks to hold after a step.

        They must depend on the arguments and the weights alone: a resume point holds the masks of its step.

        Args:
            step: The step just made, from 1.
            masks: The masks held until then.

        Returns:
            Parameter name -> bool mask on the weights' device; the very same object where nothing changes.
        """
        return masks


class HeldOutObjective(Objective, Protocol):
    """What a pre-training needs of its objective, for its progress is measured on held-out tokens."""

    @property
    def trains_decoder(self) -> bool:
        """Whether the decoder learns too; if not, only the encoder is worth saving."""
        ...

    def held_out(self) -> list[Batch]:
        """The batches to measure on, the same every time."""
        ...

    def sums(self, batch: Batch) -> TokenSums:
        """Loss and right guesses of the model on one of these batches, on the model's device."""
        ...


class Teaches(Protocol):
    """What the writing of comments needs of a teacher."""

    def loss(self, student: CodeToText, batch: Batch, label_smoothing: float) -> Tensor:
        """Mean loss of a batch on the model's device, the teacher's part included."""
        ...


@dataclass(frozen=True)
class WriteComments(Objective):
    """The whole model writes the comments of methods: the objective of fine-tuning and of every pruning round."""

    model: CodeToText
    encoded: Encoded
    label_smoothing: float = 0.0
    teacher: Teaches | None = field(default=None, kw_only=True)

    def lengths(self) -> tuple[list[int], list[int]]:
        """As `Objective.lengths`."""
        return [len(ids) for ids in self.encoded.sources], [len(ids) for ids in self.encoded.targets]

    def batch(self, rows: Sequence[int], seed: int) -> Batch:
        """As `Objective.batch`; nothing is drawn."""
        return collate(self.encoded, rows, self.model.special.pad, width_multiple(self.model.device))

    def loss(self, batch: Batch) -> Tensor:
        """As `Objective.loss`."""
        if self.teacher is not None:
            return self.teacher.loss(self.model, batch, self.label_smoothing)
        loss: Tensor = self.model(batch.sources, batch.targets, self.label_smoothing, batch.places)
        return loss


@dataclass(frozen=True)
class MaskTokens(HeldOutObjective):
    """The encoder predicts masked tokens, through the output layer that the decoder will use later.

    `Batch.targets` holds the true token at each hidden position, and -1 at all others.
    """

    model: CodeToText
    texts: list[list[int]]
    held_texts: list[list[int]]
    mask_id: int
    vocab_size: int
    trains_decoder: bool = False

    def lengths(self) -> tuple[list[int], list[int]]:
        """As `Objective.lengths`."""
        lengths = [len(ids) for ids in self.texts]
        return lengths, lengths

    def batch(self, rows: Sequence[int], seed: int) -> Batch:
        """As `Objective.batch`."""
        return self._masked(self.texts, rows, seed)

    def loss(self, batch: Batch) -> Tensor:
        """As `Objective.loss`."""
        places = hidden_places(batch)
        hidden = batch.targets.flatten().index_select(0, places)
        return F.cross_entropy(masked_logits(self.model, batch.sources, places).float(), hidden)

    def held_out(self) -> list[Batch]:
        """As `HeldOutObjective.held_out`."""
        slices = _slices(len(self.held_texts))
        return [self._masked(self.held_texts, rows, derive_seed("held out", rows[0])) for rows in slices]

    def sums(self, batch: Batch) -> TokenSums:
        """As `HeldOutObjective.sums`."""
        places = hidden_places(batch)
        return _sums(masked_logits(self.model, batch.sources, places), batch.targets.flatten().index_select(0, places))

    def _masked(self, texts: Sequence[list[int]], rows: Sequence[int], seed: int) -> Batch:
        chosen = [texts[row] for row in rows]
        plain = pad_lists(chosen, self.model.special.pad, width_multiple(self.model.device))
        masked, hidden = mask_tokens(plain, seed, self.mask_id, self.vocab_size)
        places = hidden.flatten().nonzero()[:, 0]
        tokens = sum(map(len, chosen)) + len(places)
        return Batch(masked, torch.where(hidden, plain, -1), tuple(rows), places, tokens, plain.shape[1])


@dataclass(frozen=True)
class Denoise(HeldOutObjective):
    """The whole model writes hidden spans and comments; measured on the comments of held-out methods."""

    model: CodeToText
    corpus: Corpus
    mask_id: int
    examples: list[Denoising]
    label_smoothing: float = 0.0
    trains_decoder: bool = True

    def lengths(self) -> tuple[list[int], list[int]]:
        """As `Objective.lengths`."""
        lengths = [example.lengths for example in self.examples]
        return [source for source, _ in lengths], [target for _, target in lengths]

    def batch(self, rows: Sequence[int], seed: int) -> Batch:
        """As `Objective.batch`."""
        rng = np.random.default_rng(seed)
        pairs = [self.examples[row].draw(rng, self.mask_id, self.model.special) for row in rows]
        sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
        return side_by_side(sources, targets, tuple(rows), self.model.special.pad, width_multiple(self.model.device))

    def loss(self, batch: Batch) -> Tensor:
        """As `Objective.loss`."""
        loss: Tensor = self.model(batch.sources, batch.targets, self.label_smoothing, batch.places)
        return loss

    def held_out(self) -> list[Batch]:
        """As `HeldOutObjective.held_out`."""
        codes, comments = self.corpus.held_codes, self.corpus.held_comments
        slices = _slices(len(codes))
        pad, multiple = self.model.special.pad, width_multiple(self.model.device)
        both = ((rows, [codes[row] for row in rows], [comments[row] for row in rows]) for rows in slices)
        return [side_by_side(sources, targets, tuple(rows), pad, multiple) for rows, sources, targets in both]

    def sums(self, batch: Batch) -> TokenSums:
        """As `HeldOutObjective.sums`."""
        logits, targets = self.model.target_logits(batch.sources, batch.targets, batch.places)
        return _sums(logits, targets)


def make_objective(
    name: str, model: CodeToText, corpus: Corpus, mask_id: int, vocab_size: int, label_smoothing: float
) -> HeldOutObjective:
    """The objective of a pre-training that a recipe names.

    Args:
        name: "mask" or "denoise".
        model: On its device.
        corpus: What to learn from.
        mask_id: Id of `<mask>`.
        vocab_size: Tokens to draw replacements from.
        label_smoothing: Share of the target given to all other tokens; only denoising uses it.
    """
    if name == "mask":
        return MaskTokens(model, corpus.texts(), corpus.held_texts(), mask_id, vocab_size)
    return Denoise(model, corpus, mask_id, denoisings(corpus.comments, corpus.codes, corpus.texts()), label_smoothing)


def mask_tokens(ids: Tensor, seed: int, mask_id: int, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Hides tokens for the model to predict.

    Args:
        ids: (batch, time) int64 on the CPU; 0 to 4 are special tokens and never hidden.
        seed: Decides which are hidden; equal arguments give equal results.
        mask_id: Id of `<mask>`.
        vocab_size: Tokens to draw replacements from.

    Returns:
        The ids with hidden tokens replaced, and (batch, time) bool: which positions are to be predicted.
    """
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(ids.shape, generator=generator)
    other = torch.randint(5, vocab_size, ids.shape, generator=generator)
    hidden = (chance < MASK_SHARE) & (ids > 4) & (ids != mask_id)
    masked = torch.where(hidden & (chance < 0.8 * MASK_SHARE), mask_id, ids)
    replaced = hidden & (chance >= 0.8 * MASK_SHARE) & (chance < 0.9 * MASK_SHARE)
    return torch.where(replaced, other, masked), hidden


def hidden_places(batch: Batch) -> Tensor:
    """Where in the flattened batch a token is hidden, (hidden positions,) int64."""
    return batch.places if batch.places is not None else (batch.targets >= 0).flatten().nonzero()[:, 0]


def masked_logits(model: CodeToText, masked: Tensor, places: Tensor) -> Tensor:
    """The model's guesses at hidden positions, through the output layer that the decoder will use later.

    Args:
        model: The model.
        masked: (batch, time) ids.
        places: (hidden positions,) int64, where in the flattened ids they are.

    Returns:
        (hidden positions, vocabulary).
    """
    return model.token_logits(model.encode(masked).states.flatten(0, 1).index_select(0, places))


def _sums(logits: Tensor, targets: Tensor) -> TokenSums:
    loss = F.cross_entropy(logits.float(), targets, reduction="sum")
    return TokenSums(float(loss), int((logits.argmax(-1) == targets).sum()), len(targets))


def _slices(count: int) -> list[range]:
    return [range(first, min(first + VALIDATION_BATCH, count)) for first in range(0, count, VALIDATION_BATCH)]
