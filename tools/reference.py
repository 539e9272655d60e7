"""Write the generated parts of docs/reference, from the code itself: settings, errors, routes, problems, commands."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from angelica import errors
from angelica.cli.root import root
from angelica.http.problems import KINDS
from angelica.http.routes import endpoints
from angelica.settings import OPTIONS
from angelica.sources import PREFIX

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PART = "<!-- generated: {} -->\n"
END = "<!-- end of generated part -->\n"


def settings_table() -> str:
    """Return a row for each setting."""
    rows = ["| setting | environment variable | default | what it is |", "| --- | --- | --- | --- |"]
    for name, option in OPTIONS.items():
        variable = f"`{PREFIX}{name.upper()}`" if option.env else "(file only)"
        rows.append(f"| `{name}` | {variable} | {_cell(option.shown)} | {_cell(option.doc)} |")
    return "\n".join([*rows, ""])


def errors_table() -> str:
    """Return a row for each error, indented as they inherit."""
    rows = ["| error | code | what it says |", "| --- | --- | --- |"]
    rows += _error_rows(errors.AngelicaError, 0)
    rows += _error_rows(errors.Signal, 0)
    return "\n".join([*rows, ""])


def _error_rows(error: type[Exception], depth: int) -> list[str]:
    indent = "&nbsp;&nbsp;" * 2 * depth
    code = vars(error).get("code")
    said = _cell(" ".join((inspect.getdoc(error) or "").split()))
    rows = [f"| {indent}`{error.__name__}` | {f'`{code}`' if code else ''} | {said} |"]
    for child in error.__subclasses__():
        if child.__module__ == error.__module__:
            rows += _error_rows(child, depth + 1)
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def routes_table() -> str:
    """Return a row for each address."""
    rows = ["| route | what it does | answers | query |", "| --- | --- | --- | --- |"]
    for row in sorted(endpoints(), key=lambda endpoint: (endpoint.tag != "tasks", endpoint.tag)):
        answers = ", ".join(str(status) for status in row.answers)
        query = ", ".join(f"`{parameter.name}`" for parameter in row.query)
        rows.append(f"| `{row.method} {row.path}` | {_cell(row.summary)} | {answers} | {query} |")
    return "\n".join([*rows, ""])


def problems_table() -> str:
    """Return a row for each kind of problem."""
    rows = ["| status | `error` | what it says |", "| --- | --- | --- |"]
    rows += [f"| {kind.status} | `{slug}` | {_cell(kind.text)} |" for slug, kind in KINDS.items()]
    return "\n".join([*rows, ""])


def global_options() -> str:
    """Return a row for each option that every command takes."""
    return f"{_options_table(root)}\n"


def commands() -> str:
    """Return a section for each command."""
    return "\n".join(_command_section(words, command) for words, command in _walk(["angelica"], root))


def _walk(words: list[str], group: click.Group) -> Iterator[tuple[list[str], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from _walk([*words, name], found)
        elif found is not None:
            yield [*words, name], found


def _command_section(words: list[str], command: click.Command) -> str:
    arguments = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    table = _options_table(command)
    usage = " ".join([*words, *["[OPTIONS]"] * bool(table), *arguments])
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    return "\n\n".join([f"### {' '.join(words)}", f"```text\n{usage}\n```", *paragraphs, *[table] * bool(table)]) + "\n"


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _options_table(command: click.Command) -> str:
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if not options:
        return ""
    return "\n".join(["| option | what it does |", "| --- | --- |", *map(_option_row, options)])


def _option_row(option: click.Option) -> str:
    value = "" if option.is_flag else " " + (option.metavar or str(option.name).upper()).replace("|", " or ")
    flags = ", ".join(f"`{flag}`" for flag in [*option.opts[:-1], option.opts[-1] + value])
    return f"| {flags} | {_cell(' '.join([option.help or '', *_bounds(option)]))} |"


def _bounds(option: click.Option) -> Iterator[str]:
    match option.type:
        case click.Choice(choices=choices):
            yield f"One of {', '.join(f'`{choice}`' for choice in choices)}."
        case click.IntRange(min=least, max=most) if most is not None:
            yield f"{least} to {most}."
    if option.show_default:
        yield f"Default: {option.default}."


PARTS = {
    "cli.md": {"global options": global_options, "commands": commands},
    "errors.md": {"errors": errors_table},
    "http-api.md": {"routes": routes_table, "problems": problems_table},
    "settings.md": {"settings": settings_table},
}


def render(page: str) -> str:
    """Return a page with its generated parts made anew."""
    text = (REFERENCE / page).read_text("utf-8")
    for name, make in PARTS[page].items():
        begin = PART.format(name)
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(END)
        text = f"{head}{begin}\n{make()}\n{END}{tail}"
    return text


if __name__ == "__main__":
    for written in PARTS:
        (REFERENCE / written).write_text(render(written), "utf-8")
        sys.stdout.write(f"wrote docs/reference/{written}\n")
