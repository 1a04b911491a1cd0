"""The paper's experiments: what runs they need, how their recipes look, and the command that makes the runs."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from test_cli import Cli, Result, run_cli  # noqa: F401 - a fixture
from test_client import happened, stand_in, until

from codeprune_tui.cli import experiments
from codeprune_tui.runs import client, many
from codeprune_tui.runs.many import Reproduction, default_jobs, follow
from core import worker
from core.errors import DataError, ModelError, RecipeError, RunError
from core.families.config import CodeToTextConfig
from core.families.roberta import CodeToText
from core.gpus import Gpu
from core.model import load_reader
from core.recipe import Recipe, parse_recipe, to_toml
from core.run.events import RunStarted
from core.run.folder import RunPaths, State, create_run, is_held, read_metrics
from core.study.experiments import (
    CURVES,
    EXPERIMENTS,
    PAPER,
    SCALES,
    Material,
    Planned,
    curve_of,
    is_of_the_paper,
    plan,
    recipe_of,
)

BUNDLED = Path(__file__).parent.parent / "checkpoints" / "bundled"


# --- recipes


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("curve", CURVES)
def test_a_recipe_belongs_to_its_curve_whatever_its_seed_and_size(curve: str, scale: str) -> None:
    recipe = recipe_of(curve, scale, seed=7)  # type: ignore[arg-type]  # a parametrized literal
    longer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"steps": 1234})})
    assert curve_of(recipe) == curve_of(longer) == curve
    assert recipe.training.seed == 7
    assert recipe.evaluation.seed == 0
    assert (recipe.rounds, recipe.pruning.final_sparsity, recipe.pruning.schedule) == (9, 0.9, "linear")


def test_a_recipe_of_no_experiment_has_no_curve() -> None:
    assert curve_of(Recipe(kind="finetune")) is None
    other = recipe_of("l1-b8-finetuned", "small")
    assert curve_of(other.model_copy(update={"training": other.training.model_copy(update={"batch_size": 64})})) is None


def test_the_paper_s_size_has_the_paper_s_settings() -> None:
    recipe = recipe_of("l1-b16-pretrained", "paper")
    training = recipe.training
    assert (training.steps, training.batch_size, training.learning_rate, training.warmup) == (3000, 16, 5e-5, "all-rounds")
    assert (training.weight_decay, training.clip_norm, training.precision) == (0.0, 0.0, "fp32")
    assert (recipe.evaluation.rows, recipe.evaluation.beam, recipe.evaluation.max_length) == (0, 10, 128)
    assert recipe_of("layerwise-best", "paper").picker.every == 100
    assert recipe.order == "train-first"
    assert recipe_of("l1-b8-finetuned", "paper").order == "prune-first"
    assert "picker" not in PAPER


def test_small_rounds_are_longer_where_they_begin_at_pretrained_weights() -> None:
    short, long = recipe_of("l1-b8-finetuned", "small"), recipe_of("l1-b8-pretrained", "small")
    assert (short.training.steps, long.training.steps) == (300, 1500)
    assert {recipe_of(name, "paper").training.steps for name in CURVES} == {3000}
    assert is_of_the_paper(long)
    as_short = long.model_copy(update={"training": long.training.model_copy(update={"steps": 300})})
    assert curve_of(as_short) == "l1-b8-pretrained"
    assert not is_of_the_paper(as_short)


@pytest.mark.parametrize("curve", CURVES)
def test_the_recipes_in_the_docs_are_those_that_reproduce_makes(curve: str) -> None:
    written = parse_recipe((BUNDLED.parents[1] / "docs" / "reproduction" / "recipes" / f"{curve}.toml").read_text())
    assert written == recipe_of(curve, "small")


def test_every_run_is_planned_once_and_first_seeds_come_first() -> None:
    runs = plan((), "small", None)
    assert len({planned.name for planned in runs}) == len(runs)
    assert [planned.seed for planned in runs] == sorted(planned.seed for planned in runs)
    counts = {name: sum(planned.curve == name for planned in runs) for name in CURVES}
    main = {curve for name in ("experiment-1", "figure-4", "experiment-2") for curve in EXPERIMENTS[name].curves}
    assert counts == {name: 3 if name in main else 1 for name in CURVES}
    assert {planned.seed for planned in plan(("decoder",), "small", 2)} == {0, 1}
    assert plan(("quantization",), "small", None) == []


def test_an_unknown_experiment_names_those_there_are() -> None:
    with pytest.raises(RecipeError, match="experiment-9") as caught:
        plan(("experiment-9",), "small", None)
    assert "experiment-1" in caught.value.fix


def test_recipes_lists_all_and_prints_one(run_cli: Cli) -> None:  # noqa: F811
    listed = run_cli("recipes")
    assert listed.code == 0
    for name in (*EXPERIMENTS, *CURVES, "demo", "demo-finetune"):
        assert name in listed.out
    for experiment in EXPERIMENTS.values():
        assert experiment.shows in listed.out
    printed = run_cli("recipes", "l1-b8-finetuned", "--scale", "paper", "--seed", "3", "--data", "here")
    assert parse_recipe(printed.out) == recipe_of("l1-b8-finetuned", "paper", 3, Material(data="here"))
    assert parse_recipe(run_cli("recipes", "demo").out).pruning.rounds == 6
    assert "reproduce experiment-1" in run_cli("recipes", "experiment-1").err
    assert run_cli("recipes", "nothing").code == RecipeError.exit_code


# --- making the runs


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the runs be made by a worker that only says that it trains."""
    start, resume = client.start, client.resume

    def choose(mode: str) -> None:
        monkeypatch.setattr(many.client, "start", partial(start, command=stand_in(mode)))
        monkeypatch.setattr(many.client, "resume", partial(resume, command=stand_in(mode)))

    return choose


