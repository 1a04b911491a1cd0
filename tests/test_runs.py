"""Run folders: names, locks, states, and a list that no damaged run can break."""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import RunError
from core.recipe import Recipe, build_recipe, load_recipe, to_toml
from core.run import folder
from core.run.events import (
    DataLoaded,
    Event,
    Failed,
    Happening,
    Paused,
    Resumed,
    RoundStarted,
    RunFinished,
    RunStarted,
    Step,
    Stopped,
    Unknown,
    Warned,
)
from core.run.folder import (
    STALE_AFTER_S,
    STARTING_MOST_S,
    RunPaths,
    State,
    create_run,
    find_run,
    free_name,
    hold_lock,
    is_held,
    run_folders,
    run_info,
    run_state,
)
from core.run.journal import JournalWriter

STARTED = RunStarted(
    run="r",
    kind="lottery",
    rounds=3,
    steps=10,
    resumed=False,
    round=0,
    step=0,
    device="cpu",
    threads=1,
    pid=1,
    host="host",
    versions={},
)
PAUSED, RESUMED, STOPPED = Paused(round=0, step=1), Resumed(round=0, step=1), Stopped(round=0, step=1, reason="stop")
FAILED, DONE, STEP = (
    Failed(problem="p", fix="f"),
    RunFinished(rounds=3),
    Step(round=0, step=1, steps=10, loss=1.0, learning_rate=1e-4, tokens_per_second=1.0, examples_per_second=1.0),
)
WARNED = Warned(message="w")
LOADED, BEGUN = DataLoaded(split="train", rows=9, skipped=0), RoundStarted(round=0, sparsity=0.0, steps=10)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path / "checkpoints", "mine", Recipe())


def finish_round(paths: RunPaths, number: int, content: object) -> None:
    paths.round(number).mkdir(parents=True)
    (paths.round(number) / "metrics.json").write_text(json.dumps(content))


# --- making and finding ----------------------------------------------------------------------------------------------------


def test_a_new_run_holds_its_recipe_and_nothing_else(tmp_path: Path) -> None:
    recipe = build_recipe({"training": {"preset": "paper"}})
    paths = create_run(tmp_path / "not" / "there", "mine", recipe)
    assert [path.name for path in paths.root.iterdir()] == ["recipe.toml"]
    assert [path.name for path in paths.root.parent.iterdir()] == ["mine"]
    assert load_recipe(paths.recipe) == recipe
    assert paths.name == "mine"


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "ä", "-x", "x" * 101, "a\n"])
def test_a_name_that_cannot_be_a_folders_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError) as caught:
        create_run(tmp_path, name, Recipe())
    assert str(caught.value) == (
        f"{name!r} cannot be the name of a run. "
        "Use letters, digits, '.', '-' and '_', beginning with a letter or digit, 100 at most."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(paths: RunPaths) -> None:
    with pytest.raises(RunError, match=r"^There is already something at .*/mine\. Choose .* codeprune-tui resume \S+/mine$"):
        create_run(paths.root.parent, "mine", Recipe())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunError, match=r"^Cannot make the run folder .*: (File exists|Not a directory)\. Choose another with --checkpoints\.$"
    ):
        create_run(tmp_path / "file", "mine", Recipe())


def test_free_names_count_up(tmp_path: Path) -> None:
    assert free_name(tmp_path, "a") == "a-1"
    create_run(tmp_path, "a-1", Recipe())
    assert free_name(tmp_path, "a") == "a-2"


