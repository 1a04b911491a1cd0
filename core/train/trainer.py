"""Training one step at a time: optimizer and learning rate, with pruned weights held at 0.

A trainer can be stopped after any step and rebuilt from its state, bit for bit; it then goes on with the same bits on the CPU,
and on a GPU with `training.deterministic`. It knows nothing of rounds, pickers or files; what it minimises is passed in, so that
fine-tuning, pruning and pre-training share it. The settings of both presets are in `core.recipe`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..compress.masks import Masks, apply_masks, from_bits, to_bits
from ..data import Batch
from ..errors import TrainingError
from ..families.device import autocast, describe, precision_of
from ..recipe import Training
from ..seeds import derive_seed
from ..shortage import is_shortage
from ..spec.roberta import in_encoder_layers
from .checkpoint import WEIGHT
from .ranks import ALONE, Ranks

ADAM_EPSILON = 1e-8
"""The paper's, and torch's default."""

NOT_DETERMINISTIC = "does not have a deterministic implementation"
"""How torch refuses an operation where only deterministic algorithms are allowed."""

MOVEMENT = "movement/"
"""Prefix of the names of movements in a trainer's state."""

MASK = "mask/"
"""Prefix of the names of masks in a trainer's state."""

GENERATOR = "rng/"
"""Prefix of the names of random-number generators in a trainer's state; that of rank 1 is `rng/cpu/1`."""

Loss = Callable[[Batch], Tensor]
"""A batch on the model's device -> mean loss, 0-dimensional."""


@dataclass(frozen=True)
class Rates:
    """Loss, learning rate and work since the last report."""

    loss: float
    learning_rate: float
    examples: int
    tokens: int
    """Tokens of sources and targets, padding not counted."""


def learning_rate(training: Training, step: int, rounds: int) -> float:
    """The learning rate of an optimizer step.

    Args:
        training: The recipe's training table.
        step: Number of the step in its round, 0-based.
        rounds: Rounds that train, the dense one included.

    Returns:
        The rate. Policy "all-rounds" is the paper's trap: a schedule for the length of all rounds, begun anew in every one, so
        that with 10 rounds and 10 % warm-up the rate rises through the whole round and never falls.
    """
    if training.warmup == "constant":
        return training.learning_rate
    length = training.steps * (rounds if training.warmup == "all-rounds" else 1)
    warmup = round(training.warmup_share * length)
    share = step / warmup if step < warmup else (length - step) / max(1, length - warmup)
    return training.learning_rate * max(0.0, share)


def encoder_share(training: Training, step: int) -> float:
    """The share of the learning rate that the encoder's layers get.

    Args:
        training: The recipe's training table.
        step: Number of the step in its round, 0-based.

    Returns:
        0 while the encoder is held, then rising to `encoder_rate` over as many steps again.

    Source: Liu and Lapata 2019, Text Summarization with Pretrained Encoders, delays one half's rate for the same reason.
    """
    hold = training.hold_encoder
    return training.encoder_rate * (min(1.0, max(0, step - hold) / hold) if hold else 1.0)


@dataclass(frozen=True)
class Held:
    """Masks in the two forms that a trainer needs: a byte a weight to be applied, a bit a weight to be saved."""

    masks: Masks

    @cached_property
    def bits(self) -> dict[str, Tensor]:
        """The masks in one bit a weight, for the disk; packed on the CPU when the first checkpoint asks for them."""
        return {name: torch.from_numpy(to_bits(mask)) for name, mask in self.masks.items()}


def stored_masks(model: nn.Module, tensors: Mapping[str, Tensor]) -> Masks:
    """The masks in a trainer's state, on the device of the model.

    Args:
        model: The model that the masks belong to.
        tensors: As `Trainer.state` gave them.

    Returns:
        Parameter name -> bool mask; {} where none was held, or where the state is of an older version, which kept none.

    Raises:
        KeyError: A mask belongs to no parameter of the model.
        ValueError: A mask does not have its weight's size.
    """
    weights = dict(model.named_parameters())
    bits = {name.removeprefix(MASK): stored for name, stored in tensors.items() if name.startswith(MASK)}
    return {name: from_bits(each.numpy(), weights[name].shape).to(weights[name].device) for name, each in bits.items()}


def _generator(kind: str, rank: int) -> str:
    """Name of a generator's state."""
    return f"{GENERATOR}{kind}/{rank}" if rank else f"{GENERATOR}{kind}"


def check_finite(model: nn.Module, when: str) -> None:
    """Refuses weights that are no finite numbers.

    Args:
        model: The model; a GPU is waited for once.
        when: What the weights are of, for the error.

    Raises:
        TrainingError: A weight is infinite or no number.
    """
    names = [name for name, _ in model.named_parameters()]
    broken = torch.stack([~weight.detach().isfinite().all() for weight in model.parameters()]).tolist()
    if any(broken):
        first = [name for name, bad in zip(names, broken, strict=True) if bad]
        more = f" and {len(first) - 1} others" if len(first) > 1 else ""
        raise TrainingError(
            f"The weights {when} are no finite numbers: {first[0]}{more}.",
            "Try a lower training.learning_rate, a training.clip_norm above 0, or fp32.",
        )


