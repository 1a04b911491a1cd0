"""How often decoding and training wait for a GPU, counted on the CPU: every look at a value of a tensor would be a wait there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_decode import SOURCES, models  # noqa: F401 - a fixture
from test_train import batch, masks_of, net, trainer_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import core.compress.masks
import core.decode
from codeprune_tui import bundle
from core.bench.ground import Ground
from core.compress.masks import apply_masks
from core.data import Encoded, collate, pad_lists
from core.decode import CHUNK, _top, _top_unwaited, beam_search
from core.families.device import width_multiple
from core.families.roberta import CodeToText
from core.recipe import Training
from core.train import checkpoint
from core.train.checkpoint import CheckpointWriter, load_checkpoint
from core.train.loop import Loop
from core.train.objectives import Corpus, WriteComments, make_objective

LOOKS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::masked_select", "aten::equal"}
"""Operations for which the program waits until a GPU has the value."""


class Looks(TorchDispatchMode):
    """Counts looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple[object, ...] = (), kwargs: object = None) -> object:
        self.count += func.name().partition(".")[0] in LOOKS  # type: ignore[attr-defined]
        return func(*args, **(kwargs or {}))  # type: ignore[operator]


@contextmanager
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    """Counts looks in this block, `tolist` included, which the CPU does without an operation."""
    counting, tolist = Looks(), Tensor.tolist

    def counted(self: Tensor) -> object:
        counting.count += 1
        return tolist(self)

    with monkeypatch.context() as patch, counting:
        patch.setattr(Tensor, "tolist", counted)
        yield counting


# Choosing the best tokens


