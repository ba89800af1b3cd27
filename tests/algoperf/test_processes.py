"""All that a process leaves behind is ended with it."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from algoperf import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")

LEAVES = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(15, b"\\xff) Z (")  # its name
children = [
    subprocess.Popen(["sleep", "1000"]),
    subprocess.Popen(["sleep", "1000"], start_new_session=True),
    # A daemon: its parent is gone.
    subprocess.Popen(["sh", "-c", "setsid sleep 1000 & echo $! >> pids"]),
]
children.pop().wait()
with open("pids", "a") as file:
    file.write("\\n".join(str(child.pid) for child in children) + "\\n")
print("left", flush=True)
{then}
"""


SLEEP = ["/bin/sleep", "1000"]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("then", ["sys.stdin.read()", "os._exit(3)"])
def test_children_strays_and_daemons_are_ended(tmp_path, then):
    processes.adopt_orphans()
    began = processes.boot_time()
    script = textwrap.dedent(LEAVES.format(then=then))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == b"left\n"
        if "exit" in then:
            process.wait()
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        processes.end(process.pid, began)
        assert not any(map(is_alive, pids))
    assert process.returncode in (-9, 3)


def test_those_of_others_are_left_alone():
    other = subprocess.Popen(SLEEP)
    other_session = subprocess.Popen(SLEEP, start_new_session=True)
    time.sleep(0.05)
    began = processes.boot_time()
    process = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        processes.end(process.pid, began)
        assert process.wait() == -9
        assert is_alive(other.pid)
        assert is_alive(other_session.pid)
    finally:
        for left in (other, other_session):
            left.kill()
            left.wait()


def test_where_memory_runs_out_a_trial_goes_first():
    code = (
        "from algoperf import processes; processes.first_to_be_killed(); "
        "print(open('/proc/self/oom_score_adj').read())"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert int(told.stdout) == 1000
    assert int(Path(f"/proc/{os.getpid()}/oom_score_adj").read_text()) < 1000
