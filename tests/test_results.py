"""The results of a run are read off `metrics.json` and the journal; either alone is enough, damaged ones cost only themselves."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from app_runs import FLOORS, a_round, beginning, make_run, started, whole_run

from core.run.events import RoundFinished, Scores
from core.run.folder import RunPaths
from core.run.results import Result, ResultsReader, to_csv
from core.score.interval import Difference, Interval

METRICS = {
    "sparsity": 0.3,
    "scores": {"bleu": 14.0, "corpus_bleu": 2.5, "chrf": 21.0},
    "floors": {"name": {"bleu": 13.0}, "constant": {"bleu": 8.0}},
    "size_bytes": 1_234_567,
    "split": "test",
    "rows": 50,
    "seconds": 12.5,
    "signatures": {"bleu": "a", "corpus_bleu": "b"},
}


def test_metrics_and_journal_together(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    results = ResultsReader(paths).poll()
    assert [result.round for result in results] == [0, 1, 2, 3]
    assert [result.sparsity for result in results] == pytest.approx([0, 0.3, 0.6, 0.9])
    assert results[1].scores == {"bleu": 14.0, "corpus_bleu": 14.0 / 5, "chrf": 14.0 * 1.6}
    assert results[1].floors["name"]["bleu"] == FLOORS["name"].bleu
    assert (results[1].run, results[1].split, results[1].rows, results[1].size_bytes) == ("run", "valid", 200, None)


def test_the_journal_alone_is_enough(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    both = ResultsReader(paths).poll()
    shutil.rmtree(paths.rounds)
    assert ResultsReader(paths).poll() == both


def test_metrics_alone_are_enough(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "run")
    paths.round(1).mkdir(parents=True)
    (paths.round(1) / "metrics.json").write_text(json.dumps(METRICS))
    (result,) = ResultsReader(paths).poll()
    assert result == Result(
        "run",
        1,
        0.3,
        METRICS["scores"],
        METRICS["floors"],
        1_234_567,
        "test",
        50,
        12.5,
        METRICS["signatures"],  # type: ignore[arg-type]
    )


def test_metrics_outdo_the_journal_and_what_they_lack_stays(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", [*beginning(), *a_round(0, 15.0), *a_round(1, 14.5)])
    (paths.round(1) / "metrics.json").write_text(json.dumps({"scores": {"bleu": 9.0}, "size_bytes": 7}))
    result = ResultsReader(paths).poll()[1]
    assert result.scores == pytest.approx({"bleu": 9.0, "corpus_bleu": 2.9, "chrf": 23.2})
    assert (result.size_bytes, result.rows, result.sparsity) == (7, 200, pytest.approx(0.3))


def test_intervals_are_read_and_older_rounds_have_none(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    change = {"value": -1.0, "low": -2.0, "high": -0.5}
    more = {"intervals": {"bleu": {"low": 13.0, "high": 15.5}, "chrf": {"low": 1}, "other": {"low": 1, "high": 2}},
            "against_dense": {"bleu": change, "chrf": {**change, "high": "x"}}, "bootstrap": "rows"}  # fmt: skip
    (paths.round(1) / "metrics.json").write_text(json.dumps({**METRICS, **more}))
    older, newer, *_ = ResultsReader(paths).poll()
    assert newer.intervals == {"bleu": Interval(14.0, 13.0, 15.5)}
    assert newer.against_dense == {"bleu": Difference(**change)}
    assert newer.against_dense["bleu"].is_clear
    assert (older.intervals, older.against_dense, older.bootstrap) == ({}, {}, "")
    row = list(csv.DictReader(io.StringIO(to_csv([older, newer]))))[1]
    assert [row[key] for key in ("bleu_low", "bleu_high", "bleu_change_low", "chrf_low", "bootstrap")] == [
        "13.0", "15.5", "-2.0", "", "rows",
    ]  # fmt: skip


def test_a_reader_follows_a_run(tmp_path: Path) -> None:
    paths, worker = make_run(tmp_path, "run", [*beginning(), *a_round(0, 15.0)])
    reader = ResultsReader(paths)
    assert len(reader.poll()) == 1
    for event in a_round(1, 14.5):
        worker.append(event)
    assert [result.round for result in reader.poll()] == [0, 1]
    worker.append(RoundFinished(round=1, sparsity=0.3, scores=Scores(1.0, 2.0, 3.0), steps=20, seconds=25.0, size_bytes=99))
    results = reader.poll()
    assert (results[1].scores["bleu"], results[1].size_bytes) == (1.0, 99)
    assert reader.poll() == results


def test_nothing_there_is_no_result(tmp_path: Path) -> None:
    assert ResultsReader(RunPaths(tmp_path / "none")).poll() == ()
    paths, _ = make_run(tmp_path, "run", [started("run")])
    assert ResultsReader(paths).poll() == ()


@pytest.mark.parametrize(
    "metrics",
    ["", "[]", "{", '{"scores": 3}', '{"scores": {"bleu": "x", "chrf": null}, "size_bytes": "y", "rows": {}, "floors": []}',
     '{"scores": {"bleu": NaN, "chrf": 1e999}, "sparsity": -Infinity}', f'{{"size_bytes": {"9" * 400}, "rows": {"9" * 400}}}',
     '{"floors": {"name": 3, "constant": []}, "split": 3, "signatures": 4}'],
)  # fmt: skip
def test_damaged_metrics_cost_nothing_else(tmp_path: Path, metrics: str) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    (paths.round(1) / "metrics.json").write_text(metrics)
    results = ResultsReader(paths).poll()
    assert [result.round for result in results] == [0, 1, 2, 3]
    assert results[1].scores["bleu"] == 14.0
    assert (results[1].size_bytes, results[1].split, results[1].rows) == (None, "valid", 200)
    to_csv(results)


def test_a_damaged_journal_costs_only_its_lines(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    good = ResultsReader(paths).poll()
    huge = {
        "seq": 999,
        "time": 1,
        "event": "round_finished",
        "round": 10**400,
        "sparsity": 0,
        "scores": None,
        "steps": 1,
        "seconds": 1,
    }
    with paths.journal.open("a") as file:
        file.write('{"event": "round_finished"\n' + json.dumps(huge) + '\n"round_finished"\n')
    assert ResultsReader(paths).poll() == good


def test_times_of_the_search_are_per_row_and_per_token(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    measured = {"seconds": 2.0, "rows": 50, "tokens": 500, "beam": 10, "batch_size": 8, "device": "cpu", "threads": 2}
    (paths.round(2) / "metrics.json").write_text(json.dumps({**METRICS, "decoding": measured}))
    results = ResultsReader(paths).poll()
    assert (results[2].ms_per_row, results[2].ms_per_token) == (40.0, 4.0)
    assert results[2].decoded_on == "cpu, 2 threads, beam 10, batch 8"
    assert (results[1].ms_per_row, results[1].ms_per_token, results[1].decoded_on) == (None, None, "")
    row = list(csv.DictReader(io.StringIO(to_csv(results))))[2]
    assert (row["ms_per_row"], row["ms_per_token"], row["decoded_on"]) == ("40.0", "4.0", results[2].decoded_on)


@pytest.mark.parametrize("decoding", [3, {}, {"seconds": 0, "rows": 5}, {"seconds": -1, "rows": 5}, {"seconds": "x"}])
def test_times_that_are_none_are_left_out(tmp_path: Path, decoding: object) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    (paths.round(2) / "metrics.json").write_text(json.dumps({**METRICS, "decoding": decoding}))
    assert ResultsReader(paths).poll()[2].ms_per_row is None


def test_csv_has_a_header_all_measures_and_empty_cells(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "run", whole_run())
    (paths.round(2) / "metrics.json").write_text(json.dumps({**METRICS, "sparsity": 0.6}))
    rows = list(csv.DictReader(io.StringIO(to_csv(ResultsReader(paths).poll()))))
    assert [row["round"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[2]["bleu"] == "14.0"
    assert rows[2]["size_bytes"] == "1234567"
    assert rows[2]["floor_constant_bleu"] == "8.0"
    assert rows[2]["bleu_signature"] == "a"
    assert rows[1]["size_bytes"] == rows[1]["bleu_signature"] == ""
    assert list(csv.reader(io.StringIO(to_csv([Result('a,"b"\nc', 0)]))))[1][0] == 'a,"b"\nc'
