"""Where a parameter stands in the model, read off its name.

Follows the state-dict names of CodeXGLUE's code-to-text models; knows names only, no tensors, so that a screen can lay out a
heatmap without torch.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ..recipe import PrunablePreset

Part = Literal["encoder", "pooler", "decoder"]

_ENCODER = re.compile(
    r"encoder\.encoder\.layer\.(\d{1,6})\.(attention\.self\.(?:query|key|value)|attention\.output\.dense|intermediate\.dense|output\.dense)\.weight"
)
_DECODER = re.compile(r"decoder\.layers\.(\d{1,6})\.(self_attn\.out_proj|multihead_attn\.out_proj|linear1|linear2)\.weight")
_POOLER = "encoder.pooler.dense.weight"

MATRICES: dict[str, str] = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "output",
    "intermediate.dense": "ffn-in",
    "output.dense": "ffn-out",
    "self_attn.out_proj": "self-out",
    "multihead_attn.out_proj": "cross-out",
    "linear1": "ffn-in",
    "linear2": "ffn-out",
}
"""Module path inside a layer -> the short name on screen."""
HEAD_ROWS = {"query", "key", "value"}
"""Matrices whose rows belong to attention heads, one head after the other."""
HEAD_COLUMNS = {"output", "self-out", "cross-out"}
"""Matrices whose columns do."""

_ATTENTION = {"query", "key", "value", "output"}
_PRESETS: dict[PrunablePreset, tuple[set[str], set[str] | None]] = {
    # parts, matrices (None = all of them). "encoder" is the paper's list: six matrices a layer and the pooler.
    "encoder": ({"encoder", "pooler"}, None),
    "encoder-attention": ({"encoder"}, _ATTENTION),
    "encoder-ffn": ({"encoder"}, {"ffn-in", "ffn-out"}),
    "decoder": ({"decoder"}, None),
    "all": ({"encoder", "pooler", "decoder"}, None),
}


@dataclass(frozen=True)
class Place:
    """Where a prunable matrix stands."""

    part: Part
    layer: int
    """Number of the layer in its part, 0 for the pooler."""
    matrix: str
    """Short name of the matrix, one of `MATRICES`' values or "pooler"."""


def locate(parameter: str) -> Place | None:
    """Where a parameter stands, or None where it is no matrix that the presets can prune.

    Args:
        parameter: Its state-dict name.

    Returns:
        Part, layer and short name.
    """
    if parameter == _POOLER:
        return Place("pooler", 0, "pooler")
    if found := _ENCODER.fullmatch(parameter):
        return Place("encoder", int(found[1]), MATRICES[found[2]])
    if found := _DECODER.fullmatch(parameter):
        return Place("decoder", int(found[1]), MATRICES[found[2]])
    return None


def is_prunable(parameter: str, preset: PrunablePreset) -> bool:
    """Whether a preset prunes a parameter: never biases, embeddings or LayerNorm.

    Args:
        parameter: Its state-dict name.
        preset: Which matrices.
    """
    (parts, matrices), place = _PRESETS[preset], locate(parameter)
    return place is not None and place.part in parts and (matrices is None or place.matrix in matrices)