def test_it_starts_what_is_missing_resumes_what_was_cut_off_and_leaves_what_is_done(
    tmp_path: Path, stand_ins: Callable[[str], None]
) -> None:
    runs = plan(("decoder", "random-finetuned"), "small", 1)
    stand_ins("die")
    client.launch(create_run(tmp_path, runs[0].name, client.anchored(runs[0].recipe)), stand_in("die"))
    until(lambda: not is_held(RunPaths(tmp_path / runs[0].name)))
    stand_ins("steps")
    news: list[str] = []
    follow(Reproduction(tmp_path, runs, 2, news.append), lambda at: None)
    assert [job.state for job in Reproduction(tmp_path, runs, 1, news.append).all] == [State.DONE] * len(runs)
    assert any(line == f"{runs[0].name} goes on" for line in news)
    assert any(line == f"{runs[1].name} begins" for line in news)
    assert any("round 2/9 done, chrF 22.0 (name 16.5), BLEU 12.00" in line for line in news)
    before = len(news)
    stand_ins("fail")
    follow(Reproduction(tmp_path, runs, 2, news.append), lambda at: None)
    assert len(news) == before


def test_no_more_workers_than_asked_and_a_failure_does_not_stop_the_others(
    tmp_path: Path, stand_ins: Callable[[str], None]
) -> None:
    runs = plan(("experiment-3",), "small", 1)
    stand_ins("endless")
    doing = Reproduction(tmp_path, runs, 2, lambda text: None)
    assert doing.tick()
    assert doing.running == [planned.name for planned in runs[:2]]
    assert doing.tick()
    assert len(doing.running) == 2
    stand_ins("fail")
    for name in doing.running:
        paths = RunPaths(tmp_path / name)
        until(lambda paths=paths: happened(paths, RunStarted))  # type: ignore[misc]  # bound now, called at once
        client.kill(paths)
        until(lambda paths=paths: not is_held(paths))  # type: ignore[misc]
    news: list[str] = []
    doing.tell = news.append
    follow(doing, lambda at: None)
    assert {job.planned.name for job in doing.failures} == {planned.name for planned in runs}
    assert any("CRASHED" in line for line in news)
    assert any("FAILED: The loss is not a number" in line for line in news)


def test_a_run_that_somebody_else_began_is_watched(tmp_path: Path, stand_ins: Callable[[str], None]) -> None:
    (planned,) = plan(("decoder",), "small", 1)[:1]
    doing = Reproduction(tmp_path, [planned], 1, lambda text: None)
    client.start(tmp_path, planned.recipe, planned.name, stand_in("steps"))
    stand_ins("fail")
    follow(doing, lambda at: None)
    assert doing.all[0].state is State.DONE
    assert not doing.failures


