"""The same engine inside a FastAPI app: `uvicorn web:app` in this directory (FastAPI comes not with Angelica)."""

from app import engine
from fastapi import FastAPI, Response
from mail import Letter, page_viewed, send_mail

app = FastAPI(lifespan=engine.lifespan)
engine.mount(app, "/angelica")


@app.post("/signup")
async def signup(email: str) -> Response:
    """Answer 202 at once; the letter is on disk and will be sent."""
    letter = Letter(to=email, subject="Welcome", text="Good to have you here.")
    await page_viewed.aenqueue("/signup")
    return engine.accepted(await send_mail.aenqueue(letter))
