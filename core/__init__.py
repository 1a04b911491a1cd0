"""The engine of codeprune-tui: prunes, trains, decodes and scores code-to-text models.

Headless: nothing in here imports Textual. The modules `errors`, `recipe`, `events`, `journal`, `runs`, `ruby` and `bleu` also
run without torch, so that the app may import them and still paint at once.
"""

import logging
import os

OWNER = "codeprune-tui"
"""Marks this `core` as ours; the app checks it at start, for `core` is a common name that something else may shadow."""

# transformers imports torchao where it is installed, and both log what is no news to a user: libraries for GPUs it lacks,
# and calls that torch will drop. It comes with any command, so it is hushed before the first import; errors are still told.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)

# Gradients of a large vocabulary are mapped anew at every step. In huge pages, where the kernel has them to give, that costs a
# tenth less of a step of CodeBERT's size. torch reads this once, when it first takes memory.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
