"""What `doctor` looks at where the store is in PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

from angelica.cli.checkup_blocked import blocked_found
from angelica.cli.finding import Finding, workers_found
from angelica.cli.store import exists, storage_of
from angelica.errors import AngelicaError
from angelica.settings import Settings
from angelica.storage.protocol import StoreStatus

WARN_AFTER: Final = 30.0
"""Seconds from which the store itself warns of a session."""

OLDEST: Final = 14
SECOND_LOOK: Final = 2.5
"""Seconds until a session whose begin is not told is looked at again: who is still there is worth a word."""

_MIB: Final = 1024**2


async def postgres_findings(settings: Settings) -> list[Finding]:
    """Look at the server, the schema and the workers."""
    try:
        if not await exists(settings):
            found = f"{settings.shown_url}: reached, but there are no tables yet"
            return [Finding("store", "warn", found, "angelica db migrate")]
        return await _opened(settings)
    except AngelicaError as error:
        fix = "is the server up, are name and password right? `angelica db migrate` brings an older schema up to date"
        return [Finding("store", "red", str(error), fix)]


async def _opened(settings: Settings) -> list[Finding]:
    storage = storage_of(settings, migrate=False)
    await storage.open()
    try:
        status = await storage.status()
        if status.detail["hidden"]:
            await asyncio.sleep(SECOND_LOOK)
            status = await storage.status()
        findings = [
            Finding("store", "ok", f"{status.url}, schema version {status.schema_version}"),
            _server(status.detail),
            _durability(settings, status.detail),
            *_clock(status),
            *(Finding(each.about, "red" if each.grave else "warn", each.text, each.fix) for each in status.warnings),
            *_hidden(status.detail),
            _pooler(storage.address.pooler, pooled=await storage.pooled()),
        ]
        rows = await storage.list_workers()
        now = await storage.time()
        return findings + workers_found(rows, now.wall, settings) + await blocked_found(storage)
    finally:
        await storage.close()


def _server(detail: Mapping[str, Any]) -> Finding:
    version = str(detail["server_version"])
    taken = f"{detail['connections_all']} of {detail['max_connections']} connections, {detail['connections']} ours"
    found = f"PostgreSQL {version}, {detail['database_bytes'] // _MIB} MiB, {taken}"
    if _major(version) < OLDEST:
        return Finding("server", "red", found, f"PostgreSQL {OLDEST} or newer")
    return Finding("server", "ok", found)


def _durability(settings: Settings, detail: Mapping[str, Any]) -> Finding:
    kept = f"synchronous_commit={detail['synchronous_commit']}"
    if settings.durability == "full":
        return Finding("durability", "ok", f"full: on disk before a submit is answered ({kept})")
    fix = "durability = full, unless that is what you want"
    return Finding("durability", "warn", f"fast: a crash of the server may take the last commits ({kept})", fix)


def _clock(status: StoreStatus) -> list[Finding]:
    if not status.detail["clock_ok"]:
        return []  # it is among the warnings
    apart = status.detail["clock_apart_ms"] / 1000
    return [Finding("clock", "ok", f"the server's counts; this host's is {apart:+.3f} s away from it")]


def _hidden(detail: Mapping[str, Any]) -> list[Finding]:
    """Name sessions of other roles that stay: they may be old, which is not ours to see."""
    return [
        Finding(
            "horizon",
            "warn",
            f"pid {row['pid']} ({row['name'] or 'no name'}), a session of another role, keeps dead rows from being "
            f"removed ({row['xmin_age']} transactions); since when cannot be seen without the rights of pg_monitor",
            f"grant pg_monitor to {detail['role']}; or, where it is old: select pg_terminate_backend({row['pid']})",
        )
        for row in detail["hidden"]
        if SECOND_LOOK - 1 <= row["age"] < WARN_AFTER
    ]


def _pooler(mode: str | None, *, pooled: bool) -> Finding:
    if mode is None and pooled:
        found = "a pooler stands before the server; in transaction mode it breaks what is kept in a session"
        return Finding("pooler", "warn", found, "add ?pooler=transaction, or name the server itself")
    if mode is not None and not pooled:
        found = "the address says that there is a pooler, but there is none: workers poll without need"
        return Finding("pooler", "warn", found, "leave ?pooler=transaction out")
    return Finding("pooler", "ok", "none" if mode is None else f"{mode} mode, as the address says")


def _major(version: str) -> int:
    digits = re.match(r"[0-9]+", version)
    return 0 if digits is None else int(digits[0])
