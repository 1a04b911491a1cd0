"""The first steps of a bundled model's training, done again from its recipe.

    python tests/retrain.py MODEL_FOLDER     writes first_steps.json into it: a digest of the weights after the first steps

Rows are read from CODEPRUNE_RUBY_DATA, the packages that the pre-training also reads from CODEPRUNE_RUBY_PACKAGES.
The bits depend on torch and on what the processor can do, so both are noted beside the digest.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import torch

from core import worker
from core.recipe import load_recipe, to_toml
from core.run.folder import RunPaths
from core.train.checkpoint import load_checkpoint
from core.train.session import Session

STEPS = 50
ROOT = Path(__file__).parent.parent
FILE = "first_steps.json"


def first_steps(recipe: Path, data: Path, folder: Path, code: Path | None = None) -> str:
    """Trains the first steps and returns the digest of all weights.

    Args:
        recipe: The model's recipe; its schedule stays as it is, the run is stopped on the way.
        data: Folder of the rows, wherever the recipe has it.
        folder: A new run folder.
        code: Folder of the further code that a pre-training reads; None for a recipe without.
    """
    asked = load_recipe(recipe)
    start = asked.model.path if asked.model.path == "new" else str(ROOT / asked.model.path)
    asked = asked.model_copy(
        update={
            "model": asked.model.model_copy(update={"path": start}),
            "data": asked.data.model_copy(update={"path": str(data), "code": "" if code is None else str(code)}),
            "training": asked.training.model_copy(update={"device": "cpu"}),
        }
    )
    paths = RunPaths(folder)
    paths.root.mkdir()
    paths.recipe.write_text(to_toml(asked), encoding="utf-8")
    original = Session.breathe

    def breathe(self: Session, number: int, step: int, save: object) -> None:
        if step == STEPS:
            self.control.stopping = "the first steps are done"
        original(self, number, step, save)  # type: ignore[arg-type]  # passed through

    Session.breathe = breathe  # type: ignore[method-assign]  # the worker reads it from the class
    try:
        assert worker.main([str(paths.root)]) == 0, paths.journal.read_text()[-2000:]
    finally:
        Session.breathe = original  # type: ignore[method-assign]
    checkpoint = load_checkpoint(paths.resume)
    assert checkpoint is not None
    assert checkpoint.facts["step"] == STEPS
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.tensors.items()):
        if name.startswith("weight/"):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def machine() -> dict[str, str]:
    """What the bits depend on, beside recipe and data."""
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    amx = "amx_bf16" if "amx_bf16" in flags else "no amx_bf16"
    return {"torch": torch.__version__.partition("+")[0], "cpu": f"{torch.backends.cpu.get_cpu_capability()}, {amx}"}


if __name__ == "__main__":
    model = Path(sys.argv[1])
    rows = Path(os.environ["CODEPRUNE_RUBY_DATA"])
    further = Path(os.environ["CODEPRUNE_RUBY_PACKAGES"]) if load_recipe(model / "recipe.toml").data.code else None
    with tempfile.TemporaryDirectory() as scratch:
        found = first_steps(model / "recipe.toml", rows, Path(scratch) / "first", further)
    (model / FILE).write_text(json.dumps({"steps": STEPS, "sha256": found, **machine()}, indent=1) + "\n")
