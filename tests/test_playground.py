"""The playground process and its client: what is asked is answered, whatever else happens, and nobody outlives the app."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from app_runs import until

from codeprune_tui import bundle
from codeprune_tui.playground.process import Gone, Playground
from codeprune_tui.runs.models import choices, default_pair
from codeprune_tui.views.difference import differing
from core.bleu import sentence_bleu
from core.playground import FIRST_CHARACTERS, Desk, Texts
from core.recipe import Search
from core.run.exchange import (
    MOST_CHARACTERS,
    MOST_METHODS,
    Abilities,
    Able,
    Comment,
    Commented,
    Done,
    ListedMethod,
    Load,
    Loaded,
    Loading,
    MethodsFound,
    ModelFailed,
    Read,
    Ready,
    Refused,
    Reply,
    Request,
    Variant,
    read_reply,
    read_request,
    to_line,
)
from core.spec.quantizers import METHODS

ROOT = Path(__file__).resolve().parent.parent
MODEL = str(ROOT / "checkpoints" / "bundled" / "ruby-mini")
SAMPLE = (ROOT / "checkpoints" / "bundled" / "demo-ruby" / "test" / "game_dice.rb").read_text()
COMMAND = [sys.executable, "-P", "-m", "core.playground", "--threads", "1", "--device", "cpu"]
STAND_IN = (sys.executable, str(Path(__file__).parent / "stand_in_playground.py"))
PATIENCE_S = 120
HOSTILE = "def a[red] \x00\x1b]0;t\x07 \u202e\ud800 [@click=app.quit]x[/]\ndef ok = 1\n\xff"


class Process:
    """The real process, spoken to line by line."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self.number = 0

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def hear(self) -> Reply:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        reply = read_reply(line)
        assert reply is not None, line
        return reply

    def until(self, kind: type) -> list[Reply]:
        """Everything up to the first reply of a kind."""
        heard = [self.hear()]
        while not isinstance(heard[-1], kind):
            heard.append(self.hear())
        return heard

    def read(self, source: str) -> MethodsFound:
        self.number += 1
        self.send(to_line(Read(id=self.number, source=source)))
        reply = self.hear()
        assert isinstance(reply, MethodsFound)
        assert reply.id == self.number
        return reply

    def comment(self, method: int, models: Sequence[str | Variant], **other: int) -> list[Reply]:
        reading, self.number = self.number, self.number + 1
        self.send(to_line(Comment(id=self.number, reading=reading, method=method, models=_variants(models), **other)))
        return self.until(Done)

    def ended(self) -> int:
        return self.process.wait(timeout=PATIENCE_S)


def _variants(models: Sequence[str | Variant]) -> list[Variant]:
    return [Variant(model) if isinstance(model, str) else model for model in models]


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """One process for all: its libraries take seconds to load."""
    running = Process()
    assert isinstance(running.hear(), Ready)
    yield running
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert running.ended() == 0
    assert running.process.stdout is not None
    running.process.stdout.close()


def only(replies: list[Reply], kind: type) -> list[Reply]:
    return [reply for reply in replies if isinstance(reply, kind)]


@pytest.mark.slow
def test_comments_are_those_of_the_command_line(process: Process) -> None:
    from core.evaluate.comment import comment_methods, reference_of
    from core.ruby import methods

    sources = methods(SAMPLE)[:4]
    expected = comment_methods(MODEL, sources, Search(5, 32), device="cpu", threads=1)
    reply = process.read(SAMPLE)
    assert [method.qualified for method in reply.methods[:4]] == [method.qualified for method in sources]
    assert reply.methods[3].own == "Adds up the highest results and the modifier."
    for index, text in enumerate(expected):
        process.read(SAMPLE)
        (commented,) = only(process.comment(index, [MODEL], beam=5, max_length=32, n_best=3), Commented)
        assert isinstance(commented, Commented)
        assert commented.lines[0].text == text
        assert len(commented.lines) == 3
        assert commented.lines[0].score >= commented.lines[1].score >= commented.lines[2].score
        assert commented.bleu == pytest.approx(sentence_bleu(text, [reference_of(sources[index])]))
        assert commented.name_bleu is not None
        assert commented.seconds > 0
        assert commented.tokens_per_second == pytest.approx(commented.lines[0].tokens / commented.seconds)


