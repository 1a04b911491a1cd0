"""A GPU that is none: its tensors lie in this machine's memory under the name cuda:0, and what a GPU would refuse is refused.

So whole runs go through the paths for a GPU on a CPU. Refused are tensors of two devices in one operation, a look by numpy at a
GPU's memory, a generator of another device, and, where only deterministic algorithms are allowed, operations that have none.
Waits are counted: whatever a program needs the value of. Nothing is shown of kernels, of their numbers or of streams.
"""

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fake_gpus import FakeGpu, machine, torch_sees
from torch import Tensor
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from core.train import checkpoint

GPU = torch.device("cuda", 0)
COPIES = {"copy_", "_foreach_copy_", "_has_compatible_shallow_copy_type"}
"""Operations that take tensors of two devices."""
LOOKS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal"}
"""Operations for which a GPU is waited for."""
REFUSED = {"kthvalue", "histc", "put_", "cumsum", "median.dim"}
"""Operations without a deterministic form in torch 2.11 or later, cumsum and put_ of floating-point numbers."""
_device = Tensor.device


class StandIn:
    """The memory of the GPU that is none, and what happened to it."""

    def __init__(self) -> None:
        self.waits = 0
        """How often a program needed a value from the GPU."""
        self.operations: set[str] = set()
        """Names of operations that were computed on it."""
        self._storages: set[int] = set()

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies in it."""
        return _plain(tensor) and tensor.untyped_storage()._cdata in self._storages

    def takes(self, tensor: Tensor) -> Tensor:
        """Says that a tensor lies in it from now on."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._storages:
            self._storages.add(storage._cdata)
            weakref.finalize(storage, self._storages.discard, storage._cdata)
        return tensor


def _plain(tensor: Tensor) -> bool:
    return not tensor.is_meta and tensor.layout == torch.strided and not hasattr(tensor, "qdata")


def _is_gpu(device: object) -> bool:
    return device is not None and not isinstance(device, int) and torch.device(device).type == "cuda"  # type: ignore[arg-type]


class _Memory(TorchDispatchMode):
    """Keeps account of which tensors lie in the GPU."""

    def __init__(self, gpu: StandIn) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::")
        base = name.partition(".")[0]
        given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        on_gpu = [self._gpu.holds(each) for each in given]
        if any(on_gpu):
            self._check(name, base, given, on_gpu, kwargs or {})
        results = func(*args, **(kwargs or {}))
        if any(on_gpu) and base not in COPIES:
            known = {each.untyped_storage()._cdata for each in given if _plain(each)}
            for result in tree_flatten(results)[0]:
                if isinstance(result, Tensor) and _plain(result) and result.untyped_storage()._cdata not in known:
                    self._gpu.takes(result)
        return results

    def _check(self, name: str, base: str, given: list[Tensor], on_gpu: list[bool], kwargs: dict[str, Any]) -> None:
        self._gpu.operations.add(base)
        chosen_by_bools = base in ("index", "index_put_", "index_put") and any(each.dtype == torch.bool for each in given[1:])
        self._gpu.waits += base in LOOKS or chosen_by_bools
        strangers = [each for each, inside in zip(given, on_gpu, strict=True) if not inside and each.dim()]
        indexed = base in ("index", "index_put_") and on_gpu[0] and not any(each.is_floating_point() for each in strangers)
        if strangers and base not in COPIES and not indexed:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")
        if (generator := kwargs.get("generator")) is not None:
            raise RuntimeError(f"{name}: expected a 'cuda' device type for generator but found '{generator.device}'")
        of_numbers = base not in ("cumsum", "put_") or given[0].is_floating_point()
        if torch.are_deterministic_algorithms_enabled() and {name, base} & REFUSED and of_numbers:
            raise RuntimeError(f"{base}_cuda does not have a deterministic implementation, but you set '…'")


