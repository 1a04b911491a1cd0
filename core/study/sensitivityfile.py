"""The scores that a model loses by pruning without training, as its JSON file holds them. Torch-free.

A file is about one model, which the digest of its weights names, on one set of rows, decoded in one way (`settings`). Cells are
added as they are measured, so a file that is cut off holds what there was. Nothing in it is a path of the machine it was made on.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from ..atomic import complete_or_absent
from ..errors import DataError, ModelError
from ..score.interval import Difference, Interval
from ..spec.checkpoint_files import local_weights

KIND: Final = "one-shot sensitivity"
NAME = "sensitivity.json"
"""The file beside the weights that it is about."""
Settings = dict[str, int | float | str]


@dataclass(frozen=True)
class Wish:
    """What is to be pruned at once, and how."""

    criterion: str
    scope: str
    """"global", "layerwise" or "row"; for one matrix the first two are the same."""
    prunable: str
    """The preset that the weights are of."""
    sparsity: float
    """Pruned share of these weights, in [0, 1]."""
    matrix: str = ""
    """The one parameter that is pruned; "" for all of the preset."""
    calibration_rows: int = 0
    """Rows that the criterion looked at; 0 where it sees the weights alone."""
    budget: str = "uniform"
    """How sparsity is shared out over the matrices."""
    pattern: str = ""
    """"" for single weights, else n:m or the sides of blocks."""


@dataclass(frozen=True)
class Written:
    """What a model wrote about the rows, in figures."""

    scores: dict[str, float]
    """Measure -> 0 to 100."""
    mean_tokens: float
    """Tokens of a comment, its end included."""
    ended: float
    """Share of the comments that the model ended itself, in [0, 1]; the others were cut at the longest length."""
    seconds: float
    """Decoding and scoring."""


@dataclass(frozen=True)
class Cell(Written):
    """One thing that was taken away, and what that cost."""

    loss: dict[str, Difference]
    """Measure -> score before minus score after, by the paired bootstrap on the same rows; above 0 where something was lost."""
    wish: Wish | None = None
    """None where the encoder's layers were taken out."""
    pruned: int = 0
    total: int = 0
    """Weights that are 0, of all that the wish is about."""


@dataclass(frozen=True)
class Before(Written):
    """The model as it is."""

    intervals: dict[str, Interval]
    texts: tuple[str, ...]
    """Its comments, with which those of every cell are compared: so no row of it is ever decoded twice."""


@dataclass(frozen=True)
class Sensitivity:
    """The whole file."""

    model: str
    """Its path as given; only the last part where that lies outside the working directory."""
    data: str
    """The path of the data, likewise."""
    command: str
    """The command that began the file."""
    settings: Settings
    """What every number depends on: rows, seed, beam, lengths, device."""
    weights_sha256: str
    """Digest of the model's weights file."""
    sparsity: float
    """Sparsity of the model as it is, before anything is pruned here, in [0, 1]."""
    rows: int
    threads: int
    versions: dict[str, str]
    """Package -> version, of everything that computes; `commit` where this is a checkout."""
    floors: dict[str, dict[str, float]]
    """"constant" and "name" -> measure -> score on the same rows."""
    signatures: dict[str, str]
    before: Before
    encoder_off: Cell | None = None
    cells: tuple[Cell, ...] = ()
    """The cells, in the order of their measurement."""
    kind: Literal["one-shot sensitivity"] = KIND
    schema: Literal[1] = 1

    def cell(self, wish: Wish) -> Cell | None:
        """The cell of a wish; None where it was not measured yet."""
        return next((cell for cell in self.cells if cell.wish == wish), None)

    def by_matrix(self) -> dict[str, Cell]:
        """Parameter -> its cell: of the criterion and sparsity of which there are most, magnitude and 50 % before others."""
        groups: dict[tuple[str, float], dict[str, Cell]] = {}
        for cell in self.cells:
            if cell.wish is not None and cell.wish.matrix:
                groups.setdefault((cell.wish.criterion, cell.wish.sparsity), {})[cell.wish.matrix] = cell
        usual = ("magnitude", 0.5)
        return max(groups.items(), key=lambda group: (len(group[1]), group[0] == usual), default=(usual, {}))[1]


_ADAPTER = TypeAdapter(Sensitivity)


def to_json(study: Sensitivity) -> str:
    """The file's text."""
    return _ADAPTER.dump_json(study, indent=1).decode() + "\n"


def write_sensitivity(study: Sensitivity, path: Path) -> None:
    """Writes the file, complete or absent."""
    with complete_or_absent(path) as draft:
        draft.write_text(to_json(study), encoding="utf-8")


def read_sensitivity(path: Path) -> Sensitivity:
    """Reads such a file.

    Raises:
        DataError: It is none.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except (OSError, ValidationError, RecursionError) as error:
        problem = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(
            f"{path} cannot be read as a file of {KIND}: {problem}.", "Delete it, or give another file with -o."
        ) from error


def check_fits(known: Sensitivity, weights_sha256: str, settings: Settings, path: Path) -> None:
    """Refuses to put cells beside others that they cannot be compared with.

    Raises:
        DataError: The file is about another model, other rows or another way to decode.
    """
    fix = "Give another file with -o, or delete this one."
    if known.weights_sha256 != weights_sha256:
        raise DataError(f"{path} is about a model with other weights ({known.model}).", fix)
    other = [
        f"{name} {known.settings.get(name)}, now {settings.get(name)}"
        for name in dict.fromkeys([*known.settings, *settings])
        if known.settings.get(name) != settings.get(name)
    ]
    if other:
        raise DataError(f"{path} was measured in another way: {'; '.join(other)}.", fix)


def digest_of_weights(model: str | Path) -> str | None:
    """The sha256 (hex) of a model's weights file, or None where there is none on this machine.

    Args:
        model: Folder or weights file.
    """
    try:
        weights = local_weights(model)
        if weights is None:
            return None
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ModelError):
        return None
