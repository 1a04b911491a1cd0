"""The ranks of a run: processes that share the rows of each step and of each evaluation, as one of them sees them.

    gradient = mean over ranks of the gradient of (weight of the own rows * their mean loss)

A run usually is one rank, alone: then nothing is sent, and every function gives back what it was given. Of several, rank 0
decides, for it alone has commands, a clock that counts, and a disk to write to; its decisions are sent to the others. What all of
them compute from the same numbers is not sent. Gradients go through DDP, messages through gloo as JSON: nothing is pickled,
because a port of this machine is open to its other users. Knows no journal, and not how ranks are started (`launch`).
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..compress.masks import Masks
from ..data import Batch
from ..decode import search_batches
from ..errors import RunError
from ..families.memory import resident_bytes
from ..families.roberta import CodeToText
from ..hypotheses import Hypothesis
from ..onnx.session import OnnxModel
from ..recipe import Search
from ..run.control import StopRequested
from ..seeds import derive_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(days=30)
"""For how long a rank waits for another: the one that leads may be paused, and whoever started them ends them if one dies."""
HEAD_BYTES = 256
"""Bytes of a message's first part, in which nearly every message has room."""
LENGTH_BYTES = 8
"""Bytes at its beginning, which say how long the message is."""
TOGETHER = 16
"""Sources that a rank decodes together where nothing else is said."""
LOST = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""Words of torch's errors of a connection whose other end has gone."""

T = TypeVar("T")
Loss = Callable[[Batch], Tensor]
Found = Iterator[tuple[list[int], list[list[Hypothesis]]]]


class RankLostError(RunError):
    """Another rank has ended, so that this one cannot go on; why is known to whoever started them."""


def is_lost(error: BaseException) -> bool:
    """Whether an error says no more than that another rank has ended."""
    if isinstance(error, RankLostError | dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in LOST)


