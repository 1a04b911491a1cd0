"""The first steps of a bundled model's training, done again from its recipe.

    python tests/retrain.py RECIPE START ROWS

writes first_steps.json beside the recipe: a digest of the weights after the first steps.
START is the folder of the model that the training begins from, ROWS the folder of its rows.
The bits depend on torch and on what the processor can do, so both are noted beside the digest.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import torch

from core import worker
from core.recipe import load_recipe, to_toml
from core.run.folder import RunPaths
from core.train.checkpoint import load_checkpoint
from core.train.session import Session

STEPS = 5
FILE = "first_steps.json"


def first_steps(recipe: Path, start: Path, data: Path, folder: Path) -> str:
    """Trains the first steps and returns the digest of all weights.

    Args:
        recipe: The model's recipe; its schedule stays as it is, the run is stopped on the way.
        start: The model it begins from, wherever the recipe has it.
        data: Folder of the rows, wherever the recipe has it.
        folder: A new run folder.
    """
    repeated = load_recipe(recipe)
    repeated = repeated.model_copy(
        update={
            "model": repeated.model.model_copy(update={"path": str(start)}),
            "data": repeated.data.model_copy(update={"path": str(data)}),
            "training": repeated.training.model_copy(update={"device": "cpu"}),
        }
    )
    paths = RunPaths(folder)
    paths.root.mkdir()
    paths.recipe.write_text(to_toml(repeated), encoding="utf-8")
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
    recipe, start, rows = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        digest = first_steps(recipe, start.resolve(), rows.resolve(), Path(scratch) / "first")
    (recipe.parent / FILE).write_text(json.dumps({"steps": STEPS, "sha256": digest, **machine()}, indent=1) + "\n")
