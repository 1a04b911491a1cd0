"""Writes the tree with one line for each file, from the modules' own first sentences.

python tools/architecture.py > docs/architecture.md
"""

import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Architecture

Two packages. `core` is the engine: it prunes, trains, evaluates, writes run folders, and knows no terminal. `codeprune_tui` is
the app and the command line: it reads run folders, starts workers, and imports torch only where a subcommand needs it. They
meet in the run folder: recipe in, journal out, commands in between. A worker is a process of its own
(`python -m core.worker FOLDER`), so closing the app stops nothing.

Below stand the floors of both, highest first: a module may import from floors below its own and from nowhere else.
import-linter holds them (`lint-imports`; the contracts in pyproject.toml are exhaustive: a new module has to choose its floor).
"""


def main() -> None:
    """Prints the page."""
    print(INTRODUCTION)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["type"] == "layers":
            (package,) = contract["containers"]
            print(f"## Floors of `{package}`\n")
            for number, floor in enumerate(contract["layers"], 1):
                names = ", ".join(f"`{name.strip()}`" for name in floor.replace("|", ":").split(":"))
                print(f"{number}. {names}")
            print()
            _tree(ROOT / package)


def _tree(package: Path) -> None:
    print(f"## Files of `{package.name}`\n\n| file | what it is |\n|---|---|")
    for file in sorted(package.rglob("*.py"), key=lambda path: (path.parent != package, path)):
        if text := _first_sentence(file):
            print(f"| `{file.relative_to(package.parent)}` | {text} |")
    print()


def _first_sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
