"""The playground's process: it keeps models loaded and comments methods on request.

It is started as `python -P -m core.playground [--threads N] [--device D]`; `core.run.exchange` describes its stdin and stdout. It
answers `ready` within a moment, imports torch with the first model, and ends as soon as stdin ends, so it never outlives the app.
Whatever a library prints goes to stderr. Knows nothing of runs or screens.
"""

import argparse
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import BinaryIO

from . import shortage
from .errors import CodepruneError
from .recipe import Device
from .run.exchange import (
    MOST_CHARACTERS,
    MOST_CODE,
    MOST_METHODS,
    Abilities,
    Able,
    Comment,
    Commented,
    Done,
    Line,
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
    Variant,
    Writing,
    read_request,
    to_line,
)
from .shortage import is_shortage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .evaluate.variants import Kept, Models
    from .ruby import Method

FIRST_CHARACTERS = 300_000
"""Characters that are read at first; where they hold more methods than are listed, the rest, which takes seconds, is not read."""
MOST_WARNINGS = 20
Say = Callable[[Reply], None]


def main(arguments: list[str]) -> int:
    """Answers requests until stdin ends.

    Args:
        arguments: `--threads N` and `--device auto|cpu|cuda|cuda:N|mps`.

    Returns:
        Never: the end of stdin ends the process.
    """
    parser = argparse.ArgumentParser(prog="python -P -m core.playground", description="Comments Ruby methods; JSON lines.")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads, 0 = as many as cores")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    options = parser.parse_args(arguments)
    say = _take_stdout()
    _quiet_libraries()
    say(Ready(pid=os.getpid(), threads=options.threads))
    texts, desk = Texts(say), Desk(say, options.device, options.threads)
    threading.Thread(target=_listen, args=(sys.stdin.buffer, texts, desk, say), name="listen", daemon=True).start()
    threading.Thread(target=texts.work, name="read", daemon=True).start()
    while True:
        desk.work(texts)


