"""What an import finds: each entry of a foreign file as a schedule that it becomes, or the reason why it does not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from angelica.domain.cron.evaluate import Trigger, first_fire
from angelica.domain.cron.interval import Every
from angelica.domain.cron.parse import parse
from angelica.errors import InvalidValue

LARGEST: Final = 4 * 1024 * 1024
MOST: Final = 20_000
_NOT_ID: Final = re.compile(r"[^A-Za-z0-9._:-]+")
_ID: Final = 96


class Unreadable(ValueError):
    """The file as a whole is not what it should be; the text says what was wanted."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry: where it stood, as what, and either the `body` of the schedule or why it was `refused`.

    `body` has the members of `POST /schedules`. `notes` say what is kept in another form, or not at all.
    """

    place: str
    text: str
    body: Mapping[str, Any] | None = None
    refused: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the importing user says: the zone of times without one, new names of functions, and a catch-all.

    `names` maps what the file calls (a task's name, a `module:function`, a command line; `*` at its end matches a
    prefix) to a function. `function` takes every command line that no name matches, as its argument `command`.
    """

    timezone: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    function: str | None = None

    def renamed(self, name: str) -> str | None:
        """Return the function that stands for `name`, None where the user says nothing about it."""
        if name in self.names:
            return self.names[name]
        patterns = sorted((each for each in self.names if each.endswith("*")), key=len, reverse=True)
        return next((self.names[each] for each in patterns if name.startswith(each[:-1])), None)


def checked(found: Found, now: int) -> Found:
    """Return `found`, refused where its times are not a schedule that ever fires after `now` (microseconds)."""
    if found.body is None or "cron" not in found.body:
        return found
    body = found.body
    try:
        trigger: Trigger = parse(body["cron"], timezone=body.get("timezone"), day_match=body.get("day_match", "auto"))
        if not isinstance(trigger, Every):
            first_fire(trigger, now)
    except InvalidValue as error:
        return replace(found, body=None, refused=f"{error.problem}" + (f" ({error.hint})" if error.hint else ""))
    return found


def distinct(entries: Iterable[Found]) -> list[Found]:
    """Return the entries with each schedule id once: later ones of the same get a number."""
    seen: dict[str, int] = {}
    made = []
    for entry in entries:
        if entry.body is not None:
            wanted = entry.body["schedule_id"]
            seen[wanted] = seen.get(wanted, 0) + 1
            if seen[wanted] > 1:
                entry = replace(entry, body={**entry.body, "schedule_id": f"{wanted}-{seen[wanted]}"})  # noqa: PLW2901
        made.append(entry)
    return made


def id_of(name: str, *, mark: str = "") -> str:
    """Return a schedule id made of a foreign name; `mark` is hashed into it, so that equal names stay apart."""
    made = _NOT_ID.sub("-", name).strip("-._:")[:_ID] or "schedule"
    if mark or made != name:
        made = f"{made}-{hashlib.sha256((mark or name).encode()).hexdigest()[:8]}"
    return made if made[0].isalnum() else f"s-{made}"


def bounded(text: str) -> str:
    """Return the text of a file, or refuse one that is too large to be what it should be."""
    if len(text) > LARGEST:
        raise Unreadable(f"the file has {len(text)} characters; at most {LARGEST} are read")
    return text
