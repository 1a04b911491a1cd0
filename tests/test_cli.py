"""The command line: what it prints where, its exit codes, and what it does without a terminal."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pexpect
import pytest
import torch
from app_runs import make_run, matrices, whole_run, with_figures
from test_client import happened, stand_in, until

from codeprune_tui import bundle
from codeprune_tui.cli import console, main, runs
from codeprune_tui.runs import client
from codeprune_tui.views.plain import plain, plain_lines
from codeprune_tui.views.text import table
from core.compress.masks import save_masks
from core.recipe import Recipe, load_recipe, parse_recipe
from core.run.events import FloorsMeasured, RoundFinished, RunFinished, RunStarted, Scores, Stopped
from core.run.folder import RunPaths, create_run, hold_lock, is_held
from core.run.journal import JournalWriter

PROGRAM = [sys.executable, "-P", "-m", "codeprune_tui.cli.main"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def run_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command line in this process, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CODEPRUNE_CHECKPOINTS", raising=False)

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["codeprune-tui", *arguments])
        with pytest.raises(SystemExit) as left:
            main.main()
        out, err = capsys.readouterr()
        code = left.value.code
        return Result(code if isinstance(code, int) else 0, out, err)

    return call


@pytest.fixture
def stand_in_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes `run` and `resume` start a stand-in for the worker."""

    def choose(mode: str) -> None:
        monkeypatch.setattr(runs.client, "start", partial(client.start, command=stand_in(mode)))
        monkeypatch.setattr(runs.client, "resume", partial(client.resume, command=stand_in(mode)))

    return choose


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[RunPaths]:
    """A run whose worker goes on until it is told to stop."""
    paths = create_run(tmp_path / "checkpoints", "mine", Recipe())
    pid = client.launch(paths, stand_in("endless"))
    until(lambda: happened(paths, RunStarted))
    yield paths
    if is_held(paths):
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_held(paths))


def finished(checkpoints: Path, name: str = "mine") -> RunPaths:
    """A run as it looks when it is done."""
    paths = create_run(checkpoints, name, Recipe())
    client.launch(paths, stand_in("steps"))
    until(lambda: happened(paths, RunFinished) and not is_held(paths))
    return paths


def recipe_file(folder: Path, text: str = "[pruning]\nrounds = 2\n") -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


TABLE = """\
round                       sparsity   chrF   BLEU  corpus BLEU
0                                0 %  20.00  10.00         1.00
1                               25 %  21.00  11.00         2.00
2                               50 %  22.00  12.00         3.00
floor: a constant sentence            10.50   7.50         0.25
floor: the method's name              16.50  12.50         0.75
Encoder off: not measured.
Scored on 20 rows of valid, on cpu.
bleu: codexglue|smooth
corpus_bleu: nrefs:1|case:lc
"""


# --- run, resume, follow -------------------------------------------------------------------------------------------------


def test_run_tells_on_stderr_and_prints_its_table(tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]) -> None:
    stand_in_start("steps")
    result = run_cli("run", recipe_file(tmp_path), "--name", "mine")
    assert result.code == 0
    assert result.out == TABLE
    lines = result.err.splitlines()
    assert lines[0] == f"Started mine in {Path('checkpoints/mine')}"
    assert lines[1] == "Following mine; Ctrl-C detaches, the run goes on"
    assert re.fullmatch(r"\d\d:\d\d:\d\d Started on cpu .*", lines[2])
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d round 0/2 step 1/4, loss 3\.000, 1,000/s tokens.*", line) for line in lines)
    assert sum(" step " in line and "loss" in line for line in lines) == 1  # one line in ten seconds, not one a step
    assert "chrF 22.0 (name 16.5), BLEU 12.00 (name 12.50), corpus BLEU 3.00 (name 0.75) on 20 rows of valid" in result.err
    assert "red <1B>[31m text" in result.err
    assert "\x1b" not in result.err


def test_run_takes_settings_name_and_folder(tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]) -> None:
    stand_in_start("steps")
    settings = [
        "--set",
        "training.preset=paper",
        "--set",
        "training.batch_size = 32",
        "--set",
        "architecture.split_identifiers=false",
    ]
    result = run_cli("run", recipe_file(tmp_path), *settings, "--set", "kind=finetune", "--checkpoints", "elsewhere", "--detach")
    assert (result.code, result.out) == (0, "ruby-mini-finetune-1\n")
    written = load_recipe(tmp_path / "elsewhere" / "ruby-mini-finetune-1" / "recipe.toml")
    assert (written.kind, written.pruning.rounds, written.architecture.split_identifiers) == ("finetune", 2, False)
    # The preset's own settings, but for the one that was given.
    assert (written.training.warmup, written.training.learning_rate, written.training.batch_size) == ("all-rounds", 5e-5, 32)


