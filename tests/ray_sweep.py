"""A sweep of six runs on two Ray nodes, with two workers and then a node killed; for `test_ray`: `ray_sweep.py FOLDER`.

Prints whose workers were killed as JSON. The worker is the stand-in, which waits in its first round for a file `go`.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import ray
from ray_cluster import cluster

from codeprune_tui.runs import on_ray
from codeprune_tui.runs.client import newest_start
from codeprune_tui.runs.sweeps import SweepFolder
from core.recipe import Recipe
from core.run.folder import RunPaths, create_run, is_held
from core.study.sweep import Ray

WAITING = [sys.executable, "-P", str(Path(__file__).parent / "stand_in_worker.py"), "waiting"]
NAMES = [f"run-{number}" for number in range(6)]


def at_work(folder: Path, most: int) -> dict[str, int]:
    """Run -> process id of its worker, once as many are at work as there is room for."""
    while True:
        pids = {}
        for name in NAMES:
            paths = RunPaths(folder / name)
            if is_held(paths) and (started := newest_start(paths)) is not None and psutil.pid_exists(started.pid):
                pids[name] = started.pid
        if len(pids) == most:
            return pids
        time.sleep(0.1)


def main(folder: Path) -> None:
    running, (second,) = cluster(2, 2)
    checkpoints = folder / "checkpoints"
    for name in NAMES:
        create_run(checkpoints, name, Recipe())
    sweep = SweepFolder(checkpoints, "six")
    sweep.begin(NAMES)
    making = threading.Thread(target=on_ray.make, args=(sweep, Ray(), NAMES, print, WAITING))
    making.start()
    killed = dict(list(at_work(checkpoints, 4).items())[:2])
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    while any(psutil.pid_exists(pid) for pid in killed.values()):
        time.sleep(0.05)
    before = at_work(checkpoints, 4)
    running.remove_node(second, allow_graceful=False)
    while len(gone := [name for name, pid in before.items() if not psutil.pid_exists(pid)]) < 2:
        time.sleep(0.05)
    (checkpoints / "go").touch()
    making.join()
    ray.shutdown()
    running.shutdown()
    print(json.dumps({"workers": list(killed), "of_the_node": gone}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
