"""The tables of docs/criteria.md, on runs and measurements whose answer is known."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from test_controls import changed
from test_findings import RIGHT, a_run, some

from core.run.results import Result
from core.score.interval import Difference
from core.study.runs import Run, group
from core.study.sensitivityfile import Before, Cell, Sensitivity, Wish

ROOT = Path(__file__).parents[1]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("criteria_doc", ROOT / "tools" / "criteria_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runs(criterion: str, good: int) -> list[Run]:
    scores = {"bleu": 10.0 + good, "corpus_bleu": 1.0, "chrf": 20.0}
    each = [a_run("l1-b16-pretrained", seed, {0: RIGHT, 50: some(good), 90: some(good - 2)}) for seed in (0, 1)]
    results = [replace(run, results=tuple(Result(run.name, at.round, at.sparsity, scores) for at in run.results)) for run in each]
    return [changed(run, criterion, "pruning", criterion=criterion) for run in results]


def test_runs_are_held_against_dense_and_magnitude() -> None:
    tables = list(script().of_runs(group([*runs("magnitude", 10), *runs("wanda", 20), *runs("shuffled", 10)])))
    assert tables[0].splitlines() == [
        "|  | 50 % | 90 % |",
        "|---|---|---|",
        "| magnitude | 20.00 / 1.00 / 20.0 | 20.00 / 1.00 / 20.0 |",
        "| wanda | 30.00 / 1.00 / 20.0 | 30.00 / 1.00 / 20.0 |",
        "| shuffled | 20.00 / 1.00 / 20.0 | 20.00 / 1.00 / 20.0 |",
    ]
    dense = next(table for table in tables if table.startswith("chrF, minus dense"))
    assert all("**−" in line for line in dense.splitlines()[4:])
    better = next(table for table in tables if table.startswith("chrF, minus magnitude")).splitlines()
    assert better[2] == "|  | 50 % | 90 % | all of them |"
    assert better[4].startswith("| wanda | **+")
    assert better[5].count("**") == 0
    assert better[5].startswith("| shuffled | +0.00 (+0.00 to +0.00) |")


def test_what_a_model_lost_is_shown_as_pruned_minus_dense() -> None:
    scores = {"bleu": 12.0, "corpus_bleu": 2.0, "chrf": 20.0}
    lost, gained = Difference(1.0, 0.5, 1.5), Difference(-0.25, -1.0, 0.5)
    cells = tuple(
        Cell(scores, 9.0, 1.0, 1.0, {"chrf": loss}, Wish("wanda", scope, "encoder", 0.5, budget="owl"))
        for scope, loss in (("row", lost), ("global", gained))
    )
    before = Before(scores, 9.0, 1.0, 1.0, {}, ())
    study = Sensitivity("m", "d", "c", {}, "", 0.0, 300, 1, {}, {}, {}, before, None, cells)
    tables = list(script().of_sensitivity(study))
    assert "| wanda | row | owl | 12.00 / 2.00 / 20.0 |" in tables[0]
    changes = next(table for table in tables if table.startswith("chrF")).splitlines()
    assert changes[4:] == [
        "| wanda | global | – | +0.25 (−0.50 to +1.00) |",
        "| wanda | row | owl | **−1.00 (−1.50 to −0.50)** |",
    ]
