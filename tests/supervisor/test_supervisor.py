"""The supervisor restarts what dies, stops in order, and leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from angelica.clock import SECOND
from angelica.runtime.child import ChildSpec
from angelica.runtime.supervisor import Callbacks, DeadWorker, Notice, Supervisor

TOY = Path(__file__).with_name("toy.py")


class Watcher:
    """A supervisor over toy children, and all that it told."""

    def __init__(self, tmp_path: Path, *modes: str, grace: float = 5.0, reload: bool = False) -> None:
        self.journal = tmp_path / "journal"
        self.notices: list[Notice] = []
        self.dead: list[DeadWorker] = []
        self.all_ready = asyncio.Event()
        callbacks = Callbacks(self.notices.append, lambda _: self.all_ready.set(), self._died)
        specs = [self._spec(f"worker-{n}", mode) for n, mode in enumerate(modes)]
        self.supervisor = Supervisor(
            [self._spec("api", "good"), *specs],
            callbacks,
            grace=int(grace * SECOND),
            chance=lambda: 0.0,
            reload=reload,
        )

    def _spec(self, name: str, mode: str) -> ChildSpec:
        argv = (sys.executable, str(TOY), name, mode, str(self.journal))
        return ChildSpec(name, "api" if name == "api" else "worker", argv)

    async def _died(self, dead: DeadWorker) -> None:
        self.dead.append(dead)

    def lines(self, *words: str) -> list[str]:
        if not self.journal.exists():
            return []
        return [line for line in self.journal.read_text().splitlines() if all(word in line.split() for word in words)]

    async def until(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - looks at processes
                await asyncio.sleep(0.01)


def play(watcher_of: Callable[[], Watcher], script: Callable[[Watcher], Awaitable[None]]) -> tuple[int, Watcher]:
    """Run a supervisor and a script beside it; return the exit code."""

    async def run() -> tuple[int, Watcher]:
        watcher = watcher_of()
        running = asyncio.create_task(watcher.supervisor.run())
        try:
            await script(watcher)
            async with asyncio.timeout(20):
                return await running, watcher
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return asyncio.run(run())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_starts_all_and_stops_workers_before_the_api(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "good", "good"), script)
    assert code == 0
    words = [tuple(line.split()[:2]) for line in watcher.lines() if line.split()[1] != "started"]
    assert words.index(("worker-0", "stopped")) < words.index(("api", "term"))
    assert ("api", "drain") in words
    assert watcher.dead == []


def test_a_killed_worker_is_handed_back_and_started_again(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        victim = next(child for child in watcher.supervisor.children if child.spec.name == "worker-0")
        began = time.monotonic()
        os.kill(victim.pid, signal.SIGKILL)
        await watcher.until(lambda: watcher.dead)
        assert time.monotonic() - began < 0.5
        assert watcher.dead == [DeadWorker(f"worker-0-{victim.pid}", victim.pid, -9, None)]
        await watcher.until(lambda: len([n for n in watcher.notices if n.kind == "ready"]) == 3)
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "good"), script)
    assert code == 0
    assert len(watcher.lines("worker-0", "started")) == 2
    assert len(watcher.lines("api", "started")) == 1


def test_a_child_that_cannot_start_is_parked_with_its_error(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(lambda: len(watcher.lines("worker-0", "started")) >= 2)
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "broken"), script)
    assert code == 0
    failed = [notice for notice in watcher.notices if notice.kind == "failed"]
    assert failed[0].failure is not None
    assert failed[0].failure.error == "ImportError: no module named nosuch"
    assert failed[0].failure.hint == "check APP"
    assert watcher.dead == []
    assert not watcher.all_ready.is_set()


def test_a_fatal_failure_ends_the_supervisor_with_its_code(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(lambda: any(notice.kind == "failed" for notice in watcher.notices))

    code, _ = play(lambda: Watcher(tmp_path, "fatal"), script)
    assert code == 69


def test_a_second_signal_hastens(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        watcher.supervisor.stop()
        await watcher.until(lambda: watcher.lines("worker-0", "term"))
        assert not watcher.lines("worker-0", "stopped")
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "slow", grace=60), script)
    assert code == 0
    assert watcher.lines("worker-0", "stopped")


def test_two_signals_that_reach_a_worker_as_one_still_hasten(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        worker = next(child for child in watcher.supervisor.children if child.spec.name == "worker-0")
        os.kill(worker.pid, signal.SIGSTOP)  # as slow as a busy machine can be: the kernel keeps one SIGTERM, not two
        watcher.supervisor.stop()
        await watcher.until(lambda: worker.stopping)
        watcher.supervisor.stop()
        for _ in range(20):
            await asyncio.sleep(0)
        os.kill(worker.pid, signal.SIGCONT)

    code, watcher = play(lambda: Watcher(tmp_path, "slow", grace=60), script)
    assert code == 0
    assert watcher.lines("worker-0", "stopped")
    assert watcher.dead == []


def test_a_deaf_worker_is_killed_and_handed_back(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        watcher.supervisor.stop()
        await watcher.until(lambda: watcher.lines("worker-0", "term"))
        watcher.supervisor.stop()
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "deaf"), script)
    assert code == 0
    assert [dead.returncode for dead in watcher.dead] == [-9]
    assert [notice for notice in watcher.notices if notice.kind == "died"] == []  # it was our own kill


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("crashes", "was killed by SIGSEGV while it was stopping"),
        ("fails", "exited with code 1 while it was stopping: OSError: disk full"),
    ],
)
def test_how_a_worker_ended_that_did_not_stop_in_order_is_told(tmp_path: Path, mode: str, how: str) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, mode), script)
    assert code == 0
    assert [dead.worker for dead in watcher.dead] == [f"worker-0-{watcher.dead[0].pid}"]
    told = [notice.text for notice in watcher.notices if notice.kind == "died"]
    assert told == [f"worker-0 (pid {watcher.dead[0].pid}) {how}"]


def test_changed_code_restarts_the_children(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("x = 1\n")

    async def script(watcher: Watcher) -> None:
        await watcher.until(watcher.all_ready.is_set)
        app.write_text("x = 22\n")
        await watcher.until(lambda: len([n for n in watcher.notices if n.kind == "ready"]) == 4)
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "good", reload=True), script)
    assert code == 0
    assert watcher.dead == []
    assert len(watcher.lines("worker-0", "started")) == 2


def test_kill_nine_of_the_supervisor_leaves_no_child(tmp_path: Path) -> None:
    harness = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(TOY.parent)!r})\n"
        "from test_supervisor import Watcher\n"
        "async def main():\n"
        "    watcher = Watcher(Path(sys.argv[1]), 'deaf')\n"
        "    await watcher.supervisor.run()\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", harness, tmp_path])
    journal = tmp_path / "journal"
    try:
        deadline = time.monotonic() + 10
        while not (journal.exists() and journal.read_text().count("started") == 2):
            assert time.monotonic() < deadline
            assert parent.poll() is None
        pids = [int(line.split()[-1]) for line in journal.read_text().splitlines()]
    finally:
        parent.kill()
        parent.wait(10)
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "children outlive their supervisor"


def test_a_worker_that_an_operator_stops_is_not_started_again(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(lambda: watcher.lines("worker-1", "stopped"))
        await watcher.until(lambda: any(notice.kind == "left" for notice in watcher.notices))
        await asyncio.sleep(0.3)  # a restart would come after 0.05 s
        assert len(watcher.lines("worker-1", "started")) == 1
        assert [child.spec.name for child in watcher.supervisor.children] == ["api", "worker-0"]
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "good", "leaves"), script)
    assert code == 0
    assert watcher.dead == []
    assert watcher.all_ready.is_set()
    assert len(watcher.lines("worker-0", "stopped")) == 1


def test_one_that_dies_on_its_way_out_hands_its_tasks_back_and_is_not_started_again(tmp_path: Path) -> None:
    async def script(watcher: Watcher) -> None:
        await watcher.until(lambda: watcher.dead)
        await asyncio.sleep(0.3)
        assert len(watcher.lines("worker-0", "started")) == 1
        watcher.supervisor.stop()

    code, watcher = play(lambda: Watcher(tmp_path, "leaves-and-dies"), script)
    assert (code, [dead.returncode for dead in watcher.dead]) == (0, [-signal.SIGKILL])
