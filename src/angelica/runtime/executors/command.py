"""The `command` executor: allowed command lines, each in a process tree of its own that ends with its attempt."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from angelica import strict_json
from angelica.clock import SECOND
from angelica.domain import reasons
from angelica.domain.command import AllowList, Command, Limits
from angelica.domain.exit_code import exited_text, signalled_text
from angelica.domain.outcome import Crashed, Failed, LeaseExpired, Outcome, Succeeded
from angelica.domain.task import TaskError
from angelica.domain.usage import Usage, UsageSource
from angelica.errors import Refused
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.commands.checks import CannotRun
from angelica.runtime.commands.environment import environment
from angelica.runtime.commands.helper_process import RunnerFailed
from angelica.runtime.commands.payload import decode
from angelica.runtime.commands.runner import CommandRunner
from angelica.runtime.commands.spec import GRACE, CommandEnd, CommandSpec
from angelica.runtime.executors.base import Begin, Done

LAST_WORDS: Final = 5.0
"""Seconds in which killed commands are gone when the executor closes."""

_SLACK: Final = SECOND
"""How much later than the worker the keeper stops a command that is out of time: the net below the worker's watch."""

OnEnd = Callable[[Assignment, CommandEnd], object]
"""Takes how a command ended, with what it took, before its outcome is handed on."""


class _CommandCode:
    """Stands in for the function of a task that is a command."""

    executor = "command"
    concurrency = None
    custom_backoff = None
    trip_on = ()
    context_parameter = None


COMMAND_CODE: Final[Any] = _CommandCode()


@dataclass(frozen=True, slots=True)
class Commands:
    """What a worker runs commands with.

    `allowed` is its own configuration. `grace` (microseconds) passes between SIGTERM and SIGKILL. `environ` is the
    environment that the `env` lists choose from.
    """

    runner: CommandRunner
    allowed: AllowList
    grace: int = GRACE
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


