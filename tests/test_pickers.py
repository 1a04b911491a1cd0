"""What the lists of the New run form find, and that what others have named stays text."""

import json
from pathlib import Path

import pytest

from codeprune_tui.runs import choices, client
from codeprune_tui.runs.choices import Candidate, matching, sources
from core.families.config import CodeToTextConfig
from core.families.roberta import CodeToText
from core.recipe import build_recipe
from core.run.folder import create_run


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def all_of(key: str, checkpoints: Path) -> dict[str, Candidate]:
    return {each.value: each for source in sources(key, checkpoints) for each in source()}


def a_model(folder: Path, config: str = '{"model_type": "roberta"}', weights: str = "model.safetensors") -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    (folder / weights).write_bytes(b"")


def test_models_that_came_along_rounds_of_runs_and_folders(current: Path) -> None:
    checkpoints = current / "checkpoints"
    paths = create_run(checkpoints, "mine", build_recipe({}))
    a_model(paths.round(0))
    a_model(paths.round(1), '{"quantization": "int8-weight", "model_type": "bert"}')
    (paths.round(2)).mkdir()  # its weights were deleted
    a_model(current / "codebert", weights="pytorch_model.bin")
    a_model(current / "deep" / "er")
    a_model(current / "too" / "deep" / "down")
    a_model(current / ".hidden" / "one")
    a_model(current / "gpt", '{"model_type": "gpt2"}')
    a_model(current / "damaged", "[")
    (current / "no-weights").mkdir()
    (current / "no-weights" / "config.json").write_text("{}")
    candidates = all_of("model.path", checkpoints)
    assert set(candidates) == {
        "checkpoints/bundled/ruby-mini",
        "checkpoints/bundled/ruby-mini-pretrained",
        "checkpoints/bundled/example-run/rounds/03",
        "new",
        "checkpoints/mine/rounds/00",
        "codebert",
        "deep/er",
    }
    assert candidates["checkpoints/mine/rounds/00"].label.startswith("mine · round 0")
    assert "19,142,784 weights" in candidates["checkpoints/bundled/ruby-mini"].detail


def test_a_folder_of_runs_elsewhere_gives_absolute_paths(current: Path, tmp_path: Path) -> None:
    paths = create_run(tmp_path / "elsewhere", "mine", build_recipe({}))
    a_model(paths.round(3))
    candidates = all_of("model.path", tmp_path / "elsewhere")
    assert str(paths.round(3).resolve()) in candidates


def test_every_value_means_what_was_listed(current: Path) -> None:
    a_model(current / "a b'c")
    for value in all_of("model.path", current / "checkpoints"):
        assert value == "new" or (Path(client.local_path(value)) / "config.json").is_file()
    for value in all_of("data.path", current / "checkpoints"):
        assert choices.splits_of(Path(client.local_path(value)))


def test_data_as_rows_and_as_ruby(current: Path) -> None:
    (current / "rows").mkdir()
    (current / "rows" / "train.jsonl.gz").write_bytes(b"")
    (current / "rows" / "valid.jsonl").write_bytes(b"")
    (current / "files" / "train").mkdir(parents=True)
    (current / "files" / "train" / "a.rb").write_text("")
    (current / "neither" / "train").mkdir(parents=True)
    candidates = all_of("data.path", current / "checkpoints")
    assert set(candidates) == {"checkpoints/bundled/demo-ruby", "rows", "files"}
    assert candidates["rows"].detail == "folder · train as jsonl.gz; valid as jsonl"
    assert candidates["files"].detail == "folder · train as Ruby files"
    assert set(all_of("data.code", current / "checkpoints")) == {"checkpoints/bundled/demo-ruby/train", "files/train"}


def test_the_hub_cache_by_name(current: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    def cached(kind: str, name: str, config: str | None) -> None:
        repo = tmp_path / "hub" / f"{kind}s--{name.replace('/', '--')}"
        snapshot = repo / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text("abc")
        if config is not None:
            (snapshot / "config.json").write_text(config)

    cached("model", "microsoft/codebert-base", json.dumps({"model_type": "roberta"}))
    cached("model", "someone/gpt", json.dumps({"model_type": "gpt2"}))
    cached("model", "someone/empty", None)
    cached("dataset", "google/code_x_glue_ct_code_to_text", None)
    # The library reads where its cache is when it is imported: in a process of its own.
    program = (
        "from codeprune_tui.runs.choices import hub; print([c.value for c in hub('model')], [c.value for c in hub('dataset')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program + "; import sys; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == ["['microsoft/codebert-base'] ['google/code_x_glue_ct_code_to_text']", "False"]


def test_no_cache_is_nothing(current: Path) -> None:
    import subprocess
    import sys

    program = (
        "import os; os.environ['HF_HUB_CACHE'] = '/nowhere/at/all'; "
        "from codeprune_tui.runs.choices import hub; print(hub('model'))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_names_of_others_are_text(current: Path) -> None:
    a_model(current / "evil\x1b[31m\n[red]")
    candidate = all_of("model.path", current / "checkpoints")["evil\x1b[31m\n[red]"]
    assert candidate.label == "evil<1B>[31m [red]"


def test_the_look_around_is_bounded(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (current / f"{number:02d}").mkdir()
    monkeypatch.setattr(choices, "MOST_FOLDERS", 10)
    assert len(list(choices.folders((current, current / "00")))) == 10
    (current / "loop").symlink_to(current)
    monkeypatch.setattr(choices, "MOST_FOLDERS", 1000)
    assert len(list(choices.folders((current,)))) == 31  # a link back is not followed twice


def test_the_filter() -> None:
    known = [Candidate("a/b", "Ruby Mini", "came along"), Candidate("c", "other", "run")]
    assert [each.value for each in matching(known, "mini RUBY")] == ["a/b"]
    assert [each.value for each in matching(known, "run")] == ["c"]
    assert matching(known, "") == known
    assert matching(known, "nothing") == []


def test_the_defaults_of_a_configuration_are_those_of_the_model() -> None:
    from core.spec.roberta import DEFAULTS, shapes

    defaults = CodeToTextConfig()
    assert {key: getattr(defaults, key) for key in DEFAULTS} == DEFAULTS
    small = CodeToTextConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=16, decoder_layers=1)
    sizes = {key: getattr(small, key) for key in DEFAULTS}
    assert sum(shapes(sizes, 1).values()) == sum(weight.numel() for weight in CodeToText(small).parameters())
