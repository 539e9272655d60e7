"""Runs as definitions mean them: from a draft and its function to what each fire makes."""

from __future__ import annotations

from angelica.domain.schedule import RunSpec
from angelica.domain.task import NO_EXTRAS
from angelica.runtime.catalogue import Catalogue
from angelica.runtime.schedule_drafts import ScheduleDraft
from angelica.runtime.submit import Asked, TaskMaker


class RunMaker:
    """Makes what each fire runs: the function's defaults as they are now, under the options of the draft."""

    def __init__(self, catalogue: Catalogue, make: TaskMaker) -> None:
        self._catalogue = catalogue
        self._make = make

    async def run_of(self, draft: ScheduleDraft, wall: int, created_by: str | None = None) -> RunSpec:
        """Return the run; raises `UnknownFunction`, `InvalidArguments`."""
        target = await self._catalogue.find(draft.name)
        payload = target.encode(draft.args, draft.kwargs)
        options = draft.options
        asked = Asked(target, draft.args, draft.kwargs, options, headers=options.headers or {}, created_by=created_by)
        task = self._make.make(asked, payload, wall, None)
        return RunSpec(
            task.function,
            payload,
            task.policy,
            task.queue,
            task.executor,
            task.priority,
            task.version,
            NO_EXTRAS if task.extras == NO_EXTRAS else task.extras,
        )
