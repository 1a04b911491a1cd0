"""Two runs on two Ray nodes whose workers die, and then their Ray process, or their node; for `test_ray`: `ray_deaths.py FOLDER`.

FOLDER/checkpoints has the folders of the runs: `process`, whose Ray process is killed, and `node`, whose node is. As
`ray_deaths.py --worker RUN_DIR` it is their worker: the real one, which at its first start kills itself in the middle of round 0,
and at its second start, in round 1, loses what the run is called after.
"""

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("process", "node")


def worker(root: Path) -> int:
    from core import worker as real

    journal = root / "events.jsonl"
    starts = journal.read_text().count('"run_started"') if journal.exists() else 0
    if starts == 0:
        at_step(12, lambda: os.kill(os.getpid(), signal.SIGKILL))  # past the first checkpoint
    elif starts == 1:
        at_step(25, lose_process if root.name == "process" else lambda: lose_node(root.parent))  # in round 1
    return real.main([str(root)])


def at_step(nth: int, act: Callable[[], object]) -> None:
    """Does something in the nth step of this process, before its weights are masked."""
    from core.train import trainer

    original, steps = trainer.apply_masks, itertools.count(1)

    def apply_masks(*arguments: Any, **named: Any) -> Any:
        if next(steps) == nth:
            act()
        return original(*arguments, **named)

    trainer.apply_masks = apply_masks


def lose_process() -> None:
    parent = os.getppid()
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:  # the kernel sends its signal before it gives a process another parent
        time.sleep(0.01)


def lose_node(folder: Path) -> None:
    from core.run.holder import RAY_NODE

    draft = folder / "draft"
    draft.write_text(f"{os.environ[RAY_NODE]} {os.getppid()}")
    draft.rename(folder / "ready")
    while not (folder / "gone").exists():
        time.sleep(0.05)


def main(folder: Path) -> None:
    import psutil
    import ray
    from ray_cluster import cluster

    from codeprune_tui.runs import on_ray
    from codeprune_tui.runs.sweeps import SweepFolder
    from core.study.sweep import Ray

    running, nodes = cluster(0, *(1 for _ in NAMES))
    sweep = SweepFolder(folder / "checkpoints", "two")
    sweep.begin(NAMES)
    command = [sys.executable, "-P", str(Path(__file__)), "--worker"]
    making = threading.Thread(target=on_ray.make, args=(sweep, Ray(), NAMES, print, command))
    making.start()
    ready = sweep.checkpoints / "ready"
    while not ready.exists():
        time.sleep(0.1)
    lost, process = ready.read_text().split()
    running.remove_node(next(node for node in nodes if node.node_id == lost), allow_graceful=False)
    while psutil.pid_exists(int(process)):
        time.sleep(0.05)
    (sweep.checkpoints / "gone").touch()
    making.join()
    ray.shutdown()
    running.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        sys.exit(worker(Path(sys.argv[2])))
    main(Path(sys.argv[1]))
