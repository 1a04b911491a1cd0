"""Which GPU a worker gets where many work at a time: one worker a GPU, and a second only where memory is left for it.

A worker is given its GPU by CUDA_VISIBLE_DEVICES, so its recipe stays as it is. Asks NVML; knows neither runs nor their folders.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from core.gpus import VISIBLE, Gpu, Gpus
from core.recipe import Recipe
from core.spec import sizes

LEAST_BYTES = 2 * 2**30
"""Memory of a worker on the bundled model: CUDA's own context, the kernels and a batch."""
BYTES_A_WEIGHT = 16
"""Weight, gradient and two moments in float32."""

See = Callable[[], Sequence[Gpu]]


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs that workers started here see; none where torch is built for the CPU alone, whatever the machine has."""
    try:
        if version("torch").endswith("+cpu"):
            return ()
    except PackageNotFoundError:
        return ()
    nvml = Gpus()
    gpus = nvml.visible()
    nvml.close()
    return tuple(gpu for gpu in gpus if gpu.uuid)  # without its id a worker cannot be sent to it


def on_any_gpu(recipe: Recipe) -> bool:
    """Whether a recipe's worker takes one GPU, and any."""
    return recipe.training.device in ("auto", "cuda") and recipe.training.processes == 1


def candidates(recipe: Recipe, gpus: Sequence[Gpu]) -> Sequence[Gpu]:
    """The GPUs that a recipe's worker may take: any, or the one that it names; none for a worker that takes none, or several."""
    if on_any_gpu(recipe):
        return gpus
    return [gpu for gpu in gpus if recipe.training.device == f"cuda:{gpu.number}"]


def needed_bytes(recipe: Recipe) -> int:
    """About the least memory of a GPU that training takes: weights, gradients and optimizer; activations come on top."""
    tensors = sizes.of_recipe(recipe) or {}
    return LEAST_BYTES + BYTES_A_WEIGHT * sum(tensors.values())


def choose(gpus: Sequence[Gpu], workers: Mapping[str, int], needed: int) -> Gpu | None:
    """The GPU for one more worker.

    Args:
        gpus: All there are, as they are now.
        workers: Id of a GPU -> how many of our workers were sent there.
        needed: Bytes that the worker takes at least.

    Returns:
        Of those with enough free memory the one with the fewest of our workers, then with the most free memory; None where
        none has enough. A GPU that does not tell its memory has room for one worker.
    """

    def has_room(gpu: Gpu) -> bool:
        ours = workers.get(gpu.uuid, 0)
        # Our workers there count once more: one that began a moment ago holds nothing yet.
        return not ours if gpu.free_bytes is None else gpu.free_bytes >= (1 + ours) * needed

    fitting = [gpu for gpu in gpus if has_room(gpu)]
    return min(fitting, key=lambda gpu: (workers.get(gpu.uuid, 0), -(gpu.free_bytes or 0), gpu.number), default=None)


def environment(gpu: Gpu | None) -> dict[str, str]:
    """The variables that send a worker to a GPU; none for None."""
    return {} if gpu is None else {VISIBLE: gpu.uuid}
