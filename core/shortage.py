"""Errors of memory, of this machine's or of a GPU's, in words for the user who can fix them: they are no defects of this program.

torch has a class of its own for some of them; the libraries under it (cuBLAS, cuDNN, CUDA, the CPU's allocator) say it in texts.
Torch-free; knows nothing of who met them.
"""

import gc
import re
import sys

WORDS = re.compile(
    r"out of memory"  # CUDA and MPS
    r"|can't allocate memory|not enough memory: you tried to allocate"  # torch on the CPU
    r"|(CUBLAS|CUBLASLT|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_STATUS_ALLOC_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling `?cublas\w*Create"  # its handle found no room
    r"|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
    r"|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY",
    re.IGNORECASE,
)
"""How libraries say that memory is short."""
CLASSES = ("OutOfMemoryError", "MemoryError")


def is_shortage(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that there is not enough memory."""
    seen: BaseException | None = error
    while seen is not None:
        by_class = any(kind.__name__ in CLASSES for kind in type(seen).__mro__)
        if by_class or (isinstance(seen, RuntimeError) and WORDS.search(str(seen))):
            return True
        seen = seen.__cause__
    return False


def in_words(error: BaseException, what: str = "This") -> tuple[str, str]:
    """What happened, and what to do.

    Args:
        error: One for which `is_shortage` holds.
        what: The work that met it, beginning a sentence.

    Returns:
        Problem and fix, a sentence each.
    """
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return (
        f"{what} needs more memory than there is: {first[:200]}{'' if first.endswith('.') else '.'}",
        "Give smaller batches or a smaller model, or free memory (other programs on this device hold some, perhaps).",
    )


def make_room() -> None:
    """Frees what nothing refers to any more, also the memory of a GPU that torch keeps for later; imports nothing for it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
