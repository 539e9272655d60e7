"""Write the generated parts of docs/reference: the tables of settings and of errors, made from the code itself."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from angelica import errors
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


PARTS = {"settings.md": ("settings", settings_table), "errors.md": ("errors", errors_table)}


def render(page: str) -> str:
    """Return a page with its generated part made anew."""
    name, make = PARTS[page]
    begin = PART.format(name)
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{make()}\n{END}", (REFERENCE / page).read_text("utf-8"), count=1)


if __name__ == "__main__":
    for written in PARTS:
        (REFERENCE / written).write_text(render(written), "utf-8")
        sys.stdout.write(f"wrote docs/reference/{written}\n")
