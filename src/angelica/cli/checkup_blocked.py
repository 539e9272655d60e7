"""What `doctor` says of tasks that no live worker can run."""

from __future__ import annotations

from angelica.cli.finding import Finding
from angelica.domain.reasons import NO_CAPABLE_WORKER, NO_WORKER_FITS, UNKNOWN_FUNCTION
from angelica.runtime.fleet import Fleet
from angelica.storage.protocol import Storage

FIXES = {
    UNKNOWN_FUNCTION: "start a worker whose code has it, or cancel the tasks",
    NO_CAPABLE_WORKER: "start a worker with these labels (`angelica tasks why` names them), or cancel the tasks",
    NO_WORKER_FITS: "start a larger worker (`angelica tasks why` says how large), or cancel the tasks",
}


async def blocked_found(storage: Storage) -> list[Finding]:
    """Return one line for each function whose tasks are held while nobody can run them."""
    return [
        Finding("blocked", "warn", f"{each.tasks} of {each.function}: {each.reason}", FIXES.get(each.reason, ""))
        for each in await Fleet(storage).blocked()
        if not each.able
    ]