@pytest.mark.slow
def test_one_failing_model_leaves_the_others_and_loading_happens_once(process: Process, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    process.read("def add(a, b) = a + b\n")
    replies = process.comment(0, [str(tmp_path), MODEL, "/no/such/model"], beam=1)
    failed = only(replies, ModelFailed)
    assert [reply.model for reply in failed if isinstance(reply, ModelFailed)] == [str(tmp_path), "/no/such/model"]
    assert all(reply.problem and reply.fix for reply in failed if isinstance(reply, ModelFailed))
    (commented,) = only(replies, Commented)
    assert isinstance(commented, Commented)
    assert commented.bleu is None, "a method without a comment of its own has nothing to be scored against"
    process.read("def add(a, b) = a + b\n")
    assert not only(process.comment(0, [MODEL], beam=1), Loaded)


@pytest.mark.slow
def test_numbers_that_fit_no_model_fail_politely(process: Process) -> None:
    process.read("def add(a, b) = a + b\n")
    (failed,) = only(process.comment(0, [MODEL], beam=0), ModelFailed)
    assert isinstance(failed, ModelFailed)
    assert "is 0, but must be" in failed.problem


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"[" * 100_000 + b"\n",
        b'{"request": "dance", "id": 3}\n',
        b'{"request": "read", "id": "x", "source": 5}\n',
        b'{"request": "comment", "id": 9, "reading": 77, "method": 0, "models": []}\n',
        b"\xff\xfe\x00\n",
        b"null\n",
    ],
)
def test_nonsense_is_refused_and_the_process_goes_on(process: Process, line: bytes) -> None:
    process.send(b"\n" + line)
    refused = process.hear()
    assert isinstance(refused, Refused)
    assert refused.problem
    assert process.read("def a; end").total == 1


