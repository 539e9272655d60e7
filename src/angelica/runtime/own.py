"""A caller's own transaction, as the options of `using` and `enqueue_many` name it."""

from __future__ import annotations

from typing import Any, NamedTuple

from angelica.errors import InvalidValue


class Own(NamedTuple):
    """The connection that a caller's transaction is open on, and whether its commit is to wake other processes."""

    connection: Any
    notify: bool = True


def read_own(given: dict[str, Any], before: Own | None = None) -> Own | None:
    """Take `connection` and `notify` out of options and return what they say, together with what was said `before`.

    Raises `InvalidValue` for a `notify` that is no truth value, or that belongs to no connection.
    """
    connection = given.pop("connection", None if before is None else before.connection)
    if "notify" not in given:
        notify = before is None or before.notify
        return None if connection is None else Own(connection, notify)
    notify = given.pop("notify")
    if not isinstance(notify, bool):
        raise InvalidValue("/notify", "must be true or false", rule="type")
    if connection is None:
        raise InvalidValue("/notify", "is about a transaction of yours: give connection= with it", rule="missing")
    return Own(connection, notify)
