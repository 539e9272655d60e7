"""`angelica init`: a first app; never overwrites."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from angelica.cli import output
from angelica.cli.state import common, given

PLAIN: Final = '''"""Tasks of this project. Start: angelica dev"""

from angelica import Engine

engine = Engine()  # angelica.db beside you, or ANGELICA_URL


@engine.task(retries=5, timeout="30s")
async def welcome(email: str) -> str:
    engine.log.info("sending to %s", email)
    return f"sent to {email}"
'''

FASTAPI: Final = '''"""A FastAPI app with durable tasks. Start: uvicorn app:app"""

from angelica import Engine
from fastapi import FastAPI

engine = Engine()  # angelica.db beside you, or ANGELICA_URL
app = FastAPI(lifespan=engine.lifespan)
engine.mount(app, path="/angelica")


@engine.task(retries=5, timeout="30s")
async def welcome(email: str) -> str:
    engine.log.info("sending to %s", email)
    return f"sent to {email}"


@app.post("/signup")
async def signup(email: str):
    return engine.accepted(await welcome.aenqueue(email))
'''

TOML: Final = """# Settings of Angelica; `angelica config show --origin` shows them all.
app = "app:engine"
"""

IGNORED: Final = ("angelica.db*", ".angelica/")


@click.command("init")
@click.option("--fastapi", "kind", flag_value="fastapi", help="An app.py for FastAPI.")
@click.option("--plain", "kind", flag_value="plain", default=True, help="An app.py of tasks alone (the default).")
@common
def command(kind: str) -> None:
    """Write app.py, angelica.toml and lines for .gitignore here; what exists stays as it is."""
    options = given()
    for name, text in (("app.py", FASTAPI if kind == "fastapi" else PLAIN), ("angelica.toml", TOML)):
        try:
            with Path(name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            output.say(f"{name:<14} exists; left as it is", options)
        else:
            output.say(f"{name:<14} written", options)
    added = ignore(Path(".gitignore"))
    output.say(f"{'.gitignore':<14} {'lines added' if added else 'has the lines'}", options)
    output.say("now: " + ("uvicorn app:app" if kind == "fastapi" else "angelica dev"), options)


def ignore(path: Path) -> bool:
    """Add our lines to a .gitignore unless they are there; return whether it changed."""
    text = path.read_text("utf-8") if path.exists() else ""
    missing = [line for line in IGNORED if line not in text.splitlines()]
    if missing:
        joint = "" if not text or text.endswith("\n") else "\n"
        path.write_text(text + joint + "\n".join(missing) + "\n", "utf-8")
    return bool(missing)
