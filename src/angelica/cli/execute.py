"""`angelica exec`: run an allowed command as a task, as if it ran here."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from typing import Any, Final

import click

from angelica.cli import following, output
from angelica.cli.enqueue import labels_of, resources_of, resources_options
from angelica.cli.failure import FAILED, OK
from angelica.cli.state import common, given
from angelica.cli.target import Target, opened
from angelica.plain import plain

OUT_OF_TIME: Final = 124
"""What `timeout` of the shell ends with."""

_SIGNALLED: Final = 128


@click.command("exec", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [WORD]…")
@click.option("-Q", "--queue", metavar="QUEUE", help="Put it in this queue.")
@click.option("-p", "--priority", type=int, help="-128 to 127; higher first.")
@click.option("--id", "task_id", metavar="ID", help="Choose the id; the same id and request answer the same task.")
@click.option("--retries", type=int, default=0, show_default=True, help="Tries after the first one.")
@click.option("--timeout", metavar="DURATION", help="At most so long for one attempt.")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="A label; may be repeated.")
@resources_options
@common
def command(
    *, words: tuple[str, ...], labels: tuple[str, ...], cpu: float | None, memory: str | None, **settings: Any
) -> int:
    """Run a command that the configuration allows; print its log as it comes, and exit with its exit code.

    There is no shell: each word arrives as it is. Ctrl-C cancels it.
    """
    body = {
        "command": shlex.join(words),
        **{key: value for key, value in settings.items() if value is not None},
        **labels_of(labels),
        **resources_of(cpu, memory),
    }
    return asyncio.run(_execute(body))


async def _execute(body: Mapping[str, Any]) -> int:
    options = given()
    async with opened(options, create=True) as target:
        task = await target.submit(body)
        for warning in task.get("warnings", ()):
            output.say(f"warning: {warning}", options)
        output.say(f"{task['task_id']} in {target.name}", options)
        try:
            task = await following.follow(target, task["task_id"], _show)
        except asyncio.CancelledError:
            await _cancel(target, task["task_id"])
            raise
        if (task.get("output") or {}).get("exit_code") is None:
            following.show_error(task)
        return code_of(task)


async def _cancel(target: Target, task_id: str) -> None:
    await target.cancel(task_id, reason="interrupted")


def _show(line: Mapping[str, Any]) -> None:
    message = plain(str(line["message"]))
    if line["stream"] in ("stdout", "stderr"):
        click.echo(message, err=line["stream"] == "stderr")
    else:
        click.echo(f"{line['level']:<7} {message}", err=True)


def code_of(task: Mapping[str, Any]) -> int:
    """Return the exit code of a command as a shell would say it: 128 and the signal's number, 124 if out of time."""
    how = task.get("output") or {}
    if how.get("exit_code") is not None:
        return int(how["exit_code"])
    if how.get("signal") is not None:
        return _SIGNALLED + int(how["signal"])
    if task["status"] == "SUCCEEDED":
        return OK
    return OUT_OF_TIME if (task.get("error") or {}).get("reason") == "timeout" else FAILED