@pytest.mark.parametrize(
    ("setting", "code", "text"),
    [
        ("training.steps", 2, "--set 'training.steps' is no KEY=VALUE, such as --set training.steps=1000"),
        ("=5", 2, "is no KEY=VALUE"),
        (
            "training.steps=many",
            3,
            "mine.toml with --set: training.steps = 'many' is not allowed; steps must be a whole number of at least 1",
        ),
        ("pruning.scop=global", 3, 'mine.toml with --set: unknown key "pruning.scop"; did you mean "pruning.scope"?'),
        ("pruning=3", 3, "pruning is a table: write its keys below a line [pruning]"),
        ("kind.x=3", 3, "kind = {'x': '3'} is not allowed; allowed: lottery, finetune, pretrain"),
    ],
)
def test_run_refuses_settings_that_cannot_be(tmp_path: Path, run_cli: Cli, setting: str, code: int, text: str) -> None:
    result = run_cli("run", recipe_file(tmp_path, 'kind = "lottery"\n'), "--set", setting)
    assert (result.code, result.out) == (code, "")
    assert text in " ".join(result.err.split())
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(("command", "recipe"), [("run", "demo"), ("finetune", "demo-finetune"), ("pretrain", "demo-pretrain")])
@pytest.mark.parametrize(
    ("setting", "code", "text"),
    [
        ("data.path=/no/such", 4, "There is no folder /no/such; the nearest folder that exists is /. Give data.path as a folder"),
        ("model.path=/no/such", 5, "There is no model at /no/such."),
    ],
)
def test_a_run_whose_data_or_model_is_not_there_is_refused_before_it_is_made(
    tmp_path: Path, run_cli: Cli, command: str, recipe: str, setting: str, code: int, text: str
) -> None:
    result = run_cli(command, recipe, "--set", setting, "--detach")
    assert (result.code, result.out) == (code, "")
    assert text in " ".join(result.err.split())
    assert not (tmp_path / "checkpoints").exists()


def test_run_refuses_a_recipe_that_is_wrong_by_itself(tmp_path: Path, run_cli: Cli) -> None:
    result = run_cli("run", recipe_file(tmp_path, "[training]\nsteps = '5'\n"), "--set", "training.steps=5")
    assert result.code == 3
    problem = "training.steps = '5' is not allowed; steps must be a whole number of at least 1; did you mean 5?"
    assert result.err == f"Error: {tmp_path}/mine.toml: {problem}\n"


def test_run_that_fails_says_so(tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]) -> None:
    stand_in_start("fail")
    result = run_cli("run", recipe_file(tmp_path), "--name", "mine")
    assert (result.code, result.out) == (7, "")
    assert result.err.endswith("\nError: mine failed: The loss is not a number at step 3. Try a lower training.learning_rate.\n")


def test_run_whose_worker_dies_says_so(tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]) -> None:
    stand_in_start("die")
    result = run_cli("run", recipe_file(tmp_path), "--name", "mine")
    assert result.code == 6
    assert "Error: mine is CRASHED; its log is checkpoints/mine/worker.log. Go on with: codeprune-tui resume " in result.err


def test_run_whose_worker_does_not_start_shows_its_log(
    tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]
) -> None:
    stand_in_start("refuse")
    result = run_cli("run", recipe_file(tmp_path), "--name", "mine")
    assert result.code == 6
    assert result.err.endswith("ends with:\nstarting\n<1B>[2Jno such model\n")


def test_resume_goes_on_and_tells_only_what_is_new(tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]) -> None:
    paths = create_run(tmp_path / "checkpoints", "mine", Recipe())
    client.launch(paths, stand_in("endless"))
    until(lambda: happened(paths, RunStarted))
    client.stop(paths)
    until(lambda: not is_held(paths))
    stand_in_start("steps")
    result = run_cli("resume", "mine")
    assert (result.code, result.out) == (0, TABLE)
    assert "Resumed at round 0, step 0" in result.err
    assert "Stopped" not in result.err
    again = run_cli("resume", "mine")
    assert again.code == 6
    assert again.err == "Error: mine is complete, there is nothing to resume. Read it with: codeprune-tui status mine\n"


