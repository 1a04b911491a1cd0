"""Nothing that any subcommand prints acts on a terminal, whoever wrote it; in a file or a pipe it stands byte by byte."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pexpect
import pytest
from app_runs import make_run, whole_run

from codeprune_tui.views.plain import harmless
from core.run.events import Failed, Warned

ROOT = Path(__file__).resolve().parent.parent
EVIL = "r\x1b]0;EVIL\x07\x1b[31mX\x9b32m\u202e\r"
RAW = ("\x1b]0", "\x07", "\x1b[31mX", "\x9b", "\u202e")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    events = [*whole_run(EVIL), Warned(message=EVIL), Failed(problem=EVIL, fix=EVIL)]
    paths, _ = make_run(tmp_path, "plain", events)
    metrics = paths.round(0) / "metrics.json"
    facts = json.loads(metrics.read_text())
    metrics.write_text(
        json.dumps({**facts, "split": EVIL, "signatures": {"bleu": EVIL}, "floors": {EVIL: {}}, "bootstrap": EVIL})
    )
    paths.meta.write_text(json.dumps({"device": EVIL}))
    paths.root.rename(tmp_path / EVIL)
    broken, _ = make_run(tmp_path, "broken", [])
    broken.recipe.write_text(f'kind = "{EVIL}"\n{EVIL} = 3\n')
    return tmp_path


def on_a_terminal(words: Sequence[str]) -> str:
    child = pexpect.spawn(words[0], list(words[1:]), encoding="utf-8", timeout=120, dimensions=(24, 200), cwd=str(ROOT))
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    return child.before or ""


COMMANDS = [
    ("status",),
    ("status", EVIL),
    ("status", EVIL, "--json"),
    ("status", "--json"),
    ("status", EVIL, "--follow"),
    ("status", EVIL + "?"),
    ("status", "broken"),
    ("compare", EVIL),
    ("compare", EVIL, "--csv"),
    ("compare", EVIL + "?", "--csv"),
    ("resume", "broken"),
    ("pause", EVIL),
    ("stop", EVIL),
    ("rename", EVIL, EVIL + "2"),
    ("rename", EVIL + "?", "x"),
    ("delete", EVIL),
    ("delete", EVIL + "?", "--yes"),
    ("report", EVIL, "-o", EVIL + "/x/y.html"),
    ("run", EVIL),
    ("run", "demo", "--set", EVIL),
    ("run", "demo", "--set", f"{EVIL}={EVIL}"),
    ("run", "demo", "--set", f"model.path={EVIL}"),
    ("run", "demo", "--name", EVIL),
    ("pretrain", f"--{EVIL}"),
    ("recipe", "--show", EVIL),
    ("comment", EVIL),
    ("comment", "README.md", "--model", EVIL),
    ("evaluate", EVIL),
    ("quantize", EVIL),
    ("bench", EVIL),
    ("reproduce", EVIL),
    (EVIL,),
    (f"--{EVIL}",),
    (f"--checkpoints={EVIL}", "status"),
    ("terminal",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words).replace(EVIL, "EVIL"))
def test_no_text_acts_on_a_terminal(checkpoints: Path, words: tuple[str, ...]) -> None:
    text = on_a_terminal([sys.executable, "-m", "codeprune_tui.cli.main", "--checkpoints", str(checkpoints), *words])
    assert text.strip()
    assert not [raw for raw in RAW if raw in text]
    assert "Traceback" not in text


def test_no_traceback_acts_on_a_terminal(tmp_path: Path) -> None:
    program = (
        "import sys; from codeprune_tui.cli import main, runs\n"
        f"def fail(*_): raise ValueError({EVIL!r})\n"
        "runs.run_folders = fail; sys.argv[1:] = ['status']; "
    )
    text = on_a_terminal([sys.executable, "-c", f"{program}main.main()"])
    assert "This is a defect: ValueError: r<1B>]0;EVIL" in text
    assert not [raw for raw in RAW if raw in text]
    direct = "from codeprune_tui.terminal.streams import guard_terminals; guard_terminals(); "
    text = on_a_terminal([sys.executable, "-c", f"{direct}import warnings; warnings.warn({EVIL!r}); raise ValueError({EVIL!r})"])
    assert text.count("<1B>]0;EVIL") >= 2
    assert not [raw for raw in RAW if raw in text]


def test_in_a_pipe_it_is_as_it_was(checkpoints: Path) -> None:
    words = [sys.executable, "-m", "codeprune_tui.cli.main", "--checkpoints", str(checkpoints), "compare", EVIL, "--csv"]
    done = subprocess.run(words, capture_output=True, check=True, cwd=ROOT, timeout=120)
    assert EVIL.encode() in done.stdout
    odd = checkpoints / os.fsdecode(b"no-text-\xff\xfe")
    (checkpoints / EVIL).rename(odd)
    done = subprocess.run([*words[:-2], odd, "--csv"], capture_output=True, check=True, cwd=ROOT, timeout=120)
    assert b"no-text-\xff\xfe" in done.stdout


def test_what_is_harmless_stays_as_it_is() -> None:
    text = "BLEU 12 – ● ü 語\n\tend\n"
    assert harmless(text) == text
    assert harmless("a\x1b[31mb\rc\x00") == "a<1B>[31mb c<00>"
