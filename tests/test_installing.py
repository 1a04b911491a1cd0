"""What `make` would do on other machines, and what is checked before a run that needs more than Python packages."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import TrainingError
from core.train import prepare
from core.train.prepare import check_compiler

ROOT = Path(__file__).parent.parent
OLD_TORCH = '#!/bin/sh\ncase "$2" in *importlib*) exit 1;; *version_info*) exit 0;; esac\nexit 9\n'


def make(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-C", str(ROOT), f"VENV={folder}/venv", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_make_takes_the_torch_of_the_site_where_it_is_told(tmp_path: Path) -> None:
    usual = make(tmp_path, "-n", "demo").stdout
    assert "--system-site-packages" not in usual
    assert "install --constraint constraints.txt --editable" in usual
    system = make(tmp_path, "-n", "demo", "TORCH=system").stdout
    assert f"-m venv --system-site-packages {tmp_path}/venv" in system
    assert f"install --constraint {tmp_path}/venv/constraints.txt --editable" in system
    assert "gigabytes" in usual, "who has no GPU box's network is warned"


def test_the_torch_of_a_virtual_environment_is_seen_too(tmp_path: Path) -> None:
    """An environment that is made from one sees its base, not it: pip would install another torch, whatever make had found."""
    site, ready = tmp_path / "site", tmp_path / "venv" / ".ready"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", site], check=True)
    (packages,) = site.glob("lib/python*/site-packages")
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").write_text("where = 'on the cluster'\n")
    (packages / "torch-2.12.0.dist-info").mkdir()
    (packages / "torch-2.12.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.12.0\n")
    done = make(tmp_path, "TORCH=system", f"PYTHON={site}/bin/python", "PIP=true", str(ready))
    assert done.returncode == 0, done.stderr
    look = "import torch; from importlib.metadata import version; print(torch.where, version('torch'))"
    seen = subprocess.run([tmp_path / "venv" / "bin" / "python", "-c", look], capture_output=True, text=True, check=True)
    assert seen.stdout == "on the cluster 2.12.0\n"
    pins, known = ((folder / "constraints.txt").read_text().splitlines() for folder in (tmp_path / "venv", ROOT))
    assert [pin for pin in pins if pin not in known] == ["torch==2.12.0"], "or pip would install another where its needs differ"
    assert {pin.partition("==")[0] for pin in known if pin not in pins} == {"torch", "setuptools"}


def test_make_refuses_a_site_without_a_torch_that_will_do(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(OLD_TORCH)
    python.chmod(0o755)
    done = make(tmp_path, "demo", "TORCH=system", f"PYTHON={python}")
    assert done.returncode != 0
    assert f"TORCH=system needs torch 2.11 or newer beside {python}" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("own", ["", "nvc"])
def test_compiling_for_a_gpu_needs_a_compiler_and_pythons_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setenv("CC", own)
    gpu, programs = torch.device("cuda", 0), set[str]()
    monkeypatch.setattr(prepare.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(prepare.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(TrainingError, match=f"needs a C compiler for a GPU, and none of {own or 'cc, gcc, clang'} is there"):
        check_compiler(gpu)
    programs.add(own or "gcc")
    with pytest.raises(TrainingError, match=r"Python's headers.*Python\.h is not there.*python3-dev"):
        check_compiler(gpu)
    (tmp_path / "Python.h").touch()
    check_compiler(gpu)
    with pytest.raises(TrainingError, match=r"needs a C\+\+ compiler on the CPU"):
        check_compiler(torch.device("cpu"))
    programs.add("g++")
    check_compiler(torch.device("cpu"))