def test_a_run_that_ends_just_before_it_would_be_resumed_is_done(tmp_path: Path) -> None:
    (planned,) = plan(("decoder",), "small", 1)[:1]
    paths = client.start(tmp_path, planned.recipe, planned.name, stand_in("steps"))
    until(lambda: not is_held(paths))
    doing = Reproduction(tmp_path, [planned], 1, lambda text: None)
    doing.all[0].state = State.RUNNING  # as it was when last looked at
    assert not doing.tick() or not doing.tick()
    assert doing.all[0].state is State.DONE
    assert not doing.failures
    assert doing.all[0].rounds_done > 0


def test_the_time_left_comes_from_rounds_that_were_measured(tmp_path: Path, stand_ins: Callable[[str], None]) -> None:
    runs = plan(("experiment-3",), "small", 1)
    assert Reproduction(tmp_path, runs, 1, print).progress(0.0).eta_s is None
    stand_ins("steps")
    follow(Reproduction(tmp_path, runs[:1], 1, lambda text: None), lambda at: None)
    at = Reproduction(tmp_path, runs, 1, print).progress(0.0)
    assert (at.runs_done, at.runs, at.rounds_done, at.rounds) == (1, 3, 3, 30)
    assert at.eta_s == pytest.approx(2 * 10 * 2.0)  # the stand-in's rounds take 2 s each


def test_a_run_of_another_recipe_is_in_the_way(tmp_path: Path) -> None:
    (planned,) = plan(("decoder",), "small", 1)[:1]
    other = planned.recipe.model_copy(update={"training": planned.recipe.training.model_copy(update={"steps": 5})})
    create_run(tmp_path, planned.name, client.anchored(other))
    with pytest.raises(RunError, match=r"training\.steps differs"):
        Reproduction(tmp_path, [planned], 1, print)


def test_a_bundled_model_is_the_same_wherever_the_package_lies(tmp_path: Path) -> None:
    (planned,) = plan(("decoder",), "small", 1)[:1]
    moved = planned.recipe.model_copy(
        update={"model": planned.recipe.model.model_copy(update={"path": "/old/bundled/ruby-mini"})}
    )
    create_run(tmp_path, planned.name, client.anchored(moved))
    assert Reproduction(tmp_path, [planned], 1, print).all[0].state is State.NEW