def test_a_run_is_found_by_name_and_by_path(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(paths.root.parent.parent)
    resolved = [
        find_run(Path("checkpoints"), "mine"),
        find_run(Path("nowhere"), "checkpoints/mine"),
        find_run(Path("x"), str(paths.root)),
    ]
    assert resolved == [RunPaths(paths.root.resolve())] * 3


def test_a_run_that_is_not_there_names_the_nearest(paths: RunPaths) -> None:
    checkpoints = paths.root.parent
    with pytest.raises(RunError, match=r"^There is no run 'mime' in .*\. Did you mean mine\?$"):
        find_run(checkpoints, "mime")
    with pytest.raises(RunError, match=r"Runs here: mine\.$"):
        find_run(checkpoints, "zzz")
    with pytest.raises(RunError, match=r"Runs here: none yet\.$"):
        find_run(checkpoints / "nowhere", "zzz")


def test_only_run_folders_are_listed(paths: RunPaths) -> None:
    checkpoints = paths.root.parent
    (checkpoints / "bundled").mkdir()
    (checkpoints / ".cache").mkdir()
    (checkpoints / ".cache" / "recipe.toml").write_text("")
    (checkpoints / "file").write_text("")
    (checkpoints / "dangling").symlink_to("nowhere")
    create_run(checkpoints, "also", Recipe())
    assert [each.name for each in run_folders(checkpoints)] == ["also", "mine"]
    assert run_folders(checkpoints / "nowhere") == []


# --- the lock --------------------------------------------------------------------------------------------------------------


def test_the_lock_shows_a_worker_and_keeps_others_out(paths: RunPaths) -> None:
    assert not is_held(paths)
    with hold_lock(paths):
        assert is_held(paths)
        with (
            pytest.raises(
                RunError, match=r"^Another worker is already at work on mine\. Watch it with: codeprune-tui status \S+/mine$"
            ),
            hold_lock(paths, patience_s=0.05),
        ):
            pass
        assert is_held(paths)
    assert not is_held(paths)
    assert paths.lock.stat().st_mode & 0o022 == 0  # others may look, so that a live run shows as live to them, too


def test_a_probe_does_not_keep_a_worker_out(paths: RunPaths) -> None:
    program = (
        "import fcntl, os, sys, time; fd = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_SH);"
        "print('held', flush=True); time.sleep(0.3)"
    )
    paths.lock.touch()
    probe = subprocess.Popen([sys.executable, "-c", program, str(paths.lock)], stdout=subprocess.PIPE)
    assert probe.stdout is not None
    with probe.stdout:
        probe.stdout.readline()
        with hold_lock(paths, patience_s=20):
            assert is_held(paths)
    probe.wait()


def test_the_lock_goes_with_its_process(paths: RunPaths) -> None:
    program = (
        "import sys, time; from pathlib import Path; from core.run.folder import RunPaths, hold_lock\n"
        "with hold_lock(RunPaths(Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(paths.root)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        holder.stdout.readline()
        assert is_held(paths)
        holder.kill()
        holder.wait()
    assert not is_held(paths)


# --- states ----------------------------------------------------------------------------------------------------------------


def events(*happenings: Happening) -> list[Event]:
    return [Event(number, 100.0 + number, what) for number, what in enumerate(happenings)]


@pytest.mark.parametrize(
    ("happenings", "held", "state"),
    [
        ([], False, State.NEW),
        ([], True, State.STARTING),
        ([STARTED], True, State.STARTING),
        ([STARTED, LOADED], True, State.STARTING),
        ([STARTED, LOADED, BEGUN], True, State.RUNNING),
        ([STARTED], False, State.CRASHED),
        ([STARTED, STEP], False, State.CRASHED),
        ([STARTED, PAUSED], True, State.PAUSED),
        ([STARTED, PAUSED, WARNED], True, State.PAUSED),
        ([STARTED, PAUSED], False, State.CRASHED),
        ([STARTED, PAUSED, RESUMED], True, State.RUNNING),
        ([STARTED, PAUSED, RESUMED, STEP], False, State.CRASHED),
        ([STARTED, STOPPED], False, State.STOPPED),
        ([STARTED, STOPPED, STARTED], True, State.STARTING),
        ([STARTED, STOPPED, STARTED], False, State.CRASHED),
        ([STARTED, FAILED], False, State.FAILED),
        ([STARTED, DONE], False, State.DONE),
        ([STARTED, DONE, WARNED], False, State.DONE),
        ([STEP, STEP], True, State.RUNNING),
        ([STEP, STEP], False, State.CRASHED),
    ],
)
def test_the_state_follows_from_journal_and_lock(happenings: Sequence[Happening], held: bool, state: State) -> None:
    assert run_state(events(*happenings), held, now=101.0) is state


def test_silence_is_shown_but_not_of_a_paused_run() -> None:
    assert run_state(events(STEP), True, 100.0 + STALE_AFTER_S) is State.RUNNING
    assert run_state(events(STEP), True, 100.1 + STALE_AFTER_S) is State.STALE
    assert run_state(events(STARTED, PAUSED), True, 1e6) is State.PAUSED
    assert run_state(events(STARTED), False, 1e6) is State.CRASHED


def test_a_worker_that_only_starts_is_not_stale() -> None:
    # Resumed hours after its last word; torch is imported, a large corpus tokenized, a first step compiled.
    for past in ([STARTED, STEP], [STARTED, STOPPED], [STARTED, FAILED], [STARTED, PAUSED], [STEP]):
        assert run_state(events(*past), True, 9_000.0, taken=8_950.0) is State.STARTING
        assert run_state(events(*past), True, 8_950.1 + STARTING_MOST_S, taken=8_950.0) is State.STALE
    assert run_state([], True, 9_000.0, taken=8_950.0) is State.STARTING
    for begun in ([STARTED], [STARTED, LOADED]):
        assert run_state(events(*begun), True, 100.0 + STARTING_MOST_S, taken=99.0) is State.STARTING
        assert run_state(events(*begun), True, 102.0 + STARTING_MOST_S, taken=99.0) is State.STALE
    assert run_state(events(STARTED, BEGUN), True, 200.0, taken=99.0) is State.RUNNING
    assert run_state(events(STARTED, STEP), True, 200.0, taken=99.0) is State.STALE
    # The worker whose last word it is has not let go yet.
    assert run_state(events(STARTED, STOPPED), True, 103.0, taken=99.0) is State.RUNNING


def test_the_list_tells_a_worker_that_starts_from_one_that_is_silent(paths: RunPaths) -> None:
    journal = JournalWriter(paths.journal, lambda: 1000.0)
    journal.append(STARTED)
    journal.append(STEP)
    journal.close()
    with hold_lock(paths):
        assert run_info(paths, 1040.0).words == "STALE"
        paths.lock.write_text("1035.5")
        info = run_info(paths, 1040.0)
        assert (info.state, info.words, info.stale_from) == (State.STARTING, "STARTING…", 1035.5 + STARTING_MOST_S)
        paths.lock.write_text("no number")
        assert run_info(paths, 1040.0).state is State.STALE
    assert run_info(paths, 1040.0).state is State.CRASHED


def test_an_unreadable_last_line_is_no_silence() -> None:
    assert run_state([*events(STEP), Event(-1, 0.0, Unknown("newer"))], True, 101.0) is State.RUNNING


# --- one line of the list --------------------------------------------------------------------------------------------------


def test_the_line_of_a_run_without_events(paths: RunPaths) -> None:
    info = run_info(paths, time.time())
    assert (info.state, info.kind, info.round, info.rounds) == (State.NEW, "lottery", -1, 9)
    assert (info.sparsity, info.bleu, info.best_bleu, info.dense_bleu, info.device, info.changed) == (
        0.0,
        None,
        None,
        None,
        "",
        0.0,
    )


def test_the_line_of_a_run(paths: RunPaths) -> None:
    for number, bleu in ((0, 10.0), (1, 12.0), (10, 9.0), (2, 11.0)):
        finish_round(paths, number, {"sparsity": number * 0.05, "scores": {"bleu": bleu}})
    (paths.rounds / ".tmp-11-99").mkdir()
    paths.meta.write_text(json.dumps({"device": "cpu"}))
    writer = JournalWriter(paths.journal, clock=lambda: 500.0)
    writer.append(STARTED)
    writer.append(DONE)
    writer.close()
    with paths.journal.open("a") as file:
        file.write("damage\n")
    info = run_info(paths, 501.0)
    assert (info.state, info.round, info.sparsity, info.changed, info.device) == (State.DONE, 10, 0.5, 500.0, "cpu")
    assert (info.bleu, info.best_bleu, info.dense_bleu) == (9.0, 12.0, 10.0)
    assert paths.finished_rounds() == [0, 1, 2, 10]


def test_the_dense_score_is_that_of_round_0_only(paths: RunPaths) -> None:
    finish_round(paths, 0, "damaged")
    finish_round(paths, 1, {"sparsity": 0.1, "scores": {"bleu": 12.0}})
    assert run_info(paths, 0.0).dense_bleu is None


@pytest.mark.parametrize(
    "metrics", ["[]", "{}", '{"scores": 3}', '{"scores": {"bleu": "x"}, "sparsity": []}', "{torn", "[" * 100_000]
)
def test_damaged_scores_are_no_scores(paths: RunPaths, metrics: str) -> None:
    paths.round(0).mkdir(parents=True)
    (paths.round(0) / "metrics.json").write_text(metrics)
    info = run_info(paths, 0.0)
    assert (info.round, info.bleu, info.sparsity) == (0, None, 0.0)


@pytest.mark.parametrize("recipe", [b"\xff", b"kind = ", b"a = " + b"[" * 100_000])
def test_a_damaged_recipe_shows_as_such(paths: RunPaths, recipe: bytes) -> None:
    paths.recipe.write_bytes(recipe)
    paths.meta.write_text("[" * 100_000)
    info = run_info(paths, 0.0)
    assert (info.kind, info.rounds, info.device) == ("?", 0, "")


@pytest.mark.parametrize(
    ("recipe", "kind", "rounds"),
    [
        ("", "lottery", 9),
        ('kind = "finetune"', "finetune", 0),
        ("pruning = 3", "lottery", 9),
        ("[pruning]\nrounds = 'x'", "lottery", 0),
    ],
)
def test_the_recipe_is_read_loosely(paths: RunPaths, recipe: str, kind: str, rounds: int) -> None:
    paths.recipe.write_text(recipe)
    info = run_info(paths, 0.0)
    assert (info.kind, info.rounds) == (kind, rounds)


def test_every_artefact_lies_in_the_run_folder_but_the_cache(paths: RunPaths) -> None:
    inside = (
        paths.recipe,
        paths.journal,
        paths.commands,
        paths.lock,
        paths.log,
        paths.meta,
        paths.rewind,
        paths.resume,
        paths.round(3),
    )
    assert all(paths.root in path.parents for path in inside)
    assert paths.round(3) == paths.root / "rounds" / "03"
    assert paths.round(123) == paths.root / "rounds" / "123"
    assert paths.cache == paths.root.parent / ".cache"
    assert os.path.commonpath([paths.cache, paths.root]) == str(paths.root.parent)


def test_the_state_is_that_of_the_last_turn_and_the_time_that_of_the_last_readable_line(paths: RunPaths) -> None:
    clock = iter(range(500, 600))
    writer = JournalWriter(paths.journal, clock=lambda: float(next(clock)))
    for happening in (STARTED, PAUSED, STEP, STEP):
        writer.append(happening)
    writer.close()
    # A turn that cannot be read is none, and a newer version's last line has no time.
    with paths.journal.open("a") as file:
        file.write('{"seq": 4, "time": 504.0, "event": "run_finished"}\n{"seq": 5, "event": "newer"}\n')
    with hold_lock(paths):
        info = run_info(paths, 510.0)
    assert (info.state, info.changed) == (State.PAUSED, 503.0)
    assert run_info(paths, 510.0).state is State.CRASHED


def test_lines_in_between_are_not_validated(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(paths.journal, clock=lambda: 500.0)
    for happening in (STARTED, *[STEP] * 100):
        writer.append(happening)
    writer.close()
    read: list[bytes] = []
    whole = folder.from_line
    monkeypatch.setattr(folder, "from_line", lambda line: (read.append(line), whole(line))[1])
    assert run_info(paths, 500.0).state is State.CRASHED
    assert len(read) == 2


@pytest.mark.parametrize(
    ("sections", "kind", "rounds"),
    [({}, "lottery", 9), ({"pruning": {"rounds": 4}}, "lottery", 4), ({"kind": "finetune"}, "finetune", 0)],
)
def test_a_recipe_as_it_is_written_need_not_be_parsed(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, sections: dict[str, object], kind: str, rounds: int
) -> None:
    paths.recipe.write_text(to_toml(build_recipe(sections)))
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("parsed"))
    info = run_info(paths, 0.0)
    assert (info.kind, info.rounds) == (kind, rounds)


def test_lines_within_a_longer_text_are_no_keys(paths: RunPaths) -> None:
    paths.recipe.write_text('kind = "finetune"\nx = """\n[pruning]\nrounds = 3\n"""\n')
    assert run_info(paths, 0.0).kind == "finetune"
    paths.recipe.write_text('kind = "lottery"\nx = """\n[pruning]\nrounds = 3\n"""\n')
    assert run_info(paths, 0.0).rounds == 9
