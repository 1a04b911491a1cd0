"""Units of a model: heads and neurons that can be removed whole, and the lines of each tensor that belong to them.

A head is its rows of query, key and value and its columns of the output matrix; a neuron its row, its bias and its column. What
leaves a unit flows through those columns alone, so a unit whose columns are 0 says nothing. Torch-free, so that a form can count
units.
"""

from dataclasses import dataclass
from typing import Literal

from ..recipe import PrunablePreset
from ..spec.layout import is_prunable
from ..spec.roberta import Part

Kind = Literal["head", "neuron"]


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor that belong to the units of a block, one unit after the other."""

    tensor: str
    parts: tuple[int, ...] = (0,)
    """Which of the tensor's equal parts: a packed matrix holds query, key and value one below the other."""
    of: int = 1
    """Number of such parts in the tensor."""


@dataclass(frozen=True)
class Block:
    """The units of one kind in one block of a layer, an attention or a feed-forward block."""

    kind: Kind
    part: Part
    layer: int
    field: str
    """The entry of `config.json` that holds the number of units of each layer."""
    count: int
    width: int
    """Rows of a unit in each matrix: the width of a head, 1 for a neuron."""
    rows: tuple[Rows, ...]
    """Weights and biases whose rows belong to the units."""
    value: Rows
    """The matrix that makes what a unit says; without it a unit says the same of every text."""
    value_bias: Rows
    columns: str
    """The matrix that reads the units, by columns."""
    columns_bias: str

    @property
    def name(self) -> str:
        """The block in words, such as "encoder 3 heads" or "decoder 0 cross heads"."""
        kind = "neurons" if self.kind == "neuron" else "cross heads" if self.field.startswith("cross") else "heads"
        return f"{self.part} {self.layer} {kind}"

    @property
    def matrices(self) -> list[str]:
        """The matrices that hold the units' weights; none of them a bias."""
        return [rows.tensor for rows in self.rows if not rows.tensor.endswith("bias")] + [self.columns]


@dataclass(frozen=True)
class Sizes:
    """Heads and neurons of each layer of a model, by block."""

    encoder_heads: tuple[int, ...]
    encoder_head_width: int
    encoder_neurons: tuple[int, ...]
    decoder_heads: tuple[int, ...]
    cross_heads: tuple[int, ...]
    decoder_head_width: int
    decoder_neurons: tuple[int, ...]


def blocks(sizes: Sizes) -> list[Block]:
    """All blocks of a model, layer by layer, the encoder's first."""
    every: list[Block] = []
    for layer, (heads, neurons) in enumerate(zip(sizes.encoder_heads, sizes.encoder_neurons, strict=True)):
        every += [_encoder_heads(layer, heads, sizes.encoder_head_width), _encoder_neurons(layer, neurons)]
    numbers = zip(sizes.decoder_heads, sizes.cross_heads, sizes.decoder_neurons, strict=True)
    for layer, (own, cross, neurons) in enumerate(numbers):
        every.append(_decoder_heads(layer, "self_attn", "decoder_heads_by_layer", own, sizes.decoder_head_width))
        every.append(_decoder_heads(layer, "multihead_attn", "cross_heads_by_layer", cross, sizes.decoder_head_width))
        every.append(_decoder_neurons(layer, neurons))
    return every


def pruned_blocks(sizes: Sizes, preset: PrunablePreset, kinds: tuple[Kind, ...]) -> list[Block]:
    """The blocks whose units a recipe prunes.

    Args:
        sizes: Of the model.
        preset: Which matrices may be pruned.
        kinds: Which units.
    """
    return [block for block in blocks(sizes) if block.kind in kinds and block.count and is_prunable(block.columns, preset)]


def _encoder_heads(layer: int, count: int, width: int) -> Block:
    place = f"encoder.encoder.layer.{layer}.attention"
    names = [f"{place}.self.{matrix}.{kind}" for matrix in ("query", "key", "value") for kind in ("weight", "bias")]
    rows = tuple(map(Rows, names))
    return Block(
        "head", "encoder", layer, "heads_by_layer", count, width, rows, rows[-2], rows[-1],
        f"{place}.output.dense.weight", f"{place}.output.dense.bias",
    )  # fmt: skip


def _encoder_neurons(layer: int, count: int) -> Block:
    place = f"encoder.encoder.layer.{layer}"
    rows = (Rows(f"{place}.intermediate.dense.weight"), Rows(f"{place}.intermediate.dense.bias"))
    return Block(
        "neuron", "encoder", layer, "neurons_by_layer", count, 1, rows, *rows,
        f"{place}.output.dense.weight", f"{place}.output.dense.bias",
    )  # fmt: skip


def _decoder_heads(layer: int, attention: str, field: str, count: int, width: int) -> Block:
    place = f"decoder.layers.{layer}.{attention}"
    names = (f"{place}.in_proj_weight", f"{place}.in_proj_bias")
    rows = tuple(Rows(name, (0, 1, 2), 3) for name in names)
    value, value_bias = (Rows(name, (2,), 3) for name in names)
    return Block(
        "head", "decoder", layer, field, count, width, rows, value, value_bias,
        f"{place}.out_proj.weight", f"{place}.out_proj.bias",
    )  # fmt: skip


def _decoder_neurons(layer: int, count: int) -> Block:
    place = f"decoder.layers.{layer}"
    rows = (Rows(f"{place}.linear1.weight"), Rows(f"{place}.linear1.bias"))
    return Block(
        "neuron", "decoder", layer, "decoder_neurons_by_layer", count, 1, rows, *rows,
        f"{place}.linear2.weight", f"{place}.linear2.bias",
    )  # fmt: skip
