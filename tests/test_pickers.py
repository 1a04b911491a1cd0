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
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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


def test_models_that_came_along_rounds_of_runs_and_folders(here: Path) -> None:
    checkpoints = here / "checkpoints"
    paths = create_run(checkpoints, "mine", build_recipe({}))
    a_model(paths.round(0))
    a_model(paths.round(1), '{"quantization": "int8-weight", "model_type": "bert"}')
    (paths.round(2)).mkdir()  # its weights were deleted
    a_model(here / "codebert", weights="pytorch_model.bin")
    a_model(here / "deep" / "er")
    a_model(here / "too" / "deep" / "down")
    a_model(here / ".hidden" / "one")
    a_model(here / "gpt", '{"model_type": "gpt2"}')
    a_model(here / "damaged", "[")
    (here / "no-weights").mkdir()
    (here / "no-weights" / "config.json").write_text("{}")
    found = all_of("model.path", checkpoints)
    assert set(found) == {
        "checkpoints/bundled/ruby-mini",
        "checkpoints/bundled/ruby-mini-pretrained",
        "new",
        "checkpoints/mine/rounds/00",
        "codebert",
        "deep/er",
    }
    assert found["checkpoints/mine/rounds/00"].label.startswith("mine · round 0")
    assert "19,142,784 weights" in found["checkpoints/bundled/ruby-mini"].detail


def test_a_folder_of_runs_elsewhere_gives_absolute_paths(here: Path, tmp_path: Path) -> None:
    paths = create_run(tmp_path / "elsewhere", "mine", build_recipe({}))
    a_model(paths.round(3))
    found = all_of("model.path", tmp_path / "elsewhere")
    assert str(paths.round(3).resolve()) in found


def test_every_value_means_what_was_listed(here: Path) -> None:
    a_model(here / "a b'c")
    for value in all_of("model.path", here / "checkpoints"):
        assert value == "new" or (Path(client.local_path(value)) / "config.json").is_file()
    for value in all_of("data.path", here / "checkpoints"):
        assert choices.splits_of(Path(client.local_path(value)))


def test_data_as_rows_and_as_ruby(here: Path) -> None:
    (here / "rows").mkdir()
    (here / "rows" / "train.jsonl.gz").write_bytes(b"")
    (here / "rows" / "valid.jsonl").write_bytes(b"")
    (here / "files" / "train").mkdir(parents=True)
    (here / "files" / "train" / "a.rb").write_text("")
    (here / "neither" / "train").mkdir(parents=True)
    found = all_of("data.path", here / "checkpoints")
    assert set(found) == {"checkpoints/bundled/demo-ruby", "rows", "files"}
    assert found["rows"].detail == "folder · train as jsonl.gz; valid as jsonl"
    assert found["files"].detail == "folder · train as Ruby files"
    assert set(all_of("data.code", here / "checkpoints")) == {"checkpoints/bundled/demo-ruby/train", "files/train"}


def test_the_hub_cache_by_name(here: Path, tmp_path: Path) -> None:
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
    told = subprocess.run(
        [sys.executable, "-c", program + "; import sys; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == ["['microsoft/codebert-base'] ['google/code_x_glue_ct_code_to_text']", "False"]


def test_no_cache_is_nothing(here: Path) -> None:
    import subprocess
    import sys

    program = (
        "import os; os.environ['HF_HUB_CACHE'] = '/nowhere/at/all'; "
        "from codeprune_tui.runs.choices import hub; print(hub('model'))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_names_of_others_are_text(here: Path) -> None:
    a_model(here / "evil\x1b[31m\n[red]")
    found = all_of("model.path", here / "checkpoints")["evil\x1b[31m\n[red]"]
    assert found.label == "evil<1B>[31m [red]"


def test_the_look_around_is_bounded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (here / f"{number:02d}").mkdir()
    monkeypatch.setattr(choices, "MOST_FOLDERS", 10)
    assert len(list(choices.folders((here, here / "00")))) == 10
    (here / "loop").symlink_to(here)
    monkeypatch.setattr(choices, "MOST_FOLDERS", 1000)
    assert len(list(choices.folders((here,)))) == 31  # a link back is not followed twice


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