def _on_host(losses: list[tuple[int, tuple[int, ...], Tensor]]) -> list[float]:
    """The losses in one copy: each copy waits for a GPU."""
    values: list[float] = torch.stack([loss for _, _, loss in losses]).tolist() if losses else []
    return values


class Trainer:
    """Trains a model step by step, its pruned weights held at 0.

    Args:
        model: The model, on the accelerator's device.
        loss: What is minimised.
        masks: Parameter name -> bool mask on the same device; applied in every step. The weights that they prune are 0.
        training: The recipe's training table.
        rounds: Rounds that train, for the "all-rounds" schedule.
        accelerator: Device and precision.
        movements: Parameter name -> tensor of its shape, to which −w · gradient is added in every step.
        ranks: The processes that share each batch; every one of them has such a trainer, and all make the same steps.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        masks: Mapping[str, Tensor],
        training: Training,
        rounds: int,
        accelerator: Accelerator,
        movements: Mapping[str, Tensor] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.step, self.model, self._ranks = 0, model, ranks
        self.movements: Mapping[str, Tensor] = movements or {}
        self._loss = ranks.reducing(accelerator, model, loss)
        self._training, self._rounds, self._accelerator = training, rounds, accelerator
        self._weights = dict(model.named_parameters())
        self._masks = Held(dict(masks))
        held = [weight for name, weight in self._weights.items() if in_encoder_layers(name)]
        free = [weight for name, weight in self._weights.items() if not in_encoder_layers(name)]
        self._optimizer = torch.optim.AdamW(
            [{"params": weights, "held": weights is held} for weights in (held, free) if weights],
            lr=training.learning_rate,
            eps=ADAM_EPSILON,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self._pending: list[tuple[int, tuple[int, ...], Tensor]] = []
        self._examples = self._tokens = 0

    def train_step(self, batch: Batch) -> None:
        """One optimizer step: forward, backward, update, masks.

        Args:
            batch: Rows on the CPU: all of the step, also where other ranks compute some of them.

        Raises:
            TrainingError: The loss is no finite number (seen here on the CPU, at the next `report` on a GPU), or the device has
                no room for the batch.
        """
        try:
            self._train_step(batch)
        except (RuntimeError, MemoryError) as error:
            if is_shortage(error):
                raise self._too_large(batch, error) from error
            if self._training.deterministic and NOT_DETERMINISTIC in str(error):
                raise TrainingError(
                    f"This step has an operation without a deterministic algorithm: {str(error).splitlines()[0][:200]}",
                    "Start a run with training.deterministic = false.",
                ) from error
            raise

    def _train_step(self, batch: Batch) -> None:
        if not self.model.training:  # going through all modules takes a millisecond
            self.model.train()
        rate = learning_rate(self._training, self.step, self._rounds)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * encoder_share(self._training, self.step) if group["held"] else rate
        device = self._accelerator.device
        on_device = self._ranks.part(batch).to(device)
        with autocast(self._accelerator):
            loss = self._loss(on_device)
        self._accelerator.backward(loss)
        checked = self._ranks.mean(loss.detach())
        self._move()
        if self._training.clip_norm:
            norm = self._clip()
            # Gradients can overflow under a finite loss; the batch to name is this one, not the next.
            checked = torch.where(torch.isfinite(norm), checked, norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if not self._training.clip_norm:
            apply_masks(self._weights, self.masks)
        self.step += 1
        self._pending.append((self.step, batch.rows, checked))
        self._examples += len(batch.rows)
        self._tokens += batch.tokens
        if device.type == "cpu":  # a GPU must not wait for each loss: `report` checks its losses
            self._refuse_nan(self._pending[-1:])

    def _too_large(self, batch: Batch, error: BaseException) -> TrainingError:
        """The error of a batch that does not fit on the device, with all that decides on its size."""
        precision, device = precision_of(self._accelerator), describe(self._accelerator.device)
        lower = "" if precision == "bf16" else ', set training.precision = "bf16"'
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return TrainingError(
            f"{device} has no room for step {self.step + 1}: {len(batch.rows)} rows, sources up to {batch.sources.shape[1]} and "
            f"targets up to {batch.targets.shape[1]} tokens, precision {precision} ({first[:200].rstrip('.')}).",
            f"Lower training.batch_size, data.source_length or data.target_length{lower}, or free memory of the device; "
            "what was trained up to the last checkpoint is kept.",
        )

    @torch.no_grad()
    def _move(self) -> None:
        for name, total in self.movements.items():
            gradient = self._weights[name].grad
            if gradient is not None:
                total.addcmul_(self._weights[name], gradient, value=-1)

    @property
    def masks(self) -> Masks:
        """Parameter name -> bool mask: the masks held now."""
        return self._masks.masks

    def hold(self, masks: Masks) -> None:
        """Holds these masks from now on.

        Args:
            masks: Parameter name -> bool mask on the weights' device, all of them; a pruned weight should stay pruned.
        """
        self._masks = Held(dict(masks))
        apply_masks(self._weights, self.masks)
        self._stop_pruned()

    def report(self) -> Rates:
        """Loss, learning rate and work since the last report; resets them.

        Raises:
            TrainingError: A loss since then was no finite number.
        """
        self._refuse_nan(self._pending)
        losses = _on_host(self._pending)
        rates = Rates(
            loss=sum(losses) / len(losses) if losses else math.nan,
            learning_rate=learning_rate(self._training, max(0, self.step - 1), self._rounds),
            examples=self._examples,
            tokens=self._tokens,
        )
        self._pending, self._examples, self._tokens = [], 0, 0
        return rates

    def check(self) -> None:
        """Raises if a loss since the last report was no finite number; called before anything is saved."""
        self._refuse_nan(self._pending)

    def state(self) -> dict[str, Tensor]:
        """Everything needed to resume from here, as tensors: weights, masks, optimizer, random-number generators."""
        tensors = {f"{WEIGHT}{name}": weight.detach() for name, weight in self._weights.items()}
        for name, weight in self._weights.items():
            for key, value in self._optimizer.state.get(weight, {}).items():
                tensors[f"optimizer/{key}/{name}"] = value
        tensors |= {f"{MASK}{name}": bits for name, bits in self._masks.bits.items()}
        tensors |= {f"{MOVEMENT}{name}": total for name, total in self.movements.items()}
        generators = {"cpu": torch.get_rng_state()}
        if self._accelerator.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self._accelerator.device)
        for kind, generator in generators.items():
            for number, state in enumerate(self._ranks.generators(generator)):
                tensors[_generator(kind, number)] = state
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Goes back to a saved state.

        Args:
            tensors: As `state` gave them; their masks are those that this trainer was made with (`stored_masks`).
            step: The step they were saved after.
        """
        for name, weight in self._weights.items():
            weight.copy_(tensors[f"{WEIGHT}{name}"])
            saved = {
                key: tensors[f"optimizer/{key}/{name}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer/{key}/{name}" in tensors
            }
            if saved:
                # Fused AdamW wants its step counters where the weights are, except that tensors must be their own copies.
                self._optimizer.state[weight] = {key: value.clone().to(weight.device) for key, value in saved.items()}
        self._stop_pruned()
        for name, total in self.movements.items():
            total.copy_(tensors[f"{MOVEMENT}{name}"])
        self._load_generators(tensors, step)
        self.step = step

    def _load_generators(self, tensors: Mapping[str, Tensor], step: int) -> None:
        on_cpu, on_gpu = (_generator(kind, self._ranks.number) for kind in ("cpu", "cuda"))
        on_cuda = self._accelerator.device.type == "cuda"
        # A state of another kind of device, or of fewer ranks, says nothing here.
        if on_cpu not in tensors or (on_gpu in tensors) != on_cuda:
            torch.manual_seed(self._ranks.seed(derive_seed(self._training.seed, "moved", step)))
            return
        torch.set_rng_state(tensors[on_cpu].cpu())
        if on_cuda:
            torch.cuda.set_rng_state(tensors[on_gpu].cpu(), self._accelerator.device)

    @torch.no_grad()
    def _stop_pruned(self) -> None:
        """Takes the momentum of pruned weights, where their gradients are masked: by it alone they would leave 0."""
        for name, mask in self.masks.items():
            moments = self._optimizer.state.get(self._weights[name], {})
            if self._training.clip_norm and "exp_avg" in moments:
                moments["exp_avg"].mul_(mask)

    def _clip(self) -> Tensor:
        # A pruned weight gets a gradient too, which must not count in the norm, or a sparse model would train more slowly.
        # Without gradient and momentum it stays exactly 0, so masks need not be applied to the weights as well.
        gradients = {name: gradient for name in self.masks if (gradient := self._weights[name].grad) is not None}
        apply_masks(gradients, {name: self.masks[name] for name in gradients})
        norm: Tensor = self._accelerator.clip_grad_norm_(self._weights.values(), self._training.clip_norm)
        return norm

    def _refuse_nan(self, losses: list[tuple[int, tuple[int, ...], Tensor]]) -> None:
        for (step, rows, _), loss in zip(losses, _on_host(losses), strict=True):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The loss of step {step} or its gradient norm is {loss}; its batch holds the training rows "
                    f"{', '.join(map(str, rows))} (the split's first is 0).",
                    "Try a lower training.learning_rate, a training.clip_norm above 0, or fp32; then look at these rows.",
                )
