"""What `make` would do on other machines, and what is checked before a run that needs more than Python packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import TrainingError
from core.train import prepare
from core.train.prepare import check_compiler

ROOT = Path(__file__).parent.parent


def make(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-C", str(ROOT), f"VENV={folder}/venv", *words]
    # As a person calls it: this suite may itself be run by a make, whose jobs are none of this one's business
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    # The limit is for what hangs: where all cores are taken, installing pip alone takes minutes
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


def test_make_takes_the_torch_of_the_site_where_it_is_told(tmp_path: Path) -> None:
    usual = make(tmp_path, "-n", "demo").stdout
    assert "--system-site-packages" not in usual
    assert "install --constraint constraints.txt --editable" in usual
    system = make(tmp_path, "-n", "demo", "TORCH=system").stdout
    assert f"-m venv --system-site-packages {tmp_path}/venv" in system
    assert f"install --constraint {tmp_path}/venv/constraints.txt --editable" in system
    assert "gigabytes" in usual, "who has no GPU box's network is warned"


def site_with_torch(folder: Path, version: str | None) -> Path:
    """A virtual environment in which `version` of a torch is that holds nothing, or none; returns its packages' folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    if version is not None:
        about = packages / f"torch-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    return packages


def test_the_torch_of_a_virtual_environment_is_seen_too(tmp_path: Path) -> None:
    """An environment that is made from one sees its base, not it: pip would install another torch, whatever make had found."""
    version = "2.12.0a0+nv26.3"  # an early build of a later torch will do
    site, ready = tmp_path / "site", tmp_path / "venv" / ".ready"
    packages = site_with_torch(site, version)
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").write_text("where = 'on the cluster'\n")
    done = make(tmp_path, "TORCH=system", f"PYTHON={site}/bin/python", "PIP=true", str(ready))
    assert done.returncode == 0, done.stderr
    look = "import torch; from importlib.metadata import version; print(torch.where, version('torch'))"
    seen = subprocess.run([tmp_path / "venv" / "bin" / "python", "-c", look], capture_output=True, text=True, check=True)
    assert seen.stdout == f"on the cluster {version}\n"
    pins, known = ((folder / "constraints.txt").read_text().splitlines() for folder in (tmp_path / "venv", ROOT))
    assert [pin for pin in pins if pin not in known] == [f"torch=={version}"], "or pip would install another"
    assert {pin.partition("==")[0] for pin in known if pin not in pins} == {"torch", "setuptools"}


@pytest.mark.parametrize("version", [None, "2.9.1", "2.10.0+cu130", "2.11.0a0+nv26.1", "2.11.0.dev20260101", "2.11.0rc1"])
def test_make_refuses_a_site_without_a_torch_that_will_do(tmp_path: Path, version: str | None) -> None:
    site_with_torch(tmp_path / "site", version)
    python = tmp_path / "site" / "bin" / "python"
    done = make(tmp_path, "demo", "TORCH=system", f"PYTHON={python}")
    assert done.returncode != 0
    problem = f"TORCH=system needs torch 2.11 or newer beside {python}, which has {version or 'none'}; without TORCH=system,"
    assert done.stderr.startswith(problem), "and no traceback before it"
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("own", ["", "nvc"])
def test_compiling_for_a_gpu_needs_a_compiler_and_pythons_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setenv("CC", own)
    gpu, programs = torch.device("cuda", 0), set[str]()
    monkeypatch.setattr(prepare.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(prepare.sysconfig, "get_default_scheme", lambda: "posix_local")  # as Debian's own Python
    monkeypatch.setattr(
        prepare.sysconfig, "get_paths", lambda scheme: {"include": str(tmp_path / ("" if scheme == "posix_prefix" else "local"))}
    )
    programs.add("cc")  # which triton does not look for
    with pytest.raises(TrainingError, match=f"needs a C compiler for a GPU, and none of {own or 'gcc, clang'} is there"):
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
