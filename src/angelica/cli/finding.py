"""What `doctor` has found of one matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, what was found, what to do."""

    check: str
    state: Literal["ok", "warn", "red"]
    found: str
    fix: str = ""

    def row(self) -> dict[str, str]:
        return {"check": self.check, "state": self.state, "found": self.found, "fix": self.fix}
