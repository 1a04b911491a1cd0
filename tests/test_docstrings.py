"""What a public function raises stands in its docstring, and the page of the tree says what the modules' docstrings say."""

import ast
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import errors, regularfile

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(file for package in ("core", "codeprune_tui") for file in (ROOT / package).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(body: list[ast.stmt]) -> Iterator[Function]:
    """The public functions and methods of a module or class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body)
        elif isinstance(node, Function) and not node.name.startswith("_") and not is_command(node):
            yield node


def is_command(function: Function) -> bool:
    """Whether it is a subcommand: its docstring is the help that users read."""
    calls = [call.func for call in function.decorator_list if isinstance(call, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in ("command", "callback") for call in calls)


def raised(node: ast.AST, caught: frozenset[str] = frozenset()) -> Iterator[str]:
    """The exceptions that a function raises itself and does not catch itself, by name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            called = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            name = ast.unparse(called).rpartition(".")[2]
            if name[0].isupper() and name not in caught and name != "NotImplementedError":
                yield name
        if isinstance(child, ast.Try):
            handled = {name.id for each in child.handlers for name in ast.walk(each.type or each) if isinstance(name, ast.Name)}
            for statement in child.body:
                yield from raised(ast.Module([statement], []), caught | handled)
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield from raised(ast.Module([part], []), caught)  # type: ignore[list-item]  # a handler is walked as well
        elif not isinstance(child, (*Function.__args__, ast.ClassDef, ast.Lambda)):
            yield from raised(child, caught)


def kinds(name: str) -> set[str]:
    """An exception's name and those of what it is one of: "CodepruneError: …" says enough."""
    known = getattr(errors, name, getattr(regularfile, name, None))
    return {name, *(kind.__name__ for kind in getattr(known, "__mro__", ()))} - {"Exception", "object"}


def missing(function: Function) -> set[str]:
    _, _, section = (ast.get_docstring(function) or "").partition("Raises:")
    return {name for name in raised(function) if not any(f"{kind}:" in section for kind in kinds(name))}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_a_public_function_raises_is_documented(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lacking = {function.name: names for function in functions(tree.body) if (names := missing(function))}
    assert lacking == {}


def test_the_test_sees_what_is_raised() -> None:
    source = '''
def open(path):
    """Opens.

    Raises:
        DataError: It cannot.
    """
    try:
        raise KeyError(path)
    except KeyError as error:
        raise DataError(path) from error
    if path:
        raise errors.ModelError
    def inner():
        raise TypeError
    raise error
'''
    (function,) = functions(ast.parse(source).body)
    assert set(raised(function)) == {"DataError", "ModelError"}
    assert missing(function) == {"ModelError"}


def test_the_page_of_the_tree_is_that_of_the_modules(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "tools" / "architecture.py"))["main"]()
    assert capsys.readouterr().out == (ROOT / "docs" / "architecture.md").read_text(), "tools/architecture.py writes it anew"
