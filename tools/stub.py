"""Write src/angelica/__init__.pyi: the public names for type checkers, from the table that the package imports by."""

from __future__ import annotations

from pathlib import Path

import angelica

STUB = Path(angelica.__file__).with_name("__init__.pyi")

TYPES = {"BackgroundTasks": "DurableTasks"}  # what a type checker should see in place of an `Annotated[…]`


def render() -> str:
    """Return the text of the stub."""
    lines = []
    for home, names in sorted(angelica._HOMES.items()):  # noqa: SLF001 - the table is this tool's input
        lines += [f"from {home} import {TYPES.get(name, name)} as {name}" for name in sorted(names, key=_isort)]
    exported = "".join(f'    "{name}",\n' for name in angelica.__all__)
    return "\n".join([*lines, "", f"__all__ = [\n{exported}]", "", "__version__: str", ""])


def _isort(name: str) -> tuple[bool, str]:
    return name[0].islower(), name


if __name__ == "__main__":
    STUB.write_text(render(), "utf-8")
