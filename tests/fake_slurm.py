"""Slurm's commands without a cluster: what sbatch, squeue, scancel and scontrol document, for one user and job arrays.

`install` writes the four commands into a folder that is then first in PATH; `Cluster` is the other side: it starts elements of an
array as Slurm does (the script as it was when it was submitted, in a process group of its own, with Slurm's variables), and sends
them the signals that Slurm sends. Follows sbatch(1), squeue(1), scancel(1), scontrol(1) and https://slurm.schedmd.com/job_array.html.
"""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")


def install(folder: Path) -> None:
    """Writes the commands; what they know lies in the same folder."""
    folder.mkdir()
    for command in COMMANDS:
        file = folder / command
        file.write_text(f"#!{sys.executable} -P\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n")
        with file.open("a") as more:
            more.write(f"import fake_slurm\nfake_slurm.main({command!r}, {str(folder)!r}, sys.argv[1:])\n")
        file.chmod(0o755)
    (folder / "jobs.json").write_text("{}")


@contextmanager
def jobs(folder: Path) -> Iterator[dict[str, Any]]:
    """The jobs of all users, as the controller has them, to be changed."""
    with (folder / "jobs.json").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = json.load(file)
        yield known
        file.seek(0)
        file.truncate()
        json.dump(known, file)


def main(command: str, where: str, arguments: list[str]) -> None:
    folder = Path(where)
    with (folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps([command, *arguments]) + "\n")
    if (folder / f"{command}.fails").exists():
        sys.exit((folder / f"{command}.fails").read_text())
    with jobs(folder) as known:
        {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "scontrol": scontrol}[command](folder, known, arguments)


def sbatch(folder: Path, known: dict[str, Any], arguments: list[str]) -> None:
    assert arguments[0] == "--parsable"
    script = Path(arguments[1]).read_text()  # copied now: later changes of the file are no business of the job
    assert script.startswith("#!"), "sbatch: error: This does not look like a batch script."
    options: dict[str, str] = {}
    for line in script.splitlines()[1:]:
        if line.startswith("#SBATCH "):
            option, _, value = shlex.split(line)[1].partition("=")
            options[option] = value
        elif line.strip() and not line.startswith("#"):
            break  # options end at the first line that is neither blank nor a comment
    first, last, throttle = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", options["--array"]).groups()  # type: ignore[union-attr]
    job = str(100 + len(known))
    elements = {str(number): "PENDING" for number in range(int(first), int(last) + 1)}
    known[job] = {
        "script": script, "options": options, "throttle": int(throttle or 0), "elements": elements, "pids": {}, "restarts": {},
        "cwd": str(Path.cwd()),
    }  # fmt: skip
    print(job)


def squeue(folder: Path, known: dict[str, Any], arguments: list[str]) -> None:
    options = dict(argument.partition("=")[::2] for argument in arguments)
    assert options["--format"] == "%F %K %T"
    assert "--array" in options, "without it, pending elements share a line"
    jobs = options["--jobs"].split(",")
    queued = [job for job in jobs if job in known and set(known[job]["elements"].values()) - {"COMPLETED", "CANCELLED"}]
    if not queued:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for job in queued:
        for element, state in known[job]["elements"].items():
            if state not in ("COMPLETED", "CANCELLED"):
                print(job, element, state)


def scancel(folder: Path, known: dict[str, Any], arguments: list[str]) -> None:
    only = next((argument.partition("=")[2] for argument in arguments if argument.startswith("--state=")), None)
    for job in (argument for argument in arguments if not argument.startswith("--")):
        for element, state in known[job]["elements"].items():
            if only in (None, state) and state in ("PENDING", "RUNNING"):
                known[job]["elements"][element] = "CANCELLED"
                if state == "RUNNING":
                    os.killpg(known[job]["pids"][element], signal.SIGTERM)


def scontrol(folder: Path, known: dict[str, Any], arguments: list[str]) -> None:
    assert arguments[0] == "requeue"
    job, _, element = arguments[1].partition("_")
    if known[job]["options"].get("--requeue") is None:
        sys.exit("Requested operation is presently disabled for job")
    known[job]["elements"][element] = "REQUEUED"  # pending once its processes are gone


@dataclass
class Cluster:
    """The nodes: they run what the commands have queued."""

    folder: Path
    processes: dict[tuple[str, str], "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def states(self, job: str) -> dict[str, str]:
        with jobs(self.folder) as known:
            return dict(known[job]["elements"])

    def calls(self, command: str) -> list[list[str]]:
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [arguments for name, *arguments in map(json.loads, lines) if name == command]

    def start(self, job: str, element: str) -> None:
        """Starts a pending element on a node."""
        with jobs(self.folder) as known:
            facts = known[job]
            assert facts["elements"][element] == "PENDING"
            restarts = facts["restarts"].get(element, 0)
            variables = {
                "SLURM_JOB_ID": f"{job}{element}",
                "SLURM_ARRAY_JOB_ID": job,
                "SLURM_ARRAY_TASK_ID": element,
                "SLURM_CPUS_PER_TASK": facts["options"].get("--cpus-per-task", "1"),
                **({"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}),
            }
            copy = self.folder / f"slurm_script-{job}-{element}"
            copy.write_text(facts["script"])
            output = Path(facts["options"]["--output"].replace("%A", job).replace("%a", element))
            mode = "ab" if facts["options"].get("--open-mode") == "append" else "wb"
            with output.open(mode) as log:
                process = subprocess.Popen(
                    ["bash", str(copy)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=facts["cwd"],
                    env={**os.environ, **variables},
                    start_new_session=True,
                )
            self.processes[job, element] = process
            facts["elements"][element] = "RUNNING"
            facts["pids"][element] = process.pid

    def warn(self, job: str, element: str) -> None:
        """The time limit is near: the signal of --signal, and B: says that only the batch script gets it."""
        with jobs(self.folder) as known:
            script, name, _ = re.split("[:@]", known[job]["options"]["--signal"])
        assert script == "B"
        os.kill(self.processes[job, element].pid, signal.Signals[f"SIG{name}"])

    def preempt(self, job: str, element: str) -> None:
        """A job of more weight wants the node: all processes get SIGCONT and SIGTERM, and Slurm queues the element again."""
        with jobs(self.folder) as known:
            known[job]["elements"][element] = "REQUEUED"
        os.killpg(self.processes[job, element].pid, signal.SIGCONT)
        os.killpg(self.processes[job, element].pid, signal.SIGTERM)

    def fail_node(self, job: str, element: str) -> None:
        """The node dies, and Slurm queues the element again."""
        with jobs(self.folder) as known:
            known[job]["elements"][element] = "REQUEUED"
        os.killpg(self.processes[job, element].pid, signal.SIGKILL)

    def wait(self, job: str, element: str) -> int:
        """Waits until an element's script has left, and notes it."""
        code = self.processes.pop((job, element)).wait(60)
        with jobs(self.folder) as known:
            facts = known[job]
            if facts["elements"][element] == "REQUEUED":
                facts["elements"][element] = "PENDING"
                facts["restarts"][element] = facts["restarts"].get(element, 0) + 1
            elif facts["elements"][element] == "RUNNING":
                facts["elements"][element] = "COMPLETED"
        return code

    def close(self) -> None:
        for process in self.processes.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait()
