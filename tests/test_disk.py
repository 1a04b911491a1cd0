"""A full disk, a limit, a file that is gone or damaged are no defects: cause and fix are said, what follows is bit-identical."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_resume import outcome, prepare
from workers import run

from core import atomic, disk, model, worker
from core.atomic import complete_or_absent
from core.compress import masks
from core.disk import in_words, system_error
from core.errors import DataError, RunError
from core.recipe import Recipe
from core.run.control import Control, StopRequested
from core.run.events import Failed, RunFinished, Warned
from core.run.folder import RunPaths, create_run
from core.run.journal import JournalWriter, read_journal
from core.train import checkpoint

NUMBERS = sorted(disk.CAUSES)


def worked(folder: Path, limit_bytes: int | None = None) -> Failed | None:
    """Lets a real worker work on a run; why it failed."""
    (code,) = run([{"run": str(folder), "file_limit": limit_bytes}])
    last = read_journal(folder / "events.jsonl")[-1].what
    assert (code == 0) is isinstance(last, RunFinished), (folder / "worker.log").read_text()[-2000:]
    return last if isinstance(last, Failed) else None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("whole"), "train-first", "run")
    assert worked(folder) is None
    return folder


def in_parts(whole: Path, tmp_path: Path, rounds: int) -> Path:
    """A copy of the run as it was after so many rounds, as if it had been stopped there."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for number in range(rounds, 3):
        shutil.rmtree(folder / "rounds" / f"{number:02d}")
    return folder


# --- words -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [*NUMBERS, 9999])
def test_every_error_of_the_system_has_a_cause_and_a_fix(number: int) -> None:
    problem, fix = in_words(OSError(number, "what the system says", "/the/file"), Path("/place"), "go on")
    assert problem.endswith(".")
    assert fix.endswith(", then go on.")
    assert "/the/file" in problem or number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    assert "{" not in problem + fix


def test_an_error_without_a_file_names_the_place() -> None:
    assert in_words(OSError(errno.ENOSPC, "x"), Path("/place"))[0] == "There is no room left on the disk of /place."
    assert in_words(OSError("odd"), Path("/place"))[0] == "/place: odd."


