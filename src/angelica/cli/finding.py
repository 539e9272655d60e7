"""A line of `doctor`, and what it says of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from angelica.clock import MILLISECOND
from angelica.durations import format_duration
from angelica.runtime.identity import here, host_name, lives
from angelica.settings import Settings
from angelica.storage.protocol import WorkerRow


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, what was found, what to do."""

    check: str
    state: Literal["ok", "warn", "red"]
    found: str
    fix: str = ""

    def row(self) -> dict[str, str]:
        return {"check": self.check, "state": self.state, "found": self.found, "fix": self.fix}


def workers_found(rows: Sequence[WorkerRow], wall: int, settings: Settings) -> list[Finding]:
    """Say of each worker whether it lives, as far as that can be told from here."""
    if not rows:
        return [Finding("workers", "warn", "none is registered", "angelica worker, or angelica serve")]
    findings = []
    for row in rows:
        info, age = row.info, max(wall - row.seen_at, 0)
        found = f"{info.id}: heartbeat {format_duration(age // MILLISECOND * MILLISECOND)} ago, {row.running} running"
        mine = (info.host, info.place) == (host_name(), here())
        if mine and not lives(info.pid, info.pid_started):
            findings.append(Finding("worker", "warn", f"{info.id}: its process is gone", "any worker settles it"))
        elif age > settings.lease_ttl:
            findings.append(Finding("worker", "red", found, "is its host up, and is the process blocked?"))
        else:
            findings.append(Finding("worker", "ok", found))
    return findings
