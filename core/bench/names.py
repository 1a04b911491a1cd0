"""The comparisons' names, for those who must not load torch to know them."""

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
    "growth",
)
