"""Who imports whom, as the contracts in pyproject.toml say it; here fresh interpreters are asked the same."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
HEAVY = ("torch", "transformers", "accelerate", "datasets", "safetensors", "tokenizers", "pyarrow")
SCREEN = ("textual", "textual_plot", "rich", "typer")


def modules_below(name: str) -> list[str]:
    """The module itself, and all modules below it where it is a package."""
    path = ROOT / name.replace(".", "/")
    if not path.is_dir():
        return [name]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in sorted(path.rglob("*.py"))
    ]


def sources(contract: str) -> list[str]:
    """The modules that a contract, found by the beginning of its name, is about."""
    (entry,) = [each for each in CONTRACTS if each["name"].startswith(contract)]
    return [module for source in entry["source_modules"] for module in modules_below(source)]


TORCH_FREE = sources("These floors of the engine run without torch")
APP = sources("The app never touches torch")
ENGINE = [name for name in modules_below("core") if not name.endswith("__main__")]
WITHOUT_TEXTUAL = ("codeprune_tui.cli", "codeprune_tui.runs", "codeprune_tui.bundle", "codeprune_tui.first_start")
"""What a subcommand may need: it starts at once, without Textual; see `views` below for the rest."""


def loaded(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a program."""
    program += "\nimport sys; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def imports(names: list[str]) -> str:
    """A program that imports all of them."""
    return "\n".join(f"import {name}" for name in names)


def test_torch_free_modules_stay_so() -> None:
    modules = loaded(imports(TORCH_FREE))
    assert "core" in modules
    assert modules.isdisjoint((*HEAVY, *SCREEN, "codeprune_tui"))


@pytest.mark.slow
def test_the_engine_never_imports_a_screen() -> None:
    # rich and typer come with transformers and its friends, so for them the source is asked.
    modules = loaded(imports(ENGINE))
    assert "torch" in modules
    assert modules.isdisjoint(("textual", "textual_plot", "codeprune_tui"))
    for path in (ROOT / "core").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(f"import {name}" in text or f"from {name}" in text for name in (*SCREEN, "codeprune_tui")), path.name


def test_the_command_line_imports_neither_torch_nor_textual() -> None:
    names = [name for package in WITHOUT_TEXTUAL for name in modules_below(package)]
    assert loaded(imports(names)).isdisjoint((*HEAVY, "textual_plot"))
    assert loaded(imports(["codeprune_tui.cli.main", "codeprune_tui.cli.runs"])).isdisjoint(("textual",))


def test_the_app_loads_no_engine() -> None:
    modules = loaded(imports(APP))
    assert "textual" in modules
    assert modules.isdisjoint(set(HEAVY) - {"tokenizers"})


def test_views_and_runs_know_no_widgets() -> None:
    """They may make texts with styles (`textual.content`); widgets and screens are others' business."""
    for package in ("views", "runs"):
        for path in (ROOT / "codeprune_tui" / package).rglob("*.py"):
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            known = [line for line in lines if line.startswith(("from textual", "import textual"))]
            assert [line for line in known if not line.startswith("from textual.content import")] == [], path.name


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status"], ["status", "--json"], ["recipe"]])
def test_quick_commands_load_neither_torch_nor_textual(arguments: list[str], tmp_path: Path) -> None:
    modules = loaded(
        f"import sys, os; os.chdir({str(tmp_path)!r}); sys.argv = ['codeprune-tui', *{arguments!r}]\n"
        "from codeprune_tui.cli.main import main\n"
        "out, sys.stdout = sys.stdout, open(os.devnull, 'w')\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "sys.stdout.close(); sys.stdout = out"
    )
    assert "codeprune_tui" in modules
    assert modules.isdisjoint((*HEAVY, "textual", "textual_plot", "sacrebleu", "nltk", "tree_sitter"))


def test_loading_the_engine_says_nothing() -> None:
    """Its libraries log of each other; whoever comments a file or reads a worker's log has nothing to do with that."""
    done = subprocess.run([sys.executable, "-P", "-c", "import core.model"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


MINI = ROOT / "checkpoints" / "bundled" / "ruby-mini"
COMMENT = f"""
import sys
from codeprune_tui.cli.main import main
open("a.rb", "w").write("def add(a, b)\\n  a + b\\nend\\n")
sys.argv = ["codeprune-tui", "comment", "a.rb", "--model", {str(MINI)!r}, "--beam", "2", "--max-length", "4"]
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
"""
PLAYGROUND = f"""
from core.evaluate.comment import write_comments
from core.evaluate.variants import Models
from core.recipe import Search
from core.ruby import methods
kept = Models("cpu", 1).load({str(MINI)!r}, "fp32", lambda stage: None)
write_comments(kept.writer, methods("def add(a, b) = a + b"), Search(2, 4))
"""
WORKER = f"""
from pathlib import Path
from core import worker
from core.recipe import build_recipe
from core.run.folder import create_run
tables = {{
    "kind": "finetune",
    "model": {{"path": {str(MINI)!r}}},
    "data": {{"path": {str(MINI.parent / "demo-ruby")!r}, "source_length": 32, "target_length": 16, "train_rows": 20}},
    "training": {{"steps": 1, "batch_size": 2, "threads": 1, "device": "cpu"}},
    "evaluation": {{"rows": 2, "beam": 1, "max_length": 4}},
}}
paths = create_run(Path("runs"), "one", build_recipe(tables))
assert worker.main([str(paths.root)]) == 0, (paths.root / "events.jsonl").read_text()
assert (paths.round(0) / "reader.json").exists()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "more"), [(COMMENT, ("accelerate", "nltk", "sacrebleu", "huggingface_hub")), (PLAYGROUND, ()), (WORKER, ())]
)
def test_a_local_model_is_used_without_transformers(
    program: str, more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing it took two thirds of a cold `codeprune-tui comment FILE.rb`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    modules = loaded(program)
    assert {"torch", "tokenizers"} <= modules
    assert modules.isdisjoint(("transformers", *more))


@pytest.mark.slow
def test_a_model_is_laid_out_without_torchs_compiler() -> None:
    program = f"from core.model import load_model\nload_model({str(MINI)!r})\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "torch._dynamo" not in done.stdout.split()
