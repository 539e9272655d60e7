"""Children: what an engine has to do with the processes that run functions of the `process` executor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from angelica.errors import AngelicaError
from angelica.runtime.hooks import Hooks
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.warm.loading import sources_of
from angelica.runtime.warm.wire import Setup
from angelica.settings import Settings
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Storage

F = TypeVar("F", bound=Callable[[], Any])

_INSIDE: Final = "ANGELICA_CHILD_PID"


class Children:
    """The part of an `Engine` that is about child processes."""

    functions: FunctionRegistry
    hooks: Hooks
    settings: Settings
    loaded_as: str | None = None
    """The `MODULE:ATTR` by which the command line has found this engine."""
    log_format: str | None = None
    """How this process logs, if it is one of ours."""
    _given_storage: Storage | None

    def preload(self, hook: F) -> F:
        """Register a hook that each child process calls once, after it has loaded the application.

        For what makes the first task slow: importing large modules, loading a model, opening a pool. It takes
        nothing, and may be a plain or an `async def` function. A child whose hook raises runs no tasks.
        """
        self.hooks.preload.append(hook)
        return hook

    def child_setup(self) -> Setup:
        """Return what a child process needs to be told; raises `NotLoadable` if it could not find the functions."""
        functions = [function for function in self.functions if function.executor == "process"]
        settings = self.settings
        memory = isinstance(self._given_storage, MemoryStorage) or settings.in_memory
        return Setup(
            sources=sources_of(self, functions, self.loaded_as),
            required=tuple(function.name for function in functions),
            path=tuple(sys.path),
            argv=tuple(sys.argv),
            url=settings.url,
            reachable=not memory,
            log_limit=settings.log_limit,
            log_line_limit=settings.log_line_limit,
            checkpoint_limit=settings.checkpoint_limit,
            log_format=self.log_format,
        )

    def become_child(self, setup: Setup) -> None:
        """Work from now on for the worker that started this process: on its store, and without a worker of its own."""
        self.settings = replace(self.settings, url=setup.url)
        if not setup.reachable:
            self._given_storage = cast("Storage", _Unreachable())

    def refuse_in_child(self) -> None:
        """Raise `AngelicaError` if this process is a child that runs tasks for a worker."""
        if os.environ.get(_INSIDE) == str(os.getpid()):  # and not of a process that a task has started
            raise AngelicaError(
                "this process runs tasks for a worker, and starts none itself; "
                'in a script, start the engine under `if __name__ == "__main__":`'
            )


def enter_child() -> None:
    """Note that this process is a child of a worker."""
    os.environ[_INSIDE] = str(os.getpid())


class _Unreachable:
    """Stands in for a store that lives in the memory of the worker's process."""

    async def open(self) -> None:
        raise AngelicaError(
            "the store is in the memory of the worker's process, which a child process cannot reach: "
            "use a file to enqueue from functions of the process executor"
        )

    async def close(self) -> None:
        """There is nothing to close."""
