"""Crontab files: the user's form and the system's (with a user), environment lines, `%`, macros."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from angelica.cli.imports.found import MOST, Found, Unreadable, Wishes, bounded, checked, distinct, id_of
from angelica.domain.cron.zones import find_zone
from angelica.errors import InvalidValue

# As cron reads it: NAME = value, either side quoted or not; an entry begins with a digit, `*` or `@` instead.
_SETTING: Final = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s=]+))\s*=\s*(.*?)\s*$""")
_ENTRY: Final = re.compile(r"\s*-?(?:[0-9*~@])")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MACRO_WORDS: Final = 1
_FIELD_WORDS: Final = 5
_REBOOT: Final = "runs at boot, and a schedule has no boot to wait for; enqueue the task when your program starts"


@dataclass(slots=True)
class _State:
    """What the lines above say about those below."""

    variables: dict[str, str] = field(default_factory=dict)
    timezone: str | None = None
    zone_problem: str = ""
    jitter: int = 0
    mailto: str | None = None


def read_crontab(text: str, wishes: Wishes, *, system: bool, now: int) -> list[Found]:
    """Return the entries of a crontab; `system` is the form of /etc/crontab and /etc/cron.d, with a user.

    Environment lines count for the entries below them: `CRON_TZ` is their zone, `RANDOM_DELAY` their jitter.
    """
    state = _State()
    found: list[Found] = []
    for number, line in enumerate(bounded(text).splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if len(found) >= MOST:
            raise Unreadable(f"more than {MOST} entries")
        setting = None if _ENTRY.match(line) else _SETTING.fullmatch(line)
        if setting is not None:
            problem = _set(state, next(part for part in setting.groups()[:3] if part is not None), setting[4])
            if problem:
                found.append(Found(f"line {number}", stripped, refused=problem))
            continue
        found.append(checked(_entry(stripped, f"line {number}", state, wishes, system=system), now))
    return distinct(found)


def _set(state: _State, name: str, written: str) -> str:
    """Take one environment line over; return what is wrong with it."""
    value = written
    if len(written) > 1 and written[0] == written[-1] and written[0] in "\"'":
        value = written[1:-1]
    if name == "CRON_TZ":
        state.timezone, state.zone_problem = value, ""
        try:
            find_zone(value)
        except InvalidValue as error:
            state.zone_problem = f"CRON_TZ above it: {error.problem}" + (f" ({error.hint})" if error.hint else "")
        return ""
    if name == "RANDOM_DELAY":
        if not (value.isascii() and value.isdigit() and int(value[:6]) <= 1440):  # noqa: PLR2004 - minutes of a day
            return "RANDOM_DELAY is a number of minutes, at most 1440; the entries below run without it"
        state.jitter = int(value) * 60
        return ""
    if name == "MAILTO":
        state.mailto = value
        return ""
    if not _PLAIN_NAME.fullmatch(name):
        return "is neither an entry nor NAME = value"
    state.variables[name] = value
    return ""


def _entry(line: str, place: str, state: _State, wishes: Wishes, *, system: bool) -> Found:
    notes: list[str] = []
    rest = line
    if rest.startswith("-"):  # SUSE: "do not log this entry"
        rest = rest[1:]
        notes.append("`-` (do not log) has no meaning here")
    words = _MACRO_WORDS if rest.startswith("@") else _FIELD_WORDS
    parts = rest.split(None, words)
    if parts and parts[0].lower() == "@reboot":
        return Found(place, line, refused=_REBOOT)
    if len(parts) <= words:
        return Found(place, line, refused="an entry has five fields (or a macro) and a command")
    cron, command = " ".join(parts[:words]), parts[words]
    if "~" in cron:
        return Found(place, line, refused="`~` picks a time at random; give one, or a jitter")
    user = None
    if system:
        user, _, command = command.partition(" ") if " " in command else command.partition("\t")
        command = command.strip()
        if not command:
            return Found(place, line, refused="the system form has a user before the command (--form user reads it)")
        notes.append(f"ran as {user}; here it runs as whoever runs the worker")
    if state.zone_problem:
        return Found(place, line, refused=state.zone_problem)
    return _made(line, place, cron, _Command(*split_percent(command), user), state, wishes, notes)


@dataclass(frozen=True, slots=True)
class _Command:
    """A command line with what goes to its input, and whom it ran as."""

    text: str
    stdin: str | None
    user: str | None


def _made(
    line: str, place: str, cron: str, command: _Command, state: _State, wishes: Wishes, notes: list[str]
) -> Found:
    function = wishes.renamed(command.text) or wishes.function
    if function is None:
        hint = "is a command line; name the function that does it: --map 'COMMAND=FUNCTION', or --function NAME"
        return Found(place, line, refused=hint)
    body: dict[str, Any] = {"schedule_id": _id(command.text, line), "name": function, "cron": cron}
    if wishes.renamed(command.text) is None:
        body["kwargs"] = _arguments(command, state)
    elif command.stdin is not None or state.variables:
        notes.append("its input and its environment lines are left to the function")
    timezone = state.timezone or wishes.timezone
    if timezone:
        body["timezone"] = timezone
    else:
        notes.append("times are read as UTC; a crontab means the clocks of its machine (--tz)")
    if "TZ" in state.variables and state.timezone is None:
        notes.append("TZ is for the command; the times of entries follow CRON_TZ")
    if state.jitter:
        body["jitter"] = state.jitter
    if state.mailto:
        notes.append(f"nothing is mailed to {state.mailto}: the output is in the task's log")
    return Found(place, line, body, notes=tuple(notes))


def _arguments(command: _Command, state: _State) -> dict[str, Any]:
    """What the catch-all function gets."""
    given: dict[str, Any] = {"command": command.text}
    if command.stdin is not None:
        given["stdin"] = command.stdin
    if state.variables:
        given["env"] = dict(state.variables)
    if command.user is not None:
        given["user"] = command.user
    return given


def _id(command: str, line: str) -> str:
    word = next((each for each in command.split() if "=" not in each), command)
    return id_of(PurePath(word).name or "command", mark=line)


def split_percent(command: str) -> tuple[str, str | None]:
    r"""Return the command up to the first `%`, and its input: what follows, each `%` a line end; `\%` is a percent."""
    made = [""]
    at = 0
    while at < len(command):
        if command.startswith("\\%", at):
            made[-1] += "%"
            at += 2
            continue
        if command[at] == "%":
            made.append("")
        else:
            made[-1] += command[at]
        at += 1
    if len(made) == 1:
        return made[0], None
    return made[0].rstrip(), "\n".join(made[1:]) + "\n"
