"""Sweeps: the file and the runs that it asks for, and the commands that make, show and stop them."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from test_cli import Cli, run_cli  # noqa: F401 - a fixture
from test_client import happened, stand_in, until
from test_experiments import stand_ins  # noqa: F401 - a fixture

from codeprune_tui.runs import client
from codeprune_tui.runs.many import Reproduction, follow
from codeprune_tui.runs.sweeps import SweepFolder
from core.errors import DataError, RecipeError, RunError, TrainingError
from core.recipe import load_recipe
from core.run.events import Paused, Resumed, RoundFinished, RunStarted
from core.run.folder import RunPaths, State, create_run, is_held, run_folders
from core.study.experiments import Planned
from core.study.sweep import load_sweep, plan_sweep, template

BASE: dict[str, object] = {"training": {"steps": 20}, "pruning": {"rounds": 2}}
TWO = 'name = "two"\nrecipe = "demo"\n[grid]\npruning.scope = ["layerwise", "global"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def planned(folder: Path, text: str, base: dict[str, object] = BASE) -> list[Planned]:
    return plan_sweep(load_sweep(written(folder, text)), base, "sweep.toml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        planned(folder, text)
    return caught.value.problem


# --- the file


def test_the_template_is_a_sweep(tmp_path: Path) -> None:
    runs = planned(tmp_path, template())
    assert len(runs) == 12
    assert runs[0].name == "scopes-layerwise-finetuned-8-s0"
    assert (runs[0].recipe.pruning.scope, runs[0].recipe.rewind.to, runs[0].recipe.training.batch_size) == (
        "layerwise",
        "finetuned",
        8,
    )
    assert all(run.recipe.training.threads == 1 for run in runs)
    commented = re.sub(r"^# (\w+ = )", r"\1", template(), flags=re.MULTILINE)
    assert load_sweep(written(tmp_path, commented)).slurm.lines == ("--constraint=a100",)


def test_grids_are_combined_cases_change_together_and_first_seeds_come_first(tmp_path: Path) -> None:
    runs = planned(
        tmp_path,
        """
        name = "s"
        recipe = "demo"
        seeds = [3, 4]
        set.evaluation.beam = 2
        cases = [{"pruning.criterion" = "magnitude", "pruning.final_sparsity" = 0.5}, {"pruning.criterion" = "random"}]
        [grid]
        "pruning.scope" = ["layerwise", "global"]
        """,
    )
    assert [(run.seed, run.recipe.pruning.criterion, run.recipe.pruning.scope) for run in runs] == [
        (seed, criterion, scope) for seed in (3, 4) for criterion in ("magnitude", "random") for scope in ("layerwise", "global")
    ]
    assert [run.recipe.pruning.final_sparsity for run in runs[:4]] == [0.5, 0.5, 0.9, 0.9]
    assert all(
        (run.recipe.training.seed, run.recipe.evaluation.beam, run.recipe.training.steps) == (run.seed, 2, 20) for run in runs
    )
    assert len({run.name for run in runs}) == 8


def test_a_swept_preset_brings_its_values(tmp_path: Path) -> None:
    sane, paper = planned(tmp_path, 'name = "s"\nrecipe = "demo"\n[grid]\ntraining.preset = ["sane", "paper"]\n')
    assert (sane.recipe.training.learning_rate, paper.recipe.training.learning_rate) == (2e-4, 5e-5)
    assert paper.recipe.training.steps == 20


def test_names_follow_the_pattern_and_paths_give_their_end(tmp_path: Path) -> None:
    head = 'name = "s"\nrecipe = "demo"\nseeds = [7]\n'
    grid = '[grid]\nmodel.path = ["models/big", "models/small"]\nrewind.to = ["step:5"]\n'
    assert [run.name for run in planned(tmp_path, head + grid)] == ["s-big-step-5-s7", "s-small-step-5-s7"]
    names = 'names = "{number}-{model.path}-of-{sweep}-{training.seed}"\n'
    assert [run.name for run in planned(tmp_path, head + names + grid)] == ["0-big-of-s-7", "1-small-of-s-7"]
    assert [run.name for run in planned(tmp_path, 'name = "s"\nrecipe = "demo"\n')] == ["s"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('recipi = "x"', ['sweep.toml: unknown key "recipi"; did you mean "recipe"?', "name is missing", "recipe is missing"]),
        ('name = "a/b"\nrecipe = "x"', ["name = 'a/b' is not allowed; allowed: letters, digits"]),
        (TWO.replace("scope", "scop"), ['sweep.toml: unknown key "pruning.scop"; did you mean "pruning.scope"?']),
        (TWO.replace('["layerwise", "global"]', '"global"'), ["grid.pruning.scope = 'global' is no list of values"]),
        (TWO.replace('"layerwise", "global"', ""), ["grid.pruning.scope = [] is no list of values"]),
        (TWO + "[set]\npruning.scope = 'global'", ["pruning.scope stands in set and in grid; leave it in one of them"]),
        ("seeds = [1]\n" + TWO + "training.seed = [2]", ["training.seed stands in grid and in seeds"]),
        ("seeds = ['x']\n" + TWO, ["seeds.0 = 'x' is not allowed; allowed: a list of whole numbers"]),
        ("seeds = [-1]\n" + TWO, ["training.seed = -1 is not allowed"]),
        (
            TWO + "training.steps = [5, 0]",
            ["steps must be a whole number of at least 1 (2 of 4 runs, the first with pruning"],
        ),
        (TWO + 'rewind.to = ["step:30"]', ['rewind.to = "step:30" lies behind the end of round 0']),
        ('names = "{sweep}"\n' + TWO, ["two runs are called two: put what differs, or {number}, into names"]),
        (TWO.replace('"global"', '"layerwise"'), ["two runs are called two-layerwise: their recipes are the same"]),
        ('names = "{rewind.to}"\n' + TWO, ["names has {rewind.to}, which does not vary; allowed: {sweep}, {seed}, {number}"]),
        ('names = "{number}/x"\n' + TWO, ["'0/x' cannot be the name of a run"]),
        (TWO + "training.steps = [" + "1," * 6000 + "]", ["these are 12,000 runs; allowed: 10,000"]),
        (TWO + "[slurm]\ntim = 3", ['unknown key "slurm.tim"; did you mean "time"?']),
        (TWO + '[slurm]\ntime = "soon"', ["slurm.time = 'soon' is not allowed; allowed: a time limit such as"]),
        (TWO + '[slurm]\nlines = ["rm -r"]', ["slurm: 'rm -r' is no option of sbatch"]),
        (TWO + '[slurm]\npartition = "a\\nb"', ["slurm.partition"]),
        ("name = ", ["is not valid TOML"]),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, text: str, words: list[str]) -> None:
    problem = refusal(tmp_path, text)
    for each in words:
        assert each in problem


def test_a_sweep_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Cannot read the sweep .*nowhere"):
        load_sweep(tmp_path / "nowhere.toml")


# --- the commands


def test_the_dry_run_counts_and_makes_nothing(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    assert run_cli("sweep", "--template").out == template()
    assert "--template" in run_cli("sweep").out
    result = run_cli("sweep", "run", str(written(tmp_path, TWO)), "--dry-run")
    assert result.code == 0
    assert result.err.startswith("2 runs; 2 to be made: about ")
    assert result.err.strip().endswith("free; time not known: no such run was made on this machine yet")
    assert re.search(r"two-layerwise +missing +0/7", result.out)
    assert not Path("checkpoints").exists()


def test_the_recipe_lies_beside_the_sweep(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.toml").write_text("[pruning]\nrounds = 2\n")
    file = written(tmp_path / "elsewhere", TWO.replace("demo", "mine.toml"))
    assert re.search(r"two-layerwise +missing +0/3", run_cli("sweep", "run", str(file), "--dry-run").out)
    (tmp_path / "elsewhere" / "mine.toml").write_text("[pruning]\nrounds = -2\n")
    assert "mine.toml: pruning.rounds = -2" in run_cli("sweep", "run", str(file)).err


def test_what_all_runs_lack_is_one_error_and_leaves_no_folder(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    result = run_cli("sweep", "run", str(written(tmp_path, TWO + '[set]\ndata.path = "no/where"\n')))
    assert result.code == DataError.exit_code
    assert result.err.count("Error: ") == 1
    assert "Nothing was started; model.path and data.path, in the recipe or the sweep file" in result.err
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_device_that_is_not_here_is_one_error_and_leaves_no_folder(
    run_cli: Cli,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = f'[set]\ntraining.device = "cuda"\ntraining.processes = {processes}\n'
    result = run_cli("sweep", "run", str(written(tmp_path, TWO + settings)))
    assert (result.code, result.err.count("Error: ")) == (TrainingError.exit_code, 1)
    assert 'The device "cuda" is not available on this machine.' in result.err
    assert not Path("checkpoints").exists()


def test_runs_are_made_and_a_second_time_left_as_they_are(
    run_cli: Cli,  # noqa: F811
    tmp_path: Path,
    stand_ins: Callable[[str], None],  # noqa: F811
) -> None:
    stand_ins("steps")
    file = str(written(tmp_path, "seeds = [0, 1]\n" + TWO))
    result = run_cli("sweep", "run", file, "--jobs", "2", "--plain")
    assert result.code == 0, result.err
    folders = run_folders(Path("checkpoints"))
    assert [paths.name for paths in folders] == ["two-global-s0", "two-global-s1", "two-layerwise-s0", "two-layerwise-s1"]
    assert load_recipe(folders[1].recipe).training.seed == 1
    stand_ins("fail")
    again = run_cli("sweep", "run", file, "--plain")
    assert again.code == 0
    assert "4 runs; all of them are done" in again.err
    shown = run_cli("sweep", "status", file)
    assert shown.err.splitlines() == ["two: 4 DONE", "Best BLEU: 12.00, two-layerwise-s0"]
    assert "two-global-s1" in shown.out
    assert re.search(r"two +4 DONE", run_cli("sweep", "status").out)
    facts = json.loads(run_cli("sweep", "status", "two", "--json").out)
    assert (facts["sweep"], facts["states"], facts["missing"], len(facts["runs"])) == ("two", {"DONE": 4}, 0, 4)
    listed = json.loads(run_cli("status", "--json").out)["runs"]
    assert {run["sweep"] for run in listed} == {"two"}
    assert json.loads(run_cli("status", "two-global-s0", "--json").out)["run"]["sweep"] == "two"
    (short,) = json.loads(run_cli("sweep", "status", "--json").out)["sweeps"]
    assert short == {"sweep": "two", "states": {"DONE": 4}, "missing": 0, "eta_s": None}


def test_a_sweep_that_nobody_started_is_told(run_cli: Cli) -> None:  # noqa: F811
    assert run_cli("sweep", "status").err == "No sweeps in checkpoints.\n"
    for command in ("status", "stop"):
        result = run_cli("sweep", command, "mine")
        assert result.code == RunError.exit_code
        assert "No sweep 'mine' was started in checkpoints. Sweeps here: none yet" in result.err


def test_a_failure_is_told_at_the_end(
    run_cli: Cli,  # noqa: F811
    tmp_path: Path,
    stand_ins: Callable[[str], None],  # noqa: F811
) -> None:
    stand_ins("fail")
    result = run_cli("sweep", "run", str(written(tmp_path, TWO)), "--jobs", "2", "--plain")
    assert result.code == TrainingError.exit_code
    assert "These runs did not finish: two-layerwise, two-global." in result.err


def test_the_same_sweep_twice_at_once_makes_each_run_once(
    tmp_path: Path,
    stand_ins: Callable[[str], None],  # noqa: F811
) -> None:
    stand_ins("steps")
    runs = planned(tmp_path, "seeds = [0, 1, 2]\n" + TWO)
    both = [Reproduction(tmp_path, runs, 2, lambda text: None) for _ in range(2)]
    threads = [threading.Thread(target=follow, args=(doing, lambda at: None)) for doing in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for run in runs:
        paths = RunPaths(tmp_path / run.name)
        events = [event.what for event in client.Follower(paths).poll()]
        assert [what.round for what in events if isinstance(what, RoundFinished)] == [0, 1, 2]
    assert all(job.state is State.DONE for doing in both for job in doing.all)


def test_a_stopped_sweep_begins_nothing_more_and_goes_on_later(
    run_cli: Cli,  # noqa: F811
    tmp_path: Path,
    stand_ins: Callable[[str], None],  # noqa: F811
) -> None:
    stand_ins("endless")
    runs = planned(tmp_path, TWO)
    sweep = SweepFolder(Path("checkpoints"), "two")
    sweep.begin(run.name for run in runs)
    doing = Reproduction(sweep.checkpoints, runs, 1, lambda text: None, stopped=sweep.stopped.exists)
    assert doing.tick()
    first, second = sweep.runs()
    until(lambda: happened(first, RunStarted))
    stopped = run_cli("sweep", "stop", "two")
    assert stopped.code == 0, stopped.err
    assert stopped.err == "two is stopped: 1 of 1 workers have left; no more runs begin\n"
    follow(doing, lambda at: None)
    assert not second.root.exists()
    assert [job.state for job in doing.failures] == [State.STOPPED]
    assert run_cli("sweep", "status", "two").err == "two: 1 STOPPED, 1 missing\n"
    stand_ins("steps")
    assert run_cli("sweep", "run", str(written(tmp_path, TWO)), "--checkpoints", "other", "--dry-run").code == 0
    sweep.begin(run.name for run in runs)
    follow(Reproduction(sweep.checkpoints, runs, 1, lambda text: None, stopped=sweep.stopped.exists), lambda at: None)
    assert run_cli("sweep", "status", "two").err.startswith("two: 2 DONE\n")


def test_pause_and_resume_go_to_all_runs_of_a_sweep(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    runs = planned(tmp_path, TWO)
    SweepFolder(tmp_path, "two").begin(run.name for run in runs)
    both = [create_run(tmp_path, run.name, run.recipe) for run in runs]
    for paths in both:
        client.launch(paths, stand_in("endless"))
    until(lambda: all(happened(paths, RunStarted) for paths in both))

    def command(name: str) -> str:
        return run_cli("sweep", name, "two", "--checkpoints", str(tmp_path)).err

    assert "No run of two is paused. See how they stand: codeprune-tui sweep status two" in command("resume")
    assert command("pause") == "2 runs of two will pause at the next step\n"
    until(lambda: all(happened(paths, Paused) for paths in both))
    assert command("status").startswith("two: 2 PAUSED\n")
    assert "No run of two is at work." in command("pause")
    assert command("resume") == "2 runs of two will go on\n"
    until(lambda: all(happened(paths, Resumed) for paths in both))
    assert command("stop").startswith("two is stopped: 2 of 2 workers have left")


def test_the_time_left_counts_what_is_at_work(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    runs = planned(tmp_path, TWO)
    SweepFolder(tmp_path, "two").begin(run.name for run in runs)
    first, second = (create_run(tmp_path, run.name, run.recipe) for run in runs)
    client.launch(first, stand_in("steps"))
    until(lambda: not is_held(first))

    def eta_s() -> object:
        return json.loads(run_cli("sweep", "status", "two", "--json", "--checkpoints", str(tmp_path)).out)["eta_s"]

    assert eta_s() is None
    client.launch(second, stand_in("endless"))
    until(lambda: happened(second, RunStarted))
    assert eta_s() == 3 * 2.0  # its rounds, at the speed of the first's
    client.stop(second)
