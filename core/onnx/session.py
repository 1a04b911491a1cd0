"""A model whose two graphs run in ONNX Runtime: one encodes sources, the other writes one more token for every beam.

Reads the folders that `core.export.onnx` writes. Knows no search. Torch-free; onnxruntime is imported when a model is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..families.config import CodeToTextConfig
from ..regularfile import reason
from ..spec.checkpoint_files import CONFIG, ONNX_FILES, PRECISION, TUNED
from ..spec.configfields import check_fields
from ..spec.weightheaders import read_json

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
INSTALL = "Install it with: pip install 'codeprune-tui[onnx]'"


@dataclass(frozen=True)
class OnnxModel:
    """A model that writes comments, and does nothing else."""

    folder: Path
    config: CodeToTextConfig
    precision: str
    """fp32, fp16 or int8."""
    finetuned: bool
    _encoder: "InferenceSession"
    _decoder: "InferenceSession"

    @property
    def positions(self) -> int:
        """Most tokens that the model can read or write."""
        return self.config.positions

    @property
    def size_bytes(self) -> int:
        """Bytes of its two files."""
        return sum((self.folder / name).stat().st_size for name in ONNX_FILES)

    def encode(self, sources: Ints) -> list[Array]:
        """Encodes sources for the decoder.

        Args:
            sources: (batch, source time), padded with 1.

        Returns:
            Keys and values for each decoder layer in turn, (batch, heads, source time, width) each.
        """
        cross: list[Array] = self._encoder.run(None, {"sources": sources})
        return cross

    def own_widths(self) -> list[int]:
        """Width of what each decoder layer keeps of a token: its keys and values side by side."""
        return [given.shape[2] for given in self._decoder.get_inputs() if given.name.startswith("own_")]

    def step(
        self,
        tokens: Ints,
        positions: Ints,
        seen: Bools,
        source_mask: Bools,
        own: Sequence[Array],
        cross: Sequence[Array],
        choices: int,
    ) -> tuple[Array, Ints, list[Array]]:
        """One more token for every beam.

        Args:
            tokens: (batch, beams), the last token of each beam.
            positions: (batch, beams), where that token stands.
            seen: (batch, beams, slots + beams), which tokens are on a beam's path; the last slots are those of `tokens`.
            source_mask: (batch, source time), True = a real token.
            own: Per layer, keys and values of the tokens so far, (batch, slots, width).
            cross: As `encode` gives it.
            choices: How many next tokens to return for each beam.

        Returns:
            Log-probabilities of the likeliest next tokens, (batch, beams, choices), the best first and among equal ones the
            lowest token; these tokens; and `own` with the new tokens.
        """
        feeds: dict[str, npt.NDArray[Any]] = {"tokens": tokens, "positions": positions, "seen": seen, "source_mask": source_mask}
        feeds |= {f"own_{layer}": each for layer, each in enumerate(own)}
        feeds |= {f"cross_{place}": each for place, each in enumerate(cross)}
        likely, following, *kept = self._decoder.run(None, {**feeds, "wanted": np.zeros(choices, np.float32)})
        return likely, following, kept


def load(folder: str | Path, threads: int = 0) -> OnnxModel:
    """Loads a model that was exported to ONNX.

    Args:
        folder: With `encoder.onnx`, `decoder.onnx` and `config.json`.
        threads: CPU threads, 0 = as many as cores.

    Raises:
        ModelError: A file is missing or damaged, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{folder} is an ONNX model, and onnxruntime is not installed.", INSTALL) from error
    folder = Path(folder).expanduser()
    facts = read_json(folder / CONFIG)
    known: dict[str, Any] = {field.name: facts[field.name] for field in fields(CodeToTextConfig) if field.name in facts}
    check_fields(known, folder / CONFIG)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only: warnings concern whoever makes the graphs
    sessions = []
    for name in ONNX_FILES:
        try:
            sessions.append(onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # the library's exceptions have no common ancestor
            raise ModelError(f"{folder / name} cannot be loaded: {reason(error)}.", "Export the model again.") from error
    return OnnxModel(
        folder, CodeToTextConfig(**known), str(facts.get(PRECISION, "")), facts.get(TUNED) is True, *sessions
    )  # fmt: skip