def test_ctrl_c_detaches_and_the_run_goes_on(endless: RunPaths, tmp_path: Path) -> None:
    command = [*PROGRAM, "status", "mine", "--follow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline() == "Following mine; Ctrl-C detaches, the run goes on\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert (
        err
        == "Detached: the run goes on. Follow it with: codeprune-tui status mine --follow; end it with: codeprune-tui stop mine\n"
    )
    assert is_held(endless)


def test_following_a_run_from_another_process_ends_with_it(endless: RunPaths, tmp_path: Path) -> None:
    command = [*PROGRAM, "status", str(endless.root), "--follow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stderr is not None
    process.stderr.readline()
    client.stop(endless)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert "Error: mine is STOPPED; its log is" in err
    assert "Go on with: codeprune-tui resume mine" in err


# --- pause, stop ---------------------------------------------------------------------------------------------------------


def test_pause_and_stop_return_when_it_has_happened(endless: RunPaths, run_cli: Cli) -> None:
    paused = run_cli("pause", "mine")
    assert (paused.code, paused.out, paused.err) == (0, "", "mine is paused; go on with: codeprune-tui resume mine\n")
    assert run_cli("pause", "mine").err == "mine is paused already\n"
    later = run_cli("pause", "mine", "--after", "2")
    assert (later.code, later.err) == (0, "mine will pause after 2 more rounds\n")
    stopped = run_cli("stop", "mine")
    assert (stopped.code, stopped.err) == (0, "mine is STOPPED; go on with: codeprune-tui resume mine\n")
    assert not is_held(endless)
    again = run_cli("stop", "mine")
    assert (again.code, again.err) == (6, "Error: No worker is at work on mine. Start one with: codeprune-tui resume mine\n")


def test_a_worker_that_does_not_answer_is_told(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ANSWER_S", 0.3)
    monkeypatch.setattr(runs.client, "TAKEN_S", 0.2)
    paths = create_run(tmp_path / "checkpoints", "mine", Recipe())
    with hold_lock(paths):
        result = run_cli("pause", "mine")
    assert result.code == 6
    assert (
        "Error: The worker of mine has not answered in 0 s; it may still carry out the command. See: codeprune-tui status mine"
        in result.err
    )


def test_a_worker_that_ends_instead_of_pausing_is_told(endless: RunPaths, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.client, "pause", client.stop)
    result = run_cli("pause", "mine")
    assert (result.code, result.err) == (6, "Error: The worker of mine ended instead. See: codeprune-tui status mine\n")


def test_a_run_that_is_not_there_names_the_nearest(tmp_path: Path, run_cli: Cli) -> None:
    create_run(tmp_path / "checkpoints", "ruby-mini-1", Recipe())
    for command in ("resume", "pause", "stop", "status"):
        result = run_cli(command, "ruby-mini-2")
        assert (result.code, result.out) == (6, "")
        assert result.err == "Error: There is no run 'ruby-mini-2' in checkpoints. Did you mean ruby-mini-1?\n"


# --- status --------------------------------------------------------------------------------------------------------------


def test_status_lists_runs(tmp_path: Path, run_cli: Cli) -> None:
    empty = run_cli("status")
    assert (empty.code, empty.out, empty.err) == (0, "", "No runs in checkpoints.\n")
    assert json.loads(run_cli("status", "--json").out) == {"schema": 1, "checkpoints": "checkpoints", "runs": []}
    paths = finished(tmp_path / "checkpoints")
    (paths.round(0)).mkdir(parents=True)
    (paths.round(0) / "metrics.json").write_text(json.dumps({"sparsity": 0.0, "scores": {"bleu": 10.0, "chrf": 16.0}}))
    create_run(tmp_path / "checkpoints", "new-one", Recipe())
    result = run_cli("status")
    assert result.err == ""
    heading, mine, new = result.out.splitlines()
    assert heading.split() == ["run", "state", "kind", "round", "sparsity", "chrF", "BLEU", "floor", "best", "dense", "age"]
    assert mine.split()[:10] == ["mine", "DONE", "lottery", "0/9", "0", "%", "16.00", "10.00", "–", "10.00"]
    assert new.split() == ["new-one", "NEW", "lottery", "–/9", "–", "–", "–", "–", "–", "–", "–"]


RUN_KEYS = {
    "name", "path", "state", "killed", "queued", "damage", "kind", "round", "rounds", "sparsity", "sparsity_before", "chrf",
    "bleu", "best_bleu", "dense_bleu", "floors_bleu", "device", "job", "sweep", "host", "changed",
}  # fmt: skip


def test_the_json_of_all_runs_keeps_its_schema(tmp_path: Path, run_cli: Cli) -> None:
    finished(tmp_path / "there")
    listing = json.loads(run_cli("--checkpoints", "there", "status", "--json").out)
    assert set(listing) == {"schema", "checkpoints", "runs"}
    assert listing["schema"] == 1
    (run,) = listing["runs"]
    assert set(run) == RUN_KEYS
    assert (run["name"], run["state"], run["kind"], run["bleu"], run["round"]) == ("mine", "DONE", "lottery", None, -1)
    assert run["path"] == str((tmp_path / "there" / "mine").resolve())  # whoever reads it may stand elsewhere


def test_the_json_of_one_run_keeps_its_schema(tmp_path: Path, run_cli: Cli) -> None:
    paths = finished(tmp_path / "checkpoints")
    run = json.loads(run_cli("status", str(paths.root), "--json").out)["run"]
    assert set(run) == RUN_KEYS | {
        "encoder_off",
        "progress",
        "results",
        "evaluated",
        "floors",
        "signatures",
        "failure",
        "warnings",
    }
    shares = {"sparsity": 0.25, "sparsity_before": 0.0}
    assert run["results"][1] == {"round": 1, **shares, "scores": {"bleu": 11, "corpus_bleu": 2, "chrf": 21}, "seconds": 2}
    assert run["floors"]["name"] == {"bleu": 12.5, "corpus_bleu": 0.75, "chrf": 16.5}
    assert set(run["progress"]) == {"round", "step", "steps", "eta_s", "pid", "host"}
    assert run["evaluated"] == {"split": "valid", "rows": 20}
    assert run["signatures"]["bleu"] == "codexglue|smooth"
    assert run["warnings"] == ["red \x1b[31m text"]
    assert run["failure"] is None


def test_status_of_one_run_shows_its_table_and_is_harmless(tmp_path: Path, run_cli: Cli) -> None:
    finished(tmp_path / "checkpoints")
    result = run_cli("status", "mine")
    assert result.code == 0
    assert result.out.startswith("mine: DONE, round 2/2, step 4/4, last event ")
    assert "Warning: red <1B>[31m text\n" in result.out
    assert result.out.endswith(TABLE)
    assert "\x1b" not in result.out


def test_status_takes_numbers_that_json_has_not(tmp_path: Path, run_cli: Cli) -> None:
    paths = create_run(tmp_path / "checkpoints", "mine", Recipe())
    writer = JournalWriter(paths.journal)
    nowhere = Scores(float("nan"), float("inf"), 1.0)
    writer.append(FloorsMeasured(split="valid", rows=1, constant=nowhere, name=nowhere))
    writer.append(RoundFinished(round=0, sparsity=0.0, scores=nowhere, steps=1, seconds=1.0))
    writer.append(Stopped(round=0, step=1, reason="stop"))
    writer.close()
    text = run_cli("status", "mine", "--json").out
    run = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["run"]
    assert run["results"][0]["scores"] == {"bleu": None, "corpus_bleu": None, "chrf": 1.0}
    assert "1.00     –            –" in run_cli("status", "mine").out


def test_status_survives_damaged_runs(tmp_path: Path, run_cli: Cli) -> None:
    folder = tmp_path / "checkpoints" / "bad"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_bytes(b"\xff" + b"[" * 100_000)
    (folder / "events.jsonl").write_bytes(b"\x00\xff\n{}\n[1]\n" + b'{"seq": 1, "event": "step"}\n' + b"torn")
    (folder / "meta.json").write_text("[" * 100_000)
    listed = run_cli("status")
    assert listed.code == 0
    assert listed.out.splitlines()[1].split()[:3] == ["bad", "DAMAGED", "?"]
    assert run_cli("status", "bad").code == 0
    assert run_cli("status", "bad", "--json").code == 0


def test_compare_prints_a_table_or_csv(tmp_path: Path, run_cli: Cli) -> None:
    for name in ("a", "b"):
        make_run(tmp_path / "checkpoints", name, whole_run(name))
    result = run_cli("compare", "a", "b")
    assert result.code == 0
    lines = [line.split() for line in result.out.splitlines()]
    assert len(lines) == 10  # heads, four rounds of each, and what to make of the scores
    assert lines[6] == ["b", "1", "30", "%", "22.40", "14.00", "2.80", "16.70", "10.50", "+5.70", "not", "measured", "200", "–"]
    rows = list(csv.DictReader(run_cli("compare", "b", "--csv").out.splitlines()))
    assert [row["bleu"] for row in rows] == ["15.0", "14.0", "13.0", "12.0"]
    assert run_cli("compare", "c").code == 6
    assert run_cli("compare").code == 2


def test_compare_holds_the_masks_of_two_runs_against_each_other(tmp_path: Path, run_cli: Cli) -> None:
    for name in ("a", "b"):
        paths, _ = make_run(tmp_path / "checkpoints", name, with_figures(whole_run(name)))
        save_masks({each: torch.ones(64, 64, dtype=torch.bool) for each in matrices(0.5)}, paths.round(3) / "masks.safetensors")
    result = run_cli("compare", "a", "b", "--masks")
    assert result.code == 0
    assert "a, round 3 | b, round 3. All: 100 %, by chance 100 %. Dead rows 87 | 87, heads 8 | 8." in result.err
    assert result.out.splitlines()[0].split()[:3] == ["matrix", "sparsity", "overlap"]
    assert "encoder layer 1, query" in result.out
    assert run_cli("compare", "a", "--masks").code == 2


def test_compare_without_results_says_so(tmp_path: Path, run_cli: Cli) -> None:
    make_run(tmp_path / "checkpoints", "new", [])
    result = run_cli("compare", "new")
    assert (result.code, result.out) == (0, "")
    assert "No complete round yet: new" in result.err
    assert run_cli("compare", "new", "--csv").out.startswith("run,round,sparsity,chrf,bleu")


def test_follow_needs_a_run(run_cli: Cli) -> None:
    result = run_cli("status", "--follow")
    assert result.code == 2
    assert "--follow needs the name of a run." in result.err


# --- pretrain, finetune, demo, shipped recipes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind", "way_out"),
    [
        ("pretrain", "lottery", "codeprune-tui run mine.toml, or set the kind: --set kind=pretrain"),
        ("pretrain", "finetune", "codeprune-tui finetune mine.toml, or set the kind: --set kind=pretrain"),
        ("finetune", "pretrain", "codeprune-tui pretrain mine.toml, or set the kind: --set kind=finetune"),
        ("finetune", "lottery", "codeprune-tui run mine.toml, or set the kind: --set kind=finetune"),
    ],
)
def test_pretrain_and_finetune_refuse_other_kinds(tmp_path: Path, run_cli: Cli, command: str, kind: str, way_out: str) -> None:
    recipe_file(tmp_path, f'kind = "{kind}"\n')
    result = run_cli(command, "mine.toml")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        f'Error: mine.toml asks for kind = "{kind}", but this command only takes "{command}". Start it with: {way_out}\n'
    )
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_pretrain_and_finetune_do_what_run_does(
    tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None], command: str
) -> None:
    stand_in_start("steps")
    recipe_file(tmp_path, f'kind = "{command}"\n')
    detached = run_cli(command, "mine.toml", "--set", "training.steps=7", "--checkpoints", "elsewhere", "--detach")
    assert (detached.code, detached.out) == (0, f"ruby-mini-{command}-1\n")
    written = load_recipe(tmp_path / "elsewhere" / f"ruby-mini-{command}-1" / "recipe.toml")
    assert (written.kind, written.training.steps) == (command, 7)
    followed = run_cli(command, "mine.toml", "--name", "mine", "--plain")
    assert (followed.code, followed.out) == (0, TABLE)
    recipe_file(tmp_path, 'kind = "lottery"\n')
    turned = run_cli(command, "mine.toml", "--set", f"kind={command}", "--detach")
    assert (turned.code, turned.out) == (0, f"ruby-mini-{command}-1\n")