@pytest.mark.parametrize("n", [3, 40, 2 * CHUNK * 5, 2 * CHUNK * 5 + 1, 3000, 50_265])
@pytest.mark.parametrize("kind", ["distinct", "ties", "few values", "equal", "nan"])
def test_the_best_are_the_same_without_a_look(n: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(n)
    values = {
        "distinct": torch.rand(6, n, generator=generator),
        "ties": torch.randint(0, 50, (6, n), generator=generator).float(),
        "few values": torch.randint(0, 3, (6, n), generator=generator).float(),
        "equal": torch.full((6, n), -torch.inf),
        "nan": torch.rand(6, n, generator=generator).masked_fill(torch.rand(6, n, generator=generator) < 0.1, torch.nan),
    }[kind]
    k = min(4, n)
    (best, place), (expected, expected_place) = _top_unwaited(values, k), _top(values, k)
    assert torch.equal(best.nan_to_num(9.0), expected.nan_to_num(9.0))
    if kind != "nan":
        assert torch.equal(place, expected_place)
    assert torch.equal(values.gather(1, place).nan_to_num(9.0), best.nan_to_num(9.0))


@pytest.mark.parametrize("n", [100, 50_265])
def test_the_best_are_found_without_a_look(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    values = torch.randint(0, 3, (4, n)).float()
    with looks(monkeypatch) as counting:
        _top_unwaited(values, 10)
    assert counting.count == 0


# Decoding


@pytest.mark.parametrize("name", ["trained", "random"])
def test_a_step_of_beam_search_waits_once(
    models: dict[str, CodeToText],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    model = models[name]
    expected = beam_search(model, SOURCES, beam=4, max_length=12, batch_size=len(SOURCES))
    steps: list[int] = []
    step = CodeToText.step
    monkeypatch.setattr(CodeToText, "step", lambda self, *given: steps.append(1) or step(self, *given))
    monkeypatch.setattr(core.decode, "_top", _top_unwaited)  # as on a GPU
    gone: list[int] = []
    final = core.decode.final
    monkeypatch.setattr(core.decode, "final", lambda *given, **more: gone.append(1) or final(*given, **more))
    with looks(monkeypatch) as counting:
        written = beam_search(model, SOURCES, beam=4, max_length=12, batch_size=len(SOURCES))
    assert written == expected
    leaves = len(gone)
    assert counting.count <= len(steps) + 2 * leaves, "one a step, and two more where examples leave"
    assert counting.count < 3 * len(steps)


def test_a_step_of_greedy_decoding_waits_once(models: dict[str, CodeToText], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    steps: list[int] = []
    step = CodeToText.step
    monkeypatch.setattr(CodeToText, "step", lambda self, *given: steps.append(1) or step(self, *given))
    with looks(monkeypatch) as counting:
        beam_search(models["random"], SOURCES[:1], beam=1, max_length=12)
    assert counting.count <= len(steps) + 1


# Widths


def test_widths_on_a_gpu_are_multiples_of_eight() -> None:
    assert (width_multiple(torch.device("cuda", 1)), width_multiple(torch.device("cpu"))) == (8, 1)
    assert [pad_lists([[1] * length], 0, 8).shape[1] for length in (1, 8, 9)] == [8, 8, 16]
    # Targets lose a token on their way through the model.
    assert [pad_lists([[1] * length], 0, 8, 1).shape[1] for length in (1, 2, 9, 10)] == [1, 9, 9, 17]
    assert [pad_lists([[1] * length], 0).shape[1] for length in (1, 8, 9)] == [1, 8, 9]


def test_padding_changes_no_loss(models: dict[str, CodeToText]) -> None:  # noqa: F811
    model = models["random"].eval()
    row = SimpleNamespace(index=0)
    sources, targets = [[0, 5, 6, 2], [0, 7, 2], [0, 5, 9, 8, 3, 2]], [[0, 4, 2], [0, 9, 8, 7, 2], [0, 3, 2]]
    encoded = Encoded(sources, targets, (row, row, row))  # type: ignore[arg-type]
    narrow, wide = (collate(encoded, range(3), model.special.pad, multiple) for multiple in (1, 8))
    assert (narrow.sources.shape, narrow.targets.shape) == ((3, 6), (3, 5))
    assert (wide.sources.shape, wide.targets.shape) == ((3, 8), (3, 9))
    assert wide.tokens == narrow.tokens
    losses = [model(each.sources, each.targets, places=each.places) for each in (narrow, wide)]
    assert torch.allclose(losses[0], losses[1], atol=1e-6)


def test_every_batch_for_a_gpu_has_such_a_width(models: dict[str, CodeToText], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    model = models["random"]
    monkeypatch.setattr(CodeToText, "device", property(lambda self: torch.device("cuda", 0)))
    texts = [[0, *range(5, 5 + length), 2] for length in range(1, 41)]
    encoded = Encoded(texts, texts[::-1], tuple(SimpleNamespace(index=row) for row in range(40)))  # type: ignore[arg-type]
    corpus = Corpus(texts, texts[::-1], texts[:3], texts[5:8], 64)
    ground = Ground(bundle.folder(), SimpleNamespace(device=torch.device("cuda", 0)), 1, True)  # type: ignore[arg-type]
    ground.__dict__["train"] = encoded
    mask, denoise = (make_objective(name, model, corpus, 4, 60, 0.0) for name in ("mask", "denoise"))
    writing = [WriteComments(model, encoded).batch([0, 10, 20], 7), denoise.batch([0, 1, 2], 7), *denoise.held_out()]
    for each in [*writing, *ground.batches(3, 4)]:
        assert (each.sources.shape[1] % 8, each.targets.shape[1] % 8) == (0, 1)
    for each in [mask.batch([0, 1, 2], 7), *mask.held_out()]:
        assert (each.sources.shape[1] % 8, each.targets.shape) == (0, each.sources.shape)


# Training and its checkpoints


def test_a_training_step_does_not_go_through_the_modules_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(net(), {})
    trainer.train_step(batch(0))
    calls: list[int] = []
    monkeypatch.setattr(
        type(trainer.model), "train", lambda self, mode=True: calls.append(1) or torch.nn.Module.train(self, mode)
    )
    trainer.train_step(batch(1))
    assert calls == []
    trainer.model.eval()
    calls.clear()
    trainer.train_step(batch(2))
    assert calls == [1]
    assert trainer.model.training


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_masks_are_applied_in_one_pass(monkeypatch: pytest.MonkeyPatch, clip: float) -> None:
    model = net()
    trainer = trainer_of(model, masks_of(model), clip_norm=clip)
    passes: list[int] = []
    multiply = torch._foreach_mul_
    monkeypatch.setattr(torch, "_foreach_mul_", lambda these, others: passes.append(len(these)) or multiply(these, others))
    trainer.train_step(batch(0))
    assert passes.count(len(trainer.masks)) == 1, "torch's own clipping goes through all four gradients"
    for name, mask in trainer.masks.items():
        assert not dict(model.named_parameters())[name].detach()[~mask].any()


def test_a_gpu_multiplies_many_masks_in_few_calls_of_one_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several types, torch would launch each matrix by itself."""
    weights = {str(number): torch.randn(4, 5) for number in range(7)}
    masks = {name: torch.rand(4, 5) < 0.5 for name in weights}
    expected = {name: weight * masks[name].float() for name, weight in weights.items()}
    calls: list[list[int]] = []
    multiply = torch._foreach_mul_

    def counted(these: list[Tensor], others: list[Tensor]) -> None:
        assert {each.dtype for each in [*these, *others]} == {torch.float32}
        calls.append([each.numel() for each in these])
        multiply(these, others)

    monkeypatch.setattr(torch, "_foreach_mul_", counted)
    monkeypatch.setattr(core.compress.masks, "TOGETHER", 60)
    monkeypatch.setattr(core.compress.masks, "_on_gpu", lambda tensor: True)
    apply_masks(weights, masks)
    assert calls == [[20, 20, 20], [20, 20, 20], [20]]
    assert all(torch.equal(weights[name].view(torch.int32), expected[name].view(torch.int32)) for name in weights)


def test_a_trainer_keeps_a_byte_a_weight() -> None:
    model = net()
    masks = masks_of(model)
    trainer = trainer_of(model, masks)
    trainer.train_step(batch(0))
    kept = [value for value in vars(trainer._masks).values() for value in value.values()]
    assert sum(tensor.nbytes for tensor in kept) == sum(mask.numel() for mask in masks.values())


class Events:
    """Stands in for events of CUDA: writes down what was waited for."""

    def __init__(self) -> None:
        self.recorded, self.waited = 0, 0
        self.device: torch.device | None = None
        """The device that is current; a thread begins on the first GPU, whichever the program computes on."""

    def __call__(self) -> "Events":
        return self

    def record(self) -> None:
        self.recorded += 1

    def synchronize(self) -> None:
        assert self.device is not None
        self.waited += 1

    @contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        self.device = device
        yield
        self.device = None


def test_a_checkpoint_goes_through_pinned_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, pinned = Events(), list[tuple[int, ...]]()

    def empty(tensor: Tensor) -> Tensor:
        pinned.append(tuple(tensor.shape))
        return torch.empty_like(tensor)

    monkeypatch.setattr(checkpoint, "_pinned_like", empty)
    monkeypatch.setattr(checkpoint, "_event", events)
    monkeypatch.setattr(checkpoint, "_current", events.on)
    monkeypatch.setattr(checkpoint, "_on_gpu", lambda tensor: tensor.numel() > 1)
    saved: list[object] = []
    writer = CheckpointWriter(tmp_path, saved.append)
    tensors = {"weight": torch.arange(6.0), "step": torch.tensor(3.0)}
    for step in (1, 2):
        writer.write(tensors, {"step": step})
        tensors["weight"] += 10
        writer.settle()
    point = load_checkpoint(tmp_path)
    assert point is not None
    assert torch.equal(point.tensors["weight"], torch.arange(6.0) + 10), "the second, as it was when it was written"
    assert pinned == [(6,)], "the memory is kept for the next one"
    assert (events.recorded, events.waited) == (2, 2), "the thread that writes waits, not the one that trains"


def test_the_best_weights_are_those_of_the_checkpoint_and_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, pinned = Events(), list[Tensor]()

    def empty(tensor: Tensor) -> Tensor:
        pinned.append(torch.empty_like(tensor))
        return pinned[-1]

    monkeypatch.setattr(checkpoint, "_pinned_like", empty)
    monkeypatch.setattr(checkpoint, "_event", events)
    monkeypatch.setattr(checkpoint, "_current", events.on)
    monkeypatch.setattr(checkpoint, "_on_gpu", lambda tensor: tensor.is_floating_point())
    model = net()
    trainer = trainer_of(model, {})
    trainer.train_step(batch(0))
    expected = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    writer = CheckpointWriter(tmp_path, lambda facts: None)
    state = trainer.state()
    writer.write(state, {"round": 2, "step": 1, "seconds": 3.0}, best=True)
    trainer.train_step(batch(1))
    writer.settle()
    facts, best = checkpoint.load_tensors(tmp_path / "best.safetensors")
    assert facts == {"round": 2, "step": 1}
    assert best.keys() == expected.keys()
    assert all(torch.equal(best[name], weight) for name, weight in expected.items())
    assert len(pinned) == sum(tensor.is_floating_point() for tensor in state.values()), "one copy for both files"
    assert (events.recorded, events.waited) == (1, 1)


def test_checkpoints_on_a_gpu_have_seconds_between_them() -> None:
    now = [100.0]
    loop = Loop.__new__(Loop)
    loop._session = SimpleNamespace(clock=lambda: now[0], accelerator=SimpleNamespace(device=torch.device("cuda", 0)))  # type: ignore[assignment]
    loop._training, loop._last_save = Training(checkpoint_seconds=30), 80.0
    assert loop._saved_lately
    now[0] = 110.0
    assert not loop._saved_lately
    now[0] = 100.0
    loop._training = Training(checkpoint_seconds=0)
    assert not loop._saved_lately
    loop._training = Training()
    loop._session.accelerator.device = torch.device("cpu")
    assert not loop._saved_lately, "on the CPU a step takes long enough"


def test_a_report_waits_twice_however_many_steps_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(net(), {})
    monkeypatch.setattr(trainer, "_refuse_nan", lambda losses: None)  # as in the steps of a GPU
    for step in range(5):
        trainer.train_step(batch(step))
    monkeypatch.undo()
    expected = sum(float(loss) for _, _, loss in trainer._pending) / 5
    with looks(monkeypatch) as counting:
        rates = trainer.report()
    assert rates.loss == expected
    assert counting.count == 2
