"""The resume checkpoint, one file with everything needed to resume inside a round; and the rewind weights.

A checkpoint is complete or absent: a kill at any moment leaves the last whole one. It is a safetensors file with one JSON
metadata entry; nothing is pickled. The tensors are copied at once and written while training continues, for a disk can be slow
and the copy is exact. Knows tensors and facts, not what they mean.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..atomic import complete_or_absent
from ..errors import ModelError, RunError
from ..families.weightfiles import placed
from ..regularfile import check_regular
from ..spec.weightheaders import KEPT

STATE_FILE = "state.safetensors"
BEST_FILE = "best.safetensors"
"""Beside `STATE_FILE`: the best weights of the round so far, by its picker."""
WEIGHT = "weight/"
"""Prefix of the names of weights among the tensors of a checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """A point inside a round."""

    facts: dict[str, object]
    """Round, step and whatever else the loop needs, as JSON."""
    tensors: dict[str, Tensor]


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Replaces the checkpoint in `folder` in one rename.

    Args:
        folder: The run's `resume/`.
        tensors: Name -> tensor, any device.
        facts: JSON values.
    """
    folder.mkdir(exist_ok=True)  # without its parents: a run folder that was deleted must not come back in parts
    save_tensors(folder / STATE_FILE, tensors, facts)


def save_best(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Replaces the best weights in `folder` by those of a checkpoint.

    Args:
        folder: As for `save_checkpoint`.
        tensors: As for `save_checkpoint`.
        facts: JSON values; their round and step are kept.
    """
    folder.mkdir(exist_ok=True)
    weights = {name.removeprefix(WEIGHT): tensor for name, tensor in tensors.items() if name.startswith(WEIGHT)}
    save_tensors(folder / BEST_FILE, weights, {key: facts[key] for key in ("round", "step")})


class CheckpointWriter:
    """Writes checkpoints while training continues, one at a time; the best weights just after the one that holds them.

    Args:
        folder: The run's `resume/`.
        saved: Called with a checkpoint's facts once it is on disk, by the thread that calls `write`, `poll` or `settle`.
    """

    def __init__(self, folder: Path, saved: Callable[[Mapping[str, object]], None]) -> None:
        self._folder, self._saved = folder, saved
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: tuple[Future[None], Mapping[str, object]] | None = None
        self._pinned: dict[str, Tensor] = {}

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, object], *, best: bool = False) -> None:
        """Copies the tensors and begins to write the copy, once the previous checkpoint is on disk.

        Where memory is too short for a copy, the call returns only after everything is written.

        Args:
            tensors: Name -> tensor, any device; may change as soon as this returns.
            facts: JSON values.
            best: Whether its weights are the best of the round so far: they are then written to a file of their own, too, which
                later checkpoints leave alone. Should they not reach it, they are in the checkpoint that was written before.

        Raises:
            OSError: The previous checkpoint could not be written.
        """
        self.settle()
        if psutil.virtual_memory().available > 2 * sum(tensor.nbytes for tensor in tensors.values()):
            copied, wait = self._copied(tensors)
            self._pending = self._thread.submit(self._save, copied, wait, facts, best), facts
        else:
            self._save(tensors, lambda: None, facts, best)
            self._saved(facts)

    def _copied(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """Copies of tensors on the CPU, and what waits until they are complete.

        Those of a GPU go into pinned memory, which is kept: the GPU copies them between two steps, with the whole speed of its
        bus, while this thread goes on.
        """
        from_gpu = {name: tensor for name, tensor in tensors.items() if _on_gpu(tensor)}
        copied = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items() if name not in from_gpu}
        for name, tensor in from_gpu.items():
            kept = self._pinned.get(name)
            if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
                kept = self._pinned[name] = _pinned_like(tensor)
            copied[name] = kept.copy_(tensor.detach(), non_blocking=True)
        if not from_gpu:
            return copied, lambda: None
        complete = _event()
        complete.record()
        device = next(iter(from_gpu.values())).device

        def wait() -> None:
            with _current(device):  # a thread begins on the first GPU, and would make a context there, which is memory
                complete.synchronize()

        return copied, wait

    def _save(self, tensors: Mapping[str, Tensor], wait: Callable[[], None], facts: Mapping[str, object], best: bool) -> None:
        wait()
        save_checkpoint(self._folder, tensors, facts)
        if best:
            save_best(self._folder, tensors, facts)

    def poll(self) -> None:
        """Calls `saved` if a checkpoint has reached the disk; does not wait.

        Raises:
            OSError: It could not be written.
        """
        if self._pending is not None and self._pending[0].done():
            self.settle()

    def settle(self) -> None:
        """Waits until everything is on disk.

        Raises:
            OSError: It could not be written.
        """
        if self._pending is not None:
            (written, facts), self._pending = self._pending, None
            written.result()
            self._saved(facts)


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cuda"


