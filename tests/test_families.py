"""What only a family knows stands in the family: its parameters' names, its special tokens, its counting of positions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KNOW = ("core/families/", "core/spec/roberta.py")
"""The family itself, and the half of it that needs no torch."""
ELSEWHERE = {
    "core/export/codexglue.py": "writes instructions for CodeXGLUE's code, whose names these are",
    "core/spec/configfields.py": "lists what may stand in a RoBERTa's config.json",
}
"""Files that speak of these names to others, each with its reason."""

PARAMETERS = re.compile(
    r"encoder\\?\.(?:encoder|embeddings|pooler)|decoder\\?\.layers|word_embeddings|position_embeddings|attention\\?\.(?:self|output)"
    r"|in_proj|out_proj|self_attn|multihead_attn|lm_head|(?:intermediate|output)\\?\.dense|linear[12]\b|pooler\."
)
NAMES = {
    "PAD", "BOS", "EOS", "max_position_embeddings", "position_embeddings", "word_embeddings", "lm_head", "self_attn",
    "multihead_attn", "in_proj_weight", "in_proj_bias", "linear1", "linear2",
}  # fmt: skip
"""Identifiers and attributes that say the same."""
PARTS = {"pooler", "embeddings"}
"""Attributes that do; as identifiers these are words like others."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings of a file but for its docstrings, and the literal parts of those that are put together."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.value.lineno, node.arg
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names)


def knowledge(source: str) -> list[str]:
    """What a file says of the family, line by line."""
    tree = ast.parse(source)
    places = [(line, text) for line, text in texts(tree) if PARAMETERS.search(text)]
    places += [(line, name) for line, name in names(tree) if name in NAMES]
    places += [(node.lineno, node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in PARTS]
    return [f"{line}: {text}" for line, text in sorted(places)]


def files() -> list[str]:
    every = (
        path.relative_to(ROOT).as_posix() for package in ("core", "codeprune_tui") for path in (ROOT / package).rglob("*.py")
    )
    return sorted(path for path in every if not path.startswith(KNOW) and path not in ELSEWHERE)


@pytest.mark.parametrize("path", files())
def test_nobody_else_knows_the_family(path: str) -> None:
    assert knowledge((ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    [
        "x = ids != PAD",
        "from .config import EOS",
        "most = config.max_position_embeddings - 2",
        "Config(max_position_embeddings=258)",
        'name.startswith("encoder.encoder.")',
        'f"encoder.encoder.layer.{number}.output.dense.weight"',
        're.compile(r"decoder\\.layers\\.0")',
        "model.encoder.embeddings(ids)",
        "model.lm_head(x)",
    ],
)
def test_the_test_sees_it(code: str) -> None:
    assert knowledge(code)
    assert not knowledge(f'r"""{code if chr(34) not in code else code.replace(chr(34), "")}"""')


@pytest.mark.parametrize("path", ELSEWHERE)
def test_exceptions_are_needed(path: str) -> None:
    assert knowledge((ROOT / path).read_text(encoding="utf-8"))
