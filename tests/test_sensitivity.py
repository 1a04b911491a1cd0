"""One-shot sensitivity on a tiny model and real Ruby: counts, weights put back, nothing measured twice, and where it is shown."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from app_runs import LARGE, SMALL, make_run, opened, until_shown, whole_run, with_figures
from test_model import small_model
from test_quantize_ladder import DATA, Result
from test_quantize_ladder import folder as folder
from test_quantize_ladder import run_cli as run_cli

from codeprune_tui.runs.matrix_costs import find
from core.compress.criteria import CRITERIA
from core.compress.masks import Masks
from core.data import Encoded, encode_for
from core.errors import DataError, ModelError
from core.evaluate import sensitivity as engine
from core.evaluate.calibration import drawn, load_drawn
from core.evaluate.evaluate import floors_of, load_for_evaluation
from core.evaluate.sensitivity import (
    Ground,
    by_matrix,
    by_sparsity,
    measure_before,
    measure_cells,
    measure_off,
    pruned,
    share_before,
)
from core.model import load_model, save_model
from core.recipe import Evaluation
from core.run.events import Happening
from core.run.folder import RunPaths
from core.score.interval import Difference
from core.score.significance import paired_bootstrap
from core.study.sensitivityfile import NAME, Cell, Sensitivity, Wish, check_fits, read_sensitivity, write_sensitivity
from core.text.rows import load_rows

QUERY = "encoder.encoder.layer.0.attention.self.query.weight"
FIRST = ("--data", DATA, "--rows", "4", "--beam", "2", "--max-length", "6", "--threads", "1", "--device", "cpu")


@pytest.fixture
def ground(folder: Path) -> Ground:
    settings = Evaluation(rows=5, beam=2, max_length=8, batch_size=2)
    model, reader, encoded = load_for_evaluation(str(folder), DATA, settings, device="cpu", threads=1)
    return Ground(model, reader, encoded, settings, floors_of(encoded.rows), {})


def beginning(ground: Ground, **other: object) -> Sensitivity:
    before = measure_before(ground, lambda done: None)
    fields = {"model": "tiny", "data": "demo", "command": "c", "settings": {"rows": 5}, "weights_sha256": "abc", "sparsity": 0.0}
    more = {"rows": len(ground.encoded.rows), "threads": 1, "versions": {}, "floors": {}, "signatures": {}, "before": before}
    return Sensitivity(**{**fields, **more, **other})  # type: ignore[arg-type]


def weights(ground: Ground) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in ground.model.state_dict().items()}


def masks_of(ground: Ground, wish: Wish, seed: int) -> Masks:
    with pruned(ground, wish, seed) as masks:
        return masks


def test_every_weight_is_put_back_bit_by_bit_whatever_happens(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    before, known = weights(ground), beginning(ground)
    wishes = [
        *by_sparsity(["magnitude", "random"], "global", "all", [0.5, 1.0]),
        *by_matrix(ground.model, ["random"], "global", "all", 0.5),
    ]
    measure_cells(ground, known, wishes, 0)
    assert all(torch.equal(weight, before[name]) for name, weight in weights(ground).items())

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "_evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_cells(ground, known, wishes, 0)
    with pytest.raises(KeyboardInterrupt):
        measure_off(ground, known, lambda done: None)
    assert all(torch.equal(weight, before[name]) for name, weight in weights(ground).items())
    assert not ground.model.encoder_off


def test_exactly_the_lowest_are_gone_while_it_is_measured(ground: Ground) -> None:
    named = dict(ground.model.named_parameters())
    for sparsity in (0.25, 0.5):
        masks = masks_of(ground, Wish("magnitude", "global", "encoder", sparsity), 0)
        total = sum(mask.numel() for mask in masks.values())
        assert sum(int((~mask).sum()) for mask in masks.values()) == round(sparsity * total)
        gone = torch.cat([named[name].detach()[~mask].abs() for name, mask in masks.items()])
        left = torch.cat([named[name].detach()[mask].abs() for name, mask in masks.items()])
        assert gone.max() <= left.min()
        with pruned(ground, Wish("magnitude", "global", "encoder", sparsity), 0):
            assert all(not named[name][~mask].any() for name, mask in masks.items())
    lone = masks_of(ground, Wish("magnitude", "global", "encoder", 0.5, QUERY), 0)
    assert list(lone) == [QUERY]
    assert int((~lone[QUERY]).sum()) == round(0.5 * lone[QUERY].numel())


def test_random_pruning_follows_its_seed_and_what_was_pruned_stays_pruned(ground: Ground) -> None:
    few, many = (masks_of(ground, Wish("random", "global", "encoder", sparsity), 7) for sparsity in (0.4, 0.6))
    again, other = (masks_of(ground, Wish("random", "global", "encoder", 0.4), seed)[QUERY] for seed in (7, 8))
    assert torch.equal(few[QUERY], again)
    assert not torch.equal(few[QUERY], other)
    assert not (many[QUERY] & ~few[QUERY]).any()
    old = replace(ground, masks=few)
    assert all(
        torch.equal(mask, few[name]) for name, mask in masks_of(old, Wish("magnitude", "global", "encoder", 0.2), 0).items()
    )


def test_a_loss_is_the_paired_bootstrap_of_both_sets_of_comments(ground: Ground) -> None:
    wish = Wish("magnitude", "layerwise", "all", 0.9)
    known = beginning(ground)
    (cell,) = measure_cells(ground, known, [wish], 0).cells
    with pruned(ground, wish, 0):
        after = measure_before(ground, lambda done: None)
    expected = paired_bootstrap(known.before.texts, after.texts, [row.target for row in ground.encoded.rows])
    assert cell.loss == expected
    assert (cell.scores, cell.mean_tokens, cell.ended) == (after.scores, after.mean_tokens, after.ended)
    assert after.texts != known.before.texts
    nothing = measure_cells(ground, known, [Wish("magnitude", "global", "encoder", 0.5, "encoder.pooler.dense.weight")], 0)
    assert nothing.cells[0].loss["chrf"] == Difference(0.0, 0.0, 0.0)  # nothing reads the pooler
    assert 0 <= cell.ended <= 1
    assert 1 <= cell.mean_tokens <= 8


def test_broken_off_and_gone_on_with_is_the_same_and_measures_nothing_twice(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = by_sparsity(["magnitude", "random"], "global", "encoder", [0.5, 0.9])
    known = beginning(ground)
    whole = measure_cells(ground, known, wishes, 0)
    kept: list[Sensitivity] = []
    real, calls = engine._evaluate, 0

    def evaluate(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        measure_cells(ground, known, wishes, 0, kept.append)
    assert [len(each.cells) for each in kept] == [1, 2]
    after = measure_cells(ground, kept[-1], wishes, 0)
    assert calls == 3 + 2
    assert [replace(cell, seconds=0.0) for cell in after.cells] == [replace(cell, seconds=0.0) for cell in whole.cells]
    assert measure_cells(ground, after, wishes, 0) is after


def test_a_file_says_what_it_is_about_and_takes_nothing_else(ground: Ground, tmp_path: Path) -> None:
    measured, path = (
        measure_cells(ground, beginning(ground), by_matrix(ground.model, ["magnitude"], "global", "all", 0.5), 0),
        tmp_path / NAME,
    )
    write_sensitivity(measured, path)
    assert read_sensitivity(path) == measured
    assert json.loads(path.read_text())["schema"] == 1
    check_fits(measured, "abc", {"rows": 5}, path)
    with pytest.raises(DataError, match="about a model with other weights"):
        check_fits(measured, "abd", {"rows": 5}, path)
    with pytest.raises(DataError, match="measured in another way: rows 5, now 6; beam None, now 2"):
        check_fits(measured, "abc", {"rows": 6, "beam": 2}, path)
    for text in ("{", "[]", json.dumps({**json.loads(path.read_text()), "schema": 2}), json.dumps({"kind": "x"})):
        path.write_text(text)
        with pytest.raises(DataError, match="cannot be read as a file of one-shot sensitivity"):
            read_sensitivity(path)


def test_the_fullest_group_of_matrices_is_shown(ground: Ground) -> None:
    measured = beginning(ground)
    wishes = [
        *by_matrix(ground.model, ["random", "magnitude"], "global", "encoder", 0.5),
        Wish("magnitude", "global", "encoder", 0.3, QUERY),
    ]
    cells = tuple(Cell({}, 1.0, 1.0, 0.0, {}, wish) for wish in wishes)
    shown_cells = replace(measured, cells=cells).by_matrix()
    assert {(cell.wish.criterion, cell.wish.sparsity) for cell in shown_cells.values() if cell.wish} == {("magnitude", 0.5)}
    assert len(shown_cells) == 13
    assert measured.by_matrix() == {}


def test_a_quantized_model_is_refused() -> None:
    model = small_model()
    model.config.quantization = "int8-weight"
    with pytest.raises(ModelError, match="mine is quantized"):
        engine.refuse_quantized(model, "mine")


def test_other_rows_have_another_digest(ground: Ground) -> None:
    rows = ground.encoded
    assert engine.rows_digest(rows) == engine.rows_digest(Encoded(rows.sources, rows.targets, rows.rows))
    assert engine.rows_digest(rows) != engine.rows_digest(rows.take(range(4)))


# --- the command


def test_the_command_prints_and_keeps(run_cli: Callable[..., Result], folder: Path) -> None:
    result = run_cli("sensitivity", str(folder), *FIRST, "--sparsities", "50,90", "--criteria", "magnitude")
    assert result.code == 0, result.err
    for text in (
        "as it is",
        "encoder off",
        "floor: the method's name",
        "floor: a constant sentence",
        "ended",
        "Nothing was trained.",
    ):
        assert text in result.out
    assert result.out.count("magnitude, global, encoder") == 2
    measured = read_sensitivity(folder / NAME)  # beside the weights
    assert [cell.wish for cell in measured.cells] == by_sparsity(["magnitude"], "global", "encoder", [0.5, 0.9])
    assert measured.encoder_off is not None
    assert str(folder.parent) not in (folder / NAME).read_text()
    stamp = (folder / NAME).read_bytes()
    again = run_cli("sensitivity", str(folder), *FIRST, "--sparsities", "50,90", "--criteria", "magnitude", "--csv")
    assert "decoding" not in again.err  # nothing is measured twice
    assert (folder / NAME).read_bytes() == stamp
    lines = list(csv.DictReader(io.StringIO(again.out)))
    assert [line["what"] for line in lines] == ["as it is", "encoder off", "floor: constant", "floor: name", "pruned", "pruned"]
    assert float(lines[4]["sparsity"]) == 0.5
    assert float(lines[4]["chrf_lost"]) == pytest.approx(measured.cells[0].loss["chrf"].value)
    matrices = run_cli("sensitivity", str(folder), *FIRST, "--by", "matrix", "--sparsity", "40", "--json")
    printed = json.loads(matrices.out)
    assert len(printed["cells"]) == 2 + 13
    assert {cell["wish"]["sparsity"] for cell in printed["cells"][2:]} == {0.4}
    assert all(cell["pruned"] == round(0.4 * cell["total"]) for cell in printed["cells"][2:])


def test_ctrl_c_keeps_what_was_measured(
    run_cli: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real, calls = engine._evaluate, 0

    def evaluate(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:  # the model as it is, with its encoder off, one cell
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    arguments = ("sensitivity", str(folder), *FIRST, "--sparsities", "50,90", "-o", "kept.json")
    monkeypatch.setattr(engine, "_evaluate", evaluate)
    result = run_cli(*arguments)
    assert result.code == 130
    assert "Interrupted. kept.json keeps what was measured; the same command goes on from there." in result.err
    assert len(read_sensitivity(tmp_path / "kept.json").cells) == 1
    assert run_cli(*arguments).code == 0
    assert calls == 4 + 3
    assert len(read_sensitivity(tmp_path / "kept.json").cells) == 4


def test_what_cannot_be_is_said_before_anything_is_loaded(run_cli: Callable[..., Result], folder: Path) -> None:
    def said(*options: str) -> str:
        result = run_cli("sensitivity", str(folder), *options)
        assert result.code in (2, 4)
        return " ".join(result.err.replace("│", " ").split())

    assert "there is no criterion 'best'; there are: magnitude, random" in said("--criteria", "best")
    assert "are no percentages such as 20,40,60,80,90" in said("--sparsities", "0.5,x")
    assert "are no percentages" in said("--sparsities", "120")
    assert "There is no folder" in said("-o", "nowhere/x.json")


def test_another_model_is_not_put_beside_the_first(run_cli: Callable[..., Result], folder: Path) -> None:
    assert run_cli("sensitivity", str(folder), *FIRST, "--sparsities", "50").code == 0
    model = load_model(folder)
    with torch.no_grad():
        model.dense.bias += 1.0
    (folder / "model.safetensors").unlink()
    save_model(model, None, folder.parent / "other")
    (folder.parent / "other" / "model.safetensors").rename(folder / "model.safetensors")
    result = run_cli("sensitivity", str(folder), *FIRST, "--sparsities", "50")
    assert result.code == DataError.exit_code
    assert "is about a model with other weights" in result.err


# --- where it is shown


def a_cell(parameter: str, loss: float, low: float) -> Cell:
    wish = Wish("magnitude", "global", "encoder", 0.5, parameter)
    losses = {name: Difference(loss, low, 2 * loss - low) for name in ("bleu", "corpus_bleu", "chrf")}
    return Cell({"chrf": 20.0}, 11.5, 0.75, 1.0, losses, wish, 50, 100)


def measured_run(tmp_path: Path, ground: Ground) -> tuple[RunPaths, Sensitivity]:
    events: list[Happening] = with_figures(whole_run())
    paths, _ = make_run(tmp_path / "runs", "run", events)
    for number, weights_of_it in ((0, b"dense"), (1, b"pruned")):
        (paths.round(number) / "model.safetensors").write_bytes(weights_of_it)
        (paths.round(number) / "config.json").write_text("{}")
    digest = "c1c0d6bf2b19d5fb1ed4e1ed1cd97cc8eaa3cbc4a31bdb1f6fc9a9eb8c1b5a55"
    return paths, beginning(ground, weights_sha256=digest, cells=(a_cell(QUERY, 1.25, 0.5),))


def with_weights(measured: Sensitivity, content: bytes) -> Sensitivity:
    return replace(measured, weights_sha256=hashlib.sha256(content).hexdigest())


def test_a_file_belongs_to_the_run_whose_model_it_is_about(
    tmp_path: Path, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths, measured = measured_run(tmp_path, ground)
    assert find(paths, 2).cells == {}
    write_sensitivity(measured, paths.root / NAME)  # of some other model
    assert find(paths, 2).cells == {}
    write_sensitivity(with_weights(measured, b"dense"), paths.root / NAME)
    assert (find(paths, 2).of, list(find(paths, 2).cells)) == ("round 0", [QUERY])
    write_sensitivity(with_weights(measured, b"pruned"), paths.round(1) / NAME)
    assert [find(paths, number).of for number in (0, 1, 2)] == ["round 0", "round 1", "round 0"]
    (paths.round(1) / NAME).write_text("damaged")
    assert find(paths, 1).of == "round 0"
    write_sensitivity(measured, paths.round(0) / NAME)
    (paths.root / NAME).unlink()
    assert find(paths, 0).cells == {}
    (paths.round(0) / "model.safetensors").unlink()  # to make room: its place is all that is left
    assert find(paths, 0).of == "round 0"


def test_the_command_that_is_told_measures_the_dense_model(
    tmp_path: Path, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths, _ = measured_run(tmp_path, ground)
    command = find(paths, 2).command
    assert command.startswith("codeprune-tui sensitivity runs/run/rounds/00 --by matrix --data ")
    assert "--split valid --rows 200 --beam 10 --max-length 64" in command
    assert command.endswith("--prunable encoder")
    (paths.round(0) / "model.safetensors").unlink()
    assert "sensitivity checkpoints/bundled/ruby-mini --by" in find(paths, 1).command, "and not the pruned round"
    for file in paths.rounds.rglob("model.safetensors"):
        file.unlink()
    assert "sensitivity checkpoints/bundled/ruby-mini --by" in find(paths, 2).command


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_layers_shows_what_a_matrix_costs_or_how_to_measure_it(
    tmp_path: Path, ground: Ground, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths, measured = measured_run(tmp_path, ground)
    async with opened(tmp_path / "runs", size) as (app, pilot):
        app.open_run(paths)
        await pilot.press("3")
        await until_shown(app, "sparsity %")
        await pilot.press("v", "v", "v", "v")
        await until_shown(app, "codeprune-tui sensitivity runs/run/rounds/00 --by matrix")
        await until_shown(app, "The cost of each matrix was not measured")
        write_sensitivity(with_weights(measured, b"dense"), paths.round(0) / NAME)
        await until_shown(app, "chrF lost ×10 when 50 % of a matrix are pruned (magnitude), round 0")  # it comes by itself
        await until_shown(app, "12.5")
        await until_shown(app, "+1.25 (+0.50 to +2.00), clearly")
        await pilot.press("v")
        await until_shown(app, "sparsity %")


# --- criteria that look at data


def calibrated(ground: Ground) -> Ground:
    return replace(ground, calibration=drawn(ground.encoded, 3, 0))


def test_every_criterion_is_measured_and_every_weight_put_back(ground: Ground) -> None:
    ground, known, before = calibrated(ground), beginning(ground), weights(ground)
    wishes = by_sparsity(list(CRITERIA), "layerwise", "all", [0.5], calibration_rows=3)
    rows: list[int] = []
    cells = measure_cells(ground, known, wishes, 0, after_row=rows.append).cells
    assert [cell.wish.criterion for cell in cells if cell.wish] == list(CRITERIA)
    assert len({cell.pruned for cell in cells}) == 1
    assert {cell.wish.criterion for cell in cells if cell.wish and cell.wish.calibration_rows} == LOOKING
    assert rows == [1, 2, 3] * 5  # wanda, sparsegpt, taylor, fisher, movement
    assert all(torch.equal(weight, before[name]) for name, weight in weights(ground).items())


LOOKING = {"wanda", "sparsegpt", "taylor", "fisher", "movement"}


def test_every_row_and_group_loses_its_share(ground: Ground) -> None:
    rows = masks_of(ground, Wish("magnitude", "row", "encoder", 0.5), 0)[QUERY]
    assert ((~rows).sum(1) == round(0.5 * rows.shape[1])).all()
    groups = masks_of(ground, Wish("magnitude", "layerwise", "encoder", 0.5, pattern="2:4"), 0)[QUERY]
    assert ((~groups).view(-1, 4).sum(1) == 2).all()


def test_sparsegpt_is_scored_with_its_updated_weights(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground, seen = calibrated(ground), []
    real = engine._evaluate

    def evaluate(*arguments: object) -> object:
        seen.append(weights(ground))
        return real(*arguments)  # type: ignore[arg-type]

    known = beginning(ground)
    monkeypatch.setattr(engine, "_evaluate", evaluate)
    measure_cells(ground, known, by_sparsity(["sparsegpt"], "layerwise", "encoder", [0.5], 3), 0)
    (pruned_weights,), dense = seen, weights(ground)
    kept = pruned_weights[QUERY] != 0
    assert int((~kept).sum()) == round(0.5 * kept.numel())
    assert not torch.equal(pruned_weights[QUERY][kept], dense[QUERY][kept])
    assert torch.equal(pruned_weights["encoder.pooler.dense.weight"], dense["encoder.pooler.dense.weight"]) is False


def test_calibration_rows_follow_their_seed_and_come_from_the_training_split(ground: Ground) -> None:
    first, again, other = (load_drawn(ground.model, ground.reader, DATA, 4, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    training = encode_for(ground.model, ground.reader, load_rows(DATA, "train"))
    assert first == drawn(training, 4, 0)
    assert all(list(source) not in ground.encoded.sources for source, _ in first)


def test_the_command_takes_every_criterion(run_cli: Callable[..., Result], folder: Path) -> None:
    options = ("--sparsities", "50", "--criteria", "wanda,sparsegpt", "--calibration-rows", "3")
    result = run_cli("sensitivity", str(folder), *FIRST, *options)
    assert result.code == 0, result.err
    measured = read_sensitivity(folder / NAME)
    assert [(cell.wish.criterion, cell.wish.calibration_rows) for cell in measured.cells if cell.wish] == [
        ("wanda", 3),
        ("sparsegpt", 3),
    ]
    assert "wanda, global, encoder" in result.out
    rows = run_cli(
        "sensitivity", str(folder), *FIRST, "--sparsities", "50", "--criteria", "magnitude", "--scope", "row", "--json"
    )
    assert json.loads(rows.out)["cells"][-1]["wish"]["scope"] == "row"
    shared = ("--scope", "layerwise", "--budget", "lamp")
    lamp = run_cli("sensitivity", str(folder), *FIRST, "--sparsities", "50", "--criteria", "magnitude", *shared)
    assert "magnitude, layerwise, lamp, encoder" in lamp.out
    wrong = run_cli("sensitivity", str(folder), *FIRST, "--sparsities", "60", "--criteria", "magnitude", "--pattern", "2:4")
    assert 'pruning.pattern = "2:4" ends at a sparsity of 0.5' in wrong.err
    refused = run_cli("sensitivity", str(folder), *FIRST, *options, "--split", "train")
    assert "take their rows from the training split, which is scored here" in refused.err


# --- a model that is pruned already


def test_what_takes_nothing_from_a_pruned_model_is_not_measured(ground: Ground) -> None:
    """Its loss would be 0, which is no cost of pruning."""
    wish = Wish("magnitude", "layerwise", "encoder", 0.6)
    with pruned(ground, wish, 0) as masks:
        known = beginning(ground)
        old = replace(ground, masks=masks)
        wishes = [*by_sparsity(["magnitude"], "layerwise", "encoder", [0.5, 0.6, 0.9]), replace(wish, sparsity=0.5, matrix=QUERY)]
        measured = measure_cells(old, known, wishes, 0)
        assert [cell.wish for cell in measured.cells] == [wishes[2]]
        assert [share_before(old, each) for each in wishes] == pytest.approx([0.6] * 4, abs=0.002)
    assert share_before(ground, wish) == 0


def test_the_table_of_a_pruned_model_says_where_nothing_was_taken(run_cli: Callable[..., Result], folder: Path) -> None:
    pruned_by = ("prune", str(folder), "-o", "half", "--sparsity", "0.5", "--scope", "layerwise")
    assert run_cli(*pruned_by).code == 0
    result = run_cli("sensitivity", "half", *FIRST, "--by", "matrix", "-o", "a.json")
    assert result.code == 0, result.err
    rows = [line for line in result.out.splitlines() if "encoder layer 1, query" in line]
    assert len(rows) == 1
    assert rows[0].count("pruned before") == 4
    assert "+0.00" not in rows[0]
    assert (
        "Nothing to prune in everything asked for: the model is pruned there as far or further, to 50 % at least." in result.err
    )
    assert read_sensitivity(Path("a.json")).cells == ()
    more = run_cli("sensitivity", "half", *FIRST, "--sparsities", "40,75", "--criteria", "magnitude", "-o", "a.json")
    assert "Nothing to prune in 1 of 2" in more.err
    lines = more.out.splitlines()
    assert [line.split()[3] for line in lines if line.strip().startswith("as it is")] == ["50"]
    (recipe,) = (line for line in lines if line.startswith("Recipe"))
    assert "--sparsities 40,75" in recipe  # of this table, not of the one that began the file
    assert "--by matrix" not in recipe
