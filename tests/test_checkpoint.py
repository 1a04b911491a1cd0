"""Checkpoints and files: complete or absent, and read back bit for bit."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core.atomic import complete_or_absent, remove_unfinished
from core.errors import RunError
from core.train import checkpoint
from core.train.checkpoint import CheckpointWriter, checkpoint_facts, load_checkpoint, save_checkpoint


def test_round_trip_and_replacement(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "resume") is None
    assert checkpoint_facts(tmp_path / "resume") == {}
    for step in (1, 2):
        tensors = {"weight/a": torch.randn(3, 3), "rng/cpu": torch.get_rng_state(), "scalar": torch.tensor(float(step))}
        save_checkpoint(tmp_path / "resume", tensors, {"round": 0, "step": step})
    loaded = load_checkpoint(tmp_path / "resume")
    assert loaded is not None
    assert loaded.facts == {"round": 0, "step": 2} == checkpoint_facts(tmp_path / "resume")
    assert all(torch.equal(tensors[name], loaded.tensors[name]) for name in tensors)
    assert os.listdir(tmp_path / "resume") == ["state.safetensors"]


def test_a_damaged_checkpoint_names_the_way_out(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"a": torch.ones(100)}, {})
    file = tmp_path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RunError, match=r"state\.safetensors cannot be read.*Delete .* last complete round"):
        load_checkpoint(tmp_path)


def _write_half(path: Path) -> None:
    path.write_text("half")
    raise ZeroDivisionError


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), complete_or_absent(target) as draft:
        _write_half(draft)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_folders_appear_whole(tmp_path: Path) -> None:
    with complete_or_absent(tmp_path / "folder") as draft:
        draft.mkdir()
        (draft / "a").write_text("1")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "a").read_text() == "1"


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-round-1").mkdir()
    (tmp_path / ".tmp-round-1" / "x").write_text("")
    (tmp_path / ".tmp-file-2").write_text("")
    (tmp_path / "kept").write_text("")
    remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]
    remove_unfinished(tmp_path / "absent")


# --- written beside the training


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk that writes nothing until the event is set."""
    ready, save = threading.Event(), checkpoint.save_checkpoint

    def wait_and_save(folder: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, object]) -> None:
        assert ready.wait(60)
        save(folder, tensors, facts)

    monkeypatch.setattr(checkpoint, "save_checkpoint", wait_and_save)
    return ready


def test_what_changes_while_it_is_written_is_saved_as_it_was(tmp_path: Path, slow_disk: threading.Event) -> None:
    weight, written = torch.zeros(5), []
    writer = CheckpointWriter(tmp_path, lambda facts: written.append(facts["step"]))
    writer.write({"weight": weight}, {"step": 1})
    weight += 1
    writer.poll()
    assert written == []
    assert load_checkpoint(tmp_path) is None
    slow_disk.set()
    writer.settle()
    assert written == [1]
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.tensors["weight"].tolist() == [0.0] * 5


def test_checkpoints_follow_one_another(tmp_path: Path, slow_disk: threading.Event) -> None:
    written: list[object] = []
    writer = CheckpointWriter(tmp_path, lambda facts: written.append(facts["step"]))
    slow_disk.set()
    for step in range(4):
        writer.write({"weight": torch.full((3,), float(step))}, {"step": step})
        assert written == list(range(step))
    writer.settle()
    writer.settle()
    assert written == [0, 1, 2, 3]
    assert checkpoint_facts(tmp_path) == {"step": 3}


def test_a_disk_that_fails_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "save_checkpoint", fail)
    written: list[object] = []
    writer = CheckpointWriter(tmp_path, written.append)
    writer.write({"weight": torch.zeros(3)}, {"step": 1})
    with pytest.raises(OSError, match="no space left"):
        writer.settle()
    assert written == []


def test_the_best_weights_are_written_beside_the_training_after_their_checkpoint(
    tmp_path: Path, slow_disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"weight/a": torch.ones(3), "optimizer/step/a": torch.tensor(1.0)}
    written: list[object] = []
    save = checkpoint.save_best

    def save_after(folder: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, object]) -> None:
        assert checkpoint_facts(folder)["step"] == 7, "killed here, the run finds them in the checkpoint"
        save(folder, tensors, facts)

    monkeypatch.setattr(checkpoint, "save_best", save_after)
    writer = CheckpointWriter(tmp_path, lambda facts: written.append(facts["step"]))
    writer.write(tensors, {"round": 1, "step": 7, "seconds": 0.5}, best=True)
    tensors["weight/a"] += 1
    writer.poll()
    assert written == []
    assert os.listdir(tmp_path) == []
    slow_disk.set()
    writer.settle()
    assert written == [7]
    facts, weights = checkpoint.load_tensors(tmp_path / "best.safetensors")
    assert (facts, {name: each.tolist() for name, each in weights.items()}) == ({"round": 1, "step": 7}, {"a": [1.0] * 3})
    writer.write({"weight/a": torch.zeros(3)}, {"round": 1, "step": 9})
    writer.settle()
    assert checkpoint.load_tensors(tmp_path / "best.safetensors")[0]["step"] == 7, "another checkpoint leaves them alone"


def test_best_weights_that_cannot_be_written_are_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "save_best", fail)
    written: list[object] = []
    writer = CheckpointWriter(tmp_path, written.append)
    writer.write({"weight/a": torch.ones(3)}, {"round": 0, "step": 2}, best=True)
    with pytest.raises(OSError, match="no space left"):
        writer.settle()
    assert written == []


def test_without_memory_for_a_copy_it_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.psutil, "virtual_memory", lambda: SimpleNamespace(available=20))
    written: list[object] = []
    CheckpointWriter(tmp_path, written.append).write({"weight": torch.zeros(3)}, {"step": 1})
    assert written == [{"step": 1}]
    assert checkpoint_facts(tmp_path) == {"step": 1}
