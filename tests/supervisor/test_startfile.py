"""The start file survives the death of its writer and tells begun attempts from held ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from angelica.domain.task import Lease
from angelica.runtime.startfile import BEGUN, StartFile, read_start_file, read_started


def test_tells_begun_from_held_and_ended(tmp_path: Path) -> None:
    file = StartFile(tmp_path / "w1", slots=16)
    slots = file.hold([Lease("a", 1), Lease("b" * 128, 7), Lease("job-001", 2)])
    assert read_started(file.path) == set()
    file.begin(slots[0])
    file.mm[slots[1]] = BEGUN
    assert read_started(file.path) == {Lease("a", 1), Lease("b" * 128, 7)}
    file.end(slots[0])
    started = read_start_file(file.path)
    assert started is not None
    assert started.running == {Lease("b" * 128, 7)}
    assert started.ended == {Lease("a", 1)}
    assert not started.full
    file.free(slots)
    assert read_start_file(file.path) == type(started)()
    file.close()
    assert not file.path.exists()


def test_slots_are_used_again_and_fill_gaps(tmp_path: Path) -> None:
    file = StartFile(tmp_path / "w1", slots=4)
    slots = file.hold([Lease(f"t{n}", 1) for n in range(4)])
    file.free(slots[::2])
    again = file.hold([Lease("x", 2), Lease("y", 3)])
    assert again == slots[::2]
    for slot in again:
        file.begin(slot)
    assert read_started(file.path) == {Lease("x", 2), Lease("y", 3)}
    file.close()


def test_a_full_file_takes_more_and_says_so(tmp_path: Path) -> None:
    file = StartFile(tmp_path / "w1", slots=2)
    slots = file.hold([Lease("a", 1), Lease("b", 1), Lease("c", 1)])
    for slot in slots:
        file.begin(slot)
    started = read_start_file(file.path)
    assert started is not None
    assert started.full
    assert started.running == {Lease("a", 1), Lease("b", 1)}
    file.close()


def test_an_unreadable_file_says_nothing(tmp_path: Path) -> None:
    assert read_start_file(tmp_path / "none") is None
    (tmp_path / "short").write_bytes(b"ANGSTART\x01")
    assert read_start_file(tmp_path / "short") is None
    (tmp_path / "newer").write_bytes(b"ANGSTART\x02" + bytes(4096))
    assert read_start_file(tmp_path / "newer") is None
    assert read_started(tmp_path / "none") == set()


def test_the_file_is_private(tmp_path: Path) -> None:
    file = StartFile(tmp_path / "w1")
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.close()


def test_survives_kill_nine_of_the_writer(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from angelica.domain.task import Lease\n"
        "from angelica.runtime.startfile import StartFile\n"
        "file = StartFile(sys.argv[1])\n"
        "slots = file.hold([Lease('begun', 3), Lease('held', 1)])\n"
        "file.begin(slots[0])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    path = tmp_path / "w1"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=os.environ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert read_started(path) == {Lease("begun", 3)}