class Ranks:
    """The ranks of a run.

    Args:
        number: Number of this one, from 0.
        count: How many there are.
        worker: Id of the process that holds the run; 0 where it is this one.
    """

    def __init__(self, number: int = 0, count: int = 1, worker: int = 0) -> None:
        self.number, self.count, self._worker = number, count, worker
        self._apart = False
        """Whether this rank does something for which the others wait."""

    @property
    def leads(self) -> bool:
        """Whether this rank decides, reads commands and writes."""
        return self.number == 0

    @property
    def worker(self) -> int:
        """Id of the process that holds the run."""
        return self._worker or os.getpid()

    def agreed(self, value: Any) -> Any:
        """The value that rank 0 has, on every rank; JSON."""
        if self.count == 1 or self._apart:
            return value
        text = json.dumps(value).encode() if self.leads else b""
        head = _bytes(len(text).to_bytes(LENGTH_BYTES, "little") + text[: HEAD_BYTES - LENGTH_BYTES], HEAD_BYTES)
        _broadcast(head)
        received = head.numpy().tobytes()
        length = int.from_bytes(received[:LENGTH_BYTES], "little")
        if (rest := length - (HEAD_BYTES - LENGTH_BYTES)) > 0:
            tail = _bytes(text[HEAD_BYTES - LENGTH_BYTES :], rest)
            _broadcast(tail)
            received += tail.numpy().tobytes()
        return json.loads(received[LENGTH_BYTES : LENGTH_BYTES + length])

    def gathered(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on every rank; JSON."""
        if self.count == 1 or self._apart:
            return [value]
        text = json.dumps(value).encode()
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with _together():
            dist.all_gather(sizes, torch.tensor([len(text)]))
        longest = max(int(size) for size in sizes)
        texts = [torch.empty(longest, dtype=torch.uint8) for _ in sizes]
        with _together():
            dist.all_gather(texts, _bytes(text, longest))
        return [json.loads(part.numpy().tobytes()[: int(size)]) for part, size in zip(texts, sizes, strict=True)]

    def in_turn(self, work: Callable[[], T]) -> T:
        """Does something on rank 0, then on the others, which find on the disk what it has left there."""
        if not self.leads:
            self.wait()
        result = work()
        if self.leads:
            self.wait()
        return result

    def wait(self) -> None:
        """Waits until rank 0 has come to this point; everything that it wrote before is on the disk."""
        self.agreed(None)

    def made_once(self, model: nn.Module, make: Callable[[], Masks]) -> Masks:
        """Lets rank 0 make masks, and gives all ranks these, and the weights that rank 0's model has afterwards.

        Args:
            model: On every rank the same one; its weights may change.
            make: Makes the masks; may obey commands meanwhile.

        Returns:
            Parameter name -> bool mask on the model's device.

        Raises:
            StopRequested: On all ranks, where rank 0 was told to stop.
        """
        if self.count == 1:
            return make()
        masks: Masks = {}
        stopped = ""
        if self.leads:
            self._apart = True
            try:
                masks = make()
            except StopRequested as request:
                stopped = str(request)
            finally:
                self._apart = False
        stopped, names = self.agreed([stopped, list(masks)])
        if stopped:
            raise StopRequested(stopped)
        weights = dict(model.named_parameters())
        if not self.leads:
            masks = {name: torch.empty_like(weights[name], dtype=torch.bool) for name in names}
        for tensor in (*(mask.view(torch.uint8) for mask in masks.values()), *(weight.detach() for weight in weights.values())):
            _broadcast(tensor)
        return masks

    def part(self, batch: Batch) -> Batch:
        """The rows of this rank, of a batch that all have."""
        return batch if self.count == 1 else batch.part(self.number, self.count)

    def reducing(
        self, accelerator: "Accelerator", model: nn.Module, loss: Callable[[Batch], Tensor]
    ) -> Callable[[Batch], Tensor]:
        """A loss whose gradients, once they are computed, are the means over all ranks, weighted as the batches say.

        Args:
            accelerator: Of this rank.
            model: The model; rank 0's weights become those of all.
            loss: A batch on the model's device -> mean loss, computed with this model.
        """
        if self.count == 1:
            return loss
        accelerator.free_memory()  # it keeps all that it ever prepared
        prepared: Loss = accelerator.prepare_model(_Weighted(model, loss))
        return prepared

    def mean(self, loss: Tensor) -> Tensor:
        """The mean of a number over all ranks, 0-dimensional, on its device."""
        if self.count == 1:
            return loss
        total = loss / self.count
        with _together():
            dist.all_reduce(total)
        return total

    def seed(self, seed: int) -> int:
        """The seed of what this rank draws for itself, such as dropout: rank 0's is that of a rank alone."""
        return seed if self.leads else derive_seed(seed, "rank", self.number)

    def generators(self, state: Tensor) -> list[Tensor]:
        """The states of all ranks' random-number generators.

        Args:
            state: That of this rank's, (bytes,) uint8 on the CPU.
        """
        if self.count == 1:
            return [state]
        return [_bytes(bytes.fromhex(each), len(each) // 2) for each in self.gathered(state.numpy().tobytes().hex())]

    def search(self, model: CodeToText | OnnxModel, sources: Sequence[Sequence[int]], search: Search) -> Found:
        """As `search_batches`, with the sources of each batch divided among the ranks, which all get the comments of all."""
        return search_batches(model, sources, search) if self.count == 1 else self._divided(model, sources, search)

    def _divided(self, model: CodeToText | OnnxModel, sources: Sequence[Sequence[int]], search: Search) -> Found:
        order = sorted(range(len(sources)), key=lambda row: (-len(sources[row]), row))
        size = self.count * (search.batch_size or TOGETHER)
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            own: list[object] = []
            for places, bests in search_batches(model, [sources[row] for row in rows[self.number :: self.count]], search):
                own += [
                    [rows[self.number + place * self.count], _as_json(best)] for place, best in zip(places, bests, strict=True)
                ]
            written = {row: best for part in self.gathered(own) for row, best in part}
            yield rows, [_of_json(written[row]) for row in rows]

    def memory(self, device: torch.device) -> tuple[int, ...]:
        """Bytes that each rank holds of its device's memory; () for a rank alone."""
        if self.count == 1:
            return ()
        return tuple(self.gathered(torch.cuda.memory_reserved(device) if device.type == "cuda" else resident_bytes()))


ALONE = Ranks()
"""The usual case: one process."""


def join(number: int, count: int, worker: int, meeting: Path, *, on_gpu: bool) -> Ranks:
    """Joins the other ranks, all of which have to call this.

    Args:
        number: Number of this one.
        count: How many there are.
        worker: Id of the process that holds the run.
        meeting: The file by which they find each other; made by the first, and used once.
        on_gpu: Whether they compute on GPUs.
    """
    # torch.distributed has it, too, but does not say so; here, because a torch that is built without it trains alone.
    from torch._C._distributed_c10d import FileStore

    with _together():
        store, backend = FileStore(str(meeting), count), "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    return Ranks(number, count, worker)


class _Weighted(nn.Module):
    """A loss as a module, because DDP looks after the gradients of what goes through a module."""

    def __init__(self, model: nn.Module, loss: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._loss = (loss,)  # in a tuple: a loss that is a module would be taken for a part of this one

    def forward(self, batch: Batch) -> Tensor:
        return self._loss[0](batch) * batch.weight


def _as_json(best: list[Hypothesis]) -> list[object]:
    return [[list(each.tokens), each.score, each.finished] for each in best]


def _of_json(best: list[Any]) -> list[Hypothesis]:
    return [Hypothesis(tuple(tokens), score, finished) for tokens, score, finished in best]


def _bytes(text: bytes, size: int) -> Tensor:
    """(size,) uint8, filled up with zeros."""
    return torch.frombuffer(bytearray(text.ljust(size, b"\0")), dtype=torch.uint8)


def _broadcast(tensor: Tensor) -> None:
    """Gives a tensor the values that it has on rank 0."""
    if not tensor.numel():
        return
    dense = tensor.contiguous()
    with _together():
        dist.broadcast(dense, 0)
    if dense is not tensor:
        tensor.copy_(dense)


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(f"Another process of the run has ended: {str(error).splitlines()[0][:200]}") from error
