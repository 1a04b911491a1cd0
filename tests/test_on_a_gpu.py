"""Whole runs through the paths for a GPU, on one that is none: which device a tensor is on, what waits, what is deterministic."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stand_in_gpu import GPU, StandIn, stand_in_gpu
from test_lottery import Make, make, of  # noqa: F401 - a fixture

from core import worker
from core.compress.criteria import magnitude
from core.compress.masks import apply_masks, keep, prunable
from core.data import Encoded
from core.decode import beam_search
from core.families.device import make_accelerator
from core.families.roberta import CodeToText, tiny
from core.recipe import Training
from core.run.events import CheckpointSaved, RunStarted
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.train.objectives import WriteComments
from core.train.trainer import Trainer

ENCODED = Encoded(
    [[0, 5, 6, 2], [0, 7, 2], [0, 5, 9, 8, 3, 2]], [[0, 4, 2], [0, 9, 8, 7, 2], [0, 3, 2]], (SimpleNamespace(index=0),) * 3
)  # type: ignore[arg-type]


def tiny_of(seed: int) -> CodeToText:
    torch.manual_seed(seed)
    return tiny()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    cudnn, threads = torch.backends.cuda.cudnn_sdp_enabled(), torch.get_num_threads()
    with stand_in_gpu(monkeypatch) as stand_in:
        yield stand_in
        torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
    torch.set_num_threads(threads)
    make_accelerator("cpu", "fp32", 1)  # the others of this process get the CPU again


def test_what_a_gpu_refuses_is_refused(gpu: StandIn) -> None:
    on_gpu, on_cpu = torch.arange(6.0, device="cuda").view(2, 3), torch.ones(2, 3)
    assert (on_gpu.device, (on_gpu + 1).device, on_gpu[0].device, on_cpu.device, on_gpu.cpu().device) == (
        *[GPU] * 3, *[torch.device("cpu")] * 2
    )  # fmt: skip
    assert (gpu.waits, on_gpu.sum().item(), gpu.waits) == (1, 15.0, 2)
    assert torch.equal((on_gpu * on_cpu.to(GPU)).cpu(), torch.arange(6.0).view(2, 3))
    with pytest.raises(RuntimeError, match="same device"):
        on_gpu * on_cpu
    with pytest.raises(RuntimeError, match="same device"):
        on_cpu[torch.tensor([0], device=GPU)]
    with pytest.raises(TypeError, match="numpy"):
        on_gpu.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(2, device=GPU, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="generator"):
        on_gpu.uniform_(generator=torch.Generator())
    torch.use_deterministic_algorithms(True)
    assert on_cpu.cumsum(0)[-1, 0] == 2
    with pytest.raises(RuntimeError, match="cumsum_cuda does not have a deterministic implementation"):
        on_gpu.cumsum(0)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_training_step_never_waits(gpu: StandIn, clip: float) -> None:
    accelerator = make_accelerator("cuda", "fp32", 1, deterministic=True)
    model = tiny().to(accelerator.device)
    weights = {name: weight.detach() for name, weight in prunable(model, "all").items()}
    masks = keep(weights, {}, magnitude(0), "global", 0.5)
    apply_masks(weights, masks)
    training = Training(steps=10, batch_size=2, clip_norm=clip, deterministic=True)
    objective = WriteComments(model, ENCODED, label_smoothing=0.1)
    trainer = Trainer(model, objective.loss, masks, training, 1, accelerator)
    trainer.train_step(objective.batch([0, 1], 0))
    before = gpu.waits
    for _ in range(3):
        trainer.train_step(objective.batch([2, 0], 0))
    assert gpu.waits == before
    assert {"_fused_adamw_", "_foreach_mul_", "embedding_dense_backward"} <= gpu.operations
    trainer.report()
    assert gpu.waits == before + 2
    assert all(mask.device == weights[name].device == GPU for name, mask in masks.items())
    assert not any(weights[name][~mask].any().item() for name, mask in masks.items())


def test_a_step_of_beam_search_waits_once(gpu: StandIn) -> None:
    expected = [
        [each.tokens for each in best] for best in beam_search(tiny_of(0), ENCODED.sources, beam=3, max_length=9, n_best=3)
    ]
    model = tiny_of(0).to(GPU)
    before = gpu.waits
    written = beam_search(model, ENCODED.sources, beam=3, max_length=9, n_best=3)
    assert [[each.tokens for each in best] for best in written] == expected
    assert gpu.waits - before <= 8 + 2 * 3, "one a step but the last, and two for each time that examples leave"


WORDS = {"prunable": "all", "rounds": 1, "final_sparsity": 0.5, "calibration_rows": 2}
RUNS: dict[str, dict[str, Any]] = {
    "deterministic": {
        "pruning": {**WORDS, "budget": "lamp"},
        "training": {"steps": 4, "checkpoint_every": 2, "checkpoint_seconds": 0, "deterministic": True, "tf32": True},
        "picker": {"rule": "best", "every": 2},
        "rewind": {"to": "step:2"},
    },
    "units, a teacher of states": {
        "pruning": {**WORDS, "unit": "head+neuron", "scope": "global"},
        "training": {"steps": 2, "teacher": "dense", "deterministic": True},
        "rewind": {"to": "none"},
    },
    "measured, masks that grow": {
        "pruning": {**WORDS, "criterion": "movement", "gradual_every": 1, "gradual_from": 1, "gradual_to": 3},
        "training": {"steps": 4, "clip_norm": 0.0, "deterministic": True},
        "rewind": {"to": "none"},
        "evaluation": {"precision": "bf16", "rows": 4, "max_length": 6, "beam": 2},
    },
    "masked words": {"kind": "pretrain", "training": {"steps": 2}, "pretraining": {"objective": "mask"}},
}


def work(paths: RunPaths) -> None:
    code = worker.main([str(paths.root)])
    assert code == 0, read_journal(paths.journal)[-1].what


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_a_gpu(make: Make, gpu: StandIn, name: str) -> None:  # noqa: F811
    case = {"evaluation": {"rows": 4, "max_length": 6, "beam": 2}, "data": {"train_rows": 60}} | RUNS[name]
    paths = make(**{**case, "training": {**case["training"], "device": "cuda"}})
    work(paths)
    (started,) = of(RunStarted, read_journal(paths.journal))
    assert isinstance(started, RunStarted)
    assert (started.device, started.gpu) == ("cuda (NVIDIA H200)", "GPU-a")
    assert "_fused_adamw_" in gpu.operations


@pytest.mark.slow
def test_a_run_on_a_gpu_is_killed_and_goes_on_with_the_same_bits(
    make: Make,  # noqa: F811
    gpu: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = {"kind": "finetune", "evaluation": {"rows": 2, "max_length": 4, "beam": 2}, "data": {"train_rows": 60}}
    training = {"steps": 4, "checkpoint_every": 2, "checkpoint_seconds": 0, "device": "cuda:0"}
    whole, killed = (make(name, training=training, **case) for name in ("whole", "killed"))
    work(whole)
    step = Trainer.train_step

    def dies(self: Trainer, rows: Any) -> None:
        if self.step == 3:
            raise OSError("the machine has gone")
        step(self, rows)

    monkeypatch.setattr(Trainer, "train_step", dies)
    assert worker.main([str(killed.root)]) != 0
    monkeypatch.setattr(Trainer, "train_step", step)
    assert [what.step for what in of(CheckpointSaved, read_journal(killed.journal))] == [2]  # type: ignore[attr-defined]
    work(killed)
    ours, theirs = ((paths.round(0) / "model.safetensors").read_bytes() for paths in (whole, killed))
    assert ours == theirs
