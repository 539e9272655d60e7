"""The documentation: its Python runs, its files load, its links lead somewhere, its generated parts are fresh."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from angelica.cli.root import root
from angelica.cli.state import GlobalOptions
from angelica.settings import Settings
from tools import reference

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)?(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(m[2] or "", m[3] or "", m[4]) for m in FENCE.finditer(page.read_text("utf-8"))]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def having(language: str) -> list[Path]:
    return [page for page in PAGES if any(block.language == language for block in blocks(page))]


def clean_environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANGELICA_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("page", having("python"), ids=named)
def test_python_blocks_run_from_top_to_bottom(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # A block with a title is a file of that name, imported where it stands; the rest is one program.
    program = []
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.text, "utf-8")
        if block.language == "python":
            program.append(f"import {block.title.removesuffix('.py')}\n" if block.title else block.text)
    (tmp_path / "__page__.py").write_text("\n".join(program), "utf-8")
    command = [sys.executable, "-W", "error", "__page__.py"]
    environment = clean_environment()
    if any("DATABASE_URL" in part for part in program):
        environment["DATABASE_URL"] = request.getfixturevalue("postgres_database")
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", having("toml"), ids=named)
def test_toml_blocks_load(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language != "toml":
            continue
        tomllib.loads(block.text)
        if block.title == "angelica.toml":
            (tmp_path / block.title).write_text(block.text, "utf-8")
            Settings.load(directory=tmp_path, environ={})


@pytest.mark.parametrize("page", having("json"), ids=named)
def test_json_blocks_are_json(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text("utf-8"))
    for target in LINK.findall(prose):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", having("console"), ids=named)
def test_make_targets_that_the_pages_name_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    asked = {m for block in blocks(page) for m in re.findall(r"^\$ make ([a-z]+)", block.text, re.MULTILINE)}
    assert asked - targets == set()


@pytest.mark.parametrize("page", having("console"), ids=named)
def test_command_lines_that_the_pages_name_are_understood(page: Path) -> None:
    for block in blocks(page):
        for line in re.findall(r"^\$ angelica( .*)$", block.text, re.MULTILINE):
            parse(shlex.split(line.split("  #")[0]))


def parse(words: list[str]) -> None:
    """Read a command line down to its last option, without running it."""
    command: click.Command = root
    context = click.Context(command, obj=GlobalOptions())
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert name is not None
        assert found is not None
        context, command = click.Context(found, parent=context, info_name=name), found
    command.make_context(command.name, words, parent=context.parent)


@pytest.mark.parametrize("page", list(reference.PARTS))
def test_generated_parts_are_fresh(page: str) -> None:
    assert (reference.REFERENCE / page).read_text("utf-8") == reference.render(page), "run: make reference"


def test_every_page_is_in_the_contents_once() -> None:
    contents = re.findall(r": ([\w/\-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(contents) == sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))
