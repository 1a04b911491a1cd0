"""How near comments are in meaning: the cosine of sentence embeddings, by a sentence-transformers model on this machine.

Comments with different words may have the same meaning; this score shows it (Haque et al. 2022), and is only as good as the
embedder. The library is imported on first use.
Source: S. Haque, Z. Eberhart, A. Bansal, C. McMillan, "Semantic similarity metrics for evaluating source code summarization",
ICPC 2022.
"""

import hashlib
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..errors import ModelError
from .tally import Array

INSTALL = "Install it with: pip install 'codeprune-tui[semantic]'"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class Embedder:
    """Turns sentences into vectors.

    Args:
        folder: Folder of a sentence-transformers model; nothing is fetched.

    Raises:
        ModelError: The folder holds no such model, or sentence-transformers is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "modules.json").is_file():
            raise ModelError(
                f"{folder} is no folder of a sentence-transformers model: it has no modules.json.",
                "Download one once, with: hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir FOLDER",
            )
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelError("Sentence embeddings need sentence-transformers, which is not installed.", INSTALL) from error
        try:
            self._model: SentenceTransformer = SentenceTransformer(
                os.path.abspath(folder),  # noqa: PTH100 - a relative name could be taken for one of the hub
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # the underlying libraries may raise anything
            line = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise ModelError(f"{folder} cannot be loaded as an embedder: {line}.", "Copy its files again.") from error
        weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12] if weights else "unknown"
        self.signature = f"sentence-transformers|cosine|mean:sentence|weights:{digest}|version:{version('sentence-transformers')}"

    def cosines(self, texts: Sequence[str], references_lists: Sequence[Sequence[str]]) -> Array:
        """The similarity of each text to its references.

        Args:
            texts: One comment a row.
            references_lists: For each row its references; the nearest one counts.

        Returns:
            (N,) cosines times 100, -100 to 100.
        """
        flat = [reference for references in references_lists for reference in references]
        vectors = self._vectors([*texts, *flat])
        ours, theirs = vectors[: len(texts)], vectors[len(texts) :]
        rows = np.repeat(np.arange(len(texts)), [len(references) for references in references_lists])
        best = np.full(len(texts), -100.0)
        np.maximum.at(best, rows, 100 * (ours[rows] * theirs).sum(1))
        return best

    def _vectors(self, texts: Sequence[str]) -> Array:
        """(N, width) of length 1; equal texts are embedded once."""
        unique = sorted(set(texts))
        places = {text: place for place, text in enumerate(unique)}
        vectors = np.asarray(self._model.encode(unique, show_progress_bar=False, convert_to_numpy=True), np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors[[places[text] for text in texts]]
