from angelica.contrib.background import DurableTasks as BackgroundTasks
from angelica.domain.gates import Limit as Limit
from angelica.domain.retry import Exponential as Exponential
from angelica.domain.retry import Fixed as Fixed
from angelica.domain.retry import Linear as Linear
from angelica.domain.retry import Profile as Profile
from angelica.domain.retry import exponential_backoff as exponential_backoff
from angelica.domain.task import Unique as Unique
from angelica.engine import Engine as Engine
from angelica.errors import Aborted as Aborted
from angelica.errors import AngelicaError as AngelicaError
from angelica.errors import Cancel as Cancel
from angelica.errors import CommandNotAllowed as CommandNotAllowed
from angelica.errors import CommandsDisabled as CommandsDisabled
from angelica.errors import Conflict as Conflict
from angelica.errors import Fail as Fail
from angelica.errors import IdConflict as IdConflict
from angelica.errors import IdempotencyMismatch as IdempotencyMismatch
from angelica.errors import InvalidArguments as InvalidArguments
from angelica.errors import InvalidValue as InvalidValue
from angelica.errors import NotCancellable as NotCancellable
from angelica.errors import NotFinished as NotFinished
from angelica.errors import NotFound as NotFound
from angelica.errors import NotLoadable as NotLoadable
from angelica.errors import NotSupported as NotSupported
from angelica.errors import QueueFull as QueueFull
from angelica.errors import Refused as Refused
from angelica.errors import Retry as Retry
from angelica.errors import ScheduleConflict as ScheduleConflict
from angelica.errors import SchemaMismatch as SchemaMismatch
from angelica.errors import ShuttingDown as ShuttingDown
from angelica.errors import Signal as Signal
from angelica.errors import Snooze as Snooze
from angelica.errors import StorageCorrupt as StorageCorrupt
from angelica.errors import StorageError as StorageError
from angelica.errors import StorageUnavailable as StorageUnavailable
from angelica.errors import StoreMoved as StoreMoved
from angelica.errors import SubmitRefused as SubmitRefused
from angelica.errors import TaskCancelled as TaskCancelled
from angelica.errors import TaskFailed as TaskFailed
from angelica.errors import UniqueConflict as UniqueConflict
from angelica.errors import UnknownFunction as UnknownFunction
from angelica.errors import VersionConflict as VersionConflict
from angelica.errors import WaitTimeout as WaitTimeout
from angelica.errors import WorkerConflict as WorkerConflict
from angelica.runtime.context import Context as Context
from angelica.runtime.functions import Function as Function
from angelica.runtime.handle import TaskHandle as TaskHandle
from angelica.runtime.schedule_handle import ScheduleHandle as ScheduleHandle
from angelica.settings import Settings as Settings

__all__ = [
    "__version__",
    "Aborted",
    "AngelicaError",
    "BackgroundTasks",
    "Cancel",
    "CommandNotAllowed",
    "CommandsDisabled",
    "Conflict",
    "Context",
    "Engine",
    "Exponential",
    "Fail",
    "Fixed",
    "Function",
    "IdConflict",
    "IdempotencyMismatch",
    "InvalidArguments",
    "InvalidValue",
    "Limit",
    "Linear",
    "NotCancellable",
    "NotFinished",
    "NotFound",
    "NotLoadable",
    "NotSupported",
    "Profile",
    "QueueFull",
    "Refused",
    "Retry",
    "ScheduleConflict",
    "ScheduleHandle",
    "SchemaMismatch",
    "Settings",
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
    "TaskHandle",
    "Unique",
    "UniqueConflict",
    "UnknownFunction",
    "VersionConflict",
    "WaitTimeout",
    "WorkerConflict",
    "exponential_backoff",
]

__version__: str