class _Makers(TorchFunctionMode):
    """Makes and moves tensors where a program says; the memory is this machine's all the same."""

    def __init__(self, gpu: StandIn) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = {key: value for key, value in (kwargs or {}).items() if key != "pin_memory"}
        if func is Tensor.cpu:
            return self._moved(args[0], gpu=False)
        if func is Tensor.cuda:
            return self._moved(args[0], gpu=True)
        if func is Tensor.to:
            return self._to(args[0], list(args[1:]), kwargs)
        if func in (Tensor.numpy, Tensor.__array__) and self._gpu.holds(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        if func is Tensor.tolist and self._gpu.holds(args[0]):
            self._gpu.waits += 1
        if func is F.scaled_dot_product_attention:
            with self:
                return _attention(*args, **kwargs)
        if func is Tensor.pin_memory:
            return args[0]
        return self._made(func, args, kwargs)

    def _made(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if "device" not in kwargs or kwargs["device"] is None:
            return func(*args, **kwargs)
        gpu = _is_gpu(kwargs["device"])
        if gpu and kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        tensor = func(*args, **{**kwargs, "device": "cpu" if gpu else kwargs["device"]})
        if not isinstance(tensor, Tensor) or self._gpu.holds(tensor) == gpu:
            return tensor
        return self._gpu.takes(tensor) if gpu else self._moved(tensor, gpu=False)

    def _to(self, tensor: Tensor, args: list[Any], kwargs: dict[str, Any]) -> Tensor:
        wish, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs |= dict(zip(("non_blocking", "copy"), (each for each in args if isinstance(each, bool)), strict=False))
        for each in args:
            if isinstance(each, Tensor):
                wish, dtype = each.device, each.dtype
            elif isinstance(each, torch.dtype):
                dtype = each
            elif isinstance(each, str | torch.device):
                wish = each
        if wish is not None and torch.device(wish).type == "meta":
            return tensor.to(wish, dtype, **kwargs)
        copy = kwargs.pop("copy", False)
        moved = tensor if wish is None else self._moved(tensor, gpu=_is_gpu(wish))
        moved = moved.to(dtype) if dtype is not None else moved
        return moved.clone() if copy and moved is tensor else moved

    def _moved(self, tensor: Tensor, *, gpu: bool) -> Tensor:
        if self._gpu.holds(tensor) == gpu or not _plain(tensor):
            return tensor
        self._gpu.waits += not gpu
        copied = _Copy.apply(tensor)
        return self._gpu.takes(copied) if gpu else copied


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, *,
    is_causal: bool = False, scale: float | None = None,
) -> Tensor:  # fmt: skip
    """torch's attention in plain products: inside its own, it would make tensors on the CPU."""
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    return F.dropout(scores.softmax(-1), dropout_p) @ value


class _Copy(torch.autograd.Function):
    """A copy whose memory is of neither device yet; its gradient goes back to where the tensor was."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        copied = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        return copied.copy_(tensor)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


def _grouped(gpu: StandIn, lists: list[list[Tensor]], *more: Any) -> dict[tuple[torch.device, torch.dtype], Any]:
    """As torch groups gradients for clipping, which looks past `Tensor.device`."""
    groups = _group_tensors_by_device_and_dtype(lists, *more)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return {(GPU if gpu.holds(group[0][0][0]) else device, kind): group for (device, kind), group in groups.items()}


class _Event:
    def record(self, *_: object) -> None: ...
    def synchronize(self) -> None: ...


@contextmanager
def stand_in_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A machine with one GPU that is none."""
    gpu = StandIn()
    with monkeypatch.context() as patch, ExitStack() as modes:
        machine(patch, [FakeGpu("GPU-a")])
        torch_sees(patch, ["NVIDIA H200"])
        for name, answer in {
            "mem_get_info": lambda device=None: (2**34, 2**37),
            "memory_reserved": lambda device=None: 0,
            "memory_allocated": lambda device=None: 0,
            "get_rng_state": lambda device=None: torch.get_rng_state(),
            "set_rng_state": lambda state, device=None: None,
            "manual_seed_all": lambda seed: None,
            "synchronize": lambda device=None: None,
            "empty_cache": lambda: None,
            "is_bf16_supported": lambda including_emulation=True: including_emulation,  # as on a V100
            "get_device_properties": lambda device=None: SimpleNamespace(uuid="a", name="NVIDIA H200"),
            "is_current_stream_capturing": lambda: False,  # a build for CUDA asks the driver, which is not there
            "Event": _Event,
        }.items():
            patch.setattr(torch.cuda, name, answer)
        patch.setattr(checkpoint, "_current", lambda device: nullcontext())
        patch.setattr(torch.backends.cuda, "matmul", SimpleNamespace())
        patch.setattr("accelerate.state.check_cuda_p2p_ib_support", lambda: True, raising=False)
        patch.setattr(clip_grad, "_group_tensors_by_device_and_dtype", partial(_grouped, gpu))
        device = property(lambda tensor: GPU if gpu.holds(tensor) else _device.__get__(tensor))
        patch.setattr(Tensor, "device", device)
        patch.setattr(Tensor, "is_cuda", property(lambda tensor: gpu.holds(tensor)))
        modes.enter_context(_Memory(gpu))
        modes.enter_context(_Makers(gpu))
        yield gpu
