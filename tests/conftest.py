"""What all tests share: where the real data lies, one thread for torch, and a garbage collector that stays out of the way."""

import ast
import functools
import gc
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeprune_tui.terminal.gc import THRESHOLDS

# One thread: results of small matrix products must not depend on how many cores the machine has.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# As after an install: messages then name the bare command, wherever the tests are run from.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def ruby_data() -> Path:
    """Folder with the real Ruby rows (`train`, `valid`, `test` as jsonl.gz); skips where there is none."""
    folder = Path(os.environ.get("CODEPRUNE_RUBY_DATA", ROOT.parent / "shared" / "data" / "ruby"))
    if not (folder / "valid.jsonl.gz").exists():
        pytest.skip(f"the real Ruby data is not at {folder}; set CODEPRUNE_RUBY_DATA to a folder with CodeXGLUE's rows")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test depends on what the app remembers of this user, or changes it; for all of them it is not the first start."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        (folder / "codeprune-tui").mkdir()
        (folder / "codeprune-tui" / "tips-shown").touch()
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No test cuts the power, and what is written but not yet on the disk outlives any process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick`: the files that need no torch, start no process and open no screen, as `make quick` asks for."""
    parser.addoption("--quick", action="store_true", help="only files that need no torch, start no process and open no screen")


def pytest_configure(config: pytest.Config) -> None:
    """Makes sure that what is quick stays so: torch cannot be imported then."""
    if config.getoption("--quick"):
        sys.modules.update(dict.fromkeys(("torch", "transformers", "accelerate")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out what is not quick, where only that is asked for."""
    leaves_out = config.getoption("--quick") and collection_path.suffix == ".py" and not is_quick(collection_path)
    return True if leaves_out else None


@functools.cache
def is_quick(file: Path, whole: bool = True) -> bool:
    """Whether a file of tests imports, itself or by way of another of them, only what is quick.

    Args:
        file: Of tests, or of what tests share.
        whole: Also what its functions import; else only what importing the file brings.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if whole else tree.body
    names = [f"{node.module}.{each.name}" for node in nodes if isinstance(node, ast.ImportFrom) for each in node.names]
    names += [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
    shared = [other for name in names if (other := file.with_name(f"{name.partition('.')[0]}.py")).exists()]
    return not any(_is_slow(name) for name in names) and all(is_quick(other, whole=False) for other in shared)


def _is_slow(name: str) -> bool:
    if name.startswith("core."):
        return not any(f"{name}.".startswith(f"{module}.") for module in torch_free())
    processes = ("subprocess", "pexpect", "importlib", "workers", "terminal")
    return name.partition(".")[0] in ("torch", "transformers", "safetensors", *processes) or name in SCREENS


SCREENS = ("app_runs.opened", "codeprune_tui.tui.CodepruneApp", "codeprune_tui.cli.main", "textual.app.App")
"""What opens a screen, or runs a command that may load anything; a program loaded by its path may, too."""


@functools.cache
def torch_free() -> tuple[str, ...]:
    """What of the engine runs without torch, as its contract has it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["name"].startswith("These floors of the engine run without torch")]
    return tuple(contract["source_modules"])


MODULES = pytest.StashKey[int]()
"""How many modules there were when garbage was last collected."""
MANY_MODULES = 200
"""As many as torch's compiler brings, which the first optimizer imports."""


def _tidy(config: pytest.Config) -> None:
    gc.collect()
    gc.freeze()
    config.stash[MODULES] = len(sys.modules)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collects garbage between files only, and never looks at what stays to the end: that took a quarter of the tests' time."""
    if "textual.css.stylesheet" in sys.modules:
        _parse_styles_once()
    _tidy(session.config)
    gc.set_threshold(*THRESHOLDS)


def _parse_styles_once() -> None:
    """Lets all apps of this process share what was parsed of equal style sheets: nothing changes parsed rules."""
    from textual.css.stylesheet import Stylesheet

    parse_rules, parsed = Stylesheet._parse_rules, {}

    def shared_rules(sheet: Stylesheet, css: str, *arguments: object, **options: object) -> object:
        key = css, arguments, frozenset(options.items()), frozenset(sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse_rules(sheet, css, *arguments, **options)
        return parsed[key]

    Stylesheet._parse_rules = shared_rules


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collects what a file's tests left; runs collect after each round, so what was imported must not be looked at again."""
    imported = len(sys.modules) - item.config.stash[MODULES]
    if nextitem is None or nextitem.path != item.path or imported > MANY_MODULES:
        _tidy(item.config)


SLOW_FIRST = (
    "test_resume",
    "test_app_playground",
    "test_end_to_end",
    "test_masking",
    "test_readme",
    "test_lottery",
    "test_bundled_models",
    "test_disk",
    "test_bench",
    "test_app_hostile",
    "test_app_leaving",
    "test_app_runs",
    "test_app_compare",
    "test_cli",
    "test_given",
    "test_wheel",
)
"""Files that take longest: begun first, none of them is left over when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slow files first; `--no-loadscope-reorder` keeps that order among workers."""
    places = {name: place for place, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
