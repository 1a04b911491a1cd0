"""Who may read what is written: what the umask says, and no less; only the playground's history and clipboard are private."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_model import small_model

from codeprune_tui.playground import history
from codeprune_tui.playground.history import Entry
from core.atomic import complete_or_absent
from core.compress.masks import save_masks
from core.model import save_model
from core.recipe import Recipe
from core.run.folder import create_run, hold_lock
from core.run.journal import append_command
from core.train.checkpoint import save_checkpoint, save_tensors

ROOT = Path(__file__).resolve().parent.parent
UMASKS = [0o022, 0o027, 0o077, 0o007, 0o002]


@pytest.fixture(params=UMASKS, ids=lambda mask: f"{mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def closed(folder: Path, umask: int) -> list[str]:
    """What below a folder has other permissions than the umask says."""
    modes = []
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode != (0o777 if path.is_dir() else 0o666) & ~umask:
            modes.append(f"{path.relative_to(folder)} {mode:04o}")
    return modes


def test_what_the_engine_saves_follows_the_umask(tmp_path: Path, umask: int) -> None:
    paths = create_run(tmp_path / "runs", "mine", Recipe())
    with hold_lock(paths):
        append_command(paths.commands, {"command": "stop"})
    save_model(small_model(), None, paths.root / "model")
    mask = torch.ones(4, 4, dtype=torch.bool)
    save_masks({"a": mask}, paths.root / "masks.safetensors")
    save_tensors(paths.rewind, {"a": torch.ones(2)})
    save_checkpoint(paths.resume, {"a": torch.ones(2)}, {"round": 0, "step": 1})
    with complete_or_absent(paths.root / "deep") as draft:
        (draft / "er").mkdir(parents=True, mode=0o700)
        (draft / "er" / "still").touch(mode=0o600)
    assert closed(tmp_path / "runs", umask) == []
    assert sorted(path.name for path in paths.root.iterdir()) == [
        "commands.jsonl", "deep", "masks.safetensors", "model", "recipe.toml", "resume", "rewind.safetensors", "worker.lock",
    ]  # fmt: skip


def test_what_may_be_private_code_stays_so(tmp_path: Path, umask: int) -> None:
    history.keep(tmp_path / "history.json", Entry(1.0, "def a; end", "a", (("ruby-mini", "Does it ."),)))
    assert stat.S_IMODE((tmp_path / "history.json").stat().st_mode) == 0o600
    with complete_or_absent(tmp_path / "private", private=True) as draft:
        draft.touch(mode=0o600)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077], ids=lambda mask: f"{mask:03o}")
def test_a_whole_run_follows_the_umask(tmp_path: Path, mask: int) -> None:
    """With a real worker: every artefact, cache and rewind point included."""
    tiny = (
        '[model]\npath = "new"\n'
        "[architecture]\nvocab_size = 300\nhidden = 16\nlayers = 1\nheads = 1\nffn = 16\ndecoder_layers = 1\n"
        "[data]\nsource_length = 32\ntarget_length = 16\ntrain_rows = 40\n[pruning]\nrounds = 1\n"
        '[training]\nsteps = 3\nbatch_size = 4\nthreads = 1\ndevice = "cpu"\ncheckpoint_every = 2\n'
        "[evaluation]\nrows = 4\nbeam = 2\nmax_length = 8\n"
    )
    (tmp_path / "tiny.toml").write_text(tiny)
    (tmp_path / "checkpoints").mkdir(mode=0o700)
    done = subprocess.run(
        ["sh", "-c", f'umask {mask:03o}; exec "$0" -P -m codeprune_tui.cli.main run tiny.toml --name mine', sys.executable],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for folder in (tmp_path / "checkpoints" / "mine", tmp_path / "checkpoints" / ".cache"):
        assert closed(folder, mask) == []
    assert list((tmp_path / "checkpoints" / "mine").rglob("*.safetensors"))
