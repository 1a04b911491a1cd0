"""Several models by several quantizers: from the command to the table, the file and the curves that Compare shows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from test_quantize_ladder import DATA, Result, folder, run_cli
from test_shrink import without

from codeprune_tui.reports import grid as report
from codeprune_tui.runs.grids import GridReader, curves
from codeprune_tui.views.comparison import AXES, change, on_frontier, picture
from codeprune_tui.views.frontier import frontier
from codeprune_tui.widgets.comparetable import _about
from core.compress.masks import apply_masks, save_masks
from core.data import encode_for, subset
from core.errors import DataError
from core.evaluate import speed
from core.evaluate.speed import TOKENS
from core.model import MASKS, load_model, load_reader, save_model
from core.recipe import build_recipe
from core.run import results
from core.run.folder import RunPaths, create_run
from core.score.interval import Difference
from core.study.gridfile import NAME, Grid, read_grid, to_json, write_grid
from core.text.rows import load_rows

__all__ = ["folder", "run_cli"]  # fixtures
COMMON = [
    "--data",
    DATA,
    "--rows",
    "3",
    "--beam",
    "2",
    "--max-length",
    "6",
    "--threads",
    "1",
    "--device",
    "cpu",
    "--repeats",
    "1",
]
METHODS = ["fp32", "fp16", "dynamic-int8", "int8-weight"]


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> RunPaths:
    """A run of four rounds; from round 1 on a quarter of the heads and neurons is pruned whole, and some single weights."""
    paths = RunPaths(tmp_path / "checkpoints" / "mine")
    paths.rounds.mkdir(parents=True)
    paths.recipe.write_text("")
    for number in range(4):
        model, reader = load_model(folder), load_reader(folder)
        masks = without(model, {"encoder 0 heads": [0], "encoder 0 neurons": list(range(12))} if number else {})
        if number:
            masks["encoder.encoder.layer.1.output.dense.weight"][:, ::2] = False
        apply_masks(dict(model.named_parameters()), masks)
        save_model(model, reader, paths.round(number))
        save_masks(masks, paths.round(number) / MASKS)
        (paths.round(number) / "metrics.json").write_text(json.dumps({"round": number, "sparsity": 0.1 * number}))
    return paths


def test_the_frontier_is_what_no_other_beats_in_both() -> None:
    points = {"a": (1.0, 5.0), "b": (2.0, 6.0), "worse": (2.0, 5.5), "dear": (3.0, 6.0), "c": (4.0, 9.0), "twin": (4.0, 9.0)}
    assert frontier(points) == ["a", "b", "c", "twin"]
    assert frontier(dict[str, tuple[float, float]]()) == []


@pytest.mark.slow
def test_every_second_round_of_a_run_by_quantizer(run_cli: Callable[..., Result], run: RunPaths, tmp_path: Path) -> None:
    result = run_cli(
        "quantize",
        "checkpoints/mine",
        "--every",
        "2",
        "--split",
        "valid",
        "--methods",
        ",".join(METHODS),
        "-o",
        "g.json",
        *COMMON,
    )
    assert result.code == 0, result.err
    grid = read_grid(run.root / NAME)
    assert grid == read_grid(tmp_path / "g.json")
    assert str(tmp_path) not in (tmp_path / "g.json").read_text()
    assert [(model.label, model.round, model.sparsity) for model in grid.models] == [
        ("round 0", 0, 0.0), ("round 2", 2, 0.2), ("round 3", 3, 0.3),
    ]  # fmt: skip
    assert grid.command.endswith("--every 2")
    dense, pruned = grid.models[0], grid.models[1]
    assert [line.method for line in dense.methods] == METHODS
    assert dense.methods[0].splits["valid"].less_fp32 == {}
    assert pruned.methods[0].splits["valid"].less_fp32.keys() == set(dense.methods[0].splits["valid"].scores)
    assert (dense.dense, len(pruned.dense)) == ((), 2)
    once, before = pruned.methods[0].timings[0], pruned.dense[0]
    assert once.equal_tokens == before.equal_tokens == TOKENS
    assert once.equal_ms
    assert before.equal_ms
    assert grid.speed(pruned, pruned.methods[0]) == pytest.approx(before.equal_ms / once.equal_ms)
    assert grid.speed(dense, dense.methods[0]) == 1
    assert grid.speed(replace(pruned, dense=()), pruned.methods[0]) is None, "not timed beside: it is not one's own speed"
    # Kept values and bits are what a packed file of this round holds.
    load = load_model(run.round(2))
    masks = {name: mask for name, mask in _masks(run.round(2)).items() if not bool(mask.all())}
    save_model(load, None, tmp_path / "packed", packed=masks)
    bits = sum(-(-mask.numel() // 8) for mask in masks.values())
    assert pruned.methods[0].disk_bytes == sum(t.nbytes for t in load_file(tmp_path / "packed/model.safetensors").values()) + bits
    assert pruned.methods[0].saved_as
    assert not pruned.methods[3].saved_as
    lines = [line.split() for line in result.out.splitlines()]
    table = [line for line in lines if line[:2] == ["round", "2"] and line[2:5] == ["20", "%", "fp16"]]
    assert len(table) == 2, result.out
    assert "minus dense fp32" in result.out
    assert any(line[-1] in ("size", "time", "size,") for line in lines if line[:1] == ["round"])
    assert "fp16 and fp32 store the kept values and one bit a place" in result.out


def _masks(folder: Path) -> dict[str, torch.Tensor]:
    from core.compress.masks import load_masks

    return load_masks(folder / MASKS)


@pytest.mark.slow
def test_several_models_really_shrunk(run_cli: Callable[..., Result], run: RunPaths, folder: Path) -> None:
    arguments = ("quantize", str(folder), str(run.round(3)), "--split", "test", "--methods", "fp32", "--json", *COMMON)
    whole, small = (json.loads(run_cli(*arguments, *more).out) for more in ((), ("--shrunk",)))
    assert [model["label"] for model in whole["models"]] == ["tiny", "03"]
    assert not (run.root / NAME).exists(), "it is about one run alone"
    assert small["models"][0]["parameters"] == whole["models"][0]["parameters"]
    assert small["models"][1]["parameters"] < whole["models"][1]["parameters"]
    assert [model["shrunk"] for model in small["models"]] == [True, True]
    ours, theirs = (each["models"][1]["methods"][0]["splits"]["test"]["scores"] for each in (small, whole))
    assert ours == theirs  # a shrunk model writes what the masked one writes
    assert small["models"][1]["methods"][0]["disk_bytes"] < whole["models"][1]["methods"][0]["disk_bytes"]


@pytest.mark.slow
def test_a_smaller_vocabulary_is_timed_beside_dense_with_as_much_to_say(
    run_cli: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "TOKENS", 20)  # few merges are gone
    assert run_cli("shrink", str(folder), "-o", "small", "--vocabulary", DATA, "--entries", "264").code == 0
    result = run_cli("quantize", str(folder), "small", "--split", "test", "--methods", "fp32", "--json", *COMMON)
    _, small = json.loads(result.out)["models"]
    assert small["dense"][0]["equal_ms"] > 0
    own = small["methods"][0]["timings"][0]
    rows = load_rows(DATA, "test")
    encoded = [encode_for(load_model(path), load_reader(path), rows) for path in (folder, Path("small"))]
    chosen = subset(len(encoded[0].rows), 3, 0)
    before, now = (sum(map(len, each.take(chosen).targets)) for each in encoded)
    assert own["equal_tokens"] == round(20 * now / before) > 20, "it needs more of them for the same comments"


def test_refusals(run_cli: Callable[..., Result], run: RunPaths, folder: Path) -> None:
    assert "take one model, not several and no run" in " ".join(run_cli("quantize", str(run.root), "--explain").err.split())
    assert "for several models, or a run" in " ".join(run_cli("quantize", str(folder), "--every", "2").err.split())
    for number in range(4):
        (run.round(number) / "model.safetensors").unlink()
    assert "mine has no complete round with weights" in run_cli("quantize", str(run.root)).err


def grid_of(path: Path) -> Grid:
    """A grid with made-up numbers: three models, fp32 and INT8, which loses one point and is twice as fast at half the size.

    INT8 runs on, so that its comments as they are take longer, and so does a greedy step of it.
    """
    gap = {name: {"value": -1.0, "low": -1.5, "high": -0.5} for name in ("chrf", "bleu")}

    def line(method: str, chrf: float, size: int, ms: float) -> dict[str, object]:
        scores = {
            "scores": {"chrf": chrf, "bleu": 9.0, "corpus_bleu": 1.0, "rouge_l": 20.0},
            "same_comments": None,
            "seconds": 1.0,
        }
        timing = {
            "batch": 1,
            "comment_ms": 40 - 10 * ms,
            "token_ms": 4 - ms,
            "encode_ms": 1.0,
            "equal_ms": 8 * ms,
            "equal_tokens": 8,
        }
        split = {
            "valid": scores | {"less_fp32": {} if (method, size) == ("fp32", 4_000_000) else gap, "tokens": 9.0, "ended": 1.0}
        }
        return {"method": method, "does": "", "disk_bytes": size, "splits": split, "timings": [timing]}

    models = [
        {
            "model": f"checkpoints/first/rounds/0{number}", "label": f"round {number}", "round": number, "sparsity": 0.3 * number,
            "shrunk": False, "parameters": 1_000_000, "weights_sha256": "0",
            "methods": [
                line("fp32", 24.0 - number, 4_000_000 - 1_000_000 * number, 2.0),
                line("dynamic-int8", 23.0 - number, 2_000_000 - 500_000 * number, 1.0),
                {"method": "llm-int8", "does": "", "unavailable": "not installed"},
            ],
            "dense": [{"batch": 1, "comment_ms": 20.0, "token_ms": 2.0, "encode_ms": 1.0, "equal_ms": 16.0, "equal_tokens": 8}]
            if number else [],
        }
        for number in range(3)
    ]  # fmt: skip
    grid = {
        "data": "d", "command": "codeprune-tui quantize checkpoints/first", "recipe": {"beam": 10, "threads": 2}, "device": "cpu",
        "versions": {}, "rows": {"valid": 100}, "floors": {"valid": {"name": {"chrf": 16.7, "bleu": 13.16, "corpus_bleu": 0.8}}},
        "signatures": {"chrf": "s"}, "models": models,
    }  # fmt: skip
    path.write_text(json.dumps(grid))
    return read_grid(path)


def unequal(grid: Grid) -> Grid:
    """The same as an older version measured it, at no equal lengths."""
    facts = json.loads(to_json(grid))
    for model in facts["models"]:
        for timing in [*model["dense"], *(timing for line in model["methods"] for timing in line["timings"])]:
            del timing["equal_ms"], timing["equal_tokens"]
    return TypeAdapter(Grid).validate_python(facts)


def test_times_of_older_versions_are_those_of_comments_as_they_were(tmp_path: Path) -> None:
    old = unequal(grid_of(tmp_path / NAME))
    small = curves("first", old)["dynamic-int8 · first"][0]
    assert (small.ms_per_row, small.ms_per_token, small.decoded_on) == (30.0, 3.0, "cpu, 2 threads, beam 10, batch 1")
    assert old.speed(old.models[1], old.models[1].methods[1]) == pytest.approx(20 / 30)


def test_curves_are_quantizers_and_compare_with_dense_fp32(tmp_path: Path) -> None:
    by_method = curves("first", grid_of(tmp_path / NAME))
    assert list(by_method) == ["fp32 · first", "dynamic-int8 · first"]
    small = by_method["dynamic-int8 · first"]
    assert [(each.round, each.size_bytes, each.ms_per_token, each.ms_per_row) for each in small] == [
        (0, 2_000_000, 1.0, 8.0), (1, 1_500_000, 1.0, 8.0), (2, 1_000_000, 1.0, 8.0),
    ]  # fmt: skip
    assert small[0].label == "", "its round says it"
    assert small[0].decoded_on == "cpu, 2 threads, beam 10, batch 1, equal lengths"
    assert change(small[0], 24.0) == -1.0, "its own round 0 is not what it is compared with"
    drawn = picture(by_method, AXES["size"], "chrf")
    assert [(level.name, level.score) for level in drawn.dense] == [("dense", 24.0)]
    # fp32's round 1 has 3 MB and as much chrF as INT8's round 0 has with 2 MB.
    assert list(on_frontier(by_method, AXES["size"], "chrf")) == [
        ("dynamic-int8 · first", 2), ("dynamic-int8 · first", 1), ("dynamic-int8 · first", 0), ("fp32 · first", 0),
    ]  # fmt: skip
    assert drawn.frontier == ((1.0, 21.0), (1.5, 22.0), (2.0, 23.0), (4.0, 24.0))
    assert picture(by_method, AXES["sparsity"], "chrf").frontier == ()
    unsaved = by_method | {"dynamic-int8 · first": tuple(replace(each, size_bytes=None) for each in small)}
    assert picture(unsaved, AXES["size"], "chrf").note.startswith("dynamic-int8 · first cannot be drawn: no folder can hold")
    other = tuple(replace(each, decoded_on="elsewhere") for each in small)
    assert on_frontier(by_method | {"dynamic-int8 · first": other}, AXES["latency"], "chrf") == {}


def test_a_model_that_is_no_round_keeps_its_name(tmp_path: Path) -> None:
    grid = grid_of(tmp_path / NAME)
    several = replace(
        grid, models=tuple(replace(model, round=None, label=f"small\x1b{at}") for at, model in enumerate(grid.models))
    )
    second = curves("family", several)["dynamic-int8 · family"][1]
    assert (second.round, second.label) == (1, "small\x1b1")
    line = _about(second, "chrf", 160).plain
    assert line.startswith("small<1B>1 · 22.00")
    assert "8.00 ms/comment" in line


def test_grids_are_read_again_when_they_change(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "first")
    paths.root.mkdir()
    reader = GridReader()
    assert reader.poll({paths: ()}) == {}
    grid = grid_of(paths.root / NAME)
    assert list(reader.poll({paths: ()})) == ["fp32 · first", "dynamic-int8 · first"]
    write_grid(replace(grid, models=grid.models[:1]), paths.root / NAME)
    assert [len(results) for results in reader.poll({paths: ()}).values()] == [1, 1]
    write_grid(grid, tmp_path / "family-grid.json")
    assert [*reader.poll({paths: ()})][2:] == ["fp32 · family", "dynamic-int8 · family"]
    (paths.root / NAME).write_text("{}")
    assert [*reader.poll({paths: ()})] == ["fp32 · family", "dynamic-int8 · family"]
    with pytest.raises(DataError, match=r"cannot be read as a quantization grid.*quantize RUN -o FILE"):
        read_grid(paths.root / NAME)


def scored_run(checkpoints: Path, evaluation: dict[str, object]) -> tuple[RunPaths, results.Result]:
    """A run, and its dense round, which was scored on the rows of `grid_of` with its encoder off, too."""
    paths = create_run(checkpoints, "first", build_recipe({"evaluation": evaluation}))
    floors = {"name": {"chrf": 16.70004}, "encoder_off": {"chrf": 14.0}}  # a grid's are rounded
    less = {"chrf": Difference(10.0, 9.0, 11.0)}
    return paths, results.Result("first", 0, floors=floors, split="valid", rows=100, data="d1", dense_less=less)


def as_searched(path: Path) -> None:
    """Makes the grid of `grid_of` tell all of its search, as real ones do."""
    grid = grid_of(path)
    write_grid(replace(grid, recipe={**grid.recipe, "max_length": 64, "length_penalty": 0.0}), path)


def test_a_quantized_round_has_its_runs_score_with_the_encoder_off(tmp_path: Path) -> None:
    paths, dense = scored_run(tmp_path, {"beam": 10})
    as_searched(paths.root / NAME)
    as_searched(tmp_path / "family-grid.json")
    shown = GridReader().poll({paths: (dense,)})
    int8 = shown["dynamic-int8 · first"][1]
    assert (int8.floors["encoder_off"], int8.dense_less) == ({"chrf": 14.0}, dense.dense_less)
    assert "encoder off 14.00, dense minus it +10.00 (+9.00 to +11.00)" in _about(int8, "chrf", 300).plain
    other = shown["dynamic-int8 · family"][1]
    assert "encoder_off" not in other.floors, "models of any other folder have no run"
    assert "encoder off" not in _about(other, "chrf", 300).plain, "that nobody measured it would be a lie"


@pytest.mark.parametrize(
    "other",
    [{"rows": 200}, {"split": "test"}, {"floors": {"name": {"chrf": 16.8}, "encoder_off": {"chrf": 14.0}}},
     {"floors": {"encoder_off": {"chrf": 14.0}}}],
)  # fmt: skip
def test_scores_of_other_rows_are_nobodys_floor(tmp_path: Path, other: dict[str, object]) -> None:
    paths, dense = scored_run(tmp_path, {"beam": 10})
    as_searched(paths.root / NAME)
    shown = GridReader().poll({paths: (replace(dense, **other),)})  # type: ignore[arg-type]
    assert not any("encoder_off" in result.floors for result in shown["fp32 · first"])


@pytest.mark.parametrize("evaluation", [{"beam": 4}, {"max_length": 32}, {"length_penalty": 1.0}])
def test_scores_of_another_search_are_nobodys_floor(tmp_path: Path, evaluation: dict[str, object]) -> None:
    paths, dense = scored_run(tmp_path, evaluation)
    as_searched(paths.root / NAME)
    shown = GridReader().poll({paths: (dense,)})
    assert not any("encoder_off" in result.floors or result.dense_less for result in shown["fp32 · first"])


def test_tables_say_what_is_missing_and_what_is_on_the_frontier(tmp_path: Path) -> None:
    text = report.tables(grid_of(tmp_path / NAME))
    assert "llm-int8: not installed" in text
    costs = [line for line in text.split("costs")[1].splitlines() if line.startswith("round")]
    assert [line.split("×")[1].strip() for line in costs] == ["size, time", "size, time", "", "size", "", "size"]
    assert costs[1].split()[-7:-1] == ["30.00", "8.00", "1.00", "2.00", "×", "size,"], costs[1]
    assert "1.00 ×" in costs[0]
    assert "of comments of 8 tokens, which no model may end" in text
    assert "of comments of" not in report.tables(unequal(grid_of(tmp_path / NAME)))
    assert "floor: the method's name" in text
