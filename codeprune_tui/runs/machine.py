"""The load of this machine and of the worker on it: processor, memory, and the GPUs if there are any.

psutil and NVIDIA's management library measure it, in a thread, while the screen is in front. The figures are always of the
machine that the app runs on; the caller must know that the worker is there, too. Knows neither Textual nor run folders.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from core.gpus import Gpu as Gpu
from core.gpus import Gpus as Gpus

SAMPLE_S = 2.0
FIRST_S = 0.5
"""The share of the processor is a mean between two looks; the first pair lies this far apart."""
GIB = 2**30


@dataclass(frozen=True)
class Worker:
    """The process whose machine is measured."""

    pid: int
    folder: Path
    """Its run folder, resolved: another program, or another run's worker, may get the same process id later."""
    gpus: tuple[str, ...] = ()
    """Ids of the GPUs that it and the processes that share its run work on, as the journal says; none where it says none."""


@dataclass(frozen=True)
class Figures:
    """The machine at one moment, rounded as it is shown: equal figures need no repaint."""

    cpu: float
    """Share of all cores, in [0, 1], in whole percent."""
    used_bytes: int
    total_bytes: int
    worker_bytes: int | None
    """Resident memory of the worker; None where its process is not to be seen."""
    gpus: tuple[Gpu, ...] = ()


class MachineWatch(threading.Thread):
    """Measures again and again while there is a worker to measure.

    Args:
        publish: Takes the worker and the figures when they changed; called in this thread.
        period_s: Seconds between two looks.
    """

    def __init__(self, publish: Callable[[Worker, Figures], None], period_s: float = SAMPLE_S) -> None:
        super().__init__(name="measure the machine", daemon=True)
        self.period_s = period_s
        self._publish = publish
        self._worker: Worker | None = None
        self._leave = False
        self._wake = threading.Event()

    def stop(self) -> None:
        """Ends the thread soon."""
        self._leave = True
        self._wake.set()

    def follow(self, worker: Worker | None) -> None:
        """Measures for another worker; None: rests."""
        if worker != self._worker:
            self._worker = worker
            self._wake.set()

    def run(self) -> None:
        """Rests, or measures once in `period_s`."""
        gpus, measured = Gpus(), None
        published: tuple[Worker, Figures] | None = None
        while not self._leave:
            worker = self._worker
            if worker is None:
                published = None  # whoever looks again has seen nothing yet
                self._wake.wait()
            elif worker != measured:
                psutil.cpu_percent()  # the time in which nobody looked must not count
                self._wake.wait(FIRST_S)
            else:
                sample = (worker, measure(worker, gpus))
                if sample != published and not self._leave:
                    self._publish(*sample)
                    published = sample
                self._wake.wait(self.period_s)
            measured = worker
            self._wake.clear()
        gpus.close()


def measure(worker: Worker, gpus: "Gpus") -> Figures:
    """The machine now.

    Args:
        worker: The worker whose memory and GPUs are measured.
        gpus: The open library.
    """
    memory = psutil.virtual_memory()
    return Figures(
        cpu=round(psutil.cpu_percent()) / 100,
        used_bytes=_rounded(memory.total - memory.available),
        total_bytes=memory.total,
        worker_bytes=resident_bytes(worker),
        gpus=tuple(map(_as_shown, gpus.measure(worker.pid, worker.gpus))),
    )


def _as_shown(gpu: Gpu) -> Gpu:
    """A GPU rounded as it is shown, without its users."""
    used = None if gpu.used_bytes is None else _rounded(gpu.used_bytes)
    return replace(gpu, used_bytes=used, watts=None if gpu.watts is None else round(gpu.watts), users={})


def resident_bytes(worker: Worker) -> int | None:
    """Resident memory of a worker; None where that process is gone, is another program, or may not be looked at."""
    try:
        process = psutil.Process(worker.pid)
        if process.cmdline()[-2:] != ["core.worker", str(worker.folder)]:
            return None
        return _rounded(process.memory_info().rss, GIB // 100)
    except (psutil.Error, ValueError, OverflowError):
        return None


def _rounded(size_bytes: int, to: int = GIB // 10) -> int:
    return round(size_bytes / to) * to


def same_machine(host: str) -> bool:
    """Whether a worker that calls its machine `host` is on this one."""
    return host == os.uname().nodename
