"""PostgreSQL's errors in our words: what can be repeated, and what cannot."""

from __future__ import annotations

from typing import Final

import asyncpg

from angelica.errors import AngelicaError, StorageCorrupt, StorageError, StorageUnavailable
from angelica.storage.move.fences import fence_of

# Whoever repeats the whole transaction meets another moment: a deadlock's victim, a lost race, a killed statement.
REPEATABLE: Final = (asyncpg.exceptions.DeadlockDetectedError, asyncpg.exceptions.SerializationError)

# What the fence of a move raises, see queries/move.sql.
FENCED: Final = "AN001"

# Something stands that was thought to be new: whoever wrote looks then.
STANDING: Final = asyncpg.exceptions.UniqueViolationError

# The connection is gone, or may be: none of these says what became of the transaction.
LOST: Final = (
    OSError,
    EOFError,
    TimeoutError,
    asyncpg.exceptions.PostgresConnectionError,
    asyncpg.exceptions.ConnectionDoesNotExistError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InternalClientError,
)


class Contended(StorageUnavailable):
    """A lock that others hold was not to be had soon: an open transaction has submitted the same key or id."""


def is_refusal(error: BaseException) -> bool:
    """Whether an error says that the connection is sound: a refusal of ours or of the server, not the session's end."""
    return isinstance(error, (asyncpg.PostgresError, AngelicaError)) and not isinstance(error, LOST)


def translate(error: BaseException) -> BaseException:
    """Return what a caller gets for an exception inside a call; what is not the driver's own stays."""
    if isinstance(error, (AngelicaError, STANDING)):
        return error
    if isinstance(error, LOST):
        return StorageUnavailable(f"PostgreSQL cannot be reached: {said(error)}")
    if isinstance(error, asyncpg.InterfaceError):
        return StorageUnavailable(f"the connection to PostgreSQL failed: {said(error)}")
    if isinstance(error, asyncpg.PostgresError):
        if error.sqlstate == FENCED:
            return _fenced(error.detail)
        return _translated(error)
    return error


def _fenced(text: str | None) -> StorageError:
    """Return what the trigger of a fence means; it has looked at the time already."""
    fence = fence_of(text)
    refusal = None if fence is None else fence.refusal(fence.until - 1)
    return refusal or StorageUnavailable("the data is being moved; nothing was written")


def said(error: BaseException) -> str:
    """Return the words of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _translated(error: asyncpg.PostgresError) -> StorageError:
    match error:
        case asyncpg.exceptions.DataCorruptedError() | asyncpg.exceptions.IndexCorruptedError():
            return StorageCorrupt(f"PostgreSQL found damage: {said(error)}")
        case asyncpg.exceptions.DiskFullError():
            return StorageUnavailable(f"no room left: {said(error)}", retry_after=5.0)
        case asyncpg.exceptions.TooManyConnectionsError():
            return StorageUnavailable("PostgreSQL takes no more connections (max_connections)", retry_after=2.0)
        case asyncpg.exceptions.ReadOnlySQLTransactionError():
            return StorageUnavailable("this server is read-only: a standby, or one being switched over")
        case asyncpg.exceptions.LockNotAvailableError():
            return Contended(f"a transaction that is still open is in the way: {said(error)}", retry_after=2.0)
        case asyncpg.exceptions.UndefinedTableError() | asyncpg.exceptions.InvalidSchemaNameError():
            return StorageUnavailable(f"the tables are gone: {said(error)}; run `angelica db migrate`", retry_after=5.0)
        case _:
            return StorageUnavailable(f"PostgreSQL refused: {said(error)}")