def _pinned_like(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)


def _current(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.device(device)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in `folder`, or None where there is none.

    Raises:
        RunError: There is one, but it is damaged.
    """
    path = folder / STATE_FILE
    if not os.path.lexists(path):
        return None
    facts, tensors = load_tensors(path)
    return Checkpoint(facts, tensors)


def checkpoint_facts(folder: Path) -> dict[str, object]:
    """Only the facts of the checkpoint in `folder`, without reading its tensors; empty where there is none.

    Raises:
        RunError: The checkpoint is damaged.
    """
    path = folder / STATE_FILE
    return _read(path, tensors=False)[0] if os.path.lexists(path) else {}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object] | None = None) -> None:
    """Writes tensors and facts to one file, complete or absent.

    Args:
        path: The file; replaced if it exists.
        tensors: Name -> tensor, any device; none may share memory with another.
        facts: JSON values.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with complete_or_absent(path) as draft:
        save_file(ready, draft, metadata={"facts": json.dumps(facts or {})})


def load_tensors(path: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Reads what `save_tensors` wrote.

    Raises:
        RunError: The file is missing or damaged.
    """
    return _read(path, tensors=True)


@contextmanager
def usable(path: Path, fix: str) -> Iterator[None]:
    """Turns whatever goes wrong while the block uses a file or folder of a run into one error that names it.

    Raises:
        RunError: Names the path, the reason and the fix.
    """
    try:
        yield
    except RunError as error:
        raise RunError(error.problem, fix) from error
    except ModelError as error:
        raise RunError(f"{path} is missing or damaged: {error.problem.removesuffix('.')}.", fix) from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise RunError(f"{path} is missing or damaged: {str(error)[:300]}.", fix) from error


def one_tensor(path: Path, name: str, mask: Tensor | None = None) -> Tensor | None:
    """One tensor of a safetensors file, or None where the file or the tensor is missing or unreadable.

    Args:
        path: The file.
        name: The tensor's name.
        mask: Of a matrix of which the file may hold the kept values alone; bool, on the CPU.
    """
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if name + KEPT in names and mask is not None:
                return placed(file.get_tensor(name + KEPT), mask)
            return file.get_tensor(name).clone() if name in names else None
    except (OSError, SafetensorError, RuntimeError):
        return None


def views_of(model: nn.Module) -> dict[str, Tensor]:
    """All parameters by name, tied ones once, for `save_tensors`, which has written them when it returns."""
    return {name: weight.detach() for name, weight in model.named_parameters()}


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Sets every parameter to a saved value.

    Args:
        model: The model.
        weights: As `views_of` gave them.
    """
    for name, weight in model.named_parameters():
        weight.copy_(weights[name])


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, object], dict[str, Tensor]]:
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            if not isinstance(facts, dict):
                raise ValueError("its facts are no JSON object")
            # Cloned, because tensors that point into the mapped file would change with it.
            return facts, {name: file.get_tensor(name).clone() for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise RunError(
            f"The checkpoint {path} cannot be read: {error}.",
            f"Delete {path.parent} and resume: the run goes on from its last complete round."
            if path.name in (STATE_FILE, BEST_FILE)
            else f"Put {path} back, or start a new run with the same recipe.",
        ) from error
