"""What this worker must be and have to run commands: checked when it starts and again before each command."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from angelica.domain.command import AllowList
from angelica.errors import Refused


class CannotRun(Refused):
    """This worker cannot run the command.

    `code`: `run-as-required` (it is root, and the command names no user), `unknown-user`, or `not-supported` (this
    is not Linux).
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def user_for(run_as: str | None) -> tuple[int, int] | None:
    """Return (uid, gid) to become, None to stay who we are; raises `CannotRun`.

    Only root can become somebody else, and root must: for it, hardly any limit holds.
    """
    if sys.platform != "linux":
        raise CannotRun(
            "not-supported", "commands run on Linux only: elsewhere their processes cannot be held together"
        )
    if os.geteuid() != 0:
        return None
    if run_as is None:
        raise CannotRun("run-as-required", "this worker is root: the command needs `run_as`, another user to run it")
    try:
        user = pwd.getpwnam(run_as)
    except KeyError:
        raise CannotRun("unknown-user", f"there is no user {run_as!r} for `run_as`") from None
    if user.pw_uid == 0:
        raise CannotRun("run-as-required", f"{run_as!r} is root: `run_as` must be another user")
    return user.pw_uid, user.pw_gid


def problems(allowed: AllowList) -> list[str]:
    """Return why commands of the configuration cannot run here, each with its name; nothing if all can."""
    found = []
    for command in allowed.commands.values():
        try:
            user_for(command.run_as)
        except CannotRun as error:
            found.append(f"{command.name}: {error}")
        if not os.access(command.program, os.X_OK) or not Path(command.program).is_file():
            found.append(f"{command.name}: {command.program} is no executable file")
        found += [
            f"{command.name}: {file} cannot be read"
            for file in command.files
            if not os.access(file, os.R_OK) or not Path(file).is_file()
        ]
    return found
