"""The command desk: `engine.commands`, where Python code enqueues allowed command lines."""

from __future__ import annotations

from typing import Any

from angelica.runtime.drafts import read_draft
from angelica.runtime.handle import TaskHandle
from angelica.submitter import Opens


class CommandDesk:
    """Enqueues command lines that the configuration file of this process allows."""

    def __init__(self, engine: Opens) -> None:
        self._engine = engine

    def enqueue(self, text: str, /, **options: Any) -> TaskHandle[dict[str, Any]]:
        """Submit a command line and return its handle once it is stored; blocks."""
        return self._engine.call(self.aenqueue(text, **options))

    async def aenqueue(self, text: str, /, **options: Any) -> TaskHandle[dict[str, Any]]:
        """Submit a command line and return its handle once it is stored.

        `options` are those of `POST /tasks`: `task_id`, `delay`, `timeout`, `retries`, `queue`, `resources` …; the
        result has the exit code and what the command took. Raises `CommandsDisabled`, `CommandNotAllowed`,
        `InvalidValue`.
        """
        engine = self._engine
        draft = read_draft({**options, "command": text})
        if not engine.is_ready(durable=True):
            await engine.get_ready(durable=True)
        reply = (await engine.service.submit([draft])).items[0]
        if isinstance(reply, Exception):
            raise reply
        if engine.after_submit is not None:
            await engine.after_submit()
        return TaskHandle(reply.task, engine.service, engine.call, created=reply.created)
