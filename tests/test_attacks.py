"""The attacks that anyone can make: some cases of each quick kind hold here, and one that does not is told."""

import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def attacks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attacks", ROOT / "tools" / "attacks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("kind", "cases"), [("ruby", 20), ("recipes", 100), ("rows", 100), ("journals", 5), ("runs", 30), ("models", 6)]
)
def test_what_is_spoiled_is_refused_or_read_and_takes_nothing_else_down(attacks: ModuleType, kind: str, cases: int) -> None:
    problems = {number: problem for number in range(cases) if (problem := attacks.attack(kind, number))}
    assert not problems, next(iter(problems.values()))


def test_what_does_not_hold_is_told(attacks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: str) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(attacks, "parse", broken)
    assert "ValueError: a defect" in attacks.attack("ruby", 0)
    monkeypatch.setattr(attacks, "parse", lambda source: None)
    monkeypatch.setattr(attacks, "LIMIT_S", -1.0)
    assert "HeldNotError: it took" in attacks.attack("ruby", 0)


def test_a_case_follows_from_its_number(attacks: ModuleType) -> None:
    first, again, other = (attacks.spoiled(b"some content of a file" * 20, random.Random(seed)) for seed in ("a 1", "a 1", "a 2"))
    assert first == again
    assert first != other
