"""The host: what the HTTP floor needs of an engine, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from angelica.clock import Clock
from angelica.runtime.schedules import Schedules
from angelica.runtime.service import Service


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: `name` is kept as `created_by` and is the namespace of idempotency keys."""

    name: str


class Tokens(Protocol):
    """Knows the tokens of this server; compares digests in constant time."""

    def check(self, token: str) -> Principal | None:
        """Return whose token this is, None if it is nobody's."""
        ...


class HttpSettings(Protocol):
    """The settings that the HTTP floor reads. Sizes are bytes."""

    @property
    def host(self) -> str: ...
    @property
    def body_limit(self) -> int: ...
    @property
    def validation_status(self) -> int: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...


class ApiHost(Protocol):
    """An engine as the HTTP floor sees it.

    `state` is `RUNNING`, `SHUTDOWN` or `TERMINATED`; `started_at` is microseconds since the epoch, None before the
    engine has started in this process; `bits(n)` gives n random bits; `tokens` is None where there are none.
    """

    @property
    def service(self) -> Service: ...
    @property
    def schedules(self) -> Schedules: ...
    @property
    def settings(self) -> HttpSettings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def state(self) -> str: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def version(self) -> str: ...
    @property
    def tokens(self) -> Tokens | None: ...

    def bits(self, count: int, /) -> int:
        """Return `count` random bits."""
        ...
