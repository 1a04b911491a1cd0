"""The parts of a model that other packages know, whatever its family: special tokens, and the output of its encoder.

Everything else that differs between families stands in the family's own files; `core.families.roberta` is the only one so far.
Other packages call a model's methods (`special`, `positions`, `encode`, `prefill`, `step`, `target_logits`, …) and do not look
inside.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # this file is imported where torch must not be
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Special:
    """Ids of the tokens that are not text."""

    pad: int
    """Pads shorter rows; never read, never written."""
    begin: int
    """Stands before every text; the decoder starts from it."""
    end: int
    """Stands after every text."""


class Memory(NamedTuple):
    """The encoded sources, as the decoder reads them."""

    states: "Tensor"
    """(batch, source time, hidden); states at padded places mean nothing."""
    mask: "Tensor"
    """(batch, 1, 1, source time) bool, True = a real token."""
