"""What this machine can do to bound a command: found by trying, never assumed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from angelica.runtime.limits.files import read, write

CONTROLLERS: Final = ("memory", "cpu", "pids")
_FILES: Final = {
    "memory": "memory.limit_in_bytes",
    "cpu": "cpu.cfs_quota_us",
    "cpuacct": "cpuacct.usage",
    "pids": "pids.max",
}
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_DELEGATED: Final = "user.delegate"  # set by systemd on what it leaves to a service


class Mount(NamedTuple):
    """One mounted tree of control groups: its version, where it is, which part of it that is, its controllers."""

    version: int
    point: str
    root: str
    controllers: frozenset[str]


class Machine(NamedTuple):
    """The means of a machine.

    `v1` has, by controller, the directory under which groups are made; `v2` is that directory of the unified tree
    (None: cannot be used), `controllers` what groups there can bound, `kill` whether they have `cgroup.kill`.
    `notes` say why something is not used.
    """

    v1: Mapping[str, str]
    v2: str | None
    controllers: frozenset[str]
    kill: bool
    notes: tuple[str, ...] = ()

    def version_of(self, controller: str) -> str | None:
        """Return `cgroup v2` or `cgroup v1`, whichever bounds by this controller, or None."""
        if self.v2 is not None and controller in self.controllers:
            return "cgroup v2"
        return "cgroup v1" if controller in self.v1 else None

    def means(self) -> dict[str, str]:
        """Return what bounds, kills and measures here, for people and for the record."""
        grouped = self.v2 is not None or bool(self.v1)
        cpu_seconds = "cgroup v2" if self.v2 is not None else ("cgroup v1" if "cpuacct" in self.v1 else "rusage")
        return {
            "memory": self.version_of("memory") or "watchdog",
            "cpu": self.version_of("cpu") or "affinity",
            "pids": self.version_of("pids") or "rlimit",
            "kill": "cgroup.kill" if self.kill else ("cgroup.procs" if grouped else "process tree"),
            "cpu_seconds": cpu_seconds,
            "peak_memory": self.version_of("memory") or "rusage",
        }


NOTHING: Final = Machine({}, None, frozenset(), kill=False)
"""A machine without control groups: what an unprivileged process nearly always has."""


def probe() -> Machine:
    """Find out what works here, by making and removing a group of each kind below our own."""
    mounts = read_mounts(read("/proc/self/mountinfo"))
    paths = read_paths(read("/proc/self/cgroup"))
    v1, notes = _probe_v1(mounts, paths)
    v2, controllers, kill, more = _probe_v2(mounts, paths)
    return Machine(v1, v2, controllers, kill, (*notes, *more))


def read_mounts(text: str) -> list[Mount]:
    """Return the trees of control groups that a `mountinfo` shows."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(kind) > 2 and kind[0] in ("cgroup", "cgroup2"):  # noqa: PLR2004 - type, source, options
            version = 1 if kind[0] == "cgroup" else 2
            options = frozenset(kind[2].split(","))
            mounts.append(Mount(version, _unescaped(fields[4]), _unescaped(fields[3]), options))
    return mounts


def read_paths(text: str) -> dict[str, str]:
    """Return our own group by controller, from `/proc/self/cgroup`; the unified tree has the name ""."""
    paths = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            paths[name] = path
    return paths


def own_group(mount: Mount, path: str) -> str | None:
    """Return the directory of our own group in a mount that may show only a part of its tree."""
    root = mount.root.rstrip("/")
    if root and path != root and not path.startswith(f"{root}/"):
        return None
    directory = mount.point + path[len(root) :].rstrip("/")
    return directory if "/../" not in f"{directory}/" and Path(directory).is_dir() else None


def _probe_v1(mounts: list[Mount], paths: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    notes = []
    for name, file in _FILES.items():
        mount = next((m for m in mounts if m.version == 1 and name in m.controllers), None)
        own = own_group(mount, paths[name]) if mount is not None and name in paths else None
        if own is None:
            continue
        group = _try_group(own)
        if group is None:
            notes.append(f"cgroup v1 {name}: no right to make groups in {own}")
            continue
        if Path(group, file).exists():
            found[name] = own
        _remove(group)
    return found, notes


def _probe_v2(mounts: list[Mount], paths: Mapping[str, str]) -> tuple[str | None, frozenset[str], bool, list[str]]:
    mount = next((m for m in mounts if m.version == 2), None)  # noqa: PLR2004 - the version
    own = own_group(mount, paths[""]) if mount is not None and "" in paths else None
    if mount is None or own is None:
        return None, frozenset(), False, ["cgroup v2: not mounted"]
    best: tuple[str | None, frozenset[str], bool] = (None, frozenset(), False)
    for directory in (own, *_delegated_parent(own, mount)):
        tried = try_v2(directory)
        if tried is not None and (best[0] is None or len(tried[0]) > len(best[1])):
            best = (directory, *tried)
    notes = [] if best[0] is not None else [f"cgroup v2: no right to make groups in {own}"]
    missing = [name for name in CONTROLLERS if name not in best[1]]
    if best[0] is not None and missing:
        notes.append(f"cgroup v2: {', '.join(missing)} not delegated to {best[0]}")
    return *best, notes


def try_v2(directory: str) -> tuple[frozenset[str], bool] | None:
    """Return the controllers of a group below `directory`, and whether it has `cgroup.kill`; None if it fails."""
    for name in CONTROLLERS:
        # Refused with EBUSY where the directory itself holds processes; without the controller the group still kills.
        with suppress(OSError):
            write(f"{directory}/cgroup.subtree_control", f"+{name}")
    group = _try_group(directory)
    if group is None:
        return None
    controllers = frozenset(read(f"{group}/cgroup.controllers").split()) & frozenset(CONTROLLERS)
    kill = Path(group, "cgroup.kill").exists()
    _remove(group)
    return controllers, kill


def _delegated_parent(own: str, mount: Mount) -> tuple[str, ...]:
    """The group above ours, if systemd says that it was left to us: there, groups beside ours can have controllers."""
    parent = str(Path(own).parent)
    if own.rstrip("/") == mount.point.rstrip("/"):
        return ()
    try:
        return (parent,) if os.getxattr(parent, _DELEGATED) == b"1" else ()
    except OSError:
        return ()


def _try_group(directory: str) -> str | None:
    group = f"{directory}/angelica-probe-{os.getpid()}"
    try:
        Path(group).mkdir()
    except OSError:
        return None
    if not os.access(f"{group}/cgroup.procs", os.W_OK):
        _remove(group)
        return None
    return group


def _remove(group: str) -> None:
    with suppress(OSError):
        Path(group).rmdir()


def _unescaped(path: str) -> str:
    """Undo the octal escapes of mountinfo: a space is written as a backslash and 040."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), path)
