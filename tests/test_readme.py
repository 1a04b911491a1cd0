"""Every command of the README works as it stands, one after the other, in a folder like a fresh checkout.

Its models have the bundled ones' names, tokenizer and layers, but are far smaller: what the bundled ones write is
tested elsewhere.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.families.roberta import fresh
from core.model import load_reader, save_model
from core.recipe import Architecture

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "codeprune-tui "
BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOREVER = "demo --plain"
"""The one command that the README lets a reader leave with Ctrl-C."""


def lines() -> list[str]:
    """The lines of the README's blocks, without their comments."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    bundled = tmp_path / "checkpoints" / "bundled"
    bundled.mkdir(parents=True)
    for part in (ROOT / "checkpoints" / "bundled").iterdir():
        if (part / "model.safetensors").exists():
            write_small_model(part, bundled / part.name)
        else:
            (bundled / part.name).symlink_to(part)
    return tmp_path


def write_small_model(bundled: Path, folder: Path) -> None:
    reader = load_reader(bundled)
    model = fresh(Architecture(hidden=32, heads=2, ffn=64, decoder_layers=2), len(reader), tokens=256, seed=0)
    model.config.pretrained_only = bundled.name.endswith("pretrained")
    save_model(model, reader, folder, half=True)
    for file in bundled.iterdir():
        if not (folder / file.name).exists():
            shutil.copy(file, folder)


def test_every_command_of_the_readme_works_as_it_stands(checkout: Path) -> None:
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    commands = [line for line in lines() if line.startswith(PROGRAM)]
    assert len(commands) > 15
    for command in commands:
        if FOREVER in command:
            left_with_ctrl_c(command, checkout, environment)
            continue
        result = subprocess.run(["sh", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert (checkout / "report.html").stat().st_size > 10_000
    assert len((checkout / "runs.csv").read_text().splitlines()) > 3
    left = [path.name for path in (checkout / "checkpoints").iterdir() if not path.name.startswith(".")]
    assert left == ["bundled"], "all that was started is deleted again"


def left_with_ctrl_c(command: str, folder: Path, environment: dict[str, str]) -> None:
    # Tests that a script put into the background ignore Ctrl-C, and what they start would, too
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command.split(), cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    with process:
        assert process.stderr is not None
        while "Following" not in (line := process.stderr.readline()):
            assert line, f"{command} ended before it followed its run"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
