"""Folders made to break whatever loads a model: each is refused in a sentence, within moments and little memory."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_models import CASES, good_folder

from codeprune_tui.runs.models import saved_method
from core.errors import CodepruneError, ModelError
from core.families.memory import peak_bytes, reset_peak
from core.model import is_finetuned, load_masks, load_model, load_reader
from core.recipe import build_recipe
from core.spec import sizes
from core.spec.precheck import source_problems

MOST_MEMORY = 300_000_000
LOADERS: dict[str, Callable[[Path], object]] = {
    "model": load_model,
    "finetuned": is_finetuned,
    "masks": load_masks,
    "tokenizer": load_reader,
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "model"
    good_folder(folder)
    return folder


def refusals(folder: Path) -> dict[str, ModelError]:
    """What each of the loaders says; anything but a ModelError is a defect and raised."""
    errors = {}
    for name, load in LOADERS.items():
        try:
            load(folder)
        except ModelError as error:
            errors[name] = error
    return errors


def test_the_good_folder_is_good(good: Path) -> None:
    assert refusals(good) == {}


@pytest.mark.timeout(60)  # a guard against what hangs; all of them take some milliseconds
@pytest.mark.parametrize("name", CASES)
def test_a_hostile_folder_is_refused_in_a_sentence(name: str, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    CASES[name](folder)
    reset_peak()
    before = peak_bytes()
    errors = refusals(folder)
    counted = sizes.of_folder(folder, 6)
    recipe = build_recipe({"model": {"path": str(folder)}})
    problem = source_problems(recipe).get("model.path")
    assert peak_bytes() - before < MOST_MEMORY
    assert errors, "nothing refused it"
    assert counted is None or len(counted) < 10_000
    assert problem is None or isinstance(problem, CodepruneError)
    for error in errors.values():
        assert str(folder) in error.problem
        assert error.fix
        assert len(str(error)) < 2000
        assert "\n" not in error.problem


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("config", "quantized: "))])
def test_the_list_of_models_reads_any_configuration(name: str, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    CASES[name](folder)
    assert isinstance(saved_method(str(folder)), str)
    config = sizes.read_config(folder)
    assert config is None or isinstance(config, dict)
