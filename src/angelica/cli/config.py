"""`angelica config`: the settings, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Final

import click

from angelica.cli import output
from angelica.cli.group import group
from angelica.cli.output import Column
from angelica.cli.spec import settings_of
from angelica.cli.state import common, given
from angelica.domain.command import AllowList
from angelica.durations import format_duration
from angelica.settings import OPTIONS, Settings

DURATIONS: Final = frozenset({"lease_ttl", "heartbeat", "lease_margin", "grace", "poll", "retention"})


@group("config")
def command() -> None:
    """Show the settings."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Also where each value comes from.")
@common
def show(*, origin: bool) -> None:
    """Show all settings as they are for commands run here."""
    settings = settings_of(given().url)
    rows = [
        {"setting": name, "value": shown(settings, name), "origin": settings.origin(name), "help": OPTIONS[name].doc}
        for name in OPTIONS
    ]
    columns = [Column("SETTING", "setting"), Column("VALUE", "value"), Column("HELP", "help", wide=True)]
    if origin:
        columns.insert(2, Column("ORIGIN", "origin"))
    output.rows(rows, columns, given(), key="setting")


def shown(settings: Settings, name: str) -> Any:
    """Return a value as a user would write it, without a password."""
    value = getattr(settings, name)
    if name in DURATIONS and isinstance(value, int):
        return format_duration(value)
    if name == "url":
        return settings.shown_url
    if isinstance(value, AllowList):
        return {name: command.pattern for name, command in value.commands.items()}
    if isinstance(value, Mapping):
        return {
            key: asdict(item) if is_dataclass(item) and not isinstance(item, type) else item
            for key, item in value.items()
        }
    return list(value) if isinstance(value, tuple) else value
