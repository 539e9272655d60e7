"""`angelica enqueue`: submit a task from the shell."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from angelica import strict_json
from angelica.cli import following, output
from angelica.cli.failure import NOT_FOUND, OK, CliError
from angelica.cli.state import common, given
from angelica.cli.target import opened
from angelica.errors import AngelicaError

F = TypeVar("F", bound=Callable[..., Any])


def resources_options(command: F) -> F:
    """Add the options that say what a task needs of a machine."""
    command = click.option("--memory", metavar="SIZE", help="It needs so much memory: 4GB, 512MiB.")(command)
    return click.option("--cpu", type=float, metavar="N", help="It needs so many CPUs.")(command)


@click.command("enqueue")
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, metavar="[K=V]…")
@click.option("--command", "line", metavar="TEXT", help="Run an allowed command line in place of a function.")
@click.option("--json", "source", metavar="FILE|-", help="Read the arguments as a JSON object from a file or stdin.")
@click.option("--in", "delay", metavar="DURATION", help="Run it then: 5m, 1h30m.")
@click.option("--at", "run_at", metavar="MOMENT", help="Run it at this moment: 2026-11-22T02:00:00Z.")
@click.option("-Q", "--queue", metavar="QUEUE", help="Put it in this queue.")
@click.option("-p", "--priority", type=int, help="-128 to 127; higher first.")
@click.option("--unique", metavar="KEY", help="At most one live task of this function with this key.")
@click.option("--id", "task_id", metavar="ID", help="Choose the id; the same id and request answer the same task.")
@click.option("--retries", type=int, help="Tries after the first one.")
@click.option("--timeout", metavar="DURATION", help="At most so long for one attempt.")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="A label; may be repeated.")
@click.option("--limit", "limits", multiple=True, metavar="KEY", help="A key of its limits, or name/key; repeatable.")
@click.option("--requires", multiple=True, metavar="K=V", help="A label that the worker must have; may be repeated.")
@resources_options
@click.option("--wait", is_flag=True, help="Stream its log; exit 0 if it succeeded, 1 if not.")
@common
def command(*, wait: bool, **asked: Any) -> int:
    """Submit a task that runs the function NAME, or with --command an allowed command line.

    Arguments are given as K=V; V is read as JSON if it is JSON (3, true, [1,2]), else as text. K=@FILE takes the
    text of a file, K:=V insists on JSON.
    """
    return asyncio.run(_submit(_body(**asked), wait=wait))


def _body(
    *,
    name: str | None,
    line: str | None,
    arguments: tuple[str, ...],
    source: str | None,
    labels: tuple[str, ...],
    requires: tuple[str, ...],
    cpu: float | None,
    memory: str | None,
    **settings: Any,
) -> dict[str, Any]:
    """Return the request."""
    if (name is None) == (line is None):
        raise CliError("give either the NAME of a function or --command", hint="angelica enqueue angelica.hello who=me")
    what = {"name": name} if line is None else {"command": line}
    kwargs = {**read_object(source), **dict(map(read_argument, arguments))}
    return {
        **what,
        **{key: value for key, value in settings.items() if value not in (None, ())},
        **({"kwargs": kwargs} if kwargs else {}),
        **labels_of(labels),
        **labels_of(requires, "requires"),
        **resources_of(cpu, memory),
    }


def labels_of(labels: Iterable[str], member: str = "labels") -> dict[str, Any]:
    """Return the member of a request that holds labels of the form K=V."""
    made = dict(map(_pair, labels))
    return {member: made} if made else {}


def resources_of(cpu: float | None, memory: str | None) -> dict[str, Any]:
    """Return the member of a request that says what a task needs of a machine."""
    made = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {"resources": made} if made else {}


async def _submit(body: dict[str, Any], *, wait: bool) -> int:
    options = given()
    async with opened(options, create=True) as target:
        task = await target.submit(body)
        for warning in task.get("warnings", ()):
            output.say(f"warning: {warning}", options)
        if not wait:
            _print(task)
            return OK
        output.say(f"{task['task_id']} in {target.name}", options)
        task = await following.follow(target, task["task_id"], _show)
        if options.output in ("json", "jsonl"):
            output.one(task, options, key="task_id")
        elif task["status"] == "SUCCEEDED" and task.get("result") is not None:
            click.echo(json.dumps(task["result"], ensure_ascii=False))
        following.show_error(task)
        return following.code_of(task)


def _print(task: dict[str, Any]) -> None:
    """An id is all that a script wants; a person gets it too, and nothing in the way."""
    options = given()
    if options.output in ("json", "jsonl"):
        output.one(task, options, key="task_id")
    else:
        click.echo(task["task_id"])


def _show(line: Any) -> None:
    click.echo(following.log_line(line), err=True)


def read_argument(text: str) -> tuple[str, Any]:
    """Return name and value of `K=V`, `K:=JSON` or `K=@FILE`."""
    key, value = _pair(text)
    if key.endswith(":"):
        return key[:-1], _json(value, f"{key}={value}")
    if value.startswith("@"):
        return key, _read_file(value[1:])
    try:
        return key, strict_json.loads(value)
    except AngelicaError:
        return key, value


def read_object(source: str | None) -> dict[str, Any]:
    """Return the JSON object in a file, or on stdin for `-`."""
    if source is None:
        return {}
    text = sys.stdin.read() if source == "-" else _read_file(source)
    found = _json(text, "stdin" if source == "-" else source)
    if not isinstance(found, dict):
        raise CliError(f"--json {source}: must hold an object of arguments", hint='{"who": "world"}, for example')
    return found


def _json(text: str, where: str) -> Any:
    try:
        return strict_json.loads(text)
    except AngelicaError as error:
        raise CliError(f"{where}: {error}") from None


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CliError(f"cannot read {name}: {reason}", exit_code=NOT_FOUND) from None


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key.rstrip(":"):
        raise CliError(f"{text!r} is not K=V", hint="who=world, count=3, 'items=[1,2]'")
    return key, value
