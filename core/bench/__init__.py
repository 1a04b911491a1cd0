"""Benchmarks: the speed of the engine, measured side by side with the alternatives that users have.

Every comparison runs both sides in turn, in one process or in paired ones, and gives a ratio. The other side is either the peer
library itself (`transformers`, `torch.nn.utils.prune`) or the reference's algorithm, written here. Nothing here prints.
"""