def _take_stdout() -> Say:
    """Reserves stdout for replies: everything else that is written there, also from C, goes to stderr from now on."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    lock = threading.Lock()

    def say(reply: Reply) -> None:
        line = memoryview(to_line(reply))
        with lock:
            try:
                while line:
                    line = line[out.write(line) or 0 :]
            except BrokenPipeError:
                os._exit(0)  # the reader has gone

    return say


def _quiet_libraries() -> None:
    for name, value in (
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        os.environ.setdefault(name, value)


def _listen(stdin: BinaryIO, texts: "Texts", desk: "Desk", say: Say) -> None:
    """Distributes requests; the end of stdin ends the process, whatever it is doing."""
    for line in stdin:
        if not line.strip():
            continue
        match request := read_request(line):
            case Refused():
                say(request)
            case Read():
                texts.queue.put(request)
            case _:
                desk.take(request)
    os._exit(0)


class Texts:
    """Finds the methods of sources in a thread of its own, so that a source is read while a model loads.

    Args:
        say: Sends a reply.
    """

    def __init__(self, say: Say) -> None:
        self.queue: SimpleQueue[Read] = SimpleQueue()
        self._say = say
        self.last: tuple[int, tuple[Method, ...]] = (-1, ())
        """Id of the last source and its methods."""

    def work(self) -> None:
        """Reads sources for ever; of several waiting ones only the newest."""
        while True:
            request = self.queue.get()
            while not self.queue.empty():
                request = self.queue.get()
            try:
                self.read(request)
            except Exception as error:  # a defect must not end the process, because its models took long to load
                traceback.print_exc()
                self._say(Refused(id=request.id, problem=f"{type(error).__name__}: {error}"[:300]))

    def read(self, request: Read) -> None:
        """Finds the methods of one source."""
        from .ruby import first_paragraph, parse

        source = request.source[:FIRST_CHARACTERS]
        parsed = parse(source)
        if len(parsed.methods) <= MOST_METHODS and len(request.source) > len(source):
            source = request.source[:MOST_CHARACTERS]
            parsed = parse(source)
        shown = parsed.methods[:MOST_METHODS]
        self.last = request.id, shown
        self._say(
            MethodsFound(
                id=request.id,
                methods=[
                    ListedMethod(one.qualified, one.line, one.code[:MOST_CODE], first_paragraph(one.comment)) for one in shown
                ],
                total=len(parsed.methods),
                warnings=[str(warning) for warning in parsed.warnings[:MOST_WARNINGS]],
                unread=len(request.source) - len(source) + request.cut,
            )
        )


class Desk:
    """Loads models, quantizes them and lets them write, in the main thread.

    Args:
        say: Sends a reply.
        device: Where to compute.
        threads: CPU threads, 0 = as many as cores.
    """

    def __init__(self, say: Say, device: Device, threads: int) -> None:
        self._say = say
        self._device: Device = device
        self._threads = threads
        self._queue: SimpleQueue[Load | Abilities | Comment] = SimpleQueue()
        self._newest = -1
        self._models: Models | None = None
        self._problems: dict[str, str] | None = None

    def take(self, request: Load | Abilities | Comment) -> None:
        """Queues a request; called by the listening thread."""
        if isinstance(request, Comment):
            self._newest = request.id
        self._queue.put(request)

    def work(self, texts: Texts) -> None:
        """Deals with the next request."""
        request = self._queue.get()
        if isinstance(request, Load):
            variant = Variant(request.model, request.method)
            self._attempt(request.id, variant, lambda: self._kept(request.id, variant))
            self._say(Done(id=request.id))
        elif isinstance(request, Abilities):
            self._tell_abilities(request)
        else:
            self._comment(request, texts)

    def _tell_abilities(self, request: Abilities) -> None:
        try:
            if self._problems is None:
                self._problems = self._library().abilities()
            self._say(Able(id=request.id, problems=self._problems))
        except Exception as error:  # no memory, or a library that fails: the models can still write
            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}"
            if is_shortage(error):
                problem = " ".join(shortage.in_words(error, "Trying the quantizers"))
            self._say(Refused(id=request.id, problem=problem[:300]))

    def _comment(self, request: Comment, texts: Texts) -> None:
        reading, methods = texts.last
        if reading != request.reading or not 0 <= request.method < len(methods):
            self._say(Refused(id=request.id, problem=f"reading {request.reading} does not have method {request.method}"))
            return
        method = methods[request.method]
        for variant in dict.fromkeys(request.models):
            if self._newest != request.id:
                break
            self._attempt(request.id, variant, partial(self._write, request, variant, method))
        self._say(Done(id=request.id, superseded=self._newest != request.id))

    def _attempt(self, number: int, variant: Variant, work: Callable[[], object]) -> None:
        """Runs an action on one model; a failure concerns that model alone."""
        try:
            work()
        except CodepruneError as error:
            self._say(ModelFailed(id=number, model=variant.model, problem=error.problem, fix=error.fix, method=variant.method))
        except Exception as error:  # no memory, a lost GPU or a defect: the other models can still write
            traceback.print_exc()
            problem, fix = f"{type(error).__name__}: {error}"[:500], ""
            if is_shortage(error):
                problem, fix = shortage.in_words(error, "This model")
            self._say(ModelFailed(id=number, model=variant.model, problem=problem, fix=fix, method=variant.method))

    def _write(self, request: Comment, variant: Variant, method: "Method") -> None:
        writer = self._kept(request.id, variant).writer
        from .evaluate.comment import own_score, write_comments

        self._say(Writing(id=request.id, model=variant.model, method=variant.method))
        begun = time.monotonic()
        alternatives = write_comments(writer, [method], request.search)[0]
        seconds = time.monotonic() - begun
        bleu, floor = own_score(alternatives[0].text, method) or (None, None)
        lines = [Line(one.text, one.score, one.tokens, one.finished) for one in alternatives]
        speed = alternatives[0].tokens / max(seconds, 1e-9)
        self._say(
            Commented(
                id=request.id,
                model=variant.model,
                lines=lines,
                seconds=seconds,
                tokens_per_second=speed,
                bleu=bleu,
                name_bleu=floor,
                method=variant.method,
                finetuned=writer.finetuned,
            )
        )

    def _kept(self, number: int, variant: Variant) -> "Kept":
        """The model, from memory or from disk."""
        model, method = variant.model, variant.method
        begun = time.monotonic()
        if "torch" not in sys.modules:
            self._say(Loading(id=number, model=model, stage="libraries", method=method))
        models = self._library()
        from .families.device import describe

        known = models.known(model, method)
        if known is None:
            known = models.load(
                model, method, lambda stage: self._say(Loading(id=number, model=model, stage=stage, method=method))
            )
            seconds = time.monotonic() - begun
            self._say(
                Loaded(
                    id=number,
                    model=model,
                    seconds=seconds,
                    parameters=known.parameters,
                    size_bytes=known.size_bytes,
                    method=method,
                    device=describe(known.device),
                    warning=models.overlooked(),
                )
            )
        return known

    def _library(self) -> "Models":
        """The models in memory; the first call imports torch."""
        if self._models is None:
            from .evaluate.variants import Models

            self._models = Models(self._device, self._threads)
        return self._models


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