def test_each_worker_gets_a_gpu_of_its_own(
    tmp_path: Path, stand_ins: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = plan(("experiment-3",), "small", 1)
    gpus = [Gpu(number, 0.0, 0, 4 * 2**30, name="NVIDIA H200", uuid=f"GPU-{number}") for number in range(2)]
    stand_ins("endless")
    start, environments = many.client.start, list[object]()
    monkeypatch.setattr(many.client, "start", lambda *a, **k: environments.append(k["environment"]) or start(*a, **k))
    news: list[str] = []
    doing = Reproduction(tmp_path, runs, 3, news.append, lambda: gpus)
    try:
        assert doing.tick()
        assert environments == [{"CUDA_VISIBLE_DEVICES": "GPU-0"}, {"CUDA_VISIBLE_DEVICES": "GPU-1"}], "the third has no room"
        assert news[0].endswith(" begins on cuda:0 (NVIDIA H200)")
        gpus[1] = Gpu(1, 0.0, 0, 50 * 2**30, name="NVIDIA H200", uuid="GPU-1")
        assert doing.tick()
        assert environments[2:] == [{"CUDA_VISIBLE_DEVICES": "GPU-1"}]
    finally:
        for name in doing.running:
            paths = RunPaths(tmp_path / name)
            until(lambda paths=paths: happened(paths, RunStarted))  # type: ignore[misc]  # only then its process is known
            client.kill(paths)


def test_workers_whose_recipe_names_a_gpu_wait_for_room_on_it(
    tmp_path: Path, stand_ins: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        replace(
            planned,
            recipe=planned.recipe.model_copy(
                update={"training": planned.recipe.training.model_copy(update={"device": "cuda:1"})}
            ),
        )
        for planned in plan(("experiment-3",), "small", 1)
    ]
    gpus = [Gpu(number, 0.0, 0, (50, 4)[number] * 2**30, name="NVIDIA H200", uuid=f"GPU-{number}") for number in range(2)]
    stand_ins("endless")
    start, environments = many.client.start, list[object]()
    monkeypatch.setattr(many.client, "start", lambda *a, **k: environments.append(k["environment"]) or start(*a, **k))
    doing = Reproduction(tmp_path, runs, 3, lambda line: None, lambda: gpus)
    try:
        assert doing.tick()
        assert doing.tick()
        assert environments == [{}], "one has room on the second GPU, and finds it by its number"
        assert [job.gpu for job in doing.all if job.follower] == ["GPU-1"]
    finally:
        for name in doing.running:
            paths = RunPaths(tmp_path / name)
            until(lambda paths=paths: happened(paths, RunStarted))  # type: ignore[misc]  # only then its process is known
            client.kill(paths)


def test_a_worker_gets_the_variables_that_it_is_given(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; raise SystemExit('sees ' + os.environ['CUDA_VISIBLE_DEVICES'])"]
    paths = create_run(tmp_path, "one", Recipe())
    with pytest.raises(RunError, match="sees GPU-7"):
        client.launch(paths, command, environment={"CUDA_VISIBLE_DEVICES": "GPU-7"})


def test_jobs_fit_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(many.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64e9})())
    one, four, every = (Recipe.model_validate({"training": {"threads": threads}}) for threads in (1, 4, 0))
    assert (default_jobs(one), default_jobs(four), default_jobs(every)) == (6, 1, 1)
    assert (default_jobs(one, 8), default_jobs(every, 8)) == (8, 8)
    on_cpu = Recipe.model_validate({"training": {"threads": 1, "device": "cpu"}})
    assert default_jobs(on_cpu, 8) == 6
    for device in ("cuda:1", "cuda"):
        named = Recipe.model_validate({"training": {"threads": 1, "device": device}})
        assert default_jobs(named) == 1, "not one a core, all on one GPU"
    assert (default_jobs(named, 8), default_jobs(Recipe.model_validate({"training": {"device": "cuda:1"}}), 8)) == (8, 1)
    shared = Recipe.model_validate({"training": {"threads": 1, "processes": 2}})
    assert (default_jobs(shared), default_jobs(shared, 8)) == (1, 1)
    assert not many.placement.on_any_gpu(shared)
    monkeypatch.setattr(many.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 3.2e9})())
    assert (default_jobs(one), default_jobs(one, 8)) == (2, 2)


