"""What is read of a run for its preview: everything but the steps, wherever it lies, and again when it grows."""

import json
import shutil
import threading
from pathlib import Path

from app_runs import a_round, beginning, make_run, step, whole_run, with_figures

from codeprune_tui.runs.preview import OutlineReader, Previewer
from codeprune_tui.views.state import RunView, reduce_all
from core.run.events import Evaluating, MatrixMeasured, Step
from core.run.folder import RunPaths
from core.run.journal import read_journal


def test_it_is_the_run_without_its_steps(tmp_path: Path) -> None:
    paths, worker = make_run(tmp_path, "ruby-1", with_figures([*beginning(), *a_round(0, 15.0), *a_round(1, 14.0)]))
    reader = OutlineReader(paths)
    few = [event for event in read_journal(paths.journal) if not isinstance(event.what, Step | Evaluating | MatrixMeasured)]
    assert reader.poll() == reduce_all(RunView(), few)
    assert reader.poll().losses.points == ()
    worker.append(step(2, 1))
    before = reader.poll()
    worker.append(a_round(2, 13.0)[-1])
    assert [each.number for each in reader.poll().finished] == [0, 1, 2]
    assert [each.number for each in before.finished] == [0, 1]


def test_without_a_journal_the_rounds_on_disk_tell(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run())
    paths.journal.unlink()
    (paths.round(3) / "metrics.json").write_text(
        json.dumps({"sparsity": 0.9, "scores": {"bleu": 12.0, "chrf": 20.0}, "floors": {"name": {"bleu": 13.0}}})
    )
    view = OutlineReader(paths).poll()
    assert [each.scores.bleu for each in view.finished if each.scores] == [15.0, 14.0, 13.0, 12.0]
    assert view.rounds == 3
    assert view.floors["name"].bleu == 13.0


def test_a_run_that_is_gone_or_empty_is_no_error(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", [])
    assert OutlineReader(paths).poll() == RunView()
    shutil.rmtree(paths.root)
    assert OutlineReader(paths).poll() == RunView()


def test_the_thread_tells_of_the_run_that_is_looked_at_and_then_only_of_news(tmp_path: Path) -> None:
    one, _ = make_run(tmp_path, "one", whole_run())
    two, worker = make_run(tmp_path, "two", [*beginning(), *a_round(0, 15.0)])
    published: list[tuple[RunPaths, int]] = []
    news = threading.Semaphore(0)

    def publish(paths: RunPaths, view: RunView) -> None:
        published.append((paths, len(view.finished)))
        news.release()

    previewer = Previewer(publish)
    previewer.start()
    try:
        for paths in (one, two):
            previewer.set_run(paths)
            assert news.acquire(timeout=30)
        worker.append(a_round(1, 14.0)[-1])
        assert news.acquire(timeout=30)
        previewer.set_run(None)
        previewer.set_run(one)
        assert news.acquire(timeout=30)
        assert published == [(one, 4), (two, 1), (two, 2), (one, 4)]
    finally:
        previewer.stop()
        previewer.join(timeout=30)
