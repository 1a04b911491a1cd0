"""What the rest must know of a model, whatever its kind: its special tokens, and what its encoder gives.

Everything else that differs between kinds stands in the kind's own files. `core.families.roberta` is the one there is; a model
answers what it is asked (`special`, `positions`, `encode`, `prefill`, `step`, `target_logits`, …), and nobody looks inside.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # this file is read where torch must not be
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Special:
    """Ids of the tokens that are no text."""

    pad: int
    """Fills up shorter rows; never read, never written."""
    begin: int
    """Stands before every text; the decoder starts from it."""
    end: int
    """Stands behind every text."""


class Memory(NamedTuple):
    """What the decoder reads of the sources."""

    states: "Tensor"
    """(batch, source time, hidden); what stands at padded places means nothing."""
    mask: "Tensor"
    """(batch, 1, 1, source time) bool, True = a real token."""
