"""A task engine for Python: durable background tasks, an HTTP API and a command line, from one SQLite file.

What is named here is the public surface. It is imported where it is first used: `import angelica` costs no more than
this file, and no third-party package is loaded before something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0.dev0"

_HOMES = {
    "angelica.contrib.background": ("BackgroundTasks",),
    "angelica.domain.gates": ("Limit",),
    "angelica.domain.retry": ("Exponential", "Fixed", "Linear", "Profile", "exponential_backoff"),
    "angelica.domain.task": ("Unique",),
    "angelica.engine": ("Engine",),
    "angelica.errors": (
        "Aborted",
        "AngelicaError",
        "Cancel",
        "CommandNotAllowed",
        "CommandsDisabled",
        "Conflict",
        "Fail",
        "IdConflict",
        "IdempotencyMismatch",
        "InvalidArguments",
        "InvalidValue",
        "NotCancellable",
        "NotFinished",
        "NotFound",
        "NotLoadable",
        "NotSupported",
        "QueueFull",
        "Refused",
        "Retry",
        "ScheduleConflict",
        "SchemaMismatch",
        "ShuttingDown",
        "Signal",
        "Snooze",
        "StorageCorrupt",
        "StorageError",
        "StorageUnavailable",
        "StoreMoved",
        "SubmitRefused",
        "TaskCancelled",
        "TaskFailed",
        "UniqueConflict",
        "UnknownFunction",
        "VersionConflict",
        "WaitTimeout",
        "WorkerConflict",
    ),
    "angelica.runtime.context": ("Context",),
    "angelica.runtime.functions": ("Function",),
    "angelica.runtime.handle": ("TaskHandle",),
    "angelica.runtime.schedule_handle": ("ScheduleHandle",),
    "angelica.settings": ("Settings",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 - all of them are texts


def __getattr__(name: str) -> Any:
    """Import a public name from its home at its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'angelica' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
