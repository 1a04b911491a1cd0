"""A budget of time: the knapsack against trying everything, the table against a known clock, a run that keeps its promise."""

import itertools
import json
import shutil
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lottery import Make, make, of, run  # noqa: F401 - `make` is a fixture
from test_model import small_model

from codeprune_tui.runs import cost_text
from core import worker
from core.compress.criteria import CRITERIA
from core.compress.latency import Latency, TimeBudget, counts_within
from core.compress.shrink import plan
from core.compress.unitmasks import keep_fast_units, unit_blocks
from core.errors import ModelError, RecipeError
from core.evaluate import latency, speed
from core.evaluate.speed import Entrant
from core.families.units import Block, blocks
from core.model import load_model
from core.provenance import processor
from core.recipe import build_recipe
from core.run.events import Failed, Measuring, Pruned, RoundFinished, RoundStarted, Shrunk
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.spec.schedule import speedups

SPEEDY: dict[str, object] = {
    "unit": "head+neuron", "scope": "global", "budget": "latency", "speedup": 1.5, "prunable": "all", "rounds": 2, "shrink": True,
}  # fmt: skip


def table(**changes: object) -> Latency:
    costs = {"heads_by_layer": {1: 0.02, 4: 0.05}, "neurons_by_layer": {12: 0.05, 48: 0.1}}
    costs |= {"decoder_heads_by_layer": {4: 0.04}, "cross_heads_by_layer": {4: 0.06}, "decoder_neurons_by_layer": {64: 0.1}}
    about = {"device": "cpu", "threads": 1, "beam": 4, "batch": 2, "source_length": 9, "tokens": 8, "dense_ms": 5.0}
    return Latency(**{**about, "rest": 0.3, "costs": costs, **changes})  # type: ignore[arg-type]  # of their types


def test_costs_between_measured_numbers_lie_on_a_line() -> None:
    assert [table().cost("heads_by_layer", count) for count in (0, 1, 2, 4, 9)] == pytest.approx([0, 0.02, 0.03, 0.05, 0.05])
    own = [(block.field, block.count) for block in blocks(small_model().config.sizes)]
    assert table().share(own) == pytest.approx(1.0)
    assert Latency.of(json.loads(json.dumps(table().facts()))) == table()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(1.05, 3.0))
