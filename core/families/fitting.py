"""How many sources a device has room to decode at a time.

An estimate from the model's sizes, kept on the safe side; whoever decodes halves the batch should it be wrong. The comments
found do not depend on it. Knows no search.
"""

import torch

from .config import CodeToTextConfig

CPU_BATCH = 16
"""On two cores 8 to 32 are within a few percent of each other, whatever the memory."""
MOST = 512
"""More makes no GPU quicker, and examples that are done leave room only batch by batch."""
SHARE = 0.6
"""Of the free memory; the rest is for what kernels need meanwhile."""
COPIES = 5
"""Of the scores of every next token at once: as they come, in float32, as logarithms, padded, and chosen from."""


def batch_that_fits(config: CodeToTextConfig, device: torch.device, beam: int, max_length: int, longest: int) -> int:
    """The number of sources to decode together.

    Args:
        config: The model's sizes.
        device: Where it is.
        beam: Beam width.
        max_length: Most tokens of a comment.
        longest: Tokens of the longest source.

    Returns:
        1 to `MOST`.
    """
    if device.type != "cuda":
        return CPU_BATCH
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # held by torch, and not in use
    return fitting(free, example_bytes(config, beam, max_length, longest))


def fitting(free: int, each: int) -> int:
    """How many examples of so many bytes fit into the share of free memory that may be used."""
    return max(1, min(MOST, int(SHARE * free) // each))


def example_bytes(config: CodeToTextConfig, beam: int, max_length: int, longest: int) -> int:
    """About what decoding one source takes at most, in bytes, in float32.

    Args:
        config: The model's sizes.
        beam: Beam width.
        max_length: Most tokens of a comment.
        longest: Tokens of the source.
    """
    hidden, wide = config.hidden_size, max(config.intermediate_size, 4 * config.hidden_size)
    encoding = longest * (2 * wide + 4 * hidden)
    source = config.decoder_layers * 2 * longest * hidden
    comment = config.decoder_layers * 2 * hidden * (max_length + 4 * beam) * 2  # while it is reordered there are two
    choosing = COPIES * beam * config.vocab_size
    history = 5 * max_length * beam
    return int(4 * (encoding + source + comment + choosing + history))
