"""The target of a submit that is a command line: what a function is for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from angelica.domain.command import CommandLine
from angelica.domain.task import DEFAULT_POLICY, Policy
from angelica.errors import InvalidValue
from angelica.runtime.commands.payload import encode
from angelica.runtime.defaults import Defaults
from angelica.runtime.options import UNSET, Options

EXECUTOR: Final = "command"


class CommandTarget:
    """An allowed command line, to be stored with the defaults of a function, and with what its command says.

    That is its time-out, if that is shorter, and what it needs of a machine, where the task does not say it.
    `retention` is microseconds, `payload_limit` bytes.
    """

    def __init__(self, line: CommandLine, *, retention: int, payload_limit: int) -> None:
        self._line = line
        self._payload_limit = payload_limit
        timeout = _shorter(DEFAULT_POLICY.timeout, line.command.timeout)
        policy = Policy(timeout=timeout, retention=retention)
        self.defaults = Defaults(line.function, EXECUTOR, policy, resources=line.command.resources)

    def options(self, given: Options) -> Options:
        """Return options whose time-out is not longer than the command's own."""
        own = self._line.command.timeout
        if own is None or given.timeout is UNSET:
            return given
        return replace(given, timeout=_shorter(given.timeout, own))

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the payload text; raises `InvalidValue` if it is too large."""
        text = encode(self._line)
        size = len(text.encode())
        if size > self._payload_limit:
            problem = f"takes {size} bytes of JSON; at most {self._payload_limit} are carried"
            raise InvalidValue("/command", problem, rule="too_large", max=self._payload_limit)
        return text

    def unique_key(self, template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the key as it is: a command declares none."""
        return template

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return nothing: a command has no arguments besides its text."""
        return {}


def _shorter(one: int | None, other: int | None) -> int | None:
    return min((bound for bound in (one, other) if bound is not None), default=None)
