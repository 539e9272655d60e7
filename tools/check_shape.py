"""Check the shape of the source: one noun a file, short functions, empty inner __init__ files, nothing left undone."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "angelica"
FILE_LINES = 350
FUNCTION_LINES = 40
UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")
LONGER = {SOURCE / "storage" / "protocol.py"}  # one contract, read as one
PUBLIC = {SOURCE / "__init__.py", SOURCE / "cli" / "__init__.py"}


def main() -> int:
    """Print each fault as `path:line: what`; the exit code says whether there were any."""
    files = sorted(SOURCE.rglob("*.py"))
    faults = [f"{path.relative_to(ROOT)}:{line}: {what}" for path in files for line, what in check(path)]
    print("\n".join(faults) if faults else f"Shape: {len(files)} files as they should be")
    return bool(faults)


def check(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the faults of one file with their lines."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    if path.name == "__init__.py" and path not in PUBLIC:
        if text.strip():
            yield 1, "an inner __init__.py stays empty"
        return
    if len(lines) > FILE_LINES and path not in LONGER:
        yield len(lines), f"{len(lines)} lines; {FILE_LINES} at most: split it by nouns"
    for number, line in enumerate(lines, 1):
        if UNDONE.search(line):
            yield number, "nothing undone is called done"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = body_lines(node)
            if length > FUNCTION_LINES and not is_table(node):
                yield node.lineno, f"{node.name} has {length} lines; {FUNCTION_LINES} at most"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, its docstring not counted: a long contract is no long function."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_table(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function only returns a table written out (after names for its constants): data, not steps."""
    *before, last = node.body[1:] if ast.get_docstring(node) is not None else node.body
    names = all(isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant) for each in before)
    return names and isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple | ast.List | ast.Dict)


if __name__ == "__main__":
    sys.exit(main())