def test_a_shipped_recipe_is_taken_by_its_name(tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]) -> None:
    stand_in_start("steps")
    assert run_cli("finetune", "demo-finetune", "--name", "tuned", "--detach").code == 0
    written = load_recipe(tmp_path / "checkpoints" / "tuned" / "recipe.toml")
    assert (written.kind, written.picker.rule) == ("finetune", "best")
    assert Path(written.model.path).is_dir()  # it lies with the package, not here
    assert Path(written.data.path).is_dir()
    changed = run_cli("run", "demo", "--set", "pruning.rounds=3", "--name", "pruned", "--detach")
    assert changed.code == 0
    assert load_recipe(tmp_path / "checkpoints" / "pruned" / "recipe.toml").pruning.rounds == 3
    assert run_cli("recipe", "--check", "demo").err.startswith("demo is valid: lottery, sparsity by round 0 %, ")
    assert 'path = "checkpoints/bundled/ruby-mini"' in run_cli("recipe", "--show", "demo").out
    nowhere = run_cli("run", "demmo")
    assert nowhere.code == 3
    assert nowhere.err == (
        "Error: Cannot read the recipe demmo: there is no such file. Write one with: codeprune-tui recipe > mine.toml, "
        "or name one that came with codeprune-tui: demo, demo-finetune, demo-pretrain, fast-2x, fast-3x.\n"
    )


