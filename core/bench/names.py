"""The names of the comparisons, without torch."""

NAMES = (
    "training",
    "decoding",
    "generate",
    "greedy",
    "masked-step",
    "journal",
    "evaluation",
    "picking-best",
    "pruning",
    "start",
    "criteria",
    "onnx",
    "growth",
    "where",
    "peers",
)
