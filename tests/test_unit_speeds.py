"""What New run says beforehand of a shrunk model's size and speed, from what units cost in an earlier run."""

import json
import math
import os
from pathlib import Path

import pytest

from codeprune_tui.runs import client, cost_text
from codeprune_tui.runs.costing import work_out
from codeprune_tui.runs.unit_speeds import foresee
from core.compress.latency import Latency
from core.recipe import Recipe, build_recipe, to_toml
from core.run.folder import RunPaths
from core.spec import sizes
from core.study.timings import Timings

MINI = str(Path(__file__).parent.parent / "checkpoints" / "bundled" / "ruby-mini")
FASTER: dict[str, object] = {
    "unit": "head+neuron", "scope": "global", "budget": "latency", "speedup": 2.0, "prunable": "all", "rounds": 2, "shrink": True,
}  # fmt: skip
ALIKE = {**FASTER, "budget": "uniform", "final_sparsity": 0.5}
HERE = "this-host"


def recipe(pruning: dict[str, object], **sections: dict[str, object]) -> Recipe:
    return client.anchored(build_recipe({"model": {"path": MINI}, "pruning": pruning, **sections}))


def of_mini() -> Latency:
    """A table of ruby-mini's sizes: 6 encoder layers cost 0.3, 2 decoder layers 0.6, the rest 0.1."""
    costs = {"heads_by_layer": {12: 0.02}, "neurons_by_layer": {1536: 0.03}, "decoder_heads_by_layer": {12: 0.05}}
    costs |= {"cross_heads_by_layer": {12: 0.05}, "decoder_neurons_by_layer": {1536: 0.2}}
    return Latency("cpu", 1, 10, 16, 80, 12, 5.0, 0.1, costs)


def measured(checkpoints: Path, name: str, of: Recipe, known: Latency | None = None, host: str = HERE) -> RunPaths:
    """A run that has measured what units cost."""
    paths = RunPaths(checkpoints / name)
    paths.root.mkdir(parents=True)
    paths.recipe.write_text(to_toml(of))
    paths.meta.write_text(json.dumps({"host": host}))
    paths.latency.write_text(json.dumps((known or of_mini()).facts()))
    return paths


def text(of: Recipe, checkpoints: Path) -> str:
    return dict(cost_text.parts(of, work_out(of, checkpoints, Timings(checkpoints, HERE))))["shrunk model"]


def test_size_and_speed_are_foreseen_from_an_earlier_run(tmp_path: Path) -> None:
    measured(tmp_path, "earlier", recipe(FASTER))
    half = recipe(ALIKE)
    assert text(half, tmp_path) == (
        "about 11.5 of 19.1 million weights (60 %), about 1.8 × as fast as dense, by what units cost at batch 16 in earlier"
    )  # all but a tenth of the time is halved: 1 / 0.55
    tensors = sizes.of_recipe(half)
    assert tensors
    foreseen = foresee(recipe(FASTER), tensors, tmp_path, HERE)
    assert foreseen is not None
    assert foreseen.speed == pytest.approx(2.0, rel=0.05)
    assert foreseen.speed >= 2.0
    assert text(recipe(FASTER), tmp_path).startswith("2 × as fast as dense, about 10.")
    encoder = recipe({**ALIKE, "prunable": "encoder", "unit": "head"})
    assert "about 1.1 × as fast" in text(encoder, tmp_path)  # 1 / 0.94
    assert text(recipe({**FASTER, "speedup": 50.0}), tmp_path).startswith("at most 10.00 × as fast as dense, without any")


def test_what_was_not_measured_is_not_foreseen(tmp_path: Path) -> None:
    assert text(recipe(ALIKE), tmp_path).endswith("million weights (60 %); how fast it is will be measured at the end")
    assert text(recipe(FASTER), tmp_path) == "2 × as fast as dense; its size is known once the run has measured what units cost"
    measured(tmp_path, "elsewhere", recipe(FASTER), host="another")
    measured(tmp_path, "narrow", recipe(FASTER, evaluation={"beam": 3}))
    measured(tmp_path, "threads", recipe(FASTER, training={"threads": 7}))
    measured(tmp_path, "fewer", recipe({**FASTER, "unit": "head+neuron+vocabulary", "entries": 4000}))
    damaged = measured(tmp_path, "damaged", recipe(FASTER))
    damaged.latency.write_text('{"costs": 3}')
    for number, (key, value) in enumerate([("rest", math.nan), ("rest", "x"), ("batch", "\x1b[2J"), ("costs", {}), ("rest", -9)]):
        spoiled = measured(tmp_path, f"spoiled-{number}", recipe(FASTER))
        spoiled.latency.write_text(json.dumps({**of_mini().facts(), key: value}))
    assert "known once" in text(recipe(FASTER), tmp_path)
    old = measured(tmp_path, "old", recipe(FASTER))
    os.utime(old.latency, (1, 1))
    assert text(recipe(ALIKE), tmp_path).endswith("in old"), "the damaged ones are newer, and passed over"
    assert "measured at the end" in text(recipe({**ALIKE, "unit": "layer"}), tmp_path)
