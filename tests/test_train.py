"""Training against torch's own pruning, and against itself when interrupted."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from core.compress.criteria import magnitude
from core.compress.masks import apply_masks, keep
from core.data import Batch
from core.errors import TrainingError
from core.families.device import describe, make_accelerator
from core.recipe import Training
from core.train.trainer import Trainer, encoder_share, learning_rate

STEPS = 6


class Net(nn.Module):
    """Two layers with dropout; its loss reads only the numbers in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.drop = nn.Dropout(0.2)
        self.second = nn.Linear(8, 3)

    def forward(self, batch: Batch) -> Tensor:
        hidden = torch.relu(self.drop(self.first(batch.sources.float())))
        return ((self.second(hidden) - batch.targets.float()) ** 2).mean()


def batch(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    return Batch(
        torch.randint(2, 9, (5, 6), generator=generator),
        torch.randint(2, 5, (5, 3), generator=generator),
        (1, 2, 3, 4, 5),
        tokens=45,
    )


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def trainer_of(model: nn.Module, masks: dict[str, Tensor], **settings: object) -> Trainer:
    training = Training.model_validate(
        {"steps": STEPS, "learning_rate": 0.01, "warmup": "constant", "clip_norm": 0.0, **settings}
    )
    apply_masks(dict(model.named_parameters()), masks)
    return Trainer(model, model, masks, training, 1, make_accelerator("cpu", "fp32", 1))


def masks_of(model: nn.Module, sparsity: float = 0.5) -> dict[str, Tensor]:
    return keep(
        {name: w for name, w in model.named_parameters() if name.endswith("weight")}, {}, magnitude(0), "layerwise", sparsity
    )


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_masked_training_equals_torch_prune(clip: float) -> None:
    """`torch.nn.utils.prune` multiplies weight and mask in the forward pass; a mask after the step must come to the same."""
    ours, theirs = net(), net()
    masks = masks_of(ours)
    for name, layer in (("first", theirs.first), ("second", theirs.second)):
        prune.custom_from_mask(layer, "weight", masks[f"{name}.weight"])
    trainer = trainer_of(ours, masks, clip_norm=clip, weight_decay=0.0)
    # The parametrised copy lists its tensors in another order; the update of each does not depend on it.
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.01, eps=1e-8, weight_decay=0.0)
    for step in range(STEPS):
        torch.manual_seed(step)
        trainer.train_step(batch(step))
        torch.manual_seed(step)
        loss = theirs(batch(step))
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
    assert torch.allclose(ours.first.weight, theirs.first.weight_orig * theirs.first.weight_mask, atol=1e-6)
    assert torch.allclose(ours.second.weight, theirs.second.weight_orig * theirs.second.weight_mask, atol=1e-6)
    assert torch.allclose(ours.second.bias, theirs.second.bias, atol=1e-6)


def multiplied_in_fp32(model: nn.Module, masks: dict[int, dict[str, Tensor]], clip: float) -> nn.Module:
    """Trains as the trainer must, bit for bit: fp32 masks on every gradient before it is clipped, and on every weight.

    Args:
        model: Is trained.
        masks: Step -> the masks held from then on.
        clip: Norm to clip to; 0 = not.
    """
    weights = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, eps=1e-8, weight_decay=0.1, fused=True)
    held: dict[str, Tensor] = {}
    for step in range(STEPS):
        held = masks.get(step, held)
        with torch.no_grad():
            for name, mask in held.items():
                weights[name].mul_(mask.float())
        torch.manual_seed(step)
        model(batch(step)).backward()
        if clip:
            for name, mask in held.items():
                weights[name].grad.mul_(mask.float())
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for name, mask in held.items():
                weights[name].mul_(mask.float())
    return model


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_masks_of_bytes_applied_once_give_the_bits_of_fp32_masks_applied_twice(clip: float) -> None:
    model = net()
    masks = masks_of(model)
    expected = multiplied_in_fp32(net(), {0: masks}, clip)
    trainer = trainer_of(model, masks, clip_norm=clip, weight_decay=0.1)
    for step in range(STEPS):
        torch.manual_seed(step)
        trainer.train_step(batch(step))
    for name, weight in expected.named_parameters():  # as integers: a zero has a sign, too
        assert torch.equal(dict(model.named_parameters())[name].view(torch.int32), weight.view(torch.int32)), name


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_masks_that_grow_give_the_weights_of_fp32_masks_applied_twice(clip: float) -> None:
    model = net()
    few = masks_of(model, 0.3)
    more = {name: mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(3)) < 0.6) for name, mask in few.items()}
    expected = multiplied_in_fp32(net(), {0: few, 3: more}, clip)
    trainer = trainer_of(model, few, clip_norm=clip, weight_decay=0.1)
    for step in range(STEPS):
        if step == 3:
            trainer.hold(more)
        torch.manual_seed(step)
        trainer.train_step(batch(step))
    for name, weight in expected.named_parameters():
        assert torch.equal(dict(model.named_parameters())[name], weight), name


