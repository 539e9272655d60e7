"""Timed synchronisation: a web page is fetched and compared with what it was the last time."""

import hashlib
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from app import engine

from angelica import Context, Exponential, Fail

STATE = Path(__file__).parent / "output" / "pages"


@engine.task(retries=4, timeout="20s", backoff=Exponential(base=0.5, cap=10), labels={"kind": "sync"})
def check_page(context: Context, url: str = "http://127.0.0.1:8765/livez") -> dict[str, object]:
    """Fetch a page; say its status, its size and whether it has changed since the last check."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise Fail("only http and https pages are checked")
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the scheme was checked
        body = answer.read(1_000_000)
        status = answer.status
    digest = hashlib.sha256(body).hexdigest()
    STATE.mkdir(parents=True, exist_ok=True)
    memory = STATE / hashlib.sha256(url.encode()).hexdigest()[:16]
    before = memory.read_text("ascii") if memory.exists() else None
    memory.write_text(digest, "ascii")
    changed = before is not None and before != digest
    context.log.info("%s answered %d, %d bytes, %s", url, status, len(body), "changed" if changed else "as before")
    return {"url": url, "status": status, "bytes": len(body), "changed": changed, "first": before is None}
