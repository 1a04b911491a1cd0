"""One broken run folder takes nothing else down: it is listed as damaged, with the reason, and the others as ever.

Every file that is read from a run folder is in turn a FIFO, a folder, a device, a link in a circle, no text, too deep, too long.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from app_runs import NOW, make_run, opened, shown, until_shown, whole_run

from codeprune_tui import settings
from codeprune_tui.cli import tables
from codeprune_tui.playground import history
from codeprune_tui.runs import client, logs, models
from codeprune_tui.runs.watch import Lister
from core import regularfile
from core.errors import CodepruneError, RunError
from core.run.folder import DAMAGED, RunPaths, find_run, hold_lock, is_held, run_folders, run_info
from core.run.journal import JournalReader, append_command, tail_lines
from core.run.predictions import read_predictions
from core.run.results import ResultsReader
from core.study.overlaps import bits_of
from core.study.runs import read_run

ROOT = Path(__file__).resolve().parent.parent


def fifo(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path.name + "-b")
    path.with_name(path.name + "-b").symlink_to(path.name)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00 = [\n")


def deep(path: Path) -> None:
    path.write_text("[" * 200_000 + "\n")


def long(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20_000_000_000)  # sparse: it takes no room on the disk


ODD = (fifo, a_folder, device, circle)
ALL = (*ODD, no_text, deep, long)
REASONS = {
    fifo: "it is a FIFO, not a regular file",
    a_folder: "Is a directory",
    device: "it is a device, not a regular file",
    circle: "Too many levels of symbolic links",
}
READ = ("recipe.toml", "events.jsonl", "meta.json", "rounds/01/metrics.json")
"""What the list of runs reads."""


def broken(path: Path, how: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    how(path)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for name in ("bad", "good"):
        make_run(tmp_path, name, whole_run(name))
    return tmp_path


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.__name__)
@pytest.mark.parametrize("name", READ)
def test_a_broken_file_is_damage_with_its_reason(checkpoints: Path, name: str, how: Callable[[Path], None]) -> None:
    before = run_info(RunPaths(checkpoints / "good"), NOW)
    broken(checkpoints / "bad" / name, how)
    begun = time.process_time()
    bad, good = (run_info(paths, NOW) for paths in run_folders(checkpoints))
    assert time.process_time() - begun < 5
    assert good == before
    assert bad.words == DAMAGED
    assert bad.damage.startswith(f"{name}: ")
    assert REASONS.get(how, "") in bad.damage  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "metrics",
    [
        {"sparsity": 10**400, "scores": {"bleu": 1.0}},
        {"sparsity": 0.5, "scores": {"bleu": -(10**400)}},
        {"sparsity": float("nan")},
        {"sparsity": float("inf")},
        {"sparsity": -1e308},
        {"sparsity": True},
        {"sparsity": "half"},
        {"scores": {"bleu": [1]}},
        {"scores": 3},
        [],
        None,
    ],
)
def test_figures_that_cannot_be_are_damage(checkpoints: Path, metrics: object) -> None:
    (checkpoints / "bad/rounds/03/metrics.json").write_text(json.dumps(metrics))
    bad, good = (run_info(paths, NOW) for paths in run_folders(checkpoints))
    assert bad.damage.startswith("rounds/03/metrics.json: ")
    assert bad.round == 3
    assert not good.damage
    tables.run_list([bad, good], NOW)
    json.loads(tables.run_list_json([bad, good], str(checkpoints)))


@pytest.mark.parametrize("content", ["[training]\nsteps = " + "9" * 5000, "a." * 30_000 + "a = 1", "kind = "])
def test_a_recipe_that_no_parser_likes_is_damage(checkpoints: Path, content: str) -> None:
    (checkpoints / "bad/recipe.toml").write_text(content)
    begun = time.process_time()
    info = run_info(RunPaths(checkpoints / "bad"), NOW)
    assert info.damage.startswith("recipe.toml: ")
    assert time.process_time() - begun < 2


def test_links_in_a_circle_are_listed(checkpoints: Path) -> None:
    (checkpoints / "a").symlink_to("b")
    (checkpoints / "b").symlink_to("a")
    infos = {paths.name: run_info(paths, NOW) for paths in run_folders(checkpoints)}
    assert list(infos) == ["a", "b", "bad", "good"]
    assert "Too many levels of symbolic links" in infos["a"].damage
    assert not infos["good"].damage
    assert "Too many" in run_info(find_run(checkpoints, "a"), NOW).damage


def test_a_folder_that_nobody_may_look_into_is_listed(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(call: Callable[..., object]) -> Callable[..., object]:
        def checked(path: object, *args: object, **kwargs: object) -> object:
            if f"{path}".startswith(f"{checkpoints}/bad/"):
                raise PermissionError(13, "Permission denied", f"{path}")
            return call(path, *args, **kwargs)

        return checked

    for name in ("stat", "lstat", "open", "listdir"):  # root may look everywhere: a mode of 0 would test nothing
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    bad, good = (run_info(paths, NOW) for paths in run_folders(checkpoints))
    assert "Permission denied" in bad.damage
    assert good.words == "DONE"


@pytest.mark.parametrize("how", ODD, ids=lambda how: how.__name__)
@pytest.mark.parametrize("name", ["commands.jsonl", "worker.lock", "worker.log", "events.jsonl", "killed", "rounds", "resume"])
def test_what_is_written_to_or_held_waits_for_nobody(checkpoints: Path, name: str, how: Callable[[Path], None]) -> None:
    paths = RunPaths(checkpoints / "bad")
    path = paths.root / name
    if path.is_dir():
        path.rename(checkpoints / "moved")
    broken(path, how)
    assert not is_held(paths)
    assert not logs.worker_log(paths).poll() or name != "worker.log"
    JournalReader(paths.journal).poll()
    tail_lines(paths.journal)
    ResultsReader(paths).poll()
    read_run(paths)
    run_info(paths, NOW)
    if name == "commands.jsonl":
        with pytest.raises(OSError, match=r"regular|directory|symbolic"):
            append_command(paths.commands, {"command": "stop"})
    elif name == "worker.lock":
        with pytest.raises(OSError, match=r"regular|directory|symbolic"), hold_lock(paths):
            pass
    elif name == "worker.log":
        with pytest.raises(RunError, match="Cannot start a worker"):
            client.launch(paths, (sys.executable, "-c", ""))


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.__name__)
def test_every_other_reader_gives_up_at_once(tmp_path: Path, how: Callable[[Path], None]) -> None:
    how(tmp_path / "file")
    begun = time.process_time()
    assert read_predictions(tmp_path / "file") is None
    assert bits_of(tmp_path / "file") is None
    assert history.read_history(tmp_path / "file") == []
    assert settings.load(tmp_path / "file")[1]
    (tmp_path / "model").mkdir()
    (tmp_path / "file").rename(tmp_path / "model" / "config.json")
    assert models.saved_method(str(tmp_path / "model")) == ""
    assert time.process_time() - begun < 5


def test_a_file_that_is_swapped_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("{}")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(regularfile, "check_regular", lambda path: None)  # as if it had been regular a moment ago
    with pytest.raises(OSError, match="it is a FIFO"):
        regularfile.read_facts(tmp_path / "fifo")
    assert regularfile.read_facts(tmp_path / "file") == {}


def test_the_command_line_lists_it_and_the_others(checkpoints: Path) -> None:
    (checkpoints / "bad/meta.json").unlink()
    os.mkfifo(checkpoints / "bad/meta.json")
    (checkpoints / "a").symlink_to("a")
    words = [sys.executable, "-m", "codeprune_tui.cli.main", "--checkpoints", str(checkpoints), "status"]
    text = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT).stdout
    assert "bad is damaged: meta.json: it is a FIFO, not a regular file." in text
    assert "a is damaged: events.jsonl: Too many levels of symbolic links" in text
    lines = {line.split()[0]: line.split()[1] for line in text.splitlines()[1:4]}
    assert lines == {"a": "DAMAGED", "bad": "DAMAGED", "good": "DONE"}
    listing = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT).stdout
    assert {run["name"]: bool(run["damage"]) for run in json.loads(listing)["runs"]} == {"a": True, "bad": True, "good": False}
    for name in ("a", "bad", "good"):
        done = subprocess.run([*words, name], capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert "Traceback" not in done.stderr
        assert (done.returncode, "Damaged: " in done.stdout) == (0, name != "good")


async def test_the_app_lists_it_and_the_others(checkpoints: Path) -> None:
    for name in ("events.jsonl", "meta.json"):
        (checkpoints / "bad" / name).unlink()
        os.mkfifo(checkpoints / "bad" / name)
    (checkpoints / "bad/rounds/00/metrics.json").write_text('{"sparsity": 1' + "0" * 400 + "}")
    async with opened(checkpoints) as (app, pilot):
        await until_shown(app, "DONE")
        await until_shown(app, "DAMAGED")
        table = app.screen.query_one("#runs")
        while table.chosen != "bad":  # type: ignore[attr-defined]
            await pilot.press("down")
        await until_shown(app, "bad: events.jsonl: it is a FIFO, not a regular file")
        await until_shown(app, "sparsity is no number that can be")
        for key, title in (("enter", "[2 Live]"), ("3", "[3 Layers]"), ("4", "[4 Compare]"), ("5", "[5 Playground]")):
            await pilot.press(key)
            await until_shown(app, title)
        assert app.is_running


async def test_a_folder_of_runs_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Lister, now: float) -> list[object]:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Lister, "scan", refused)
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "Permission denied.")
        assert "Looking for runs" not in shown(app)


def test_a_given_recipe_may_come_through_a_pipe(tmp_path: Path) -> None:
    script = (
        "codeprune() { "
        + f"{sys.executable} -m codeprune_tui.cli.main"
        + ' "$@"; }; codeprune pretrain <(echo \'kind = "lottery"\') --set training.steps=3'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, "asks for kind" in done.stderr) == (3, True)


def test_resuming_a_damaged_run_says_why(checkpoints: Path) -> None:
    paths = RunPaths(checkpoints / "bad")
    paths.recipe.unlink()
    os.mkfifo(paths.recipe)
    paths.journal.write_text("")
    with pytest.raises(CodepruneError, match="it is a FIFO, not a regular file"):
        client.resume(paths)
