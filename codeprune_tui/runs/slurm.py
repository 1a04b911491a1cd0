"""Slurm as the executor of a sweep: writes the script of a job array, submits it, and asks what is still in the queue.

An element of the array runs the worker of one run in its foreground. Shortly before the time limit Slurm sends USR1 to the
script, which passes it on: the worker saves a checkpoint and leaves with a code that says so, and the script queues its element
again. The run's folder holds all that the next worker needs, so an element that Slurm itself queues again, after a preemption or
where a node failed, needs nothing more. Nothing is pickled; the script can be read, changed and submitted by hand.

Source: sbatch(1), squeue(1), scancel(1), scontrol(1), https://slurm.schedmd.com/job_array.html
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import RunError
from core.regularfile import append_regular, read_text, real
from core.run.control import STOPPED_BY_SIGNAL
from core.run.folder import NAME_PATTERN, RunPaths
from core.study.sweep import Slurm

from . import client
from .sweeps import SweepFolder

MOST_ELEMENTS = 1000
"""Elements of an array: Slurm's default MaxArraySize is 1001. A larger sweep is several arrays."""
WARNING_S = 120
"""Seconds before the time limit at which a run is asked to save a checkpoint."""
WAITING = "PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"
AT_WORK = "RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"
ELSEWHERE = "Submit from a machine that has Slurm's commands, such as the cluster's login node, or choose --on local."
RECORD_BYTES = 16_000_000
SCRIPT = """\
#!/bin/bash
# Sweep {name}: {count} runs, each an element of a job array. Written by codeprune-tui; it may be changed and submitted by hand.
# An element resumes its run where it was cut off; of a complete run, and of one that has a worker already, it leaves at once.
{options}

runs=(
{runs}
)
folder={checkpoints}/${{runs[$SLURM_ARRAY_TASK_ID]}}
stopped={stopped}
if [ -e "$stopped" ]; then
  rm -f "$folder/queued"
  echo "The sweep was stopped; $folder does not begin."
  exit 0
fi

signal=
ask() {{ signal=$1; kill -s "$1" "$worker" 2>/dev/null; }}
trap 'ask USR1' USR1   # the time limit is near: the worker saves a checkpoint, and the element is queued again
trap 'ask TERM' TERM   # preempted or cancelled: Slurm knows by itself whether the element is queued again

export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}}
{worker} "$folder" >>"$folder/worker.log" 2>&1 </dev/null &
worker=$!
wait "$worker"
while kill -0 "$worker" 2>/dev/null; do wait "$worker"; done   # a signal ends the wait, not the worker
wait "$worker"
code=$?
echo "The worker of $folder left with exit code $code."

if [ "$signal" = USR1 ] && {{ [ "$code" -eq {again} ] || [ "$code" -eq {killed} ]; }} && [ ! -e "$stopped" ]; then
  touch "$folder/queued"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""


def check_present() -> None:
    """Refuses to go on where Slurm's commands are missing.

    Raises:
        RunError: They are.
    """
    if shutil.which("sbatch") is None:
        raise RunError("Slurm's sbatch is not on this machine.", ELSEWHERE)


def scripts(sweep: SweepFolder, slurm: Slurm, names: Sequence[str], worker: Sequence[str] = client.WORKER) -> list[str]:
    """The scripts that run some runs of a sweep: one, unless there are more runs than an array may have elements.

    Args:
        sweep: The sweep.
        slurm: What each run asks for.
        names: Of the runs.
        worker: The command of a worker, less the run folder.
    """
    return [_script(sweep, slurm, chunk, worker) for chunk in _chunks(names)]


def submit(sweep: SweepFolder, slurm: Slurm, names: Sequence[str], worker: Sequence[str] = client.WORKER) -> list[str]:
    """Submits some runs of a sweep, whose folders exist.

    Args:
        sweep: The sweep.
        slurm: What each run asks for.
        names: Of the runs.
        worker: As for `scripts`.

    Returns:
        The ids of the job arrays.

    Raises:
        RunError: Slurm is not here or refuses the job, or the sweep's folder cannot be written.
    """
    jobs = []
    for number, chunk in enumerate(_chunks(names), start=1):
        file = sweep.root / ("job.sbatch" if number == 1 else f"job-{number}.sbatch")
        try:
            file.write_text(_script(sweep, slurm, chunk, worker), encoding="utf-8")
        except OSError as error:
            raise RunError(f"Cannot write {file}: {error.strerror}.", "Choose another folder with --checkpoints.") from error
        queued = [RunPaths(sweep.checkpoints / name).queued for name in chunk]
        for mark in queued:
            mark.touch()  # before an element can begin, whose worker takes it away
        try:
            job = _submitted_as(file)
        except RunError:
            for mark in queued:
                mark.unlink(missing_ok=True)
            raise
        with os.fdopen(append_regular(sweep.submitted), "a", encoding="utf-8") as record:
            record.write(json.dumps({"job": job, "runs": list(chunk)}) + "\n")
        jobs.append(job)
    return jobs


def _submitted_as(script: Path) -> str:
    """Submits a script; the id of its job.

    Raises:
        RunError: Slurm is not here, or refuses.
    """
    job = _slurm("sbatch", "--parsable", str(script)).strip().partition(";")[0]
    if not job.isdecimal():
        raise RunError(f"sbatch did not answer with the id of a job, but with {job[:100]!r}.", f"Its script is {script}.")
    return job


def in_queue(sweep: SweepFolder) -> dict[str, str]:
    """The runs of a sweep that Slurm still has: name -> PENDING, RUNNING and the like; {} where nothing was submitted.

    Raises:
        RunError: Slurm is not here, or does not answer.
    """
    return {name: state for _, name, state in _elements(sweep)}


def _elements(sweep: SweepFolder) -> list[tuple[str, str, str]]:
    """(array, run, state) of each element that Slurm still has."""
    submitted = dict(_submitted(sweep))
    if not submitted:
        return []
    try:
        lines = _slurm("squeue", "--noheader", "--array", "--format=%F %K %T", f"--jobs={','.join(submitted)}").splitlines()
    except RunError as error:
        if "Invalid job id" in error.problem:  # Slurm forgets a job some minutes after its end
            return []
        raise
    elements = (line.split() for line in lines if len(line.split()) == 3)
    return [
        (job, submitted[job][int(element)], state)
        for job, element, state in elements
        if state in WAITING + AT_WORK and element.isdecimal() and int(element) < len(submitted.get(job, ()))
    ]


def cancel_waiting(sweep: SweepFolder) -> int:
    """Takes the elements of a sweep out of the queue that have not begun; those at work are left to `sweeps.stop`.

    Returns:
        How many there were.

    Raises:
        RunError: Slurm is not here, or refuses.
    """
    waiting = [job for job, _, state in _elements(sweep) if state in WAITING]
    if waiting:
        _slurm("scancel", "--state=PENDING", *dict.fromkeys(waiting))
    for paths in sweep.runs():
        with suppress(OSError):
            paths.queued.unlink(missing_ok=True)
    return len(waiting)


def _script(sweep: SweepFolder, slurm: Slurm, names: Sequence[str], worker: Sequence[str]) -> str:
    root = real(sweep.root)
    throttle = f"%{slurm.throttle}" if slurm.throttle else ""
    options = [
        f"--job-name={sweep.name}",
        f"--array=0-{len(names) - 1}{throttle}",
        f"--output={shlex.quote(str(root / 'slurm-%A_%a.log'))}",
        "--open-mode=append",
        f"--time={slurm.time}",
        f"--cpus-per-task={slurm.cpus}",
        *(
            f"--{option}={shlex.quote(value)}"
            for option, value in (
                ("mem", slurm.memory),
                ("partition", slurm.partition),
                ("account", slurm.account),
                ("gres", slurm.gres),
            )
            if value
        ),
        "--requeue",
        f"--signal=B:USR1@{WARNING_S}",
        *slurm.lines,
    ]
    return SCRIPT.format(
        name=sweep.name,
        count=len(names),
        options="\n".join(f"#SBATCH {option}" for option in options),
        runs="\n".join(f"  {name}" for name in names),
        checkpoints=shlex.quote(str(real(sweep.checkpoints))),
        stopped=shlex.quote(str(root / sweep.stopped.name)),
        worker=shlex.join(worker),
        again=STOPPED_BY_SIGNAL,
        killed=128 + signal.SIGUSR1,  # so early that the worker did not yet listen: there was nothing to save
    )


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), MOST_ELEMENTS):
        yield names[first : first + MOST_ELEMENTS]


def _submitted(sweep: SweepFolder) -> Iterator[tuple[str, list[str]]]:
    """Id of a job array -> its runs, in the order of its elements."""
    try:
        lines = read_text(sweep.submitted, RECORD_BYTES).splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            job, names = str(entry["job"]), [str(name) for name in entry["runs"]]
            if job.isdecimal() and all(NAME_PATTERN.fullmatch(name) for name in names):
                yield job, names


def _slurm(*command: str) -> str:
    """What one of Slurm's commands prints.

    Raises:
        RunError: It is not here, or fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise RunError(
            f"Cannot run Slurm's {command[0]}: {error.strerror}.",
            ELSEWHERE,
        ) from error
    if done.returncode:
        said = re.sub(r"\s+", " ", done.stderr).strip()[:500] or f"exit code {done.returncode}"
        raise RunError(f"Slurm's {command[0]} failed: {said}.", "Change the table [slurm], or ask the cluster's administrators.")
    return done.stdout
