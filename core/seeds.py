"""Seeds for the many places that need chance, all drawn from the one seed of a recipe.

torch's CPU generator uses only the lower 32 bits of its seed, so seeds made by shifting and adding collide; these are hashed.
"""

import zlib


def derive_seed(*parts: int | str) -> int:
    """A 32-bit seed that differs, for all that matters, whenever one of its parts does.

    Args:
        parts: The recipe's seed and what it is for: a round, a step, a parameter's name.

    Returns:
        A number in [0, 2**32).
    """
    return zlib.crc32("/".join(map(str, parts)).encode())
