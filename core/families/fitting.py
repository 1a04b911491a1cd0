"""Estimates how many sources fit on a device when they are decoded together.

The estimate uses the model's sizes and errs on the safe side; `decode` halves the batch where it is wrong. On the CPU the
comments do not depend on it. Knows no search.
"""

import torch

from .config import CodeToTextConfig

CPU_BATCH = 16
"""Batch on the CPU: on two cores 8 to 32 are within a few percent of each other, whatever the memory."""
MOST = 512
"""Largest batch: more makes no GPU faster, and finished examples free memory only batch by batch."""
SHARE = 0.6
"""Share of the free memory; the rest is for the kernels' own needs."""
COPIES = 5
"""Copies of the scores of all next tokens that exist at once: raw, in float32, as logarithms, padded, and chosen from."""


def batch_that_fits(
    config: CodeToTextConfig, device: torch.device, beam: int, max_length: int, longest: int, reserved: int = 0
) -> int:
    """The number of sources to decode together.

    Args:
        config: The model's sizes.
        device: Where it is.
        beam: Beam width.
        max_length: Most tokens of a comment.
        longest: Tokens of the longest source.
        reserved: Bytes of the free memory that are promised to something else.

    Returns:
        1 to `MOST`.
    """
    if device.type != "cuda":
        return CPU_BATCH
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # reserved by torch and not in use
    return fitting(max(0, free - reserved), example_bytes(config, beam, max_length, longest))


def fitting(free: int, each: int) -> int:
    """Number of examples of this many bytes that fit into the usable share of the free memory."""
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
    comment = config.decoder_layers * 2 * hidden * (max_length + 4 * beam) * 2  # there are two while the cache is reordered
    choosing = COPIES * beam * config.vocab_size
    history = 5 * max_length * beam
    return int(4 * (encoding + source + comment + choosing + history))
