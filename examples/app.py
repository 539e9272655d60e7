"""Three functions to play with: a message is pushed, rows are cleaned, accounts are synchronised.

Start them with `make run` (or, in this directory, `angelica dev`), then:

    angelica enqueue app.push_message user=ada text="the report is ready" --wait
    echo '{"rows": [" Ada ", "", "Grace", "ada"]}' | angelica enqueue app.clean_rows --json - --wait
    angelica enqueue app.sync_accounts pages=20 --wait
"""

import asyncio
import random
import time

from angelica import Context, Engine, Exponential, Fail

engine = Engine()


@engine.task(queue="push", profile="write", backoff=Exponential(base=0.5, cap=30.0))
async def push_message(user: str, text: str, flaky: float = 0.3) -> dict[str, str]:
    """Push a message through a gateway that fails now and then; the engine tries again."""
    if not text:
        raise Fail("an empty message will not get better by trying again")
    await asyncio.sleep(0.05)
    if random.random() < flaky:
        raise ConnectionError("the gateway hung up")
    engine.log.info("pushed to %s", user)
    return {"user": user, "status": "delivered"}


@engine.task(queue="data", profile="cleaning")
def clean_rows(rows: list[str]) -> list[str]:
    """Trim rows, drop empty ones and those that came before; plain blocking code, run in a thread."""
    kept: dict[str, str] = {}
    for row in rows:
        time.sleep(0.01)
        text = row.strip()
        if text:
            kept.setdefault(text.lower(), text)
    print(f"kept {len(kept)} of {len(rows)} rows")  # what a task prints is kept with it, too
    return list(kept.values())


@engine.task(queue="sync", retries=5, timeout="5m")
async def sync_accounts(ctx: Context, pages: int = 10) -> int:
    """Fetch page after page; after a crash, go on behind the last page that was finished."""
    done = ctx.last_checkpoint or 0
    for page in range(done, pages):
        await asyncio.sleep(0.1)
        ctx.checkpoint(page + 1)
        ctx.progress((page + 1) / pages, f"page {page + 1} of {pages}")
    return pages
