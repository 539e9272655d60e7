"""Pages: the API reference for people, from our own static files; nothing is loaded from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from angelica.errors import NotFound
from angelica.http.answers import Answer
from angelica.http.call import Call

STATIC: Final = Path(__file__).parent / "static"
FILES: Final = {
    "docs.css": b"text/css; charset=utf-8",
    "docs.js": b"text/javascript; charset=utf-8",
}
HTML: Final = b"text/html; charset=utf-8"


@cache
def _file(name: str) -> bytes:
    return (STATIC / name).read_bytes()


async def docs(_call: Call) -> Answer:
    """GET /docs."""
    return Answer(200, _file("docs.html"), HTML)


async def asset(call: Call) -> Answer:
    """GET /docs/{file}."""
    name = call.params["file"]
    if name not in FILES:
        raise NotFound("no such file")
    return Answer(200, _file(name), FILES[name], {"Cache-Control": "public, max-age=3600"})
