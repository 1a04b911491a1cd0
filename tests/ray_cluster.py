"""A cluster of Ray nodes on this machine, for the scripts of `test_ray`; and `in_a_process`, by which it runs these scripts.

Ray gives a node 30 s to come up, which a busy machine may not keep. That is set-up, and none of this program has begun by then:
the script ends with an exit code of its own, and is started again, a few times at most.
"""

import os
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

NOT_UP = os.EX_TEMPFAIL
"""Exit code of a script whose cluster did not come up."""
TRIES = 5
TEMPORARY = "RAY_TMPDIR"
"""Variable that says where Ray keeps sockets and logs."""


def cluster(head_cpus: int, *node_cpus: int) -> "tuple[Cluster, list[Node]]":
    """A cluster that this process is connected to, and its nodes less the head; ends the process where it does not come up."""
    import ray
    from ray.cluster_utils import Cluster

    try:
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cpus, "include_dashboard": False})
        nodes = [started.add_node(num_cpus=cpus) for cpus in node_cpus]
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
    except Exception:  # Ray raises just that
        traceback.print_exc()
        sys.exit(NOT_UP)
    return started, nodes


def in_a_process(script: Path, folder: Path) -> str:
    """What a script prints that starts a cluster, and takes it down; nothing of either is left afterwards, however it ended."""
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="ray-") as temporary:  # not in the test's: names of sockets have to be short
            code, out, errors = _run(script, folder, temporary)
        if code != NOT_UP:
            break
    assert code == 0, out + errors
    return out


def _run(script: Path, folder: Path, temporary: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a script, once all that it started has ended, too."""
    found_by = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]))
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            stdout=out,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": found_by, TEMPORARY: temporary},
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait()
        finally:
            while _kill(process.pid):
                time.sleep(0.05)
        for file in (out, errors):
            file.seek(0)
        return code, out.read(), errors.read()


def _kill(session: int) -> bool:
    """Kills what is left of a session; whether there was something. Ray's agents take half a minute to miss their node."""
    left = False
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                left = True
    return left
