"""What is left standing: out of memory provoked, and several processes beside each other on one device."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from box import Box, Row

from codeprune_tui import bundle
from core.decode import search_batches
from core.errors import TrainingError
from core.recipe import Search, build_recipe
from core.run.exchange import Comment, Commented, ModelFailed, Read, Reply, Variant, read_reply, to_line
from core.run.folder import create_run

PATIENCE_S = 300.0
ROOM_BYTES = 2**30
"""Memory beside the weights in which 256 rows are decoded; all at once they take some 9 GB."""
METHOD = "def sum(values)\n  values.reduce(0) { |one, other| one + other }\nend\n"


def out_of_memory(box: Box) -> Iterator[Row]:
    """A step that needs more memory than there is, and whether training and decoding go on afterwards."""
    model = box.ground.model("mini")
    trainer, batches = box.trainer(model, 8), box.batches(8)
    trainer.train_step(next(batches))
    usual, trainer._loss = trainer._loss, lambda batch: torch.empty(2**50, device=box.device).sum()
    problem = ""
    try:
        trainer.train_step(next(batches))
    except TrainingError as error:
        problem = error.problem
    yield Row("memory", "a step without room is told", holds="has no room for step 2" in problem, note=problem[:200])
    trainer._loss = usual
    trainer.train_step(next(batches))
    yield Row("memory", "the next step trains", holds=trainer.step == 2)
    if box.cuda:
        yield _little_room(box)


def _little_room(box: Box) -> Row:
    """Decodes all rows at once in less memory than that takes."""
    model, sources = box.ground.model("base"), box.sources(256)
    torch.cuda.empty_cache()
    room = torch.cuda.memory_allocated(box.device) + ROOM_BYTES
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.mem_get_info(box.device)[1], box.device)
    try:
        sizes = [len(rows) for rows, _ in search_batches(model, sources, Search(10, 16, batch_size=len(sources)))]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, box.device)
    holds = sum(sizes) == len(sources) if len(sizes) > 1 else None
    note = f"{len(sources)} rows in {len(sizes)} batches{'' if len(sizes) > 1 else ': nothing was too large'}"
    return Row("memory", "decoding halves batches that do not fit", holds=holds, note=note)


def beside(box: Box) -> Iterator[Row]:
    """Two workers and a playground at once on the device: all must end well."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        workers = [_worker(box, Path(folder), number) for number in range(2)]
        answer = _ask_playground(box)
        codes = [worker.wait(PATIENCE_S) for worker in workers]
        seconds = time.monotonic() - begun
        failed = [_end_of(Path(folder), number) for number, code in enumerate(codes) if code]
    yield Row("beside", "two workers", seconds, "s", holds=codes == [0, 0], note="; ".join(failed))
    well = isinstance(answer, Commented)
    note = answer.lines[0].text if isinstance(answer, Commented) else getattr(answer, "problem", "no answer")
    yield Row("beside", "a playground beside them", getattr(answer, "seconds", None), "s", holds=well, note=note[:120])


def processes(box: Box) -> Iterator[Row]:
    """A run whose steps two processes share, on GPUs one each: it must end well."""
    if box.cuda and torch.cuda.device_count() < 2:
        yield Row("processes", "not measured: one GPU")
        return
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        code = _worker(box, Path(folder), 0, processes=2).wait(PATIENCE_S)
        seconds = time.monotonic() - begun
        note = _end_of(Path(folder), 0) if code else ""
    yield Row("processes", "a run of two processes", seconds, "s", holds=code == 0, note=note)


def _worker(box: Box, folder: Path, number: int, processes: int = 1) -> "subprocess.Popen[bytes]":
    sections: dict[str, dict[str, object]] = {
        "training": {"steps": 2 if box.quick else 100, "batch_size": 8, "device": box.device_name, "threads": 1, "seed": number},
        "evaluation": {"rows": 4 if box.quick else 50, "beam": 2 if box.quick else 10, "max_length": 8 if box.quick else 32},
        "pruning": {"rounds": 1},
        "model": {"path": str(bundle.folder() / "ruby-mini")},
        "data": {"path": str(bundle.folder() / "demo-ruby")},
    }
    if processes > 1:
        sections["training"] |= {"processes": processes, "device": box.device.type}
    if box.quick:
        sections["model"] = {"path": "new"}
        sections["architecture"] = {"vocab_size": 400, "hidden": 32, "layers": 1, "heads": 2, "ffn": 48, "decoder_layers": 1}
        sections["data"] |= {"source_length": 48, "target_length": 24, "train_rows": 64}
    paths = create_run(folder, f"run-{number}", build_recipe(sections))
    return subprocess.Popen([sys.executable, "-P", "-m", "core.worker", str(paths.root)], stderr=subprocess.DEVNULL)


def _end_of(folder: Path, number: int) -> str:
    lines = (folder / f"run-{number}" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    last = json.loads(lines[-1]) if lines else {}
    return f"run-{number}: {last.get('problem', last.get('event', 'nothing journalled'))}"[:200]


def _ask_playground(box: Box) -> Reply | None:
    command = [sys.executable, "-P", "-m", "core.playground", "--device", box.device_name, "--threads", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        _send(process.stdin, Read(id=1, source=METHOD))
        answer: Reply | None = None
        for line in process.stdout:
            reply = read_reply(line)
            if getattr(reply, "reply", "") == "methods":
                model = Variant(str(bundle.folder() / "ruby-mini"))
                _send(process.stdin, Comment(id=2, reading=1, method=0, models=[model], beam=2, max_length=8))
            elif isinstance(reply, Commented | ModelFailed):
                answer = reply
                break
        process.stdin.close()
    return answer


def _send(stdin: IO[bytes], request: Read | Comment) -> None:
    stdin.write(to_line(request))
    stdin.flush()
