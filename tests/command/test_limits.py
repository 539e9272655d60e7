"""What a machine can do: read from what the kernel shows, and tried on a copy of a tree that this machine has not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from angelica.runtime.limits import machine, proc
from angelica.runtime.limits.group import Group, kill_groups
from angelica.runtime.limits.handle import Bounds, Handle
from angelica.runtime.limits.machine import NOTHING, Machine, Mount, probe, read_mounts, read_paths
from tests.command.house import ROOT

MOUNTINFO = """\
22 1 0:21 / /proc rw - proc proc rw
30 22 0:26 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
31 22 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 22 0:28 /docker/abc /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,memory
"""
V2 = {
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.oom.group": "0",
    "cpu.max": "max 100000",
    "pids.max": "max",
}


def test_mounts_and_our_own_groups_are_read():
    assert read_mounts(MOUNTINFO) == [
        Mount(2, "/sys/fs/cgroup/unified", "/", frozenset({"rw"})),
        Mount(1, "/sys/fs/cgroup/cpu,cpuacct", "/", frozenset({"rw", "cpu", "cpuacct"})),
        Mount(1, "/sys/fs/cgroup/a b", "/docker/abc", frozenset({"rw", "memory"})),
    ]
    paths = read_paths("9:cpu,cpuacct:/x\n4:memory:/docker/abc/y\n1:name=systemd:/\n0::/user.slice/a:b\n")
    assert paths == {
        "cpu": "/x",
        "cpuacct": "/x",
        "memory": "/docker/abc/y",
        "name=systemd": "/",
        "": "/user.slice/a:b",
    }


def test_our_group_in_a_mount_that_shows_a_part(tmp_path):
    (tmp_path / "y").mkdir()
    mount = Mount(1, str(tmp_path), "/docker/abc", frozenset({"memory"}))
    assert machine.own_group(mount, "/docker/abc/y") == f"{tmp_path}/y"
    assert machine.own_group(mount, "/docker/abc") == str(tmp_path)
    assert machine.own_group(mount, "/docker/abcd") is None
    assert machine.own_group(mount, "/docker/abc/gone") is None
    assert machine.own_group(mount, "/docker/abc/../../y") is None


def test_what_this_machine_says_holds():
    found = probe()
    said = found.means()
    assert set(said) == {"memory", "cpu", "pids", "kill", "cpu_seconds", "peak_memory"}
    assert found.notes or "watchdog" not in said.values()
    assert list(Path("/sys/fs/cgroup").glob(f"**/angelica-probe-{os.getpid()}")) == []
    for name, parent in found.v1.items():
        assert os.access(parent, os.W_OK), name


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (NOTHING, ("watchdog", "affinity", "rlimit", "process tree", "rusage", "rusage")),
        (
            Machine({}, "/v2", frozenset({"memory", "cpu", "pids"}), kill=True),
            ("cgroup v2", "cgroup v2", "cgroup v2", "cgroup.kill", "cgroup v2", "cgroup v2"),
        ),
        (
            Machine({"memory": "/m", "cpuacct": "/c", "pids": "/p"}, "/v2", frozenset(), kill=True),
            ("cgroup v1", "affinity", "cgroup v1", "cgroup.kill", "cgroup v2", "cgroup v1"),
        ),
        (
            Machine({"memory": "/m", "cpu": "/c", "cpuacct": "/c", "pids": "/p"}, None, frozenset(), kill=False),
            ("cgroup v1", "cgroup v1", "cgroup v1", "cgroup.procs", "cgroup v1", "cgroup v1"),
        ),
    ],
)
def test_each_means_is_named(found, said):
    assert found.means() == dict(
        zip(("memory", "cpu", "pids", "kill", "cpu_seconds", "peak_memory"), said, strict=True)
    )


@pytest.fixture
def unified(tmp_path, monkeypatch):
    """A directory whose subdirectories come with the files of a delegated group, as the kernel would make them."""
    made, removed = Path.mkdir, Path.rmdir

    def mkdir(self, *given, **more):
        made(self, *given, **more)
        if self.name.startswith("angelica-"):
            for name, text in {
                **V2, "cgroup.procs": "", "cgroup.kill": "", "cgroup.controllers": "cpu io memory pids",
                "cpu.stat": "usage_usec 1500000\nuser_usec 1", "memory.peak": "4096",
                "memory.events": "oom 2\noom_kill 1",
            }.items():  # fmt: skip
                (self / name).write_text(text, "ascii")

    def rmdir(self):
        for file in self.iterdir():
            file.unlink()
        removed(self)

    (tmp_path / "cgroup.subtree_control").write_text("", "ascii")
    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    return tmp_path


def test_a_delegated_tree_gets_its_limits_and_gives_its_figures(unified):
    assert machine.try_v2(str(unified)) == (frozenset({"memory", "cpu", "pids"}), True)
    assert (unified / "cgroup.subtree_control").read_text().startswith("+pids")
    found = Machine({}, str(unified), frozenset({"memory", "cpu", "pids"}), kill=True)
    handle = Handle(found, "run", Bounds(64 << 20, 1.5, 20, 1000))
    (directory,) = handle.directories
    assert directory == f"{unified}/angelica-run"
    texts = {name: (Path(directory) / name).read_text() for name in V2}
    assert texts["memory.max"] == str(64 << 20)
    assert texts["cpu.max"].startswith("150000 100000")
    assert texts["pids.max"].startswith("20")
    assert texts["memory.swap.max"].startswith("0")
    assert texts["memory.oom.group"] == "1"
    assert handle.usage(9.9, 9) == (1.5, "cgroup v2", 4096, "cgroup v2")
    assert handle.oom() is True
    assert handle.watched is False
    assert kill_groups(handle.directories) == "cgroup.kill"
    assert (Path(directory) / "cgroup.kill").read_text() == "1"
    handle.close()
    assert not Path(directory).exists()


def test_a_tree_that_may_not_be_written_is_not_used(tmp_path):
    if not ROOT:
        tmp_path.chmod(0o500)
        assert machine.try_v2(str(tmp_path)) is None
    assert machine.try_v2(str(tmp_path / "gone")) is None


def test_groups_that_cannot_all_be_made_are_not_left_behind(unified):
    found = Machine({"memory": str(unified / "gone")}, str(unified), frozenset(), kill=True)
    with pytest.raises(FileNotFoundError):
        Group(found, "run")
    assert list(unified.glob("angelica-*")) == []


def test_a_limit_that_the_kernel_does_not_know_is_an_error(unified):
    group = Group(Machine({}, str(unified), frozenset({"memory", "pids"}), kill=True), "run")
    (unified / "angelica-run" / "memory.max").unlink()
    with pytest.raises(FileNotFoundError):
        group.bound(1 << 30, None, 10)


def test_processes_are_found_by_descent_and_by_mark(monkeypatch):
    import subprocess
    import sys

    monkeypatch.setenv("TASK_RUN", "mark-of-a-test")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in proc.family(os.getpid())
        assert proc.marked("TASK_RUN=mark-of-a-test") == [child.pid]
        assert proc.marked("TASK_RUN=mark-of-a") == []
        assert proc.resident([child.pid]) > 1 << 20
        assert proc.resident([2**22 + 1]) == 0
        assert proc.threads_of(os.getuid()) >= 2
        assert proc.kill_family(child.pid) == 0
        child.kill()
