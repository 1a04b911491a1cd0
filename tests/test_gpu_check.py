"""tools/gpu_check on the CPU with tiny models: that every check works before somebody has a GPU for ten minutes."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent


def check(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    command = [sys.executable, str(ROOT / "tools" / "gpu_check"), "--device", "cpu", "--quick", "-o", str(folder / "out.json")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT, check=False, timeout=500)
    return done, json.loads((folder / "out.json").read_text()) if (folder / "out.json").exists() else {}


@pytest.mark.slow
def test_every_check_works_on_the_cpu(tmp_path: Path) -> None:
    done, facts = check(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = facts["rows"]
    assert isinstance(rows, list)
    measured = {row["check"] for row in rows}
    assert measured == {
        "environment", "kernels", "waits", "memory", "repeat", "batches", "comments", "masks", "checkpoints", "training",
        "decoding", "graphs", "quantizers", "beside", "processes", "compile",
    }  # fmt: skip
    assert not [row for row in rows if "failed" in row["what"]]
    held = [f"{row['check']}: {row['what']}" for row in rows if row["holds"]]
    assert "repeat: resumed, as usual: the same bits" in held
    assert "repeat: resumed, deterministic: the same bits" in held
    assert "repeat: pruned, deterministic: the same masks" in held
    assert "memory: a step without room is told" in held
    assert "memory: the next step trains" in held
    assert "beside: two workers" in held
    assert "beside: a playground beside them" in held
    assert "processes: a run of two processes" in held
    assert sum(row["check"] == "batches" and row["holds"] for row in rows) == 2
    assert facts["device"] == "cpu"
    assert facts["quick"] is True
    page = (tmp_path / "out.md").read_text()
    assert page.startswith("cpu, ")
    assert "| repeat | repeated, as usual: the same bits | 1 |" in page


def test_compiling_is_measured_for_every_size_as_long_as_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "gpu_check"))
    speed = importlib.import_module("speed")
    trained: list[tuple[str, int, bool]] = []

    def measured(box: object, size: str, batch_size: int, *, repeated: bool, compiles: bool) -> str:
        assert compiles
        trained.append((size, batch_size, repeated))
        return f"{size}, {batch_size}"

    monkeypatch.setattr(speed, "_trained", measured)
    assert len(list(speed.compiled(SimpleNamespace(quick=False, seconds_left=600.0)))) == 8
    assert trained == [(size, batch, same) for size in ("base", "mini") for batch in (64, 8) for same in (False, True)]
    (row,) = speed.compiled(SimpleNamespace(quick=False, seconds_left=30.0))
    assert row.what == "base, batch 64: not measured, no time was left"


def test_a_check_without_time_or_with_a_defect_stops_no_other(tmp_path: Path) -> None:
    done, facts = check(tmp_path, "--only", "environment", "waits", "--minutes", "0")
    assert done.returncode == 0, done.stderr
    assert [row["what"] for row in facts["rows"]] == ["not measured: no time was left"] * 2  # type: ignore[index, union-attr]