def test_the_command_tells_how_far_it_is_and_quantizes_at_the_end(
    run_cli: Cli,  # noqa: F811
    tmp_path: Path,
    stand_ins: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_ins("steps")
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> object:
        seen.append(command)
        return type("Done", (), {"returncode": 0})()

    monkeypatch.setattr(experiments.subprocess, "run", run)
    listed = run_cli("reproduce", "decoder", "--dry-run", "--seeds", "1")
    assert "small-decoder-l1-b8-finetuned-s0  missing    0/10" in listed.out
    result = run_cli("reproduce", "decoder", "quantization", "--seeds", "1", "--jobs", "1", "--plain")
    assert result.code == 0, result.err
    assert "small-decoder-l1-b8-finetuned-s0  DONE     3/10" in result.out
    assert "1/2 runs" in result.err
    assert "left" in result.err
    (command,) = seen
    assert command[:4] == [sys.executable, "-P", "-m", "codeprune_tui.cli.main"]
    assert command[-1] == str(Path("checkpoints/small-quantization.json"))


# --- what all runs need, before the first is started


def refused(result: Result, code: int, *words: str) -> None:
    """One error, and no folder of any run."""
    assert result.code == code, result.err
    assert result.err.count("Error: ") == 1
    for word in (*words, "Nothing was started; --data, --pretrained and --finetuned name other data and models."):
        assert word in result.err
    assert not Path("checkpoints").exists()


def test_data_that_nobody_has_is_told_once_and_leaves_no_folder(run_cli: Cli) -> None:  # noqa: F811
    # In a clone there is no folder data, so this could be a name on the hub.
    refused(run_cli("reproduce", "--data", "data/ruby"), DataError.exit_code, "There is no folder data/ruby, and data/ruby")


GOOD = json.dumps({"code_tokens": ["a"], "docstring_tokens": ["Adds"] * 9})


@pytest.mark.parametrize(
    ("line", "words"), [("no row", "train.jsonl, line 2: not JSON"), ('{"code_tokens": ["a"]}', "docstring_tokens is missing")]
)
def test_a_broken_row_far_down_is_found_before(run_cli: Cli, tmp_path: Path, line: str, words: str) -> None:  # noqa: F811
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.jsonl").write_text(f"{GOOD}\n{line if split == 'train' else GOOD}\n")
    refused(run_cli("reproduce", "decoder", "--data", str(tmp_path)), DataError.exit_code, words)


def test_a_split_that_only_quantization_reads_is_missed_before(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    for split in ("train", "valid"):
        (tmp_path / f"{split}.jsonl").write_text(GOOD)
    refused(run_cli("reproduce", "--data", str(tmp_path)), DataError.exit_code, "holds no test.jsonl")


def test_a_model_that_cannot_be_loaded_is_told_before(run_cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    broken = tmp_path / "broken"
    shutil.copytree(BUNDLED / "ruby-mini", broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:-100])
    refused(run_cli("reproduce", "decoder", "--finetuned", str(broken)), ModelError.exit_code, "model.safetensors is damaged")
    refused(run_cli("reproduce", "--pretrained", "ruby-mni"), ModelError.exit_code, "Did you mean checkpoints/bundled/ruby-mini")


def test_a_disk_that_is_too_small_is_told_before(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("codeprune_tui.cli.preconditions.free_bytes", lambda _: 10**6)
    refused(run_cli("reproduce"), RunError.exit_code, "The 19 runs need ", " on disk, and ", "has 1 MB left")


def test_a_failed_quantization_names_a_command_that_can_be_typed(
    run_cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(experiments.subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 5})())
    result = run_cli("reproduce", "quantization")
    assert Path("checkpoints").is_dir()  # where the file was to go
    assert result.code == RunError.exit_code
    assert "See why: codeprune-tui quantize checkpoints/bundled/ruby-mini --data checkpoints/bundled/demo-ruby" in result.err


# --- foreign checkpoints


def foreign(folder: Path) -> Material:
    """A RoBERTa folder, and a fine-tuned checkpoint as CodeXGLUE's code saves it: tiny, with a real tokenizer."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    entries = len(load_reader(BUNDLED / "ruby-mini"))
    limits = {"vocab_size": entries, "max_position_embeddings": 130, "type_vocab_size": 1}
    model = CodeToText(CodeToTextConfig(**sizes, **limits, decoder_layers=1, decoder_heads=2, decoder_ffn=24))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = {"model_type": "roberta", **sizes, **limits, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    for name, saved in (
        ("roberta", {f"roberta.{key.removeprefix('encoder.')}": value for key, value in weights.items() if "encoder." in key}),
        ("codexglue", weights | {"bias": torch.tril(torch.ones(8, 8))}),
    ):
        (folder / name).mkdir()
        torch.save(saved, folder / name / "pytorch_model.bin")
        (folder / name / "config.json").write_text(json.dumps(config))
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(BUNDLED / "ruby-mini" / file, folder / name)
    return Material(str(BUNDLED / "demo-ruby"), str(folder / "roberta"), str(folder / "codexglue"))


@pytest.mark.parametrize("curve", ["l1-b8-pretrained", "l1-b8-finetuned", "layerwise-best-no-stop", "decoder-l1-b8-finetuned"])
def test_foreign_checkpoints_go_through_the_same_recipes(tmp_path: Path, curve: str) -> None:
    recipe = recipe_of(curve, "small", 0, foreign(tmp_path))
    small: dict[str, dict[str, object]] = {
        "pruning": {"rounds": 2, "final_sparsity": 0.5},
        "training": {"steps": 4, "precision": "fp32"},
        "data": {"train_rows": 32, "shortest_comment": 0},
        "evaluation": {"rows": 3, "beam": 2, "max_length": 6},
        "picker": {"every": 2 if CURVES[curve].measures else 0},
    }
    recipe = recipe.model_copy(update={table: getattr(recipe, table).model_copy(update=keys) for table, keys in small.items()})
    assert curve_of(parse_recipe(to_toml(recipe))) == curve
    paths = create_run(tmp_path / "runs", Planned(curve, 0, recipe, curve).name, recipe)
    assert worker.main([str(paths.root)]) == 0, paths.journal.read_text()[-2000:]
    assert paths.finished_rounds() == [0, 1, 2]
    facts = read_metrics(paths.round(2))
    assert facts is not None
    assert facts["sparsity"] == pytest.approx(0.5, abs=1e-3)
