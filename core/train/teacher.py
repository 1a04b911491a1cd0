"""Distillation: a model learns from a teacher's logits and hidden states beside the comments themselves.

    loss = (1 - w) CE(comment) + w T² KL(teacher / T || student / T) + s mean MSE(states of matched layers)

The teacher computes without dropout and is never changed, so equal weights and batches give equal losses, and a resumed run its
bits (on a GPU with `training.deterministic`). A layer learns from the teacher's layer of the same number, or of the same depth
where numbers of layers differ. Where a layer was pruned whole, what the teacher's layer of that number knows is taught to the one
whose states are nearest.

Sources: Hinton et al. 2015 (logits); Jiao et al. 2020, TinyBERT (states, uniform layers); Xia et al. 2022, CoFi (nearest layer).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..compress.masks import Masks
from ..compress.shrink import cut_vocabulary, plan
from ..data import Batch
from ..errors import ModelError
from ..families.roberta import CodeToText
from ..model import load_model, load_reader
from ..recipe import DENSE
from ..spec.checkpoint_files import WEIGHTS
from . import leftovers
from .prepare import model_digests_at, record_teacher
from .round import Round


@dataclass(frozen=True)
class Teacher:
    """A model that teaches, and how much its answers count."""

    model: CodeToText
    """On the student's device, in evaluation mode."""
    weight: float
    """Share of the loss of tokens that its logits take over, in [0, 1]."""
    temperature: float
    """Divides the logits of both, so that small probabilities count, too."""
    states: float
    """Weight of the hidden states; 0 = logits alone."""
    removed: frozenset[str] = field(default_factory=frozenset)
    """Layers of the student that were pruned whole, such as "encoder 3"."""

    def loss(self, student: CodeToText, batch: Batch, label_smoothing: float) -> Tensor:
        """The loss of a batch on the device: mean over its target tokens, 0-dimensional."""
        ours, theirs = _States(), _States()
        with ours.of(student):
            logits, following = student.target_logits(batch.sources, batch.targets, batch.places)
        with torch.no_grad(), theirs.of(self.model):
            taught, _ = self.model.target_logits(batch.sources, batch.targets, batch.places)
        loss = (1 - self.weight) * F.cross_entropy(logits.float(), following, label_smoothing=label_smoothing)
        if self.weight:
            cool, hot = (each.float().div(self.temperature).log_softmax(-1) for each in (logits, taught))
            together = F.kl_div(cool, hot, reduction="batchmean", log_target=True)
            loss = loss + self.weight * self.temperature**2 * together
        if self.states:
            real = {"encoder": batch.sources != student.special.pad, "decoder": batch.targets[:, :-1] != student.special.pad}
            loss = loss + self.states * _distance(ours.layers, theirs.layers, real, self.removed)
        return loss


def teacher_of(round_: Round, masks: Masks) -> Teacher | None:
    """The teacher of a round; None where the recipe has none, or the round is the one that teaches.

    Args:
        round_: The round.
        masks: Its masks.

    Raises:
        ModelError: The teacher cannot be loaded, or does not fit the student.
        RunError: The dense round has changed or is missing.
    """
    session, training = round_.session, round_.session.recipe.training
    if not training.teacher or (training.teacher == DENSE and round_.number == 0):
        return None
    if training.teacher == DENSE:
        source = str(session.paths.round(0))
        recorded = leftovers.recorded_digests(session.paths, 0).get(WEIGHTS[0])
        leftovers.check_file(session.paths.round(0) / WEIGHTS[0], recorded, "the teacher of all later rounds")
    else:
        source = training.teacher
    record_teacher(session, model_digests_at(source))
    model = load_model(source)
    _check_fits(model, source, round_)
    if (smaller := round_.material.smaller) is not None:
        cut_vocabulary(model, smaller.plan)  # so that it reads and writes the tokens of the model that it teaches
    kept = plan(round_.material.model.config, masks).kept
    layers: dict[str, int] = {}
    for name, (left, _) in kept.items():
        layer = " ".join(name.split()[:2])
        layers[layer] = layers.get(layer, 0) + left
    removed = frozenset(layer for layer, left in layers.items() if left == 0)
    model.to(round_.material.model.device).requires_grad_(False)
    return Teacher(model.eval(), training.teacher_weight, training.temperature, training.teacher_states, removed)


