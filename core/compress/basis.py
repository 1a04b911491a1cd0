"""The basis of a criterion: what a model does with calibration rows, measured matrix by matrix.

Rows go through the model one at a time, so padding never counts, no result depends on how rows lie side by side, and memory does
not grow with their number: it holds one vector (inputs), one square matrix (Hessians) or one copy of the weights (gradients) for
each matrix. Nothing is drawn and dropout is off, so equal arguments give equal results on the CPU with the same threads, and on
the same GPU where only deterministic algorithms are allowed: others add up gradients in any order. Knows no criterion, and not
where rows come from.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..families.roberta import CodeToText
from ..spec.criteria import Need

Row = tuple[Sequence[int], Sequence[int]]
"""Ids of a source and of its comment, `<s> … </s>`, without padding."""


@dataclass(frozen=True)
class Basis:
    """What was measured; parameter name -> tensor on the model's device, float32. Matrices that no row reaches have zeros."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    """Mean square of each input, (columns,)."""
    hessians: Mapping[str, Tensor] = field(default_factory=dict)
    """Mean of x xᵀ over the inputs x, (columns, columns): half the Hessian of the squared error of the matrix's output. Matrices
    with the same input share one tensor."""
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    """Mean gradient of a row's loss, of the weight's shape."""
    squared_gradients: Mapping[str, Tensor] = field(default_factory=dict)
    """Mean square of it."""
    movements: Mapping[str, Tensor] = field(default_factory=dict)
    """Sum of −w · gradient over the steps of a training, where there was one."""


NOTHING = Basis()
"""The basis of a criterion that sees the weights alone."""


def measure(
    model: CodeToText,
    rows: Iterable[Row],
    names: Collection[str],
    needs: Collection[Need],
    after_row: Callable[[int], None] = lambda done: None,
) -> Basis:
    """Measures what criteria need of a model.

    Args:
        model: On its device; it is not changed, nor is any random-number generator.
        rows: Calibration rows.
        names: Parameters to measure; inputs and Hessians are measured of weights of linear layers alone.
        needs: What to measure; nothing is measured that is not named here.
        after_row: Called with the number of rows so far; may raise to end the measurement.

    Returns:
        The basis.
    """
    if not needs:
        return NOTHING
    weights = {name: weight for name, weight in model.named_parameters() if name in set(names)}
    layers = {name: weight for name, weight in weights.items() if _is_of_linear(model, name)}
    inputs, outer = (Inputs(model, layers if need in needs else {}, outer=need == "hessians") for need in ("inputs", "hessians"))
    slopes = _Slopes(weights, needs)
    with _evaluating(model), inputs.watching(), outer.watching():
        done = 0
        for done, row in enumerate(rows, 1):
            _pass(model, row, slopes)
            after_row(done)
    count = max(1, done)
    return Basis(
        inputs=inputs.means(),
        hessians=outer.means(),
        gradients={name: total.div_(count) for name, total in slopes.sums.items()},
        squared_gradients={name: total.div_(count) for name, total in slopes.squares.items()},
    )


class Inputs:
    """Sums over the inputs of linear layers while a model reads rows without padding.

    Args:
        model: The model.
        weights: Parameter name -> weight of a linear layer of the model.
        outer: Whether to sum x xᵀ; if not, x².
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], *, outer: bool) -> None:
        self._model, self._weights, self._outer = model, weights, outer
        self._tokens = dict.fromkeys(weights, 0)
        self._sums: dict[str, Tensor] = {}
        self._owner: dict[str, str] = {}
        """Matrix -> the first one with the same input, such as that of queries for keys and values: they share its sums."""
        self._newest: tuple[str, Tensor] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Adds up the inputs of every pass through the model inside the block."""
        with ExitStack() as hooks:
            for name in self._weights:
                layer = self._model.get_submodule(name.removesuffix(".weight"))
                hooks.callback(layer.register_forward_pre_hook(self._hook(name)).remove)
            yield

    def means(self) -> dict[str, Tensor]:
        """Mean square of each input, (columns,), or mean of x xᵀ, (columns, columns)."""
        owned = {name: total / max(1, self._tokens[name]) for name, total in self._sums.items()}
        return {name: owned[self._owner[name]] if name in self._owner else self._zeros(name) for name in self._weights}

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            if name not in self._owner:
                newest = self._newest
                self._owner[name] = newest[0] if newest is not None and newest[1] is given[0] else name
            if self._owner[name] == name:
                self._newest = (name, given[0])
                self._add(name, given[0].detach().flatten(0, -2).float())  # (tokens, columns)

        return add

    def _add(self, name: str, x: Tensor) -> None:
        total = self._sums.setdefault(name, self._zeros(name))
        self._tokens[name] += len(x)
        if self._outer:
            total.addmm_(x.T, x)
        else:
            total.add_(torch.einsum("tc,tc->c", x, x))

    def _zeros(self, name: str) -> Tensor:
        columns = self._weights[name].shape[1]
        return torch.zeros((columns, columns) if self._outer else columns, device=self._weights[name].device)


class _Slopes:
    """Sums of the gradients of rows, and of their squares, where these are needed."""

    def __init__(self, weights: Mapping[str, nn.Parameter], needs: Collection[Need]) -> None:
        self.weights = weights
        self.sums = {name: torch.zeros_like(weight) for name, weight in weights.items() if "gradients" in needs}
        self.squares = {name: torch.zeros_like(weight) for name, weight in weights.items() if "squared gradients" in needs}

    def add(self, loss: Tensor) -> None:
        # The pooler is read by nothing: autograd has no gradient for it.
        gradients = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True)
        for name, gradient in zip(self.weights, gradients, strict=True):
            if gradient is None:
                continue
            if name in self.sums:
                self.sums[name].add_(gradient)
            if name in self.squares:
                self.squares[name].addcmul_(gradient, gradient)


def _is_of_linear(model: nn.Module, name: str) -> bool:
    owner, _, own = name.rpartition(".")
    return own == "weight" and isinstance(model.get_submodule(owner), nn.Linear)


def _pass(model: CodeToText, row: Row, slopes: _Slopes) -> None:
    source, target = (torch.tensor([ids], device=model.device) for ids in row)  # (1, time)
    with torch.set_grad_enabled(bool(slopes.sums or slopes.squares)):
        total, count = model.token_losses(source, target)
        if total.requires_grad:
            slopes.add(total / count)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout for a while."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