def test_a_demo_without_a_terminal_is_a_run_with_its_table(
    tmp_path: Path, run_cli: Cli, stand_in_start: Callable[[str], None]
) -> None:
    stand_in_start("steps")
    result = run_cli("demo")  # neither stdin nor stdout is a terminal here
    assert (result.code, result.out) == (0, TABLE)
    assert result.err.startswith(f"Started demo-1 in {Path('checkpoints/demo-1')}\nFollowing demo-1; Ctrl-C detaches")
    assert "BLEU 12.00 (name 12.50), corpus BLEU 3.00 (name 0.75)" in result.err
    assert load_recipe(tmp_path / "checkpoints" / "demo-1" / "recipe.toml") == client.anchored(bundle.demo_recipe())
    again = run_cli("demo", "--plain", "--checkpoints", "elsewhere", "--name", "shown")
    assert (again.code, again.out) == (0, TABLE)
    assert (tmp_path / "elsewhere" / "shown" / "events.jsonl").exists()
    assert run_cli("demo", "--plain").err.startswith("Started demo-2 ")


def test_the_example_run_is_shown_from_anywhere_but_not_commanded(tmp_path: Path, run_cli: Cli) -> None:
    shown = run_cli("status", "example-run")
    assert shown.code == 0
    assert shown.out.startswith("example-run: DONE, ")
    assert "floor: the method's name" in shown.out
    compared = run_cli("compare", "example-run")
    assert (compared.code, compared.err) == (0, "")
    assert "example-run" in compared.out
    assert run_cli("report", "example-run", "--markdown", "report.md").code == 0
    assert "example-run" in (tmp_path / "report.md").read_text(encoding="utf-8")
    for command in ("resume", "pause", "stop"):
        result = run_cli(command, "example-run")
        assert (result.code, result.out) == (6, "")
        assert result.err == (
            "Error: example-run came with codeprune-tui as an example: it can be read, not changed. "
            "For such a run of your own press d under 1 Runs, or: codeprune-tui run demo\n"
        )
    create_run(tmp_path / "checkpoints", "example-run", Recipe())
    assert run_cli("status", "example-run").out.startswith("example-run: NEW")  # one's own comes first


