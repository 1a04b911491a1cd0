"""Writes comments for Ruby methods with a model in ONNX Runtime; imports nothing that takes long."""

from collections.abc import Sequence

from ..families.reader import PAPER_SOURCE_LENGTH, read_reader
from ..recipe import Search
from ..ruby import Method, source_text
from .search import search_batches
from .session import OnnxModel


def comment_methods(model: OnnxModel, methods: Sequence[Method], search: Search) -> list[str]:
    """Writes a comment for each method.

    Args:
        model: In ONNX Runtime; its reader lies beside it.
        methods: As `core.ruby.methods` finds them.
        search: Beam, length and length penalty.

    Returns:
        One comment a method, in order.

    Raises:
        ModelError: The reader cannot be read, or a setting does not fit the model.
    """
    reader = read_reader(model.folder)
    sources = reader.sources([source_text(method.tokens) for method in methods], min(PAPER_SOURCE_LENGTH, model.positions))
    comments = [""] * len(sources)
    for rows, hypotheses in search_batches(model, sources, search):
        for row, (best, *_) in zip(rows, hypotheses, strict=True):
            comments[row] = reader.text(best.tokens)
    return comments
