"""What is promised of a repeated or resumed run on a GPU, as far as a CPU can show it."""

import json
import os
import shutil
import socket
from types import SimpleNamespace

import pytest
import torch
from fake_gpus import FakeGpu, machine, torch_sees
from test_disk import refusing
from test_lottery import Make, make, of, run  # noqa: F401 - a fixture
from test_train import batch, net, trainer_of

from core import worker
from core.errors import TrainingError
from core.families.device import make_accelerator
from core.recipe import build_recipe
from core.run.events import Failed, Warned
from core.run.holder import cluster_job
from core.run.journal import read_journal
from core.train.checkpoint import load_tensors


def test_only_deterministic_algorithms_on_a_gpu_where_the_recipe_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not build_recipe({}).training.deterministic
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    make_accelerator("cpu", "fp32", 1, deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled(), "the CPU's are; the switch would only slow it down"
    machine(monkeypatch, [FakeGpu("GPU-a")])
    torch_sees(monkeypatch, ["NVIDIA H200"])
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace())
    monkeypatch.setattr("accelerate.state.check_cuda_p2p_ib_support", lambda: True, raising=False)
    try:
        make_accelerator("cuda", "fp32", 1, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        make_accelerator("cuda", "fp32", 1)
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = True
        monkeypatch.undo()
        make_accelerator("cpu", "fp32", 1)


def test_an_operation_that_has_no_deterministic_form_is_no_defect() -> None:
    refused = RuntimeError(
        "cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch.use_deterministic…'"
    )
    trainer = trainer_of(net(), {}, deterministic=True)
    trainer._loss = refusing(refused)
    with pytest.raises(
        TrainingError, match=r"without a deterministic algorithm: cumsum_cuda_kernel.*Start a run with .*deterministic = false"
    ):
        trainer.train_step(batch(0))
    other = trainer_of(net(), {})
    other._loss = refusing(refused)
    with pytest.raises(RuntimeError, match="cumsum_cuda_kernel"):
        other.train_step(batch(0))


def test_nor_is_it_outside_of_a_step(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    refused = RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set '…'")
    paths = make(pruning={"rounds": 1})
    monkeypatch.setattr(worker, "_work", refusing(refused))
    assert worker.main([str(paths.root)]) == TrainingError.exit_code
    failed = read_journal(paths.journal)[-1].what
    assert isinstance(failed, Failed)
    assert failed.problem.startswith("An operation has no deterministic algorithm: cumsum_cuda_kernel")
    assert failed.fix == "Start a run with training.deterministic = false."


def test_a_state_of_a_gpu_seeds_the_generator_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(net(), {})
    trainer.train_step(batch(0))
    state = {name: tensor.clone() for name, tensor in trainer.state().items()}

    def drawn(tensors: dict[str, torch.Tensor], step: int = 1, seed: int = 0) -> torch.Tensor:
        torch.manual_seed(99)
        trainer_of(net(), {}, seed=seed).load_state(tensors, step)
        return torch.rand(4)

    torch.set_rng_state(state["rng/cpu"])
    assert torch.equal(drawn(state), torch.rand(4)) or torch.equal(drawn(state), drawn(state))
    moved = state | {"rng/cuda": torch.zeros(16, dtype=torch.uint8)}
    assert torch.equal(drawn(moved), drawn(moved)), "the same each time it is resumed"
    assert not torch.equal(drawn(moved), drawn(state))
    assert not torch.equal(drawn(moved), drawn(moved, step=2))
    assert not torch.equal(drawn(moved), drawn(moved, seed=1))


def test_a_run_that_moves_to_another_kind_of_device_says_what_that_means(make: Make) -> None:  # noqa: F811
    paths = make(pruning={"rounds": 1}, training={"steps": 4})
    run(paths)
    meta = json.loads(paths.meta.read_text())
    assert meta["precision"] == "fp32"
    of_this_process = {"host": socket.gethostname(), "pid": os.getpid(), "job": cluster_job()}
    assert meta.items() >= of_this_process.items()
    there = {"host": "elsewhere", "pid": 1, "job": "Slurm 3_0", "device": "cuda (NVIDIA H200)", "precision": "bf16"}
    paths.meta.write_text(json.dumps(meta | there))
    shutil.rmtree(paths.round(1))
    warnings = [what.message for what in of(Warned, run(paths)) if isinstance(what, Warned)]
    assert any(
        "began on cuda (NVIDIA H200) and goes on on cpu: from here on it is another run than one that had stayed there" in message
        for message in warnings
    )
    assert any(message.startswith("precision were bf16") or "bf16" in message for message in warnings)
    # Who is at work is told anew; what the run began with stays.
    assert json.loads(paths.meta.read_text()) == meta | there | of_this_process


def test_a_rewind_point_that_is_no_number_is_never_saved(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    paths = make(pruning={"rounds": 1}, training={"steps": 4}, rewind={"to": "step:2"})
    from core.train.trainer import Trainer

    whole = Trainer.train_step

    def spoils(self: Trainer, batch: object) -> None:
        whole(self, batch)  # type: ignore[arg-type]
        if self.step == 2:
            with torch.no_grad():
                next(iter(self.model.parameters())).view(-1)[0] = float("nan")

    monkeypatch.setattr(Trainer, "train_step", spoils)
    assert worker.main([str(paths.root)]) == TrainingError.exit_code
    failed = read_journal(paths.journal)[-1].what
    assert isinstance(failed, Failed)
    assert failed.problem.startswith("The weights after step 2, to which later rounds rewind, are no finite numbers: ")
    _, kept = load_tensors(paths.rewind)
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
