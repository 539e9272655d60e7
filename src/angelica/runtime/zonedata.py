"""The zone data of this machine: which edition of the IANA time zone database its local times are computed by."""

from __future__ import annotations

import zoneinfo
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

_HEAD: Final = "# version "


@cache
def zone_data() -> str:
    """Return the edition, e.g. `2026b`; `zoneinfo` looks at the system's files first, then at the package `tzdata`."""
    for directory in zoneinfo.TZPATH:
        try:
            with (Path(directory) / "tzdata.zi").open("r", encoding="ascii", errors="replace") as file:
                line = file.readline()
        except OSError:
            continue
        if line.startswith(_HEAD):
            return line.removeprefix(_HEAD).strip()
    try:
        return str(import_module("tzdata").IANA_VERSION)
    except ImportError:
        return "unknown"
