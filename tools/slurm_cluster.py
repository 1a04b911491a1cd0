"""Starts and ends a Slurm cluster of one node on this machine, on loopback, to try sweeps with the real thing.

    apt-get download slurmctld slurmd slurm-client slurm-wlm-basic-plugins libmunge2 libhwloc15 libjson-c5 liblua5.1-0 libyaml-0-2
    for package in *.deb; do dpkg -x "$package" slurm; done
    python tools/slurm_cluster.py up slurm           # prints the variables that Slurm's commands need
    python tools/slurm_cluster.py down slurm

Nothing is installed and no user is made: packages are unpacked into a folder, and the daemons run from there as whoever starts
them. Nobody is authenticated (auth/none): on a machine of one's own only.
"""

import getpass
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_res
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
PluginDir={plugins}
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/d
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
SlurmctldPort=36817
SlurmdPort=36818
ReturnToService=2
KillWait=30
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def main(verb: str, prefix: Path) -> None:
    state, libraries = prefix / "state", prefix / "usr/lib/x86_64-linux-gnu"
    variables = {
        "SLURM_CONF": str(state / "slurm.conf"),
        "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'slurm-wlm'}",
        "PATH": f"{state / 'bin'}:{os.environ['PATH']}",
    }
    if verb == "down":
        for daemon in ("slurmctld", "slurmd"):
            file = state / f"{daemon}.pid"
            if file.exists():
                os.kill(int(file.read_text()), signal.SIGTERM)
        return
    for folder in (state / "ctld", state / "d", state / "bin"):
        folder.mkdir(parents=True, exist_ok=True)
    for command in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        # In jobs, too, whose environment has no LD_LIBRARY_PATH: it would reach the worker.
        inside = f"SLURM_CONF={shlex.quote(variables['SLURM_CONF'])} LD_LIBRARY_PATH={shlex.quote(variables['LD_LIBRARY_PATH'])}"
        script = state / "bin" / command
        script.write_text(f'#!/bin/sh\nexec env {inside} {shlex.quote(str(prefix / "usr/bin" / command))} "$@"\n')
        script.chmod(0o755)
    (state / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=socket.gethostname(),
            user=getpass.getuser(),
            plugins=libraries / "slurm-wlm",
            state=state,
            cpus=os.cpu_count(),
        )
    )
    environment = os.environ | variables
    programs = prefix / "usr/sbin"
    subprocess.run([programs / "slurmctld-wlm"], env=environment, check=True)
    subprocess.run([programs / "slurmd-wlm", "-d", programs / "slurmstepd-wlm"], env=environment, check=True)
    for _ in range(100):
        nodes = subprocess.run([state / "bin" / "sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        if re.search("idle|mixed|allocated", nodes.stdout):
            print(f"export PATH={shlex.quote(str(state / 'bin'))}:$PATH")
            return
        time.sleep(0.2)
    sys.exit(f"The node did not come up ({nodes.stdout}{nodes.stderr}); see {state}/*.log")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("up", "down"):
        sys.exit(f"usage: {sys.argv[0]} up|down FOLDER")
    main(sys.argv[1], Path(sys.argv[2]).resolve())
