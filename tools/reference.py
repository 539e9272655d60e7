"""Write the generated parts of docs/reference, from the code itself: settings, errors, routes and problems."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from angelica import errors
from angelica.http.problems import KINDS
from angelica.http.routes import endpoints
from angelica.settings import OPTIONS, PREFIX

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


PARTS = {
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