def test_a_state_with_momentum_of_pruned_weights_keeps_them_pruned() -> None:
    """Older versions left it there where masks had grown."""
    model = net()
    masks = masks_of(model)
    dense = trainer_of(model, {}, clip_norm=0.3)
    dense.train_step(batch(0))
    state = {name: tensor.clone() for name, tensor in dense.state().items()}
    for name, mask in masks.items():
        assert state[f"optimizer/exp_avg/{name}"][~mask].any()
        state[f"weight/{name}"].mul_(mask)
    trainer = trainer_of(model, masks, clip_norm=0.3)
    trainer.load_state(state, 1)
    for step in range(1, STEPS):
        trainer.train_step(batch(step))
        assert all(not dict(model.named_parameters())[name].detach()[~mask].any() for name, mask in masks.items())


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_a_pruned_weight_never_comes_back(clip: float) -> None:
    model = net()
    masks = masks_of(model)
    trainer = trainer_of(model, masks, weight_decay=0.1, clip_norm=clip)
    for step in range(STEPS):
        trainer.train_step(batch(step))
        weights = dict(model.named_parameters())
        assert all(not weights[name][~mask].any() for name, mask in masks.items())
        assert all(weights[name][mask].all() for name, mask in masks.items())


def test_a_state_brings_back_every_bit() -> None:
    model = net()
    masks = masks_of(model)
    torch.manual_seed(5)
    trainer = trainer_of(model, masks)
    for step in range(3):
        trainer.train_step(batch(step))
    saved = {name: tensor.clone() for name, tensor in trainer.state().items()}
    for step in range(3, STEPS):
        trainer.train_step(batch(step))
    torch.manual_seed(99)
    other = net(seed=7)
    again = trainer_of(other, masks)
    again.load_state(saved, 3)
    for step in range(3, STEPS):
        again.train_step(batch(step))
    assert again.step == trainer.step == STEPS
    for name, tensor in trainer.state().items():
        assert torch.equal(tensor, again.state()[name]), name


def test_a_state_before_the_first_step_can_be_loaded() -> None:
    trainer = trainer_of(net(), {})
    again = trainer_of(net(seed=3), {})
    again.load_state({name: tensor.clone() for name, tensor in trainer.state().items()}, 0)
    torch.manual_seed(1)
    trainer.train_step(batch(0))
    torch.manual_seed(1)
    again.train_step(batch(0))
    assert all(torch.equal(a, b) for a, b in zip(trainer.state().values(), again.state().values(), strict=True))


def test_a_loss_that_is_no_number_stops_with_step_rows_and_advice() -> None:
    model = net()
    trainer = trainer_of(model, {})
    trainer.train_step(batch(0))
    with torch.no_grad():
        model.first.weight[0, 0] = math.nan
    with pytest.raises(
        TrainingError,
        match=r"loss of step 2 or its gradient norm is nan; its batch holds the training rows 1, 2, 3, 4, 5 \(the .* Try a",
    ):
        trainer.train_step(batch(1))


