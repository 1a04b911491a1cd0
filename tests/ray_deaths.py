"""Two runs on two Ray nodes whose workers die, and then their Ray process, or their node; for `test_ray`: `ray_deaths.py FOLDER`.

FOLDER/checkpoints has the folders of the runs: `process`, whose Ray process is killed, and `node`, whose node is. As
`ray_deaths.py --worker RUN_DIR` it is their worker: the real one, which at its first start kills itself in the middle of round 0,
and at its second start, in round 1, loses what the run is called after.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

NAMES = ("process", "node")
STEP = "core.train.trainer:apply_masks"


def worker(root: Path) -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    import killer

    from core import worker as real
    from core.run.holder import RAY_NODE

    def lose_process() -> None:
        os.kill(os.getppid(), signal.SIGKILL)

    def lose_node() -> None:
        draft = root.parent / "draft"
        draft.write_text(f"{os.environ[RAY_NODE]} {os.getppid()}")
        draft.rename(root.parent / "ready")
        while not (root.parent / "gone").exists():
            time.sleep(0.05)

    journal = root / "events.jsonl"
    starts = journal.read_text().count('"run_started"') if journal.exists() else 0
    if starts == 0:
        killer.die_at_call(STEP, 12, "before")  # past the first checkpoint
    elif starts == 1:
        killer.die = lose_process if root.name == "process" else lose_node
        killer.die_at_call(STEP, 25, "before")  # in round 1
    return real.main([str(root)])


def main(folder: Path) -> None:
    import psutil
    import ray
    from ray.cluster_utils import Cluster

    from codeprune_tui.runs import on_ray
    from codeprune_tui.runs.sweeps import SweepFolder
    from core.study.sweep import Ray

    sweep = SweepFolder(folder / "checkpoints", "two")
    sweep.begin(NAMES)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in NAMES]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    command = [sys.executable, "-P", str(Path(__file__)), "--worker"]
    making = threading.Thread(target=on_ray.make, args=(sweep, Ray(), NAMES, print, command))
    making.start()
    ready = sweep.checkpoints / "ready"
    while not ready.exists():
        time.sleep(0.1)
    lost, process = ready.read_text().split()
    cluster.remove_node(next(node for node in nodes if node.node_id == lost), allow_graceful=False)
    while psutil.pid_exists(int(process)):
        time.sleep(0.05)
    (sweep.checkpoints / "gone").touch()
    making.join()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        sys.exit(worker(Path(sys.argv[2])))
    main(Path(sys.argv[1]))