def test_the_words_of_libraries_are_understood(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, complete_or_absent(tmp_path / "file"):
        raise ValueError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert system_error(ValueError("os error"), tmp_path) is None
    with pytest.raises(ValueError, match=r"^other$"), complete_or_absent(tmp_path / "file"):
        raise ValueError("other")


# --- the worker ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setattr(Control, "stop_on_signals", lambda self: None)
    return create_run(tmp_path, "mine", Recipe())


def refusing(error: Exception) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse


@pytest.mark.parametrize("number", NUMBERS)
def test_what_the_system_refuses_is_no_defect(paths: RunPaths, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(worker, "_work", refusing(OSError(number, os.strerror(number), str(paths.meta))))
    assert worker.main([str(paths.root)]) == RunError.exit_code
    [event] = read_journal(paths.journal)
    assert isinstance(event.what, Failed)
    assert "defect" not in event.what.problem + event.what.fix
    assert f"codeprune-tui resume {paths.root}" in event.what.fix


def test_a_defect_is_still_called_one(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_work", refusing(ZeroDivisionError("odd")))
    assert worker.main([str(paths.root)]) == 1
    [event] = read_journal(paths.journal)
    assert isinstance(event.what, Failed)
    assert "This is a defect" in event.what.fix


@pytest.mark.parametrize("first", [StopRequested("stop"), OSError(28, "full"), RunError("p", "f"), ZeroDivisionError("odd")])
def test_a_journal_that_takes_nothing_is_said_in_the_log(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: Exception
) -> None:
    monkeypatch.setattr(worker, "_work", refusing(first))
    monkeypatch.setattr(JournalWriter, "append", refusing(OSError(errno.ENOSPC, "full", str(paths.journal))))
    assert worker.main([str(paths.root)]) == RunError.exit_code
    assert f"There is no room left on the disk of {paths.journal}. Make room there, then go on" in capsys.readouterr().err


def test_a_lock_that_cannot_be_taken_is_said(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(paths.lock)
    assert worker.main([str(paths.root)]) == RunError.exit_code
    assert "it is a FIFO, not a regular file" in capsys.readouterr().err


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk with room for a few bytes, the line that fits after all must not be spoilt by the one that did not."""
    path = tmp_path / "events.jsonl"
    writer = JournalWriter(path)
    writer.append(Warned(message="one"))
    whole_write = writer._file.write

    class Full:
        def __init__(self) -> None:
            self.left = 20

        def __getattr__(self, name: str) -> object:
            return getattr(whole_file, name)

        def write(self, data: memoryview) -> int:
            if self.left == 0:
                raise OSError(errno.ENOSPC, "full")
            written = whole_write(data[: self.left])
            self.left -= written or 0
            return written or 0

    whole_file = writer._file
    monkeypatch.setattr(writer, "_file", Full())
    with pytest.raises(OSError, match="full") as caught:
        writer.append(Warned(message="x" * 1000))
    assert caught.value.filename == str(path)
    monkeypatch.setattr(writer, "_file", whole_file)
    writer.append(Warned(message="two"))
    writer.close()
    assert [(event.seq, event.what) for event in read_journal(path)] == [
        (0, Warned(message="one")),
        (1, Warned(message="two")),
    ]


SEAMS: dict[str, tuple[object, str]] = {
    "checkpoint": (checkpoint, "save_file"),
    "masks": (masks, "save_file"),
    "weights": (model, "save_file"),
    "fsync": (atomic, "_fsync"),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("seam", SEAMS)
def test_every_writer_gives_the_systems_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: str, number: int
) -> None:
    import torch

    module, name = SEAMS[seam]
    text = f"Error while serializing: I/O error: x (os error {number})"
    monkeypatch.setattr(module, name, refusing(OSError(number, "x") if seam == "fsync" else RuntimeError(text)))
    with pytest.raises(OSError) as caught:  # noqa: PT011, PT012 - its number is looked at below; one of three calls
        if seam == "masks":
            masks.save_masks({"a": torch.ones(3, dtype=torch.bool)}, tmp_path / "masks.safetensors")
        elif seam == "weights":
            from core.families.config import CodeToTextConfig
            from core.families.roberta import CodeToText

            config = CodeToTextConfig(
                vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, decoder_layers=1
            )
            model.save_model(CodeToText(config), None, tmp_path / "model")
        else:
            checkpoint.save_checkpoint(tmp_path, {"a": torch.zeros(3)}, {"step": 1})
    assert caught.value.errno == number
    assert list(tmp_path.iterdir()) == []


def test_the_cache_has_its_words(tmp_path: Path) -> None:
    from core.data import _write_cache

    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be kept"):
        _write_cache(tmp_path / "file" / "cache", [[1]], [[2]])


# --- real runs -------------------------------------------------------------------------------------------------------------


def test_a_limit_on_files_and_what_follows(whole: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path, "train-first", "run")
    size = (whole / "resume/state.safetensors").stat().st_size
    for limit in (20_000, size // 2, (whole / "rounds/00/model.safetensors").stat().st_size - 1):
        failure = worked(folder, limit)
        assert failure is not None
        assert "became larger than a file may be here" in failure.problem
        assert failure.fix.startswith("Raise the limit (ulimit -f)")
    assert worked(folder) is None
    assert outcome(folder) == outcome(whole)


@pytest.mark.parametrize("file", ["model.safetensors", "masks.safetensors"])
@pytest.mark.parametrize("how", ["truncated", "deleted", "fifo"])
def test_a_round_that_is_damaged_and_what_follows(whole: Path, tmp_path: Path, file: str, how: str) -> None:
    folder = in_parts(whole, tmp_path, 2)
    damaged = folder / "rounds" / "01" / file
    if how == "truncated":
        os.truncate(damaged, damaged.stat().st_size // 2)
    else:
        damaged.unlink()
        if how == "fifo":
            os.mkfifo(damaged)
    failure = worked(folder)
    assert failure is not None
    assert str(damaged) in failure.problem
    assert "defect" not in failure.fix
    shutil.rmtree(damaged.parent)  # as the fix says
    assert worked(folder) is None
    assert outcome(folder) == outcome(whole)


def test_an_earlier_round_that_later_ones_are_compared_with_is_asked_for(whole: Path, tmp_path: Path) -> None:
    folder = in_parts(whole, tmp_path, 2)
    (folder / "rounds" / "00").rename(tmp_path / "kept")
    failure = worked(folder)
    assert failure is not None
    assert str(folder / "rounds" / "00") in failure.problem
    (tmp_path / "kept").rename(folder / "rounds" / "00")
    assert worked(folder) is None
    assert outcome(folder) == outcome(whole)


@pytest.mark.parametrize("content", [b"", b"{torn", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_broken_meta_says_what_to_do(whole: Path, tmp_path: Path, content: bytes) -> None:
    from core.train.prepare import _record

    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "meta.json").write_bytes(content)

    class Session:
        paths = RunPaths(folder)
        recipe = Recipe()

        class accelerator:  # noqa: N801 - stands in for a field
            device, mixed_precision = __import__("torch").device("cpu"), "no"

        class ranks:  # noqa: N801
            count, leads, worker = 1, True, 1

    with pytest.raises(RunError, match=r"meta\.json cannot be read: .*\. Put it back, or start a new run"):
        _record(Session(), {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "name"),
    [({"round": 1, "step": 3}, "facts"), ({"round": 1, "step": "x", "seconds": 1.0, "measurements": []}, "types")],
)
def test_a_checkpoint_that_does_not_fit(whole: Path, tmp_path: Path, facts: dict[str, object], name: str) -> None:
    import torch

    folder = in_parts(whole, tmp_path, 1)
    checkpoint.save_checkpoint(folder / "resume", {"weight/x": torch.zeros(2)}, facts)
    failure = worked(folder)
    assert failure is not None
    assert failure.fix == f"Delete {folder / 'resume'} and resume: round 1 begins anew."
    shutil.rmtree(folder / "resume")
    assert worked(folder) is None
    assert outcome(folder) == outcome(whole)
    assert json.loads((folder / "meta.json").read_text())
