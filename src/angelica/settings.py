"""Settings: one frozen value, read from keywords, the environment and a file, that knows where each part came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from angelica import options
from angelica.allowed import read_allowed
from angelica.clock import DAY, HOUR, MINUTE, SECOND
from angelica.domain.command import NO_COMMANDS, AllowList
from angelica.domain.retry import PROFILES, Profile
from angelica.domain.task import NOTHING
from angelica.errors import InvalidValue
from angelica.options import Option, option, optional
from angelica.sources import check_keyword, check_known, from_environment, from_file
from angelica.storage.postgres.address import SCHEMES, Address

KIB: Final = 1024
MIB: Final = 1024 * KIB
_MILLISECOND: Final = 1000
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def _no_origins() -> Mapping[str, str]:
    return MappingProxyType({})


def _url(value: Any) -> str:
    """Read the address of a store; a bare path means SQLite."""
    address = options.text(os.fspath(value) if isinstance(value, Path) else value)
    if address in ("memory:", ":memory:", "memory://"):
        return "memory:"
    scheme, separator, _ = address.partition("://")
    if not separator:
        return f"sqlite:///{address}"
    if scheme == "sqlite" and len(address) > len("sqlite:///") and address.startswith("sqlite:///"):
        return address
    if scheme in SCHEMES:
        Address.parse(address)
        return address
    raise ValueError(
        "sqlite:///angelica.db, sqlite:////var/lib/angelica/angelica.db, a file's path, "
        "postgresql://user:password@host:5432/database, or memory:"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one engine. Durations are microseconds, sizes are bytes.

    Make it with `Settings.load()`, which takes the units that users write (`"30s"`, `"64KiB"`, plain seconds).
    """

    url: str = option(
        "sqlite:///angelica.db",
        _url,
        "Where everything is kept: an SQLite file (a plain path will do), `postgresql://user:password@host/database` "
        "(with `?schema=`, default `angelica`, and `?pooler=transaction` behind PgBouncer) or `memory:`.",
    )
    name: str = option("default", options.text, "The engine's name.")
    app: str | None = option(
        None, optional(options.text), "Where the engine stands in your code, as `module:attribute`.", shown="none"
    )
    host: str = option("127.0.0.1", options.text, "The address that the API listens on.")
    port: int = option(8765, options.port, "The port that the API listens on; 0 takes a free one.")
    workers: int = option(1, options.whole(1, 1024), "Worker processes.")
    slots: int | None = option(
        None,
        optional(options.whole(1, 100_000)),
        "Tasks that one worker process runs at a time, over all executors. "
        "None: 1,000 async ones, and min(32, CPUs + 4) in threads.",
        shown="none",
    )
    process_slots: int | None = option(
        None,
        optional(options.whole(1, 1024)),
        "Child processes of one worker process, for functions of the `process` executor. None: one for each CPU.",
        shown="none",
    )
    kill_grace: int = option(
        2 * SECOND,
        options.duration(0, HOUR),
        "How long a task in a child process may go on after it was told to stop, before it is killed.",
        shown="2s",
    )
    process_max_tasks: int | None = option(
        None,
        optional(options.whole(1, 10**9)),
        "Attempts after which a child process is replaced. None: any number.",
        shown="none",
    )
    process_max_memory: int | None = option(
        None,
        optional(options.size(MIB, 1024 * 1024 * MIB)),
        "Memory (resident, measured after each attempt) above which a child process is replaced. None: any amount.",
        shown="none",
    )
    process_max_age: int | None = option(
        None,
        optional(options.duration(SECOND, 366 * DAY)),
        "Age at which a child process is replaced, after its attempt. None: never.",
        shown="none",
    )
    worker_cpu: float | None = option(
        None,
        optional(options.number(0.01, 1024)),
        "CPUs that one worker process gives to tasks with `resources`. None: those that it may use.",
        shown="none",
    )
    worker_memory: int | None = option(
        None,
        optional(options.size(MIB, 1024 * 1024 * MIB)),
        "Memory that one worker process gives to tasks with `resources`. None: 80 % of what there is.",
        shown="none",
    )
    queues: tuple[str, ...] | None = option(
        None, optional(options.texts), "The queues that workers serve. None: every queue.", shown="none"
    )
    labels: Mapping[str, str] = option(
        NOTHING, options.labels, 'What workers have, for tasks with `requires`: `{gpu = "true"}`.', shown="none"
    )
    select: Mapping[str, str] = option(
        NOTHING, options.labels, "Labels of tasks: workers take only those that have all of them.", shown="none"
    )
    fair_queues: Mapping[str, str] = option(
        NOTHING,
        options.labels,
        'Queues shared evenly by the tenants that a header names: `{mail = "tenant"}`. It stands until the header is '
        "`none`.",
        shown="none",
    )
    lease_ttl: int = option(
        15 * SECOND,
        options.duration(SECOND, HOUR),
        "How long a worker holds its tasks after its last heartbeat; the longest that a lost host goes unnoticed.",
        shown="15s",
    )
    heartbeat: int = option(
        5 * SECOND, options.duration(100 * _MILLISECOND, HOUR), "How often leases are renewed.", shown="5s"
    )
    lease_margin: int = option(
        3 * SECOND,
        options.duration(0, HOUR),
        "How long before its lease's end a worker stops trusting it and stops its handlers.",
        shown="3s",
    )
    grace: int = option(
        20 * SECOND,
        options.duration(0, DAY),
        "How long running tasks may finish at a stop, before they are given back.",
        shown="20s",
    )
    poll: int = option(
        SECOND,
        options.duration(10 * _MILLISECOND, MINUTE),
        "The net below the wake-ups: how often to look anyway.",
        shown="1s",
    )
    retention: int = option(
        7 * DAY, options.duration(0, 3660 * DAY), "How long ended tasks are kept, unless the function says.", shown="7d"
    )
    payload_limit: int = option(
        256 * KIB, options.size(KIB, 64 * MIB), "The largest arguments of a task, as JSON.", shown="256KiB"
    )
    result_limit: int = option(64 * KIB, options.size(KIB, 64 * MIB), "The largest result, as JSON.", shown="64KiB")
    checkpoint_limit: int = option(
        64 * KIB,
        options.size(KIB, 64 * MIB),
        "The largest checkpoint, and the largest progress, as JSON.",
        shown="64KiB",
    )
    log_limit: int = option(
        10 * MIB,
        options.size(KIB, 1024 * MIB),
        "What one attempt may log; the rest is dropped and counted.",
        shown="10MiB",
    )
    log_line_limit: int = option(
        16 * KIB, options.size(80, MIB), "The longest line of a log; a longer one is cut, and says so.", shown="16KiB"
    )
    body_limit: int = option(MIB, options.size(KIB, 256 * MIB), "The largest body of an HTTP request.", shown="1MiB")
    max_depth: int | None = option(
        None,
        optional(options.whole(1, 10**9)),
        "Unfinished tasks beyond which a submit is refused (429). None: no bound.",
        shown="none",
    )
    memory_bound: int = option(
        100_000, options.whole(1, 10**8), "Unfinished tasks that one process keeps for `durable=False` functions."
    )
    durability: Literal["full", "fast"] = option(
        "full",
        options.choice("full", "fast"),
        "`full`: on disk before a submit is answered. `fast`: a power cut may take the last commits.",
    )
    auto_migrate: bool | None = option(
        None,
        optional(options.flag),
        "Bring the store's schema up to date at start. None: on SQLite yes; on PostgreSQL `angelica db migrate` does, "
        "and only an empty database is made ready.",
        shown="none",
    )
    connections: int = option(
        4, options.whole(1, 200), "Connections to PostgreSQL that one event loop of a process may have at a time."
    )
    embed: Literal["on", "off"] = option(
        "on", options.switch, "Whether `engine.lifespan` runs a worker in its process, or only submits."
    )
    scheduler: bool = option(
        default=True, read=options.flag, doc="Whether workers fire the schedules that are due.", shown="true"
    )
    validation_status: int = option(
        422, options.status, "The HTTP status of a request that was read and refused: 422 or 400."
    )
    allowed_hosts: tuple[str, ...] = option(
        (), options.texts, "Host names that requests may name, besides those of the loopback.", shown="none"
    )
    log_format: Literal["text", "json"] | None = option(
        None,
        optional(options.choice("text", "json")),
        "How our processes log. None: text in `angelica dev`, JSON in `angelica serve`.",
        shown="none",
    )
    profiles: Mapping[str, Profile] = option(
        PROFILES,
        options.profiles,
        "Named pairs of `timeout` and `retries` for `@engine.task(profile=…)`.",
        shown="quick 2s/2, write 5s/3, bulk 30s/1",
        env=False,
    )
    commands: AllowList = option(  # noqa: RUF009 - it makes the field, once
        NO_COMMANDS,
        options.commands,
        "The command lines that tasks may run, as tables `[commands.NAME]`; see the page on commands.",
        shown="none",
        env=False,
        keyword=False,
    )
    origins: Mapping[str, str] = field(default_factory=_no_origins, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        *,
        directory: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        source: str = "keyword",
        **given: Any,
    ) -> Self:
        """Read keywords, then `ANGELICA_*`, then `angelica.toml` or `[tool.angelica]` of `pyproject.toml`.

        The first that has a value wins; a keyword that is None is as good as not given (the word `"none"` sets None).
        `directory` is where the files are looked for (default: the current one), `environ` stands for `os.environ`,
        `source` names the keywords' origin. Raises `InvalidValue`, which names the key and where it came from, for a
        key that is unknown and a value that does not fit.
        """
        written: dict[str, tuple[Any, str]] = {}
        home = Path(directory or ".")
        for key, value, origin in from_file(home, OPTIONS):
            made = read_allowed(value, home, origin) if key == "commands" else value
            written[key] = (made, origin)
        for key, value, origin in from_environment(os.environ if environ is None else environ, OPTIONS):
            written[key] = (value, origin)
        for key, value in given.items():
            check_keyword(key, source, OPTIONS)
            if value is not None:
                written[key] = (value, source)
        values = {key: _read(key, value, origin) for key, (value, origin) in written.items()}
        settings = cls(**values, origins=MappingProxyType({key: origin for key, (_, origin) in written.items()}))
        settings._check()
        return settings

    def origin(self, name: str) -> str:
        """Return where a value came from: `default`, `keyword`, `environment variable …`, or a file."""
        check_known(name, "origin()", OPTIONS)
        return self.origins.get(name, "default")

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an SQLite store, None for any other."""
        prefix = "sqlite:///"
        return Path(self.url.removeprefix(prefix)) if self.url.startswith(prefix) else None

    @property
    def postgres_url(self) -> str | None:
        """The address of a PostgreSQL store, None for any other."""
        return self.url if self.url.partition("://")[0] in SCHEMES else None

    @property
    def in_memory(self) -> bool:
        """Whether the store ends with its process."""
        return self.url == "memory:"

    @property
    def shown_url(self) -> str:
        """The address of the store without a password, for people and logs."""
        return self.url if self.postgres_url is None else Address.parse(self.url).shown

    @property
    def is_loopback(self) -> bool:
        """Whether the API listens on this machine only."""
        return self.host in _LOOPBACK

    def _check(self) -> None:
        """What must hold between settings."""
        trusted = self.lease_ttl - self.lease_margin
        if self.heartbeat >= trusted:
            problem = f"{self.heartbeat / SECOND:g}s leaves no time to renew a lease (from {self.origin('heartbeat')})"
            hint = f"less than lease_ttl - lease_margin, which is {trusted / SECOND:g}s"
            raise InvalidValue("/heartbeat", problem, hint=hint, rule="too_large")


OPTIONS: Final[Mapping[str, Option]] = MappingProxyType(
    {f.name: f.metadata["option"] for f in fields(Settings) if "option" in f.metadata}
)


def _read(key: str, value: Any, origin: str) -> Any:
    try:
        return OPTIONS[key].read(value)
    except InvalidValue:
        raise
    except ValueError as error:
        cited = "this address" if key == "url" and "@" in str(value) else repr(value)  # it may hold a password
        raise InvalidValue(f"/{key}", f"{cited} will not do (from {origin})", hint=f"must be {error}") from None