# Quantized variants


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A small model with random weights, as its folder."""
    from test_model import small_model

    from core.families.reader import Reader
    from core.families.tokenizer import train_tokenizer
    from core.model import save_model

    save_model(
        small_model(vocab_size=270),
        Reader(train_tokenizer(["def size", "Returns the size ."], vocab_size=270)),
        tmp_path / "tiny",
    )
    return str(tmp_path / "tiny")


@pytest.mark.slow
def test_a_quantized_variant_writes_what_the_quantized_model_writes(process: Process, tiny: str) -> None:
    from core.compress.quantize import memory_bytes, quantize
    from core.evaluate.comment import Writer, write_comments
    from core.model import load_model, load_reader
    from core.ruby import methods

    source = "def add(a, b) = a + b\n"
    process.read(source)
    variants = [Variant(tiny, method) for method in ("fp32", "dynamic-int8", "int8-weight", "bf16")]
    replies = process.comment(0, variants, beam=3, max_length=12, n_best=3)
    model = load_model(tiny)
    scores = {}
    for variant in variants:
        copy = model if variant.method == "fp32" else quantize(model, variant.method)
        (expected,) = write_comments(Writer(copy, load_reader(tiny)), methods(source), Search(3, 12, n_best=3))
        (commented,) = [one for one in only(replies, Commented) if isinstance(one, Commented) and one.method == variant.method]
        assert commented.model == tiny
        assert [line.text for line in commented.lines] == [line.text for line in expected]
        assert [line.score for line in commented.lines] == pytest.approx([line.score for line in expected], rel=1e-5)
        (loaded,) = [one for one in only(replies, Loaded) if isinstance(one, Loaded) and one.method == variant.method]
        assert loaded.device.startswith(("cpu", "cuda (", "mps"))
        assert not loaded.warning
        assert loaded.size_bytes == memory_bytes(copy)
        scores[variant.method] = commented.lines[0].score
    assert len(set(scores.values())) == len(variants), "each variant computes numbers of its own"
    stages = [(one.method, one.stage) for one in only(replies, Loading) if isinstance(one, Loading) and one.stage != "libraries"]
    assert stages == [("fp32", "weights"), *((variant.method, "quantizing") for variant in variants[1:])], (
        "read once, then copied"
    )
    process.read(source)
    assert not only(process.comment(0, variants, beam=1, max_length=4), Loaded), "all four stay in memory"


@pytest.mark.slow
def test_a_failing_quantization_leaves_the_others(process: Process, tiny: str, tmp_path: Path) -> None:
    from core.compress.quantize import quantize
    from core.model import load_model, load_reader, save_model

    saved = str(tmp_path / "saved")
    save_model(quantize(load_model(tiny), "int8-weight"), load_reader(tiny), Path(saved))
    process.read("def add(a, b) = a + b\n")
    variants = [Variant(tiny, "int3"), Variant(saved, "dynamic-int8"), Variant(saved), Variant(tiny, "fp16")]
    replies = process.comment(0, variants, beam=1, max_length=4)
    failed = [(one.model, one.method, one.problem) for one in only(replies, ModelFailed) if isinstance(one, ModelFailed)]
    assert failed == [
        (tiny, "int3", "There is no quantization method 'int3'."),
        (saved, "dynamic-int8", "The model is quantized already (int8-weight)."),
    ]
    written = [(one.model, one.method) for one in only(replies, Commented) if isinstance(one, Commented)]
    assert written == [(saved, "fp32"), (tiny, "fp16")]


@pytest.mark.slow
def test_what_this_device_can_do_is_told_and_true(process: Process, tiny: str) -> None:
    process.send(to_line(Abilities(id=900)))
    able = process.until(Able)[-1]
    assert isinstance(able, Able)
    assert list(able.problems) == list(METHODS)
    for method, problem in able.problems.items():
        process.read("def add(a, b) = a + b\n")
        replies = process.comment(0, [Variant(tiny, method)], beam=1, max_length=4)
        failed = only(replies, ModelFailed)
        assert bool(failed) is bool(problem), method
        if failed:
            assert isinstance(failed[0], ModelFailed)
            assert problem in failed[0].problem or failed[0].problem in problem
            assert failed[0].fix == "Choose another method, or fp32."


def test_hostile_ruby_is_read(process: Process) -> None:
    reply = process.read(HOSTILE)
    assert "ok" in [method.qualified for method in reply.methods]
    assert reply.warnings
    huge = process.read("def a(x) x + 1 end; " * 5000)
    assert (len(huge.methods), huge.total) == (MOST_METHODS, 5000)


def test_the_end_of_stdin_ends_it_at_once_whatever_it_does() -> None:
    process = Process()
    assert isinstance(process.hear(), Ready)
    process.read(SAMPLE)
    process.send(to_line(Comment(id=2, reading=1, method=0, models=[Variant(MODEL)])))  # it begins to load torch
    assert process.process.stdin is not None
    process.process.stdin.close()
    assert process.ended() == 0
    assert process.process.stdout is not None
    process.process.stdout.close()


def test_stdout_is_for_replies_alone() -> None:
    program = (
        "import os\nfrom core.playground import _take_stdout\nfrom core.run.exchange import Done\nsay = _take_stdout()\n"
        "print('from Python', flush=True); os.write(1, b'from C'); os.system('echo from a child'); say(Done(id=1))"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, cwd=ROOT, check=True)
    assert result.stdout == to_line(Done(id=1))
    assert all(text in result.stderr for text in (b"from Python", b"from C", b"from a child"))


def test_ready_comes_before_torch() -> None:
    process = Process()
    assert isinstance(process.hear(), Ready)
    process.read(SAMPLE)
    libraries = Path(f"/proc/{process.process.pid}/maps").read_text() if sys.platform == "linux" else ""
    assert "libtorch" not in libraries
    assert process.process.stdin is not None
    process.process.stdin.close()
    assert process.ended() == 0
    assert process.process.stdout is not None
    process.process.stdout.close()


def test_a_newer_question_takes_the_place_of_an_older_one() -> None:
    said: list[Reply] = []
    texts, desk = Texts(said.append), Desk(said.append, "cpu", 1)
    texts.read(Read(id=1, source="def a; end"))
    for number in (2, 3):
        desk.take(Comment(id=number, reading=1, method=0, models=[Variant("/no/such/model")] if number == 2 else []))
    said.clear()
    desk.work(texts)
    assert said == [Done(id=2, superseded=True)]
    desk.work(texts)
    assert said[1:] == [Done(id=3)]


def test_a_question_about_a_text_that_is_gone_is_refused() -> None:
    said: list[Reply] = []
    texts, desk = Texts(said.append), Desk(said.append, "cpu", 1)
    texts.read(Read(id=5, source="def a; end"))
    for reading, method in ((4, 0), (5, 1), (5, -1)):
        desk.take(Comment(id=6, reading=reading, method=method, models=[]))
        desk.work(texts)
        assert isinstance(said[-1], Refused)


def test_what_is_too_long_is_said() -> None:
    said: list[Reply] = []
    Texts(said.append).read(Read(id=1, source="# " + "x" * MOST_CHARACTERS))
    assert isinstance(said[0], MethodsFound)
    assert said[0].unread == 2
    Texts(said.append).read(Read(id=2, source="def a; end", cut=7))
    assert isinstance(said[1], MethodsFound)
    assert said[1].unread == 7, "what was not sent was not read either"


def test_a_text_with_more_methods_than_are_listed_is_not_read_to_its_end() -> None:
    said: list[Reply] = []
    texts = Texts(said.append)
    dense, sparse = "def a(x) x + 1 end; " * 50_000, f"def first; end\n{'# nothing here' * 40_000}\ndef last; end\n"
    texts.read(Read(id=1, source=dense))
    texts.read(Read(id=2, source=sparse))
    first, second = said
    assert isinstance(first, MethodsFound)
    assert isinstance(second, MethodsFound)
    assert (len(first.methods), first.unread) == (MOST_METHODS, len(dense) - FIRST_CHARACTERS)
    assert MOST_METHODS < first.total < 50_000
    assert ([method.qualified for method in second.methods], second.unread) == (["first", "last"], 0)


@pytest.mark.parametrize(
    "what",
    [
        Read(id=1, source=HOSTILE),
        Load(id=2, model="m"),
        Comment(id=3, reading=1, method=0, models=[Variant("m", "int8-weight"), Variant("m")]),
        Abilities(id=4),
        MethodsFound(id=1, methods=[ListedMethod("A.b", 1, HOSTILE, "x")], total=1, warnings=[], unread=0),
        Done(id=1),
    ],
)
def test_lines_survive_the_journey(what: Request | MethodsFound | Done) -> None:
    line = to_line(what)
    assert line.count(b"\n") == 1
    assert (read_request(line) if isinstance(what, Request) else read_reply(line)) == what


def test_a_line_that_is_no_reply_is_none() -> None:
    for line in (b"x", b"{}", b"[" * 100_000, b'{"reply": "ready"}', b"\xff"):
        assert read_reply(line) is None


# The client


async def test_the_client_reports_a_crash_with_its_last_words_and_starts_again(tmp_path: Path) -> None:
    heard: list[Reply | Gone] = []
    playground = Playground(heard.append, STAND_IN)
    assert playground.pid is None
    await playground.ask(Read(id=1, source="def a; end"))
    await until(lambda: [reply for reply in heard if isinstance(reply, MethodsFound)])
    first = playground.pid
    await playground.ask(Comment(id=2, reading=1, method=0, models=[Variant("crash")]))
    await until(lambda: [reply for reply in heard if isinstance(reply, Gone)])
    gone = heard[-1]
    assert isinstance(gone, Gone)
    assert gone.how.startswith("left with exit code 3")
    assert "Traceback: out of <1B>[31mmemory" in gone.how
    await playground.ask(Read(id=3, source="def a; end"))
    await until(lambda: [reply for reply in heard if isinstance(reply, MethodsFound) and reply.id == 3])
    assert playground.pid not in (None, first)
    second = playground.pid
    await playground.close()
    assert second is not None
    assert not psutil.pid_exists(second)
    assert [type(reply) for reply in heard].count(Gone) == 1, "who is asked to go is not reported as lost"
    await playground.ask(Read(id=4, source=""))
    assert playground.pid is None


async def test_how_a_process_ended_is_not_lost_to_whoever_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waitpid = os.waitpid

    def late(pid: int, options: int) -> tuple[int, int]:
        if options == 0:  # asyncio's own wait: by then everything else that the end of the process calls for has happened
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            time.sleep(0.5)
        return waitpid(pid, options)

    monkeypatch.setattr(os, "waitpid", late)
    heard: list[Reply | Gone] = []
    # Its child holds its stdout until it has ended, so that it can only be killed after that
    program = "import os, time\nme = os.getpid()\nif os.fork(): os._exit(3)\nwhile os.getppid() == me: time.sleep(0.01)"
    playground = Playground(heard.append, [sys.executable, "-c", program])
    await playground.ask(Read(id=1, source=""))
    await until(lambda: heard)
    (gone,) = heard
    assert isinstance(gone, Gone)
    assert gone.how == "left with exit code 3"


async def test_a_playground_that_cannot_start_is_reported() -> None:
    heard: list[Reply | Gone] = []
    playground = Playground(heard.append, ["/no/such/python"])
    await playground.ask(Read(id=1, source=""))
    (gone,) = heard
    assert isinstance(gone, Gone)
    assert "could not be started" in gone.how
    await playground.close()


def test_it_dies_with_a_parent_that_is_killed() -> None:
    program = (
        "import asyncio\nfrom codeprune_tui.playground.process import Playground\nfrom core.run.exchange import Read\n"
        "async def main():\n    playground = Playground(lambda reply: None)\n    await playground.ask(Read(id=1, source=''))\n"
        "    print(playground.pid, flush=True)\n    await asyncio.sleep(1000)\n"
        "asyncio.run(main())"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)


# What can be chosen, and how comments differ


def make_round(checkpoints: Path, run: str, number: int, sparsity: float, age: int = 0, weights: bool = True) -> Path:
    folder = checkpoints / run / "rounds" / f"{number:02d}"
    folder.mkdir(parents=True)
    recipe = checkpoints / run / "recipe.toml"
    recipe.touch()
    os.utime(recipe, (1_000_000 - age, 1_000_000 - age))
    (folder / "metrics.json").write_text(json.dumps({"sparsity": sparsity}))
    if weights:
        (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def _no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "example", lambda: None)


@pytest.mark.usefixtures("_no_example")
def test_the_default_is_the_dense_model_and_the_sparsest_round_of_the_newest_run(tmp_path: Path) -> None:
    for number, sparsity in enumerate((0.0, 0.6, 0.9, 0.3)):
        make_round(tmp_path, "new", number, sparsity, weights=number != 2)
        make_round(tmp_path, "old", number, sparsity, age=100)
    make_round(tmp_path, "newest-without-weights", 0, 0.5, age=-100, weights=False)
    known = choices(tmp_path)
    assert [choice.label for choice in known] == [
        "ruby-mini",
        "ruby-mini-pretrained",
        *(f"new · round {n} · {s}" for n, s in ((3, "30 %"), (1, "60 %"), (0, "0 %"))),
        *(f"old · round {n} · {s}" for n, s in ((3, "30 %"), (2, "90 %"), (1, "60 %"), (0, "0 %"))),
    ]
    dense, sparse = default_pair(known)
    assert dense is not None
    assert dense.path == MODEL
    assert sparse is not None
    assert sparse.label == "new · round 1 · 60 %"


def test_a_runs_shrunk_model_stands_before_its_rounds(tmp_path: Path) -> None:
    for number, sparsity in enumerate((0.0, 0.6)):
        make_round(tmp_path, "fast", number, sparsity)
    (tmp_path / "fast" / "shrunk").mkdir()
    assert choices(tmp_path)[2].label == "fast · round 1 · 60 %", "without weights it cannot be chosen"
    (tmp_path / "fast" / "shrunk" / "model.safetensors").touch()
    first = choices(tmp_path)[2]
    assert (first.label, first.short, first.run) == ("fast · shrunk", "fast shrunk", "fast")
    assert first.path == str(tmp_path / "fast" / "shrunk")
    assert default_pair(choices(tmp_path))[1] == first


@pytest.mark.usefixtures("_no_example")
def test_without_runs_there_are_the_bundled_models(tmp_path: Path) -> None:
    known = choices(tmp_path / "none")
    first, second = default_pair(known)
    assert first == known[0]
    assert second is not None
    assert second.label == "ruby-mini-pretrained"


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("Returns the sum", "Returns the sum", "Returns the sum"),
        ("Returns the sum of all", "returns a sum of all", "Returns [the] sum of all"),
        ("Adds two numbers", "", "[Adds two numbers]"),
        ("", "Adds", ""),
        ("a b c d", "a d", "a [b c] d"),
    ],
)
def test_words_that_differ_are_told_apart(text: str, other: str, expected: str) -> None:
    parts = differing(text, other)
    assert " ".join(f"[{words}]" if differs else words for words, differs in parts) == expected


def test_differences_keep_every_word() -> None:
    parts = differing("one  two\tthree", "two")
    assert [words for words, _ in parts] == ["one", "two", "three"]
