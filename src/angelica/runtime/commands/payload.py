"""The payload of a command task: what is stored at submit, and read, with suspicion, before it is run."""

from __future__ import annotations

from angelica import strict_json
from angelica.domain.command import CommandLine
from angelica.errors import InvalidValue


def encode(line: CommandLine) -> str:
    """Return the payload of an allowed command line: `{"command": name, "argv": [...], "text": "..."}`."""
    return strict_json.dumps({"command": line.command.name, "argv": list(line.argv), "text": line.text})


def decode(payload: str) -> tuple[str, list[str]]:
    """Return the command's name and its arguments; raises `InvalidValue` for a payload of another form."""
    try:
        form = strict_json.loads(payload)
    except strict_json.InvalidJson as error:
        raise InvalidValue("/payload", f"is not JSON: {error}") from None
    if not isinstance(form, dict) or set(form) != {"command", "argv", "text"}:
        raise InvalidValue("/payload", "is not that of a command")
    name, argv = form["command"], form["argv"]
    if not isinstance(name, str) or not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise InvalidValue("/payload", "is not that of a command")
    return name, argv
