"""Out of memory, in whatever words: told with what was too large and what to change, survived where it can be, never a defect."""

import gc
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from test_cli import Cli, run_cli  # noqa: F401 - a fixture
from test_decode import SOURCES, models  # noqa: F401 - a fixture
from test_disk import paths, refusing  # noqa: F401 - a fixture
from test_train import batch, net, trainer_of

import core.decode
from codeprune_tui.cli import runs
from core import playground, worker
from core.decode import beam_search
from core.errors import ModelError, TrainingError
from core.evaluate import ladder, variants
from core.evaluate.variants import Models
from core.families.roberta import CodeToText, tiny
from core.run.events import Failed
from core.run.exchange import Abilities, ModelFailed, Refused, Reply, Variant
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.shortage import in_words, is_shortage

SHORT: list[Exception] = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    MemoryError(),
]
OTHERS: list[Exception] = [
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ValueError("out of memory"),
]


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_memory_that_is_short_is_known_in_all_words(error: Exception) -> None:
    assert is_shortage(error)
    explained = ModelError("The device has no room.")
    explained.__cause__ = error
    assert is_shortage(explained), "also where it was put into words already"
    problem, fix = in_words(error, "The run")
    assert problem.startswith("The run needs more memory than there is: ")
    assert "\n" not in problem
    assert "smaller batches" in fix


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_shortage(error)


# Training


@pytest.mark.parametrize("error", [SHORT[0], SHORT[2], SHORT[-1]], ids=str)
def test_a_batch_that_does_not_fit_is_told_with_its_sizes(error: Exception) -> None:
    trainer = trainer_of(net(), {}, batch_size=5)
    trainer.train_step(batch(0))
    trainer._loss = refusing(error)
    with pytest.raises(TrainingError) as raised:
        trainer.train_step(batch(1))
    assert raised.value.problem.startswith(
        "cpu has no room for step 2: 5 rows, sources up to 6 and targets up to 3 tokens, precision fp32 ("
    )
    assert (
        'Lower training.batch_size, data.source_length or data.target_length, set training.precision = "bf16"' in raised.value.fix
    )
    assert raised.value.__cause__ is error


def test_another_error_of_a_step_stays_what_it_is() -> None:
    trainer = trainer_of(net(), {})
    trainer._loss = refusing(OTHERS[1])
    with pytest.raises(RuntimeError, match="device-side assert"):
        trainer.train_step(batch(0))


def test_a_worker_without_memory_is_no_defect(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(worker, "_work", refusing(SHORT[1]))
    assert worker.main([str(paths.root)]) == TrainingError.exit_code
    [event] = read_journal(paths.journal)
    assert isinstance(event.what, Failed)
    assert event.what.problem == "The run needs more memory than there is: CUDA error: out of memory."
    assert "defect" not in event.what.fix


def test_a_command_without_memory_is_no_defect(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(runs, "run_folders", refusing(SHORT[2]))
    result = run_cli("status")
    assert result.code == 1
    assert result.err.startswith("Error: The command needs more memory than there is: CUDA error: CUBLAS_STATUS_ALLOC_FAILED")


# Decoding


@pytest.mark.parametrize("error", [SHORT[2], SHORT[5]], ids=str)
def test_a_batch_is_halved_whoever_says_that_it_is_too_large(
    models: dict[str, CodeToText],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    model, whole = models["trained"], core.decode._decode
    sizes: list[int] = []

    def little_room(model: CodeToText, sources: Sequence[Sequence[int]], *rest: object) -> object:
        sizes.append(len(sources))
        if len(sources) > 2:
            raise error
        return whole(model, sources, *rest)  # type: ignore[arg-type]

    expected = beam_search(model, SOURCES, beam=2, max_length=6, batch_size=2)
    monkeypatch.setattr(core.decode, "_decode", little_room)
    halved = beam_search(model, SOURCES, beam=2, max_length=6, batch_size=4)
    assert [[h.tokens for h in each] for each in halved] == [[h.tokens for h in each] for each in expected]
    assert sizes[:2] == [4, 2]


# Quantizers


@pytest.mark.parametrize("error", [SHORT[0], ModelError("The device has no room to decode even one source.")], ids=str)
def test_a_quantizer_that_finds_no_memory_is_not_one_that_does_not_work(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    error.__cause__ = SHORT[1] if isinstance(error, ModelError) else None
    monkeypatch.setattr(ladder, "search_all", refusing(error))
    with pytest.raises(type(error)):
        ladder._quantized(tiny(), ["fp32"])
    monkeypatch.setattr(variants, "search_all", refusing(error))
    replies: list[Reply] = []
    desk = playground.Desk(replies.append, "cpu", 1)
    for _ in range(2):  # what there was no memory to find out is not kept
        desk._tell_abilities(Abilities(id=7))
    assert [type(reply) for reply in replies] == [Refused, Refused]
    assert replies[0].problem.startswith("Trying the quantizers needs more memory than there is: ")  # type: ignore[union-attr]


# The playground


class Loads:
    """Stands in for loading: a tiny model for every name, as long as fewer than `room` of them live."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.models: list[weakref.ref[CodeToText]] = []

    def __call__(self, path: str, **_: object) -> object:
        gc.collect()
        if sum(model() is not None for model in self.models) >= self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        model = tiny()
        self.models.append(weakref.ref(model))
        return type("Writer", (), {"model": model})()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Loads]:
    """Chooses how many models there is room for."""

    def choose(room: int) -> Loads:
        stand_in = Loads(room)
        monkeypatch.setattr(variants, "load_writer", stand_in)
        monkeypatch.setattr(variants, "_warm_up", lambda writer, method: None)
        return stand_in

    return choose


def test_a_model_that_is_dropped_gives_its_memory_back(loads: Callable[[int], Loads], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in, freed = loads(99), list[int]()

    def make_room() -> None:
        gc.collect()
        freed.append(sum(model() is not None for model in stand_in.models))

    monkeypatch.setattr(variants, "make_room", make_room)
    kept = Models("cpu", 1)
    for name in "abcde":
        kept.load(name, "fp32", lambda stage: None)
    assert freed == [4], "once the oldest of four is gone, what torch holds for it is given back"
    assert kept.known("a", "fp32") is None
    assert kept.known("b", "fp32") is not None


def test_a_model_without_room_takes_the_place_of_the_others(loads: Callable[[int], Loads]) -> None:
    loads(2)
    kept = Models("cpu", 1)
    for name in "abc":
        kept.load(name, "fp32", lambda stage: None)
    assert [kept.known(name, "fp32") is not None for name in "abc"] == [False, False, True]
    loads(0)
    with pytest.raises(torch.OutOfMemoryError):
        kept.load("d", "fp32", lambda stage: None)
    assert kept.known("c", "fp32") is None
    with pytest.raises(torch.OutOfMemoryError):
        kept.load("d", "fp32", lambda stage: None)


def test_the_playground_says_what_to_do(tmp_path: Path) -> None:
    replies: list[Reply] = []
    desk = playground.Desk(replies.append, "cpu", 1)
    desk._attempt(1, Variant("large"), partial(refusing(SHORT[0])))
    (reply,) = replies
    assert isinstance(reply, ModelFailed)
    assert reply.problem.startswith("This model needs more memory than there is: CUDA out of memory.")
    assert "free memory" in reply.fix
