"""What `doctor` looks at, one function for each matter."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from angelica import __version__
from angelica.cli.checkup_blocked import blocked_found
from angelica.cli.checkup_postgres import postgres_findings
from angelica.cli.command_check import look_at_commands
from angelica.cli.finding import Finding, workers_found
from angelica.cli.spec import settings_of
from angelica.cli.state import GlobalOptions
from angelica.cli.store import opened_store
from angelica.clock import MILLISECOND, SECOND
from angelica.errors import AngelicaError
from angelica.http.tokens import TokenFile
from angelica.settings import Settings
from angelica.storage.protocol import StoreStatus
from angelica.storage.sqlite.files import check_version, refuse_network

APART: Final = 500 * MILLISECOND
LEAST_FREE: Final = 100 * 1024 * 1024
LEAST_SHARE: Final = 0.1
OTHERS: Final = 0o077


async def checkup(options: GlobalOptions) -> list[Finding]:
    """Look at everything that can be looked at from here."""
    findings = list(_versions())
    try:
        settings = settings_of(options.url)
    except AngelicaError as error:
        return [*findings, Finding("settings", "red", str(error), "`angelica config show --origin` after that")]
    findings.append(Finding("settings", "ok", f"{len(settings.origins)} set, the rest default"))
    findings += _posture(settings)
    findings += await look_at_commands(settings)
    if settings.postgres_url is not None:
        return [*findings, *await postgres_findings(settings)]
    path = settings.sqlite_path
    if path is None:
        return [*findings, Finding("store", "warn", f"{settings.url}: ends with its process", "--url angelica.db")]
    findings += _disk(path)
    if not path.exists():
        return [*findings, Finding("store", "warn", f"{path} is not there yet", "angelica dev")]
    findings += _modes(path, settings)
    return findings + await _store(options, settings)


def _versions() -> Iterator[Finding]:
    yield Finding("angelica", "ok", f"{__version__}, Python {platform.python_version()}, {platform.system()}")
    version = apsw.sqlite_lib_version()
    try:
        check_version(version)
    except AngelicaError as error:
        yield Finding("sqlite", "red", str(error), "pip install --upgrade apsw")
    else:
        yield Finding("sqlite", "ok", version)


def _posture(settings: Settings) -> Iterator[Finding]:
    tokens = TokenFile.beside(settings.sqlite_path)
    token = "token set" if tokens.exists() else "no token yet (made at the first `angelica serve`)"
    where = f"{settings.host}:{settings.port}"
    if settings.is_loopback:
        yield Finding("bind", "ok", f"{where}, this machine only; {token}")
    elif tokens.exists():
        yield Finding("bind", "warn", f"{where}, other machines too; {token}", "keep a TLS proxy in front")
    else:
        yield Finding("bind", "red", f"{where}, other machines too; {token}", "start once on 127.0.0.1")
    if tokens.exists():
        yield _mode("token file", tokens.path, 0o600)


def _disk(path: Path) -> Iterator[Finding]:
    directory = path.absolute().parent
    while not directory.exists():
        directory = directory.parent
    try:
        refuse_network(directory)
    except AngelicaError as error:
        yield Finding("file system", "red", str(error), "put the store on a local disk")
    else:
        yield Finding("file system", "ok", "local")
    usage = shutil.disk_usage(directory)
    found = f"{usage.free // 1024**2} MiB free of {usage.total // 1024**2}"
    if usage.free < LEAST_FREE:
        yield Finding("disk", "red", found, "make room, or move the store")
    elif usage.free < usage.total * LEAST_SHARE:
        yield Finding("disk", "warn", found, "make room soon")
    else:
        yield Finding("disk", "ok", found)


def _modes(path: Path, settings: Settings) -> Iterator[Finding]:
    yield _mode("store file", path, 0o600)
    run = path.with_name(f"{path.name}-run")
    if run.exists():
        yield _mode("side files", run, 0o700)
    if settings.durability == "full":
        yield Finding("durability", "ok", "full: on disk before a submit is answered (synchronous=FULL)")
    else:
        fix = "durability = full, unless that is what you want"
        yield Finding("durability", "warn", "fast: a power cut may take the last commits (synchronous=NORMAL)", fix)


def _mode(what: str, path: Path, wanted: int) -> Finding:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Finding(what, "red", f"{path} is a symbolic link", "put the file itself there")
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        return Finding(what, "red", f"{path} belongs to another user", f"chown {os.geteuid()} {path}")
    if mode & OTHERS:
        return Finding(what, "red", f"{path} has mode {mode:04o}: others may use it", f"chmod {wanted:o} {path}")
    return Finding(what, "ok", f"{path} {mode:04o}")


async def _store(options: GlobalOptions, settings: Settings) -> list[Finding]:
    try:
        async with opened_store(options, migrate=False) as storage:
            status = await storage.status()
            found = [Finding("store", "ok", f"{status.url}, schema version {status.schema_version}")]
            found.append(_clock(status))
            now = await storage.time()
            rows = await storage.list_workers()
            blocked = await blocked_found(storage)
    except AngelicaError as error:
        return [Finding("store", "red", str(error), "`angelica db check`, `angelica db migrate`")]
    return found + workers_found(rows, now.wall, settings) + blocked


def _clock(status: StoreStatus) -> Finding:
    source = "boot-time clock" if hasattr(time, "CLOCK_BOOTTIME") else "monotonic clock"
    apart = int(status.detail.get("clock_apart_ms", 0)) * MILLISECOND
    if abs(apart) > APART:
        found = f"{source}; the host's wall clock is {apart / SECOND:+.3f} s away"
        return Finding("clock", "warn", found, "angelica db clock --accept")
    return Finding("clock", "ok", f"{source}, {apart / SECOND:+.3f} s from the host's wall clock ({sys.platform})")
