"""Checkpoints and files: complete or absent, and read back bit for bit."""

import os
from pathlib import Path

import pytest
import torch

from core.checkpoint import checkpoint_facts, load_checkpoint, save_checkpoint
from core.errors import RunError
from core.files import complete_or_absent, remove_unfinished


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