def test_the_least_is_lost_that_reaches_the_speed(seed: int, speedup: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    own = [block for block in blocks(small_model().config.sizes) if block.kind == "head" and block.part == "encoder"]
    own += [block for block in blocks(small_model().config.sizes) if block.field == "cross_heads_by_layer"]
    others = [block for block in blocks(small_model().config.sizes) if block not in own]
    losses = [[0.0, *torch.rand(block.count, generator=generator).sort().values.cumsum(0).tolist()] for block in own]
    one, four = (torch.rand(2, generator=generator) for _ in range(2))
    costs = {block.field: {1: float(one[0]) / 20, 4: 0.05 + float(four[0]) / 10} for block in own}
    cheap = {block.field: {64: 0.01} for block in others}
    known = table(rest=0.2, costs={**cheap, **costs})

    def share(counts: tuple[int, ...]) -> float:
        pairs = [(block.field, count) for block, count in zip(own, counts, strict=True)]
        return known.share(pairs + [(block.field, block.count) for block in others])

    def lost(counts: tuple[int, ...]) -> float:
        return sum(loss[block.count - count] for block, loss, count in zip(own, losses, counts, strict=True))

    every = [counts for counts in itertools.product(range(5), repeat=len(own)) if share(counts) <= 1 / speedup]
    if not every:
        with pytest.raises(ModelError, match="Without any of the units that may go"):
            counts_within(own, losses, others, TimeBudget(known, speedup))
        return
    counts = tuple(counts_within(own, losses, others, TimeBudget(known, speedup)))
    assert share(counts) <= 1 / speedup + 1e-9
    nearly = [counts for counts in every if share(counts) <= 1 / speedup - len(own) / 4000]  # what rounding up may forbid
    assert lost(counts) <= min(map(lost, nearly), default=float("inf")) + 1e-9


def test_masks_reach_the_speed_keep_what_is_pruned_and_lose_the_lowest() -> None:
    model = small_model()
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    own, every = unit_blocks(model.config, "all", "head+neuron"), blocks(model.config.sizes)
    before, shares = {}, []
    for speedup in (1.2, 1.6, 2.4):
        masks = keep_fast_units(weights, before, own, CRITERIA["magnitude"](0), every, TimeBudget(table(), speedup))
        assert all(not bool((masks[name] & ~mask).any()) for name, mask in before.items())
        small = plan(model.config, masks).config
        shares.append(table().share([(block.field, block.count) for block in blocks(small.sizes)]))
        assert 1 / speedup - 0.06 <= shares[-1] <= 1 / speedup + 1e-9
        before = masks


def test_the_table_takes_times_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every unit costs a known time in its layer, whatever the others do."""
    model, each = small_model(), {"heads_by_layer": 2.0, "neurons_by_layer": 0.25, "decoder_heads_by_layer": 3.0}
    each |= {"cross_heads_by_layer": 1.0, "decoder_neurons_by_layer": 0.5}
    now = 0.0

    def decode(timed: object, *_: object) -> None:
        nonlocal now
        now += 10 + sum(each[block.field] * block.count for block in blocks(timed.config.sizes))  # type: ignore[attr-defined]

    monkeypatch.setattr(speed, "search_all", decode)
    whole = Entrant(model, [[0, 5, 2]] * 4, 8)
    known = latency.measure(whole, 2, 4, repeats=2, clock=lambda: now)
    total = 10 + sum(each[block.field] * block.count for block in blocks(model.config.sizes))
    assert known.rest == pytest.approx(10 / total)
    for block in blocks(model.config.sizes):
        assert known.cost(block.field, block.count // 2) == pytest.approx(each[block.field] * (block.count // 2) / total)
    assert known.share([(block.field, block.count) for block in blocks(model.config.sizes)]) == pytest.approx(1.0)
    assert known.dense_ms == pytest.approx(1000 * total / 4)
    assert (known.device, known.threads) == (f"cpu, {processor()}", torch.get_num_threads())
    slower = Entrant(small_model(num_hidden_layers=4), whole.sources, 8)  # as if entries of the vocabulary had cost so much
    again = latency.measure(whole, 2, 4, slower, repeats=2, clock=lambda: now)
    dense = total + sum(each[block.field] * block.count for block in blocks(slower.model.config.sizes)[:4])
    assert again.dense_ms == pytest.approx(1000 * dense / 4)
    assert again.rest == pytest.approx(10 / dense)
    assert again.share([(block.field, block.count) for block in blocks(model.config.sizes)]) == pytest.approx(total / dense)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The arguments of every measurement; each takes no time and finds the same table."""
    calls: list[tuple[object, ...]] = []

    def measure(*arguments: object, tell: Callable[[int, int], None]) -> Latency:
        calls.append(arguments)
        tell(1, 1)
        heads = {field: {2: 0.1} for field in table().costs if "heads" in field}
        return table(costs={**table().costs, **heads, "decoder_neurons_by_layer": {48: 0.2}}, rest=0.1, batch=16)

    monkeypatch.setattr("core.train.timetable.measure", measure)
    return calls


def test_a_run_measures_once_and_keeps_its_promise(make: Make, measured: list[tuple[object, ...]]) -> None:  # noqa: F811
    paths = make(pruning=SPEEDY)
    events = run(paths)
    assert len(measured) == 1
    assert measured[0][1:] == (2, 16, None)  # beam and batch of the recipe
    assert len(of(Measuring, events)) == 1
    known = Latency.of(json.loads(paths.latency.read_text()))
    small = load_model(paths.shrunk).config
    (shrunk,) = of(Shrunk, events)
    assert isinstance(shrunk, Shrunk)
    share = known.share([(block.field, block.count) for block in blocks(small.sizes)])
    assert shrunk.promised == pytest.approx(1 / share, abs=1e-3)
    assert shrunk.promised >= 1.5
    assert (shrunk.promised_batch, "16" in shrunk.speedup) == (16, True)
    begun, finished = ([what.sparsity for what in of(kind, events)] for kind in (RoundStarted, RoundFinished))  # type: ignore[attr-defined]
    assert begun[1:] == finished[:-1], "a speed says nothing of sparsity"
    kept = [what.kept for what in of(Pruned, events) if isinstance(what, Pruned)]
    assert kept[0] > kept[1]
    paths.latency.write_text("{}")
    for folder in (paths.round(2), paths.resume):
        shutil.rmtree(folder)
    assert worker.main([str(paths.root)]) == 6
    assert "latency.json is damaged" in problem_of(paths)


def test_a_speed_that_cannot_be_reached_ends_the_run(make: Make, measured: list[tuple[object, ...]]) -> None:  # noqa: F811
    paths = make(pruning={**SPEEDY, "speedup": 90.0, "rounds": 1})
    assert worker.main([str(paths.root)]) == 5
    assert len(measured) == 1
    assert "× as fast here, not 90 ×" in problem_of(paths)


def problem_of(paths: RunPaths) -> str:
    """Why a run failed."""
    return [event.what for event in read_journal(paths.journal) if isinstance(event.what, Failed)][-1].problem


@pytest.mark.parametrize(
    "changes", [{"unit": "weight", "shrink": False}, {"scope": "layerwise"}, {"unit": "layer"}, {"gradual_every": 5}]
)
def test_recipes_that_cannot_be(changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe({"pruning": {**SPEEDY, **changes}})
    assert 'pruning.budget = "latency"' in caught.value.problem


def test_the_time_that_goes_grows_over_the_rounds_as_sparsity_does() -> None:
    recipe = build_recipe({"pruning": {**SPEEDY, "speedup": 4.0, "rounds": 3}})
    assert speedups(recipe) == pytest.approx((1.0, 4 / 3, 2.0, 4.0))
    (heading, text), *_ = cost_text.parts(recipe, None)
    assert (heading, text) == ("speed by round", "1.00 → 1.33 → 2.00 → 4.00 × dense")


def test_every_kind_of_block_has_a_cost() -> None:
    own = blocks(small_model().config.sizes)
    assert all(isinstance(block, Block) for block in own)
    assert {block.field for block in own} == table().costs.keys()
