"""Shrinking as a verb: writes a copy of a model without the heads and neurons that its masks remove whole.

The command line calls this, and a run at its end. What can be removed, and how, is `compress.shrink`'s business.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from ..atomic import complete_or_absent
from ..compress.masks import Masks, masks_of_zeros, prunable, save_masks
from ..compress.shrink import cut_vocabulary, plan, shrink, vocabulary_plan
from ..data import encode_for
from ..errors import ModelError
from ..families.reader import Reader
from ..families.roberta import CodeToText
from ..families.vocabulary import choose, cut_reader, uses
from ..families.weightfiles import find_weights
from ..model import MASKS, load_masks, load_model, load_reader, save_model
from ..recipe import VOCABULARY
from ..spec.checkpoint_files import WEIGHTS
from ..spec.sizes import bytes_by_width
from ..text.rows import load_rows


@dataclass(frozen=True)
class Shrunk:
    """What shrinking a model did."""

    parameters: tuple[int, int]
    """Number of its weights before and afterwards, tied ones once."""
    size_bytes: tuple[int, int]
    """Bytes of its weights and masks before and afterwards."""
    kept: dict[str, tuple[int, int]]
    """Block such as "encoder 3 heads" -> units that stay, of how many; "vocabulary" where entries of it were dropped."""
    pruned: int
    """Number of weights that stay although a mask holds them at 0."""
    rounded: float = 0.0
    """Norm of what rounding to fewer bits changed in the weights, over their norm; 0 where every value is as it was."""

    def units(self, kind: str) -> tuple[int, int]:
        """Units of one kind that stay, of how many: "heads" or "neurons"."""
        pairs = [pair for name, pair in self.kept.items() if name.endswith(kind)]
        return sum(left for left, _ in pairs), sum(all_ for _, all_ in pairs)

    def facts(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


Values = Literal["fp16", "int8"]
"""What packed values are rounded to: all weights to 16 bits, or kept ones to 8 with a scale for each row, and the rest to 16."""


@dataclass(frozen=True)
class Entries:
    """Which entries of the vocabulary a copy loses."""

    data: str
    """Folder of the rows whose training split says what is used."""
    most: int = 0
    """Entries that stay, where there are more; 0 = all that are used."""


def shrink_copy(
    source: str,
    folder: Path,
    *,
    pack: bool = False,
    values: Values | None = None,
    vocabulary: Entries | None = None,
    entries: tuple[int, int] | None = None,
) -> Shrunk:
    """Writes a shrunk copy of a model.

    Args:
        source: Folder or hub name of the model, with its masks beside it; without masks, exact zeros count as pruned.
        folder: Must not exist.
        pack: Also write, of pruned matrices that stay, the kept values alone, in bits and values.
        values: What to round values to, with `pack`; None leaves them as they are.
        vocabulary: Which entries of the vocabulary go as well; None for none.
        entries: Entries of the vocabulary that are left of how many, where the model has lost some; they count as removed.

    Returns:
        What was removed.

    Raises:
        ModelError: The model cannot be loaded or is quantized, nothing of it can be removed, the folder exists, or fewer entries
            are to stay than can be done without.
        DataError: The rows cannot be read.
    """
    if folder.exists() or folder.is_symlink():
        raise ModelError(f"{folder} exists.", "Choose another name, or move what is there.")
    model, weights = load_model(source), find_weights(source)
    if model.config.quantization is not None:
        raise ModelError(
            f"{source} is quantized ({model.config.quantization}); its matrices cannot be cut.",
            "Shrink the model it came from, then quantize that.",
        )
    masks, reader, before = load_masks(source) or masks_of_zeros(prunable(model, "all")), load_reader(source), _parameters(model)
    if vocabulary is not None:
        reader, entries = _cut_vocabulary(model, reader, vocabulary)
    elif entries is not None:
        before += (entries[1] - entries[0]) * model.config.hidden_size
    fewer = entries is not None and entries[0] < entries[1]
    if pack and not masks and not fewer:
        raise ModelError(f"No weight of {source} is pruned, so there is nothing to pack.", "Prune it first.")
    if not fewer and not plan(model.config, masks).removes and not (pack and masks):
        raise ModelError(
            f"No head and no neuron of {source} is masked whole, so nothing can be removed.",
            'Prune whole units (pruning.unit = "head", "neuron" or "layer"); or add --pack, which stores the kept weights alone.'
            if masks
            else 'Prune whole units (pruning.unit = "head", "neuron" or "layer"), or give --vocabulary DATA.',
        )
    shrunk = save_shrunk(model, reader, masks, folder, weights, pack=pack, values=values)
    return replace(
        shrunk,
        parameters=(before, shrunk.parameters[1]),
        kept=shrunk.kept | ({VOCABULARY: entries} if entries is not None else {}),
    )


def _cut_vocabulary(model: CodeToText, reader: Reader, cut: Entries) -> tuple[Reader, tuple[int, int]]:
    """Takes entries out of a model, in place; returns the reader without them, and how many are left of how many."""
    rows = encode_for(model, reader, load_rows(cut.data, "train"))
    kept = choose(reader.tokenizer, uses(rows.sources, rows.targets), cut.most)
    small, entries = vocabulary_plan(model.config, kept), (len(kept), model.config.vocab_size)
    cut_vocabulary(model, small)
    return cut_reader(reader, kept), entries


def save_shrunk(
    model: CodeToText,
    reader: Reader,
    masks: Masks,
    folder: Path,
    weights: Path,
    *,
    pack: bool = False,
    values: Values | None = None,
) -> Shrunk:
    """Writes a shrunk model, with the masks of what is pruned inside the units that stay; complete or absent.

    Args:
        model: The masked model; it stays as it is.
        reader: Saved beside it.
        masks: Its masks.
        folder: Must not exist.
        weights: The model's own weights file; the copy is in 16 bits where that is.
        pack: As for `shrink_copy`.
        values: As for `shrink_copy`.
    """
    smaller, left = shrink(model, masks)
    half = values is not None or set(bytes_by_width(weights)) == {16}
    with complete_or_absent(folder) as draft:
        save_model(smaller, reader, draft, half=half, packed=left if pack else None, codes=values == "int8")
        if left:
            save_masks(left, draft / MASKS)
    return Shrunk(
        parameters=(_parameters(model), _parameters(smaller)),
        size_bytes=(_size_bytes(weights), _size_bytes(folder / WEIGHTS[0])),
        kept=dict(plan(model.config, masks).kept),
        pruned=sum(int((~mask).sum()) for mask in left.values()),
        rounded=_rounded(smaller, folder) if values is not None else 0.0,
    )


def _rounded(model: CodeToText, folder: Path) -> float:
    """How far the weights in a folder are from a model's, read back from the file: norm of the difference over their norm."""
    stored, squares, changes = load_model(folder), 0.0, 0.0
    for name, weight in model.named_parameters():
        exact = weight.detach().double()
        squares += float(exact.square().sum())
        changes += float((stored.get_parameter(name).detach().double() - exact).square().sum())
    return math.sqrt(changes / squares) if squares else 0.0


def _size_bytes(weights: Path) -> int:
    masks = weights.parent / MASKS
    return weights.stat().st_size + (masks.stat().st_size if masks.exists() else 0)


def _parameters(model: CodeToText) -> int:
    return sum(weight.numel() for weight in model.parameters())
