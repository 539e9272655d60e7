"""SQL as files: statements by verb, and numbered migrations with their checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from angelica.errors import SchemaMismatch

_HEAD: Final = re.compile(r"^-- (verb|fragment): ([a-z_]+)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^--.*\n?", re.MULTILINE)
_SLOT: Final = re.compile(r"\$\{([a-z_]+)\}")
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `checksum` is the SHA-256 of its text."""

    number: int
    name: str
    text: str
    checksum: str


def load_verbs(package: str) -> Mapping[str, str]:
    """Return the statements of all `.sql` files of a package, by verb.

    A file is cut at lines `-- verb: name` and `-- fragment: name`; `${name}` stands for the text of a fragment of any
    file. Values never go in this way: they are always parameters.
    """
    verbs: dict[str, str] = {}
    fragments: dict[str, str] = {}
    for entry in sorted(files(package).iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        parts = _HEAD.split(entry.read_text("utf-8"))
        for kind, name, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            known = verbs if kind == "verb" else fragments
            if name in known:
                raise ValueError(f"{entry.name}: the {kind} {name!r} is there twice")
            known[name] = _COMMENT.sub("", body).strip()
    filled = {name: _SLOT.sub(lambda slot: fragments[slot[1]], body) for name, body in fragments.items()}
    return MappingProxyType({name: _SLOT.sub(lambda slot: filled[slot[1]], body) for name, body in verbs.items()})


def load_migrations(package: str) -> tuple[Migration, ...]:
    """Return the migrations of a package (`0001_what.sql`), in order, without a gap."""
    found = []
    for entry in files(package).iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            text = entry.read_text("utf-8")
            found.append(Migration(int(match[1]), match[2], text, hashlib.sha256(text.encode()).hexdigest()))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"{package}: migrations must be numbered from 0001 without a gap")
    return tuple(found)


def pending(available: Sequence[Migration], applied: Mapping[int, str]) -> tuple[Migration, ...]:
    """Return what is still to be applied to a schema with these `applied` (number -> checksum).

    Raises `SchemaMismatch` if the schema is newer than this code, or was made by another text of the same number.
    """
    ours = available[-1].number if available else 0
    theirs = max(applied, default=0)
    if theirs > ours:
        raise SchemaMismatch(
            f"the schema is at version {theirs}, this Angelica knows versions up to {ours}: "
            "upgrade Angelica in this environment, or restore a backup that was made before the upgrade"
        )
    for migration in available:
        checksum = applied.get(migration.number)
        if checksum is None and migration.number <= theirs:
            raise SchemaMismatch(f"migration {migration.number} is missing below version {theirs}")
        if checksum is not None and checksum != migration.checksum:
            raise SchemaMismatch(
                f"migration {migration.number} ({migration.name}) was applied with another text: "
                "this file was made by another build of Angelica"
            )
    return tuple(migration for migration in available if migration.number > theirs)
