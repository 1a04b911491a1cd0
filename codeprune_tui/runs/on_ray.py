"""Ray as the executor of a sweep: one Ray Core task a run, which runs the run's worker as its child and waits for its end.

The run's folder holds all that the next worker needs, so a task has nothing to give back but how its run stands. A task whose
worker, Ray process or node dies is tried again by Ray, wherever there is room, and its worker resumes the run; the run's lock
decides which worker has it. Ray is imported only here, inside functions.

Source: https://docs.ray.io/en/latest/ray-core/fault_tolerance/tasks.html, https://docs.ray.io/en/latest/ray-core/user-spawn-processes.html
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.regularfile import append_regular
from core.run.events import CheckpointSaved, RoundFinished, RunStarted
from core.run.folder import RunPaths, State, is_done, is_held, run_info
from core.run.holder import RAY_NODE
from core.run.journal import read_tail
from core.study.sweep import Ray

from . import client
from .sweeps import SweepFolder

POLL_S = 1.0
MOST_IN_VAIN = 5
"""A worker that dies so often without a checkpoint in between would die for ever."""
# Ray's own ways to kill children reach those of a process that ends well, or need a setting of the cluster. The kernel's reaches
# all: when its parent dies, however, the worker gets SIGTERM, and saves a checkpoint. It stays in force across exec.
WITH_PARENT = (
    "import ctypes, os, signal, sys\n"
    "parent = os.getppid()\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "os.getppid() == parent and os.execv(sys.argv[1], sys.argv[1:])"
)


class CutOffError(Exception):
    """A run's worker was killed, or told by a signal to leave: the task is to be tried again."""


def work(folder: str, stopped: str, command: Sequence[str] | None = None) -> str:
    """The task: works on one run until it is done, has failed, or was stopped.

    Args:
        folder: The run's.
        stopped: A file that says, where it exists, that nothing more is to begin.
        command: The command of a worker, less the run folder; None for that of this installation.

    Returns:
        The state of the run.

    Raises:
        CutOffError: The worker died, or a signal made it leave.
    """
    # Where Ray's subreaper mode ignores this signal, the kernel forgets how a child ended, and `wait` takes it for a success.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    paths = RunPaths(Path(folder))
    while not is_done(paths) and not Path(stopped).exists():
        if is_held(paths):  # by a worker that another task, or another program, has started
            time.sleep(POLL_S)
            continue
        code = _run_worker(paths, command or client.WORKER)
        state = run_info(paths, time.time()).state
        if state is State.FAILED or (state is State.STOPPED and code == 0):
            break
        if not is_held(paths) and not is_done(paths):
            if _in_vain(paths) >= MOST_IN_VAIN or code in (RunError.exit_code, 2):
                break
            paths.queued.touch()
            raise CutOffError(f"The worker of {paths.name} {client.how_it_ended(code)}.")
    paths.queued.unlink(missing_ok=True)
    # A worker that has come to its end may have the lock for a moment more.
    return str(State.DONE if is_done(paths) else run_info(paths, time.time()).state)


def make(
    sweep: SweepFolder,
    settings: Ray,
    names: Sequence[str],
    tell: Callable[[str], None],
    command: Sequence[str] | None = None,
) -> None:
    """Makes some runs of a sweep, whose folders exist, on the Ray cluster that this machine belongs to, and waits for them.

    Args:
        sweep: The sweep.
        settings: What each run asks for.
        names: Of the runs.
        tell: Takes lines of news.
        command: As for `work`.

    Raises:
        RunError: Ray is not installed, or its cluster cannot be reached.
    """
    ray = connect()
    remote = ray.remote(
        num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=-1, retry_exceptions=[CutOffError], max_calls=1
    )
    task = remote(work)
    stopped = sweep.stopped.absolute()
    tasks = {}
    for name in names:
        paths = RunPaths(sweep.checkpoints.absolute() / name)
        paths.queued.touch()
        tasks[task.options(name=name).remote(str(paths.root), str(stopped), command)] = name
    waiting = list(tasks)
    while waiting:
        ended, waiting = ray.wait(waiting, num_returns=1, timeout=POLL_S)
        for each in ended:
            try:
                tell(f"{tasks[each]}: {ray.get(each)}")
            except ray.exceptions.RayError as error:
                tell(f"{tasks[each]}: {str(error).strip().splitlines()[-1][:300]}")


def connect() -> Any:
    """The package `ray`, connected to the cluster that this machine belongs to; without one, Ray starts one of it alone.

    Raises:
        RunError: Ray is not installed, or its cluster cannot be reached.
    """
    ray = require_ray()
    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RunError(
                f"Ray cannot be reached: {str(error)[:300]}", "See: ray status, and the variable RAY_ADDRESS."
            ) from error
    return ray


def require_ray() -> Any:
    """The package `ray`.

    Raises:
        RunError: It is not installed.
    """
    try:
        import ray

        ray.init  # noqa: B018 - a folder of that name in the working directory can be imported, too
    except (ImportError, AttributeError) as error:
        raise RunError("Ray is not installed.", 'Install it on all nodes with: pip install "codeprune-tui[ray]"') from error
    return ray


def _run_worker(paths: RunPaths, command: Sequence[str]) -> int:
    """Runs a worker to its end, and returns its exit code."""
    node = _node()
    with os.fdopen(append_regular(paths.log), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", WITH_PARENT, *command, str(paths.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, RAY_NODE: node} if node else None,
            # Ray kills the process group of a task that has died before the worker could have saved its run.
            process_group=0,
        )
        return process.wait()


def _node() -> str:
    """The id of the Ray node that this process works on; "" outside of Ray."""
    ray = sys.modules.get("ray")  # a task has it; to import it here would take a second
    return str(ray.get_runtime_context().get_node_id()) if ray is not None and ray.is_initialized() else ""


def _in_vain(paths: RunPaths) -> int:
    """How many workers began since the last one that saved something."""
    count = 0
    for event in reversed(read_tail(paths.journal)):
        if isinstance(event.what, CheckpointSaved | RoundFinished):
            break
        count += isinstance(event.what, RunStarted)
    return count