class CommandExecutor:
    """Up to `slots` commands at once; it closes their runner with itself.

    What a task asks for is checked against this worker's own configuration: a row of the store chooses among what
    is allowed here, and is never run for what it says. `on_end` hears how each command ended and what it took.
    """

    kind = "command"
    problem: str | None = None

    def __init__(
        self,
        slots: int,
        *,
        steps: AttemptSteps,
        begin: Begin,
        done: Done,
        commands: Commands,
        on_end: OnEnd | None = None,
    ) -> None:
        self.slots = slots
        self._steps = steps
        self._begin = begin
        self._done = done
        self._commands = commands
        self._on_end = on_end
        self._backlog: deque[Assignment] = deque()
        self._running: dict[asyncio.Task[None], asyncio.Event] = {}

    def load(self) -> int:
        return len(self._running) + len(self._backlog)

    def submit(self, assignments: Iterable[Assignment]) -> None:
        self._backlog.extend(assignments)
        self._fill()

    def withdraw(self) -> list[Assignment]:
        waiting = list(self._backlog)
        self._backlog.clear()
        return waiting

    def first_waiting(self) -> Assignment | None:
        return self._backlog[0] if self._backlog else None

    def recall(self, assignment: Assignment) -> bool:
        try:
            self._backlog.remove(assignment)
        except ValueError:
            return False
        return True

    async def halt(self) -> None:
        for hasten in self._running.values():
            hasten.set()
        if self._running:
            await asyncio.wait(list(self._running), timeout=LAST_WORDS)

    async def close(self) -> None:
        await self.halt()
        for task in list(self._running):
            task.cancel()  # closes its line: the keeper kills what it keeps, whether we wait for it or not
        await self._commands.runner.close()

    def _fill(self) -> None:
        while self._backlog and len(self._running) < self.slots:
            hasten = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._run(self._backlog.popleft(), hasten))
            self._running[task] = hasten
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._fill()

    async def _run(self, assignment: Assignment, hasten: asyncio.Event) -> None:
        try:
            outcome = await self._attempt(assignment, hasten)
        except Exception as error:  # noqa: BLE001 - whatever went wrong here ends this attempt only
            outcome = self._steps.raised(assignment, error)
        finally:
            assignment.interrupt = None
        self._done(assignment, outcome)

    async def _attempt(self, assignment: Assignment, hasten: asyncio.Event) -> Outcome:
        refusal = self._begin(assignment)
        if refusal is not None:
            return refusal
        try:
            name, argv = decode(assignment.task.spec.payload)
            command = self._commands.allowed.recheck(name, argv)
        except Refused as error:
            return Failed(_error(assignment, reasons.COMMAND_NOT_ALLOWED, str(error)), final=True)
        stop = asyncio.Event()

        def interrupt() -> None:
            stop.set()
            if assignment.stop_reason == "lost":  # somebody else may run it already: no grace
                hasten.set()

        assignment.interrupt = interrupt
        if assignment.stop_reason is not None:
            return self._steps.stopped(assignment)
        try:
            end = await self._commands.runner.run(
                self._spec(assignment, command, argv),
                on_lines=lambda stream, lines: _write(assignment, stream, lines),
                stop=stop,
                hasten=hasten,
            )
        except (CannotRun, RunnerFailed) as error:
            end = CommandEnd("not_started", message=str(error))
        _count_dropped(assignment, end)
        if self._on_end is not None:
            self._on_end(assignment, end)
        outcome = self._outcome(assignment, end, _limits(assignment, command))
        return outcome if isinstance(outcome, LeaseExpired) else replace(outcome, usage=_usage(end))

    def _spec(self, assignment: Assignment, command: Command, argv: list[str]) -> CommandSpec:
        bounds = [bound for bound in (command.timeout, assignment.task.spec.policy.timeout) if bound is not None]
        timeout = min(bounds, default=None)
        begun = assignment.started_at
        return CommandSpec(
            tuple(argv),
            environment(
                command,
                self._commands.environ,
                task_id=assignment.task_id,
                attempt=assignment.attempt,
                queue=assignment.queue,
                deadline=None if timeout is None or begun is None else begun + timeout,
            ),
            files=command.files,
            run_as=command.run_as,
            limits=_limits(assignment, command),
            timeout=None if timeout is None else timeout + (_SLACK if timeout != command.timeout else 0),
            grace=self._commands.grace,
        )

    def _outcome(self, assignment: Assignment, end: CommandEnd, limits: Limits) -> Outcome:
        match end.reason:
            case "exited" if end.exit_code == 0:
                return Succeeded(strict_json.dumps(_result(end)))
            case "exited":
                text = exited_text(end.exit_code)
                return Failed(_error(assignment, reasons.EXIT_CODE, text, text))
            case "signalled":
                text = signalled_text(end.signal)
                return Failed(_error(assignment, reasons.EXIT_CODE, text, text))
            case "timeout" | "stopped":
                if assignment.stop_reason is None:
                    assignment.stop_reason = "timeout" if end.reason == "timeout" else "release"
                return self._steps.stopped(assignment)
            case "out_of_memory":
                text = (
                    f"took more memory than its limit of {limits.memory or 0:,} bytes (peak {end.usage.peak_memory:,})"
                )
                return Crashed(_error(assignment, reasons.OUT_OF_MEMORY, text))
            case "not_started":
                return Failed(_error(assignment, reasons.COMMAND_NOT_STARTED, f"could not be started: {end.message}"))
            case "crashed":
                return Crashed(_error(assignment, reasons.CRASHED, end.message))


def _limits(assignment: Assignment, command: Command) -> Limits:
    """Return what it may take: what it says that it needs, and never more than the configuration gives."""
    return command.limits.within(assignment.task.spec.extras.resources)


def _usage(end: CommandEnd) -> Usage | None:
    usage = end.usage
    if not usage.memory_source:  # it has never begun
        return None
    return Usage(round(usage.cpu_seconds, 3), usage.peak_memory, cast("UsageSource", usage.memory_source))


def _result(end: CommandEnd) -> dict[str, Any]:
    usage = end.usage
    return {
        "exit_code": end.exit_code,
        "seconds": round(end.seconds, 3),
        "cpu_seconds": round(usage.cpu_seconds, 3),
        "cpu_source": usage.cpu_source,
        "peak_memory": usage.peak_memory,
        "memory_source": usage.memory_source,
    }


def _write(assignment: Assignment, stream: str, lines: list[str]) -> None:
    # Every line with its end, the last one too: else an empty last line would be none.
    assignment.sink.write(assignment, stream, "", "", "\n".join([*lines, ""]))


def _count_dropped(assignment: Assignment, end: CommandEnd) -> None:
    lines, size = (sum(column) for column in zip(*end.dropped.values(), strict=True)) if end.dropped else (0, 0)
    if lines:
        assignment.sink.drop(assignment, "more output than a command may write", lines, size)


def _error(assignment: Assignment, reason: str, message: str, kind: str = "") -> TaskError:
    """Return the stored error; equal function, reason and `kind` are like errors, whatever the figures say."""
    like = f"{assignment.function}\0{reason}\0{kind}".encode("utf-8", "backslashreplace")
    storable = message.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:4096]
    fingerprint = hashlib.sha256(like).hexdigest()[:16]
    return TaskError(reason=reason, message=storable, fingerprint=fingerprint, attempt=assignment.attempt)
