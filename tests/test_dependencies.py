"""Dependencies: few, declared, explained, and pinned by hash."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PINS = (ROOT / "constraints.txt").read_text("utf-8")
MODULES = {"prometheus-client": "prometheus_client"}
OPTIONAL = {
    "asyncpg",
    "fastapi",
    "opentelemetry",
    "pydantic",
    "pytest",
    "uvloop",
    "watchfiles",
}  # used only where they are installed
BUDGET = 10


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0].lower()


CORE = [name_of(requirement) for requirement in PROJECT["project"]["dependencies"]]
GROUPS = PROJECT["dependency-groups"]
FOR_DEVELOPMENT = sorted({name_of(item) for group in GROUPS.values() for item in group if isinstance(item, str)})


def imported(path: Path) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").partition(".")[0])
    return roots - set(sys.stdlib_module_names) - {"angelica"}


def test_the_core_keeps_to_its_budget() -> None:
    assert len(CORE) <= BUDGET, CORE


def test_what_the_source_imports_is_declared() -> None:
    declared = {MODULES.get(name, name) for name in CORE} | OPTIONAL
    foreign = {root: path.name for path in (ROOT / "src").rglob("*.py") for root in imported(path)}
    assert set(foreign) - declared == set(), foreign


@pytest.mark.parametrize("name", [*CORE, *FOR_DEVELOPMENT])
def test_each_has_its_reason_and_its_pin(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert re.search(rf"^{re.escape(name)}==", PINS, re.MULTILINE)


def test_every_pin_has_hashes_and_none_an_address() -> None:
    pins = re.findall(r"^[a-z0-9][^\n]*==.*?(?=^[a-z0-9]|\Z)", PINS, re.MULTILINE | re.DOTALL)
    assert len(pins) > len(CORE)
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert "://" not in PINS
