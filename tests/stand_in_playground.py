"""Speaks like the playground without a model: comments come at once, and say which model and method they are about.

A model whose folder's name has `fail` in it fails, one with `slow` never answers, one with `crash` ends the process.
"""

import os
import sys
from pathlib import Path

from core.playground import Texts
from core.run.exchange import (
    PLAIN,
    Abilities,
    Able,
    Comment,
    Commented,
    Done,
    Line,
    Loaded,
    ModelFailed,
    Read,
    Ready,
    Refused,
    Reply,
    read_request,
    to_line,
)
from core.spec.quantizers import METHODS

HEARD = Path(os.environ["HEARD"]) if "HEARD" in os.environ else None


def say(reply: Reply) -> None:
    sys.stdout.buffer.write(to_line(reply))
    sys.stdout.buffer.flush()


def comment(request: Comment, texts: Texts) -> None:
    method = texts.last[1][request.method]
    for variant in request.models:
        model, method_name = variant.model, variant.method
        name = Path(model).name if method_name == PLAIN else f"{Path(model).name} {method_name}"
        if "crash" in name:
            print("Traceback: out of \x1b[31mmemory", file=sys.stderr, flush=True)
            os._exit(3)
        if "slow" in name:
            return
        if "fail" in name or name.startswith("no-dynamic dynamic"):
            say(
                ModelFailed(
                    id=request.id, model=model, problem=f"{name} cannot be loaded.", fix="Choose another.", method=method_name
                )
            )
            continue
        say(Loaded(id=request.id, model=model, seconds=1.0, parameters=1000, method=method_name))
        best = f"Returns the {method.name} of {name} ."
        if "evil" in method.name:
            best = "[red]x[/] [@click=app.quit]y[/] \x1b]0;title\x07 \u202eabc \x00\x9b31m\x7f\r\n\tz"
        other = f"Alternative \x1b[2J\r{best}" if "evil" in method.name else "Alternative"
        lines = [Line(best, -1.5, 7, True), *(Line(f"{other} {n}", -2.0 - n, 3, n < 2) for n in range(request.n_best - 1))]
        own = bool(method.comment)
        say(
            Commented(
                id=request.id,
                model=model,
                lines=lines,
                seconds=0.5,
                tokens_per_second=14.0,
                bleu=31.25 if own else None,
                name_bleu=12.5 if own else None,
                method=method_name,
            )
        )
    say(Done(id=request.id))


def main() -> None:
    say(Ready(pid=os.getpid(), threads=1))
    texts = Texts(say)
    for line in sys.stdin.buffer:
        if HEARD is not None:
            with HEARD.open("ab") as file:
                file.write(line)
        match request := read_request(line):
            case Read():
                texts.read(request)
            case Comment():
                comment(request, texts)
            case Abilities():
                say(
                    Able(
                        id=request.id, problems={**dict.fromkeys(METHODS, ""), "llm-int8": "not installed: pip [red]x[/] \x1b[2J"}
                    )
                )
            case Refused():
                say(request)


if __name__ == "__main__":
    main()