def _check_fits(teacher: CodeToText, source: str, round_: Round) -> None:
    student, smaller = round_.material.model.config, round_.material.smaller
    own = round_.material.reader if smaller is None else smaller.reader
    theirs = load_reader(source)
    if theirs.tokenizer.to_str() != own.tokenizer.to_str() or theirs.steps != own.steps:
        raise ModelError(
            f"The teacher {source} reads text in other tokens than the model that it is to teach.",
            "Give a teacher with the same tokenizer, or set training.teacher to another one.",
        )
    if teacher.config.quantization is not None:
        raise ModelError(f"The teacher {source} is quantized ({teacher.config.quantization}).", "Give the model it came from.")
    if round_.session.recipe.training.teacher_states and teacher.config.hidden_size != student.hidden_size:
        raise ModelError(
            f"The teacher {source} has states of width {teacher.config.hidden_size}, the model of {student.hidden_size}.",
            "Set training.teacher_states = 0, so that logits alone are taught.",
        )


class _States:
    """The states after each layer of one pass through a model."""

    def __init__(self) -> None:
        self.layers: dict[str, list[Tensor]] = {"encoder": [], "decoder": []}
        """Part -> (batch, time, hidden) after each layer."""

    @contextmanager
    def of(self, model: CodeToText) -> Iterator[None]:
        """Keeps the states of every pass inside the block."""
        with ExitStack() as hooks:
            for name, module, _ in model.blocks():
                if (part := name.split()[0]) in self.layers:
                    hooks.callback(module.register_forward_hook(partial(self._keep, part)).remove)
            yield

    def _keep(self, part: str, module: nn.Module, given: tuple[Tensor, ...], states: Tensor) -> None:
        self.layers[part].append(states)


def _distance(
    ours: Mapping[str, Sequence[Tensor]],
    theirs: Mapping[str, Sequence[Tensor]],
    real: Mapping[str, Tensor],
    removed: frozenset[str],
) -> Tensor:
    """Mean squared distance of matched layers over real tokens, the mean over all pairs; 0-dimensional."""
    distances = [
        _between(ours[part][student], theirs[part][teacher], real[part])
        for part in ours
        for student, teacher in _pairs(part, ours[part], theirs[part], real[part], removed)
    ]
    return torch.stack(distances).mean() if distances else next(iter(real.values())).new_zeros((), dtype=torch.float32)


def _pairs(
    part: str, ours: Sequence[Tensor], theirs: Sequence[Tensor], real: Tensor, removed: frozenset[str]
) -> list[tuple[int, int]]:
    """Which layer learns from which, (student's, teacher's)."""
    kept = [number for number in range(len(ours)) if f"{part} {number}" not in removed]
    if len(ours) != len(theirs):
        depths = ((number, (number + 1) * len(theirs) // len(ours) - 1) for number in kept)
        return [pair for pair in depths if pair[1] >= 0]
    pairs = [(number, number) for number in kept]
    for number in sorted(set(range(len(theirs))) - set(kept)) if kept else ():
        with torch.no_grad():
            distances = torch.stack([_between(ours[own], theirs[number], real) for own in kept])
        pairs.append((kept[int(distances.argmin())], number))  # a GPU is waited for
    return pairs


def _between(ours: Tensor, theirs: Tensor, real: Tensor) -> Tensor:
    squares = (ours.float() - theirs.float()).square().mean(-1)  # (batch, time)
    return (squares * real).sum() / real.sum()
