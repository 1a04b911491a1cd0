"""A run that prunes whole units: masks of weights all along, killed and resumed with the same bits, shrunk at its end."""

import shutil
from pathlib import Path

import pytest
from test_lottery import Make, make, new_run, of, run  # noqa: F401 - `make` is a fixture
from test_resume import figures, outcome
from workers import run as work

from codeprune_tui.views.text import sentence
from core.compress.masks import load_masks, sparsity_of
from core.compress.shrink import plan
from core.decode import search_all
from core.evaluate.evaluate import evaluate_model
from core.evaluate.speed import Entrant, compare, endless
from core.model import load_model
from core.recipe import Evaluation, Search
from core.run.events import Event, Pruned, RoundFinished, RunFinished, Shrunk, Warned

HEADS: dict[str, object] = {"unit": "head", "scope": "layerwise", "rounds": 1, "final_sparsity": 0.5, "shrink": True}
MIXED: dict[str, object] = {
    "unit": "head+neuron", "scope": "global", "prunable": "all", "rounds": 2, "final_sparsity": 0.6, "shrink": True,
}  # fmt: skip
DATA = str(Path(__file__).parent.parent / "checkpoints" / "bundled" / "demo-ruby")
MINI = Path(__file__).parent.parent / "checkpoints" / "bundled" / "ruby-mini"


@pytest.mark.parametrize("pruning", [HEADS, MIXED], ids=["heads of the encoder", "heads and neurons everywhere"])
def test_a_run_ends_smaller(make: Make, pruning: dict[str, object]) -> None:  # noqa: F811
    paths = make(pruning=pruning)
    events = run(paths)
    rounds = int(str(pruning["rounds"]))
    last, masks = load_model(paths.round(rounds)), load_masks(paths.round(rounds) / "masks.safetensors")
    assert not any("pooler" in name for name in masks), "no unit holds it"
    finished = of(RoundFinished, events)[-1]
    assert isinstance(finished, RoundFinished)
    assert finished.sparsity == pytest.approx(sparsity_of(masks))
    assert finished.sparsity == pytest.approx(float(str(pruning["final_sparsity"])), abs=0.05)
    weights = dict(last.named_parameters())
    assert all(not bool(weights[name][~mask].any()) for name, mask in masks.items())
    kept = plan(last.config, masks).kept
    pruned = of(Pruned, events)[-1]
    assert isinstance(pruned, Pruned)
    assert {(name, each.kept) for name, each in pruned.unit_scores.items()} <= {(name, left) for name, (left, _) in kept.items()}
    assert all(each.kept_scores or not each.kept for each in pruned.unit_scores.values())
    (shrunk,) = of(Shrunk, events)
    assert isinstance(shrunk, Shrunk)
    assert shrunk.heads == tuple(map(sum, zip(*(pair for name, pair in kept.items() if "heads" in name), strict=True)))
    small = load_model(paths.shrunk)
    assert shrunk.parameters[1] == sum(weight.numel() for weight in small.parameters()) < shrunk.parameters[0]
    assert shrunk.speedup.keys() == {"1", "16"}
    assert "heads and" in sentence(Event(1, 1.0, shrunk))
    scored = Evaluation(rows=8, beam=2, max_length=12)
    one, other = (
        evaluate_model(str(place), DATA, scored, device="cpu", threads=1) for place in (paths.shrunk, paths.round(rounds))
    )
    assert one.predictions == other.predictions
    before = (paths.shrunk / "model.safetensors").read_bytes()
    for folder in (paths.round(rounds), paths.resume):
        shutil.rmtree(folder)
    (paths.shrunk / "model.safetensors").write_bytes(b"of a round that is done again")
    run(paths)
    assert (paths.shrunk / "model.safetensors").read_bytes() == before


def test_a_run_of_which_nothing_can_be_removed_says_so(make: Make) -> None:  # noqa: F811
    paths = make(pruning={**HEADS, "final_sparsity": 0.1})
    events = run(paths)
    assert not paths.shrunk.exists()
    assert any("No shrunk model is written" in what.message for what in of(Warned, events) if isinstance(what, Warned))
    assert isinstance(events[-1].what, RunFinished)


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = new_run(tmp_path, "whole", pruning=MIXED)
    assert work([{"run": str(whole.root)}]) == [0]
    deaths = {
        "pruning": {"call": "core.compress.selection:keep_units", "nth": 2, "when": "before"},
        "pruned": {"event": "pruned", "nth": 1, "when": "after"},
        "shrinking": {"event": "shrunk", "nth": 1, "when": "before"},
        "shrunk, not renamed": {"event": "shrunk", "nth": 1, "when": "after"},
    }
    for name, death in deaths.items():
        paths = new_run(tmp_path, name, pruning=MIXED)
        assert work([{"run": str(paths.root), "die": death}, {"run": str(paths.root)}]) == [-9, 0], name
        assert {**outcome(paths.root), "figures": figures(paths.root)} == {**outcome(whole.root), "figures": figures(whole.root)}
        for file in ("model.safetensors", "config.json"):
            assert (paths.shrunk / file).read_bytes() == (whole.shrunk / file).read_bytes(), name
        assert not list(paths.root.glob("shrunk.*"))


def test_planned_and_reached_sparsity_are_those_of_the_units(make: Make) -> None:  # noqa: F811
    paths = make(pruning={"unit": "layer", "scope": "global", "rounds": 1, "final_sparsity": 0.5, "prunable": "all"})
    (pruned,) = of(Pruned, run(paths))
    assert isinstance(pruned, Pruned)
    kept = plan(load_model(paths.round(1)).config, load_masks(paths.round(1) / "masks.safetensors")).kept
    assert {left in (0, all_) for left, all_ in kept.values()} == {True}
    assert any(left == 0 for left, _ in kept.values())


def test_every_model_writes_equally_many_tokens() -> None:
    model = load_model(MINI)
    sources = [[0, *range(100, 110), 2], [0, *range(200, 205), 2]]
    before = search_all(model, sources, Search(beam=3, max_length=9))
    with endless(model):
        assert all(len(best[0].tokens) == 9 for best in search_all(model, sources, Search(beam=3, max_length=9)))
    assert search_all(model, sources, Search(beam=3, max_length=9)) == before


def test_speeds_are_medians_over_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models in turns, with a clock that says how long each took; the first turn does not count."""
    times: dict[str, list[float]] = {"dense": [9, 2, 4, 6], "small": [9, 1, 1, 2]}
    ticks = iter([tick for a, b in zip(*times.values(), strict=True) for tick in (0.0, a, 0.0, b)])
    model = load_model(MINI)
    monkeypatch.setattr("core.evaluate.speed.search_all", lambda *_: None)
    (speeds,) = compare(
        dict.fromkeys(("dense", "small"), Entrant(model, [[0, 5, 2]] * 4)), 1, (2,), repeats=3, clock=lambda: next(ticks)
    )
    assert speeds.ms == {"dense": 1000.0, "small": 250.0}
    assert speeds.ratios == {"dense": 1.0, "small": 3.0}
