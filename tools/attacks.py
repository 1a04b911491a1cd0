"""Attacks the program with random files, keys and kills, for as long as the user likes, and counts the cases that failed.

A case fails if the program answers with anything other than the error meant for users, if a reader takes longer than its limit,
if a damaged run takes another one down, if a killed and resumed run ends with other bits, or if the app leaves the terminal
changed. Every case follows from its kind and number alone, so a failure can be repeated.

    python tools/attacks.py --seconds 60                 every kind for a minute
    python tools/attacks.py ruby models --seconds 600    two of them, ten minutes each
    python tools/attacks.py models --only 17             one case
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from codeprune_tui import bundle
from codeprune_tui.runs import client
from codeprune_tui.views.state import RunView, reduce_all
from core.errors import CodepruneError
from core.recipe import Recipe, load_recipe, parse_recipe, to_toml
from core.ruby import parse
from core.run.folder import RunPaths, create_run, is_held, run_folders, run_info
from core.run.journal import read_journal
from core.text.rows import load_rows

LIMIT_S = 30.0
"""Longest time that one reader may take; real files take milliseconds."""
BYTES = (
    b"\x00",
    b"\xff",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b"\x1b[2J",
    b"1e999",
    b"-1",
    b"9" * 500,
    b"=begin\n",
    b"\\ud800",
    b"NaN",
)
TINY = """
[pruning]
rounds = 2
[training]
steps = 6
batch_size = 4
device = "cpu"
threads = 1
checkpoint_every = 2
[data]
train_rows = 40
[evaluation]
rows = 4
beam = 2
max_length = 12
"""


class HeldNotError(AssertionError):
    """A case failed."""


def spoiled(content: bytes, chance: random.Random) -> bytes:
    """A text or binary content with some of it cut, doubled, swapped or replaced."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + int(chance.expovariate(1 / 40)))
        match chance.randrange(5):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end] * chance.randint(1, 200)
            case 2:
                data[at:end] = chance.choice(BYTES) * chance.randint(1, 3)
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 30))
            case 4 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
    return bytes(data)


def in_time(read: Callable[[], object]) -> None:
    """Calls a reader, which may refuse what it is given, but in time and only with an error meant for users."""
    started = time.monotonic()
    with contextlib.suppress(CodepruneError):
        read()
    taken = time.monotonic() - started
    if taken > LIMIT_S:
        raise HeldNotError(f"it took {taken:.0f} s")


def ruby(chance: random.Random, folder: Path) -> None:
    """Ruby sources."""
    files = sorted((bundle.folder() / "demo-ruby").rglob("*.rb"))
    source = spoiled(chance.choice(files).read_bytes(), chance).decode("utf-8", "surrogateescape")
    in_time(lambda: parse(source * chance.choice((1, 1, 1, 20))))


def recipes(chance: random.Random, folder: Path) -> None:
    """Recipes."""
    file = folder / "recipe.toml"
    file.write_bytes(spoiled((to_toml(Recipe()) if chance.random() < 0.5 else TINY).encode(), chance))
    in_time(lambda: load_recipe(file))


def rows(chance: random.Random, folder: Path) -> None:
    """Files of rows."""
    row = {"func_name": "A.b", "code": "def b", "code_tokens": ["def", "b"], "docstring_tokens": ["Does", "it"], "path": "a.rb"}
    file = folder / "train.jsonl"
    file.write_bytes(spoiled("\n".join([json.dumps(row)] * 5).encode(), chance))
    for on_broken in ("stop", "skip"):
        in_time(lambda: load_rows(str(folder), "train", on_broken=on_broken))  # type: ignore[arg-type]  # noqa: B023 - called at once


def journals(chance: random.Random, folder: Path) -> None:
    """Journals, read as the app reads them."""
    file = folder / "events.jsonl"
    file.write_bytes(spoiled((bundle.folder() / bundle.EXAMPLE / "events.jsonl").read_bytes(), chance))
    in_time(lambda: reduce_all(RunView(), read_journal(file)))


def runs(chance: random.Random, folder: Path) -> None:
    """Run folders: one file of one run is no longer what it was, beside a run that is whole."""
    for name in ("whole", "spoiled"):
        shutil.copytree(bundle.folder() / bundle.EXAMPLE, folder / name)
    target = chance.choice([file for file in sorted((folder / "spoiled").rglob("*")) if file.is_file()])
    content = target.read_bytes()
    target.unlink()
    match chance.randrange(6):
        case 0:
            os.mkfifo(target)
        case 1:
            target.symlink_to(target)
        case 2:
            target.symlink_to("/dev/zero")
        case 3:
            target.mkdir()
        case _:
            target.write_bytes(spoiled(content, chance))
    started = time.monotonic()
    infos = {paths.name: run_info(paths, time.time()) for paths in run_folders(folder)}
    if time.monotonic() - started > LIMIT_S or infos["whole"].state != "DONE":
        raise HeldNotError(f"{target.name}: the whole run reads {infos['whole'].state}")


