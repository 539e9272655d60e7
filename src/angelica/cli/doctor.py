"""`angelica doctor`: is this installation sound? Exit code 1 if anything is red."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from angelica.cli import output
from angelica.cli.failure import FAILED, OK
from angelica.cli.output import Column
from angelica.cli.state import common, given

COLUMNS: Final = (Column("CHECK", "check"), Column("STATE", "state"), Column("FOUND", "found"), Column("FIX", "fix"))


@click.command("doctor")
@common
def command() -> int:
    """Check versions, the store, file modes, who can reach the API, the clock, the disk and the workers."""
    from angelica.cli.checkup import checkup

    options = given()
    findings = asyncio.run(checkup(options))
    output.rows([finding.row() for finding in findings], COLUMNS, options, key="check")
    return FAILED if any(finding.state == "red" for finding in findings) else OK
