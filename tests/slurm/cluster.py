"""A real Slurm on this one machine: munged, slurmctld and a slurmd a node, in a folder of its own.

As a program it holds a cluster until Ctrl-C: `python tests/slurm/cluster.py FOLDER`, and says what
to export. Nothing is left behind but the folder.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
CONTROLLER = "ctl"
START_LIMIT_S = 30.0

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# No privileges are asked for: no cgroups, no binding, no accounting.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
# Restless, so that tests are quick.
SchedulerParameters=sched_interval=2,batch_sched_delay=0,default_queue_depth=100
SlurmdTimeout=6
MessageTimeout=5
KillWait=2
MinJobAge=20
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=normal Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2
"""


def obstacle() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if os.name != "posix":
        return "Slurm needs Linux"
    lacking = [name for name in PROGRAMS if _program(name) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: apt-get install slurm-wlm munge)"
    return None


class Cluster:
    """The daemons, as a context manager: they end with it, and so does all that they started.

    Args:
        folder: Where configuration, state and logs go; may not exist yet.
        nodes: How many nodes, of one CPU each.
    """

    def __init__(self, folder: Path, nodes: int = 2) -> None:
        self.folder = folder.resolve()
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to use the cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*self.nodes, CONTROLLER, "munged"]:
            self.kill(name)
        for pid in self.leftovers():
            _kill(pid)

    def _start(self) -> None:
        folder = self.folder
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        ports = free_ports(1 + len(self.nodes))
        lines = "\n".join(
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
            "CPUs=1 RealMemory=1000"
            for name, port in zip(self.nodes, ports[1:], strict=True)
        )
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname(),
                user=getpass.getuser(),
                controller_port=ports[0],
                folder=folder,
                nodes=lines,
            )
        )
        self._spawn(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        self._wait((folder / "munge.socket").exists, "munged")
        self._spawn(CONTROLLER, "slurmctld", "-D")
        for name in self.nodes:
            self.boot(name)
        for name in self.nodes:
            self.wait_for(name, "idle")

    def _spawn(self, name: str, program: str, *arguments: str) -> None:
        path = _program(program)
        assert path is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [path, *arguments],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def boot(self, node: str) -> None:
        """Starts the daemon of a node."""
        self._spawn(node, "slurmd", "-D", "-N", node)

    def kill(self, name: str) -> None:
        """Ends a daemon and all that it started, at once: for a node, as if its power were cut."""
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        # In this order, so that nobody is left who could tell the controller.
        _kill(daemon.pid)
        for pid in self._of_node(name):
            _kill(pid)
        daemon.wait()

    def _of_node(self, node: str) -> list[int]:
        """What runs for a node besides its daemon: first who watches over steps, then the rest."""
        if node not in self.nodes:
            return []
        marks = {f"SLURMD_NODENAME={node}", f"SLURM_CONF={self.environment['SLURM_CONF']}"}
        work = [pid for pid in _processes() if marks <= set(_read(pid, "environ"))]
        parents = dict.fromkeys(_parent(pid) for pid in work)
        watchers = [pid for pid in parents if _is_watcher(pid)]
        return [*watchers, *work]

    def release(self, job: str) -> None:
        """Lets a job that was put back into the queue begin at once; else it waits two minutes."""
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def leftovers(self) -> list[int]:
        """Processes that Slurm started and that are still there."""
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}"
        return [pid for pid in _processes() if mark in _read(pid, "environ") and _is_slurms(pid)]

    def state(self, node: str) -> str:
        """What the controller thinks of a node."""
        return self.ask("sinfo", "--noheader", "--nodes", node, "--format", "%T").split("\n")[0]

    def wait_for(self, node: str, state: str) -> None:
        """Waits until a node is in a state."""
        self._wait(lambda: self.state(node).startswith(state), f"{node} {state}")

    def settle(self) -> None:
        """Waits until no node has anything to do."""
        for node in self.nodes:
            self.wait_for(node, "idle")

    def _wait(self, met: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + START_LIMIT_S
        while not met():
            for name, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    raise RuntimeError(f"{name} ended:\n{self.logs(name)}")
            if time.monotonic() > end:
                raise TimeoutError(f"no {what} within {START_LIMIT_S:.0f} s:\n{self.logs()}")
            time.sleep(0.2)

    def logs(self, name: str = "") -> str:
        """The ends of the daemons' logs."""
        files = sorted(self.folder.glob(f"*{name}*.log")) + sorted(self.folder.glob("*.out"))
        return "\n".join(f"-- {file.name}\n{file.read_text()[-2000:]}" for file in files)

    def ask(self, *command: str) -> str:
        """Runs one of Slurm's commands and returns what it prints."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.stdout.strip()


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for taken in held:
        taken.bind(("127.0.0.1", 0))
    ports = [taken.getsockname()[1] for taken in held]
    for taken in held:
        taken.close()
    return ports


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _read(pid: int, file: str) -> list[str]:
    """Command line or environment of a process; nothing of one that is gone or not ours."""
    try:
        return (Path("/proc") / str(pid) / file).read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def _is_watcher(pid: int) -> bool:
    return _read(pid, "cmdline")[0].startswith("slurmstepd:")


def _is_slurms(pid: int) -> bool:
    in_job = any(entry.startswith("SLURMD_NODENAME=") for entry in _read(pid, "environ"))
    return in_job or _is_watcher(pid)


def _parent(pid: int) -> int:
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    if (why := obstacle()) is not None:
        sys.exit(why)
    with Cluster(Path(sys.argv[1])) as cluster:
        sys.stdout.write(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}\n")
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            signal.pause()