def models(chance: random.Random, folder: Path) -> None:
    """Model folders: configuration, tokenizer or the head of the weights spoiled."""
    from core.model import load_model, load_reader

    model = folder / "model"
    shutil.copytree(bundle.folder() / "ruby-mini", model)
    name = chance.choice(("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"))
    file = model / name
    content = file.read_bytes()
    head = 20_000 if name == "model.safetensors" else len(content)
    file.write_bytes(spoiled(content[:head], chance) + content[head:])
    in_time(lambda: (load_model(str(model)), load_reader(str(model))))


def kills(chance: random.Random, folder: Path) -> None:
    """Runs whose worker is killed again and again, against the same run left alone."""
    recipe = parse_recipe(TINY)
    uninterrupted = _finished(create_run(folder, "alone", client.anchored(recipe)), chance, deaths=0)
    resumed = _finished(create_run(folder, "killed", client.anchored(recipe)), chance, deaths=chance.randint(1, 4))
    if uninterrupted != resumed:
        raise HeldNotError("the run that was killed ended with other bits")


def _finished(paths: RunPaths, chance: random.Random, deaths: int) -> dict[str, bytes]:
    client.launch(paths)
    while True:
        if deaths:
            time.sleep(chance.uniform(0.1, 8.0))
            with contextlib.suppress(CodepruneError):
                client.kill(paths)
            deaths -= 1
        while is_held(paths):
            time.sleep(0.05)
        if len(paths.finished_rounds()) == 3:
            break
        client.resume(paths)
    names = ("model.safetensors", "masks.safetensors", "predictions.jsonl")
    return {f"{number}/{name}": (paths.round(number) / name).read_bytes() for number in range(3) for name in names}


def keys(chance: random.Random, folder: Path) -> None:
    """Keys, key sequences and bytes typed into the app in a terminal; it must leave the terminal as it was."""
    import pexpect

    environment = os.environ | {"TERM": "xterm-256color", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = [sys.executable, "-m", "codeprune_tui.cli.main", "--checkpoints", str(folder / "runs")]
    app = pexpect.spawn(command[0], command[1:], env=environment, dimensions=(24, 80), timeout=LIMIT_S, cwd=folder)
    app.expect("No runs yet")
    tails = ("A", ":A", "97;1:3u", "200~", "<0;5;5M", "?1;2c", "1;5:2B", "Z", "I", "O", "999999999~", "")
    for _ in range(60):
        sent = chance.choice(("123456/?vxymgbeo[] \t\x1b\r", "\x1b[", "\x1b]", "\x1bO"))
        typed = chance.choice(sent) if len(sent) > 3 else sent + chance.choice(tails)
        app.send(typed.encode() if chance.random() < 0.9 else chance.randbytes(3).replace(b"\x03", b"").replace(b"\x1c", b""))
        time.sleep(0.01)
    app.kill(signal.SIGTERM)
    app.expect(pexpect.EOF)
    app.close()
    if b"\x1b[?1049l" not in (app.before or b""):
        raise HeldNotError(f"the alternate screen stayed (exit {app.exitstatus}, signal {app.signalstatus})")


KINDS = {kind.__name__: kind for kind in (ruby, recipes, rows, journals, runs, models, keys, kills)}


def attack(kind: str, number: int) -> str:
    """Makes one case; returns what went wrong, or ""."""
    folder = Path(tempfile.mkdtemp(prefix=f"attack-{kind}-"))
    try:
        KINDS[kind](random.Random(f"{kind} {number}"), folder)
    except Exception:
        return traceback.format_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--seconds", type=float, default=60, help="for each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="number of the one case to make")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}; there are: {', '.join(KINDS)}")
    print("| attacks on | cases | did not hold | seconds |\n|---|---|---|---|")
    failed = 0
    for kind in options.kinds or KINDS:
        number, started, bad = options.first if options.only is None else options.only, time.monotonic(), []
        while True:
            if problem := attack(kind, number):
                bad.append(number)
                print(f"{kind} {number}:\n{problem}", file=sys.stderr, flush=True)
            number += 1
            if options.only is not None or time.monotonic() - started > options.seconds:
                break
        done = 1 if options.only is not None else number - options.first
        what = (KINDS[kind].__doc__ or kind).splitlines()[0].rstrip(".")
        print(f"| {what} | {done:,} | {len(bad)} | {time.monotonic() - started:.0f} |", flush=True)
        failed += len(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
