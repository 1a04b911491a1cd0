"""What a number depends on besides its recipe: versions, commit, processor. Knows no number, and imports none of the packages."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("codeprune-tui", "torch", "transformers", "tokenizers", "accelerate", "numpy", "safetensors", "nltk", "sacrebleu")
"""The packages that compute."""
QUANTIZING = ("codeprune-tui", "torch", "transformers", "torchao", "bitsandbytes")
"""Those that a quantized model depends on."""


def versions(packages: Iterable[str] = PACKAGES, missing: str = "unknown") -> dict[str, str]:
    """Python's version and those of packages.

    Args:
        packages: Their names.
        missing: What stands for one that is not installed.

    Returns:
        Package name -> version, "python" first.
    """
    known = {"python": platform.python_version()}
    for package in packages:
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            known[package] = missing
    return known


def commit() -> str:
    """The commit of the checkout that this code lies in; "" outside one."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():  # installed, perhaps inside somebody else's repository
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10", "--exclude", "*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> str:
    """The CPU's name and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0))
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{name}, {cores} core{'s' if cores != 1 else ''}"
