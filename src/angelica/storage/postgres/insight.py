"""What `db status`, `doctor` and `/health` tell of a server: its facts, and what keeps it from removing dead rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from angelica.clock import MILLISECOND, SECOND, tick_micros, wall_micros
from angelica.errors import StorageUnavailable
from angelica.storage.postgres.transaction import PostgresStatements
from angelica.storage.protocol import StoreWarning
from angelica.storage.rows import from_json

WARN_AFTER: Final = 30.0
"""Seconds that one transaction may hold the horizon back before it is spoken of."""

APART: Final = 500 * MILLISECOND
_FRESH: Final = 2 * SECOND
_FULL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Pin:
    """What holds the horizon back: `kind` and `name` say what it is, `seconds` for how long, `xmin_age` how far.

    `hidden`: a session of another role whose begin is not told to us; `seconds` is how long this process has seen it.
    `xmin_age` is in transactions, None for a session that is only idle.
    """

    kind: str
    name: str
    pid: int | None
    state: str | None
    seconds: float
    xmin_age: int | None
    fix: str
    hidden: bool = False

    def row(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "pid": self.pid,
            "state": self.state,
            "age": round(self.seconds, 1),
            "xmin_age": self.xmin_age,
            "hidden": self.hidden,
        }

    def words(self) -> str:
        """Return what it is and what it does, in one sentence."""
        who = f"{self.kind} {self.name}" if self.pid is None else f"pid {self.pid} ({self.name or 'no name'})"
        seen = "seen for" if self.hidden else "for"
        does = "is idle in a transaction" if self.xmin_age is None else "keeps dead rows from being removed"
        far = f" ({self.xmin_age} transactions)" if self.xmin_age else ""
        rights = "; more cannot be seen without the rights of pg_monitor" if self.hidden else ""
        state = f", {self.state}," if self.state and self.xmin_age is not None else ""
        return f"{who}{state} {does}, {seen} {self.seconds:.0f} s{far}{rights}"


class Insight:
    """Looks at a server at most every two seconds. `default` is the server's own `synchronous_commit`."""

    def __init__(self) -> None:
        self.default = ""
        self._seen: dict[tuple[str, str], int] = {}
        self._looked_at = -_FRESH
        self._detail: dict[str, Any] = {}
        self._warnings: tuple[StoreWarning, ...] = ()

    async def look(self, db: PostgresStatements) -> tuple[Mapping[str, Any], tuple[StoreWarning, ...]]:
        """Return the facts and what to worry about; raises `StorageUnavailable` for a standby."""
        if tick_micros() - self._looked_at < _FRESH:
            return self._detail, self._warnings
        server = dict(from_json(await db.value("server", "angelica%")))
        if server["standby"]:
            raise StorageUnavailable("this server is a standby: it takes no writes until it is promoted")
        apart = await _apart(db)
        pins = await self._pins(db)
        old = [pin for pin in pins if pin.seconds >= WARN_AFTER]
        sessions = [pin for pin in pins if pin.pid is not None]
        self._detail = {
            **server,
            "synchronous_commit_default": self.default,
            "clock_apart_ms": apart // MILLISECOND,
            "clock_ok": abs(apart) <= APART,
            "oldest_transaction": max(sessions, key=lambda pin: pin.seconds).row() if sessions else None,
            "holding_back": [pin.row() for pin in old],
            "hidden": [pin.row() for pin in pins if pin.hidden],
        }
        self._warnings = (*_of_server(server, self.default, apart), *(_warning(pin) for pin in old))
        self._looked_at = tick_micros()
        return self._detail, self._warnings

    async def _pins(self, db: PostgresStatements) -> list[Pin]:
        seen: dict[tuple[str, str], int] = {}
        pins = []
        for pid, name, state, seconds, xmin, xmin_age in await db.rows("old_transactions"):
            watched = self._watched(seen, str(pid), str(xmin))
            hidden = seconds is None and state is None
            fix = f"select pg_terminate_backend({pid})"
            pins.append(
                Pin("session", name or "", pid, state, watched if seconds is None else seconds, xmin_age, fix, hidden)
            )
        for gid, seconds, xmin_age in await db.rows("prepared_transactions"):
            quoted = gid.replace("'", "''")
            pins.append(
                Pin("prepared transaction", gid, None, None, seconds, xmin_age, f"rollback prepared '{quoted}'")
            )
        for name, active, xmin, xmin_age in await db.rows("old_slots"):
            # One that nobody reads holds its rows for ever; one that is read is old when its horizon stands still.
            seconds = self._watched(seen, f"slot {name}", str(xmin)) if active else WARN_AFTER
            fix = f"select pg_drop_replication_slot('{name}'), if nobody needs it"
            pins.append(Pin("replication slot", name, None, "active" if active else "unused", seconds, xmin_age, fix))
        self._seen = seen
        return pins

    def _watched(self, seen: dict[tuple[str, str], int], who: str, xmin: str) -> float:
        """Return the seconds since this process first saw this one at this horizon, and keep it in `seen`."""
        now = tick_micros()
        since = seen[who, xmin] = self._seen.get((who, xmin), now)
        return (now - since) / SECOND


async def _apart(db: PostgresStatements) -> int:
    """Return how far the host's wall clock is ahead of the server's, in microseconds."""
    began = wall_micros()
    server = int(await db.value("server_clock"))
    return (began + wall_micros()) // 2 - server


def _warning(pin: Pin) -> StoreWarning:
    return StoreWarning("horizon", pin.words(), pin.fix)


def _of_server(server: Mapping[str, Any], default: str, apart: int) -> list[StoreWarning]:
    said = []
    if server["fsync"] == "off":
        text = "fsync is off at the server: a crash of its host destroys the database"
        said.append(StoreWarning("fsync", text, "alter system set fsync = on, and restart the server", grave=True))
    if default == "off":
        text = "synchronous_commit is off by default; our sessions "
        kept = server["synchronous_commit"]
        text += "keep it off (durability = fast)" if kept == "off" else f"set it to {kept} for themselves"
        fix = "alter system set synchronous_commit = on; select pg_reload_conf()"
        said.append(StoreWarning("synchronous_commit", text, fix))
    if abs(apart) > APART:
        text = f"this host's clock is {apart / SECOND:+.3f} s away from the server's, which counts"
        said.append(StoreWarning("clock", text, "let NTP keep both"))
    if server["connections_all"] >= server["max_connections"] * _FULL:
        text = f"{server['connections_all']} of {server['max_connections']} connections are taken"
        said.append(StoreWarning("connections", text, "raise max_connections, or lower `connections`"))
    return said
