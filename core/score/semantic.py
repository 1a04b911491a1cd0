"""How near comments are in meaning: the cosine of sentence embeddings, by a sentence-transformers model on this machine.

Comments with different words may have the same meaning; this score shows it (Haque et al. 2022), and is only as good as the
embedder. The library is imported on first use.
Source: S. Haque, Z. Eberhart, A. Bansal, C. McMillan, "Semantic similarity metrics for evaluating source code summarization",
ICPC 2022.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import ModelError
from . import metrics
from .tally import Array, Tally

INSTALL = "Install it with: pip install 'codeprune-tui[semantic]'"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def check_embedder(folder: Path) -> None:
    """Refuses what cannot be an embedder, without loading anything.

    Args:
        folder: Of a sentence-transformers model.

    Raises:
        ModelError: The folder holds no such model, or sentence-transformers is not installed.
    """
    if not (folder / "modules.json").is_file():
        raise ModelError(
            f"{folder} is no folder of a sentence-transformers model: it has no modules.json.",
            "Download one once, with: hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir FOLDER",
        )
    if find_spec("sentence_transformers") is None:
        raise ModelError("Sentence embeddings need sentence-transformers, which is not installed.", INSTALL)


class Embedder:
    """Turns sentences into vectors.

    Args:
        folder: Folder of a sentence-transformers model; nothing is fetched.

    Raises:
        ModelError: The folder holds no such model, or sentence-transformers is not installed.
    """

    def __init__(self, folder: Path) -> None:
        check_embedder(folder)
        from sentence_transformers import SentenceTransformer

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

    def counted(self, side: Tally, texts: Sequence[str], references_lists: Sequence[Sequence[str]]) -> Tally:
        """The tally of some rows with their cosines.

        Args:
            side: Their other counts.
            texts: One comment a row.
            references_lists: For each row its references.
        """
        return replace(side, semantic=self.cosines(texts, references_lists))

    def floors(self, known: metrics.Floors, references_lists: Sequence[Sequence[str]], names: Sequence[str]) -> metrics.Floors:
        """The floors of some rows with their mean cosines.

        Args:
            known: The other scores of the floors.
            references_lists: For each row its references.
            names: The row's method name.
        """
        constant = self.cosines([metrics.CONSTANT_PREDICTION] * len(names), references_lists)
        name = self.cosines([metrics.name_prediction(each) for each in names], references_lists)
        return metrics.Floors(
            replace(known.constant, semantic=float(constant.mean())), replace(known.name, semantic=float(name.mean()))
        )

    def _vectors(self, texts: Sequence[str]) -> Array:
        """(N, width) of length 1; equal texts are embedded once."""
        unique = sorted(set(texts))
        places = {text: place for place, text in enumerate(unique)}
        vectors = np.asarray(self._model.encode(unique, show_progress_bar=False, convert_to_numpy=True), np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors[[places[text] for text in texts]]
