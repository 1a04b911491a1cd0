"""Who imports whom: the engine is headless, the torch-free part of it stays so, and the command line starts without either."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "accelerate", "datasets", "safetensors", "tokenizers", "pyarrow")
SCREEN = ("textual", "textual_plot", "rich", "typer")
TORCH_FREE = (
    "errors",
    "recipe",
    "events",
    "journal",
    "runs",
    "ruby",
    "bleu",
    "schedule",
    "names",
    "metrics",
    "rows",
    "control",
    "files",
    "folders",
    "results",
    "interval",
    "tally",
    "significance",
    "predictions",
    "exchange",
    "playground",
    "sizes",
    "costs",
    "pace",
    "timings",
    "given",
    "holder",
    "leftovers",
)
ENGINE = sorted(path.stem for path in (ROOT / "core").glob("*.py") if path.stem not in ("__init__", "__main__"))
COMMAND_LINE = (
    "cli",
    "commands",
    "model_commands",
    "bench_commands",
    "folder_commands",
    "terminal_commands",
    "terminal_facts",
    "first_start",
    "machine",
    "logs",
    "console",
    "report",
    "client",
    "plain",
    "state",
    "words",
    "matrices",
    "comparison",
    "watch",
    "playground",
    "models",
    "difference",
)


def loaded(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a program."""
    program += "\nimport sys; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_torch_free_modules_stay_so() -> None:
    modules = loaded("\n".join(f"import core.{name}" for name in TORCH_FREE))
    assert "core" in modules
    assert modules.isdisjoint((*HEAVY, *SCREEN, "codeprune_tui"))


@pytest.mark.slow
def test_the_engine_never_imports_a_screen() -> None:
    # rich and typer come with transformers and its friends, so for them the source is asked.
    modules = loaded("\n".join(f"import core.{name}" for name in ENGINE))
    assert "torch" in modules
    assert modules.isdisjoint(("textual", "textual_plot", "codeprune_tui"))
    for path in (ROOT / "core").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(f"import {name}" in text or f"from {name}" in text for name in (*SCREEN, "codeprune_tui")), path.name


@pytest.mark.parametrize("name", COMMAND_LINE)
def test_the_command_line_imports_neither_torch_nor_textual(name: str) -> None:
    assert loaded(f"import codeprune_tui.{name}").isdisjoint((*HEAVY, "textual", "textual_plot"))


def test_the_screens_load_no_engine() -> None:
    modules = loaded("import codeprune_tui.screens.help")  # which names every screen
    assert "textual" in modules
    assert modules.isdisjoint(HEAVY)


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