# --- recipe --------------------------------------------------------------------------------------------------------------


def test_recipe_prints_a_commented_template_that_is_right(run_cli: Cli, tmp_path: Path) -> None:
    result = run_cli("recipe", "--template")
    assert result.code == 0
    assert result == run_cli("recipe")
    assert parse_recipe(result.out) == Recipe()
    assert "# Which weights compete" in result.out
    (tmp_path / "mine.toml").write_text(result.out)
    check = run_cli("recipe", "--check", "mine.toml")
    assert (check.code, check.out) == (0, "")
    assert check.err.startswith("mine.toml is valid: lottery, sparsity by round 0 %, 10 %, 20 %")


def test_recipe_shows_what_is_filled_in(run_cli: Cli, tmp_path: Path) -> None:
    result = run_cli("recipe", "--show", recipe_file(tmp_path, '[training]\npreset = "paper"\n'))
    assert result.code == 0
    assert "#" not in result.out
    assert parse_recipe(result.out).training.warmup == "all-rounds"


def test_recipe_tells_what_is_wrong(run_cli: Cli, tmp_path: Path) -> None:
    result = run_cli("recipe", "--check", recipe_file(tmp_path, "[pruning]\nscope = 'globl'\nrounds = -1\n"))
    assert (result.code, result.out) == (3, "")
    assert result.err.splitlines() == [
        f"Error: {tmp_path}/mine.toml: pruning.scope = 'globl' is not allowed; allowed: layerwise, global, row; "
        'did you mean "global"?',
        f"{tmp_path}/mine.toml: pruning.rounds = -1 is not allowed; rounds must be a whole number of at least 0 and at most 200",
    ]
    assert run_cli("recipe", "--check", "nowhere.toml").code == 3
    both = run_cli("recipe", "--template", "--check", "mine.toml")
    assert both.code == 2
    assert "Give only one of --template, --check, --show." in both.err


# --- comment, evaluate (without a model; the end-to-end tests have one) ----------------------------------------------------


def test_comment_refuses_a_file_that_is_not_there(run_cli: Cli) -> None:
    result = run_cli("comment", "nowhere.rb")
    assert (result.code, result.out) == (4, "")
    assert result.err == "Error: Cannot read nowhere.rb: No such file or directory. Give a Ruby file, or - for stdin.\n"


