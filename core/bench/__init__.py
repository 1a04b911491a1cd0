"""How fast the engine is, measured side by side with what users have otherwise.

Every comparison runs both sides in turn, in one process or in paired ones, and gives a ratio. The other side is either the peer
library itself (`transformers`, `torch.nn.utils.prune`) or the reference's algorithm, written here. Nothing here prints.
"""