class Overflow(nn.Module):
    """A finite loss whose gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Batch) -> Tensor:
        return torch.sqrt(self.weight).sum()


def test_a_gradient_that_overflows_under_a_finite_loss_names_its_own_step() -> None:
    with pytest.raises(TrainingError, match=r"loss of step 1 or its gradient norm is inf"):
        trainer_of(Overflow(), {}, clip_norm=1.0).train_step(batch(0))


def test_a_report_gives_means_since_the_last_one() -> None:
    trainer = trainer_of(net(), {})
    trainer.train_step(batch(0))
    trainer.train_step(batch(1))
    rates = trainer.report()
    assert (rates.examples, rates.tokens, rates.learning_rate) == (10, 90, 0.01)
    assert rates.loss > 0
    trainer.train_step(batch(2))
    assert trainer.report().examples == 5


def rates(training: Training, rounds: int) -> list[float]:
    return [learning_rate(training, step, rounds) for step in range(training.steps)]


def test_the_sane_rate_rises_and_falls_inside_a_round() -> None:
    curve = rates(Training(steps=100, learning_rate=1.0, warmup="round"), 10)
    assert curve[0] == 0
    assert curve[5] == pytest.approx(0.5)
    assert curve[10] == 1.0 == max(curve)
    assert curve[55] == pytest.approx(0.5)
    assert curve[99] == pytest.approx(1 / 90)


def test_the_papers_rate_only_ever_rises_inside_a_round() -> None:
    curve = rates(Training(preset="paper", steps=3116), 10)
    assert curve == sorted(curve)
    assert curve[0] == 0
    assert curve[-1] == pytest.approx(5e-5, rel=1e-3)
    assert curve[1558] == pytest.approx(2.5e-5)


def test_the_papers_settings() -> None:
    paper = Training(preset="paper")
    assert (paper.batch_size, paper.learning_rate, paper.weight_decay, paper.clip_norm, paper.warmup) == (
        8,
        5e-5,
        0,
        0,
        "all-rounds",
    )
    assert Training(preset="paper", batch_size=16).batch_size == 16


def test_a_device_that_is_not_there_is_a_clear_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device; the error cannot be provoked")
    with pytest.raises(TrainingError, match=r'The device "cuda" is not available.*Give "auto" or "cpu" \(training\.device'):
        make_accelerator("cuda", "fp32", 1)


def test_devices_in_words() -> None:
    assert describe(torch.device("cpu")) == "cpu"


def test_bf16_autocast_keeps_weights_in_fp32() -> None:
    model = net()
    training = Training(steps=2, warmup="constant", precision="bf16")
    trainer = Trainer(model, model, {}, training, 1, make_accelerator("cpu", "bf16", 1))
    before = copy.deepcopy(model.state_dict())
    trainer.train_step(batch(0))
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert not torch.equal(before["first.weight"], model.first.weight)


class Halves(nn.Module):
    """A module with a parameter in the encoder's layers and one elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"encoder": nn.Linear(6, 3), "embeddings": nn.Linear(6, 3)})

    def forward(self, batch: Batch) -> Tensor:
        sources = batch.sources.float()
        return (self.encoder["encoder"](sources) + self.encoder["embeddings"](sources) - batch.targets.float()).square().mean()


def test_a_held_encoder_stays_then_follows_more_and_more() -> None:
    training = Training(hold_encoder=4)
    assert [encoder_share(training, step) for step in (0, 4, 5, 6, 8, 100)] == [0, 0, 0.25, 0.5, 1, 1]
    assert encoder_share(Training(), 0) == 1
    assert [encoder_share(Training(hold_encoder=4, encoder_rate=0.5), step) for step in (0, 4, 6, 8)] == [0, 0, 0.25, 0.5]
    assert encoder_share(Training(encoder_rate=0.25), 7) == 0.25
    torch.manual_seed(0)
    model = Halves()
    before = copy.deepcopy(model.state_dict())
    trainer = trainer_of(model, {}, hold_encoder=2)
    moved = []
    for step in range(4):
        trainer.train_step(batch(step))
        moved.append(not torch.equal(model.encoder["encoder"].weight, before["encoder.encoder.weight"]))
        assert not torch.equal(model.encoder["embeddings"].weight, before["encoder.embeddings.weight"])
    assert moved == [False, False, False, True]
