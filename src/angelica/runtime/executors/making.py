"""Making the executors of a worker."""

from __future__ import annotations

from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.commands.runner import CommandRunner
from angelica.runtime.executors.asyncio import AsyncExecutor
from angelica.runtime.executors.base import Begin, Done, Executor
from angelica.runtime.executors.command import CommandExecutor, Commands
from angelica.runtime.executors.process import Desk, ProcessExecutor
from angelica.runtime.executors.thread import ThreadExecutor
from angelica.runtime.worker_settings import WorkerSettings


def make_executors(settings: WorkerSettings, *, begin: Begin, done: Done, desk: Desk) -> dict[str, Executor]:
    """Return an executor of each kind that the settings ask for, by kind."""
    steps = AttemptSteps(wall=desk.wall)
    made: list[Executor] = [
        AsyncExecutor(settings.async_slots, steps=steps, begin=begin, done=done),
        ThreadExecutor(settings.thread_slots, steps=steps, begin=begin, done=done),
    ]
    if settings.processes is not None:
        made.append(ProcessExecutor(settings.processes, steps=steps, desk=desk, done=done))
    if settings.commands is not None:
        commands = Commands(CommandRunner(), settings.commands.allowed)
        made.append(CommandExecutor(settings.commands.slots, steps=steps, begin=begin, done=done, commands=commands))
    return {executor.kind: executor for executor in made}