def test_comment_reads_nothing_that_never_ends_or_is_far_too_large(run_cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.rb")
    (tmp_path / "huge.rb").touch()
    os.truncate(tmp_path / "huge.rb", 20_000_001)
    for name, problem in (("pipe.rb", "it is a FIFO"), ("/dev/zero", "it is a device"), ("huge.rb", "it is longer than 20 MB")):
        result = run_cli("comment", name)
        assert (result.code, result.out) == (4, "")
        assert result.err.startswith(f"Error: Cannot read {name}: {problem}")


def test_a_name_of_thousands_of_characters_is_told_by_its_ends(run_cli: Cli) -> None:
    result = run_cli("status", "a" * 2500 + "z" * 2500)
    assert result.code == 6
    assert "a" * 150 + "…" + "z" * 150 in result.err
    assert len(result.err) < 1000


def test_comment_of_a_file_without_methods_needs_no_model(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty.rb").write_bytes(b"x = 1 \xff\n")
    result = run_cli("comment", "empty.rb", "--model", "nowhere", "--json")
    assert result.code == 8
    assert json.loads(result.out)["methods"] == []
    assert "empty.rb, line 1: " in result.err
    assert "There is no method in empty.rb.\n" in result.err


def test_evaluate_refuses_an_output_it_cannot_write_before_it_works(run_cli: Cli, tmp_path: Path) -> None:
    result = run_cli("evaluate", "nowhere", "--predictions", "missing/out.jsonl")
    assert result.code == 4
    assert result.err == f"Error: There is no folder {tmp_path}/missing for the predictions. Make it, or give another path.\n"


@pytest.mark.slow
def test_evaluate_and_comment_tell_of_a_model_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.rb").write_text("def a; 1; end\n")
    for arguments in (["evaluate", str(tmp_path / "nowhere")], ["comment", "a.rb", "--model", str(tmp_path / "nowhere")]):
        result = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (result.returncode, result.stdout) == (5, "")
        assert result.stderr.startswith("Error: ")
        assert "nowhere" in result.stderr


# --- the front door ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "speeds", "entries"),
    [
        ("fast-2x", "1.00 ×, 1.15 ×, 1.37 ×, 1.67 ×, 2.15 ×", "4,000"),
        ("fast-3x", "1.00 ×, 1.16 ×, 1.38 ×, 1.71 ×, 2.24 ×, 3.25 ×", "3,000"),
    ],
)
def test_a_budget_of_time_is_checked_as_speeds(run_cli: Cli, name: str, speeds: str, entries: str) -> None:
    result = run_cli("recipe", "--check", name)
    assert result.code == 0
    assert f"{name} is valid: lottery, speed by round {speeds}; vocabulary: at most {entries} entries" in result.err


def test_without_a_terminal_the_app_says_what_to_use(run_cli: Cli) -> None:
    result = run_cli()
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("The app needs a terminal on stdin and stdout. Without one, use the subcommands, for instance: ")


def test_help_is_everywhere_and_names_the_exit_codes(run_cli: Cli) -> None:
    for flag in ("-h", "--help"):
        result = run_cli(flag)
        assert result.code == 0
        assert "codeprune-tui run mine.toml --detach" in result.out
        for code, meaning in (
            (3, "the recipe is wrong"),
            (6, "the run is missing, busy, stopped or crashed"),
            (130, "interrupted"),
        ):
            assert f"{code} {meaning}" in result.out
        assert "..." not in result.out.split("Commands:")[1].split("Examples:")[0]  # no summary is cut
    for command in ("run", "pretrain", "finetune", "demo", "resume", "pause", "stop", "status", "evaluate", "comment", "recipe"):
        assert run_cli(command, "-h").code == 0


def test_version_and_usage(run_cli: Cli) -> None:
    assert run_cli("--version").out.startswith("codeprune-tui 0.")
    wrong = run_cli("status", "--jsn")
    assert (wrong.code, wrong.out) == (2, "")
    assert "--jsn" in wrong.err
    assert run_cli("nonsense").code == 2


def test_the_folder_of_runs_comes_from_the_environment(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEPRUNE_CHECKPOINTS", "from-environment")
    assert run_cli("status").err == "No runs in from-environment.\n"
    assert run_cli("--checkpoints", "given", "status").err == "No runs in given.\n"
    assert run_cli("status", "--checkpoints", "last").err == "No runs in last.\n"


def test_another_core_is_told_apart(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.core, "OWNER", "somebody")
    result = run_cli("status")
    assert result.code == 1
    assert result.err.startswith("Another package called core (")


def test_an_error_of_the_system_has_no_traceback(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> list[RunPaths]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "run_folders", broken)
    result = run_cli("status")
    assert (result.code, result.err) == (1, f"Error: There is no room left on the disk of {Path.cwd()}. Make room there.\n")


def test_a_terminal_without_unicode_is_served(tmp_path: Path) -> None:
    create_run(tmp_path / "checkpoints", "mine", Recipe())
    settings = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    result = subprocess.run([*PROGRAM, "status"], capture_output=True, text=True, cwd=tmp_path, env=settings, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\u2013/9" in result.stdout


def test_a_closed_pipe_is_no_error_text(tmp_path: Path) -> None:
    finished(tmp_path / "checkpoints")
    command = " ".join([*PROGRAM, "recipe", "|", "true"])
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "Traceback" not in result.stderr


# --- on a terminal -------------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_bar_with_rate_and_time_left(endless: RunPaths, tmp_path: Path) -> None:
    child = pexpect.spawn(
        PROGRAM[0], [*PROGRAM[1:], "status", "mine", "--follow"], cwd=str(tmp_path), encoding="utf-8", dimensions=(24, 120),
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    child.expect("round 0/2 step 1/4 ", timeout=20)
    client.pause(endless)
    child.expect("Paused at round 0, step 1", timeout=20)
    child.expect(r"round 0/2 step 1/4 .*loss 3\.000, 1,000/s tokens", timeout=20)
    child.sendintr()
    child.expect("Detached: the run goes on", timeout=20)
    child.expect(pexpect.EOF, timeout=20)
    child.close()
    assert child.exitstatus == 130
    assert is_held(endless)


def test_no_color_and_dumb_terminals_are_respected(tmp_path: Path) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*[3-9][0-9][0-9;]*m")
    program = (
        "from codeprune_tui.cli.console import counting, wants_bar\n"
        "with counting('decoding', 'rows', bar=wants_bar()) as progress:\n    progress(3, 4)\n"
    )
    for environment, bar, coloured in (({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, False, False)):
        settings = (
            {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"} | environment
        )
        child = pexpect.spawn(sys.executable, ["-c", program], env=settings, encoding="utf-8", dimensions=(24, 100))
        text = str(child.read())
        child.close()
        assert "decoding 3/4 rows" in text
        assert "rows/s" in text
        assert ("━" in text, bool(colour.search(text))) == (bar, coloured), environment


# --- narration -----------------------------------------------------------------------------------------------------------


def test_counting_tells_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with console.counting("decoding", "rows", bar=False) as progress:
        for done in range(1, 101):
            progress(done, 100)
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"decoding 1/100 rows, [\d,.]+ rows/s, .+ left", first)
    assert re.fullmatch(r"decoding 100/100 rows, [\d,.]+ rows/s, 0 s left", last)


def test_tables_align() -> None:
    assert table([["a", "number"], ["long", "1"]]) == "a     number\nlong       1"


def test_plain_makes_text_harmless() -> None:
    assert plain("tab\tand\nline \x1b[31m \x00 \x7f \x85 ‮ \ud800 é ☃") == "tab and line <1B>[31m <00> <7F> <85> <202E> <D800> é ☃"
    assert plain("x" * 2000) == "x" * 1000 + "…"
    assert plain_lines("1\n2\r\n\x1b3", most=2) == "2 \n<1B>3"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["demo"], (True, False)),
        (["demo", "--low-bandwidth"], (True, True)),
        (["--low-bandwidth", "demo"], (True, True)),
        (["--low-bandwidth"], (False, True)),
        ([], (False, False)),
    ],
    ids=str,
)
def test_low_bandwidth_reaches_the_app_however_it_is_opened(
    run_cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: tuple[bool, bool]
) -> None:
    opened = []

    def run_app(checkpoints: Path, demo: bool = False, low_bandwidth: bool = False, playground_device: str = "") -> None:
        opened.append((demo, low_bandwidth))

    monkeypatch.setattr("codeprune_tui.app.run_app", run_app)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert run_cli(*arguments).code == 0
    assert opened == [expected]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("evaluate", "m", "--split", "nope"), "'--split': 'nope' is not one of 'train', 'valid', 'test'."),
        (("evaluate", "m", "--beam", "0"), "'--beam': it must be at least 1"),
        (("evaluate", "m", "--beam", "x"), "'--beam': it must be a whole number"),
        (("comment", "a.rb", "--length-penalty", "x"), "'--length-penalty': it must be a number"),
    ],
)
def test_a_wrong_value_of_an_option_is_told_in_plain_words(run_cli: Cli, arguments: tuple[str, ...], problem: str) -> None:
    result = run_cli(*arguments)
    assert result.code == 2
    assert result.err.endswith(f"Error: Invalid value for {problem}\n")
