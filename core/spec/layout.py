"""The place of a parameter in the model, by its name.

The names are the family's (`roberta`); this module interprets them. Without tensors, so that a screen can lay out a heatmap
without torch.
"""

from dataclasses import dataclass

from ..recipe import PrunablePreset, Unit, masked_unit
from . import roberta
from .roberta import Part

HEAD_ROWS = {"query", "key", "value"}
"""Matrices whose rows belong to attention heads, one head after the other."""
HEAD_COLUMNS = {"output", "self-out", "cross-out"}
"""Matrices whose columns belong to attention heads, one head after the other."""

_ATTENTION = {"query", "key", "value", "output"}
_PRESETS: dict[PrunablePreset, tuple[set[str], set[str] | None]] = {
    # parts, matrices (None = all of them). "encoder" is the paper's list: six matrices a layer and the pooler.
    "encoder": ({"encoder", "pooler"}, None),
    "encoder-attention": ({"encoder"}, _ATTENTION),
    "encoder-ffn": ({"encoder"}, {"ffn-in", "ffn-out"}),
    "decoder": ({"decoder"}, None),
    "all": ({"encoder", "pooler", "decoder"}, None),
}

_NEURONS = {"ffn-in", "ffn-out"}
_UNITS: dict[str, set[str] | None] = {
    # Matrices under whose masks such units are; None = all of them.
    "": set(),
    "weight": None,
    "head": HEAD_ROWS | HEAD_COLUMNS,
    "neuron": _NEURONS,
    "head+neuron": HEAD_ROWS | HEAD_COLUMNS | _NEURONS,
    "layer": HEAD_ROWS | HEAD_COLUMNS | _NEURONS,
}


@dataclass(frozen=True)
class Place:
    """The place of a prunable matrix in the model."""

    part: Part
    layer: int
    """Number of the layer in its part, 0 for the pooler."""
    matrix: str
    """Short name of the matrix, one of `roberta.MATRICES`' values or "pooler"."""


def locate(parameter: str) -> Place | None:
    """The place of a parameter, or None where it is not a matrix that the presets can prune.

    Args:
        parameter: Its state-dict name.

    Returns:
        Part, layer and short name.
    """
    place = roberta.place(parameter)
    return None if place is None else Place(*place)


def is_prunable(parameter: str, preset: PrunablePreset, unit: Unit = "weight") -> bool:
    """Whether a preset prunes a parameter: never biases, embeddings or LayerNorm.

    Args:
        parameter: Its state-dict name.
        preset: Which matrices.
        unit: What goes as one; weights that belong to no such unit are not pruned.
    """
    (parts, matrices), place = _PRESETS[preset], locate(parameter)
    if place is None or place.part not in parts or (matrices is not None and place.matrix not in matrices):
        return False
    own = _UNITS[masked_unit(unit)]
    return own is None or place.matrix in own
