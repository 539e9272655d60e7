"""A worker is stopped past its lease and continued: nothing that it writes late may count."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, Literal

from bench.chaos.app import gate
from bench.chaos.broken import deaf_file
from bench.chaos.checker import Fault, Verdict
from bench.chaos.fleet import BROKEN, Kill, Worker, until
from bench.chaos.run import Run, short_leases
from bench.chaos.witness import moment

When = Literal["before", "while", "after"]
WHEN: Final[tuple[When, ...]] = ("before", "while", "after")
Z: Final = "z-0"
MOST_ATTEMPTS: Final = 3
"""The zombie's, the other's, and one that was claimed and handed back on the way."""


def resume(run: Run, when: When, *, deaf: bool = True, linger: int = 0, unfenced: bool = False) -> Verdict:
    """Stop worker A past its lease and continue it `before` another claims its task, `while` or `after` that runs it.

    With `deaf` A's heartbeat stays silent a while, so that its late writes reach the store and only the fence is
    left to refuse them; without, A hears that its lease is lost and stops by itself. `linger` is the time between
    A's late notes and its late end, in milliseconds: if it is long, the notes are refused first. `unfenced` breaks
    the engine on purpose.
    """
    settings = {**short_leases(), "ANGELICA_POLL": "0.1"}
    settings["CHAOS_BREAK"] = "deaf,unfenced" if unfenced else "deaf"
    _submit(run, linger)
    a = run.worker("a", app=BROKEN, env=settings)
    until("A runs the task", lambda: run.seen(f"start {Z} 1 "))
    _stop(run, a)
    run.kills.append(Kill(moment(), "stop", frozenset({a.pid})))
    run.worker("b", app=BROKEN, env=settings, queues="other" if when == "before" else "default")
    _until_moment(run, when)
    silent = deaf_file(run.place.witness, a.pid)
    if deaf:
        silent.touch()
    gate(run.place.witness, 1).touch()
    a.signal(signal.SIGCONT)
    _until_noticed(run, unfenced=unfenced)
    silent.unlink(missing_ok=True)
    gate(run.place.witness, 2).touch()
    _until_over(run)
    return _judge(run, unfenced=unfenced)


def _stop(run: Run, worker: Worker) -> None:
    """Stop a worker, but not in the middle of a commit: there it holds the file, and nobody could go on at all."""

    def stopped_outside() -> bool:
        worker.signal(signal.SIGSTOP)
        until("the worker is stopped", worker.stopped)
        with run.place.writer_lock.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                worker.signal(signal.SIGCONT)
                return False
        return True

    until("the worker is stopped outside of a commit", stopped_outside)


def _submit(run: Run, linger: int) -> None:
    """Submit the task; its acknowledgement is the process's own word."""
    argv = [sys.executable, "-m", "bench.chaos.submitter", "bench.chaos.app", "z", "1", "chaos.zombie", str(linger)]
    env = run.place.environment({"ANGELICA_URL": str(run.place.store)})
    subprocess.run(argv, env=env, cwd=run.place.directory, check=True, stdout=subprocess.DEVNULL, timeout=30)
    run.ledger.acknowledged[Z] = "chaos.zombie"


def _until_moment(run: Run, when: When) -> None:
    if when == "before":
        until("the lease is swept", lambda: run.store.scalar("select state = 'queued' from tasks where id = ?", Z))
    elif when == "while":
        until("B runs the task", lambda: run.seen(f"start {Z} 2 "))
    else:
        gate(run.place.witness, 2).touch()
        until("B has ended the task", lambda: not run.store.unfinished())


def _until_noticed(run: Run, *, unfenced: bool) -> None:
    if unfenced:
        until("A has ended", lambda: run.seen(f"end {Z} 1 "))
    else:
        until("a late write is refused", lambda: run.seen("refused:"))


def _until_over(run: Run) -> None:
    run.until_rest()
    for group in run.groups:
        group.signal(signal.SIGTERM)
    for group in run.groups:
        group.process.wait(30)


def _judge(run: Run, *, unfenced: bool) -> Verdict:
    verdict = run.verdict()
    refused = [line.event for line in run.witness() if line.event.startswith("refused:")]
    verdict.figures["refused"] = len(refused)
    verdict.figures.update({event: refused.count(event) for event in set(refused)})
    if not refused and not unfenced:
        verdict.faults.append(Fault("zombie", Z, "no late write was refused, so none was tried"))
    verdict.faults.extend(_accepted(run))
    attempts = run.store.rows()[Z].attempt
    if attempts > MOST_ATTEMPTS:
        text = f"went through {attempts} attempts: it was claimed under a lease that was not trusted"
        verdict.faults.append(Fault("zombie", Z, text))
    run.say(f"refused: {', '.join(sorted(set(refused))) or 'nothing'}")
    return verdict


def _accepted(run: Run) -> Iterator[Fault]:
    """What attempt 1 wrote after it was continued, and must not be there."""
    lines = run.store.scalar("select count(*) from logs where task_id = ? and attempt = 1 and stream = 'log'", Z)
    if lines:
        yield Fault("zombie", Z, f"{lines} late log lines were accepted")
    checkpoint = json.loads(run.store.scalar("select checkpoint from tasks where id = ?", Z) or "{}")
    if checkpoint.get("by") == 1:
        yield Fault("zombie", Z, "the late checkpoint was accepted")
