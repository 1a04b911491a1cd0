"""Figures of the machine: measured only for a worker that is here, and only while somebody looks."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest
from app_runs import LARGE, NOW, SMALL, a_round, beginning, live, make_run, opened, shown, started, step, until, until_shown

from codeprune_tui.runs import machine
from codeprune_tui.runs.machine import Figures, Gpu, Gpus, MachineWatch, Worker, measure, resident_bytes
from codeprune_tui.screens.live import LiveScreen
from codeprune_tui.views.state import RunView, reduce_all
from codeprune_tui.widgets.figures import machine_line, ranks_line
from core.run.events import Event, Rank
from core.run.folder import RunPaths

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])
GIB = 2**30
PROGRAM = "import sys; block = bytearray(50_000_000); print('here', flush=True); sys.stdin.read()"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that looks like the worker of `tmp_path/ruby-1`, with 50 MB of its own."""
    command = [sys.executable, "-c", PROGRAM, "core.worker", str(tmp_path.resolve() / "ruby-1")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        yield child
        child.kill()


def run_of(folder: Path, pid: int, host: str) -> RunPaths:
    begun = started("ruby-1", pid=pid, host=host)
    return make_run(folder, "ruby-1", [begun, *beginning("ruby-1")[1:], *a_round(0, 15.0), step(1, 3)])[0]


# What is measured


def test_the_machine_and_the_worker(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    worker = Worker(process.pid, tmp_path.resolve() / "ruby-1")
    figures = measure(worker, Gpus())
    assert 0 <= figures.cpu <= 1
    assert figures.total_bytes == psutil.virtual_memory().total
    assert 0 < figures.used_bytes <= figures.total_bytes
    assert figures.worker_bytes == pytest.approx(psutil.Process(process.pid).memory_info().rss, abs=GIB // 100)
    assert figures.worker_bytes is not None
    assert figures.worker_bytes > 50_000_000


def test_another_program_of_that_number_is_no_worker(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    assert resident_bytes(Worker(process.pid, tmp_path.resolve() / "ruby-2")) is None
    assert resident_bytes(Worker(os.getpid(), tmp_path.resolve() / "ruby-1")) is None
    process.kill()
    process.wait()
    assert resident_bytes(Worker(process.pid, tmp_path.resolve() / "ruby-1")) is None
    assert resident_bytes(Worker(-3, tmp_path)) is None
    assert resident_bytes(Worker(2**70, tmp_path)) is None


def library(processes: dict[int, list[int]], broken: str = "") -> ModuleType:
    """As NVIDIA's: GPU -> processes on it; `broken` is the function that its driver does not know."""

    class NVMLError(Exception):
        pass

    def function(name: str, answer: object) -> object:
        def asked(*arguments: int) -> object:
            if name == broken:
                raise NVMLError(name)
            return answer(*arguments) if callable(answer) else answer

        return asked

    module = ModuleType("pynvml")
    answers: dict[str, object] = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlDeviceGetCount": len(processes),
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetUtilizationRates": lambda number: SimpleNamespace(gpu=83 + number),
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=12 * GIB, total=80 * GIB),
        "nvmlDeviceGetComputeRunningProcesses": lambda number: [SimpleNamespace(pid=pid) for pid in processes[number]],
    }
    module.__dict__.update({name: function(name, answer) for name, answer in answers.items()}, NVMLError=NVMLError)
    return module


@pytest.mark.parametrize(
    ("processes", "broken", "expected"),
    [
        ({0: [7]}, "", "GPU 83 % 12.0/80.0 GiB"),
        ({0: [7], 1: [8]}, "", "GPU 84 % 12.0/80.0 GiB"),
        ({0: [], 1: []}, "", "GPU0 83 % 12.0/80.0 GiB  GPU1 84 % 12.0/80.0 GiB"),
        ({0: [8]}, "nvmlDeviceGetComputeRunningProcesses", "GPU 83 % 12.0/80.0 GiB"),
        ({0: [8]}, "nvmlDeviceGetUtilizationRates", "GPU – 12.0/80.0 GiB"),
        ({0: [8]}, "nvmlDeviceGetMemoryInfo", "GPU 83 %"),
        ({0: [8]}, "nvmlDeviceGetCount", ""),
        ({0: [8]}, "nvmlDeviceGetHandleByIndex", ""),
        ({0: [8]}, "nvmlInit", ""),
        ({}, "", ""),
    ],
)
def test_gpus_as_far_as_their_driver_tells(
    monkeypatch: pytest.MonkeyPatch, processes: dict[int, list[int]], broken: str, expected: str
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library(processes, broken))
    gpus = Gpus()
    cards = gpus.measure(8)
    gpus.close()
    text = machine_line(Figures(0.5, 3 * GIB, 16 * GIB, None, cards)).plain
    assert text == "CPU 50 %  memory 3.0/16.0 GiB  worker –" + (f"  {expected}" if expected else "")


def test_without_the_library_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().measure(1) == ()


def test_a_line_of_one_gpu_fits_eighty_columns() -> None:
    figures = Figures(1.0, 116 * GIB, 128 * GIB, 12 * GIB, (Gpu(0, 1.0, 70 * GIB, 80 * GIB),))
    assert len(machine_line(figures).plain) <= 80


class Waits(threading.Event):
    """Writes down how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.timeouts.append(timeout)
        return super().wait(timeout)


async def test_nothing_is_measured_while_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures(0.5, 0, GIB, None)
    measured: list[Worker] = []
    published: list[Worker] = []
    monkeypatch.setattr(machine, "FIRST_S", 0.001)
    monkeypatch.setattr(machine, "measure", lambda worker, _: measured.append(worker) or figures)
    watch = MachineWatch(lambda worker, _: published.append(worker), period_s=0.001)
    watch._wake = event = Waits()
    watch.start()
    first, second = Worker(1, tmp_path), Worker(2, tmp_path)
    watch.follow(first)
    await until(lambda: len(measured) > 5)
    assert published == [first], "the same figures are told once"
    event.timeouts.clear()
    watch.follow(None)
    await until(lambda: None in event.timeouts, "it rests until it is woken")
    assert event.timeouts[-1] is None
    watch.follow(second)
    await until(lambda: second in published)
    watch.follow(first)
    await until(lambda: published[-1] == first)
    watch.stop()
    watch.join(10)
    assert not watch.is_alive()


# What is shown


@SIZES
async def test_live_shows_this_machine(tmp_path: Path, process: subprocess.Popen[str], size: tuple[int, int]) -> None:
    paths = run_of(tmp_path, process.pid, os.uname().nodename)
    with live(paths):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "ruby-1")
            await pilot.press("2")
            await until_shown(app, "GiB  worker 0.")
            total = psutil.virtual_memory().total / GIB
            await until_shown(app, f"/{total:.1f} GiB")
            screen = app.screen
            assert isinstance(screen, LiveScreen)
            assert screen._machine._worker == Worker(process.pid, paths.root.resolve())
            await pilot.press("1")
            await until_shown(app, "[1 Runs]")
            await until(lambda: screen._machine._worker is None)
            await pilot.press("2")
            await until(lambda: screen._machine._worker is not None)
        assert not screen._machine.is_alive() or screen._machine._leave


@SIZES
async def test_live_shows_the_devices_and_memory_of_all_ranks_wherever_they_are(tmp_path: Path, size: tuple[int, int]) -> None:
    ranks = tuple(Rank(pid=100 + number, device="cuda (NVIDIA H200)") for number in range(8))
    begun = started("ruby-1", host="node7", ranks=ranks)
    paths, worker = make_run(tmp_path, "ruby-1", [begun, *beginning("ruby-1")[1:], *a_round(0, 15.0)])
    with live(paths):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "ruby-1")
            await pilot.press("2")
            await until_shown(app, "8 ranks on cuda (NVIDIA H200), memory in GiB  0\N{NO-BREAK SPACE}–")
            worker.append(replace(step(1, 3), rank_bytes=tuple(number * GIB + 5 for number in range(8))))
            await until_shown(app, "memory in GiB  0\N{NO-BREAK SPACE}0.00  1\N{NO-BREAK SPACE}1.00")
            await until_shown(app, "7\N{NO-BREAK SPACE}7.00")


def test_a_run_of_one_process_has_no_line_of_ranks_and_absurd_numbers_are_left_out() -> None:
    view = reduce_all(RunView(), [Event(0, NOW, started())])
    assert ranks_line(view).plain == ""
    ranks = (Rank(1, "cpu"), Rank(2, "cuda [red]\x1b[31m", "GPU-1"))
    view = reduce_all(view, [Event(1, NOW, started(ranks=ranks)), Event(2, NOW, replace(step(0, 1), rank_bytes=(10**400, 1)))])
    assert ranks_line(view).plain.replace("\N{NO-BREAK SPACE}", " ") == "2 ranks, memory in GiB  0 cpu –  1 cuda [red]<1B>[31m –"


@SIZES
async def test_a_worker_elsewhere_has_no_figures_here(
    tmp_path: Path, process: subprocess.Popen[str], size: tuple[int, int]
) -> None:
    paths = run_of(tmp_path, process.pid, "far[red]away\x1b[31m")
    with live(paths):
        async with opened(tmp_path, size) as (app, pilot):
            await until_shown(app, "ruby-1")
            await pilot.press("2")
            await until_shown(app, "no figures of the machine: the worker runs on far[red]away<1B>[31m")
            assert isinstance(app.screen, LiveScreen)
            assert app.screen._machine._worker is None
            assert "CPU" not in shown(app)


@SIZES
async def test_a_run_without_a_worker_has_no_figures(tmp_path: Path, size: tuple[int, int]) -> None:
    paths = run_of(tmp_path, os.getpid(), os.uname().nodename)
    async with opened(tmp_path, size) as (app, pilot):
        with live(paths):
            await until_shown(app, "RUNNING")
            await pilot.press("2")
            await until_shown(app, "worker –")
        await until_shown(app, "no figures of the machine: the run has no worker")
        assert isinstance(app.screen, LiveScreen)
        assert app.screen._machine._worker is None
